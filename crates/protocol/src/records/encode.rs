//! Builds record batches: what a producer sends, and the markers that end a transaction.

use super::{BatchHeader, Compression, Compressor, Header, batch};
use crate::codec::{put_varint, put_varlong, varint_len, varlong_len};

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
    compression: Compression,
    level: Option<i32>,
    control: bool,
    transactional: bool,
    /// Offset, timestamps, count and producer so far; the rest is filled in at the end.
    header: BatchHeader,
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
        Self { bytes, max_size, compression, level: None, control: false, transactional: false, header }
    }

    /// Compresses at this level of the codec instead of its default.
    #[must_use]
    pub const fn level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// Gives the first record this offset.
    #[must_use]
    pub const fn base_offset(mut self, offset: i64) -> Self {
        self.header.base_offset = offset;
        self
    }

    /// The identity of an idempotent producer, and the sequence number of the first record. May be set late: a retry
    /// under a new epoch is a new identity for the same records.
    pub const fn set_producer(&mut self, id: i64, epoch: i16, base_sequence: i32) {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
    }

    /// Makes the records part of a transaction.
    pub const fn set_transactional(&mut self) {
        self.transactional = true;
    }

    pub(super) const fn set_control(&mut self) {
        self.control = true;
    }

    /// How many records there are.
    pub const fn count(&self) -> usize {
        self.header.record_count as usize
    }

    /// Whether there is no record.
    pub const fn is_empty(&self) -> bool {
        self.header.record_count == 0
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
        let (body, _) = self.body_size(timestamp, key, value, headers);
        body.saturating_add(varint_len(body.min(i32::MAX as usize) as i32))
    }

    fn body_size<'a>(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) -> (usize, usize) {
        let (mut size, mut count) = (0usize, 0usize);
        for header in headers {
            size = size.saturating_add(sized(Some(header.key))).saturating_add(sized(header.value));
            count += 1;
        }
        let fixed = 1
            + varlong_len(self.timestamp_delta(timestamp))
            + varint_len(self.header.record_count)
            + varint_len(count as i32);
        (fixed.saturating_add(size).saturating_add(sized(key)).saturating_add(sized(value)), count)
    }

    const fn timestamp_delta(&self, timestamp: i64) -> i64 {
        if self.is_empty() { 0 } else { timestamp.wrapping_sub(self.header.base_timestamp) }
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
        let (body, header_count) = self.body_size(timestamp, key, value, headers.clone());
        let size = self.bytes.len().checked_add(varint_len(i32::try_from(body).ok()?))?.checked_add(body)?;
        let limit = if self.is_empty() { i32::MAX as usize } else { self.max_size.min(i32::MAX as usize) };
        if size > limit {
            return None;
        }
        let timestamp_delta = self.timestamp_delta(timestamp);
        let offset_delta = self.header.record_count;
        let out = &mut self.bytes;
        out.reserve(size - out.len());
        put_varint(out, body as i32);
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_sized(out, key);
        put_sized(out, value);
        put_varint(out, header_count as i32);
        for header in headers {
            put_sized(out, Some(header.key));
            put_sized(out, header.value);
        }
        debug_assert_eq!(out.len(), size, "the headers changed between two looks");
        if self.is_empty() {
            self.header.base_timestamp = timestamp;
            self.header.max_timestamp = timestamp;
        }
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
        self.header.last_offset_delta = offset_delta;
        self.header.record_count += 1;
        Some(offset_delta)
    }

    /// The whole batch as bytes.
    pub fn finish(self, compressor: &mut Compressor) -> Vec<u8> {
        let Self { bytes: mut out, compression, level, control, transactional, mut header, .. } = self;
        let mut used = Compression::None;
        if compression != Compression::None {
            let mut compressed = vec![0; BatchHeader::SIZE];
            let records = out.get(BatchHeader::SIZE..).unwrap_or_default();
            // What a codec refuses goes out as it is: every reader takes that too.
            if compressor.compress(compression, level, records, &mut compressed).is_ok() {
                used = compression;
                out = compressed;
            }
        }
        header.attributes = batch::attributes(used, transactional, control);
        header.seal(&mut out);
        out
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

fn put_sized(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i32));
    out.extend_from_slice(bytes.unwrap_or_default());
}
