//! What one `poll` returns.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use ottla_core::TopicPartition;
use ottla_protocol::records::RecordSpan;

use super::{Record, cursor::Block};

/// Records of several partitions, each partition's in order.
///
/// They own the memory that they lie in, so that a commit may follow while they are alive. As long as they are kept,
/// their bytes count against [`buffer_memory`](crate::ConsumerBuilder::buffer_memory).
#[derive(Debug, Default)]
pub struct Records {
    pub(super) spans: Vec<RecordSpan>,
    pub(super) runs: Vec<Run>,
    /// Bytes in decompressed batches.
    inflated: usize,
}

/// Neighbouring records in one block.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) block: Arc<Block>,
    pub(super) spans: Range<usize>,
}

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none: the time passed without any.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Every record.
    pub fn iter(&self) -> Iter<'_> {
        Iter { records: self, runs: self.runs.iter(), block: None, spans: [].iter() }
    }

    /// The partitions that there are records of, and their records.
    pub fn by_partition(&self) -> BTreeMap<&TopicPartition, Vec<Record<'_>>> {
        let mut by_partition: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in self {
            by_partition.entry(&record.block.at).or_default().push(record);
        }
        by_partition
    }

    /// Whether more of up to `most` records may be added. Decompressed batches are outside the byte budget, so they are
    /// few.
    pub(super) fn has_room(&self, most: usize) -> bool {
        const INFLATED_MAX: usize = 4 << 20;
        self.spans.len() < most && self.inflated < INFLATED_MAX
    }

    /// The records pushed last, from the one with this index on, lie in `block`.
    pub(super) fn end_run(&mut self, block: &Arc<Block>, start: usize) {
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
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    records: &'a Records,
    runs: std::slice::Iter<'a, Run>,
    block: Option<&'a Arc<Block>>,
    spans: std::slice::Iter<'a, RecordSpan>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            if let (Some(block), Some(span)) = (self.block, self.spans.next()) {
                return Some(Record { block, span });
            }
            let run = self.runs.next()?;
            self.block = Some(&run.block);
            self.spans = self.records.spans.get(run.spans.clone()).unwrap_or_default().iter();
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Record<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
