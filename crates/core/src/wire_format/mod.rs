//! Confluent's wire format: which schema a key or a value was written with, and where its data begin.
//!
//! The schema is named in front of the data (a magic byte and an id of four bytes, or a GUID), or in a header of the record, with
//! the bare data as the payload. Protobuf adds the path of the message in its file, behind the id, wherever that is. No schema is
//! looked up here: bytes in, names and slices out, whatever the bytes are.

mod indexes;
#[cfg(test)]
mod tests;

use std::{error::Error as StdError, fmt};

use ottla_protocol::{DecodeError, records::Header};

pub use indexes::MessageIndexes;

/// The magic byte before an id of four bytes.
const ID: u8 = 0;
/// The magic byte before a GUID of sixteen.
const GUID: u8 = 1;

/// Which part of a record bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl Field {
    /// The header that may name the schema.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Key => "__key_schema_id",
            Self::Value => "__value_schema_id",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// What a registry knows a schema by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// A number that one registry gave out.
    Id(u32),
    /// A GUID, in the order of its text: the same in every registry.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    /// The number, or the GUID in lower case with its dashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Guid(guid) => guid.iter().enumerate().try_for_each(|(at, byte)| {
                let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                write!(f, "{dash}{byte:02x}")
            }),
        }
    }
}

/// Where the name of a schema is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SchemaIdIn {
    /// In the field's header where there is one, otherwise before the data: as Confluent's deserializers do by default.
    ///
    /// A program that copies another record's headers to a payload that names its schema itself has both: the header is believed,
    /// and the data do not parse, as bytes are left over.
    #[default]
    HeaderOrPrefix,
    /// Before the data alone. A header is not looked at.
    Prefix,
}

/// A key or a value, with its schema named and its data not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    schema: SchemaId,
    /// What follows the name in the header, where it was there.
    behind: Option<&'a [u8]>,
    payload: &'a [u8],
}

impl<'a> Framed<'a> {
    /// Finds the schema's name.
    ///
    /// `headers` are all those of the record. Where several have the field's name, the last counts, as for Java; one that is null
    /// counts as none.
    ///
    /// # Errors
    ///
    /// There is no name, or a header does not parse.
    pub fn read(
        bytes: &'a [u8],
        headers: impl IntoIterator<Item = Result<Header<'a>, DecodeError>>,
        field: Field,
        place: SchemaIdIn,
    ) -> Result<Self, WireFormatError> {
        let mut named = None;
        if place == SchemaIdIn::HeaderOrPrefix {
            for header in headers {
                let header = header.map_err(WireFormatError::Headers)?;
                if header.key == field.header().as_bytes() {
                    named = header.value;
                }
            }
        }
        Ok(match named {
            Some(header) => {
                let (schema, behind) = named_by(header, Some(field))?;
                Self { schema, behind: Some(behind), payload: bytes }
            }
            None => {
                let (schema, payload) = named_by(bytes, None)?;
                Self { schema, behind: None, payload }
            }
        })
    }

    /// What the schema is known by.
    pub const fn schema(&self) -> SchemaId {
        self.schema
    }

    /// The data, of Avro or JSON.
    ///
    /// # Errors
    ///
    /// The header goes on behind the schema's name.
    pub const fn data(self) -> Result<&'a [u8], WireFormatError> {
        match self.behind {
            None | Some([]) => Ok(self.payload),
            Some(behind) => Err(WireFormatError::LeftOver(behind.len())),
        }
    }

    /// Which message of its file it is, and the data, of Protobuf.
    ///
    /// # Errors
    ///
    /// The path is none, or the header goes on behind it.
    pub fn message(self) -> Result<(MessageIndexes, &'a [u8]), WireFormatError> {
        match self.behind {
            None => MessageIndexes::read(self.payload),
            Some(header) => match MessageIndexes::read(header)? {
                (indexes, []) => Ok((indexes, self.payload)),
                (_, behind) => Err(WireFormatError::LeftOver(behind.len())),
            },
        }
    }
}

/// The schema's name at the beginning of these bytes, and what follows it.
fn named_by(bytes: &[u8], header: Option<Field>) -> Result<(SchemaId, &[u8]), WireFormatError> {
    let (magic, rest) = bytes.split_first().ok_or(WireFormatError::Short { header, bytes: 0 })?;
    let short = || WireFormatError::Short { header, bytes: bytes.len() };
    match *magic {
        ID => {
            let (id, rest) = rest.split_first_chunk().ok_or_else(short)?;
            Ok((SchemaId::Id(u32::from_be_bytes(*id)), rest))
        }
        GUID => {
            let (guid, rest) = rest.split_first_chunk().ok_or_else(short)?;
            Ok((SchemaId::Guid(*guid), rest))
        }
        magic => Err(WireFormatError::Magic { header, magic }),
    }
}

/// Bytes that are not in Confluent's wire format. Another attempt at them fails the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireFormatError {
    /// They begin with another byte than 0 or 1: those of the payload, or of the field's header.
    Magic {
        /// Whose header it is; `None` is the payload.
        header: Option<Field>,
        /// The byte.
        magic: u8,
    },
    /// They end before the schema's name does.
    Short {
        /// Whose header it is; `None` is the payload.
        header: Option<Field>,
        /// How many there are.
        bytes: usize,
    },
    /// The path of Protobuf's message is damaged, or longer than any.
    Indexes,
    /// So many bytes follow in the header what should be the last.
    LeftOver(usize),
    /// The record's headers do not parse.
    Headers(DecodeError),
}

impl fmt::Display for WireFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |header: &Option<Field>| header.map_or("the payload", Field::header);
        match self {
            Self::Magic { header, magic } => {
                write!(
                    f,
                    "{} begins with byte {magic}, where a schema's id begins with 0 or 1",
                    place(header)
                )
            }
            Self::Short { header, bytes } => {
                write!(f, "{} has {bytes} bytes, which is no schema's id", place(header))
            }
            Self::Indexes => f.write_str("the path of Protobuf's message is damaged"),
            Self::LeftOver(bytes) => {
                write!(f, "{bytes} bytes are left over in the header of the schema's id")
            }
            Self::Headers(_) => f.write_str("the record's headers do not parse"),
        }
    }
}

impl StdError for WireFormatError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Headers(error) => Some(error),
            _ => None,
        }
    }
}
