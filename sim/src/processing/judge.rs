//! The judge: keeps a record of its own of what workers are handed, start, end and commit, and holds it against what a
//! processor promises. It knows nothing of the machine but what workers do with it.
//!
//! - Nothing is handled twice in one tenure of a partition, nor what was told as done when that began; and never more than
//!   [`Rules::concurrency`] at once.
//! - Where order matters, a record starts when all before it that it waits for are done.
//! - What is committed is what is done, and all of it: never a record that is not.
//! - A record that fails is tried again, no sooner than its policy says, and as often.
//! - Where there is work and a free slot, something runs.
//! - No more is taken in than there is room for.
//! - Handlers are told to end when their time is over, or their partition is gone, and no sooner.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_core::{CommittedOffset, TopicPartition};

use super::{
    outcomes::Outcomes,
    rules::Rules,
    tenure::{State, Tenure},
    told::Told,
    written::{Logs, Nature, SIZE},
};
use crate::{report::Processed, stage::Stage};

/// A worker's number.
pub(super) type Life = usize;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Failed,
    /// No other attempt can succeed.
    Fatal,
    Cancelled,
}

#[derive(Debug)]
pub(super) struct Judge {
    pub(super) rules: Rules,
    pub(super) logs: Logs,
    /// What is done, by whomever.
    pub(super) done: BTreeMap<TopicPartition, BTreeSet<i64>>,
    pub(super) lives: BTreeMap<Life, Worker>,
    /// What the group has committed.
    pub(super) committed: BTreeMap<TopicPartition, i64>,
    pub(super) serial: u64,
    pub(super) counts: Processed,
    pub(super) is_transactional: bool,
    /// What became of transactions.
    pub(super) once: Outcomes,
}

#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) tenures: BTreeMap<TopicPartition, Tenure>,
    pub(super) running: BTreeMap<u64, Attempt>,
    /// Nothing is to be started any more.
    pub(super) stops: bool,
    /// What is to be committed of partitions that were given up.
    pub(super) owed: BTreeMap<TopicPartition, CommittedOffset>,
    /// The partitions of the commit that is under way.
    pub(super) under_way: Option<Vec<(TopicPartition, u64)>>,
    pub(super) last_commit: Duration,
    /// No text is taken beside offsets.
    pub(super) refused: bool,
    /// Partitions whose share of the room was used up at the last turn, and how many records there was room for.
    pub(super) full: BTreeSet<TopicPartition>,
    pub(super) room: usize,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) at: TopicPartition,
    pub(super) offset: i64,
    pub(super) tenure: u64,
    pub(super) since: Duration,
    pub(super) told: bool,
}

/// What is due at a time is not late for so long: the time of events is exact, but sums of jitter are rounded.
pub(super) const SLACK: Duration = Duration::from_millis(1);

impl Judge {
    pub(super) fn new(rules: Rules, logs: Logs, is_transactional: bool) -> Self {
        let (done, lives, committed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (counts, once) = (Processed::default(), Outcomes::default());
        Self { rules, logs, done, lives, committed, serial: 0, counts, is_transactional, once }
    }

    pub(super) fn life(&mut self, life: Life) -> &mut Worker {
        self.lives.entry(life).or_default()
    }

    pub(super) fn tenure(&mut self, life: Life, at: &TopicPartition) -> Option<&mut Tenure> {
        self.life(life).tenures.get_mut(at)
    }

    fn begin(&mut self, life: Life, at: &TopicPartition, begun_with: Option<Told>) {
        self.serial += 1;
        let next = begun_with.as_ref().map_or(0, |told| told.offset);
        let next = if begun_with.as_ref().is_some_and(|told| told.beyond.is_empty()) { 0 } else { next };
        let tenure = Tenure { serial: self.serial, begun_with, next, ..Tenure::default() };
        self.life(life).tenures.insert(at.clone(), tenure);
    }

    /// A partition is assigned, with what is committed of it as far as the worker knows.
    pub(super) fn assigned(
        &mut self,
        life: Life,
        at: &TopicPartition,
        committed: Option<&CommittedOffset>,
        stage: &mut Stage,
    ) {
        let told = committed.map(|committed| Told::read(committed.offset, &committed.metadata));
        match told.transpose() {
            Ok(told) => self.begin(life, at, told),
            Err(text) => stage.violate("a text beside an offset can be read", || text),
        }
    }

    /// The pump looks at what is to be done, before it receives.
    pub(super) fn turns(&mut self, life: Life) {
        let rules = self.rules;
        let worker = self.life(life);
        let (partitions, in_hand) =
            (worker.tenures.len(), worker.tenures.values().map(|tenure| tenure.items.len()).sum());
        worker.room = rules.room.records.saturating_sub(in_hand).max(1);
        let full = worker.tenures.iter().filter(|(_, tenure)| tenure.is_full(SIZE, partitions, &rules));
        worker.full = full.map(|(at, _)| at.clone()).collect();
    }

    /// Records are handed to a worker, which asked for so many at most.
    pub(super) fn arrive(
        &mut self,
        life: Life,
        at: &TopicPartition,
        offsets: &[i64],
        asked: usize,
        stage: &mut Stage,
    ) {
        let worker = self.life(life);
        if asked > worker.room {
            let room = worker.room;
            stage.violate("no more is asked for than there is room for", || {
                format!("w{life} asks for {asked} records and has room for {room}")
            });
        }
        if worker.full.contains(at) {
            stage.violate("a partition whose share of the room is used up is paused", || {
                format!("w{life} is handed {at} from offset {}", offsets[0])
            });
        }
        if self.tenure(life, at).is_none_or(|tenure| tenure.is_reset_by(offsets[0])) {
            let before = self.life(life).tenures.remove(at);
            self.counts.resets += u64::from(before.is_some());
            self.begin(life, at, None);
            if let Some((before, tenure)) = before.zip(self.tenure(life, at)) {
                before.goes_on(offsets[0], tenure);
            }
        }
        for offset in offsets {
            let written = *self.logs.of(at).get(offset).expect("it was written");
            let tenure = self.tenure(life, at).expect("it has begun");
            if !tenure.arrives(*offset, &written) {
                tenure.owed_since.get_or_insert(stage.time);
                self.counts.spared += 1;
            }
        }
    }

    /// Partitions are revoked: their handlers may go on until then.
    pub(super) fn revoke(&mut self, life: Life, partitions: &[TopicPartition], until: Duration) {
        for at in partitions {
            if let Some(tenure) = self.tenure(life, at) {
                tenure.drains_until = Some(until);
            }
        }
    }

    /// Partitions are given up, with what is to be committed of them. `is_late` says that the time for their handlers is over.
    pub(super) fn release(
        &mut self,
        life: Life,
        partitions: &[TopicPartition],
        commit: &BTreeMap<TopicPartition, CommittedOffset>,
        is_late: bool,
        stage: &mut Stage,
    ) {
        self.check(life, commit, stage);
        let worker = self.life(life);
        worker.owed.extend(commit.iter().map(|(at, offset)| (at.clone(), offset.clone())));
        for at in partitions {
            let Some(tenure) = worker.tenures.remove(at) else { continue };
            let busy = |state| matches!(state, State::Running | State::Given | State::Hopeless);
            let busy = tenure.items.iter().find(|(_, item)| busy(item.state)).filter(|_| !is_late);
            if let Some((offset, item)) = busy {
                stage.violate("handlers have ended before their partition is given up", || {
                    format!("w{life} gives up {at}, and {offset} is {:?}", item.state)
                });
            }
            if tenure.owed_since.is_some() && !commit.contains_key(at) {
                stage.violate("what is done is committed when its partition is given up", || {
                    format!("w{life} {at}")
                });
            }
        }
    }

    /// The listener returns from a revocation.
    pub(super) fn revoked(&mut self, life: Life, stage: &mut Stage) {
        let owed = std::mem::take(&mut self.life(life).owed);
        if !owed.is_empty() {
            stage.violate("what is done is committed when its partition is given up", || {
                format!("w{life}: {owed:?}")
            });
        }
    }

    pub(super) fn lose(&mut self, life: Life, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|at| _ = self.life(life).tenures.remove(at));
    }

    /// A worker starts nothing any more.
    pub(super) fn stops(&mut self, life: Life) {
        self.life(life).stops = true;
    }

    /// A worker is gone.
    pub(super) fn gone(&mut self, life: Life) {
        self.lives.remove(&life);
    }

    /// A record that nobody has handled, from where the logs begin.
    pub(super) fn unhandled(
        &self,
        starts: &BTreeMap<TopicPartition, i64>,
    ) -> Option<(TopicPartition, i64, Nature)> {
        self.logs.iter().find_map(|(at, log)| {
            let done = self.done.get(at);
            let is_done = |offset: &i64| done.is_some_and(|done| done.contains(offset));
            let (offset, written) = log.range(starts[at]..).find(|(offset, _)| !is_done(offset))?;
            Some((at.clone(), *offset, written.nature))
        })
    }
}
