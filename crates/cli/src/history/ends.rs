//! The end of a log over time. From it follows about when the record at an offset was written: between two looks records
//! count as written evenly.

use std::collections::VecDeque;

use super::kept::{Found, Kept};

/// How far the line through what is kept may be from what was seen, in milliseconds.
const TOLERANCE: i64 = 100;
/// How many corners are kept of a log: 1 KB.
const CORNERS: usize = 64;
/// By how many milliseconds a clock may go back and still tell the time that it told before, once it gets there.
const BACK: i64 = 10_000;

/// Where the log ended at a time: a corner of the line through all that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Corner {
    end: i64,
    at: i64,
}

/// When a record was written, in milliseconds as the looks' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    At(i64),
    /// No later than that: the log was that long when it was looked at first.
    Before(i64),
    /// It is not: the log ends at its offset, or before.
    NotYet,
}

/// The line, with as few corners as tell when each record was written. All corners are in order, by end and by time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    corners: VecDeque<Corner>,
    /// The last look, which is no corner yet.
    last: Option<Corner>,
    door: Door,
}

impl Ends {
    /// The log ended there at that time. A log that has become shorter was cut or made anew: what was known is of another log. Of a
    /// clock that was put back, the times that were known are of another clock.
    pub(crate) fn saw(&mut self, end: i64, at: i64) {
        let seen = Corner { end, at };
        let is_on = |last: &Corner| last.end <= end && at > last.at.saturating_sub(BACK);
        let Some(last) = self.last.filter(is_on) else {
            self.corners.clear();
            self.corners.push_back(seen);
            self.last = Some(seen);
            self.door = Door::open();
            return;
        };
        if at <= last.at {
            return;
        }
        let Some(first) = self.corners.back().copied() else { return };
        if last != first && !self.door.leads_to(first, seen) {
            // Before one more: the room for it would be twice as large.
            if self.corners.len() == CORNERS {
                self.drop_one(at);
            }
            // The line turns at the look before.
            self.corners.push_back(last);
            self.door = Door::open();
        }
        if let Some(corner) = self.corners.back() {
            self.door.pass(*corner, seen);
        }
        self.last = Some(seen);
    }

    /// When the record at the offset was written.
    pub(crate) fn written(&self, offset: i64) -> Written {
        let Some(last) = self.last.filter(|last| offset < last.end) else { return Written::NotYet };
        let line = || self.corners.iter().copied().chain([last]);
        // The last look that did not see it, and the first that did.
        match line().take_while(|corner| corner.end <= offset).last() {
            None => Written::Before(line().next().map_or(last.at, |first| first.at)),
            Some(before) => {
                let after = line().find(|corner| corner.end > offset).unwrap_or(last);
                Written::At(between(before, after, offset))
            }
        }
    }

    /// As it is kept on disk.
    pub(crate) fn kept(&self) -> Vec<u8> {
        let line: Vec<Corner> = self.corners.iter().copied().chain(self.last).collect();
        let mut kept = Kept::default();
        kept.count(line.len());
        line.iter().for_each(|corner| _ = kept.long(corner.end).long(corner.at));
        kept.end()
    }

    /// What was kept at that time or before; nothing, where it is no line that looks could have drawn. The line turns where it ended.
    pub(crate) fn found(bytes: &[u8], now: i64) -> Option<Self> {
        let mut found = Found::new(bytes);
        let line = found.list(CORNERS + 1, |it| Some(Corner { end: it.long()?, at: it.long()? }))?;
        found.end()?;
        let is_line = line.is_sorted_by(|a, b| 0 <= a.end && a.end <= b.end && a.at <= b.at);
        let last = *line.last().filter(|last| is_line && last.at <= now)?;
        let mut ends = Self { corners: line.into(), last: Some(last), door: Door::open() };
        // Looks that saw the same end, or a line of one corner.
        if ends.corners.iter().nth_back(1) == Some(&last) {
            ends.corners.pop_back();
        }
        if ends.corners.len() > CORNERS {
            ends.drop_one(now);
        }
        Some(ends)
    }

    /// The corner that tells the least, for its age, makes room; never the first, which tells how far back is known.
    fn drop_one(&mut self, now: i64) {
        let corner = |index: usize| self.corners.get(index).copied();
        let tells = |index: usize| -> Option<f64> {
            let (before, this, after) = (corner(index - 1)?, corner(index)?, corner(index + 1)?);
            let missed = (between(before, after, this.end) - this.at).abs();
            Some(missed as f64 / (now - this.at).max(1) as f64)
        };
        let told = (1..self.corners.len()).filter_map(|index| Some((index, tells(index)?)));
        if let Some((least, _)) = told.min_by(|a, b| a.1.total_cmp(&b.1)) {
            self.corners.remove(least);
        }
    }
}

/// When the record at the offset was written, on the line from a corner to one whose end is beyond the offset.
fn between(from: Corner, to: Corner, offset: i64) -> i64 {
    let records = (to.end - from.end).max(1);
    from.at + (i128::from(to.at - from.at) * i128::from(offset - from.end) / i128::from(records)) as i64
}

/// Where a line from a corner may lead so that it passes all looks since within the tolerance, in milliseconds a record: each look
/// closes the door a little more (the swinging door, as historians of industrial plants have it).
#[derive(Debug, Clone, Copy)]
struct Door {
    low: f64,
    high: f64,
}

impl Default for Door {
    fn default() -> Self {
        Self::open()
    }
}

impl Door {
    fn open() -> Self {
        Self { low: f64::NEG_INFINITY, high: f64::INFINITY }
    }

    fn leads_to(self, from: Corner, to: Corner) -> bool {
        match to.end - from.end {
            // As long as nothing is written the line goes straight up.
            0 => true,
            records => {
                let slope = (to.at - from.at) as f64 / records as f64;
                self.low <= slope && slope <= self.high
            }
        }
    }

    fn pass(&mut self, from: Corner, by: Corner) {
        let (time, records) = ((by.at - from.at) as f64, (by.end - from.end) as f64);
        if records == 0.0 {
            self.low = f64::INFINITY;
        } else {
            self.low = self.low.max((time - TOLERANCE as f64) / records);
            self.high = self.high.min((time + TOLERANCE as f64) / records);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::seeds::{replay, seeds};

    /// Looks at these times at a log to which a record is written at each of those.
    fn watched(writes: &[i64], looks: impl IntoIterator<Item = i64>) -> Ends {
        let mut ends = Ends::default();
        for at in looks {
            ends.saw(writes.partition_point(|write| *write <= at) as i64, at);
        }
        ends
    }

    fn each(millis: i64, times: std::ops::Range<i64>) -> Vec<i64> {
        times.step_by(millis as usize).collect()
    }

    #[test]
    fn between_two_looks_records_count_as_written_evenly() {
        let ends = watched(&each(10, 5..100_000), (0..=100).map(|look| look * 1_000));
        for offset in [0, 1, 777, 5_000, 9_999] {
            let Written::At(at) = ends.written(offset) else { panic!("{:?}", ends.written(offset)) };
            assert!((at - (5 + offset * 10)).abs() <= TOLERANCE + 10, "{offset}: {at}");
        }
        assert_eq!(ends.written(10_000), Written::NotYet);
        assert!(ends.corners.len() <= 3, "{:?}", ends.corners);
    }

    #[test]
    fn a_record_after_a_silence_was_written_after_the_last_look_that_did_not_see_it() {
        let ends = watched(&[500, 60_400], (0..=70).map(|look| look * 1_000));
        assert_eq!(ends.written(0), Written::At(0));
        assert_eq!(ends.written(1), Written::At(60_000));
        assert_eq!(ends.written(2), Written::NotYet);
        assert!(ends.corners.len() <= 4, "a silence is a line: {:?}", ends.corners);
    }

    #[test]
    fn what_was_there_at_the_first_look_is_older_than_that() {
        let ends = watched(&[1, 2, 3, 2_500], [1_000, 2_000, 3_000]);
        assert_eq!(ends.written(0), Written::Before(1_000));
        assert_eq!(ends.written(2), Written::Before(1_000));
        assert_eq!(ends.written(3), Written::At(2_000));
    }

    #[test]
    fn of_a_log_that_was_made_anew_nothing_is_known_but_what_it_holds_now() {
        let mut ends = watched(&each(10, 0..10_000), (0..=10).map(|look| look * 1_000));
        ends.saw(5, 11_000);
        ends.saw(6, 12_000);
        assert_eq!(ends.written(4), Written::Before(11_000));
        assert_eq!(ends.written(5), Written::At(11_000));
    }

    #[test]
    fn a_look_that_is_no_later_than_the_one_before_counts_for_nothing() {
        let mut ends = Ends::default();
        ends.saw(1, 1_000);
        ends.saw(5, 1_000);
        ends.saw(7, 900);
        assert_eq!(ends.written(3), Written::NotYet);
        ends.saw(9, 2_000);
        assert_eq!(ends.written(1), Written::At(1_000));
    }

    /// Steady, in bursts, with silences, and with rates that change: what is told is within a second or a twentieth of the truth.
    #[test]
    fn the_age_of_a_record_is_told_within_a_second_or_a_twentieth() {
        for seed in seeds(40) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut writes, mut at) = (Vec::new(), 0.0);
            let mut gap = 1.0;
            while at < 900_000.0 {
                match rng.u32(0..2_000) {
                    0 => at += rng.f64() * 30_000.0,
                    1..=3 => gap = (rng.f64() * 6.0).exp(),
                    _ => at += gap,
                }
                writes.push(at as i64);
            }
            let mut ends = Ends::default();
            for now in (0..900_000).step_by(1_000) {
                let end = writes.partition_point(|write| *write <= now) as i64;
                ends.saw(end, now);
                assert!(ends.corners.len() <= CORNERS);
                let offset = rng.i64(0..end.max(1)).min(end);
                let truth = writes[offset as usize];
                match ends.written(offset) {
                    Written::At(told) => {
                        let (age, of_truth) = (now - told, now - truth);
                        let off = (age - of_truth).abs();
                        assert!(
                            off <= 1_000 + TOLERANCE || off * 20 <= of_truth,
                            "{now}: {offset} is {of_truth} ms old, not {age}; {}",
                            replay(seed)
                        );
                    }
                    Written::Before(first) => assert!(truth <= first, "{}", replay(seed)),
                    Written::NotYet => assert_eq!(offset, end, "{}", replay(seed)),
                }
            }
        }
    }
}
