//! Why bytes could not be read, and where.

use std::fmt;

/// Bytes that are not what they should be: which field, at which offset of the frame, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DecodeError {
    /// The innermost field that was being read; empty where the bytes belong to no named field.
    pub field: &'static str,
    /// Where in the frame the value begins that could not be read.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum DecodeErrorKind {
    /// More bytes are announced, or required, than there are.
    Truncated {
        /// How many bytes the value needs, at the least.
        needed: usize,
        /// How many are left.
        remaining: usize,
    },
    /// A negative length where none is allowed.
    NegativeLength(i64),
    /// A variable-length integer longer than its type.
    VarintTooLong,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Null in a version of the field that has none.
    UnexpectedNull,
    /// Bytes remain after the last field.
    TrailingBytes(usize),
    /// No such API key or version is known here.
    UnknownApi {
        /// The request's `api_key`.
        key: i16,
        /// The request's `api_version`.
        version: i16,
    },
    /// A record batch with a magic other than 2.
    UnsupportedMagic(i8),
    /// A record batch whose compression has a number that Kafka does not define.
    UnknownCompression(u8),
    /// A record batch whose CRC-32C is not that of its bytes.
    CrcMismatch {
        /// What the batch says.
        expected: u32,
        /// What its bytes give.
        actual: u32,
    },
    /// Compressed bytes that cannot be decompressed.
    Decompression,
    /// Decompressed bytes beyond the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A value that contradicts another; the text says which.
    Inconsistent(&'static str),
}

impl DecodeError {
    /// Names the field, unless an inner one is named already.
    #[must_use]
    pub fn in_field(mut self, field: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "`{}` ", self.field)?;
        }
        write!(f, "at byte {}: {}", self.offset, self.kind)
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, remaining } => write!(f, "needs {needed} bytes, {remaining} remain"),
            Self::NegativeLength(length) => write!(f, "negative length {length}"),
            Self::VarintTooLong => f.write_str("variable-length integer too long"),
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
            Self::UnexpectedNull => f.write_str("null where none is allowed"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes after the last field"),
            Self::UnknownApi { key, version } => write!(f, "unknown API key {key} version {version}"),
            Self::UnsupportedMagic(magic) => write!(f, "record batch magic {magic}, only 2 is supported"),
            Self::UnknownCompression(codec) => write!(f, "unknown compression {codec}"),
            Self::CrcMismatch { expected, actual } => {
                write!(f, "CRC-32C is {actual:#010x}, the batch says {expected:#010x}")
            }
            Self::Decompression => f.write_str("compressed bytes are damaged"),
            Self::TooLarge { limit } => write!(f, "decompresses to more than {limit} bytes"),
            Self::Inconsistent(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DecodeError {}
