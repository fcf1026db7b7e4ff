//! The fields of a record, read as fast as can be: their numbers are one byte, two, or three, in nearly every record.
//!
//! A number is taken out of a word of eight bytes that was loaded at once. Where a record's numbers are longer than that, or
//! where it lies at the end of its bytes, its fields are read byte by byte. `None` only says that something is wrong;
//! [`Reader`](crate::codec::Reader) reads the same and says what, and is asked where that matters.

use super::Span;

/// The lengths of key and value, one byte each.
pub(super) const SMALLEST_HEADER: usize = 2;

/// The fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    /// Where the next record begins.
    pub(super) end: usize,
    pub(super) timestamp_delta: i64,
    /// Negative, whatever it is then, where the record says that it is.
    pub(super) offset_delta: i64,
    pub(super) key: Span,
    pub(super) value: Span,
    pub(super) header_count: usize,
    /// Where the headers begin. They end where the record does.
    pub(super) headers_at: usize,
}

impl Fields {
    /// The fields of the record that begins at `at`, where its numbers are short.
    #[inline(always)]
    pub(super) fn by_words(bytes: &[u8], at: usize) -> Option<Self> {
        // At most two bytes, one, three, and two: eight.
        let (length, size, word) = short(word(bytes, at)?)?;
        // What is odd, and so negative, becomes larger than any buffer.
        let end = (at + size) as u64 + length.rotate_right(1);
        if end > bytes.len() as u64 {
            return None;
        }
        let end = end as usize;
        let _attributes = word as u8;
        let (timestamp_delta, more, word) = number(word >> 8)?;
        let (offset_delta, most, _) = short(word)?;
        let at = at + size + 1 + more + most;
        let word = self::word(bytes, at)?;
        let (key, at, word) = match word as u8 {
            // A value's length is in the same word.
            NULL => (Span::NULL, at + 1, word >> 8),
            _ => {
                let (key, at) = span(word, at)?;
                (key, at, self::word(bytes, at)?)
            }
        };
        let (value, at) = span(word, at)?;
        let (header_count, headers_at) = match *bytes.get(at)? {
            0 if at + 1 == end => (0, end),
            _ => Self::headers(bytes.get(..end)?, at)?,
        };
        let (timestamp_delta, offset_delta) =
            (unfold(timestamp_delta), offset_delta.rotate_right(1).cast_signed());
        Some(Self { end, timestamp_delta, offset_delta, key, value, header_count, headers_at })
    }

    /// How many headers there are in the rest of a record, and where they begin.
    #[inline(never)]
    fn headers(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let mut r = Bytes { bytes, at };
        let count = r.length()?;
        let room = bytes.len() - r.at;
        let fit = if count == 0 { room == 0 } else { count <= room / SMALLEST_HEADER };
        fit.then_some((count, r.at))
    }

    /// The fields of the record that begins at `at`.
    pub(super) fn by_bytes(bytes: &[u8], at: usize) -> Option<Self> {
        let mut r = Bytes { bytes, at };
        let length = r.length()?;
        let end = r.at.checked_add(length)?;
        r.bytes = bytes.get(..end)?;
        let _attributes = r.byte()?;
        let timestamp_delta = r.varlong()?;
        let offset_delta = r.varint()?.into();
        let (key, value) = (r.span()?, r.span()?);
        let (header_count, headers_at) = Self::headers(r.bytes, r.at)?;
        Some(Self { end, timestamp_delta, offset_delta, key, value, header_count, headers_at })
    }
}

/// A length of -1, folded.
const NULL: u8 = 1;

/// Eight bytes, the first as the lowest.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(*bytes.first_chunk()?))
}

/// The number of one or two bytes that a word begins with, still folded; its size, and what comes after it.
#[inline(always)]
const fn short(word: u64) -> Option<(u64, usize, u64)> {
    if word & 0x80 == 0 {
        Some((word & 0x7f, 1, word >> 8))
    } else if word & 0x8000 == 0 {
        Some((word & 0x7f | word >> 1 & 0x3f80, 2, word >> 16))
    } else {
        None
    }
}

/// As [`short`], or of three bytes.
#[inline(always)]
const fn number(word: u64) -> Option<(u64, usize, u64)> {
    match short(word) {
        None if word & 0x80_0000 == 0 => {
            Some((word & 0x7f | word >> 1 & 0x3f80 | word >> 2 & 0x1f_c000, 3, word >> 24))
        }
        number => number,
    }
}

/// The length that a word begins with, -1 for null, and the bytes behind it, of which nothing is promised; and the place
/// after them.
#[inline(always)]
fn span(word: u64, at: usize) -> Option<(Span, usize)> {
    let (folded, size, _) = number(word)?;
    let start = at + size;
    if folded & 1 == 0 {
        let length = (folded >> 1) as usize;
        return Some((Span::new(start, length), start + length));
    }
    (folded == NULL.into()).then_some((Span::NULL, start))
}

const fn unfold(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed()
}

/// A place in bytes.
struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<i32> {
        let folded = u32::try_from(self.folded(5)?).ok()?;
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    fn varlong(&mut self) -> Option<i64> {
        self.folded(10).map(unfold)
    }

    /// A length or a count, never null. Nothing is promised about the bytes behind it.
    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    /// A length, -1 for null, and the bytes behind it.
    fn span(&mut self) -> Option<Span> {
        let length = self.varint()?;
        if length < 0 {
            return (length == -1).then_some(Span::NULL);
        }
        let start = self.at;
        self.at += length as usize;
        (self.at <= self.bytes.len()).then_some(Span::new(start, length as usize))
    }

    /// A number of so many bytes at the most, still folded.
    fn folded(&mut self, most_bytes: u32) -> Option<u64> {
        let mut value = 0;
        for index in 0..most_bytes {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // Of the tenth byte one bit is left.
                return (index < 9 || byte < 2).then_some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{put_varint, put_varlong};

    /// A record as a producer writes it, or with its numbers changed.
    fn record(rng: &mut fastrand::Rng) -> Vec<u8> {
        let long = [0, 1, 63, 64, 8_191, 8_192, 1 << 20, 1 << 27, -1, -64, -65, i32::MIN, i32::MAX];
        let mut any = |usual: i32| if rng.u8(..) < 40 { long[rng.usize(..long.len())] } else { usual };
        let mut body = vec![0];
        put_varlong(&mut body, i64::from(any(7)) << (any(0).cast_unsigned() & 31));
        put_varint(&mut body, any(3));
        for usual in [-1, 100] {
            let length = any(usual);
            put_varint(&mut body, length);
            body.resize(body.len() + length.clamp(0, 20_000) as usize, b'v');
        }
        put_varint(&mut body, any(0));
        let mut record = Vec::new();
        put_varint(&mut record, any(body.len() as i32));
        record.extend(body);
        // Its neighbour, or the end.
        record.resize(record.len() + rng.usize(..12), 0xff);
        record
    }

    #[test]
    fn a_record_read_by_words_is_the_same_as_read_by_bytes() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut by_words, mut by_bytes) = (0, 0);
        for _ in 0..20_000 {
            let mut record = record(&mut rng);
            if rng.bool() {
                let at = rng.usize(..record.len().min(12));
                record[at] = rng.u8(..);
            }
            let (quick, careful) = (Fields::by_words(&record, 0), Fields::by_bytes(&record, 0));
            let offset_delta = |fields: Fields| fields.offset_delta.max(-1);
            let same = |fields: Fields| Fields { offset_delta: offset_delta(fields), ..fields };
            assert!(
                quick.is_none() || quick.map(same) == careful.map(same),
                "{quick:?}, {careful:?}: {record:?}"
            );
            by_words += usize::from(quick.is_some());
            by_bytes += usize::from(careful.is_some());
        }
        assert!(by_words > 3_000 && by_bytes > by_words, "{by_words} of {by_bytes}");
    }
}
