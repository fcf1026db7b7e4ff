//! The books: what is committed in transactions, one after the other, and what follows where one is not.
//!
//! ```text
//!   write ──▶ written ──draft──▶ Draft ──enter──▶ Entry ──poll_entry──▶ an attempt ──▶ committed
//!                ▲                 │ no member      │ close               │   │ gone: again, without that offset
//!                │                 │                │             aborted │   ▼
//!                └─────────────────┴────────────────┴───────────◀── rest ─┘  over: the books are closed
//! ```
//!
//! Partitions that are given up go another way: [`give_up`](Books::give_up) makes an entry of what is left of them, which is tried
//! again after its rest, some times, and then is lost to whoever gets them next.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::Now;

use super::{CommitEnd, Ledger, Processing, Round};
use crate::{
    group::GroupMetadata,
    ids::TopicPartition,
    offsets::CommittedOffset,
    planted::{Planted, Plot},
};

/// How long it rests after a transaction that was aborted, at first; twice as long each time, up to 32 times that.
const REST: Duration = Duration::from_millis(50);

/// How often it is tried to commit what is done of partitions that are given up.
const ATTEMPTS: u32 = 3;

/// What a processor commits in transactions: outputs, and the offsets of the records that they were made from.
///
/// It goes with a [`Processing`], which has the offsets: both are asked in one moment, so that each transaction has whole records. Whoever
/// drives this
///
/// 1. [writes](Self::write) what a record's handler has written when, and only if, the record is done;
/// 2. asks for a [`draft`](Self::draft) each time that the machine is looked at, and [enters](Self::enter) it in the name of the member
///    that has its partitions in the same moment: who is in another generation by then, and owns the partitions still, has never lost
///    them;
/// 3. carries out one [entry](Self::poll_entry) at a time, but commits it only where it [is not lost](Self::is_lost), and tells
///    [what came of it](Self::handle_attempted);
/// 4. calls [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is over.
#[derive(Debug)]
pub struct Books<O> {
    ledger: Ledger<O>,
    /// Those that nobody is at: one of a round at the most, and one for each time that partitions are given up.
    entries: VecDeque<Entry<O>>,
    /// One that was aborted, and until when nothing is tried.
    resting: Option<(Instant, Entry<O>)>,
    /// How many transactions were aborted since the last that was not.
    failures: u32,
    /// No transaction is committed any more.
    are_closed: bool,
    /// Partitions are about to be given up: no round begins before they are.
    are_held: bool,
    /// The last round was in vain: the next waits until it is due.
    is_in_vain: bool,
    /// How many bytes may wait.
    most: usize,
    parted: VecDeque<Parting>,
    last: u64,
    /// How often partitions were forgotten, and the last time that each was.
    losses: u64,
    lost: BTreeMap<TopicPartition, u64>,
    plot: Plot,
}

/// What is to be committed in a transaction, once it is known in whose name.
#[derive(Debug)]
pub struct Draft<O> {
    round: Round,
    losses: u64,
    outputs: Vec<O>,
    /// The offsets, each with the text beside it.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
}

/// A transaction that is to be.
#[derive(Debug)]
pub struct Entry<O> {
    of: Of,
    /// How often partitions had been forgotten when it was made.
    losses: u64,
    /// How often it was tried in vain.
    attempts: u32,
    /// What was written, in order.
    pub outputs: Vec<O>,
    /// The offsets, each with the text beside it.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// In whose name they are committed.
    pub group: GroupMetadata,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Round(Round),
    /// Of partitions that the machine does not know any more: what it does not commit is not committed later.
    Parting(Parting),
}

/// The last entry of partitions that were given up. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parting(u64);

/// What is left of partitions that were given up.
#[derive(Debug)]
pub struct GivenUp {
    /// What is done of them and not committed.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// The entry that commits that, told by [`Books::poll_parted`] once it has ended; `None` where there is nothing to commit, or it
    /// cannot be.
    pub parting: Option<Parting>,
}

/// What came of an attempt to commit an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempted {
    /// All of it is committed.
    Committed,
    /// Nothing is, and the offset of this partition is of a topic that is gone.
    Gone(TopicPartition),
    /// Nothing is; another attempt may succeed.
    Aborted,
    /// Perhaps nothing is, and no other attempt can succeed, nor any other entry's.
    Over,
}

impl<O: Clone> Books<O> {
    /// Of which so many bytes of outputs may wait: at half of that they are to be committed, whatever the time.
    pub fn new(most: usize) -> Self {
        Self {
            ledger: Ledger::default(),
            entries: VecDeque::new(),
            resting: None,
            failures: 0,
            are_closed: false,
            are_held: false,
            is_in_vain: false,
            most,
            parted: VecDeque::new(),
            last: 0,
            losses: 0,
            lost: BTreeMap::new(),
            plot: Plot::default(),
        }
    }

    /// Switches a bug on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: Planted) {
        self.plot = Plot(Some(bug));
    }

    /// A record of this partition is done, and this was written for it: to be committed with its offset.
    pub fn write(&mut self, at: TopicPartition, output: O, bytes: usize) {
        if !self.plot.has(Planted::LateOutputsCountAsTaken) || !self.ledger.is_under_way() {
            self.ledger.write(at, output, bytes);
        }
    }

    /// These partitions are another's, or begin anew: what was written for them is not committed any more.
    pub fn forget(&mut self, partitions: &[TopicPartition]) {
        self.are_held = false;
        self.ledger.forget(partitions);
        self.losses += 1;
        self.lost.extend(partitions.iter().map(|at| (at.clone(), self.losses)));
    }

    /// Whether a partition of this entry was lost since it was made: it must not be committed any more. Whoever has the partition may
    /// have read what is committed before this entry's offsets were taken, this member in another life included: a coordinator that
    /// never forgot it gives it the epoch that it had, and takes the offsets.
    ///
    /// Asked once the offsets are taken, and before the commit: a loss that is told later is of a member that joins again later, and
    /// it is told nothing as committed while offsets are pending.
    pub fn is_lost(&self, entry: &Entry<O>) -> bool {
        let is_lost = |at| self.lost.get(at).is_some_and(|when| *when > entry.losses);
        entry.offsets.keys().any(is_lost) && !self.plot.has(Planted::LostIsCommitted)
    }

    /// Whether nothing more may be written before some of it is committed.
    pub fn is_full(&self) -> bool {
        self.ledger.bytes() >= self.most
    }

    /// Whether there is so much that it is to be committed, whatever the time.
    pub fn hurries<W: Clone, E: fmt::Display>(&self, machine: &Processing<W, E>) -> bool {
        let is_much = !self.is_in_vain && self.ledger.bytes() >= (self.most / 2).max(1);
        is_much && self.may_begin(machine) && !machine.is_committing()
    }

    fn may_begin<W: Clone, E: fmt::Display>(&self, machine: &Processing<W, E>) -> bool {
        !self.are_held && !self.are_closed && !machine.is_stopping()
    }

    /// What is due to be committed, if anything is.
    pub fn draft<W: Clone, E: fmt::Display>(
        &mut self,
        machine: &mut Processing<W, E>,
        now: Now,
    ) -> Option<Draft<O>> {
        if !self.may_begin(machine) {
            return None;
        }
        let offsets = if self.hurries(machine) { machine.commit_now() } else { machine.poll_commit(now) }?;
        let (round, outputs) = self.ledger.take();
        Some(Draft { round, losses: self.losses, outputs, offsets })
    }

    /// Has this committed in the name of this member. Where it is none, or none of these partitions by now, it is put back.
    pub fn enter<W: Clone, E: fmt::Display>(
        &mut self,
        draft: Draft<O>,
        member: Option<GroupMetadata>,
        machine: &mut Processing<W, E>,
        now: Now,
    ) {
        let Draft { round, losses, outputs, offsets } = draft;
        match member.filter(|_| !self.are_closed) {
            Some(group) => {
                let of = Of::Round(round);
                self.entries.push_back(Entry { of, losses, attempts: 0, outputs, offsets, group });
            }
            None => self.round_ended(round, CommitEnd::Failed, machine, now),
        }
    }

    /// Whether partitions that are drained may be given up: no transaction is under way. From here on none begins before they are.
    pub fn hold<W: Clone, E: fmt::Display>(&mut self, machine: &Processing<W, E>) -> bool {
        self.are_held = true;
        !machine.is_committing() || self.plot.has(Planted::TransactionIsNotAwaited)
    }

    /// Gives up partitions that are drained: what is done of them, and was written for it, is committed in a transaction, in the name of
    /// this member.
    ///
    /// Nothing of them is committed while another transaction is under way, though its end was waited for: it may have some of what was
    /// written, and their offsets must not be committed without.
    pub fn give_up<W: Clone, E: fmt::Display>(
        &mut self,
        partitions: &[TopicPartition],
        member: Option<GroupMetadata>,
        machine: &mut Processing<W, E>,
    ) -> GivenUp {
        let is_committing = machine.is_committing();
        let offsets = machine.release(partitions);
        self.are_held = false;
        let mut outputs = self.ledger.take_of(partitions);
        self.ledger.forget(partitions);
        if self.plot.has(Planted::GivenUpWithoutOutputs) {
            outputs.clear();
        }
        let may_be = !is_committing && !offsets.is_empty() && !self.are_closed;
        let parting = member.filter(|_| may_be).map(|group| {
            self.last += 1;
            let of = Of::Parting(Parting(self.last));
            let (losses, offsets) = (self.losses, offsets.clone());
            self.entries.push_back(Entry { of, losses, attempts: 0, outputs, offsets, group });
            Parting(self.last)
        });
        GivenUp { offsets, parting }
    }

    /// The next partitions that were given up whose entry has ended, whatever came of it.
    pub fn poll_parted(&mut self) -> Option<Parting> {
        self.parted.pop_front()
    }

    /// The next transaction; `None` while the one before rests.
    pub fn poll_entry(&mut self) -> Option<Entry<O>> {
        if self.resting.is_some() { None } else { self.entries.pop_front() }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.resting.as_ref().map(|(until, _)| *until)
    }

    /// What came of an entry. One that was aborted ends only after its rest, so that what is committed next has all that is done by then.
    pub fn handle_attempted<W: Clone, E: fmt::Display>(
        &mut self,
        mut entry: Entry<O>,
        attempted: Attempted,
        machine: &mut Processing<W, E>,
        now: Now,
    ) {
        match attempted {
            Attempted::Committed => {
                self.failures = 0;
                self.ended(entry, CommitEnd::Committed, machine, now);
            }
            // What was written for its records is written all the same.
            Attempted::Gone(at) if entry.offsets.remove(&at).is_some() => self.entries.push_front(entry),
            // Another attempt would be as late.
            Attempted::Gone(_) | Attempted::Aborted if self.is_lost(&entry) => {
                self.ended(entry, CommitEnd::Failed, machine, now);
            }
            Attempted::Gone(_) | Attempted::Aborted => {
                let rest = REST * (1 << self.failures.min(5));
                self.failures = self.failures.saturating_add(1);
                self.resting = Some((now.mono + rest, entry));
            }
            Attempted::Over => {
                self.ended(entry, CommitEnd::Failed, machine, now);
                self.close(machine, now);
            }
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come: what was aborted is put back, to be committed with what is done
    /// meanwhile. Of partitions that were given up it is tried again, as there will be no other time.
    pub fn handle_timeout<W: Clone, E: fmt::Display>(&mut self, machine: &mut Processing<W, E>, now: Now) {
        let Some((_, mut entry)) = self.resting.take_if(|(until, _)| *until <= now.mono) else { return };
        entry.attempts += 1;
        match entry.of {
            Of::Parting(_) if entry.attempts < ATTEMPTS => self.entries.push_front(entry),
            _ => self.ended(entry, CommitEnd::Failed, machine, now),
        }
    }

    /// No transaction is committed any more, and nothing is handed out: who waits for one need not.
    pub fn close<W: Clone, E: fmt::Display>(&mut self, machine: &mut Processing<W, E>, now: Now) {
        self.are_closed = true;
        let resting = self.resting.take().map(|(_, entry)| entry);
        for entry in resting.into_iter().chain(std::mem::take(&mut self.entries)) {
            self.ended(entry, CommitEnd::Failed, machine, now);
        }
        machine.stop();
    }

    fn ended<W: Clone, E: fmt::Display>(
        &mut self,
        entry: Entry<O>,
        end: CommitEnd,
        machine: &mut Processing<W, E>,
        now: Now,
    ) {
        match entry.of {
            Of::Round(round) => {
                if self.plot.has(Planted::CommittedIsWrittenAgain) {
                    self.ledger.handle_ended(round, false);
                }
                self.round_ended(round, end, machine, now);
            }
            Of::Parting(parting) => self.parted.push_back(parting),
        }
    }

    fn round_ended<W: Clone, E: fmt::Display>(
        &mut self,
        round: Round,
        end: CommitEnd,
        machine: &mut Processing<W, E>,
        now: Now,
    ) {
        self.is_in_vain = end != CommitEnd::Committed;
        self.ledger.handle_ended(round, !self.is_in_vain || self.plot.has(Planted::AbortedIsForgotten));
        machine.handle_committed(end, now);
    }
}
