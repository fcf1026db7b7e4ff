//! Types that stand in messages.

use std::{fmt, ops::Range};

use super::{DecodeError, DecodeErrorKind, Reader, Version, Writable, put_unsigned_varint};
use crate::{
    ErrorCode,
    records::{ClosedBatch, Compressor},
};

/// A value that can be written into and read from a message.
pub trait Wire: Sized {
    /// The type's name in Kafka's schema files; for an array that of its elements.
    const TYPE: TypeName;

    /// The fewest bytes that a value takes in this version: what bounds an array before it is allocated.
    fn min_size(v: Version) -> usize;

    /// Appends the value.
    fn encode<W: Writable>(&self, out: &mut W, v: Version);

    /// Reads a value.
    fn decode(r: &mut Reader<'_>, v: Version) -> Result<Self, DecodeError>;
}

/// A type as Kafka's schema files name it.
#[derive(Debug, Clone, Copy)]
pub enum TypeName {
    /// `int32`, `string`, `records`, ...
    Primitive(&'static str),
    /// A structure of its own.
    Struct(&'static super::StructSchema),
    /// An array of such.
    Array(&'static TypeName),
    /// One of those, or null.
    Nullable(&'static TypeName),
}

/// What can be null: written in its place where the version allows it, and as an empty value where not.
pub(crate) trait Nullable: Wire {
    /// The fewest bytes where null is possible.
    fn least_size(v: Version) -> usize {
        Self::min_size(v)
    }
    fn encode_some<W: Writable>(&self, out: &mut W, v: Version) {
        self.encode(out, v);
    }
    fn encode_null(out: &mut Vec<u8>, v: Version);
    fn decode_nullable(r: &mut Reader<'_>, v: Version) -> Result<Option<Self>, DecodeError>;
}

macro_rules! integers {
    ($($ty:ty = $name:literal),*) => {$(
        impl Wire for $ty {
            const TYPE: TypeName = TypeName::Primitive($name);
            fn min_size(_: Version) -> usize {
                size_of::<$ty>()
            }
            fn encode<W: Writable>(&self, out: &mut W, _: Version) {
                out.bytes().extend_from_slice(&self.to_be_bytes());
            }
            fn decode(r: &mut Reader<'_>, _: Version) -> Result<Self, DecodeError> {
                Ok(<$ty>::from_be_bytes(r.array()?))
            }
        }
    )*};
}
integers!(i8 = "int8", i16 = "int16", u16 = "uint16", i32 = "int32", i64 = "int64", f64 = "float64");

impl Wire for bool {
    const TYPE: TypeName = TypeName::Primitive("bool");
    fn min_size(_: Version) -> usize {
        1
    }
    fn encode<W: Writable>(&self, out: &mut W, _: Version) {
        out.bytes().push(u8::from(*self));
    }
    fn decode(r: &mut Reader<'_>, _: Version) -> Result<Self, DecodeError> {
        Ok(r.array::<1>()? != [0])
    }
}

impl Wire for ErrorCode {
    const TYPE: TypeName = i16::TYPE;
    fn min_size(_: Version) -> usize {
        2
    }
    fn encode<W: Writable>(&self, out: &mut W, v: Version) {
        self.code().encode(out, v);
    }
    fn decode(r: &mut Reader<'_>, v: Version) -> Result<Self, DecodeError> {
        i16::decode(r, v).map(Self::from_code)
    }
}

/// A topic's id (KIP-516); all zeros where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// No topic's id.
    pub const ZERO: Self = Self([0; 16]);
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A client's id for the metrics that it pushes (KIP-714): a broker gives it, and it lasts as long as the client. All zeros where
/// there is none yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClientInstanceId(pub [u8; 16]);

impl ClientInstanceId {
    /// No client's id.
    pub const ZERO: Self = Self([0; 16]);
}

/// As Java and Kafka's tools write it: base64 in the alphabet of URLs, without padding.
impl fmt::Display for ClientInstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for three in self.0.chunks(3) {
            let bits =
                three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for letter in 0..=three.len() {
                let six = (bits >> (18 - 6 * letter)) & 63;
                write!(f, "{}", LETTERS.get(six as usize).map_or('A', |letter| char::from(*letter)))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ClientInstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientInstanceId({self})")
    }
}

macro_rules! uuid {
    ($($ty:ident),*) => {$(
        impl Wire for $ty {
            const TYPE: TypeName = TypeName::Primitive("uuid");
            fn min_size(_: Version) -> usize {
                16
            }
            fn encode<W: Writable>(&self, out: &mut W, _: Version) {
                out.bytes().extend_from_slice(&self.0);
            }
            fn decode(r: &mut Reader<'_>, _: Version) -> Result<Self, DecodeError> {
                r.array().map(Self)
            }
        }
    )*};
}

uuid!(TopicId, ClientInstanceId);

/// The width of a length in the versions before KIP-482: two bytes for text, four for the rest.
#[derive(Clone, Copy)]
enum Width {
    Two,
    Four,
}

fn put_length(out: &mut Vec<u8>, length: Option<usize>, width: Width, flexible: bool) {
    match (flexible, width) {
        (true, _) => put_unsigned_varint(out, length.map_or(0, |length| length as u32 + 1)),
        (false, Width::Two) => out.extend_from_slice(&length.map_or(-1, |l| l as i16).to_be_bytes()),
        (false, Width::Four) => out.extend_from_slice(&length.map_or(-1, |l| l as i32).to_be_bytes()),
    }
}

/// A length, `None` for null. Nothing is promised about the bytes behind it.
fn length(r: &mut Reader<'_>, width: Width, v: Version) -> Result<Option<usize>, DecodeError> {
    let start = r.clone();
    let length = match (v.flexible, width) {
        (true, _) => i64::from(r.unsigned_varint()?) - 1,
        (false, Width::Two) => i64::from(i16::decode(r, v)?),
        (false, Width::Four) => i64::from(i32::decode(r, v)?),
    };
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length != -1 => Err(start.error(DecodeErrorKind::NegativeLength(length))),
        Err(_) if !v.nullable => Err(start.error(DecodeErrorKind::UnexpectedNull)),
        Err(_) => Ok(None),
    }
}

const fn length_size(width: Width, v: Version) -> usize {
    match (v.flexible, width) {
        (true, _) => 1,
        (false, Width::Two) => 2,
        (false, Width::Four) => 4,
    }
}

/// A type with a length in front: how wide, and how its content is written.
macro_rules! with_length {
    ($ty:ty, $type_name:expr, $width:expr $(, $generic:ident)?, |$value:ident, $out:ident, $v:ident| $encode:expr, |$r:ident, $len:ident| $decode:expr) => {
        impl$(<$generic: Wire>)? Wire for $ty {
            const TYPE: TypeName = $type_name;
            fn min_size(v: Version) -> usize {
                length_size($width, v)
            }
            fn encode<W: Writable>(&self, $out: &mut W, $v: Version) {
                put_length($out.bytes(), Some(self.len()), $width, $v.flexible);
                let $value = self;
                $encode
            }
            fn decode(r: &mut Reader<'_>, v: Version) -> Result<Self, DecodeError> {
                let missing = r.error(DecodeErrorKind::UnexpectedNull);
                Self::decode_nullable(r, v.element())?.ok_or(missing)
            }
        }
        impl$(<$generic: Wire>)? Nullable for $ty {
            fn encode_null(out: &mut Vec<u8>, v: Version) {
                put_length(out, if v.nullable { None } else { Some(0) }, $width, v.flexible);
            }
            fn decode_nullable($r: &mut Reader<'_>, $v: Version) -> Result<Option<Self>, DecodeError> {
                let Some($len) = length($r, $width, $v)? else { return Ok(None) };
                $decode.map(Some)
            }
        }
    };
}

with_length!(
    String,
    TypeName::Primitive("string"),
    Width::Two,
    |text, out, _v| out.bytes().extend_from_slice(text.as_bytes()),
    |r, len| {
        let bad = r.error(DecodeErrorKind::NotUtf8);
        str::from_utf8(r.take(len)?).map(str::to_owned).map_err(|_| bad)
    }
);
with_length!(
    Vec<u8>,
    TypeName::Primitive("bytes"),
    Width::Four,
    |bytes, out, _v| out.bytes().extend_from_slice(bytes),
    |r, len| r.take(len).map(<[u8]>::to_vec)
);
with_length!(
    RecordData,
    TypeName::Primitive("records"),
    Width::Four,
    |records, out, _v| out.put_records(records),
    |r, len| {
        let start = r.offset();
        r.take(len).map(|_| RecordData::InFrame(start as u32..(start + len) as u32))
    }
);
with_length!(
    Vec<T>,
    TypeName::Array(&T::TYPE),
    Width::Four,
    T,
    |items, out, v| for item in items {
        item.encode(out, v.element())
    },
    |r, len| elements(r, len, v.element())
);

fn elements<T: Wire>(r: &mut Reader<'_>, count: usize, v: Version) -> Result<Vec<T>, DecodeError> {
    let least = T::min_size(v).max(1);
    let (needed, remaining) = (count.saturating_mul(least), r.remaining());
    if needed > remaining {
        return Err(r.error(DecodeErrorKind::Truncated { needed, remaining }));
    }
    let mut items = Vec::with_capacity(count);
    for later in (0..count).rev() {
        // What is reserved for the later elements must not be believed a second time by an array in this one.
        items.push(r.leaving(later * least, |r| T::decode(r, v))?);
    }
    Ok(items)
}

impl<T: Nullable> Wire for Option<T> {
    const TYPE: TypeName = TypeName::Nullable(&T::TYPE);
    fn min_size(v: Version) -> usize {
        T::least_size(v)
    }
    fn encode<W: Writable>(&self, out: &mut W, v: Version) {
        match self {
            Some(value) => value.encode_some(out, v),
            None => T::encode_null(out.bytes(), v),
        }
    }
    fn decode(r: &mut Reader<'_>, v: Version) -> Result<Self, DecodeError> {
        T::decode_nullable(r, v)
    }
}

/// Record batches in a message: read, they stay where they are in the frame; to be written, they are owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordData {
    /// A range of the frame that the message was read from.
    InFrame(Range<u32>),
    /// Batches to be written.
    Owned(Vec<u8>),
    /// A batch to be written that has no bytes yet. It is written as it is, unless it is [sealed](Self::seal) before.
    Closed(ClosedBatch),
}

impl Default for RecordData {
    fn default() -> Self {
        Self::Owned(Vec::new())
    }
}

impl RecordData {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::InFrame(range) => range.len(),
            Self::Owned(bytes) => bytes.len(),
            Self::Closed(batch) => batch.size_estimate(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batches, given the frame that the message was read from. None of a closed batch, which is not sealed yet.
    pub fn bytes<'a>(&'a self, frame: &'a [u8]) -> &'a [u8] {
        match self {
            Self::InFrame(range) => frame.get(range.start as usize..range.end as usize).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
            Self::Closed(_) => &[],
        }
    }

    /// Appends the batches.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Closed(batch) => batch.append_plain(out),
            Self::Owned(bytes) => out.extend_from_slice(bytes),
            Self::InFrame(_) => debug_assert!(false, "a range is of the frame it was read from"),
        }
    }

    /// Appends what cannot be sent from where it lies: a closed batch's header.
    pub(super) fn append_head_to(&self, out: &mut Vec<u8>) {
        if let Self::Closed(batch) = self {
            out.extend_from_slice(&batch.plain_header());
        }
    }

    /// What is behind that.
    pub(super) fn tail(&self) -> &[u8] {
        match self {
            Self::Closed(batch) => batch.record_bytes(),
            Self::Owned(bytes) => bytes,
            Self::InFrame(_) => &[],
        }
    }

    /// Compresses a closed batch by its codec, which takes long.
    pub fn seal(&mut self, compressor: &mut Compressor) {
        if let Self::Closed(batch) = self {
            *self = Self::Owned(batch.seal(compressor));
        }
    }
}
