//! What consumers and processors do, in numbers: what [`Consumer::stats`](crate::Consumer::stats),
//! [`Monitor::stats`](crate::Monitor::stats) and [`ProcessorMonitor::stats`](crate::processor::ProcessorMonitor::stats) return.
//!
//! A snapshot is taken without a round trip and without waiting. Totals begin with the consumer and only grow, so that a rate is the
//! difference of two snapshots by the time between them:
//!
//! ```no_run
//! # async fn run(consumer: ottla::Consumer) {
//! # use std::time::{Duration, Instant};
//! let (monitor, mut before, mut at) = (consumer.monitor(), consumer.stats(), Instant::now());
//! loop {
//!     tokio::time::sleep(Duration::from_secs(10)).await;
//!     let now = monitor.stats();
//!     let seconds = at.elapsed().as_secs_f64();
//!     println!("{:.0} records/s", (now.records.decoded - before.records.decoded) as f64 / seconds);
//!     (before, at) = (now, Instant::now());
//! }
//! # }
//! ```
//!
//! With the feature `metrics` a `Recorder` hands them to the `metrics` facade. `docs/metrics.md` in the repository has each number, its name
//! there, and Java's.

#[cfg(feature = "metrics")]
mod recorder;
#[cfg(any(test, feature = "metrics"))]
mod table;
#[cfg(test)]
mod tests;

pub use ottla_core::{
    BufferStats, CommitStats, ConnectionStats, ConsumerStats, FetchStats, PartitionStats, PollStats,
    RebalanceStats, RecordStats,
};

#[cfg(feature = "metrics")]
pub use self::recorder::Recorder;
pub use crate::processor::{HandlerStats, ProcessorStats};
