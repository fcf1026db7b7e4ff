//! Bytes to values and back: the primitives that every message is made of.
//!
//! Decoding trusts nothing: a length is compared with the bytes that remain before anything is allocated for it.
//! Encoding cannot fail. The macro in `message` builds messages from these parts.
//! Source: the protocol guide's "Protocol Primitive Types", KIP-482 for the flexible forms.

mod error;
mod frame;
pub(crate) mod message;
mod reader;
mod secret;
pub(crate) mod tagged;
mod varint;
mod version;
pub(crate) mod wire;

pub use error::{DecodeError, DecodeErrorKind};
pub(crate) use frame::FrameBuilder;
pub use frame::{RequestFrame, Writable};
pub use message::{FieldSchema, MessageSchema, StructSchema};
pub use reader::Reader;
pub use secret::Secret;
pub use varint::{
    put_unsigned_varint, put_unsigned_varlong, put_varint, put_varlong, unsigned_varint_len, varint_len,
    varlong_len,
};
pub use version::{Version, Versions};
pub use wire::{ClientInstanceId, RecordData, TopicId, TypeName, Wire};
