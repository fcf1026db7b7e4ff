//! Tagged fields (KIP-482): optional values behind the fixed ones, each with its tag and size.

use super::{DecodeError, Reader, put_unsigned_varint};

/// Tagged fields on their way out. Most messages have none, and then nothing is allocated.
#[derive(Default)]
pub(crate) struct TaggedFields(Vec<(u32, Vec<u8>)>);

impl TaggedFields {
    pub(crate) fn push(&mut self, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::new();
        write(&mut value);
        self.0.push((tag, value));
    }

    pub(crate) fn encode(mut self, out: &mut Vec<u8>) {
        self.0.sort_by_key(|(tag, _)| *tag);
        put_unsigned_varint(out, self.0.len() as u32);
        for (tag, value) in self.0 {
            put_unsigned_varint(out, tag);
            put_unsigned_varint(out, value.len() as u32);
            out.extend_from_slice(&value);
        }
    }
}

/// Reads every tagged field; `known` takes those that it knows, the others are skipped by their size.
pub(crate) fn decode_tagged<'a>(
    r: &mut Reader<'a>,
    mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    for _ in 0..r.unsigned_varint()? {
        let tag = r.unsigned_varint()?;
        let size = r.unsigned_varint()? as usize;
        known(tag, &mut r.part(size)?)?;
    }
    Ok(())
}
