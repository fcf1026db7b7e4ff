//! The header of a record batch (magic 2, KIP-98): 61 bytes that say everything but the records.
//!
//! The driver walks headers to know offsets without decoding a record; the broker patches them in batches that it
//! stores as they came. Kafka's old message sets (magic 0 and 1) are an error here.

use std::{iter::FusedIterator, ops::Range};

use super::Compression;
use crate::codec::{DecodeError, DecodeErrorKind, Reader};

const MAGIC: u8 = 2;
/// Where the length field ends: what it counts comes after.
const LENGTH_END: usize = 12;
const EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
/// The CRC covers the batch from here, so that a broker may set offset and leader epoch without computing it anew.
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

const COMPRESSION_BITS: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// What a record's timestamp means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
// As wide as what stands beside it in a span, which is copied field by field: no room between is copied then.
#[repr(u32)]
pub enum TimestampType {
    /// The producer set it.
    CreateTime,
    /// The broker set it when it appended the batch; all records of the batch have the same.
    LogAppendTime,
}

/// The header of a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record that the batch was written with (compaction may have removed it since).
    pub base_offset: i64,
    /// How many bytes of the batch follow this field.
    pub batch_length: i32,
    /// The leader epoch in which the batch was appended; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// CRC-32C of what follows it.
    pub crc: u32,
    /// Bits: compression, timestamp type, transactional, control.
    pub attributes: i16,
    /// The offset of the last record that the batch was written with, from the base offset.
    pub last_offset_delta: i32,
    /// The timestamp that those of the records are counted from.
    pub base_timestamp: i64,
    /// The largest timestamp in the batch, or the time of the append.
    pub max_timestamp: i64,
    /// The producer's id; -1 where it is not idempotent.
    pub producer_id: i64,
    /// The producer's epoch; -1 where it is not idempotent.
    pub producer_epoch: i16,
    /// The sequence number of the first record; -1 where the producer is not idempotent.
    pub base_sequence: i32,
    /// How many records there are.
    pub record_count: i32,
}

impl BatchHeader {
    /// The header's size in bytes.
    pub const SIZE: usize = 61;

    /// Reads the header of the batch that `batch` begins with; whether its records are all there is not asked.
    ///
    /// Magic and length are judged before the rest is asked for, so that a tail too short for a header is told from one
    /// that is no batch.
    #[inline]
    pub fn decode(batch: &[u8]) -> Result<Self, DecodeError> {
        let bad = |field, kind| Err(DecodeError { field, offset: 0, kind });
        let truncated = DecodeErrorKind::Truncated { needed: Self::SIZE, remaining: batch.len() };
        let Some([_, _, _, _, _, _, _, _, l0, l1, l2, l3, _, _, _, _, magic]) = batch.first_chunk() else {
            return bad("", truncated);
        };
        if *magic != MAGIC {
            return bad("magic", DecodeErrorKind::UnsupportedMagic(magic.cast_signed()));
        }
        let batch_length = i32::from_be_bytes([*l0, *l1, *l2, *l3]);
        if batch_length < 0 {
            return bad("batch_length", DecodeErrorKind::NegativeLength(batch_length.into()));
        }
        if (batch_length as usize) < Self::SIZE - LENGTH_END {
            return bad("batch_length", DecodeErrorKind::Inconsistent("batch shorter than its header"));
        }
        let Some(header) = batch.first_chunk().and_then(Self::fields) else {
            return bad("", truncated);
        };
        if header.record_count < 0 {
            return bad("record_count", DecodeErrorKind::NegativeLength(header.record_count.into()));
        }
        let last = header.base_offset.checked_add(header.last_offset_delta.into());
        if header.base_offset < 0 || header.last_offset_delta < 0 || last.is_none_or(|last| last == i64::MAX)
        {
            return bad("base_offset", DecodeErrorKind::Inconsistent("offsets out of range"));
        }
        Ok(header)
    }

    /// The fields in order. Always `Some`, as the array has them all.
    #[inline]
    fn fields(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
            let (first, others) = rest.split_first_chunk()?;
            *rest = others;
            Some(*first)
        }
        let mut rest = bytes.as_slice();
        let r = &mut rest;
        let base_offset = i64::from_be_bytes(take(r)?);
        let batch_length = i32::from_be_bytes(take(r)?);
        let partition_leader_epoch = i32::from_be_bytes(take(r)?);
        let [_magic] = take(r)?;
        Some(Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc: u32::from_be_bytes(take(r)?),
            attributes: i16::from_be_bytes(take(r)?),
            last_offset_delta: i32::from_be_bytes(take(r)?),
            base_timestamp: i64::from_be_bytes(take(r)?),
            max_timestamp: i64::from_be_bytes(take(r)?),
            producer_id: i64::from_be_bytes(take(r)?),
            producer_epoch: i16::from_be_bytes(take(r)?),
            base_sequence: i32::from_be_bytes(take(r)?),
            record_count: i32::from_be_bytes(take(r)?),
        })
    }

    /// The header as bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let fields: [&[u8]; 13] = [
            &self.base_offset.to_be_bytes(),
            &self.batch_length.to_be_bytes(),
            &self.partition_leader_epoch.to_be_bytes(),
            &[MAGIC],
            &self.crc.to_be_bytes(),
            &self.attributes.to_be_bytes(),
            &self.last_offset_delta.to_be_bytes(),
            &self.base_timestamp.to_be_bytes(),
            &self.max_timestamp.to_be_bytes(),
            &self.producer_id.to_be_bytes(),
            &self.producer_epoch.to_be_bytes(),
            &self.base_sequence.to_be_bytes(),
            &self.record_count.to_be_bytes(),
        ];
        for (to, from) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        out
    }

    /// Writes the header over the first bytes of `batch`, with the whole's length and CRC.
    pub(super) fn seal(self, batch: &mut [u8]) {
        if let Some((header, records)) = batch.split_first_chunk_mut() {
            *header = self.sealed(records);
        }
    }

    /// The header as bytes, with the length and the CRC of the batch that it makes with these records behind it.
    pub(super) fn sealed(mut self, records: &[u8]) -> [u8; Self::SIZE] {
        self.batch_length = (Self::SIZE - LENGTH_END + records.len()) as i32;
        let covered = self.encode();
        let crc = crc32c::crc32c(covered.get(ATTRIBUTES_AT..).unwrap_or_default());
        self.crc = crc32c::crc32c_append(crc, records);
        self.encode()
    }

    /// The size of the whole batch in bytes, this header included.
    pub const fn size(&self) -> usize {
        LENGTH_END + self.batch_length as usize
    }

    /// Where the records lie, compressed or not, in bytes of which the batch begins at `batch_start`.
    pub const fn records_range(&self, batch_start: usize) -> Range<usize> {
        batch_start + Self::SIZE..batch_start + self.size()
    }

    /// The offset after the last one that the batch was written with: the position of who has read it.
    pub const fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(self.last_offset_delta as i64).saturating_add(1)
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Result<Compression, DecodeError> {
        let id = (self.attributes & COMPRESSION_BITS) as u8;
        Compression::from_id(id).ok_or(DecodeError {
            field: "attributes",
            offset: ATTRIBUTES_AT,
            kind: DecodeErrorKind::UnknownCompression(id),
        })
    }

    /// What the records' timestamps mean.
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the records belong to a transaction.
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the records are the log's own, such as the end of a transaction, and no user's.
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }
}

/// The attribute bits that a batch is built with.
pub(super) const fn attributes(compression: Compression, transactional: bool, control: bool) -> i16 {
    compression.id() as i16
        | if transactional { TRANSACTIONAL } else { 0 }
        | if control { CONTROL } else { 0 }
}

/// Walks the headers of the batches in `bytes`, as a fetch response has them, without a look at any record.
///
/// A broker cuts a response at its size limit, so the last batch may be there in part: it is left out, and
/// [`HeaderWalk::partial_tail`] says so. Nothing comes after an error.
pub const fn walk_headers(bytes: &[u8]) -> HeaderWalk<'_> {
    HeaderWalk { bytes, at: 0, partial_tail: false, ended: false }
}

/// See [`walk_headers`]: where each whole batch lies, and its header.
#[derive(Debug, Clone)]
pub struct HeaderWalk<'a> {
    bytes: &'a [u8],
    at: usize,
    partial_tail: bool,
    ended: bool,
}

impl HeaderWalk<'_> {
    /// Whether the walk has ended at a batch of which only a part is there.
    pub const fn partial_tail(&self) -> bool {
        self.partial_tail
    }

    /// Where the next batch begins; after the last, where the partial tail does.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// The next whole batch; `None` at the end.
    fn step(&mut self) -> Result<Option<(Range<usize>, BatchHeader)>, DecodeError> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        match BatchHeader::decode(rest) {
            Ok(header) if header.size() <= rest.len() => {
                self.at += header.size();
                Ok(Some((start..self.at, header)))
            }
            Ok(_) | Err(DecodeError { kind: DecodeErrorKind::Truncated { .. }, .. }) => {
                self.partial_tail = !rest.is_empty();
                Ok(None)
            }
            Err(error) => Err(DecodeError { offset: start, ..error }),
        }
    }
}

impl Iterator for HeaderWalk<'_> {
    type Item = Result<(Range<usize>, BatchHeader), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.step().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl FusedIterator for HeaderWalk<'_> {}

/// Compares the CRC of one batch, `batch` being its bytes and no more, with what its header says.
pub fn check_crc(batch: &[u8]) -> Result<(), DecodeError> {
    let mut r = Reader::new(batch);
    r.take(CRC_AT)?;
    let at = r.clone();
    let expected = u32::from_be_bytes(r.array()?);
    let actual = crc32c::crc32c(r.take(r.remaining())?);
    if expected == actual {
        return Ok(());
    }
    Err(at.error(DecodeErrorKind::CrcMismatch { expected, actual }).in_field("crc"))
}

/// Sets the base offset of one batch. The CRC stays valid: it does not cover it.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), DecodeError> {
    patch(batch, 0, base_offset.to_be_bytes())
}

/// Sets the leader epoch of one batch. The CRC stays valid: it does not cover it.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), DecodeError> {
    patch(batch, EPOCH_AT, epoch.to_be_bytes())
}

/// Gives all records of one batch the time of its append, and computes its CRC anew.
pub fn set_log_append_time(batch: &mut [u8], timestamp: i64) -> Result<(), DecodeError> {
    let attributes = BatchHeader::decode(batch)?.attributes | LOG_APPEND_TIME;
    patch(batch, ATTRIBUTES_AT, attributes.to_be_bytes())?;
    patch(batch, MAX_TIMESTAMP_AT, timestamp.to_be_bytes())?;
    set_crc(batch)
}

/// Computes the CRC of one batch and writes it.
fn set_crc(batch: &mut [u8]) -> Result<(), DecodeError> {
    let crc = crc32c::crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default());
    patch(batch, CRC_AT, crc.to_be_bytes())
}

fn patch<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) -> Result<(), DecodeError> {
    let kind = DecodeErrorKind::Truncated { needed: BatchHeader::SIZE, remaining: batch.len() };
    let place = batch.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    *place.ok_or(DecodeError { field: "", offset: 0, kind })? = value;
    Ok(())
}
