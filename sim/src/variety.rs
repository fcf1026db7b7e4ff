//! What only some seeds have.

use std::time::Duration;

use crate::dice::secs;

/// How a seed differs from what most have.
#[derive(Debug)]
pub(crate) struct Variety {
    /// `metadata.max.age.ms`: short where new partitions and topics are to be found in time.
    pub(crate) max_age: Duration,
    /// How long a rebalance waits for a member, where that is not `max.poll.interval.ms`.
    pub(crate) rebalance_timeout: Option<Duration>,
    /// Whether members are in racks.
    pub(crate) racks: bool,
    /// How far ahead of a busy reader is fetched, to begin with.
    pub(crate) read_ahead: usize,
    /// For how many partitions the first fetch asks.
    pub(crate) at_first: usize,
}

impl Default for Variety {
    fn default() -> Self {
        Self { max_age: secs(5), rebalance_timeout: None, racks: false, read_ahead: 1 << 20, at_first: 500 }
    }
}
