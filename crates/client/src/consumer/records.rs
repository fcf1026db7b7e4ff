//! What one `poll` returns, and the ways through it.

use std::{collections::BTreeMap, iter::FusedIterator, sync::Arc};

use ottla_core::{CommittedOffset, TopicPartition};

use super::{OwnedRecord, Record};
use crate::net::frame_pool::Frame;

/// Records of several partitions, each partition's in order.
///
/// They own the memory that they lie in, so that a commit may follow while they are alive. As long as they are kept, what
/// was fetched counts against [`buffer_memory`](crate::ConsumerBuilder::buffer_memory); what compressed batches decompress
/// to does not, and a poll ends once that is 4 MiB. A clone shares the memory: it copies where each record lies (48 bytes a
/// record), and no record.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn run(mut consumer: ottla::Consumer) -> Result<(), Box<dyn std::error::Error>> {
/// let records = consumer.poll(Duration::from_millis(500)).await?;
/// for (at, of_it) in records.by_partition() {
///     println!("{at}: {} records", of_it.len());
///     for record in of_it {
///         println!("{} {:?}", record.offset(), record.value());
///     }
/// }
/// consumer.commit_offsets(records.next_offsets()).await?;
/// # Ok(())
/// # }
/// ```
///
/// To iterate over `&records` costs nothing per record; over `records` itself, one reference count, and each record can
/// then be kept, or sent to another task, by itself:
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn store(record: ottla::OwnedRecord) {}
/// # async fn run(mut consumer: ottla::Consumer) -> Result<(), Box<dyn std::error::Error>> {
/// for record in consumer.poll(Duration::from_millis(500)).await? {
///     tokio::spawn(store(record));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Records(pub(super) ottla_core::Records<Arc<Frame>>);

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: the time passed without any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every record.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// Of each partition the offset to commit once all of these are done: behind its last record, and behind what follows
    /// that no consumer is handed, such as the markers of transactions (KIP-945).
    pub fn next_offsets(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.0.next_offsets().map(|(at, next)| (at.clone(), next)).collect()
    }

    /// The partitions that there are records of, and their records in order. Nothing is gathered: each partition's are
    /// found as one iterates.
    pub fn by_partition(&self) -> BTreeMap<&TopicPartition, Iter<'_>> {
        self.0.by_partition().into_iter().map(|(at, records)| (at, Iter(records))).collect()
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other)
    }
}

impl Eq for Records {}

/// Walks [`Records`], or those of one partition: what [`Records::iter`] and [`Records::by_partition`] return.
#[derive(Debug, Clone)]
pub struct Iter<'a>(ottla_core::RecordsIter<'a, Arc<Frame>>);

impl<'a> Iterator for Iter<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        let (block, bytes, span) = self.0.next()?;
        Some(Record { block, bytes, span })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let remaining = self.0.remaining();
        (remaining, Some(remaining))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl FusedIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Records {
    type Item = Record<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Walks [`Records`], which it owns: each record can be kept by itself.
#[derive(Debug)]
pub struct IntoIter(ottla_core::RecordsIntoIter<Arc<Frame>>);

impl Iterator for IntoIter {
    type Item = OwnedRecord;

    fn next(&mut self) -> Option<OwnedRecord> {
        self.0.next().map(OwnedRecord)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for IntoIter {}

impl FusedIterator for IntoIter {}

impl IntoIterator for Records {
    type Item = OwnedRecord;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self.0.into_iter())
    }
}
