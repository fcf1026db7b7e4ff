//! Records of several partitions, gathered for one call.

use std::{ops::Range, sync::Arc};

use ottla_protocol::records::RecordSpan;

use super::block::{Block, HoldsBytes};
use crate::{ids::TopicPartition, offsets::Position};

/// Records of several partitions, each partition's in order. They own the memory that they lie in.
#[derive(Debug)]
pub struct Records<F> {
    pub(super) spans: Vec<RecordSpan>,
    runs: Vec<Run<F>>,
    /// Where each slice that was walked goes on, the newest last.
    next: Vec<(Arc<Block<F>>, i64)>,
    /// Bytes in decompressed batches.
    inflated: usize,
}

/// Neighbouring records in one block.
#[derive(Debug)]
struct Run<F> {
    block: Arc<Block<F>>,
    spans: Range<usize>,
}

impl<F> Default for Records<F> {
    fn default() -> Self {
        Self { spans: Vec::new(), runs: Vec::new(), next: Vec::new(), inflated: 0 }
    }
}

impl<F> Records<F> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The positions at which reading goes on, by partition: one for each slice that was walked, the newest last.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&TopicPartition, Position)> {
        let position = |block: &Block<F>, offset| Position { offset, leader_epoch: block.leader_epoch };
        self.next.iter().map(move |(block, next)| (&block.at, position(block, *next)))
    }

    /// Every record: the block that it is in, the block's bytes, and its place there.
    pub fn iter(&self) -> RecordsIter<'_, F> {
        RecordsIter { records: self, runs: self.runs.iter(), block: None, bytes: &[], spans: [].iter() }
    }
}

impl<F: HoldsBytes> Records<F> {
    /// Whether more records may be added, up to `most`. The bytes of decompressed batches are limited here, as they
    /// are outside the byte budget.
    pub(super) fn has_room(&self, most: usize) -> bool {
        const INFLATED_MAX: usize = 4 << 20;
        self.spans.len() < most && self.inflated < INFLATED_MAX
    }

    /// The slice that `block` is of goes on at `next`.
    pub(super) fn end_slice(&mut self, block: &Arc<Block<F>>, next: i64) {
        self.next.push((block.clone(), next));
    }

    /// The records pushed last, from the one with this index on, lie in `block`.
    pub(super) fn end_run(&mut self, block: &Arc<Block<F>>, start: usize) {
        let end = self.spans.len();
        match self.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.block, block) => run.spans.end = end,
            _ if start < end => {
                self.inflated += block.inflated_size();
                self.runs.push(Run { block: block.clone(), spans: start..end });
            }
            _ => {}
        }
    }
}

/// Walks [`Records`].
#[derive(Debug)]
pub struct RecordsIter<'a, F> {
    records: &'a Records<F>,
    runs: std::slice::Iter<'a, Run<F>>,
    block: Option<&'a Arc<Block<F>>>,
    /// The block's bytes.
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, RecordSpan>,
}

impl<F> Clone for RecordsIter<'_, F> {
    fn clone(&self) -> Self {
        Self { runs: self.runs.clone(), spans: self.spans.clone(), ..*self }
    }
}

impl<F> RecordsIter<'_, F> {
    /// How many are still to come.
    pub fn remaining(&self) -> usize {
        self.spans.len() + self.runs.clone().map(|run| run.spans.len()).sum::<usize>()
    }
}

impl<'a, F: HoldsBytes> Iterator for RecordsIter<'a, F> {
    type Item = (&'a Arc<Block<F>>, &'a [u8], &'a RecordSpan);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let (Some(block), Some(span)) = (self.block, self.spans.next()) {
                return Some((block, self.bytes, span));
            }
            let run = self.runs.next()?;
            (self.block, self.bytes) = (Some(&run.block), run.block.bytes());
            self.spans = self.records.spans.get(run.spans.clone()).unwrap_or_default().iter();
        }
    }
}
