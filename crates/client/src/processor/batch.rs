//! Batches of records, and what handles them.

use std::{fmt, future::Future, sync::Arc};

use ottla_core::{TopicPartition, processing::JobId};

use super::{
    HandlerError, Handling, Outputs, Processor, engine::Engine, handler::Closure, pump, worker::Work,
};
use crate::{consumer::OwnedRecord, error::ProcessError};

/// Records of one partition, in order, to be handled together: what [`Processor::each_batch`] gives to its handler. There is at
/// least one.
pub struct Batch {
    pub(super) records: Vec<OwnedRecord>,
    pub(super) id: JobId,
    pub(super) attempt: u32,
    pub(super) high_watermark: Option<i64>,
    pub(super) engine: Arc<Engine>,
    pub(super) outputs: Option<Outputs>,
}

impl Batch {
    /// The records, in order.
    pub fn records(&self) -> &[OwnedRecord] {
        &self.records
    }

    /// The records, one after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, OwnedRecord> {
        self.records.iter()
    }

    /// The partition that all of them are of.
    pub fn topic_partition(&self) -> Option<&TopicPartition> {
        self.records.first().map(OwnedRecord::topic_partition)
    }

    /// Which attempt at its first record this is in this process: the first is 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The partition's high watermark when records of it were received last; `None` where the broker has not told it.
    pub fn high_watermark(&self) -> Option<i64> {
        self.high_watermark
    }

    /// How many offsets there were behind the last record of the batch, by [`high_watermark`](Self::high_watermark).
    pub fn lag(&self) -> Option<i64> {
        let last = self.records.last()?.offset();
        Some((self.high_watermark?.saturating_sub(last).saturating_sub(1)).max(0))
    }

    /// The records up to this offset, included, are done: they count as that also when the batch fails later. An offset before the
    /// batch changes nothing; one behind it resolves all of it. Of a batch that [is stale](Self::is_stale) because its partition was
    /// lost, or whose handler has ended, it counts for nothing.
    pub fn resolve_offset(&self, offset: i64) {
        self.engine.resolve(self.id, offset, self.outputs.as_ref());
    }

    /// What its handler writes to, where there are transactions.
    pub(super) fn outputs(&self) -> Outputs {
        let nowhere = || Outputs::new(TopicPartition::new("", 0), 0);
        self.outputs.clone().unwrap_or_else(nowhere)
    }

    /// Lets the processor commit what was resolved, if the [interval](Processor::commit_interval) since the last commit is over. It does so
    /// by itself too; this call lets other tasks run, so that it is not held up by a handler that awaits nothing else.
    pub async fn commit_if_due(&self) {
        tokio::task::yield_now().await;
    }

    /// Lets other tasks run, and does nothing else: the client's own thread sends heartbeats, however long a handler takes. It is there
    /// for who knows `heartbeat()` of kafkajs. A handler that is to end is dropped where it awaits, so also here.
    pub async fn heartbeat(&self) {
        tokio::task::yield_now().await;
    }

    /// Whether the processor goes on: `false` once it is to stop. What is not resolved then is read again by whoever has the
    /// partition next.
    pub fn is_running(&self) -> bool {
        self.engine.is_running()
    }

    /// Whether the partition is gone, or is to be given up: what is not resolved yet goes to another member. What is resolved within
    /// the time to [`drain`](Processor::drain) is committed.
    pub fn is_stale(&self) -> bool {
        self.engine.is_stale(self.id)
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a OwnedRecord;
    type IntoIter = std::slice::Iter<'a, OwnedRecord>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("records", &self.records)
            .field("attempt", &self.attempt)
            .field("high_watermark", &self.high_watermark)
            .finish_non_exhaustive()
    }
}

/// Handles batches: what [`Processor::each_batch_by`] takes, also as a trait object. A closure goes to [`Processor::each_batch`].
pub trait BatchHandler: Send + Sync + 'static {
    /// Handles a batch. What is returned is dropped before its end where it takes too long, or its partition is gone; a panic is
    /// caught, and counts as a failure.
    fn handle(&self, batch: Batch) -> Handling<'_>;
}

impl<H: BatchHandler + ?Sized> BatchHandler for Arc<H> {
    fn handle(&self, batch: Batch) -> Handling<'_> {
        (**self).handle(batch)
    }
}

impl<F, Fut, E> BatchHandler for Closure<F>
where
    F: Fn(Batch) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<HandlerError>,
{
    fn handle(&self, batch: Batch) -> Handling<'_> {
        let handling = (self.0)(batch);
        Box::pin(async move { handling.await.map_err(Into::into) })
    }
}

impl Processor {
    /// Handles the records that are in hand of a partition together, by a closure. A partition's batches follow each other; those of
    /// different partitions are handled in parallel, up to [`concurrency`](Self::concurrency) batches.
    ///
    /// When the handler returns `Ok`, all of the batch is done: see [`auto_resolve`](EachBatch::auto_resolve). When it fails, what it
    /// has [resolved](Batch::resolve_offset) is done, and the rest is tried again as by [`retries`](Self::retries). Once that has no
    /// attempt left, each of its records is tried alone, so that only one that fails alone is [hopeless](super::OnHopeless).
    /// [`handler_timeout`](Self::handler_timeout) is for a batch.
    ///
    /// With [`Order::Key`](super::Order::Key) a batch has the records in hand of one key of a partition, or one without a key. With
    /// [`Order::Unordered`](super::Order::Unordered) a batch has one record.
    ///
    /// ```no_run
    /// # async fn insert(_: &[ottla::OwnedRecord]) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn run(consumer: ottla::ConsumerBuilder) -> Result<(), ottla::ProcessError> {
    /// use ottla::Processor;
    ///
    /// Processor::new(consumer)
    ///     .each_batch(async |batch| {
    ///         for some in batch.records().chunks(100) {
    ///             if batch.is_stale() {
    ///                 break;
    ///             }
    ///             insert(some).await?;
    ///             some.iter().for_each(|record| batch.resolve_offset(record.offset()));
    ///         }
    ///         Ok::<_, std::io::Error>(())
    ///     })
    ///     .auto_resolve(false)
    ///     .run()
    ///     .await
    /// # }
    /// ```
    pub fn each_batch<F, Fut, E>(self, handler: F) -> EachBatch
    where
        F: Fn(Batch) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<HandlerError> + 'static,
    {
        self.each_batch_by(Closure(handler))
    }

    /// Handles the records that are in hand of a partition together, by a [`BatchHandler`]. As [`each_batch`](Self::each_batch).
    pub fn each_batch_by(self, handler: impl BatchHandler) -> EachBatch {
        EachBatch { processor: self, handler: Arc::new(handler), most: 500, auto_resolve: true }
    }
}

/// A processor that knows what to do with batches: to be run.
#[must_use = "nothing is handled until it runs"]
pub struct EachBatch {
    processor: Processor,
    handler: Arc<dyn BatchHandler>,
    most: usize,
    auto_resolve: bool,
}

impl EachBatch {
    /// How many records a batch has at the most. At least 1. Default 500, as Java's `max.poll.records`.
    pub fn max_records(mut self, most: usize) -> Self {
        self.most = most.max(1);
        self
    }

    /// Whether all of a batch is done when its handler returns `Ok`. Default `true`. Where it is not, only what was
    /// [resolved](Batch::resolve_offset) is: the rest comes again with the next batch of the partition, at once if anything was
    /// resolved, after a while if nothing was. That is no failure, and counts as no attempt. kafkajs' `eachBatchAutoResolve`.
    pub fn auto_resolve(mut self, auto_resolve: bool) -> Self {
        self.auto_resolve = auto_resolve;
        self
    }

    /// Runs until it cannot go on. As [`run_until`](Self::run_until).
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<(), ProcessError> {
        self.run_until(std::future::pending::<()>()).await
    }

    /// Runs until `stop` is ready. As [`EachMessage::run_until`](super::EachMessage::run_until).
    ///
    /// # Errors
    ///
    /// As [`EachMessage::run_until`](super::EachMessage::run_until).
    pub async fn run_until(self, stop: impl Future) -> Result<(), ProcessError> {
        let Self { processor, handler, most, auto_resolve } = self;
        pump::run(processor, Work::Batch { handler, most, auto_resolve }, stop).await
    }
}

impl fmt::Debug for EachBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachBatch")
            .field("processor", &self.processor)
            .field("max_records", &self.most)
            .field("auto_resolve", &self.auto_resolve)
            .finish_non_exhaustive()
    }
}
