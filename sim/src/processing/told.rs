//! What a committed offset and the text beside it say is done, read by the rules of `docs/processing.md` and not by the code
//! that wrote it.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) offset: i64,
    /// What is done beyond it.
    pub(super) beyond: Vec<Range<i64>>,
}

impl Told {
    /// `Err` where the text is none of Ottla's.
    pub(super) fn read(offset: i64, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self { offset, beyond: Vec::new() });
        }
        let wrong = || format!("{text:?} beside {offset}");
        let (runs, coded) = match (text.strip_prefix("ottla1r"), text.strip_prefix("ottla1b")) {
            (Some(coded), _) => (true, coded),
            (_, Some(coded)) => (false, coded),
            _ => return Err(wrong()),
        };
        let bytes = STANDARD_NO_PAD.decode(coded).map_err(|_| wrong())?;
        let mut bytes = bytes.into_iter();
        let base = number(&mut bytes).ok_or_else(wrong)?;
        if base != offset || number(&mut bytes).is_none() {
            return Err(wrong());
        }
        let mut beyond: Vec<Range<i64>> = Vec::new();
        let mut at = offset;
        if runs {
            while let Some(gap) = number(&mut bytes) {
                let start = at + gap;
                at = start + number(&mut bytes).ok_or_else(wrong)?;
                beyond.push(start..at);
            }
        } else {
            for byte in bytes {
                for bit in 0..8 {
                    if byte >> bit & 1 == 1 {
                        match beyond.last_mut().filter(|last| last.end == at) {
                            Some(last) => last.end += 1,
                            None => beyond.push(at..at + 1),
                        }
                    }
                    at += 1;
                }
            }
        }
        Ok(Self { offset, beyond })
    }

    /// Whether it says that this record is done.
    pub(super) fn covers(&self, offset: i64) -> bool {
        let after = self.beyond.partition_point(|range| range.end <= offset);
        offset < self.offset || self.beyond.get(after).is_some_and(|range| range.contains(&offset))
    }
}

fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = bytes.next()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return i64::try_from(value).ok();
        }
        shift += 7;
    }
}
