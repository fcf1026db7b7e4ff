//! What is known of values, partitions, transactions and commits, whoever it is known from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    Counts, History,
    history::{Entry, Isolation, Outcome, Position},
};

/// A partition: its topic and number.
pub(super) type At<'a> = (&'a str, i32);

/// A value that was sent.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    pub(super) line: &'a Entry,
    /// When its outcome was known.
    pub(super) done: u64,
    pub(super) partition: Option<i32>,
    pub(super) offset: Option<i64>,
    pub(super) outcome: Outcome,
    pub(super) key: Option<&'a str>,
    pub(super) txn: Option<&'a str>,
    pub(super) from: Option<&'a Position>,
    pub(super) idempotent: bool,
}

/// What a transaction has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody asked for its end: sooner or later it is aborted.
    Open,
    Committed,
    /// Its commit was asked for, and it is not known what came of that.
    MaybeCommitted,
    Aborted,
}

#[derive(Debug)]
pub(super) struct Txn<'a> {
    pub(super) fate: Fate,
    /// The last line that tells of its end, or the first of it.
    pub(super) line: &'a Entry,
    /// When its commit was asked for first.
    pub(super) commit_begun: Option<u64>,
    pub(super) commit_done: Option<u64>,
    pub(super) group: Option<&'a str>,
    pub(super) offsets: &'a [Position],
    /// Topic and value of what it sent.
    pub(super) sends: Vec<(&'a str, &'a str)>,
}

/// A value at an offset.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) value: &'a str,
    pub(super) acked: Option<&'a Entry>,
    pub(super) read: Option<&'a Entry>,
}

impl<'a> Seen<'a> {
    pub(super) fn line(&self) -> Option<&'a Entry> {
        self.acked.or(self.read)
    }
}

/// A committed offset of one partition.
#[derive(Debug)]
pub(super) struct Commit<'a> {
    pub(super) line: &'a Entry,
    /// Of which run of its process through the partition: one begins with each assignment and each seek.
    pub(super) run: usize,
    /// Whether a seek began that run.
    pub(super) sought: bool,
    pub(super) begun: u64,
    pub(super) done: u64,
    pub(super) offset: i64,
    pub(super) generation: Option<i32>,
    /// Whether it is known to be done.
    pub(super) certain: bool,
}

#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) history: Option<&'a History>,
    /// In the order of time; those of one process in its own order.
    pub(super) entries: Vec<(u64, &'a Entry)>,
    pub(super) sends: HashMap<(&'a str, &'a str), Sent<'a>>,
    pub(super) log: BTreeMap<At<'a>, BTreeMap<i64, Vec<Seen<'a>>>>,
    /// Of compacted topics: of each key the highest offset at which it is known to be.
    pub(super) last_of_key: HashMap<(At<'a>, &'a str), i64>,
    pub(super) compacted: BTreeSet<&'a str>,
    pub(super) trimmed: BTreeMap<At<'a>, i64>,
    pub(super) txns: BTreeMap<&'a str, Txn<'a>>,
    /// By group and partition, in the order in which they began.
    pub(super) commits: BTreeMap<(&'a str, At<'a>), Vec<Commit<'a>>>,
    /// Who makes final reads, and of what.
    pub(super) final_readers: BTreeSet<(&'a str, At<'a>)>,
    pub(super) counts: Counts,
}

impl<'a> Facts<'a> {
    pub(super) fn sent(&self, topic: &'a str, value: &'a str) -> Option<&Sent<'a>> {
        self.sends.get(&(topic, value))
    }

    /// The transaction of a value, and what has come of it.
    pub(super) fn txn_of(&self, topic: &'a str, value: &'a str) -> Option<(&'a str, &Txn<'a>)> {
        let name = self.sent(topic, value)?.txn?;
        Some((name, self.txns.get(name)?))
    }

    /// Whether whoever reads past this offset must have been handed this value.
    pub(super) fn is_due(&self, at: At<'a>, offset: i64, seen: &Seen<'a>, isolation: Isolation) -> bool {
        if self.trimmed.get(&at).is_some_and(|first| offset < *first) {
            return false;
        }
        let Some(sent) = self.sent(at.0, seen.value) else { return false };
        if self.compacted.contains(at.0) {
            // Without a key nothing tells what replaced it.
            let last = sent.key.and_then(|key| self.last_of_key.get(&(at, key)));
            if last.is_none_or(|last| *last > offset) {
                return false;
            }
        }
        match (isolation, sent.txn) {
            (Isolation::ReadCommitted, Some(txn)) => {
                self.txns.get(txn).is_some_and(|txn| txn.fate == Fate::Committed)
            }
            _ => sent.outcome != Outcome::Failed,
        }
    }

    /// What a reader past this range must have been handed of it.
    pub(super) fn due(
        &self,
        at: At<'a>,
        range: std::ops::Range<i64>,
        isolation: Isolation,
    ) -> Vec<(i64, &Seen<'a>)> {
        if range.is_empty() {
            return Vec::new();
        }
        let slots = self.log.get(&at).into_iter().flat_map(|slots| slots.range(range.clone()));
        let each = slots.flat_map(|(offset, seen)| seen.iter().map(move |seen| (*offset, seen)));
        each.filter(|(offset, seen)| self.is_due(at, *offset, seen, isolation)).collect()
    }

    /// Whether nothing may remove what is at this offset.
    pub(super) fn is_kept(&self, at: At<'a>, offset: i64) -> bool {
        !self.compacted.contains(at.0) && self.trimmed.get(&at).is_none_or(|first| offset >= *first)
    }
}
