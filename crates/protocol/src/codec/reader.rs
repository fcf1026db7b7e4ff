//! A place in a frame, from which values are read.

use super::{DecodeError, DecodeErrorKind};

/// Reads values one after the other from a frame. Every failure names the offset in the frame.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `frame`.
    pub const fn new(frame: &'a [u8]) -> Self {
        Self { frame, at: 0, end: frame.len() }
    }

    /// The offset of the next byte in the frame.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// An error here.
    pub const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { field: "", offset: self.at, kind }
    }

    /// The next `length` bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let remaining = self.remaining();
        match self.frame.get(self.at..).and_then(|rest| rest.get(..length)) {
            Some(bytes) if length <= remaining => {
                self.at += length;
                Ok(bytes)
            }
            _ => Err(self.error(DecodeErrorKind::Truncated { needed: length, remaining })),
        }
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let needed = DecodeErrorKind::Truncated { needed: N, remaining: self.remaining() };
        let error = self.error(needed);
        self.take(N)?.first_chunk().copied().ok_or(error)
    }

    /// A reader over the next `length` bytes alone, which this one passes over. Offsets stay those of the frame.
    pub fn part(&mut self, length: usize) -> Result<Reader<'a>, DecodeError> {
        let at = self.at;
        self.take(length)?;
        Ok(Reader { frame: self.frame, at, end: self.at })
    }

    /// Reads with the last `length` bytes out of reach.
    pub(crate) fn leaving<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let end = self.end;
        self.end = self.at.max(end.saturating_sub(length));
        let value = read(self);
        self.end = end;
        value
    }

    /// Succeeds where nothing is left.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(DecodeErrorKind::TrailingBytes(left))),
        }
    }

    /// An unsigned variable-length integer of at most 32 bits.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let start = self.clone();
        let value = self.varint_bits(5)?;
        u32::try_from(value).map_err(|_| start.error(DecodeErrorKind::VarintTooLong))
    }

    /// A signed variable-length integer of at most 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let folded = self.unsigned_varint()?;
        Ok((folded >> 1) as i32 ^ -((folded & 1) as i32))
    }

    /// An unsigned variable-length integer of at most 64 bits.
    #[inline]
    pub fn unsigned_varlong(&mut self) -> Result<u64, DecodeError> {
        self.varint_bits(10)
    }

    /// A signed variable-length integer of at most 64 bits.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let folded = self.unsigned_varlong()?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    #[inline]
    fn varint_bits(&mut self, most_bytes: u32) -> Result<u64, DecodeError> {
        let start = self.at;
        let mut value = 0u64;
        for index in 0..most_bytes {
            let [byte] = self.array::<1>()?;
            let digits = u64::from(byte & 0x7f);
            if index == 9 && digits > 1 {
                break;
            }
            value |= digits << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError { field: "", offset: start, kind: DecodeErrorKind::VarintTooLong })
    }
}
