//! Batches as logs have them since Kafka 0.11 (magic 2), and their records.

use anyhow::{Context, Result, bail, ensure};
use ottla_bench_child::Meter;

/// Offset and length, which are not counted in the length.
const BEFORE_LENGTH_COUNTS: usize = 12;
const HEADER: usize = 61;
const MAGIC: u8 = 2;
const LZ4_MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const LARGEST: usize = 256 << 20;

/// A whole batch.
pub(crate) struct Batch<'a> {
    header: &'a [u8; HEADER],
    bytes: &'a [u8],
    /// As the log has them: maybe compressed.
    packed: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Takes the next one off `bytes`, if it is there whole: the last may be cut off.
    pub(crate) fn next(bytes: &mut &'a [u8]) -> Result<Option<Self>> {
        let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes(part(header, 8)) as usize;
        let Some((batch, rest)) = bytes.split_at_checked(BEFORE_LENGTH_COUNTS + length) else {
            return Ok(None);
        };
        ensure!(part(header, 16) == [MAGIC], "a batch of another magic");
        let packed = batch.get(HEADER..).context("a batch that is shorter than its header")?;
        *bytes = rest;
        Ok(Some(Self { header, bytes: batch, packed }))
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> i32 {
        i32::from_be_bytes(part(self.header, 57))
    }

    /// Of the batch behind.
    pub(crate) fn next_offset(&self) -> i64 {
        let last_delta = i32::from_be_bytes(part(self.header, 23));
        i64::from_be_bytes(part(self.header, 0)) + i64::from(last_delta) + 1
    }

    fn codec(&self) -> i16 {
        i16::from_be_bytes(part(self.header, 21)) & 0b111
    }

    /// The sum is of everything behind it.
    pub(crate) fn check_crc(&self) -> Result<()> {
        let sum = crc32c::crc32c(self.bytes.get(21..).unwrap_or_default());
        ensure!(sum == u32::from_be_bytes(part(self.header, 17)), "a damaged batch");
        Ok(())
    }
}

/// `N` bytes of a header, which is longer than what is asked of it.
fn part<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    header.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Decompresses, always into the same buffer.
pub(crate) struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    buffer: Vec<u8>,
}

impl Unpacker {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, buffer: Vec::new() })
    }

    /// A batch's records.
    pub(crate) fn unpack<'a>(&'a mut self, batch: &Batch<'a>) -> Result<&'a [u8]> {
        match batch.codec() {
            0 => Ok(batch.packed),
            3 => self.lz4(batch.packed).context("LZ4"),
            4 => self.zstd(batch.packed).context("zstd"),
            codec => bail!("codec {codec}: the bench has no such topic"),
        }
    }

    /// One frame, as Java writes it: of independent blocks. The frame's own checksums are passed over, as the batch's CRC
    /// is of the same bytes.
    fn lz4(&mut self, packed: &[u8]) -> Result<&[u8]> {
        let (header, mut rest) = packed.split_first_chunk::<7>().context("no frame")?;
        let [magic @ .., flags, sizes, _checksum] = *header;
        ensure!(magic == LZ4_MAGIC, "no frame");
        let (independent, block_checksums, content_size) = (1 << 5, 1 << 4, 1 << 3);
        ensure!(flags & (independent | block_checksums | content_size) == independent, "another frame");
        let largest = 1_usize << (8 + 2 * (sizes >> 4 & 0b111));
        let mut end = 0;
        loop {
            let (size, behind) = rest.split_first_chunk().context("cut off")?;
            let size = u32::from_le_bytes(*size);
            if size == 0 {
                return Ok(self.buffer.get(..end).unwrap_or_default());
            }
            let stored = size >> 31 == 1;
            let (block, behind) = behind.split_at_checked((size & !(1 << 31)) as usize).context("cut off")?;
            rest = behind;
            // What was here before is written over, and need not be zeroed again.
            if self.buffer.len() < end + largest {
                self.buffer.resize(end + largest, 0);
            }
            let place = self.buffer.get_mut(end..end + largest).unwrap_or_default();
            end += if stored {
                place.get_mut(..block.len()).context("too large a block")?.copy_from_slice(block);
                block.len()
            } else {
                lz4_flex::block::decompress_into(block, place)?
            };
        }
    }

    /// One frame, which does not tell how large it will be, as Java writes it.
    fn zstd(&mut self, packed: &[u8]) -> Result<&[u8]> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(1 << 16);
        }
        loop {
            match self.zstd.decompress_to_buffer(packed, &mut self.buffer) {
                Ok(_) => return Ok(&self.buffer),
                Err(error) if self.buffer.capacity() >= LARGEST => return Err(error.into()),
                // It may have been too small.
                Err(_) => {
                    self.buffer.clear();
                    self.buffer.reserve(2 * self.buffer.capacity());
                }
            }
        }
    }
}

/// Walks so many records; none if they are not as long as they say, or not so many.
pub(crate) fn walk(mut records: &[u8], count: i32, meter: &mut Meter) -> Option<()> {
    for _ in 0..count {
        let size = usize::try_from(varint(&mut records)?).ok()?;
        let (mut record, rest) = records.split_at_checked(size)?;
        records = rest;
        let (_attributes, fields) = record.split_first()?;
        record = fields;
        let _timestamp_delta = varint(&mut record)?;
        let _offset_delta = varint(&mut record)?;
        let key = field(&mut record)?;
        let value = field(&mut record)?;
        for _header in 0..varint(&mut record)? {
            let (_key, _value) = (field(&mut record)?, field(&mut record)?);
        }
        if !record.is_empty() {
            return None;
        }
        meter.add(key, value);
    }
    records.is_empty().then_some(())
}

/// Its length, and so many bytes; null where the length is negative.
#[inline(always)]
fn field<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(size) = usize::try_from(varint(bytes)?) else { return Some(None) };
    let (field, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some(Some(field))
}

/// Seven bits a byte, the lowest first; the sign is the lowest of all. Nearly all have one byte or two.
#[inline(always)]
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let value = match **bytes {
        [first @ ..0x80, ref rest @ ..] => {
            *bytes = rest;
            u64::from(first)
        }
        [first, second @ ..0x80, ref rest @ ..] => {
            *bytes = rest;
            u64::from(first & 0x7f) | u64::from(second) << 7
        }
        _ => long_varint(bytes)?,
    };
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

#[cold]
fn long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
