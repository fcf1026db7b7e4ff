//! What the judge holds a processor to.

use std::time::Duration;

use ottla_core::processing::{OnHopeless, Order, Room};

/// How a seed's processors are configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) order: Order,
    pub(super) concurrency: usize,
    pub(super) retries: Retries,
    pub(super) on_hopeless: OnHopeless,
    pub(super) handler_timeout: Option<Duration>,
    pub(super) room: Room,
    pub(super) commit_interval: Duration,
    /// How long handlers have when their partition is revoked.
    pub(super) drain: Duration,
}

/// How records are tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retries {
    pub(super) first: Duration,
    pub(super) most: Duration,
    pub(super) attempts: u32,
}

impl Retries {
    /// The earliest and the latest that an attempt follows so many that failed.
    pub(super) fn after(self, failures: u32) -> (Duration, Duration) {
        spread(self.first, self.most.max(self.first), failures)
    }

    /// The same of a record that was given away so often in vain: no sooner than 100 ms, as it must not be a busy loop.
    pub(super) fn after_giving_away(self, times: u32) -> (Duration, Duration) {
        spread(self.first.max(Duration::from_millis(100)), self.most.max(Duration::from_secs(10)), times)
    }
}

/// Twice as long each time, and a fifth more or less.
fn spread(first: Duration, most: Duration, times: u32) -> (Duration, Duration) {
    let wait = first.saturating_mul(1 << times.saturating_sub(1).min(20)).min(most);
    (wait.mul_f64(0.799), wait.mul_f64(1.201))
}
