//! Whether a group keeps up in a partition: by rules over the last looks, never by a threshold of records.
//!
//! The first rule that holds (docs/groups.md has them as a table, and what each is for):
//!
//! 1. the log's end is not known now: `ERR`
//! 2. what is committed is outside of the log: `ERR`
//! 3. nothing is committed: `STOP`, where the log grew over all looks; else nothing is known
//! 4. all is read: `OK`
//! 5. the commit fell, and has not come back to where it was: `REWIND`
//! 6. at one of the looks the commit had reached the end of the look before: `OK`
//! 7. fewer looks than the window has: `OK` where the commit moved and the lag fell, else nothing is known
//! 8. the commit did not move: `STALL` where a member has the partition, `STOP` where none has
//! 9. the lag that commits leave grows ([`Lows`]): `WARN`
//! 10. the commit moves: `OK`

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::{
    kept::{Found, Kept},
    lows::{Low, Lows},
    steps::Steps,
};

/// How many looks are looked back at.
pub(crate) const WINDOW: usize = 10;

/// How a group gets on; the later the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Ok,
    Warn,
    Rewind,
    Stall,
    Stop,
    Err,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Rewind => "REWIND",
            Self::Stall => "STALL",
            Self::Stop => "STOP",
            Self::Err => "ERR",
        }
    }

    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Ok, Self::Warn, Self::Rewind, Self::Stall, Self::Stop, Self::Err];

    /// What it says of a partition, in a few words.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Ok => "it keeps up",
            Self::Warn => "commits move, and the lag grows",
            Self::Rewind => "the commit fell, and has not come back to where it was",
            Self::Stall => "commits do not move, though a member has the partition",
            Self::Stop => "no commit moves, and nobody has the partition",
            Self::Err => "the commit is outside of the log, or the log's end is not known",
        }
    }
}

/// What one look saw of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) committed: Option<i64>,
    /// Where the log begins and ends, as far as it could be asked.
    pub(crate) begin: Option<i64>,
    pub(crate) end: Option<i64>,
    /// How many records are not done: from the commit to the end, or what the coordinator of a share group counts.
    pub(crate) lag: Option<i64>,
    /// A member of the group has the partition.
    pub(crate) is_owned: bool,
}

/// What is looked back at. Tens of thousands of partitions are kept: a number that is not known takes no room of its own.
#[derive(Debug, Clone, Copy)]
struct Past {
    committed: i64,
    end: i64,
    lag: i64,
}

/// No offset, and no lag.
const NOT_KNOWN: i64 = i64::MIN;

impl Past {
    fn of(look: Look) -> Self {
        let of = |number: Option<i64>| number.unwrap_or(NOT_KNOWN);
        Self { committed: of(look.committed), end: of(look.end), lag: of(look.lag) }
    }

    fn committed(&self) -> Option<i64> {
        Some(self.committed).filter(|number| *number != NOT_KNOWN)
    }

    fn end(&self) -> Option<i64> {
        Some(self.end).filter(|number| *number != NOT_KNOWN)
    }

    fn lag(&self) -> Option<i64> {
        Some(self.lag).filter(|number| *number != NOT_KNOWN)
    }
}

/// The last looks at a partition, the oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Looks {
    past: VecDeque<Past>,
    /// How many there were, of which the last are kept.
    count: u32,
    steps: Steps,
    lows: Lows,
    /// Of the last alone.
    begin: i64,
    is_owned: bool,
}

impl Default for Looks {
    fn default() -> Self {
        let past = VecDeque::with_capacity(WINDOW);
        let (steps, lows) = (Steps::default(), Lows::default());
        Self { past, count: 0, steps, lows, begin: NOT_KNOWN, is_owned: false }
    }
}

impl Looks {
    pub(crate) fn saw(&mut self, look: Look) {
        if self.past.len() == WINDOW {
            self.past.pop_front();
        }
        self.past.push_back(Past::of(look));
        (self.begin, self.is_owned) = (look.begin.unwrap_or(NOT_KNOWN), look.is_owned);
        self.count = self.count.saturating_add(1);
        self.steps.saw(look.end);
        self.note_low();
    }

    /// As they are kept on disk.
    pub(crate) fn kept(&self) -> Vec<u8> {
        let mut kept = Kept::default();
        kept.short(self.count).long(self.begin).byte(self.is_owned.into()).count(self.past.len());
        self.past.iter().for_each(|look| _ = kept.long(look.committed).long(look.end).long(look.lag));
        self.steps.keep(&mut kept);
        self.lows.keep(&mut kept);
        kept.end()
    }

    /// What was kept; nothing, where looks could not have left it.
    pub(crate) fn found(bytes: &[u8]) -> Option<Self> {
        let mut found = Found::new(bytes);
        let (count, begin, is_owned) = (found.short()?, found.long_or(NOT_KNOWN)?, found.byte()? != 0);
        let number = |it: &mut Found<'_>| it.long_or(NOT_KNOWN);
        let past = found
            .list(WINDOW, |it| Some(Past { committed: number(it)?, end: number(it)?, lag: number(it)? }))?;
        let (steps, lows) = (Steps::find(&mut found)?, Lows::find(&mut found, count)?);
        found.end()?;
        let mut looks = Self { count, steps, lows, begin, is_owned, ..Self::default() };
        looks.past.extend(past);
        Some(looks)
    }

    /// What the last look says of the lag that commits leave.
    fn note_low(&mut self) {
        let Some(last) = self.past.back().copied() else { return };
        let (Some(committed), Some(lag)) = (last.committed(), last.lag()) else { return };
        let before = self.past.iter().rev().nth(1).copied();
        let low = || Low { look: self.count, behind: self.steps.since(committed).unwrap_or(f32::NAN), lag };
        // A group that has read all, or was moved back, begins anew.
        let has_reached = lag <= 0 || before.and_then(|it| it.end()).is_some_and(|end| committed >= end);
        match before.and_then(|it| it.committed()) {
            Some(earlier) if !has_reached && earlier == committed => {}
            Some(earlier) if !has_reached && earlier < committed => self.lows.add(low()),
            earlier => self.lows.begin(low(), earlier.is_none() && self.past.len() == 1),
        }
    }

    /// By how many records the lag that commits leave has grown, over those that are compared.
    pub(crate) fn grown(&self) -> Option<i64> {
        self.lows.grown()
    }

    /// The most that is written from one look to the next.
    fn written(&self) -> i64 {
        let written = self.pairs().filter_map(|(a, b)| Some(b.end()?.saturating_sub(a.end()?)));
        written.max().unwrap_or_default()
    }

    /// How the group gets on in it, as far as that can be told.
    pub(crate) fn status(&self) -> Option<Status> {
        let last = self.past.back()?;
        if last.end().is_none() || self.is_outside() {
            return Some(Status::Err);
        }
        let is_full = self.past.len() == WINDOW;
        if last.committed().is_none() {
            let is_silent = self.past.iter().all(|look| look.committed().is_none());
            return (is_full && is_silent && self.has_grown()).then_some(Status::Stop);
        }
        if last.lag() == Some(0) {
            return Some(Status::Ok);
        }
        if self.is_rewound() {
            return Some(Status::Rewind);
        }
        if self.was_at_the_end() {
            return Some(Status::Ok);
        }
        match (is_full, self.has_moved(), self.is_owned) {
            (false, has_moved, _) => (has_moved && self.lag_fell()).then_some(Status::Ok),
            (true, false, true) => Some(Status::Stall),
            (true, false, false) => Some(Status::Stop),
            (true, true, _) if self.lows.grow(self.written()) => Some(Status::Warn),
            (true, true, _) => Some(Status::Ok),
        }
    }

    /// The reader that goes on there is told that its offset is out of range.
    fn is_outside(&self) -> bool {
        let Some(last) = self.past.back() else { return false };
        // A begin that is not known is before all offsets.
        last.committed()
            .is_some_and(|committed| committed < self.begin || last.end().is_some_and(|end| committed > end))
    }

    fn commits(&self) -> impl Iterator<Item = i64> {
        self.past.iter().filter_map(Past::committed)
    }

    /// Each look with the one before.
    fn pairs(&self) -> impl Iterator<Item = (&Past, &Past)> {
        self.past.iter().zip(self.past.iter().skip(1))
    }

    fn has_grown(&self) -> bool {
        let ends = || self.past.iter().filter_map(Past::end);
        ends().min() < ends().max()
    }

    fn has_moved(&self) -> bool {
        self.commits().min() < self.commits().max() || self.past.iter().any(|look| look.committed().is_none())
    }

    fn is_rewound(&self) -> bool {
        self.commits().last() < self.commits().max()
    }

    fn was_at_the_end(&self) -> bool {
        let at_once = self.past.iter().any(|look| look.lag().is_some_and(|lag| lag <= 0));
        at_once || self.pairs().any(|(a, b)| a.end().is_some() && b.committed() >= a.end())
    }

    fn lag_fell(&self) -> bool {
        self.pairs().any(|(a, b)| matches!((a.lag(), b.lag()), (Some(a), Some(b)) if b < a))
    }
}
