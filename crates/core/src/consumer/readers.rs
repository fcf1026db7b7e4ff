//! The [readers](crate::Reader) of a consumer: whether the user of each is in a call, and how long who is not has been
//! away.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::Now;

use crate::{
    ids::ReaderId,
    reader::{Decoded, Tally},
};

/// The first reader of a consumer, which is its own user's.
pub(super) const OWN: ReaderId = ReaderId(0);

/// Every reader, and when its user was last in a call.
#[derive(Debug)]
pub(super) struct Readers {
    calls: BTreeMap<ReaderId, Call>,
    next: u32,
    /// How many users waited when [`Readers::take_departure`] was last asked.
    waiting: usize,
    /// What each has decoded, and what those have that are closed.
    tallies: BTreeMap<ReaderId, Tally>,
    decoded: Decoded,
    /// The longest time that who had to call stayed away, as far as it was seen.
    pub(super) longest_away: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    /// The user waits in a call for records, and is back from all that was handed out: not away, however long it takes.
    Polling,
    /// The user waits in another call, and may have records in hand. Not away either.
    Busy,
    /// The user was in a call then.
    Last(Instant),
}

impl Readers {
    pub(super) fn new() -> Self {
        Self {
            calls: BTreeMap::new(),
            next: OWN.0,
            waiting: 0,
            tallies: BTreeMap::new(),
            decoded: Decoded::default(),
            longest_away: Duration::ZERO,
        }
    }

    pub(super) fn open(&mut self, now: Now) -> (ReaderId, Tally) {
        let (id, tally) = (ReaderId(self.next), Tally::default());
        self.next += 1;
        self.calls.insert(id, Call::Last(now.mono));
        self.tallies.insert(id, tally.clone());
        (id, tally)
    }

    /// What all readers have decoded.
    pub(super) fn decoded(&self) -> Decoded {
        self.tallies.values().fold(self.decoded, |sum, tally| sum + tally.get())
    }

    /// When the user of this reader was last seen; `None` where the user waits in a call.
    pub(super) fn last_of(&self, reader: ReaderId) -> Option<Instant> {
        match self.calls.get(&reader) {
            Some(Call::Last(at)) => Some(*at),
            _ => None,
        }
    }

    /// Who had to call has been away since then.
    pub(super) fn was_away(&mut self, since: Option<Instant>, now: Now) {
        let away = since.map(|since| now.mono.saturating_duration_since(since));
        self.longest_away = self.longest_away.max(away.unwrap_or_default());
    }

    pub(super) fn count(&self) -> usize {
        self.calls.len()
    }

    /// The user of this reader has shown that they are there.
    pub(super) fn touch(&mut self, reader: ReaderId, now: Now) {
        if let Some(Call::Last(at)) = self.calls.get_mut(&reader) {
            *at = now.mono;
        }
    }

    /// The user of the consumer itself has shown that they are there.
    pub(super) fn touch_own(&mut self, now: Now) {
        self.touch(OWN, now);
    }

    pub(super) fn close(&mut self, reader: ReaderId) {
        self.calls.remove(&reader);
        if let Some(tally) = self.tallies.remove(&reader) {
            self.decoded = self.decoded + tally.get();
        }
    }

    pub(super) fn set(&mut self, reader: ReaderId, to: Call) {
        if let Some(call) = self.calls.get_mut(&reader) {
            *call = to;
        }
    }

    /// Whether the user waits for records.
    pub(super) fn is_polling(&self, reader: ReaderId) -> bool {
        matches!(self.calls.get(&reader), Some(Call::Polling))
    }

    pub(super) fn is_away(&self, reader: ReaderId) -> bool {
        !matches!(self.calls.get(&reader), Some(Call::Polling | Call::Busy))
    }

    /// Whether a user waits for records.
    pub(super) fn is_any_polling(&self) -> bool {
        self.calls.values().any(|call| matches!(call, Call::Polling))
    }

    /// Whether a user who waited in a call has left it since this was last asked. From then on that user may become overdue.
    pub(super) fn take_departure(&mut self) -> bool {
        let waiting = self.calls.values().filter(|call| !matches!(call, Call::Last(_))).count();
        waiting < std::mem::replace(&mut self.waiting, waiting)
    }

    /// When the user who has to call next was last in a call; `None` as long as nobody has to. The user of each
    /// reader that has records (`has`) must call in time. Besides, one of all users must.
    pub(super) fn away_since(&self, has: impl Fn(ReaderId) -> bool) -> Option<Instant> {
        let away = |(id, call): (&ReaderId, &Call)| match call {
            Call::Polling | Call::Busy => None,
            Call::Last(at) => Some((*id, *at)),
        };
        let last = || self.calls.iter().filter_map(away);
        let holding = last().filter(|(id, _)| has(*id)).map(|(_, at)| at).min();
        let all = last().map(|(_, at)| at).max().filter(|_| last().count() == self.calls.len());
        holding.into_iter().chain(all).min()
    }
}
