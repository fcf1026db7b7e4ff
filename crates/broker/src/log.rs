//! One partition's log: batches as they came, but for the header's offset and epoch.

use ottla_protocol::{
    ErrorCode,
    records::{self, BatchHeader, Decompressor, RecordWalk, TimestampType},
};

use crate::Refusal;

/// The batches of a partition, in memory.
#[derive(Debug, Default)]
pub(crate) struct Log {
    batches: Vec<Batch>,
    start_offset: i64,
    end_offset: i64,
    size: u64,
}

#[derive(Debug)]
struct Batch {
    /// The offset after its last.
    next_offset: i64,
    /// The largest timestamp of all records from the log's start to its last: what makes a search by time a binary one.
    newest: i64,
    /// Where it would lie if the log were one file.
    position: u64,
    bytes: Vec<u8>,
}

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
}

impl Log {
    /// An empty one, whose first record gets this offset.
    pub(crate) fn starting_at(offset: i64) -> Self {
        Self { start_offset: offset, end_offset: offset, ..Self::default() }
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = &[u8]> {
        self.batches.iter().map(|batch| batch.bytes.as_slice())
    }

    /// The first offset that may be read. The batch that holds it may begin before it.
    pub(crate) const fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets. There is one replica, so this is the high watermark too.
    pub(crate) const fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// The leader epoch of the first batch.
    pub(crate) fn first_epoch(&self) -> Option<i32> {
        self.batches
            .first()
            .and_then(|batch| BatchHeader::decode(&batch.bytes).ok())
            .map(|h| h.partition_leader_epoch)
    }

    /// Appends one batch that [`validate`] passed and returns its base offset.
    pub(crate) fn append(&mut self, mut bytes: Vec<u8>, header: &BatchHeader, leader_epoch: i32) -> i64 {
        let base_offset = self.end_offset;
        // A validated batch has a whole header, so its fields can be set.
        let _ = records::set_base_offset(&mut bytes, base_offset);
        let _ = records::set_partition_leader_epoch(&mut bytes, leader_epoch);
        let newest = self.batches.last().map_or(i64::MIN, |batch| batch.newest).max(header.max_timestamp);
        self.end_offset = base_offset + i64::from(header.last_offset_delta) + 1;
        let position = self.size;
        self.size += bytes.len() as u64;
        self.batches.push(Batch { next_offset: self.end_offset, newest, position, bytes });
        base_offset
    }

    /// Removes what lies before `offset`, which is in the log or its end: whole batches, and of the first that is left
    /// nothing.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start_offset = self.start_offset.max(offset);
        self.batches.drain(..self.index_of(self.start_offset));
        // A timestamp that is gone must not lead a search to batches that are younger without it.
        let mut newest = i64::MIN;
        for batch in &mut self.batches {
            newest = newest.max(newest_from(&batch.bytes, self.start_offset));
            batch.newest = newest;
        }
    }

    /// Removes the batches that end behind `offset`, and returns where it ends then.
    pub(crate) fn truncate(&mut self, offset: i64) -> i64 {
        self.batches.truncate(self.batches.partition_point(|batch| batch.next_offset <= offset));
        self.end_offset = self.batches.last().map_or(self.start_offset, |batch| batch.next_offset);
        self.size = self.batches.last().map_or(0, |batch| batch.position + batch.bytes.len() as u64);
        self.end_offset
    }

    /// The index of the batch that holds `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.next_offset <= offset)
    }

    /// Whether one batch holds both offsets; neither is in any at the log's end.
    pub(crate) fn is_same_batch(&self, a: i64, b: i64) -> bool {
        self.index_of(a) == self.index_of(b)
    }

    /// How many bytes there are from the batch that holds the first offset to before that which holds the last.
    pub(crate) fn bytes_between(&self, offset: i64, end: i64) -> u64 {
        let position = |at: usize| self.batches.get(at).map_or(self.size, |batch| batch.position);
        position(self.index_of(end)).saturating_sub(position(self.index_of(offset)))
    }

    /// Whole batches from the one that holds the first offset to before that which holds the last, at most `max_bytes` of
    /// them; the first, however large it is, where `at_least_one` says so (KIP-74).
    pub(crate) fn read(&self, offset: i64, end: i64, max_bytes: usize, at_least_one: bool) -> Vec<u8> {
        let rest = self.batches.get(self.index_of(offset)..self.index_of(end)).unwrap_or_default();
        let Some(first) = rest.first() else { return Vec::new() };
        let end = first.position.saturating_add(max_bytes as u64);
        let fitting = rest.partition_point(|batch| batch.position + batch.bytes.len() as u64 <= end);
        let taken = rest.get(..fitting.max(at_least_one.into())).unwrap_or_default();
        let mut out = Vec::with_capacity(taken.iter().map(|batch| batch.bytes.len()).sum());
        taken.iter().for_each(|batch| out.extend_from_slice(&batch.bytes));
        out
    }

    /// The first record at `timestamp` or after it.
    pub(crate) fn find_by_time(&self, timestamp: i64) -> Result<Option<Found>, ErrorCode> {
        let at = self.batches.partition_point(|batch| batch.newest < timestamp);
        self.batches
            .get(at)
            .map_or(Ok(None), |batch| search(&batch.bytes, self.start_offset, |found| found >= timestamp))
    }

    /// The first record with the largest timestamp.
    pub(crate) fn find_newest(&self) -> Result<Option<Found>, ErrorCode> {
        self.batches.last().map_or(Ok(None), |batch| self.find_by_time(batch.newest))
    }
}

/// What one batch may decompress to when it is searched.
const MAX_DECOMPRESSED: usize = 64 * 1024 * 1024;

/// The first record of a batch, from the offset `start` on, whose timestamp will do.
fn search(batch: &[u8], start: i64, will_do: impl Fn(i64) -> bool) -> Result<Option<Found>, ErrorCode> {
    let corrupt = |_| ErrorCode::CorruptMessage;
    let header = BatchHeader::decode(batch).map_err(corrupt)?;
    let found = |offset, timestamp| {
        Ok(Some(Found { offset, timestamp, leader_epoch: header.partition_leader_epoch }))
    };
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return found(header.base_offset.max(start), header.max_timestamp);
    }
    let compressed = batch.get(header.records_range(0)).unwrap_or_default();
    let mut records = Vec::new();
    let codec = header.compression().map_err(corrupt)?;
    Decompressor::new().decompress(codec, compressed, &mut records, MAX_DECOMPRESSED).map_err(corrupt)?;
    for record in RecordWalk::new(&header, &records) {
        let record = record.map_err(corrupt)?;
        if record.offset >= start && will_do(record.timestamp) {
            return found(record.offset, record.timestamp);
        }
    }
    Ok(None)
}

/// The largest timestamp in a batch from the offset `start` on.
fn newest_from(batch: &[u8], start: i64) -> i64 {
    let Ok(header) = BatchHeader::decode(batch) else { return i64::MIN };
    if header.base_offset >= start || header.timestamp_type() == TimestampType::LogAppendTime {
        return header.max_timestamp;
    }
    let mut newest = i64::MIN;
    while let Ok(Some(found)) = search(batch, start, |timestamp| timestamp > newest) {
        newest = found.timestamp;
    }
    newest
}

/// The header of bytes that are one batch, as far as a log depends on it.
pub(crate) fn whole(batch: &[u8]) -> Option<BatchHeader> {
    let header = BatchHeader::decode(batch).ok()?;
    (header.size() == batch.len() && header.last_offset_delta >= 0).then_some(header)
}

/// Checks what a producer sent for one partition: exactly one whole batch that is what its header says.
pub(crate) fn validate(records: &[u8]) -> Result<BatchHeader, Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(code, message));
    let header = match BatchHeader::decode(records) {
        Ok(header) => header,
        Err(error) => return refuse(ErrorCode::CorruptMessage, &error.to_string()),
    };
    if header.size() > records.len() {
        return refuse(ErrorCode::CorruptMessage, "the batch is not all there");
    }
    if header.size() < records.len() {
        return refuse(ErrorCode::InvalidRecord, "a partition takes exactly one batch a request");
    }
    if let Err(error) = records::check_crc(records) {
        return refuse(ErrorCode::CorruptMessage, &error.to_string());
    }
    if header.record_count == 0 || header.record_count.checked_sub(1) != Some(header.last_offset_delta) {
        return refuse(ErrorCode::InvalidRecord, "the count of records is not that of their offsets");
    }
    if header.is_control() {
        return refuse(ErrorCode::InvalidRecord, "clients cannot write control batches");
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return refuse(ErrorCode::InvalidRecord, "a producer's id without its epoch or sequence");
    }
    if header.compression().is_err() {
        return refuse(ErrorCode::UnsupportedCompressionType, "unknown compression");
    }
    Ok(header)
}
