//! Bytes to the types of a program. A record that does not parse is data, not an exception: it stops nothing.

use std::{error::Error as StdError, fmt, future::Future, pin::Pin};

use ottla_core::wire_format::Field;
use ottla_protocol::{
    DecodeError,
    records::{Header, Headers},
};

use super::OwnedRecord;

/// Makes a value of bytes: of a record's key, or of its value.
///
/// [`RawBytes`], [`Utf8`] and [`BigEndian`](super::BigEndian) are such; with the features `json` and `uuid`, `Json<T>` and
/// `UuidText`. A function is one too:
///
/// ```
/// use ottla::Deserializer;
///
/// /// A price in cents, as text.
/// fn cents(_topic: &str, bytes: Option<&[u8]>) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
///     Ok(std::str::from_utf8(bytes.ok_or("no price")?)?.parse()?)
/// }
///
/// assert_eq!(cents.deserialize("orders", Some(b"995")).unwrap(), 995);
/// ```
pub trait Deserializer {
    /// What it makes.
    type Output;
    /// Why it cannot.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// The value of a key, or of a value, in a record of `topic`. `None` is a null: no key, or a tombstone.
    ///
    /// # Errors
    ///
    /// Why the bytes are none. The record is then [`Poison`].
    fn deserialize(&self, topic: &str, bytes: Option<&[u8]>) -> Result<Self::Output, Self::Error>;

    /// As [`deserialize`](Self::deserialize), with all that the record says of the bytes. By default the headers are not looked at.
    ///
    /// # Errors
    ///
    /// As [`deserialize`](Self::deserialize).
    fn deserialize_field(&self, field: &Serialized<'_>) -> Result<Self::Output, Self::Error> {
        self.deserialize(field.topic, field.bytes)
    }

    /// What is to be awaited before, so that [`deserialize_field`](Self::deserialize_field) need not block: `None` by default, as
    /// bytes are all that most need. One that looks schemas up in a registry has it where the schema is not known yet.
    fn prepare(&self, field: &Serialized<'_>) -> Option<Preparing<Self::Error>> {
        _ = field;
        None
    }

    /// Whether the same bytes may become a value later: what is needed beside them could not be had. By default never.
    fn is_retriable(&self, error: &Self::Error) -> bool {
        _ = error;
        false
    }
}

/// What [`Deserializer::prepare`] returns.
pub type Preparing<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;

/// A key or a value as it stands in its record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Serialized<'a> {
    /// The record's topic.
    pub topic: &'a str,
    /// Which of the two it is.
    pub field: Field,
    /// Its bytes. `None` is a null: no key, or a tombstone.
    pub bytes: Option<&'a [u8]>,
    headers: Option<Headers<'a>>,
}

impl<'a> Serialized<'a> {
    /// Bytes of no record: without headers.
    pub const fn new(topic: &'a str, field: Field, bytes: Option<&'a [u8]>) -> Self {
        Self { topic, field, bytes, headers: None }
    }

    /// The record's headers.
    pub fn headers(&self) -> impl Iterator<Item = Result<Header<'a>, DecodeError>> + use<'a> {
        self.headers.clone().into_iter().flatten()
    }
}

impl OwnedRecord {
    /// The key or the value, for a [`Deserializer`].
    pub fn serialized(&self, field: Field) -> Serialized<'_> {
        let bytes = match field {
            Field::Key => self.key(),
            Field::Value => self.value(),
        };
        Serialized { topic: self.topic(), field, bytes, headers: Some(self.headers()) }
    }
}

/// A copy of the bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawBytes;

impl Deserializer for RawBytes {
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

/// Makes a typed record of a fetched one: a pair of [`Deserializer`]s, for its key and its value, or a function of the
/// whole record, which makes the value and leaves the key at `()`.
///
/// A [`TypedConsumer`](super::TypedConsumer) calls it. Whoever has a [`Reader`](super::Reader), or the records of a
/// `poll`, may call it by themself.
pub trait RecordDeserializer {
    /// What it makes of the key.
    type Key;
    /// What it makes of the value.
    type Value;

    /// The record with its key and value deserialized.
    ///
    /// # Errors
    ///
    /// [`Poison`]: the record, and why it does not parse.
    fn deserialize_record(&self, record: OwnedRecord) -> Parsed<Self>;
}

/// What a [`RecordDeserializer`] makes of a record: a typed one, or [`Poison`].
pub type Parsed<D> =
    Result<TypedRecord<<D as RecordDeserializer>::Key, <D as RecordDeserializer>::Value>, Poison>;

impl<K: Deserializer, V: Deserializer> RecordDeserializer for (K, V) {
    type Key = K::Output;
    type Value = V::Output;

    fn deserialize_record(&self, record: OwnedRecord) -> Parsed<Self> {
        let key = self.0.deserialize_field(&record.serialized(Field::Key));
        let value = self.1.deserialize_field(&record.serialized(Field::Value));
        match (key, value) {
            (Ok(key), Ok(value)) => Ok(TypedRecord { key, value, record }),
            (Err(error), _) => Err(Poison { raw: record, what: "its key", error: error.into() }),
            (_, Err(error)) => Err(Poison { raw: record, what: "its value", error: error.into() }),
        }
    }
}

impl<T, E, F> RecordDeserializer for F
where
    F: Fn(&OwnedRecord) -> Result<T, E>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    type Key = ();
    type Value = T;

    fn deserialize_record(&self, record: OwnedRecord) -> Parsed<Self> {
        match self(&record) {
            Ok(value) => Ok(TypedRecord { key: (), value, record }),
            Err(error) => Err(Poison::new(record, error)),
        }
    }
}

/// A record with its key and value deserialized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedRecord<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// The record as it was fetched, with everything else: its offset, its timestamp, its headers.
    pub record: OwnedRecord,
}

/// A record that does not parse: its raw form, and why.
#[derive(Debug)]
pub struct Poison {
    pub(super) raw: OwnedRecord,
    /// As the text names it.
    what: &'static str,
    error: Box<dyn StdError + Send + Sync>,
}

impl Poison {
    /// A record that does not parse, and why: for those who write a [`RecordDeserializer`].
    pub fn new(raw: OwnedRecord, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { raw, what: "it", error: error.into() }
    }

    /// The record as it was fetched.
    pub fn raw(&self) -> &OwnedRecord {
        &self.raw
    }

    /// The record as it was fetched, to be kept.
    pub fn into_raw(self) -> OwnedRecord {
        self.raw
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

impl fmt::Display for Poison {
    /// The text of the error behind it follows in the alternate form (`{:#}`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, offset) = (self.raw.topic_partition(), self.raw.offset());
        write!(f, "{at}@{offset}: {} does not parse", self.what)?;
        let mut next = self.source().filter(|_| f.alternate());
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}

impl StdError for Poison {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.error.as_ref())
    }
}
