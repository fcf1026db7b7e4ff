//! The lag that a group leaves in a partition when it commits, and whether that grows.
//!
//! Between two commits the lag of any group grows: it is a saw, and only its lows can be compared. A low is as exact as looks are
//! close: it was looked at sooner or later after the commit, by up to what is written from one look to the next (`written`). So lows
//! grow where
//!
//! - the newest is above the oldest by more than `written`, and by [`SLOW`] of the lag for each look in between;
//! - none was above the newest by more than `written`: a group that catches up is far behind, too;
//! - the newest is further behind in time than the oldest: where not, more is written for now, and read as soon as before.

use std::collections::VecDeque;

/// How many looks a low stands for: the lowest of them.
const SPAN: u32 = 4;
/// How many lows are looked back at.
const KEPT: usize = 16;
/// What a lag may grow by from look to look, as a part of it, and is not told to grow.
const SLOW: f64 = 0.005;

/// What was left when a commit was seen. Tens of thousands of partitions have some: no number has more digits than are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Low {
    /// The number of the look.
    pub(super) look: u32,
    pub(super) lag: f32,
    /// How many looks before the log had ended at what is committed; not a number where it is longer ago than is known.
    pub(super) behind: f32,
}

/// The last of them, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Lows {
    kept: VecDeque<Low>,
    /// It is not known when the first of them was committed: right after that the lag was no larger.
    is_late: bool,
}

impl Lows {
    /// What was before does not count any more.
    pub(super) fn begin(&mut self, low: Low, is_late: bool) {
        self.kept.clear();
        self.kept.push_back(low);
        self.is_late = is_late;
    }

    pub(super) fn add(&mut self, low: Low) {
        match self.kept.back_mut().filter(|last| last.look / SPAN == low.look / SPAN) {
            Some(last) if last.lag < low.lag => {}
            Some(last) => *last = low,
            None => self.kept.push_back(low),
        }
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        // With two of which it is known, one that is above them tells nothing.
        if self.is_late && self.kept.len() > 2 {
            self.is_late = false;
            if self.kept.front().is_some_and(|late| self.kept.get(1).is_some_and(|next| next.lag < late.lag))
            {
                self.kept.pop_front();
            }
        }
    }

    /// Whether they grow, where up to so many records are written from one look to the next.
    pub(super) fn grow(&self, written: f64) -> bool {
        let lag = |low: &Low| f64::from(low.lag);
        let (Some(oldest), Some(newest)) = (self.kept.front(), self.kept.back()) else { return false };
        let has_grown = grown(oldest, newest, lag) > written && is_fast(oldest, newest, lag);
        let has_fallen = self.kept.iter().any(|low| lag(low) - lag(newest) > written);
        has_grown && !has_fallen && !self.is_as_soon()
    }

    /// What is written is read as soon as it was, as far as that can be told.
    fn is_as_soon(&self) -> bool {
        let Some(newest) = self.kept.back().filter(|low| !low.behind.is_nan()) else { return false };
        let oldest = self.kept.iter().find(|low| !low.behind.is_nan()).filter(|low| low.look < newest.look);
        oldest.is_some_and(|oldest| !is_fast(oldest, newest, |low| f64::from(low.behind)))
    }

    /// By how many records they have grown, from the first to the last.
    pub(super) fn grown(&self) -> Option<i64> {
        Some(grown(self.kept.front()?, self.kept.back()?, |low| f64::from(low.lag)) as i64)
    }
}

fn grown(from: &Low, to: &Low, of: impl Fn(&Low) -> f64) -> f64 {
    of(to) - of(from)
}

/// It has grown by more than what is no trend.
fn is_fast(from: &Low, to: &Low, of: impl Fn(&Low) -> f64) -> bool {
    let looks = f64::from(to.look.saturating_sub(from.look));
    grown(from, to, &of) > of(from) * SLOW * looks
}
