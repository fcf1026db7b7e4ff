//! Which message of a Protobuf file a payload is: the index of a message at the top, of one within it, and so on.

use ottla_protocol::codec::Reader;

use super::WireFormatError;

/// Nobody nests messages deeper: Protobuf's own compilers do not.
const DEEPEST: usize = 100;

/// The path of a message in its file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageIndexes(Vec<u32>);

impl MessageIndexes {
    /// The indexes, the outermost message's first. There is at least one.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }

    /// The path at the beginning of these bytes, and what follows it: a count and the indexes, each a zigzag varint. A count of 0
    /// is short for the file's first message.
    ///
    /// # Errors
    ///
    /// [`WireFormatError::Indexes`].
    pub fn read(bytes: &[u8]) -> Result<(Self, &[u8]), WireFormatError> {
        let mut reader = Reader::new(bytes);
        let count = index(&mut reader)?;
        let mut indexes = vec![0];
        // A count of 0 stands for the first message.
        if count > 0 {
            // What is reserved goes by what there is, not by what is said.
            let count = usize::try_from(count).ok().filter(|&count| count <= DEEPEST.min(reader.remaining()));
            let count = count.ok_or(WireFormatError::Indexes)?;
            indexes = (0..count).map(|_| index(&mut reader)).collect::<Result<_, _>>()?;
        }
        let rest = reader.take(reader.remaining()).map_err(|_| WireFormatError::Indexes)?;
        Ok((Self(indexes), rest))
    }
}

/// A zigzag varint of 32 bits that is not negative.
fn index(reader: &mut Reader<'_>) -> Result<u32, WireFormatError> {
    let index = reader.varint().map_err(|_| WireFormatError::Indexes)?;
    u32::try_from(index).map_err(|_| WireFormatError::Indexes)
}
