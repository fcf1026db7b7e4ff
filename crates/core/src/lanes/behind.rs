//! When the records were written that a partition is behind by: kept for as long as it is, in 7 KB at the most.
//!
//! An answer tells that the log ended somewhere, and so that no record beyond was there yet, and that those before were. Between the two the
//! record's own time counts. Ages are of the monotonic clock: a wall clock that is put back or forward changes which timestamps can be true,
//! and nothing that answers have told.

use std::time::{Duration, Instant};

use ottla_protocol::Now;

use super::log_end::LogEnd;
use crate::fetch::Stamps;

/// How many ends are kept of a log.
const ENDS: usize = 64;

/// That the log ended there, as answers told from the one time to the other.
#[derive(Debug, Clone, Copy)]
struct Told {
    end: i64,
    first: Instant,
    last: Instant,
}

/// What is known of records that the user has not come back from.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// In order, by end and by time.
    ends: Vec<Told>,
    /// Of the slices that readers have taken.
    taken: Stamps,
}

impl Behind {
    /// An answer told where the log ended. One that is shorter was cut, or is told by a broker that lags behind: what is known is of
    /// another log.
    pub(super) fn see(&mut self, LogEnd { high_watermark: end, at, .. }: LogEnd) {
        match self.ends.last_mut() {
            Some(last) if last.end == end => return last.last = at,
            Some(last) if last.end > end => self.ends.clear(),
            Some(_) => {
                if self.ends.len() == ENDS {
                    self.drop_one(at);
                }
            }
            // Each of very many partitions may have one for a while, and few have more.
            None => self.ends.reserve_exact(1),
        }
        self.ends.push(Told { end, first: at, last: at });
    }

    /// A reader takes a slice with these.
    pub(super) fn take(&mut self, stamps: &mut Stamps) {
        self.taken.append(stamps);
    }

    /// The user has come back from all before this offset.
    pub(super) fn forget_before(&mut self, offset: i64) {
        let read = self.ends.partition_point(|told| told.end <= offset);
        // The last of them was told before the next record was written.
        self.ends.drain(..read.saturating_sub(1));
        self.taken.forget_before(offset);
    }

    /// The time of the batch that has this offset, where a reader took it.
    pub(super) fn stamp(&self, offset: i64) -> Option<i64> {
        self.taken.at(offset)
    }

    /// For how long the record at the offset has been in the log. `stamp` is its own time.
    pub(super) fn age(&self, offset: i64, stamp: Option<i64>, now: Now) -> Option<Duration> {
        let since = |at: Instant| now.mono.saturating_duration_since(at);
        let stamp =
            stamp.map(|stamp| Duration::from_millis(now.wall.0.saturating_sub(stamp).max(0).unsigned_abs()));
        let next = self.ends.partition_point(|told| told.end <= offset);
        let after = self.ends.get(next)?;
        let Some(before) = next.checked_sub(1).and_then(|before| self.ends.get(before)) else {
            return stamp.map(|stamp| stamp.max(since(after.first)));
        };
        let (most, least) = (since(before.last), since(after.first));
        let evenly = || since(between(before, after, offset));
        Some(stamp.filter(|stamp| (least..=most).contains(stamp)).unwrap_or_else(evenly))
    }

    /// The end that tells the least, for its age, makes room; never the first, which tells how far back is known.
    fn drop_one(&mut self, now: Instant) {
        let tells = |(before, (this, after)): (&Told, (&Told, &Told))| {
            let line = between(before, after, this.end);
            let missed = [this.first, this.last].map(|at| {
                at.saturating_duration_since(line).max(line.saturating_duration_since(at)).as_secs_f64()
            });
            let age = now.saturating_duration_since(this.last).as_secs_f64();
            missed.into_iter().fold(0.0, f64::max) / age.max(0.001)
        };
        let (these, after) = (self.ends.iter().skip(1), self.ends.iter().skip(2));
        let told = self.ends.iter().zip(these.zip(after)).map(tells).enumerate();
        if let Some((least, _)) = told.min_by(|a, b| a.1.total_cmp(&b.1)) {
            self.ends.remove(least + 1);
        }
    }
}

/// When the record at the offset was written, if those between two ends were so evenly.
fn between(before: &Told, after: &Told, offset: i64) -> Instant {
    let part = offset.saturating_sub(before.end) as f64 / after.end.saturating_sub(before.end).max(1) as f64;
    before.last + after.first.saturating_duration_since(before.last).mul_f64(part.clamp(0.0, 1.0))
}
