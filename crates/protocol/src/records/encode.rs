//! Builds record batches: what a producer sends, and the markers that end a transaction.

use std::sync::Arc;

use super::{BatchHeader, Compression, Compressor, Header, RecordWalk, batch};
use crate::codec::{DecodeError, varint_len, varlong_len};

/// Collects records into one batch.
///
/// ```
/// use ottla_protocol::records::{BatchBuilder, Compression, Compressor};
///
/// let mut builder = BatchBuilder::new(Compression::Zstd, 16 * 1024);
/// let delta = builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), []);
/// assert_eq!(delta, Some(0));
/// let batch: Vec<u8> = builder.finish(&mut Compressor::new());
/// ```
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    /// Room for the header, then the records, not compressed.
    bytes: Vec<u8>,
    max_size: usize,
    form: Form,
}

/// What a batch becomes beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    compression: Compression,
    level: Option<i32>,
    control: bool,
    transactional: bool,
    /// Offset, timestamps, count and producer so far; the rest is filled in at the end.
    header: BatchHeader,
}

/// A batch that takes no more records, and is neither compressed nor checksummed yet: whoever sends it has that done, which
/// takes long, where nobody waits for it. Clones share the records, so that a batch can be sent again under another identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBatch {
    bytes: Arc<Vec<u8>>,
    form: Form,
}

impl BatchBuilder {
    /// A batch that takes records until it would grow beyond `max_size` bytes, header included and not compressed.
    pub fn new(compression: Compression, max_size: usize) -> Self {
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        let bytes = vec![0; BatchHeader::SIZE];
        let form = Form { compression, level: None, control: false, transactional: false, header };
        Self { bytes, max_size, form }
    }

    /// Takes the memory of so many bytes at once, instead of growing to them.
    #[must_use]
    pub fn reserving(mut self, size: usize) -> Self {
        self.bytes.reserve_exact(size.saturating_sub(self.bytes.len()));
        self
    }

    /// Compresses at this level of the codec instead of its default.
    #[must_use]
    pub const fn level(mut self, level: i32) -> Self {
        self.form.level = Some(level);
        self
    }

    /// Gives the first record this offset.
    #[must_use]
    pub const fn base_offset(mut self, offset: i64) -> Self {
        self.form.header.base_offset = offset;
        self
    }

    /// The identity of an idempotent producer, and the sequence number of the first record. May be set late: a retry
    /// under a new epoch is a new identity for the same records.
    pub const fn set_producer(&mut self, id: i64, epoch: i16, base_sequence: i32) {
        self.form.set_producer(id, epoch, base_sequence);
    }

    /// Makes the records part of a transaction.
    pub const fn set_transactional(&mut self) {
        self.form.transactional = true;
    }

    pub(super) const fn set_control(&mut self) {
        self.form.control = true;
    }

    /// How many records there are.
    pub const fn count(&self) -> usize {
        self.form.header.record_count as usize
    }

    /// Whether there is no record.
    pub const fn is_empty(&self) -> bool {
        self.form.header.record_count == 0
    }

    /// The size of the batch, not compressed: the most that [`finish`](Self::finish) gives, but for what a codec adds
    /// to bytes that do not compress.
    pub const fn size_estimate(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that a record would add, not compressed.
    pub fn record_size<'a>(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) -> usize {
        let body = self.body_size(timestamp, key, value, headers);
        body.saturating_add(varint_len(body.min(i32::MAX as usize) as i32))
    }

    fn body_size<'a>(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) -> usize {
        let (size, count) = header_size(headers);
        let fixed = 1
            + varlong_len(self.timestamp_delta(timestamp))
            + varint_len(self.form.header.record_count)
            + varint_len(count as i32);
        fixed.saturating_add(size).saturating_add(sized(key)).saturating_add(sized(value))
    }

    const fn timestamp_delta(&self, timestamp: i64) -> i64 {
        if self.is_empty() { 0 } else { timestamp.wrapping_sub(self.form.header.base_timestamp) }
    }

    /// Appends a record and returns its offset from the batch's first.
    ///
    /// `None` where the batch would grow beyond its limit; it is as before then. The first record may be larger than
    /// the limit, but not than the 2 GiB that a batch can have.
    pub fn append<'a, H>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Option<i32>
    where
        H: IntoIterator<Item = Header<'a>>,
        H::IntoIter: Clone,
    {
        let headers = headers.into_iter();
        let timestamp_delta = self.timestamp_delta(timestamp);
        let offset_delta = self.form.header.record_count;
        let (header_bytes, header_count) = header_size(headers.clone());
        let (value_length, count) = (Number::length_of(value), Number::new(header_count as i32));
        let mut front = Front::new();
        front.put(Number::new(0));
        front.put_long(timestamp_delta);
        front.put(Number::new(offset_delta));
        front.put(Number::length_of(key));
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let body = (front.length() + value_length.length + count.length)
            .saturating_add(length(key))
            .saturating_add(length(value))
            .saturating_add(header_bytes);
        let body_length = Number::new(i32::try_from(body).ok()?);
        let size = self.bytes.len().checked_add(body_length.length)?.checked_add(body)?;
        let limit = if self.is_empty() { i32::MAX as usize } else { self.max_size.min(i32::MAX as usize) };
        if size > limit {
            return None;
        }
        let out = &mut self.bytes;
        out.reserve(size - out.len());
        front.precede(body_length);
        match key {
            // One run of bytes up to the value.
            None => front.put(value_length),
            Some(key) => {
                front.append_to(out);
                out.extend_from_slice(key);
                front = Front::new();
                front.put(value_length);
            }
        }
        front.append_to(out);
        out.extend_from_slice(value.unwrap_or_default());
        count.append_to(out);
        for header in headers {
            for bytes in [Some(header.key), header.value] {
                Number::length_of(bytes).append_to(out);
                out.extend_from_slice(bytes.unwrap_or_default());
            }
        }
        debug_assert_eq!(out.len(), size, "the headers changed between two looks");
        if self.is_empty() {
            self.form.header.base_timestamp = timestamp;
            self.form.header.max_timestamp = timestamp;
        }
        self.form.header.max_timestamp = self.form.header.max_timestamp.max(timestamp);
        self.form.header.last_offset_delta = offset_delta;
        self.form.header.record_count += 1;
        Some(offset_delta)
    }

    /// The whole batch as bytes.
    pub fn finish(self, compressor: &mut Compressor) -> Vec<u8> {
        let Self { mut bytes, form, .. } = self;
        form.compressed(&bytes, compressor).unwrap_or_else(|| {
            form.seal(Compression::None, &mut bytes);
            bytes
        })
    }

    /// The batch as it is sent, perhaps more than once.
    pub fn close(self) -> ClosedBatch {
        ClosedBatch { bytes: Arc::new(self.bytes), form: self.form }
    }
}

impl ClosedBatch {
    /// As [`BatchBuilder::set_producer`].
    pub const fn set_producer(&mut self, id: i64, epoch: i16, base_sequence: i32) {
        self.form.set_producer(id, epoch, base_sequence);
    }

    /// How many records there are.
    pub const fn count(&self) -> usize {
        self.form.header.record_count as usize
    }

    /// The size of the batch, not compressed.
    pub fn size_estimate(&self) -> usize {
        self.bytes.len()
    }

    /// Its records, whose offsets count from the first.
    pub fn records(&self) -> RecordWalk<'_> {
        RecordWalk::new(&self.form.header, self.record_bytes())
    }

    /// Its records in as few batches as hold them in order, each of `max_size` bytes at the most, header included and not
    /// compressed, or of one record that is larger. Sequence numbers are to be set anew.
    pub fn split(&self, max_size: usize) -> Result<Vec<Self>, DecodeError> {
        let (mut batches, mut builder) = (Vec::new(), self.successor(max_size));
        for record in self.records() {
            let record = record?;
            // What was built here can be read.
            let headers = record.headers().filter_map(Result::ok);
            let add = |to: &mut BatchBuilder| {
                to.append(record.timestamp, record.key, record.value, headers.clone()).is_some()
            };
            if !add(&mut builder) {
                batches.push(std::mem::replace(&mut builder, self.successor(max_size)).close());
                add(&mut builder);
            }
        }
        batches.push(builder.close());
        Ok(batches)
    }

    /// A batch of the same form, without records.
    fn successor(&self, max_size: usize) -> BatchBuilder {
        let Form { compression, level, control, transactional, .. } = self.form;
        let mut builder = BatchBuilder::new(compression, max_size).reserving(max_size.min(self.bytes.len()));
        builder.form = Form { level, control, transactional, ..builder.form };
        builder
    }

    /// Whether a codec is to compress it.
    pub fn has_codec(&self) -> bool {
        self.form.compression != Compression::None
    }

    /// The whole batch as bytes, compressed.
    pub fn seal(&self, compressor: &mut Compressor) -> Vec<u8> {
        self.form.compressed(&self.bytes, compressor).unwrap_or_else(|| {
            let mut bytes = Vec::new();
            self.append_plain(&mut bytes);
            bytes
        })
    }

    /// Appends the whole batch as it is, not compressed, which every reader takes, too.
    pub(crate) fn append_plain(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.plain_header());
        out.extend_from_slice(self.record_bytes());
    }

    /// The header that goes in front of the records as they are.
    pub(crate) fn plain_header(&self) -> [u8; BatchHeader::SIZE] {
        self.form.header(Compression::None).sealed(self.record_bytes())
    }

    /// The records as they are, not compressed, which clones share.
    pub(crate) fn record_bytes(&self) -> &[u8] {
        self.bytes.get(BatchHeader::SIZE..).unwrap_or_default()
    }
}

impl Form {
    const fn set_producer(&mut self, id: i64, epoch: i16, base_sequence: i32) {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
    }

    /// The whole batch; `None` where no codec compresses it, or it refuses to.
    fn compressed(&self, bytes: &[u8], compressor: &mut Compressor) -> Option<Vec<u8>> {
        if self.compression == Compression::None {
            return None;
        }
        let mut compressed = vec![0; BatchHeader::SIZE];
        let records = bytes.get(BatchHeader::SIZE..).unwrap_or_default();
        compressor.compress(self.compression, self.level, records, &mut compressed).ok()?;
        self.seal(self.compression, &mut compressed);
        Some(compressed)
    }

    /// Writes the header in front of the records, which this codec has compressed.
    fn seal(&self, used: Compression, batch: &mut [u8]) {
        self.header(used).seal(batch);
    }

    /// The header of a batch that this codec has compressed.
    const fn header(&self, used: Compression) -> BatchHeader {
        let attributes = batch::attributes(used, self.transactional, self.control);
        BatchHeader { attributes, ..self.header }
    }
}

/// The size of bytes with their length in front.
const fn sized(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) if bytes.len() > i32::MAX as usize => usize::MAX,
        Some(bytes) => varint_len(bytes.len() as i32) + bytes.len(),
        None => 1,
    }
}

/// The bytes of headers, and how many there are.
fn header_size<'a>(headers: impl IntoIterator<Item = Header<'a>>) -> (usize, usize) {
    headers.into_iter().fold((0_usize, 0), |(size, count), header| {
        (size.saturating_add(sized(Some(header.key))).saturating_add(sized(header.value)), count + 1)
    })
}

/// A number as a record has it, of at most five bytes.
#[derive(Clone, Copy)]
struct Number {
    /// The first byte is the lowest.
    bytes: u64,
    length: usize,
}

impl Number {
    #[inline]
    fn new(value: i32) -> Self {
        let folded = u64::from(((value << 1) ^ (value >> 31)) as u32);
        match folded {
            ..0x80 => Self { bytes: folded, length: 1 },
            0x80..0x4000 => Self { bytes: (folded & 0x7f) | 0x80 | ((folded >> 7) << 8), length: 2 },
            _ => Self::longer(folded),
        }
    }

    fn longer(mut rest: u64) -> Self {
        let (mut bytes, mut length) = (0, 0);
        while rest >= 0x80 {
            bytes |= ((rest & 0x7f) | 0x80) << (8 * length);
            rest >>= 7;
            length += 1;
        }
        Self { bytes: bytes | (rest << (8 * length)), length: length + 1 }
    }

    /// What stands in front of bytes, or for null.
    #[inline]
    fn length_of(bytes: Option<&[u8]>) -> Self {
        Self::new(bytes.map_or(-1, |bytes| bytes.len() as i32))
    }

    #[inline]
    fn append_to(self, out: &mut Vec<u8>) {
        match self.length {
            1 => out.push(self.bytes as u8),
            length => out.extend_from_slice(self.bytes.to_le_bytes().get(..length).unwrap_or_default()),
        }
    }
}

/// The numbers in front of a record's key or value, put together before they are appended at once.
struct Front {
    bytes: [u8; Self::ROOM],
    start: usize,
    end: usize,
}

impl Front {
    /// Where the first number begins: the record's length, which is known last, precedes it.
    const START: usize = 8;
    /// There are 1, 10, 5, 5 and 5 bytes at the most. Each number is written as eight bytes.
    const ROOM: usize = Self::START + 26 + 8;

    const fn new() -> Self {
        Self { bytes: [0; Self::ROOM], start: Self::START, end: Self::START }
    }

    const fn length(&self) -> usize {
        self.end - self.start
    }

    #[inline]
    fn put(&mut self, number: Number) {
        let place = self.bytes.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut);
        debug_assert!(place.is_some(), "there is room for all numbers");
        if let Some(place) = place {
            *place = number.bytes.to_le_bytes();
            self.end += number.length;
        }
    }

    #[inline]
    fn put_long(&mut self, value: i64) {
        if let Ok(value) = i32::try_from(value) {
            return self.put(Number::new(value));
        }
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            self.put(Number { bytes: (rest & 0x7f) | 0x80, length: 1 });
            rest >>= 7;
        }
        self.put(Number { bytes: rest, length: 1 });
    }

    #[inline]
    fn precede(&mut self, number: Number) {
        // As the highest bytes of eight, of which the lower ones are not looked at.
        let bytes = number.bytes << (8 * (8 - number.length));
        if let Some(place) = self.bytes.first_chunk_mut() {
            *place = bytes.to_le_bytes();
            self.start = Self::START - number.length;
        }
    }

    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes.get(self.start..self.end).unwrap_or_default());
    }
}
