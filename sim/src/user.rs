//! The user of a consumer: where he is, what he has in hand, and what he waits for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_core::{Callback, Filter, OpId, ReaderId, TopicPartition};

use crate::{dice::Dice, habits::Habits, handed::Handed};

/// Where the user is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Doing {
    /// Out of every call, busy with what he has.
    Away,
    /// In `recv` or `poll`.
    Reading(Call),
    /// In `commit`.
    Committing(OpId),
    /// In his rebalance listener.
    Listening(Listening),
    /// In `close`.
    Closing,
    Gone,
}

/// A call that reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) filter: Filter,
    /// At most so many records; `None` for `recv`.
    pub(super) most: Option<usize>,
}

/// A call of the listener that has not returned.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listening {
    /// The call of the user's from which it was called.
    pub(super) from: Box<Doing>,
    pub(super) told: Told,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told(pub(super) Callback);

/// A record in a user's hands.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) record: Handed,
    /// Of its partition's assignment.
    pub(super) serial: u64,
    /// Who handed it out.
    pub(super) by: ReaderId,
}

/// An operation, and what was true when it was asked for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// `part`: of some records, with something written beside each offset.
    Commit {
        number: u64,
        offsets: BTreeMap<TopicPartition, i64>,
        since: Duration,
        part: bool,
    },
    Committed {
        at: TopicPartition,
        since: Duration,
    },
    End {
        at: TopicPartition,
        least: i64,
    },
    Time {
        at: TopicPartition,
        time: i64,
        since: Duration,
    },
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) habits: Habits,
    pub(super) dice: Dice,
    doing: Doing,
    /// Tells one thing that he does from the next.
    stamp: u64,
    pub(super) paused: BTreeSet<TopicPartition>,
    pub(super) ops: Vec<(OpId, Asked)>,
    /// What he asked to commit last, and the number of that request.
    pub(super) last_commit: BTreeMap<TopicPartition, u64>,
    /// Whether the last call was a commit: the next one reads.
    pub(super) just_committed: bool,
    /// What is paused in the end, to see its position committed.
    pub(super) resting: Option<TopicPartition>,
    /// In `unsubscribe`, which tells afterwards.
    pub(super) unsubscribing: bool,
    /// Whether he called close, and is told by his listener of all that this takes away.
    pub(super) closed: bool,
    pub(super) told_at_the_end: bool,
    /// Since when he has been out of every call.
    pub(super) away_since: Duration,
    /// The longest time that he, or who reads beside him, was out of every call, since he was told that it was too long.
    pub(super) longest_absence: Duration,
}

impl User {
    pub(super) fn new(habits: Habits, dice: Dice) -> Self {
        Self {
            habits,
            dice,
            doing: Doing::Away,
            stamp: 0,
            paused: BTreeSet::new(),
            ops: Vec::new(),
            last_commit: BTreeMap::new(),
            just_committed: false,
            resting: None,
            unsubscribing: false,
            closed: false,
            told_at_the_end: false,
            away_since: Duration::ZERO,
            longest_absence: Duration::ZERO,
        }
    }

    pub(super) fn doing(&self) -> &Doing {
        &self.doing
    }

    /// Does something else.
    pub(super) fn does(&mut self, doing: Doing) {
        self.stamp += 1;
        self.doing = doing;
    }

    /// What was to happen at some time of what he does now.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp
    }

    pub(super) fn is_gone(&self) -> bool {
        self.doing == Doing::Gone
    }

    /// For how long he has been out of every call.
    pub(super) fn note_absence(&mut self, time: Duration) -> Duration {
        let absence = time - self.away_since;
        self.longest_absence = self.longest_absence.max(absence);
        absence
    }

    /// Asks to commit, of these partitions among others.
    pub(super) fn commits(&mut self, op: OpId, of: impl Iterator<Item = TopicPartition>, asked: Asked) {
        self.last_commit.extend(of.map(|at| (at, op.0)));
        self.ops.push((op, asked));
    }
}
