//! Records of several partitions, gathered for one call.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use ottla_protocol::records::RecordSpan;

use super::{
    Handed,
    block::{Block, HoldsBytes},
};
use crate::{ids::TopicPartition, offsets::CommittedOffset};

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

/// Neighbouring records in one block. The runs follow each other as their records do, and no record is in none.
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

impl<F> Clone for Records<F> {
    fn clone(&self) -> Self {
        let (spans, runs, next) = (self.spans.clone(), self.runs.clone(), self.next.clone());
        Self { spans, runs, next, inflated: self.inflated }
    }
}

impl<F> Clone for Run<F> {
    fn clone(&self) -> Self {
        Self { block: self.block.clone(), spans: self.spans.clone() }
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

    /// The offsets at which reading goes on, to be committed, by partition: one for each slice that was walked, the newest last.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&TopicPartition, CommittedOffset)> {
        self.next.iter().map(|(block, next)| (&block.at, block.to_commit(*next)))
    }

    /// Every record: the block that it is in, the block's bytes, and its place there.
    pub fn iter(&self) -> RecordsIter<'_, F> {
        self.walk(&self.runs, None)
    }

    /// The partitions that there are records of, and a walk over those of each.
    pub fn by_partition(&self) -> BTreeMap<&TopicPartition, RecordsIter<'_, F>> {
        // Of each partition its first run and its last: a slice's runs lie together, and few are between two slices.
        let mut ends: BTreeMap<&TopicPartition, Range<usize>> = BTreeMap::new();
        for (index, run) in self.runs.iter().enumerate() {
            ends.entry(&run.block.at).or_insert(index..index).end = index + 1;
        }
        let walk = |(at, runs): (_, Range<usize>)| {
            let runs = self.runs.get(runs).unwrap_or_default();
            (at, self.walk(runs, Some(at)))
        };
        ends.into_iter().map(walk).collect()
    }

    fn walk<'a>(&'a self, runs: &'a [Run<F>], only: Option<&'a TopicPartition>) -> RecordsIter<'a, F> {
        RecordsIter { records: self, runs: runs.iter(), only, block: None, bytes: &[], spans: [].iter() }
    }
}

impl<F> IntoIterator for Records<F> {
    type Item = Handed<F>;
    type IntoIter = RecordsIntoIter<F>;

    fn into_iter(self) -> RecordsIntoIter<F> {
        let (runs, spans) = (self.runs.into_iter(), self.spans.into_iter());
        RecordsIntoIter { runs, block: None, left: 0, spans }
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
    /// The runs of other partitions are passed over.
    only: Option<&'a TopicPartition>,
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
        let runs = self.runs.clone().filter(|run| self.admits(run));
        self.spans.len() + runs.map(|run| run.spans.len()).sum::<usize>()
    }

    fn admits(&self, run: &Run<F>) -> bool {
        self.only.is_none_or(|only| *only == run.block.at)
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
            if !self.admits(run) {
                continue;
            }
            (self.block, self.bytes) = (Some(&run.block), run.block.bytes());
            self.spans = self.records.spans.get(run.spans.clone()).unwrap_or_default().iter();
        }
    }
}

/// Walks [`Records`], and hands each out by itself: the memory of those that were walked is kept by who has them alone.
#[derive(Debug)]
pub struct RecordsIntoIter<F> {
    runs: std::vec::IntoIter<Run<F>>,
    /// Of the run at hand.
    block: Option<Arc<Block<F>>>,
    /// How many of the run at hand are still to come.
    left: usize,
    spans: std::vec::IntoIter<RecordSpan>,
}

impl<F> Iterator for RecordsIntoIter<F> {
    type Item = Handed<F>;

    fn next(&mut self) -> Option<Handed<F>> {
        while self.left == 0 {
            let run = self.runs.next()?;
            (self.block, self.left) = (Some(run.block), run.spans.len());
        }
        self.left -= 1;
        let block = match self.left {
            0 => self.block.take(),
            _ => self.block.clone(),
        };
        Some(Handed { block: block?, span: self.spans.next()? })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::{
        TopicId,
        records::{BatchBuilder, BatchHeader, BatchWalk, Compression, Compressor, Header},
    };

    use super::{super::block::Bytes, *};
    use crate::ids::NodeId;

    type Frame = Arc<Vec<u8>>;

    impl HoldsBytes for Vec<u8> {
        fn bytes(&self) -> &[u8] {
            self
        }
    }

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    /// As a reader gathers them: of each run the partition, and its offsets. Keys tell the place.
    fn records(runs: &[(i32, Range<i64>)]) -> Records<Frame> {
        let mut records = Records::default();
        for (partition, offsets) in runs {
            let mut builder = BatchBuilder::new(Compression::None, 1 << 20).base_offset(offsets.start);
            for offset in offsets.clone() {
                let key = format!("{partition}@{offset}");
                builder.append(offset, Some(key.as_bytes()), None, [] as [Header<'_>; 0]).unwrap();
            }
            let batch = builder.finish(&mut Compressor::new());
            let header = BatchHeader::decode(&batch).unwrap();
            let mut walk = BatchWalk::new(&header, header.records_range(0));
            let (start, frame) = (records.spans.len(), Arc::new(batch));
            while let Some(span) = walk.next(&frame) {
                records.spans.push(span.unwrap());
            }
            let (at, bytes) = (at(*partition), Bytes::Fetched(frame));
            let block =
                Arc::new(Block { at, broker: NodeId(1), topic_id: TopicId::ZERO, leader_epoch: None, bytes });
            records.end_run(&block, start);
            records.end_slice(&block, offsets.end);
        }
        records
    }

    fn place<'a>((block, bytes, span): (&'a Arc<Block<Frame>>, &'a [u8], &'a RecordSpan)) -> (i32, i64) {
        let (partition, offset) = (block.at.partition, span.offset);
        assert_eq!(span.key.of(bytes), Some(format!("{partition}@{offset}").as_bytes()));
        (partition, offset)
    }

    fn owned_place(handed: &Handed<Frame>) -> (i32, i64) {
        place((&handed.block, handed.block.bytes(), &handed.span))
    }

    #[test]
    fn records_are_walked_in_the_order_in_which_they_were_gathered_borrowed_or_owned() {
        let records = records(&[(0, 0..3), (1, 7..9), (0, 3..4)]);
        let expected = [(0, 0), (0, 1), (0, 2), (1, 7), (1, 8), (0, 3)];
        assert_eq!(records.iter().map(place).collect::<Vec<_>>(), expected);
        let copy = records.clone();
        assert_eq!(records.into_iter().map(|handed| owned_place(&handed)).collect::<Vec<_>>(), expected);
        assert_eq!(copy.iter().map(place).collect::<Vec<_>>(), expected);
        assert!(Records::<Frame>::default().into_iter().next().is_none());
    }

    #[test]
    fn a_walk_tells_how_many_are_still_to_come() {
        let records = records(&[(0, 0..3), (1, 7..9), (0, 3..4)]);
        let mut borrowed = records.iter();
        let mut owned = records.clone().into_iter();
        for left in (0..6).rev() {
            assert!(borrowed.next().is_some() && owned.next().is_some());
            assert_eq!((borrowed.remaining(), owned.size_hint()), (left, (left, Some(left))));
        }
        assert!(borrowed.next().is_none() && owned.next().is_none() && owned.next().is_none());
    }

    #[test]
    fn each_partition_has_all_of_its_records_in_order_and_none_of_others() {
        let records = records(&[(1, 7..9), (0, 0..2), (2, 5..6), (0, 2..3), (1, 9..10)]);
        let by_partition = records.by_partition();
        assert_eq!(by_partition.keys().copied().collect::<Vec<_>>(), [&at(0), &at(1), &at(2)]);
        for (partition, offsets) in [(0, 0..3), (1, 7..10), (2, 5..6)] {
            let walk = by_partition[&at(partition)].clone();
            assert_eq!(walk.remaining(), offsets.clone().count());
            assert_eq!(
                walk.map(place).collect::<Vec<_>>(),
                offsets.map(|o| (partition, o)).collect::<Vec<_>>()
            );
        }
        assert!(Records::<Frame>::default().by_partition().is_empty());
    }

    #[test]
    fn memory_that_was_walked_is_kept_by_who_has_its_records_alone() {
        let records = records(&[(0, 0..2), (1, 0..1)]);
        let memory = Arc::downgrade(&records.runs[0].block);
        let mut owned = records.into_iter();
        let first = owned.next().unwrap();
        let second = owned.next().unwrap();
        drop(first);
        assert_eq!(owned_place(&second), (0, 1));
        drop(second);
        assert!(memory.upgrade().is_none(), "though another block is still to be walked: {owned:?}");
    }
}
