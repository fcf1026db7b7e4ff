//! How many rebalances a member has lived through, and how long they took.

use std::time::{Duration, Instant};

use ottla_protocol::Now;

use super::RebalanceStats;
use crate::telemetry::Took;

/// See [`RebalanceStats`].
#[derive(Debug, Default)]
pub(super) struct Rebalances {
    /// Since when one has been under way.
    since: Option<Instant>,
    done: u64,
    took: Duration,
    longest: Duration,
    /// How long they took lately.
    pub(super) recent: Took,
    pub(super) lost: u64,
    pub(super) failed_heartbeats: u64,
}

impl Rebalances {
    /// One begins, unless it is under way.
    pub(super) fn begins(&mut self, now: Now) {
        self.since.get_or_insert(now.mono);
    }

    /// It has come to its end.
    pub(super) fn ends(&mut self, now: Now) {
        let Some(since) = self.since.take() else { return };
        let took = now.mono.saturating_duration_since(since);
        self.done += 1;
        self.took += took;
        self.longest = self.longest.max(took);
        self.recent.add(took);
    }

    /// It comes to nothing: the member is out of the group.
    pub(super) fn ends_in_vain(&mut self) {
        self.since = None;
    }

    /// Since when one has been under way; `None` where none is.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(super) fn stats(&self, now: Now) -> RebalanceStats {
        RebalanceStats {
            done: self.done,
            took: self.took,
            longest: self.longest,
            under_way: self.since.map(|since| now.mono.saturating_duration_since(since)),
            lost: self.lost,
            failed_heartbeats: self.failed_heartbeats,
        }
    }
}
