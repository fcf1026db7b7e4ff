//! What a member has, and of each partition where it is to go on.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{SeekTo, TopicPartition};

use crate::{epochs::LeaderEpochs, handed::Handed, logs::Wanted};

/// A partition that a member has now.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) since: Duration,
    pub(super) expect: Expect,
    /// The largest position that may be committed; `None` before anything was done.
    pub(super) limit: Option<i64>,
    /// How far the user has come since he last sought; `None` where he has not.
    pub(super) reached: Option<i64>,
    /// Whether the core must know the position.
    pub(super) known: bool,
    /// Tells one assignment of a partition from the next.
    pub(super) serial: u64,
}

/// Which offset is to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// What is committed, or the log's start.
    Start,
    At(i64),
    /// The log's end at some time since it was here.
    EndSince(i64),
    /// What the log answered at some time since then. Whether what lies before may go unread.
    Found {
        wanted: Wanted,
        since: Duration,
        skips: bool,
    },
}

impl Holding {
    /// This offset is handed out.
    pub(super) fn handed(&mut self, offset: i64) {
        if let Expect::EndSince(_) = self.expect {
            (self.limit, self.reached) = (self.limit.max(Some(offset)), Some(offset));
        }
        (self.expect, self.known) = (Expect::At(offset + 1), true);
    }

    /// The user is back from this offset.
    fn done(&mut self, offset: i64) {
        self.limit = self.limit.max(Some(offset + 1));
        self.reached = self.reached.map(|reached| reached.max(offset + 1));
    }

    /// It is found out to go on at this offset.
    pub(super) fn begins(&mut self, offset: i64) {
        self.limit = self.limit.max(Some(offset));
        self.reached = self.reached.map(|reached| reached.max(offset));
        (self.expect, self.known) = (Expect::At(offset), true);
    }

    /// Its user has sought, to no less than `least`; he began at `start` or before, and the log ends at `end`. What he still
    /// has of it counts no more.
    pub(super) fn sought(
        &mut self,
        serial: u64,
        (to, expect): (SeekTo, Expect),
        (start, least, end): (i64, i64, i64),
    ) {
        self.serial = serial;
        // Where the end was sought before, and not known yet, that may have been it.
        let before = if let Expect::EndSince(_) = self.expect { end } else { least };
        self.limit = Some(self.limit.unwrap_or(start).max(before).max(least));
        self.expect = expect;
        self.known = matches!(to, SeekTo::Offset(_));
        let is_known = matches!(to, SeekTo::Offset(_) | SeekTo::Beginning);
        self.reached = Some(if is_known { least } else { i64::MIN });
    }
}

/// All that a member has.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    parts: BTreeMap<TopicPartition, Holding>,
    /// The number of the last assignment of a partition, or seek.
    serial: u64,
    /// What was assigned by hand and is no more: the largest position that a commit may tell yet.
    let_go: BTreeMap<TopicPartition, i64>,
    leader_epochs: LeaderEpochs,
}

impl Holdings {
    /// A partition comes.
    pub(super) fn begin(&mut self, at: TopicPartition, since: Duration) {
        let serial = self.next_serial();
        let (expect, limit, reached, known) = (Expect::Start, None, None, false);
        self.parts.insert(at, Holding { since, expect, limit, reached, known, serial });
    }

    /// These go.
    pub(super) fn end(&mut self, partitions: &[TopicPartition]) {
        self.parts.retain(|at, _| !partitions.contains(at));
    }

    /// All go.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// All but these go, as their user wants others. `start`: where he may have begun since then.
    pub(super) fn let_go(
        &mut self,
        chosen: &[TopicPartition],
        mut start: impl FnMut(&TopicPartition, Duration) -> i64,
    ) {
        for (at, holding) in self.parts.extract_if(.., |at, _| !chosen.contains(at)) {
            let most = holding.limit.unwrap_or_else(|| start(&at, holding.since));
            let before = self.let_go.entry(at).or_default();
            *before = most.max(*before);
        }
    }

    /// The largest position that a commit may tell of what was let go.
    pub(super) fn limit_of_let_go(&self, at: &TopicPartition) -> i64 {
        self.let_go.get(at).copied().unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn contains(&self, at: &TopicPartition) -> bool {
        self.parts.contains_key(at)
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.parts.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Holding)> {
        self.parts.iter()
    }

    pub(super) fn get(&self, at: &TopicPartition) -> Option<&Holding> {
        self.parts.get(at)
    }

    pub(super) fn get_mut(&mut self, at: &TopicPartition) -> Option<&mut Holding> {
        self.parts.get_mut(at)
    }

    /// The same, if it is still that assignment, and the user has not sought since.
    pub(super) fn of(&self, at: &TopicPartition, serial: u64) -> Option<&Holding> {
        self.get(at).filter(|holding| holding.serial == serial)
    }

    /// The last number.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// The next number, for what begins now.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The user is back from a record of this assignment.
    pub(super) fn done(&mut self, record: &Handed, serial: u64) {
        if let Some(holding) = self.get_mut(&record.at).filter(|holding| holding.serial == serial) {
            holding.done(record.offset);
        }
    }

    /// What a reader that is gone had is handed out again from there.
    pub(super) fn hands_out_again(&mut self, at: &TopicPartition, offset: i64, serial: u64) {
        if self.of(at, serial).is_some() {
            let serial = self.next_serial();
            if let Some(holding) = self.get_mut(at) {
                (holding.serial, holding.expect) = (serial, Expect::At(offset));
            }
        }
    }

    /// A record is handed out: of which leader epoch, is kept for the commit that follows.
    pub(super) fn note_epoch(&mut self, record: &Handed) {
        if let Some(holding) = self.parts.get(&record.at) {
            self.leader_epochs.handed(record, holding.serial);
        }
    }

    /// What a commit of this offset has to tell, where the record before it was handed out.
    pub(super) fn epoch_before(&self, at: &TopicPartition, offset: i64) -> Option<i32> {
        self.leader_epochs.before(at, offset, self.get(at)?.serial)
    }
}

impl std::ops::Index<&TopicPartition> for Holdings {
    type Output = Holding;

    fn index(&self, at: &TopicPartition) -> &Holding {
        &self.parts[at]
    }
}
