//! Avro in Confluent's wire format.

mod walk;

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

pub use apache_avro;
use apache_avro::{
    from_value,
    reader::datum::GenericDatumReader,
    schema::{ResolvedSchema, Schema as Parsed},
    types::Value,
};
use ottla_core::caught;
use serde::de::DeserializeOwned;

use self::walk::Walk;
use super::{
    DeserializeError, Schema, SchemaRegistry, SchemaType,
    registered::{Registered, prepares, registered},
};
use crate::consumer::{Deserializer, Preparing, Serialized};

/// A schema that is parsed once, or why it is none.
pub(super) type Once = OnceLock<Result<Writer, String>>;

/// A parsed schema, with those that it refers to.
#[derive(Debug)]
pub(super) struct Writer {
    schema: Parsed,
    others: Vec<Parsed>,
}

impl Writer {
    fn of(schema: &Schema) -> Result<&Self, DeserializeError> {
        let parsed = schema.avro.get_or_init(|| {
            let others = schema.references.iter().map(|other| &other.text);
            let parsed = caught(|| Parsed::parse_str_with_list(&schema.text, others))?;
            parsed.map(|(schema, others)| Self { schema, others }).map_err(|why| why.to_string())
        });
        parsed.as_ref().map_err(|why| DeserializeError::Schema(why.clone().into()))
    }

    /// The datum, of which nothing is left over.
    fn read(&self, data: &[u8], reader: Option<&Parsed>, limits: Limits) -> Result<Value, DeserializeError> {
        let damaged = |why: apache_avro::Error| DeserializeError::Data(why.into());
        // Written as it is, without its length, where it is the whole schema.
        if self.schema == Parsed::Bytes {
            let value = Value::Bytes(data.to_vec());
            return match reader {
                Some(reader) => value.resolve(reader).map_err(damaged),
                None => Ok(value),
            };
        }
        let unusable = |why: apache_avro::Error| DeserializeError::Schema(why.into());
        // Each before its users.
        let all = self.others.iter().chain([&self.schema]).collect();
        let resolved = ResolvedSchema::new_with_schemata(all).map_err(unusable)?;
        Walk::new(data, &resolved, limits).whole(&self.schema)?;
        let by = GenericDatumReader::builder(&self.schema).resolved_writer_schemata(resolved);
        let by = by.maybe_reader_schema(reader).build().map_err(unusable)?;
        by.read_value(&mut &*data).map_err(damaged)
    }
}

/// What the library reads within the 2 MB of stack that a thread has.
const DEEPEST: usize = 32;

/// What a datum may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    depth: usize,
    memory: usize,
}

/// Any value of Avro, as the library [`apache_avro`] has it. A null record, or field, is `None`.
///
/// A datum is looked at before it is read: it may be nested 24 deep, and take 64 MiB of memory, and nothing may be left over behind it
/// (Java and Python ignore that). Otherwise the record does not parse. A top-level `bytes` is the payload as it is. The logical type
/// `big-decimal` is not read.
///
/// A [`TypedConsumer`](crate::TypedConsumer) blocks its thread for a schema that is not known yet, for
/// [`total_timeout`](super::SchemaRegistryBuilder::total_timeout) at the most;
/// [`Message::value_as`](crate::processor::Message::value_as) does not.
#[derive(Clone)]
pub struct AvroValue {
    registered: Registered,
    reader: Option<Arc<Parsed>>,
    limits: Limits,
}

impl AvroValue {
    /// Makes values as they were written.
    pub fn new(registry: SchemaRegistry) -> Self {
        let registered = Registered::new(registry);
        Self { registered, reader: None, limits: Limits { depth: 24, memory: 64 << 20 } }
    }

    registered!();

    /// Makes values of this schema, whatever they were written with: by Avro's rules of resolution as the library has them, which
    /// does not follow a field's alias, and does not compare the names of records.
    #[must_use]
    pub fn reader_schema(mut self, schema: Parsed) -> Self {
        self.reader = Some(Arc::new(schema));
        self
    }

    /// How deep a datum may be nested: each record, array, map and union counts. Default 24, 32 at the most: the
    /// library takes up to 47 KB of the stack for each in a build without optimization, of 2 MB that a thread has.
    #[must_use]
    pub fn depth_max(mut self, levels: usize) -> Self {
        self.limits.depth = levels.min(DEEPEST);
        self
    }

    /// How much memory a datum may take, in bytes: estimated, from above. Default 64 MiB.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.limits.memory = bytes;
        self
    }

    fn read(&self, field: &Serialized<'_>) -> Result<Option<Value>, DeserializeError> {
        let Some(framed) = self.registered.frame(field)? else { return Ok(None) };
        let data = framed.data()?;
        let schema = self.registered.schema(&framed, &SchemaType::Avro)?;
        let writer = Writer::of(&schema)?;
        let value = caught(|| writer.read(data, self.reader.as_deref(), self.limits));
        value.unwrap_or_else(|panic| Err(DeserializeError::Data(panic.into()))).map(Some)
    }
}

impl Deserializer for AvroValue {
    type Output = Option<Value>;
    type Error = DeserializeError;

    fn deserialize_field(&self, field: &Serialized<'_>) -> Result<Option<Value>, DeserializeError> {
        self.read(field)
    }

    prepares!();
}

impl fmt::Debug for AvroValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvroValue").field("registered", &self.registered).finish_non_exhaustive()
    }
}

/// Avro, to a type of the program by serde. As [`AvroValue`], which may be given settings first: `Avro::from(values)`.
pub struct Avro<T> {
    values: AvroValue,
    value: PhantomData<fn() -> T>,
}

impl<T> Avro<T> {
    /// Makes `T`s of values as they were written.
    pub fn new(registry: SchemaRegistry) -> Self {
        AvroValue::new(registry).into()
    }
}

impl<T> From<AvroValue> for Avro<T> {
    fn from(values: AvroValue) -> Self {
        Self { values, value: PhantomData }
    }
}

impl<T: DeserializeOwned> Deserializer for Avro<T> {
    type Output = Option<T>;
    type Error = DeserializeError;

    fn deserialize(&self, topic: &str, bytes: Option<&[u8]>) -> Result<Option<T>, DeserializeError> {
        self.typed(self.values.deserialize(topic, bytes)?)
    }

    fn deserialize_field(&self, field: &Serialized<'_>) -> Result<Option<T>, DeserializeError> {
        self.typed(self.values.read(field)?)
    }

    fn prepare(&self, field: &Serialized<'_>) -> Option<Preparing<DeserializeError>> {
        self.values.prepare(field)
    }

    fn is_retriable(&self, error: &DeserializeError) -> bool {
        error.is_retriable()
    }
}

impl<T: DeserializeOwned> Avro<T> {
    #[expect(clippy::unused_self, reason = "it says what `T` is")]
    fn typed(&self, value: Option<Value>) -> Result<Option<T>, DeserializeError> {
        let value = value.map(|value| from_value(&value)).transpose();
        value.map_err(|why| DeserializeError::Data(why.into()))
    }
}

// Derived, these would ask the same of `T`.

impl<T> Clone for Avro<T> {
    fn clone(&self) -> Self {
        self.values.clone().into()
    }
}

impl<T> fmt::Debug for Avro<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Avro").field("values", &self.values).finish()
    }
}
