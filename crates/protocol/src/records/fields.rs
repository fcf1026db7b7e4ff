//! The fields of a record, read as fast as can be: most are one byte, or two.
//!
//! `None` only says that something is wrong; [`Reader`](crate::codec::Reader) reads the same and says what, and is asked
//! where that matters.

use super::Span;

/// A place in the bytes that end where the record does.
#[derive(Clone, Copy)]
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

    /// The same place, with no more than the next `length` bytes left.
    #[inline]
    pub(super) fn part(&self, length: usize) -> Option<Self> {
        Some(Self { bytes: self.bytes.get(..self.at.checked_add(length)?)?, at: self.at })
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Option<i32> {
        let first = self.byte()?;
        let folded = if first < 0x80 { first.into() } else { u32::try_from(self.longer(first)?).ok()? };
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    #[inline]
    pub(super) fn varlong(&mut self) -> Option<i64> {
        let first = self.byte()?;
        let folded = if first < 0x80 { first.into() } else { self.longer(first)? };
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A length or a count, never null. Nothing is promised about the bytes behind it.
    #[inline]
    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    /// A length, -1 for null, and the bytes behind it.
    #[inline]
    pub(super) fn span(&mut self) -> Option<Span> {
        let length = self.varint()?;
        if length < 0 {
            return (length == -1).then_some(Span::NULL);
        }
        let start = self.at;
        self.at += length as usize;
        (self.at <= self.bytes.len()).then_some(Span::new(start, length as usize))
    }

    /// A number of more than one byte, still folded.
    #[inline]
    fn longer(&mut self, first: u8) -> Option<u64> {
        let low = u64::from(first & 0x7f);
        let second = self.byte()?;
        if second < 0x80 {
            return Some(low | u64::from(second) << 7);
        }
        let (value, at) = long(self.bytes, self.at)?;
        self.at = at;
        Some(low | u64::from(second & 0x7f) << 7 | value << 14)
    }
}

/// The third byte of a number and those that follow; the place after it.
#[inline(never)]
fn long(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    const MOST_BYTES: usize = 8;
    let mut value = 0;
    for (index, byte) in bytes.get(start..)?.iter().take(MOST_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            // Of the tenth byte of a number, one bit is left.
            return (index < MOST_BYTES - 1 || *byte < 2).then_some((value, start + index + 1));
        }
    }
    None
}
