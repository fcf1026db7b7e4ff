//! What was written to a log from look to look: how many looks ago it ended at an offset follows from it.

use std::collections::VecDeque;

use super::kept::{Found, Kept};

/// So many steps become one of the next level, as soon as a level has as many as it keeps.
const MERGED: usize = 4;
/// How many steps are kept of 1 look, of 4, of 16 and of 64: they reach 1,000 looks back.
const KEPT: [usize; 4] = [64, 16, 16, 16];

/// As it is kept on disk: no end.
const NOT_KNOWN: i64 = i64::MIN;

/// The last of them, the older the fewer. Tens of thousands of partitions have them: 448 bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    /// How many records, the oldest first.
    levels: [VecDeque<u32>; KEPT.len()],
    /// Where the log ended when that was known last.
    end: Option<i64>,
}

impl Steps {
    /// The log ended there at a look. What was written while that is not known counts for the next look at which it is.
    pub(super) fn saw(&mut self, end: Option<i64>) {
        let Some(before) = self.end else {
            self.end = end;
            return;
        };
        let now = end.unwrap_or(before);
        self.end = Some(now);
        if now < before {
            // It was cut or made anew: what was known is of another log.
            self.levels.iter_mut().for_each(VecDeque::clear);
            return;
        }
        let mut step = u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        for (level, kept) in self.levels.iter_mut().zip(KEPT) {
            // Before one more: the room for it would be twice as large.
            let oldest = (level.len() == kept).then(|| level.drain(..MERGED).fold(0, u32::saturating_add));
            level.push_back(step);
            let Some(oldest) = oldest else { return };
            step = oldest;
        }
    }

    pub(super) fn keep(&self, kept: &mut Kept) {
        kept.long(self.end.unwrap_or(NOT_KNOWN));
        for level in &self.levels {
            kept.count(level.len());
            level.iter().for_each(|written| _ = kept.short(*written));
        }
    }

    pub(super) fn find(found: &mut Found<'_>) -> Option<Self> {
        let end = Some(found.long_or(NOT_KNOWN)?).filter(|end| *end != NOT_KNOWN);
        let mut steps = Self { end, ..Self::default() };
        for (level, most) in steps.levels.iter_mut().zip(KEPT) {
            *level = found.list(most, Found::short)?.into();
        }
        Some(steps)
    }

    /// How many looks ago the log ended at this offset, as far as that is known: within a step records count as written evenly.
    pub(super) fn since(&self, offset: i64) -> Option<f32> {
        let mut records = self.end?.saturating_sub(offset).max(0);
        let (mut looks, mut width) = (0.0, 1.0);
        for level in &self.levels {
            for written in level.iter().rev().map(|written| i64::from(*written)) {
                if records <= written {
                    return Some(looks + width * records as f32 / written.max(1) as f32);
                }
                records -= written;
                looks += width;
            }
            width *= MERGED as f32;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(ends: impl IntoIterator<Item = Option<i64>>) -> Steps {
        let mut steps = Steps::default();
        ends.into_iter().for_each(|end| steps.saw(end));
        steps
    }

    #[test]
    fn between_two_looks_records_count_as_written_evenly() {
        let steps = steps([100, 110, 110, 150].map(Some));
        let expected = [(99, None), (100, Some(3.0)), (105, Some(2.5)), (110, Some(1.0)), (140, Some(0.25))];
        for (offset, looks) in expected.into_iter().chain([(150, Some(0.0)), (151, Some(0.0))]) {
            assert_eq!(steps.since(offset), looks, "{offset}");
        }
    }

    #[test]
    fn a_look_that_saw_no_end_is_a_look_and_a_log_that_was_cut_begins_anew() {
        assert_eq!(steps([Some(100), None, Some(120), Some(130)]).since(100), Some(2.0));
        assert_eq!(steps([None, Some(120), Some(130)]).since(120), Some(1.0));
        let cut = steps([100, 120, 50, 60].map(Some));
        assert_eq!((cut.since(50), cut.since(40)), (Some(1.0), None));
        assert_eq!(steps([]).since(0), None);
    }

    #[test]
    fn a_thousand_looks_are_reached_and_no_more_room_is_taken_than_for_those_that_are_kept() {
        let mut steps = Steps::default();
        for look in 0..3_000 {
            steps.saw(Some(look * 10));
            for ago in (0..look.min(1_000)).step_by(7) {
                assert_eq!(steps.since((look - ago) * 10), Some(ago as f32), "look {look}");
            }
        }
        let room: usize = steps.levels.iter().map(VecDeque::capacity).sum();
        assert!(room * size_of::<u32>() <= 448, "{room}");
    }
}
