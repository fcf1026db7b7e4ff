//! Where a partition's log ended.

use std::time::Instant;

use ottla_protocol::messages::FetchPartitionResponse;

use crate::offsets::IsolationLevel;

/// The ends of a log, as a Fetch response has told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// Behind the last record that every replica in sync has.
    pub(crate) high_watermark: i64,
    /// When that was told.
    pub(super) at: Instant,
    /// As it was told: negative where it was not. An option would take room in each of very many partitions.
    last_stable: i64,
    isolation: IsolationLevel,
}

impl LogEnd {
    pub(crate) fn told(response: &FetchPartitionResponse, isolation: IsolationLevel, at: Instant) -> Self {
        let FetchPartitionResponse { high_watermark, last_stable_offset: last_stable, .. } = *response;
        Self { high_watermark, at, last_stable, isolation }
    }

    /// The same, if it was so until then.
    pub(super) fn still_at(self, until: Option<Instant>) -> Self {
        Self { at: until.map_or(self.at, |until| until.max(self.at)), ..self }
    }

    /// The first offset of the oldest open transaction, or the high watermark; `None` where it was not told.
    pub(crate) fn last_stable(self) -> Option<i64> {
        Some(self.last_stable).filter(|offset| *offset >= 0)
    }

    /// Behind the last offset that may be read.
    fn readable(self) -> i64 {
        let stable = self.last_stable().filter(|_| self.isolation.is_committed());
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
