//! A partition's records that somebody still has to have.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use super::numbers::{Came, Numbers};
use crate::line::Id;

/// A record that somebody still has to have.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Id,
    /// Since when it is known to be there.
    pub(super) known: Instant,
    /// A bit for each follower that has had it; the last one is the audit's.
    pub(super) seen: u32,
}

pub(super) const AUDIT: u32 = 1 << 31;

/// What a life of a writer has written to a partition.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// As the audit reads it.
    pub(super) read: Numbers,
    /// What was acknowledged without an offset, and the audit has not come to yet.
    pub(super) acknowledged: BTreeSet<u64>,
}

impl Written {
    /// The audit reads a number: how it comes, and what was acknowledged before it and is not there.
    pub(super) fn came(&mut self, number: u64) -> (Came, BTreeSet<u64>) {
        let came = self.read.add(number);
        if came != Came::Last {
            return (came, BTreeSet::new());
        }
        let behind = self.acknowledged.split_off(&(number + 1));
        let mut lost = std::mem::replace(&mut self.acknowledged, behind);
        lost.remove(&number);
        (came, lost)
    }
}

#[derive(Debug, Default)]
pub(super) struct Part {
    /// All below is done with.
    pub(super) base: i64,
    pub(super) entries: BTreeMap<i64, Entry>,
    pub(super) places: HashMap<Id, i64>,
    /// All below has been read by the audit.
    pub(super) audited: i64,
    pub(super) written: BTreeMap<(u16, u16), Written>,
}

impl Part {
    /// Notes that a record is there; false where another is.
    pub(super) fn known(&mut self, offset: i64, id: Id, now: Instant) -> bool {
        if offset < self.base {
            return true;
        }
        self.places.insert(id, offset);
        self.entries.entry(offset).or_insert(Entry { id, known: now, seen: 0 }).id == id
    }

    /// Whether the audit has read it, be it that all are done with it.
    pub(super) fn has_read(&self, id: Id) -> bool {
        self.written.get(&(id.writer, id.life)).is_some_and(|written| written.read.has(id.number))
    }

    /// Sets a follower's bit: whether it was set.
    pub(super) fn mark(&mut self, offset: i64, bit: u32) -> bool {
        let Some(entry) = self.entries.get_mut(&offset) else { return offset < self.base };
        let had = entry.seen & bit != 0;
        entry.seen |= bit;
        had
    }
}
