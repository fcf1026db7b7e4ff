//! Records inside a batch, read where they lie: nothing is copied, nothing allocated.
//!
//! A [`BatchWalk`] is plain data that stands beside the buffer that it walks (a frame, or what was decompressed of it)
//! instead of borrowing it, so that a cursor can own both. It yields [`RecordSpan`]s, which say where a record's parts
//! are, and [`Record`]s are the view of them. Headers stay undecoded until somebody asks: a record's length alone leads
//! to the next.

use std::{borrow::Cow, iter::FusedIterator, ops::Range};

use super::{
    BatchHeader, TimestampType,
    fields::{Fields, SMALLEST_HEADER},
};
use crate::codec::{DecodeError, DecodeErrorKind, Reader};

/// Where some bytes lie in a buffer, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    length: u32,
}

impl Span {
    /// Null; no value can be as long.
    pub const NULL: Self = Self { start: 0, length: u32::MAX };

    pub(super) const fn new(start: usize, length: usize) -> Self {
        Self { start: start as u32, length: length as u32 }
    }

    /// The range; `None` for null.
    #[inline]
    pub const fn range(self) -> Option<Range<usize>> {
        match self.length {
            u32::MAX => None,
            length => Some(self.start as usize..self.start as usize + length as usize),
        }
    }

    /// The bytes in the buffer that the span is of; `None` for null.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> Option<&[u8]> {
        // Null ends beyond any buffer: it need not be asked for.
        buffer.get(self.start as usize..self.start as usize + self.length as usize)
    }
}

/// A record as places in the buffer that was walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp in milliseconds; -1 where it has none.
    pub timestamp: i64,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// Its key.
    pub key: Span,
    /// Its value.
    pub value: Span,
    headers: Span,
    header_count: u32,
}

impl RecordSpan {
    /// The record itself, given the buffer that was walked.
    #[inline]
    pub fn record<'a>(&self, buffer: &'a [u8]) -> Record<'a> {
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.of(buffer),
            value: self.value.of(buffer),
            headers: self.headers(buffer),
        }
    }

    /// The record's headers alone.
    #[inline]
    pub fn headers<'a>(&self, buffer: &'a [u8]) -> Headers<'a> {
        let rest = Reader::new(self.headers.of(buffer).unwrap_or_default());
        Headers { rest, remaining: self.header_count }
    }

    /// The record's own bytes (key, value and headers) out of the buffer that was walked, and the same record as places in them.
    pub fn copied(&self, buffer: &[u8]) -> (Box<[u8]>, Self) {
        let parts = [self.key, self.value, self.headers];
        let length = parts.iter().filter_map(|part| part.of(buffer)).map(<[u8]>::len).sum();
        let mut bytes = Vec::with_capacity(length);
        let [key, value, headers] = parts.map(|part| match part.of(buffer) {
            Some(own) => {
                let start = bytes.len();
                bytes.extend_from_slice(own);
                Span::new(start, own.len())
            }
            None => Span::NULL,
        });
        (bytes.into_boxed_slice(), Self { key, value, headers, ..*self })
    }
}

/// A record, borrowed from the buffer that holds it.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp in milliseconds; -1 where it has none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// Its headers in order, duplicates included; decoded while one iterates.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        self.headers.clone()
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its key; another header of the record may have the same. Text by convention only: brokers take any bytes.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Its key as text, with U+FFFD for what is not UTF-8, as Java reads it: two keys may look alike so.
    pub fn key_lossy(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of a record, decoded as one iterates. Nothing comes after an error; offsets in it count from the first
/// header.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: Reader<'a>,
    remaining: u32,
}

impl<'a> Headers<'a> {
    /// How many the record says it has.
    pub const fn count(&self) -> usize {
        self.remaining as usize
    }

    fn step(&mut self) -> Result<Header<'a>, DecodeError> {
        let key_at = self.rest.clone();
        let key = read_sized(&mut self.rest, "header_key")?;
        let key = key.ok_or(key_at.error(DecodeErrorKind::UnexpectedNull).in_field("header_key"))?;
        let value = read_sized(&mut self.rest, "header_value")?;
        if self.remaining == 1 {
            self.rest.finish().map_err(|error| error.in_field("headers"))?;
        }
        Ok(Header { key, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        let header = self.step();
        self.remaining = if header.is_ok() { self.remaining - 1 } else { 0 };
        Some(header)
    }
}

impl FusedIterator for Headers<'_> {}

/// The state of a walk over the records of one batch.
#[derive(Debug, Clone)]
pub struct BatchWalk {
    at: u32,
    end: u32,
    remaining: u32,
    /// The smallest offset delta that the next record may have: offsets rise.
    next_delta: i64,
    last_delta: i64,
    timestamp_type: TimestampType,
    base_offset: i64,
    /// The base of the timestamp deltas, or the time of the append.
    timestamp: i64,
    /// Every bit where timestamp deltas count, none where all records have the time of the append.
    deltas_count: i64,
}

impl BatchWalk {
    /// Walks the records of the batch with `header`, which lie at `records` in the buffer, decompressed.
    pub fn new(header: &BatchHeader, records: Range<usize>) -> Self {
        let timestamp_type = header.timestamp_type();
        let log_append_time = timestamp_type == TimestampType::LogAppendTime;
        Self {
            at: u32::try_from(records.start).unwrap_or(u32::MAX),
            end: u32::try_from(records.end).unwrap_or(u32::MAX),
            remaining: header.record_count.max(0).cast_unsigned(),
            next_delta: 0,
            last_delta: header.last_offset_delta.into(),
            timestamp_type,
            base_offset: header.base_offset,
            timestamp: if log_append_time { header.max_timestamp } else { header.base_timestamp },
            deltas_count: if log_append_time { 0 } else { !0 },
        }
    }

    /// How many records are still to come.
    pub const fn remaining(&self) -> usize {
        self.remaining as usize
    }

    /// The next record. `buffer` is the same each time. Nothing comes after an error.
    #[inline(always)]
    pub fn next(&mut self, buffer: &[u8]) -> Option<Result<RecordSpan, DecodeError>> {
        if self.remaining == 0 {
            return self.finish().map(Err);
        }
        match self.step(buffer) {
            Some(span) => Some(Ok(span)),
            None => Some(Err(self.explain(buffer))),
        }
    }

    #[inline(always)]
    fn step(&mut self, buffer: &[u8]) -> Option<RecordSpan> {
        let fields = match Fields::by_words(buffer.get(..self.end as usize)?, self.at as usize) {
            Some(fields) => fields,
            None => self.by_bytes(buffer)?,
        };
        let Fields { end, timestamp_delta, offset_delta, key, value, header_count, headers_at } = fields;
        if offset_delta < self.next_delta || offset_delta > self.last_delta {
            return None;
        }
        self.at = end as u32;
        self.remaining -= 1;
        self.next_delta = offset_delta + 1;
        Some(RecordSpan {
            offset: self.base_offset.wrapping_add(offset_delta),
            timestamp: self.timestamp.wrapping_add(timestamp_delta & self.deltas_count),
            timestamp_type: self.timestamp_type,
            key,
            value,
            headers: Span::new(headers_at, end - headers_at),
            header_count: header_count as u32,
        })
    }

    #[inline(never)]
    fn by_bytes(&self, buffer: &[u8]) -> Option<Fields> {
        Fields::by_bytes(buffer.get(..self.end as usize)?, self.at as usize)
    }

    /// Reads once more what [`step`](Self::step) could not, to say why, and ends the walk.
    #[cold]
    #[inline(never)]
    fn explain(&mut self, buffer: &[u8]) -> DecodeError {
        let mut r = Reader::new(buffer.get(..self.end as usize).unwrap_or(buffer));
        let error = r.take(self.at as usize).and_then(|_| self.read(&mut r)).err();
        self.remaining = 0;
        self.at = self.end;
        error.unwrap_or(r.error(DecodeErrorKind::Inconsistent("record is damaged")))
    }

    fn read(&self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        fn named(field: &'static str) -> impl FnOnce(DecodeError) -> DecodeError {
            move |error| error.in_field(field)
        }
        let length = read_length(r, "record_length")?;
        let mut r = r.part(length).map_err(named("record_length"))?;
        r.take(1).map_err(named("attributes"))?;
        r.varlong().map_err(named("timestamp_delta"))?;
        let offset_delta = i64::from(r.varint().map_err(named("offset_delta"))?);
        if offset_delta < self.next_delta || offset_delta > self.last_delta {
            let what = "offsets do not rise within the batch's own";
            return Err(r.error(DecodeErrorKind::Inconsistent(what)).in_field("offset_delta"));
        }
        read_sized(&mut r, "key")?;
        read_sized(&mut r, "value")?;
        let needed = read_length(&mut r, "header_count")?.saturating_mul(SMALLEST_HEADER);
        let remaining = r.remaining();
        if needed > remaining {
            let kind = DecodeErrorKind::Truncated { needed, remaining };
            return Err(r.error(kind).in_field("headers"));
        }
        r.finish().map_err(named("record_length"))
    }

    /// After the last record: whether it was the end of the bytes too.
    #[cold]
    fn finish(&mut self) -> Option<DecodeError> {
        let (at, end) = (self.at as usize, self.end as usize);
        self.at = self.end;
        let kind = DecodeErrorKind::TrailingBytes(end.saturating_sub(at));
        (at < end).then_some(DecodeError { field: "records", offset: at, kind })
    }
}

/// A length or a count, never null. Nothing is promised about the bytes behind it.
fn read_length(r: &mut Reader<'_>, field: &'static str) -> Result<usize, DecodeError> {
    let start = r.clone();
    let length = r.varint().map_err(|error| error.in_field(field))?;
    let negative = DecodeErrorKind::NegativeLength(length.into());
    usize::try_from(length).map_err(|_| start.error(negative).in_field(field))
}

/// Bytes with their length in front, -1 for null.
fn read_sized<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
    let start = r.clone();
    match r.varint().map_err(|error| error.in_field(field))? {
        -1 => Ok(None),
        length => {
            let negative = DecodeErrorKind::NegativeLength(length.into());
            let length = usize::try_from(length).map_err(|_| start.error(negative).in_field(field))?;
            r.take(length).map(Some).map_err(|error| error.in_field(field))
        }
    }
}

/// Walks the records of a batch in a buffer that is borrowed meanwhile.
#[derive(Debug, Clone)]
pub struct RecordWalk<'a> {
    buffer: &'a [u8],
    walk: BatchWalk,
}

impl<'a> RecordWalk<'a> {
    /// Walks the records of the batch with `header`; `records` are all its records, decompressed.
    pub fn new(header: &BatchHeader, records: &'a [u8]) -> Self {
        Self { buffer: records, walk: BatchWalk::new(header, 0..records.len()) }
    }
}

impl<'a> Iterator for RecordWalk<'a> {
    type Item = Result<Record<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.walk.next(self.buffer)?.map(|span| span.record(self.buffer)))
    }
}

impl FusedIterator for RecordWalk<'_> {}
