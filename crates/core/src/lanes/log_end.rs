//! Where a partition's log ended.

use ottla_protocol::messages::FetchPartitionResponse;

use crate::offsets::IsolationLevel;

/// The ends of a log, as a Fetch response has told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// Behind the last record that every replica in sync has.
    pub(crate) high_watermark: i64,
    /// The first offset of the oldest open transaction, or the high watermark; `None` where it was not told.
    pub(crate) last_stable: Option<i64>,
    isolation: IsolationLevel,
}

impl LogEnd {
    pub(crate) fn told(response: &FetchPartitionResponse, isolation: IsolationLevel) -> Self {
        let last_stable = Some(response.last_stable_offset).filter(|offset| *offset >= 0);
        Self { high_watermark: response.high_watermark, last_stable, isolation }
    }

    /// Behind the last offset that may be read.
    fn readable(self) -> i64 {
        let stable = self.last_stable.filter(|_| self.isolation.is_committed());
        stable.map_or(self.high_watermark, |stable| stable.min(self.high_watermark))
    }

    /// How many offsets a position is behind what may be read.
    pub(crate) fn lag(self, position: i64) -> i64 {
        self.readable().saturating_sub(position).max(0)
    }

    /// Whether a position lies behind what may be read now, yet in the log.
    pub(crate) fn is_passed(self, position: i64) -> bool {
        self.readable() < position && position <= self.high_watermark
    }

    /// How many offsets a position that has read all cannot go on to, as a transaction is open; `None` where there are none.
    pub(crate) fn held_back(self, position: i64) -> Option<i64> {
        let waiting = self.high_watermark.saturating_sub(position.max(self.readable()));
        (self.lag(position) == 0 && waiting > 0).then_some(waiting)
    }
}
