//! Numbers, truth values and UUIDs as Java's serializers write them.

use std::{error::Error as StdError, fmt, marker::PhantomData};

use super::Deserializer;

/// A number, or a `bool`, as Java's `ShortSerializer`, `IntegerSerializer`, `LongSerializer`, `FloatSerializer`,
/// `DoubleSerializer` and `BooleanSerializer` write it: `i16`, `i32`, `i64`, `f32`, `f64`, `bool`. A null is `None`.
///
/// ```
/// use ottla::{BigEndian, Deserializer};
///
/// let long = BigEndian::<i64>::new();
/// assert_eq!(long.deserialize("orders", Some(&[0, 0, 0, 0, 0, 0, 1, 0])).unwrap(), Some(256));
/// assert_eq!(long.deserialize("orders", None).unwrap(), None);
/// assert_eq!(long.deserialize("orders", Some(b"256")).unwrap_err().to_string(), "3 bytes, where a long has 8");
/// ```
pub struct BigEndian<T>(PhantomData<fn() -> T>);

/// What [`BigEndian`] makes. Nobody else implements it.
pub trait JavaNumber: Sized + sealed::Sealed {
    /// Java's name for it, with its article.
    #[doc(hidden)]
    const NAME: &'static str;
    /// How many bytes it has.
    #[doc(hidden)]
    const SIZE: usize;

    /// `None` where these bytes are none.
    #[doc(hidden)]
    fn of(bytes: &[u8]) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! numbers {
    ($($type:ty: $name:literal),*) => {$(
        impl sealed::Sealed for $type {}
        impl JavaNumber for $type {
            const NAME: &'static str = $name;
            const SIZE: usize = size_of::<$type>();

            fn of(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_be_bytes)
            }
        }
    )*};
}

numbers!(i16: "a short", i32: "an int", i64: "a long", f32: "a float", f64: "a double");

impl sealed::Sealed for bool {}
impl JavaNumber for bool {
    const NAME: &'static str = "a boolean";
    const SIZE: usize = 1;

    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

/// Bytes that are no such number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSuchNumber {
    size: usize,
    name: &'static str,
    expected: usize,
}

impl fmt::Display for NotSuchNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, name, expected } = self;
        match size == expected {
            // A boolean's alone.
            true => write!(f, "a byte that is neither 0 nor 1, where {name} is expected"),
            false => write!(f, "{size} bytes, where {name} has {expected}"),
        }
    }
}

impl StdError for NotSuchNumber {}

impl<T> BigEndian<T> {
    /// Makes `T`s.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: JavaNumber> Deserializer for BigEndian<T> {
    type Output = Option<T>;
    type Error = NotSuchNumber;

    fn deserialize(&self, _topic: &str, bytes: Option<&[u8]>) -> Result<Option<T>, NotSuchNumber> {
        let Some(bytes) = bytes else { return Ok(None) };
        let wrong = || NotSuchNumber { size: bytes.len(), name: T::NAME, expected: T::SIZE };
        T::of(bytes).map(Some).ok_or_else(wrong)
    }
}

// Derived, these would ask the same of `T`.

impl<T> Default for BigEndian<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for BigEndian<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BigEndian<T> {}

impl<T> fmt::Debug for BigEndian<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BigEndian")
    }
}

/// A UUID as Java's `UUIDSerializer` writes it: its text in UTF-8, with hyphens (with the feature `uuid`). A null is `None`.
///
/// Java's own reader takes shortened groups, too (`1-2-3-4-5`); this one does not.
#[cfg(feature = "uuid")]
#[derive(Debug, Clone, Copy, Default)]
pub struct UuidText;

#[cfg(feature = "uuid")]
impl Deserializer for UuidText {
    type Output = Option<uuid::Uuid>;
    type Error = uuid::Error;

    fn deserialize(&self, _topic: &str, bytes: Option<&[u8]>) -> Result<Self::Output, uuid::Error> {
        bytes.map(uuid::Uuid::try_parse_ascii).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: JavaNumber>(bytes: &[u8]) -> String {
        BigEndian::<T>::new().deserialize("t", Some(bytes)).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn bytes_that_are_no_such_number_are_told_by_their_size() {
        assert_eq!(told::<i32>(&[]), "0 bytes, where an int has 4");
        assert_eq!(told::<f64>(&[0; 4]), "4 bytes, where a double has 8");
        assert_eq!(told::<bool>(&[2]), "a byte that is neither 0 nor 1, where a boolean is expected");
    }

    #[test]
    fn a_null_is_none() {
        assert_eq!(BigEndian::<bool>::new().deserialize("t", None), Ok(None));
        #[cfg(feature = "uuid")]
        assert_eq!(UuidText.deserialize("t", None), Ok(None));
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn a_text_that_is_no_uuid_does_not_parse() {
        assert!(UuidText.deserialize("t", Some(b"orders")).is_err());
    }
}
