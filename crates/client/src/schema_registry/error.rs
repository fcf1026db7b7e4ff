//! Why there is no schema, or no value.

use std::{error::Error as StdError, fmt, sync::Arc};

use ottla_core::wire_format::WireFormatError;
#[cfg(any(feature = "avro", feature = "protobuf"))]
use ottla_protocol::codec::{DecodeError, DecodeErrorKind};

use super::SchemaType;

/// Why a schema could not be had.
#[derive(Debug, Clone)]
pub struct SchemaRegistryError(Arc<Facts>);

#[derive(Debug, Clone)]
struct Facts {
    kind: SchemaRegistryErrorKind,
    url: String,
    status: Option<u16>,
    error_code: Option<i64>,
    why: String,
}

/// What to match on in a [`SchemaRegistryError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchemaRegistryErrorKind {
    /// The registry cannot be reached, does not answer in time, or answers that it cannot now (408, 425, 429, 500, 502, 503, 504).
    /// It was asked again until the total time was up.
    Unavailable,
    /// It does not know who asks, or does not let them (401, 403).
    Unauthorized,
    /// It has no such schema, or lacks one that the schema refers to (404, with the registry's own error code).
    NotFound,
    /// There is no such thing at that address (404 without a registry's error code): the address is wrong, or the registry does
    /// not know GUIDs, as Apicurio's.
    NoEndpoint,
    /// It refuses in another way: another status, a redirection, or a certificate that is not trusted.
    Refused,
    /// Its answer is none that a registry gives.
    Malformed,
    /// The answer is longer than is read, or the schema refers to too many others, or too deep.
    TooLarge,
    /// So many other schemas are being asked for that this one is not, now.
    Busy,
}

impl SchemaRegistryError {
    pub(super) fn new(kind: SchemaRegistryErrorKind, url: &str, why: impl Into<String>) -> Self {
        let (url, why) = (url.to_owned(), why.into());
        Self(Arc::new(Facts { kind, url, status: None, error_code: None, why }))
    }

    pub(super) fn answered(mut self, status: u16, error_code: Option<i64>) -> Self {
        let facts = Arc::make_mut(&mut self.0);
        (facts.status, facts.error_code) = (Some(status), error_code);
        self
    }

    /// What to match on.
    pub fn kind(&self) -> SchemaRegistryErrorKind {
        self.0.kind
    }

    /// What was asked.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The HTTP status, where it answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The registry's own code, such as 40403, where its answer had one.
    pub fn error_code(&self) -> Option<i64> {
        self.0.error_code
    }

    /// Whether a record with this schema may be read later: the registry, or how it is asked, was in the way, and not the record.
    pub fn is_retriable(&self) -> bool {
        use SchemaRegistryErrorKind as Kind;
        !matches!(self.0.kind, Kind::NotFound | Kind::TooLarge)
    }
}

impl fmt::Display for SchemaRegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { url, status, error_code, why, .. } = &*self.0;
        write!(f, "{url}: ")?;
        if let Some(status) = status {
            write!(f, "HTTP status {status}, ")?;
        }
        if let Some(code) = error_code {
            write!(f, "error {code}, ")?;
        }
        f.write_str(why)
    }
}

impl StdError for SchemaRegistryError {}

type Source = Box<dyn StdError + Send + Sync>;

/// Why bytes in Confluent's wire format are no value. Its text leaves out that of its `source()`.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeserializeError {
    /// They are not in the wire format.
    WireFormat(WireFormatError),
    /// Their schema could not be had.
    Registry(SchemaRegistryError),
    /// Their schema is one of another type.
    OtherType(SchemaType),
    /// Their schema is none that can be worked with.
    Schema(Source),
    /// The data are not what the schema says.
    Data(Source),
    /// The data are nested deeper, or would take more memory, than is allowed.
    TooLarge(&'static str),
}

impl DeserializeError {
    /// Whether the same bytes may become a value later: [`SchemaRegistryError::is_retriable`] where that is why, otherwise never.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_retriable())
    }
}

/// The data are not what the schema says.
#[cfg(any(feature = "avro", feature = "protobuf"))]
pub(super) fn damaged(why: &str) -> DeserializeError {
    DeserializeError::Data(why.into())
}

/// The bytes, or a number in them, end where they must not.
#[cfg(any(feature = "avro", feature = "protobuf"))]
pub(super) fn unreadable(error: DecodeError) -> DeserializeError {
    damaged(match error.kind {
        DecodeErrorKind::VarintTooLong => "a number does not end",
        _ => "they end too early",
    })
}

impl fmt::Display for DeserializeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WireFormat(_) => f.write_str("the bytes are not in Confluent's wire format"),
            Self::Registry(_) => f.write_str("the schema could not be had"),
            Self::OtherType(found) => write!(f, "the schema is one of {found}"),
            Self::Schema(_) => f.write_str("the schema is damaged"),
            Self::Data(_) => f.write_str("the data are not what the schema says"),
            Self::TooLarge(what) => f.write_str(what),
        }
    }
}

impl StdError for DeserializeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::WireFormat(error) => Some(error),
            Self::Registry(error) => Some(error),
            Self::Schema(error) | Self::Data(error) => Some(&**error),
            Self::OtherType(_) | Self::TooLarge(_) => None,
        }
    }
}

impl From<WireFormatError> for DeserializeError {
    fn from(error: WireFormatError) -> Self {
        Self::WireFormat(error)
    }
}

impl From<SchemaRegistryError> for DeserializeError {
    fn from(error: SchemaRegistryError) -> Self {
        Self::Registry(error)
    }
}
