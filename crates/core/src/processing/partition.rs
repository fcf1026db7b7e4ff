//! A partition of which records are handled: what of it has arrived and is not done, and from that what can be committed.

use std::{
    collections::BTreeSet,
    ops::Range,
    time::{Duration, Instant},
};

use super::{
    Arrival, JobId,
    items::Items,
    lines::LineId,
    saved::{BITS_FIT, GAPS_FIT, Saved},
};
use crate::{
    ids::TopicPartition,
    offsets::CommittedOffset,
    planted::{Planted, Plot},
};

/// The life of a partition, from its assignment to its end or to a reset of its position. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Incarnation(pub(super) u32);

/// A record that has arrived and is not done.
#[derive(Debug, Clone)]
pub(super) struct Item<W> {
    pub(super) work: W,
    pub(super) bytes: usize,
    pub(super) line: Option<LineId>,
    /// When it may be handed out first.
    pub(super) due: Option<Instant>,
    leader_epoch: Option<i32>,
    /// That of the record before it.
    epoch_before: Option<i32>,
    pub(super) state: State,
    /// How many attempts have begun.
    pub(super) attempts: u32,
    /// How many of them count for nothing.
    pub(super) uncounted: u32,
    /// When the first of them did.
    pub(super) first: Option<Instant>,
    /// How often it was given away in vain.
    pub(super) given_away: u32,
    /// How long it waits once more before it is not tried any more.
    pub(super) patience: Option<Duration>,
    /// How many attempts there were before it waited so.
    pub(super) before: u32,
}

impl<W> Item<W> {
    /// An attempt begins.
    pub(super) fn begin(&mut self, state: State, now: Instant) {
        self.state = state;
        self.attempts += 1;
        self.first.get_or_insert(now);
    }

    /// Whether it is somebody else's by this.
    pub(super) fn is_given_away_as(&self, id: JobId) -> bool {
        self.state == State::GivenAway && self.attempts == id.attempt
    }

    /// Which attempt it is, as the program counts.
    pub(super) fn counted(&self) -> u32 {
        self.attempts.saturating_sub(self.uncounted)
    }
}

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for those before it, for a worker, or for its next attempt.
    Queued,
    /// A handler is at it.
    Running {
        /// Whether that has been told to end.
        cancelled: bool,
        /// When it will be.
        deadline: Option<Instant>,
    },
    /// A handler is at the batch that it is in.
    Batched,
    /// It is hopeless, or follows others, and is somebody else's until they say what became of it.
    GivenAway,
    /// Nothing, and nothing will be: the processor stops for it, or the time to drain its partition is over.
    Stopped,
}

impl State {
    fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Whether a handler is at it that was not told to end.
    pub(super) fn is_cancellable(self) -> bool {
        matches!(self, Self::Running { cancelled: false, .. })
    }
}

/// Whether a partition's records are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// It is revoked: nothing more is handed out, and what is in a handler may end until then.
    Draining(Instant),
}

#[derive(Debug)]
pub(super) struct Partition<W> {
    pub(super) at: TopicPartition,
    pub(super) phase: Phase,
    /// What is left of its lines in partitions behind it is not known yet: nothing of it is handed out.
    pub(super) is_blind: bool,
    /// Those whose turn came while it was blind.
    pub(super) unseen: Vec<i64>,
    /// What has arrived and is not done, by offset. Any other offset before `next` is done, or is none.
    pub(super) items: Items<Item<W>>,
    pub(super) bytes: usize,
    /// Behind what has arrived.
    next: Option<CommittedOffset>,
    /// The last record of those that are done, and the leader epoch of it.
    newest_done: Option<(i64, Option<i32>)>,
    /// What was saved when the partition was assigned, as far as it has not arrived.
    saved: Option<Saved>,
    /// Those that would be too many to be saved.
    held: BTreeSet<i64>,
    /// Records up to this one are in no batch with others: one of them is hopeless.
    pub(super) alone_until: Option<i64>,
    /// Moves with what is to be committed.
    version: u64,
    committed: u64,
    pub(super) is_paused: bool,
    plot: Plot,
}

impl<W> Partition<W> {
    /// One that is assigned with this committed offset.
    pub(super) fn new(at: TopicPartition, committed: Option<&CommittedOffset>, plot: Plot) -> Self {
        Self {
            at,
            phase: Phase::Open,
            is_blind: false,
            unseen: Vec::new(),
            items: Items::new(),
            bytes: 0,
            next: None,
            newest_done: None,
            saved: committed.and_then(|committed| Saved::decode(committed.offset, &committed.metadata)),
            held: BTreeSet::new(),
            alone_until: None,
            version: 0,
            committed: 0,
            is_paused: false,
            plot,
        }
    }

    /// Whether a record at this offset of that topic is not behind those that have arrived: the position was moved back, or
    /// the topic is another.
    pub(super) fn is_reset_by(&self, first: i64, next: &CommittedOffset) -> bool {
        let is_behind = |known: &CommittedOffset| first < known.offset || is_of_another(known, next);
        // What was saved is of a log that was read from there on.
        let is_before_saved = self.saved.as_ref().is_some_and(|saved| first < saved.base);
        !self.plot.has(Planted::ResetIsOverlooked)
            && (is_before_saved || self.next.as_ref().is_some_and(is_behind))
    }

    /// Takes a record in. Whether it is to be handled: it was not before.
    pub(super) fn arrive(&mut self, record: Arrival<'_, W>, line: Option<LineId>) -> bool {
        let Arrival { offset, leader_epoch, bytes, due, patience, work, .. } = record;
        let due = due.filter(|_| !self.plot.has(Planted::DueIsOverlooked));
        let epoch_before = self.next.as_ref().and_then(|next| next.leader_epoch);
        let is_done = self.was_saved(offset, leader_epoch);
        self.next.get_or_insert_default().offset = offset + 1;
        self.next.get_or_insert_default().leader_epoch = leader_epoch;
        if is_done {
            self.done(offset, leader_epoch);
            return false;
        }
        let item = Item {
            work,
            bytes,
            line,
            due,
            leader_epoch,
            epoch_before,
            state: State::Queued,
            attempts: 0,
            uncounted: 0,
            first: None,
            given_away: 0,
            patience,
            before: 0,
        };
        self.bytes += bytes;
        self.items.insert(offset, item);
        true
    }

    /// The records before `first` that are not done, to be handed out again: of no other topic than what arrives there.
    pub(super) fn before(&self, first: i64, next: &CommittedOffset) -> Vec<(i64, Item<W>)>
    where
        W: Clone,
    {
        let is_gone = self.next.as_ref().is_some_and(|known| is_of_another(known, next));
        if is_gone || self.plot.has(Planted::CutForgetsAll) {
            return Vec::new();
        }
        // Whoever is at it is told to end: that is no attempt.
        let begun = |item: &Item<W>| u32::from(item.state.is_running() || item.state == State::Batched);
        let waits = |item: &Item<W>| Item {
            state: State::Queued,
            uncounted: item.uncounted + begun(item),
            given_away: item.given_away + u32::from(item.state == State::GivenAway),
            ..item.clone()
        };
        self.items.range(i64::MIN..first).map(|(offset, item)| (offset, waits(item))).collect()
    }

    /// The last record before `first` that is done, or an offset behind it that is not in hand, where nobody knows any more.
    pub(super) fn newest_before(&self, first: i64) -> Option<(i64, Option<i32>)> {
        let (newest, leader_epoch) = self.newest_done?;
        if newest < first {
            return Some((newest, leader_epoch));
        }
        let mut undone: Vec<i64> = self.items.range(i64::MIN..first).map(|(offset, _)| offset).collect();
        let mut newest = first - 1;
        while undone.pop_if(|offset| *offset == newest).is_some() {
            newest -= 1;
        }
        undone.first().map(|_| (newest, None))
    }

    /// Reading goes on at `first`, with these records before it in hand: that is to be committed, whatever is done of it. The
    /// lines in which they stand.
    pub(super) fn goes_on(
        &mut self,
        first: i64,
        newest_done: Option<(i64, Option<i32>)>,
        stays: Vec<(i64, Item<W>)>,
    ) -> impl Iterator<Item = (i64, Option<LineId>)> + use<W> {
        self.next = Some(first.into());
        self.version += 1;
        let places: Vec<_> = stays.iter().map(|(offset, item)| (*offset, item.line)).collect();
        self.newest_done = newest_done;
        for (offset, item) in stays {
            self.bytes += item.bytes;
            self.items.insert(offset, item);
        }
        places.into_iter()
    }

    /// What was committed is to be committed once more.
    pub(super) fn commits_again(&mut self) {
        self.version += 1;
    }

    /// All before `next` has arrived.
    pub(super) fn arrived(&mut self, next: CommittedOffset) {
        self.next = Some(next);
        // With nothing in hand this alone moves what is to be committed, as behind the marker of a transaction.
        self.version += u64::from(self.items.is_empty());
    }

    /// Whether this record was done before the partition was assigned.
    fn was_saved(&mut self, offset: i64, leader_epoch: Option<i32>) -> bool {
        let Some(saved) = &mut self.saved else { return false };
        let is_newer = saved.leader_epoch.zip(leader_epoch).is_some_and(|(saved, its)| its > saved);
        let passed = saved.done.iter().take_while(|range| range.end <= offset).count();
        saved.done.drain(..passed);
        if is_newer || saved.done.is_empty() {
            self.saved = None;
            return false;
        }
        let is_done = saved.done.first().is_some_and(|range| range.contains(&offset));
        is_done && !self.plot.has(Planted::SavedIsHandedOut)
    }

    /// A record is done.
    pub(super) fn finish(&mut self, offset: i64) -> Option<Item<W>> {
        let item = self.items.remove(offset)?;
        if !self.plot.has(Planted::BytesAreKept) {
            self.bytes = self.bytes.saturating_sub(item.bytes);
        }
        self.done(offset, item.leader_epoch);
        Some(item)
    }

    fn done(&mut self, offset: i64, leader_epoch: Option<i32>) {
        if self.newest_done.is_none_or(|(newest, _)| newest < offset) {
            self.newest_done = Some((offset, leader_epoch));
        }
        self.version += 1;
    }

    /// Whether what is done could be saved if this record were.
    pub(super) fn may_begin(&self, offset: i64) -> bool {
        let Some(base) = self.items.first().filter(|base| *base < offset) else { return true };
        let saved = self.saved.as_ref().map_or(&[][..], |saved| &saved.done);
        if self.items.len() + saved.len() <= GAPS_FIT || self.plot.has(Planted::AllMayBegin) {
            return true;
        }
        let end = self.newest_done.map_or(offset, |(newest, _)| newest.max(offset)) + 1;
        if saved.last().map_or(end, |last| last.end.max(end)) - base <= BITS_FIT {
            return true;
        }
        saved.len() + self.items.range(i64::MIN..end).take(GAPS_FIT + 1).count() <= GAPS_FIT
    }

    /// Keeps a record back until more before it is done.
    pub(super) fn hold(&mut self, offset: i64) {
        self.held.insert(offset);
    }

    /// Those that were kept back and may begin now, the last first.
    pub(super) fn let_go(&mut self) -> impl Iterator<Item = i64> + use<W> {
        let may_begin = |offset: &i64| !self.plot.has(Planted::HeldStaysHeld) && self.may_begin(*offset);
        let free: Vec<i64> = self.held.iter().copied().take_while(may_begin).collect();
        for offset in &free {
            self.held.remove(offset);
        }
        free.into_iter().rev()
    }

    /// All that were kept back, the last first: nothing is saved.
    pub(super) fn let_all_go(&mut self) -> impl Iterator<Item = i64> + use<W> {
        std::mem::take(&mut self.held).into_iter().rev()
    }

    /// When handlers of its records are told to end, if that is still to come.
    pub(super) fn drains_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Draining(until) if self.items.iter().any(|(_, item)| item.state.is_cancellable()) => {
                Some(until)
            }
            _ => None,
        }
    }

    /// How many of its records are with a handler, or somebody else's.
    pub(super) fn busy(&self) -> usize {
        let is_busy = |(_, item): &(i64, &Item<W>)| match item.state {
            State::Running { .. } => true,
            State::GivenAway => !self.plot.has(Planted::GivenAwayIsNotAwaited),
            // The batch that it is in is looked for by itself.
            State::Queued | State::Stopped | State::Batched => false,
        };
        self.items.iter().filter(is_busy).count()
    }

    /// All before it is done, or was no record; `None` where that is not known.
    pub(super) fn base(&self) -> Option<i64> {
        self.items.first().or_else(|| Some(self.next.as_ref()?.offset))
    }

    /// Whether more is done than was committed.
    pub(super) fn is_dirty(&self) -> bool {
        self.version != self.committed
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// What was to be committed at that version is.
    pub(super) fn committed(&mut self, version: u64) {
        let version = if self.plot.has(Planted::CommitCoversLater) { self.version } else { version };
        self.committed = self.committed.max(version);
    }

    /// What is to be committed: before the first record that is not done, with what is done beyond it where that is
    /// `saved`.
    pub(super) fn to_commit(&self, saved: bool) -> Option<CommittedOffset> {
        let mut commit = self.next.clone()?;
        let passes = |item: &Item<W>| item.state.is_running() && self.plot.has(Planted::HandlersArePassed);
        if let Some((first, item)) = self.items.iter().find(|(_, item)| !passes(item)) {
            (commit.offset, commit.leader_epoch) = (first, item.epoch_before);
        }
        let base = commit.offset;
        let metadata = if saved { self.to_save(base).encode() } else { String::new() };
        Some(commit.with_metadata(metadata))
    }

    fn to_save(&self, base: i64) -> Saved {
        let mut done: Vec<Range<i64>> = Vec::new();
        let mut add = |range: Range<i64>| match done.last_mut().filter(|last| last.end >= range.start) {
            _ if range.is_empty() => {}
            Some(last) => last.end = range.end,
            None => done.push(range),
        };
        let end = self.newest_done.map_or(base, |(newest, _)| newest + 1);
        let mut from = base;
        let tells = |item: &Item<W>| item.state.is_running() && self.plot.has(Planted::HandlersCountAsSaved);
        let undone = self.items.range(base.min(end)..end).filter(|(_, item)| !tells(item));
        for (offset, _) in undone {
            add(from..offset);
            from = offset + 1;
        }
        add(from..end);
        let next = self.next.as_ref().map_or(base, |next| next.offset);
        let saved = self.saved.as_ref();
        for range in saved.iter().flat_map(|saved| &saved.done) {
            add(range.start.max(next)..range.end);
        }
        let epochs = [saved.map(|saved| saved.leader_epoch), self.newest_done.map(|(_, epoch)| epoch)];
        // One that is not known may be newer than any that is.
        let leader_epoch =
            epochs.into_iter().flatten().try_fold(None, |newest, epoch| Some(newest.max(Some(epoch?))));
        Saved { base, leader_epoch: leader_epoch.flatten(), done }
    }
}

/// Whether what arrives is of another topic than what is known, under the same name.
fn is_of_another(known: &CommittedOffset, next: &CommittedOffset) -> bool {
    known.topic_id.zip(next.topic_id).is_some_and(|(was, is)| was != is)
}
