//! A look at a processor from elsewhere.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use ottla_core::{ConsumerStats, Explanation, Health, health_of_nobody};

use super::{Processor, engine::Engine};
use crate::consumer::Monitor;

/// What a processor has done since it began to run, and how it stands at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProcessorStats {
    /// Its consumer. What is [held](super::RetryOrder::Held) is read by another, which does not count here.
    pub consumer: ConsumerStats,
    /// Handlers, and how long they take.
    pub handlers: HandlerStats,
    /// How many records have been received and are not done.
    pub in_hand: u64,
    /// How often a record failed and was to be tried again.
    pub retries: u64,
    /// Records that were not tried any more where they were, whatever became of them.
    pub hopeless: u64,
    /// Records that were written to a retry topic, or are to be with the next transaction.
    pub to_retry_topics: u64,
    /// Records that were written to the dead letters, or are to be with the next transaction.
    pub dead_letters: u64,
    /// Records that were written behind an earlier one of their line: see [`RetryOrder::Held`](super::RetryOrder::Held).
    pub followed: u64,
    /// Records that were older than [`skip_older_than`](Processor::skip_older_than) lets them be.
    pub too_old: u64,
}

/// Handlers: each call counts, of a batch as of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HandlerStats {
    /// How many ended well.
    pub done: u64,
    /// How many failed: by an error, a panic or their time.
    pub failed: u64,
    /// How many put their record off.
    pub deferred: u64,
    /// How many were dropped, as their partition was gone.
    pub cancelled: u64,
    /// How long all of these took, together.
    pub time: Duration,
    /// How long the longest of these took.
    pub longest: Duration,
    /// How many are under way.
    pub running: u64,
}

/// Looks at a processor while it runs: for metrics and probes. What [`Processor::monitor`] returns.
#[derive(Debug, Clone)]
pub struct ProcessorMonitor(Weak<Seen>);

/// Of the processor: what monitors see of it.
#[derive(Debug, Default)]
pub(super) struct Seen(OnceLock<Running>);

#[derive(Debug)]
struct Running {
    engine: Arc<Engine>,
    consumer: Monitor,
}

impl Seen {
    /// It runs.
    pub(super) fn runs(&self, engine: &Arc<Engine>, consumer: Monitor) {
        // It runs once.
        _ = self.0.set(Running { engine: engine.clone(), consumer });
    }
}

impl ProcessorMonitor {
    /// What it has done since it began to run, and how it stands now. `None` before it runs, and once it has ended.
    pub fn stats(&self) -> Option<ProcessorStats> {
        let seen = self.0.upgrade()?;
        let Running { engine, consumer } = seen.0.get()?;
        Some(engine.stats(consumer.stats()))
    }

    /// As [`Consumer::health`](crate::Consumer::health); and where handlers run of which none has ended for
    /// [`stalled_after`](Processor::stalled_after), that is a [stall](crate::StallReason::Handlers), too. Before it runs, and as long as
    /// it sets out to, it is alive and no member; once it has ended, or was dropped, it is not alive.
    pub fn health(&self) -> Health {
        let Some(seen) = self.0.upgrade() else { return health_of_nobody(false) };
        let Some(Running { engine, consumer }) = seen.0.get() else { return health_of_nobody(true) };
        let mut health = consumer.health();
        health.stalled.extend(engine.stall());
        health
    }

    /// As [`Consumer::explain`](crate::Consumer::explain); `None` before it runs, and once it has ended.
    pub fn explain(&self) -> Option<Explanation> {
        let seen = self.0.upgrade()?;
        Some(seen.0.get()?.consumer.explain())
    }
}

impl Processor {
    /// What looks at it from elsewhere while it runs. How long handlers take is measured where this is called, and costs a little for each.
    ///
    /// ```no_run
    /// # async fn run(consumer: ottla::ConsumerBuilder) -> Result<(), ottla::ProcessError> {
    /// # use ottla::Processor;
    /// let mut processor = Processor::new(consumer);
    /// let monitor = processor.monitor();
    /// let is_ready = move || monitor.health().is_ready();
    /// processor.each_message(async |_| Ok::<_, std::io::Error>(())).run().await
    /// # }
    /// ```
    pub fn monitor(&mut self) -> ProcessorMonitor {
        ProcessorMonitor(Arc::downgrade(self.seen.get_or_insert_default()))
    }
}
