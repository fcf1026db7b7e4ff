//! The lag that a group leaves in a partition when it commits, and whether that grows.
//!
//! Between two commits the lag of any group grows: it is a saw, and only its lows can be compared. A low is as exact as looks are
//! close: it was looked at sooner or later after the commit, by up to what is written from one look to the next (`written`). So lows
//! grow where
//!
//! - the newest is above the oldest by more than `written`. No part of the lag is asked for: the lag of who reads ever less than
//!   is written grows by ever smaller parts of itself;
//! - none was above the newest by more than `written`: a group that catches up is far behind, too;
//! - the newest is further behind in time than the oldest, by more than a look: where not, more is written for now, and read as
//!   soon as before.

use std::collections::VecDeque;

use super::kept::{Found, Kept};

/// How many looks a low stands for: the lowest of them.
const SPAN: u32 = 4;
/// How many lows are looked back at.
const KEPT: usize = 16;
/// How many looks are looked back at: a group that stands for longer begins anew.
const LOOKS: u32 = SPAN * KEPT as u32;

/// What was left when a commit was seen. Tens of thousands of partitions have some: 256 bytes each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Low {
    /// The number of the look.
    pub(super) look: u32,
    /// How many looks before the log had ended at what is committed; not a number where it is longer ago than is known.
    pub(super) behind: f32,
    pub(super) lag: i64,
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
        while self.kept.front().is_some_and(|oldest| low.look - oldest.look > LOOKS) {
            self.kept.pop_front();
            self.is_late = false;
        }
        match self.kept.back_mut().filter(|last| last.look / SPAN == low.look / SPAN) {
            Some(last) if last.lag < low.lag => {}
            Some(last) => *last = low,
            None => {
                // Before one more: the room for it would be twice as large.
                if self.kept.len() == KEPT {
                    self.kept.pop_front();
                }
                self.kept.push_back(low);
            }
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

    pub(super) fn keep(&self, kept: &mut Kept) {
        kept.byte(self.is_late.into()).count(self.kept.len());
        self.kept.iter().for_each(|low| _ = kept.short(low.look).real(low.behind).long(low.lag));
    }

    /// None of them is of a later look than this.
    pub(super) fn find(found: &mut Found<'_>, look: u32) -> Option<Self> {
        let is_late = found.byte()? != 0;
        let low = |it: &mut Found<'_>| Some(Low { look: it.short()?, behind: it.real()?, lag: it.long()? });
        let kept = found.list(KEPT, low)?;
        let is_in_order = kept.is_sorted_by(|a, b| a.look < b.look);
        let is_past = kept.last().is_none_or(|last| last.look <= look);
        (is_in_order && is_past).then(|| Self { kept: kept.into(), is_late })
    }

    /// Whether they grow, where up to so many records are written from one look to the next.
    pub(super) fn grow(&self, written: i64) -> bool {
        let Some(newest) = self.kept.back() else { return false };
        let has_grown = self.grown().is_some_and(|grown| grown > written);
        let has_fallen = self.kept.iter().any(|low| low.lag.saturating_sub(newest.lag) > written);
        has_grown && !has_fallen && !self.is_as_soon()
    }

    /// What is written is read as soon as it was, as far as that can be told.
    fn is_as_soon(&self) -> bool {
        let (Some(first), Some(newest)) = (self.kept.front(), self.kept.back()) else { return false };
        // Where it is known of the later ones alone, they tell what it would be over all looks.
        let oldest = self.kept.iter().find(|low| !low.behind.is_nan()).filter(|low| low.look < newest.look);
        oldest.is_some_and(|oldest| {
            let looks = |from: &Low| (newest.look - from.look) as f32;
            (newest.behind - oldest.behind) * looks(first) <= looks(oldest)
        })
    }

    /// By how many records they have grown, from the first to the last.
    pub(super) fn grown(&self) -> Option<i64> {
        Some(self.kept.back()?.lag.saturating_sub(self.kept.front()?.lag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_to_the_last_and_no_more_room_is_taken_than_for_those_that_are_kept() {
        let mut lows = Lows::default();
        for look in 0..1_000 {
            lows.add(Low { look, behind: f32::NAN, lag: 20_000_001 + i64::from(look / SPAN) });
        }
        assert_eq!(lows.grown(), Some(15));
        assert!(lows.kept.capacity() * size_of::<Low>() <= 256, "{}", lows.kept.capacity());
    }
}
