//! The processor: every record handled, in order where order matters, in parallel where it does not.
//!
//! The decisions are the core's (`ottla_core::processing`): which record is next, when one is tried again, what is committed. Here
//! are the tasks. The *pump* (`pump.rs`) receives records and commits, with *readers* beside it that receive only (`receiving.rs`);
//! *workers* (`worker.rs`) run handlers; the *rebalance listener* (`rebalance.rs`) drains what is revoked; the *post* (`post.rs`)
//! writes what is given up to retry topics and dead letters, as the *plan* (`plan.rs`) says; who reads *behind* (`behind.rs`) reads
//! retry topics in which records are held; the *bookkeeper* (`bookkeeper.rs`) commits in transactions, where there are any. They share
//! the machine under one lock (`engine.rs`), which is held for microseconds and never over an await.

mod batch;
mod behind;
mod blocking;
mod bookkeeper;
mod deduplication;
mod engine;
mod events;
mod handler;
mod hopeless;
mod monitor;
mod plan;
mod post;
mod pump;
mod rebalance;
mod receiving;
#[cfg(feature = "tower")]
mod service;
mod spans;
mod transactional;
mod typed;
mod worker;

use std::{fmt, future::Future, sync::Arc, time::Duration};

pub use ottla_core::processing::{FailureClass, Order, RetryPolicy, WhyHopeless};
use ottla_core::{
    bounded,
    dead_letters::DeadLetters,
    processing::{self, ProcessingConfig},
};

#[cfg(feature = "tower")]
pub use self::service::ServiceHandler;
pub use self::{
    batch::{Batch, BatchHandler, EachBatch},
    deduplication::{Deduplication, Known, RecentIds},
    events::{Outcome, ProcessorEvent, ProcessorEvents},
    handler::{Handler, HandlerError, HandlerFailure, Handling, Message},
    hopeless::{HopelessRecord, OnHopeless},
    monitor::{HandlerStats, ProcessorMonitor, ProcessorStats},
    spans::TraceContext,
    transactional::{Outputs, TransactionalProcessor},
};
use self::{
    deduplication::Deduplicated, events::Watchers, handler::Closure, monitor::Seen, plan::Plan, worker::Work,
};
use crate::{
    config::{ConsumerBuilder, ProducerBuilder},
    error::ProcessError,
};

/// How long a handler that was told to end has for it.
const GRACE: Duration = Duration::from_secs(1);

type Classify = Arc<dyn Fn(&HandlerFailure) -> FailureClass + Send + Sync>;

/// Handles every record that a group gives this member: in order where order matters, in parallel where it does not, again where a
/// handler fails. What is committed is what is done.
///
/// ```no_run
/// # async fn charge(_: &ottla::processor::Message) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn run(ctrl_c: impl Future) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use ottla::{Consumer, OffsetReset, Order, Processor, RetryPolicy};
///
/// let orders = Consumer::builder()
///     .bootstrap_servers("localhost:9092")
///     .group_id("billing")
///     .auto_offset_reset(OffsetReset::Earliest)
///     .subscribe("orders");
/// Processor::new(orders)
///     .order(Order::Key)
///     .concurrency(64)
///     .retries(RetryPolicy::exponential(Duration::from_millis(100)..=Duration::from_secs(10)).attempts(5))
///     .each_message(async |message| charge(&message).await)
///     .run_until(ctrl_c)
///     .await?;                                    // drains, commits, leaves
/// # Ok(())
/// # }
/// ```
///
/// What holds, whatever happens:
/// - **Nothing is lost.** Each record is handled at least once, unless the program has [hopeless ones](OnHopeless) skipped. What is
///   committed never passes a record that is not done.
/// - **Little is repeated.** What is done beyond a record that is not is written beside the committed offset, and is not repeated
///   after a restart or by another member. What was done since the last commit is.
/// - **Order.** Of a [line](Order) the next record begins when the one before is done, retries included.
/// - **Room.** What has arrived and is not done is [bounded](Self::in_flight); partitions are paused and resumed by themselves.
/// - **A slow handler is no dead member.** `max.poll.interval.ms` is never passed because a handler takes long: only
///   [`handler_timeout`](Self::handler_timeout) bounds it.
///
/// `docs/processing.md` in the repository has what each failure does, and the text beside offsets.
#[must_use = "nothing is handled until it runs"]
pub struct Processor {
    consumer: ConsumerBuilder,
    machine: ProcessingConfig,
    classify: Option<Classify>,
    drain: Duration,
    stalled_after: Duration,
    watchers: Watchers,
    /// What monitors see of it, where there are any.
    seen: Option<Arc<Seen>>,
    deduplicated: Option<Deduplicated>,
    /// The age beyond which records are not handled.
    oldest: Option<Duration>,
    /// Where records go that are given up, if they go anywhere.
    plan: Option<Plan>,
    retry_order: RetryOrder,
    /// Whose transactions commit what is done, if any do.
    transactional: Option<ProducerBuilder>,
    /// How many receive records.
    readers: usize,
}

impl Processor {
    /// Of the topics that this consumer subscribes to, in its group. The processor commits by itself, whatever
    /// [`enable_auto_commit`](ConsumerBuilder::enable_auto_commit) says. A
    /// [rebalance listener](ConsumerBuilder::rebalance_listener) is told as ever: of what is revoked when it has been drained and
    /// committed.
    pub fn new(consumer: ConsumerBuilder) -> Self {
        let machine = ProcessingConfig {
            order: Order::default(),
            concurrency: 16,
            retries: RetryPolicy::default(),
            on_hopeless: processing::OnHopeless::Stop,
            handler_timeout: None,
            room: processing::Room { records: 10_000, bytes: 32 << 20 },
            commit_interval: Duration::from_secs(1),
            seed: fastrand::u64(..),
        };
        Self {
            consumer,
            machine,
            classify: None,
            drain: Duration::from_secs(30),
            stalled_after: Duration::from_secs(60),
            watchers: Watchers::default(),
            seen: None,
            deduplicated: None,
            oldest: None,
            plan: None,
            retry_order: RetryOrder::default(),
            transactional: None,
            readers: 1,
        }
    }

    /// Which records wait for which. Default [`Order::Partition`].
    pub fn order(mut self, order: Order) -> Self {
        self.machine.order = order;
        self
    }

    /// How many records may be with handlers at once, of all partitions together. At least 1. Default 16.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.machine.concurrency = handlers.max(1);
        self
    }

    /// How a record whose handler failed is tried again. Default 5 attempts: see [`RetryPolicy`].
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.machine.retries = retries;
        self
    }

    /// Which failures may pass, in place of [`HandlerFailure::class`]: by that all may, panics and time-outs included, but those of
    /// [`HandlerError::fatal`]. Where it panics itself, the failure is fatal.
    pub fn classify(
        mut self,
        classify: impl Fn(&HandlerFailure) -> FailureClass + Send + Sync + 'static,
    ) -> Self {
        self.classify = Some(Arc::new(classify));
        self
    }

    /// What becomes of a record that is not tried any more. Default [`OnHopeless::Stop`]. In place of
    /// [`dead_letters`](Self::dead_letters) and [`retry_topics`](Self::retry_topics), if they were called before.
    pub fn on_hopeless(mut self, on_hopeless: OnHopeless) -> Self {
        self.machine.on_hopeless = on_hopeless.machine();
        self.plan = None;
        self
    }

    /// A record that is not tried any more goes to the dead letters, in place of what [`on_hopeless`](Self::on_hopeless) says. It
    /// counts as done once all in-sync replicas have it there, and keeps its place until then. Where it cannot be written, it is
    /// handled again after a while, as often as it takes: it is never skipped.
    ///
    /// They are written by a producer of the processor's own, with the consumer's connection properties. Their topics are made where
    /// they are missing, with as many partitions as the source has: for topics that are subscribed to by name when the processor
    /// begins to run, for those of a pattern when the first is written. A pattern should not match its own dead letters.
    pub fn dead_letters(mut self, letters: DeadLetters) -> Self {
        self.plan.get_or_insert_default().letters = letters;
        self.machine.on_hopeless = processing::OnHopeless::GiveAway;
        self
    }

    /// A record whose [`retries`](Self::retries) are used up waits in a topic for the first of these delays, and is handled again from
    /// there, with all its retries; then in that of the second, and so on. After the last it goes to the
    /// [`dead_letters`](Self::dead_letters), by default to `<topic>-dlt`; a failure that is fatal goes there at once. With
    /// [`RetryPolicy::none`] no record is tried twice in one place.
    ///
    /// The topics are `<topic>-retry-<milliseconds>` of each topic that the consumer subscribes to by name, made where they are missing,
    /// as those of the dead letters are. The processor reads them beside the topics themselves: all members of the group should have the
    /// same delays.
    ///
    /// While a record waits there, those behind it are not held up: with [`Order::Partition`] and [`Order::Key`] **later records of
    /// the same key overtake it**. Where that must not be, have them [held](RetryOrder::Held), or use [`retries`](Self::retries) alone, by
    /// which a record keeps its place.
    pub fn retry_topics(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.plan.get_or_insert_default().delays = delays.into_iter().collect();
        self.machine.on_hopeless = processing::OnHopeless::GiveAway;
        self
    }

    /// Whether later records of a key overtake one that waits in a retry topic, or follow it there. Default
    /// [`RetryOrder::Overtaken`].
    pub fn retry_order(mut self, order: RetryOrder) -> Self {
        self.retry_order = order;
        self
    }

    /// How long a handler may take with one record. After that it is logged with its record, dropped, and counts as failed. Default for
    /// ever.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.machine.handler_timeout = Some(bounded(timeout));
        self
    }

    /// How long handlers have to end when their partitions are revoked, or the processor stops. After that they are dropped, and
    /// their records are handled again, by whoever has the partition then. Default 30 s; shorter than
    /// [`rebalance_timeout`](ConsumerBuilder::rebalance_timeout), or the partitions are lost meanwhile.
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = bounded(time);
        self
    }

    /// About how many records, and bytes of their keys, values and headers, may have been received and not be done. Each partition has
    /// an equal share; one that has used it up is paused until half of it is free. Default 10,000 records and 32 MiB.
    ///
    /// Records are copied out of what was fetched: those that are slow, or wait, do not count against the consumer's
    /// [`buffer_memory`](ConsumerBuilder::buffer_memory), which is for what is on its way.
    pub fn in_flight(mut self, records: usize, bytes: usize) -> Self {
        self.machine.room = processing::Room { records: records.max(1), bytes: bytes.max(1) };
        self
    }

    /// How many tasks receive records: each decompresses, checks and copies those of other partitions than the others do at the time, so
    /// that this takes as many threads of the runtime. At least 1. Default 1, which is enough for about a million records a second.
    ///
    /// What holds of order, commits and rebalances is the same for any number.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// The time between commits: what was done since the last is done again after a crash. Default 1 s. Java's automatic commit takes
    /// 5 s (`auto.commit.interval.ms`); here a crash would repeat more, as more is done at once.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.machine.commit_interval = bounded(interval);
        self
    }

    /// Records whose timestamp is longer ago than this when they are received are not handled: they are logged (`records are too old`),
    /// and count as done. What grows old while it waits is handled. Records without a timestamp have no age. Default: none are.
    pub fn skip_older_than(mut self, age: Duration) -> Self {
        self.oldest = Some(bounded(age));
        self
    }

    /// Handles each record by a closure. Any error fails the record, by `?`: see [`HandlerError`].
    pub fn each_message<F, Fut, E>(self, handler: F) -> EachMessage
    where
        F: Fn(Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<HandlerError> + 'static,
    {
        self.each_message_by(Closure(handler))
    }

    /// Handles each record by a [`Handler`].
    pub fn each_message_by(self, handler: impl Handler) -> EachMessage {
        let work = match self.deduplicated.clone() {
            Some(deduplicated) => Work::Message(Arc::new(deduplicated.around(handler))),
            None => Work::Message(Arc::new(handler)),
        };
        EachMessage { processor: self, work }
    }
}

/// What becomes of the records that come after one that waits in a [retry topic](Processor::retry_topics), in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RetryOrder {
    /// They are handled where they are, and so before it.
    #[default]
    Overtaken,
    /// They follow it: as long as a record of a key (with [`Order::Partition`], of a partition) is in a retry topic, all later ones are
    /// written behind it, and are handled from there, in order and without a delay of their own. Then the key goes on where it was.
    ///
    /// **No handler begins with a record while an earlier one of its key was never done**, whatever is killed and however partitions
    /// move: done is what a handler has succeeded with, and what is among the dead letters. What is repeated after a crash is repeated with
    /// all of its key that follows it. One exception: a process that has lost a partition, and whose write of a record to the retry topic
    /// arrives late (it was frozen, or cut off from the group for longer than its [`drain`](Processor::drain), or the write was under way),
    /// has that record handled once more, behind later ones. A handler of such a process may be late in the same way.
    ///
    /// - Whoever owns a partition reads that of the same number of each retry topic, by a second consumer that is in no group, with the
    ///   [`buffer_memory`](crate::ConsumerBuilder::buffer_memory) of the first. So the retry topics need as many partitions as their
    ///   topic: otherwise it ends with [`ProcessErrorKind::Topic`](crate::error::ProcessErrorKind::Topic).
    /// - When a partition is assigned, the keys of what is left behind it are read before anything begins: that takes as long as there are
    ///   records in the retry topics that are not done, and memory for as many keys.
    /// - One that followed and has used up its own [`retries`](Processor::retries) waits for the topic's delay in its place, once, and has
    ///   them anew; then it goes to the next topic, as any.
    /// - All members of a group have to have it, and to stop before it is changed: others would have the group assign the retry topics, too.
    /// - It is refused with [`Order::Unordered`], and for now with [`transactional`](Processor::transactional). Records without a key are
    ///   not held with [`Order::Key`].
    /// - Under [`Profile::Connect`](crate::dead_letters::Profile::Connect), which does not tell attempts, those that follow wait for the
    ///   delay as the first does.
    Held,
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("consumer", &self.consumer)
            .field("machine", &self.machine)
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}

/// A processor that knows what to do with each record: to be run.
#[must_use = "nothing is handled until it runs"]
pub struct EachMessage {
    processor: Processor,
    work: Work,
}

impl EachMessage {
    /// Runs until it cannot go on. As [`run_until`](Self::run_until).
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<(), ProcessError> {
        self.run_until(std::future::pending::<()>()).await
    }

    /// Runs until `stop` is ready, whatever it returns: then nothing more is handed out, handlers have
    /// [`drain`](Processor::drain) to end, what is done is committed, and the group is left.
    ///
    /// Handlers run in tasks of the runtime that this is called in. Dropped, it stops at once: handlers are dropped, nothing is
    /// committed any more, and what was done since the last commit is done again; the group is left all the same.
    ///
    /// # Errors
    ///
    /// [`ProcessError`]: a record that is [hopeless](OnHopeless::Stop), with the record; what keeps the consumer from being built,
    /// from records, or from commits, where that does not pass. It has drained and committed then, too, as far as it could.
    pub async fn run_until(self, stop: impl Future) -> Result<(), ProcessError> {
        pump::run(self.processor, self.work, stop).await
    }
}

impl fmt::Debug for EachMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachMessage").field("processor", &self.processor).finish_non_exhaustive()
    }
}
