//! The walk over one slice: check a batch, decompress it, hand out its records, once.

use std::{ops::Range, sync::Arc};

use ottla_protocol::{
    DecodeError,
    records::{BatchHeader, BatchWalk, Compression, Decompressor, RecordSpan, check_crc},
};

use super::{
    block::{Block, Bytes, HoldsBytes},
    inflated::InflatedPool,
    records::Records,
    shared::{Slot, Tally},
};
use crate::{
    fetch::Aborted,
    ids::{LaneEpoch, PartIdx, TopicPartition},
    lanes::{Admission, Slice},
};

/// Makes batches readable. Each reader has its own, so that the contexts are reused.
#[derive(Debug)]
pub(super) struct Unpacker {
    pub(super) decompressor: Decompressor,
    pub(super) pool: InflatedPool,
    pub(super) check_crcs: bool,
    pub(super) max_decompressed: usize,
    pub(super) tally: Tally,
}

/// A reader's place in a slice.
#[derive(Debug)]
pub(super) struct Cursor<F> {
    pub(super) part: PartIdx,
    pub(super) epoch: LaneEpoch,
    /// The offset behind the last record handed out.
    pub(super) position: i64,
    slot: Slot,
    pub(super) admission: Admission,
    /// The position from which on the reader looks at the consumer before it hands out another record.
    pub(super) look_at: i64,
    frame: F,
    /// The batches still to come.
    rest: Range<usize>,
    aborted: Option<Aborted>,
    next: i64,
    block: Arc<Block<F>>,
    walk: Option<BatchWalk>,
    batch_end: i64,
}

impl<F: HoldsBytes + Clone> Cursor<F> {
    pub(super) fn new(slice: Slice<F>, at: TopicPartition, slot: Slot) -> Self {
        let Slice { broker, topic_id, leader_epoch, .. } = slice;
        let block = Block { at, broker, topic_id, leader_epoch, bytes: Bytes::Fetched(slice.frame.clone()) };
        Self {
            part: slice.part,
            epoch: slice.epoch,
            position: slice.start,
            slot,
            admission: Admission::Open,
            look_at: i64::MAX,
            frame: slice.frame,
            rest: slice.bytes.start as usize..slice.bytes.end as usize,
            aborted: slice.aborted,
            next: slice.next,
            block: Arc::new(block),
            walk: None,
            batch_end: slice.start,
        }
    }

    pub(super) fn at(&self) -> &TopicPartition {
        &self.block.at
    }

    pub(super) fn block(&self) -> &Arc<Block<F>> {
        &self.block
    }

    /// Whether there is nothing left to hand out.
    pub(super) fn is_spent(&self) -> bool {
        self.walk.is_none() && self.rest.is_empty()
    }

    /// The user is back from all records before the position. The consumer sees it in the slot, without asking the
    /// reader.
    #[inline]
    pub(super) fn acknowledge(&self) {
        self.slot.store(self.position);
    }

    /// The next record of the batch at hand.
    #[inline(always)]
    fn next_in_batch(&mut self) -> Option<Result<RecordSpan, DecodeError>> {
        let walk = self.walk.as_mut()?;
        loop {
            match walk.next(self.block.bytes()) {
                // A fetch brings whole batches: the first may begin before the position.
                Some(Ok(span)) if span.offset < self.position => {}
                Some(Ok(span)) => {
                    self.position = span.offset + 1;
                    return Some(Ok(span));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.walk = None;
                    self.position = self.position.max(self.batch_end);
                    return None;
                }
            }
        }
    }

    /// The next record of the slice. `None` at its end: the position is then behind its last batch.
    #[inline(always)]
    pub(super) fn next(&mut self, unpacker: &mut Unpacker) -> Option<Result<RecordSpan, DecodeError>> {
        loop {
            if let Some(record) = self.next_in_batch() {
                return Some(record);
            }
            if self.rest.is_empty() {
                self.position = self.position.max(self.next);
                return None;
            }
            if let Err(error) = self.open_batch(unpacker) {
                return Some(Err(error));
            }
        }
    }

    /// Goes past markers and aborted batches, where nothing else of the slice comes before them: who has read the last record
    /// before them has read all, and commits the offset behind them.
    pub(super) fn pass_hidden(&mut self, unpacker: &mut Unpacker) {
        // What is behind the last record of a batch is damage, which is told when reading goes on.
        let ends =
            |walk: &BatchWalk| walk.remaining() == 0 && walk.clone().next(self.block.bytes()).is_none();
        if !self.walk.as_ref().is_none_or(ends) || !self.hides_next() {
            return;
        }
        self.walk = None;
        self.position = self.position.max(self.batch_end);
        // So is damage that is found here.
        while self.hides_next() && self.open_batch(unpacker).is_ok() {}
        if self.rest.is_empty() {
            self.position = self.position.max(self.next);
        }
    }

    fn hides_next(&self) -> bool {
        let rest = self.frame.bytes().get(self.rest.clone()).unwrap_or_default();
        BatchHeader::decode(rest).is_ok_and(|header| self.hides(&header))
    }

    /// Adds records of the slice while there is room for them. It does so batch by batch, so that for each record
    /// nothing but its place is written.
    pub(super) fn fill(
        &mut self,
        unpacker: &mut Unpacker,
        records: &mut Records<F>,
        most: usize,
    ) -> Result<(), DecodeError> {
        loop {
            if let Some(mut walk) = self.walk.take() {
                let start = records.spans.len();
                records.spans.reserve(walk.remaining().min(most - start));
                let end = self.fill_from(&mut walk, records, most);
                records.end_run(&self.block, start);
                match end {
                    Some(end) => {
                        end?;
                        self.position = self.position.max(self.batch_end);
                    }
                    None => {
                        self.walk = Some(walk);
                        return Ok(());
                    }
                }
            }
            if self.rest.is_empty() {
                self.position = self.position.max(self.next);
                return Ok(());
            }
            if !records.has_room(most) {
                return Ok(());
            }
            self.open_batch(unpacker)?;
        }
    }

    /// Walks a batch to its end. `None` where there are enough records before that. A function of its own, so that registers
    /// are its own, too: inlined into a future, it spills them for each record.
    #[inline(never)]
    fn fill_from(
        &mut self,
        walk: &mut BatchWalk,
        records: &mut Records<F>,
        most: usize,
    ) -> Option<Result<(), DecodeError>> {
        let (bytes, mut position) = (self.block.bytes(), self.position);
        let end = loop {
            if records.spans.len() >= most {
                break None;
            }
            match walk.next(bytes) {
                // A fetch brings whole batches: the first may begin before the position.
                Some(Ok(span)) if span.offset < position => {}
                Some(Ok(span)) => {
                    position = span.offset + 1;
                    records.spans.push(span);
                }
                Some(Err(error)) => break Some(Err(error)),
                None => break Some(Ok(())),
            }
        };
        self.position = position;
        end
    }

    /// Whether the batch has nothing that the user is to see.
    fn hides(&self, header: &BatchHeader) -> bool {
        header.is_control() || self.aborted.as_ref().is_some_and(|aborted| aborted.has(header))
    }

    #[inline(never)]
    fn open_batch(&mut self, unpacker: &mut Unpacker) -> Result<(), DecodeError> {
        let start = self.rest.start;
        let bytes = self.frame.bytes().get(self.rest.clone()).unwrap_or_default();
        let header = BatchHeader::decode(bytes)?;
        let batch = bytes.get(..header.size()).unwrap_or(bytes);
        if unpacker.check_crcs {
            check_crc(batch)?;
        }
        let compression = header.compression()?;
        self.batch_end = header.next_offset();
        self.rest.start = (start + header.size()).min(self.rest.end);
        if self.hides(&header) || self.batch_end <= self.position {
            self.position = self.position.max(self.batch_end);
            return Ok(());
        }
        let records = match compression {
            Compression::None => {
                if !matches!(self.block.bytes, Bytes::Fetched(_)) {
                    self.block = Arc::new(self.block.with(Bytes::Fetched(self.frame.clone())));
                }
                header.records_range(start)
            }
            codec => {
                let packed = batch.get(BatchHeader::SIZE..).unwrap_or_default();
                // Where nobody kept a record of the batch before, its memory serves again.
                if let Some(Block { bytes: bytes @ Bytes::Inflated(_), .. }) = Arc::get_mut(&mut self.block) {
                    *bytes = Bytes::Fetched(self.frame.clone());
                }
                let mut inflated = unpacker.pool.take();
                unpacker.decompressor.decompress(
                    codec,
                    packed,
                    &mut inflated.bytes,
                    unpacker.max_decompressed,
                )?;
                let records = 0..inflated.bytes.len();
                let bytes = Bytes::Inflated(inflated);
                match Arc::get_mut(&mut self.block) {
                    Some(block) => block.bytes = bytes,
                    None => self.block = Arc::new(self.block.with(bytes)),
                }
                records
            }
        };
        // Where the first batch begins before the position, its first records are passed over.
        let before = self.position.saturating_sub(header.base_offset).max(0);
        let count = i64::from(header.record_count).saturating_sub(before).max(0);
        unpacker.tally.add_batch(count.unsigned_abs(), records.len() as u64);
        self.walk = Some(BatchWalk::new(&header, records));
        Ok(())
    }
}
