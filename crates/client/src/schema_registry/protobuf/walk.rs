//! A message is walked before it is read: the library takes as much memory as the bytes say.

use ottla_protocol::codec::Reader;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::{
    super::error::{damaged, unreadable},
    DeserializeError,
};

/// How deep messages may be nested. The library itself ends at 100.
const DEPTH_MAX: usize = 64;
/// What a field takes: in the tables of its message, and where it is a list of one.
const FIELD: usize = size_of::<Value>() * 4 + 64;

/// What a message may take.
pub(super) struct Walk {
    memory: usize,
}

impl Walk {
    pub(super) fn new(memory: usize) -> Self {
        Self { memory }
    }

    /// Whether it is bounded.
    pub(super) fn message(
        &mut self,
        message: &MessageDescriptor,
        data: &[u8],
    ) -> Result<(), DeserializeError> {
        self.fields(Some(message), &mut Reader::new(data), None, 0)
    }

    /// The fields of a message up to its end, or of a group up to its own.
    fn fields(
        &mut self,
        message: Option<&MessageDescriptor>,
        data: &mut Reader<'_>,
        group: Option<u32>,
        depth: usize,
    ) -> Result<(), DeserializeError> {
        if depth > DEPTH_MAX {
            return Err(DeserializeError::TooLarge("the data are nested too deep"));
        }
        self.takes(size_of::<DynamicMessage>())?;
        while data.remaining() > 0 {
            let tag = data.unsigned_varlong().map_err(unreadable)?;
            let number = u32::try_from(tag >> 3).map_err(|_| damaged("a field's number is too large"))?;
            let field = message.and_then(|message| message.get_field(number));
            self.takes(FIELD)?;
            match tag & 7 {
                0 => _ = data.unsigned_varlong().map_err(unreadable)?,
                1 => _ = data.take(8).map_err(unreadable)?,
                2 => {
                    let size = data.unsigned_varlong().map_err(unreadable)?;
                    let size = usize::try_from(size).map_err(|_| damaged("a length is too large"))?;
                    let inner = data.take(size).map_err(unreadable)?;
                    self.sized(field.as_ref(), inner, depth)?;
                }
                3 => {
                    let kind = field.map(|field| field.kind());
                    let inner = kind.as_ref().and_then(Kind::as_message);
                    self.fields(inner, data, Some(number), depth + 1)?;
                }
                4 if group == Some(number) => return Ok(()),
                5 => _ = data.take(4).map_err(unreadable)?,
                _ => return Err(damaged("a field is of no such type")),
            }
        }
        match group {
            None => Ok(()),
            Some(_) => Err(damaged("they end too early")),
        }
    }

    /// A message, text, bytes, or numbers that are packed.
    fn sized(
        &mut self,
        field: Option<&FieldDescriptor>,
        inner: &[u8],
        depth: usize,
    ) -> Result<(), DeserializeError> {
        match field.map(FieldDescriptor::kind) {
            Some(Kind::Message(message)) => {
                self.fields(Some(&message), &mut Reader::new(inner), None, depth + 1)
            }
            None | Some(Kind::String | Kind::Bytes) => self.takes(inner.len()),
            // One a byte at the most; twice, as a list that grows may have room for as many again.
            Some(_) => self.takes(inner.len().saturating_mul(2 * size_of::<Value>())),
        }
    }

    fn takes(&mut self, bytes: usize) -> Result<(), DeserializeError> {
        let too_large = DeserializeError::TooLarge("the data would take too much memory");
        self.memory = self.memory.checked_sub(bytes).ok_or(too_large)?;
        Ok(())
    }
}
