//! Protobuf in Confluent's wire format.

mod compile;
mod walk;

use std::sync::OnceLock;

use ottla_core::{caught, wire_format::MessageIndexes};
pub use prost_reflect;
use prost_reflect::{DynamicMessage, FileDescriptor, MessageDescriptor};

use self::walk::Walk;
use super::{
    DeserializeError, Schema, SchemaRegistry, SchemaType,
    registered::{Registered, prepares, registered},
};
use crate::consumer::{Deserializer, Preparing, Serialized};

/// A schema that is compiled once, or why it is none.
pub(super) type Once = OnceLock<Result<FileDescriptor, String>>;

/// Messages of Protobuf, as the library [`prost_reflect`] has them. A null is `None`.
///
/// The schema may be the text of a `.proto` file or its `FileDescriptorProto` in base64; what it imports comes from the registry, and
/// `google/protobuf/*` from the library. A message is looked at before it is read: it may be nested 64 deep, and take 64 MiB of
/// memory. Otherwise the record does not parse.
///
/// A [`TypedConsumer`](crate::TypedConsumer) blocks its thread for a schema that is not known yet, for
/// [`total_timeout`](super::SchemaRegistryBuilder::total_timeout) at the most;
/// [`Message::value_as`](crate::processor::Message::value_as) does not.
#[derive(Debug, Clone)]
pub struct Protobuf {
    registered: Registered,
    memory_max: usize,
}

impl Protobuf {
    /// Makes messages.
    pub fn new(registry: SchemaRegistry) -> Self {
        Self { registered: Registered::new(registry), memory_max: 64 << 20 }
    }

    registered!();

    /// How much memory a message may take, in bytes: estimated, from above. Default 64 MiB.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }

    fn read(
        &self,
        schema: &Schema,
        indexes: &MessageIndexes,
        data: &[u8],
    ) -> Result<DynamicMessage, DeserializeError> {
        let file = schema.protobuf.get_or_init(|| caught(|| compile::compile(schema)).and_then(|file| file));
        let file = file.as_ref().map_err(|why| DeserializeError::Schema(why.clone().into()))?;
        let message = message(file, indexes).ok_or_else(|| {
            DeserializeError::Data(format!("the schema has no message at {:?}", indexes.as_slice()).into())
        })?;
        Walk::new(self.memory_max).message(&message, data)?;
        let read = caught(|| DynamicMessage::decode(message, data));
        let read = read.map_err(|panic| DeserializeError::Data(panic.into()))?;
        read.map_err(|why| DeserializeError::Data(why.into()))
    }
}

impl Deserializer for Protobuf {
    type Output = Option<DynamicMessage>;
    type Error = DeserializeError;

    fn deserialize_field(&self, field: &Serialized<'_>) -> Result<Option<DynamicMessage>, DeserializeError> {
        let Some(framed) = self.registered.frame(field)? else { return Ok(None) };
        let (indexes, data) = framed.message()?;
        let schema = self.registered.schema(&framed, &SchemaType::Protobuf)?;
        self.read(&schema, &indexes, data).map(Some)
    }

    prepares!();
}

/// The message at this path of the file.
fn message(file: &FileDescriptor, indexes: &MessageIndexes) -> Option<MessageDescriptor> {
    let at = |index: &u32| usize::try_from(*index).ok();
    let (first, within) = indexes.as_slice().split_first()?;
    let outermost = file.messages().nth(at(first)?)?;
    within.iter().try_fold(outermost, |outer, index| outer.child_messages().nth(at(index)?))
}
