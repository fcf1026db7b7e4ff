//! What the judge knows of one partition in one worker's hands, from its assignment, or a reset of its position, to its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_core::processing::Order;

use super::{rules::Rules, told::Told, written::Written};

#[derive(Debug, Default)]
pub(super) struct Tenure {
    /// Tells it from those before.
    pub(super) serial: u64,
    /// What the group had committed when it began, where the worker knew.
    pub(super) begun_with: Option<Told>,
    /// Where its records begin.
    pub(super) first: Option<i64>,
    /// Behind the last of them.
    pub(super) next: i64,
    /// What has arrived and is not done.
    pub(super) items: BTreeMap<i64, Item>,
    pub(super) done: BTreeSet<i64>,
    /// It is revoked: until when handlers may go on.
    pub(super) drains_until: Option<Duration>,
    /// Since when something is done that no commit was asked for.
    pub(super) owed_since: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: Option<u8>,
    pub(super) state: State,
    pub(super) attempts: u32,
    pub(super) given_away: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Queued,
    Running,
    /// Its next attempt comes no sooner than the first of these, and no later than the second where nothing else is in its way.
    Waiting(Duration, Duration),
    /// It is hopeless, and to be given away.
    Hopeless,
    /// Somebody else has it.
    Given,
    /// It is not handled any more.
    Stopped,
}

impl Tenure {
    /// Takes a record in. Returns whether it is to be handled.
    pub(super) fn arrives(&mut self, offset: i64, written: &Written) -> bool {
        self.first.get_or_insert(offset);
        self.next = offset + 1;
        if self.is_told(offset) {
            self.done.insert(offset);
            return false;
        }
        let state = written.due.map_or(State::Queued, |due| State::Waiting(due, due));
        let key = written.key;
        self.items.insert(offset, Item { key, state, attempts: 0, given_away: 0 });
        true
    }

    /// Whether the text beside the offset that it began with says that this record is done.
    pub(super) fn is_told(&self, offset: i64) -> bool {
        self.begun_with.as_ref().is_some_and(|told| told.offset <= offset && told.covers(offset))
    }

    /// Whether these records show that the position was moved back.
    pub(super) fn is_reset_by(&self, first: i64) -> bool {
        let begun_with = self.begun_with.as_ref().filter(|told| !told.beyond.is_empty());
        first < self.next || begun_with.is_some_and(|told| first < told.offset)
    }

    /// It is read on from `first`, which is not behind what has arrived. What there was before that goes on, and handlers that are at
    /// it are told to end.
    pub(super) fn goes_on(self, first: i64, next: &mut Self) {
        (next.items, next.done) = (self.items, self.done);
        next.items.split_off(&first);
        let forgets = !next.done.split_off(&first).is_empty();
        if next.items.is_empty() && next.done.is_empty() {
            return;
        }
        // Nobody knows any more which was the last of them that is done: what is saved may tell so of any that is not in hand.
        if forgets && let Some(base) = next.items.keys().next() {
            next.done.extend((*base..first).rev().find(|offset| !next.items.contains_key(offset)));
        }
        for item in next.items.values_mut() {
            item.attempts -= u32::from(item.state == State::Running);
            item.given_away += u32::from(matches!(item.state, State::Hopeless | State::Given));
            if !matches!(item.state, State::Waiting(..)) {
                item.state = State::Queued;
            }
        }
        (next.first, next.next, next.drains_until) = (self.first, first, self.drains_until);
    }

    /// A record before this one that is not done, and that it is to wait for.
    pub(super) fn before(&self, offset: i64, order: Order) -> Option<i64> {
        let key = self.items.get(&offset)?.key;
        let mut before = self.items.range(..offset);
        match order {
            Order::Partition => before.next(),
            Order::Key => before.find(|(_, item)| key.is_some() && item.key == key),
            _ => None,
        }
        .map(|(offset, _)| *offset)
    }

    /// A record that could be handled now.
    pub(super) fn ready(&self, now: Duration, order: Order) -> Option<i64> {
        if self.drains_until.is_some() {
            return None;
        }
        let first = *self.items.keys().next()?;
        let mut keys = BTreeSet::new();
        for (offset, item) in &self.items {
            let is_head = match order {
                Order::Partition => *offset == first,
                Order::Key => item.key.is_none_or(|key| keys.insert(key)),
                _ => true,
            };
            let is_due = match item.state {
                State::Queued => true,
                State::Waiting(_, latest) => latest < now,
                _ => false,
            };
            if is_head && is_due && !self.may_be_held(first, *offset) {
                return Some(*offset);
            }
        }
        None
    }

    /// Whether what is done might not fit beside an offset if this record were: it may be kept back then.
    fn may_be_held(&self, first: i64, offset: i64) -> bool {
        let beyond = self.begun_with.as_ref().map_or(&[][..], |told| &told.beyond);
        let end = beyond.last().map_or(offset, |last| last.end.max(offset));
        let end = self.done.last().map_or(end, |last| end.max(*last));
        self.items.len() + beyond.len() > 400 && end - first > 20_000
    }

    /// Whether its share of the room is used up.
    pub(super) fn is_full(&self, size: usize, partitions: usize, rules: &Rules) -> bool {
        let is_over = |used: usize, of: usize| used >= (of / partitions.max(1)).max(1);
        is_over(self.items.len(), rules.room.records) || is_over(self.items.len() * size, rules.room.bytes)
    }
}
