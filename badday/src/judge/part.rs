//! A partition's records that somebody still has to have.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

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

/// What a life of a writer has written to a partition, as read from it.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) next: u64,
    pub(super) missing: BTreeSet<u64>,
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

    /// Sets a follower's bit: whether it was set.
    pub(super) fn mark(&mut self, offset: i64, bit: u32) -> bool {
        let Some(entry) = self.entries.get_mut(&offset) else { return offset < self.base };
        let had = entry.seen & bit != 0;
        entry.seen |= bit;
        had
    }
}
