//! Bytes to the types of a program. A record that does not parse is data, not an exception: it stops nothing.

use std::error::Error as StdError;

use super::{Consumer, OwnedRecord};
use crate::error::RecvError;

/// Makes a value of bytes. `None` is a null: no key, or a tombstone.
pub trait Deserializer {
    /// What it makes.
    type Output;
    /// Why it cannot.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// The value of a key, or of a value, in a record of `topic`.
    ///
    /// # Errors
    ///
    /// Whatever keeps the bytes from being such a value: the record is a [`Poison`] then.
    fn deserialize(&self, topic: &str, bytes: Option<&[u8]>) -> Result<Self::Output, Self::Error>;
}

/// A copy of the bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bytes;

impl Deserializer for Bytes {
    type Output = Option<Vec<u8>>;
    type Error = std::convert::Infallible;

    fn deserialize(&self, _topic: &str, bytes: Option<&[u8]>) -> Result<Self::Output, Self::Error> {
        Ok(bytes.map(<[u8]>::to_vec))
    }
}

/// Text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8;

impl Deserializer for Utf8 {
    type Output = Option<String>;
    type Error = std::str::Utf8Error;

    fn deserialize(&self, _topic: &str, bytes: Option<&[u8]>) -> Result<Self::Output, Self::Error> {
        bytes.map(|bytes| std::str::from_utf8(bytes).map(str::to_owned)).transpose()
    }
}

impl<O, E, F> Deserializer for F
where
    F: Fn(&str, Option<&[u8]>) -> Result<O, E>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    type Output = O;
    type Error = E;

    fn deserialize(&self, topic: &str, bytes: Option<&[u8]>) -> Result<O, E> {
        self(topic, bytes)
    }
}

/// A record with its key and value deserialized.
#[derive(Debug, Clone)]
pub struct TypedRecord<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// Everything else.
    pub record: OwnedRecord,
}

/// A record that does not parse: its raw form, and why.
#[derive(Debug)]
pub struct Poison {
    raw: OwnedRecord,
    part: &'static str,
    error: Box<dyn StdError + Send + Sync>,
}

impl Poison {
    /// The record as it was fetched.
    pub fn raw(&self) -> &OwnedRecord {
        &self.raw
    }

    /// Its offset in its partition.
    pub fn offset(&self) -> i64 {
        self.raw.offset()
    }

    /// Why it does not parse.
    pub fn error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self.error.as_ref()
    }
}

impl std::fmt::Display for Poison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (at, offset) = (self.raw.topic_partition(), self.raw.offset());
        write!(f, "{at}@{offset}: its {} does not parse: {}", self.part, self.error)
    }
}

/// A consumer seen through deserializers: see [`Consumer::typed`].
#[derive(Debug)]
pub struct TypedConsumer<'a, K, V> {
    consumer: &'a mut Consumer,
    key: K,
    value: V,
}

impl<'a, K: Deserializer, V: Deserializer> TypedConsumer<'a, K, V> {
    pub(super) fn new(consumer: &'a mut Consumer, key: K, value: V) -> Self {
        Self { consumer, key, value }
    }

    /// As [`Consumer::recv`]: the outer error is the consumer's, the inner one a record's that does not parse.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`].
    pub async fn recv(
        &mut self,
    ) -> Result<Option<Result<TypedRecord<K::Output, V::Output>, Poison>>, RecvError> {
        let Some(record) = self.consumer.recv().await? else { return Ok(None) };
        let topic = record.topic();
        let key = self.key.deserialize(topic, record.key()).map_err(|error| ("key", error.into()));
        let value = self.value.deserialize(topic, record.value()).map_err(|error| ("value", error.into()));
        Ok(Some(match (key, value) {
            (Ok(key), Ok(value)) => Ok(TypedRecord { key, value, record }),
            (Err((part, error)), _) | (_, Err((part, error))) => Err(Poison { raw: record, part, error }),
        }))
    }

    /// The consumer itself.
    pub fn consumer(&mut self) -> &mut Consumer {
        self.consumer
    }
}
