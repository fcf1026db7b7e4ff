//! When offsets are committed without a call of the user's: each time that an interval is over and, where a number of records
//! is set, as soon as users have come back from so many since the last time.

use std::time::{Duration, Instant};

use ottla_protocol::Now;

/// See the module's documentation. Records are counted by their offsets, so that a gap in the log counts as well.
#[derive(Debug)]
pub(crate) struct AutoCommit {
    interval: Duration,
    next: Instant,
    records: Option<u64>,
    /// How many records users had come back from, since the start, the last time.
    counted: u64,
}

impl AutoCommit {
    pub(crate) fn new(interval: Duration, records: Option<u64>, now: Now) -> Self {
        Self { interval, next: now.mono + interval, records, counted: 0 }
    }

    /// When the interval is over.
    pub(crate) fn deadline(&self) -> Instant {
        self.next
    }

    /// Whether there are enough records, of the `done` in all that users have come back from.
    pub(crate) fn has_enough(&self, done: u64) -> bool {
        self.records.is_some_and(|records| done - self.counted.min(done) >= records)
    }

    /// Whether it is time. If so, it begins anew.
    pub(crate) fn take_due(&mut self, done: u64, now: Now) -> bool {
        let due = self.next <= now.mono || self.has_enough(done);
        if due {
            (self.next, self.counted) = (now.mono + self.interval, done);
        }
        due
    }

    /// How many more records are enough; `None` where no number is set. Where there are enough, the commit is on its way.
    pub(crate) fn records_left(&self, done: u64) -> Option<u64> {
        let records = self.records?;
        let since = done - self.counted.min(done);
        Some(records.checked_sub(since).filter(|left| *left > 0).unwrap_or(records))
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::Timestamp;

    use super::*;

    #[test]
    fn it_is_time_after_the_interval_or_so_many_records_whichever_comes_first() {
        let start = Now { mono: Instant::now(), wall: Timestamp(0) };
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut auto = AutoCommit::new(Duration::from_secs(5), Some(100), start);
        assert!(!auto.take_due(99, at(4)));
        assert!(auto.take_due(100, at(4)), "enough records");
        assert_eq!((auto.take_due(199, at(8)), auto.records_left(199)), (false, Some(1)), "both begin anew");
        assert!(auto.take_due(199, at(9)), "the interval");
        assert_eq!((auto.take_due(298, at(9)), auto.records_left(298)), (false, Some(1)));
        assert_eq!(auto.records_left(299), Some(100), "nobody need look again before the commit is made");
    }

    #[test]
    fn without_a_number_of_records_only_the_interval_counts() {
        let now = Now { mono: Instant::now(), wall: Timestamp(0) };
        let mut auto = AutoCommit::new(Duration::from_secs(5), None, now);
        assert_eq!((auto.take_due(u64::MAX, now), auto.records_left(u64::MAX)), (false, None));
    }
}
