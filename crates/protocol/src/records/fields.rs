//! The fields of a record, read as fast as they can be: most are one byte, or two.
//!
//! [`Reader`] reads the same, and says what is wrong where something is; it is asked only then, and for long numbers.

use std::ops::Range;

use super::Span;
use crate::codec::{DecodeError, DecodeErrorKind, Reader};

/// A place in the bytes of a record.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    #[inline]
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// What is left.
    #[inline]
    pub(super) const fn rest(&self) -> Range<usize> {
        self.at..self.bytes.len()
    }

    /// The same place, with no more than the next `length` bytes left.
    #[inline]
    pub(super) fn part(&self, length: usize, field: &'static str) -> Result<Self, DecodeError> {
        match self.bytes.get(..self.at.saturating_add(length)) {
            Some(bytes) => Ok(Self { bytes, at: self.at }),
            None => Err(self.truncated(length, field)),
        }
    }

    #[inline]
    pub(super) fn skip_byte(&mut self, field: &'static str) -> Result<(), DecodeError> {
        if self.at >= self.bytes.len() {
            return Err(self.truncated(1, field));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn varint(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        match self.short() {
            Some(folded) => Ok(unfold(folded)),
            None => self.long_varint(field),
        }
    }

    #[inline]
    pub(super) fn varlong(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        match self.short() {
            Some(folded) => Ok(unfold(folded).into()),
            None => self.long_varlong(field),
        }
    }

    /// A length or a count, never null. Nothing is promised about the bytes behind it.
    #[inline]
    pub(super) fn length(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let length = self.varint(field)?;
        if length < 0 {
            return Err(self.error(field, DecodeErrorKind::NegativeLength(length.into())));
        }
        Ok(length as usize)
    }

    /// A length, -1 for null, and the bytes behind it.
    #[inline]
    pub(super) fn span(&mut self, field: &'static str) -> Result<Span, DecodeError> {
        let length = self.varint(field)?;
        if length < 0 {
            return if length == -1 {
                Ok(Span::NULL)
            } else {
                Err(self.error(field, DecodeErrorKind::NegativeLength(length.into())))
            };
        }
        let (start, length) = (self.at, length as usize);
        if length > self.bytes.len() - start {
            return Err(self.truncated(length, field));
        }
        self.at = start + length;
        Ok(Span::new(start, length))
    }

    /// Succeeds where nothing is left.
    pub(super) fn finish(&self, field: &'static str) -> Result<(), DecodeError> {
        match self.rest().len() {
            0 => Ok(()),
            left => Err(self.error(field, DecodeErrorKind::TrailingBytes(left))),
        }
    }

    #[cold]
    pub(super) fn inconsistent(&self, field: &'static str, what: &'static str) -> DecodeError {
        self.error(field, DecodeErrorKind::Inconsistent(what))
    }

    /// A number of one or two bytes, still folded.
    #[inline]
    fn short(&mut self) -> Option<u32> {
        match self.bytes.get(self.at..) {
            Some(&[a, ..]) if a < 0x80 => {
                self.at += 1;
                Some(a.into())
            }
            Some(&[a, b, ..]) if b < 0x80 => {
                self.at += 2;
                Some(u32::from(a & 0x7f) | u32::from(b) << 7)
            }
            _ => None,
        }
    }

    #[inline(never)]
    fn long_varint(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.with_reader(field, Reader::varint)
    }

    #[inline(never)]
    fn long_varlong(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.with_reader(field, Reader::varlong)
    }

    fn with_reader<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut r = Reader::new(self.bytes);
        let value = r.take(self.at).and_then(|_| read(&mut r)).map_err(|error| error.in_field(field))?;
        self.at = r.offset();
        Ok(value)
    }

    #[cold]
    fn truncated(&self, needed: usize, field: &'static str) -> DecodeError {
        self.error(field, DecodeErrorKind::Truncated { needed, remaining: self.rest().len() })
    }

    #[cold]
    fn error(&self, field: &'static str, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { field, offset: self.at, kind }
    }
}

#[inline]
const fn unfold(folded: u32) -> i32 {
    (folded >> 1) as i32 ^ -((folded & 1) as i32)
}
