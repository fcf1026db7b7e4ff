//! Partitions come and go, and records arrive.

use std::{collections::BTreeMap, fmt, time::Instant};

use ottla_protocol::Now;

use super::{
    Arrival, CancelReason, JobId, Processing,
    partition::{Incarnation, Partition, Phase, State},
};
use crate::{ids::TopicPartition, offsets::CommittedOffset, planted::Planted};

impl<W: Clone, E: fmt::Display> Processing<W, E> {
    /// A partition is assigned, with what is committed of it. Records that were done before, as the text beside that offset tells,
    /// are not handed out; any other text counts for nothing.
    pub fn handle_assigned(&mut self, at: TopicPartition, committed: Option<&CommittedOffset>) {
        self.held.forget(&at);
        self.begin(at, committed);
        self.share_room();
    }

    pub(super) fn begin(&mut self, at: TopicPartition, committed: Option<&CommittedOffset>) -> Incarnation {
        self.last += 1;
        let id = Incarnation(self.last);
        let mut partition = Partition::new(at.clone(), committed, self.plot);
        if let Some(before) = self.named.insert(at, id) {
            // What is left behind is not known the better for that.
            partition.is_blind = self.partitions.get(&before).is_some_and(|before| before.is_blind);
            self.end(before);
        }
        self.partitions.insert(id, partition);
        id
    }

    /// Records of a partition have arrived, in order, and with them all before `next`. One that was not
    /// [assigned](Self::handle_assigned) is from here on.
    ///
    /// Where they are not behind those that arrived before, the position was moved back, as where a log was truncated, or the topic
    /// was made anew. What is known of the partition from there on is forgotten, and its handlers are told to end; records before
    /// them that are not done are handed out again. Of a topic that is gone none are.
    pub fn handle_arrived<'a>(
        &mut self,
        at: &TopicPartition,
        records: impl IntoIterator<Item = Arrival<'a, W>>,
        next: CommittedOffset,
        now: Now,
    ) {
        let mut records = records.into_iter().peekable();
        let first = records.peek().map_or(next.offset, |record| record.offset);
        let known = self.named.get(at).copied();
        let is_known =
            |id: &Incarnation| self.partitions.get(id).is_some_and(|known| !known.is_reset_by(first, &next));
        let id = match known.filter(is_known) {
            Some(id) => id,
            None => self.begin_anew(at, known, first, &next),
        };
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        for record in records {
            let (offset, line) = (record.offset, self.lines.line_of(record.key));
            match partition.arrive(record, line) {
                true => {
                    self.in_hand += 1;
                    self.lines.join(line, (id, offset));
                }
                // Where it was done under another order, those before it in its line may not be.
                false if self.lines.is_in_hand(id, line) => {}
                false => self.held.done(at, line, offset),
            }
        }
        partition.arrived(next);
        if partition.is_dirty() {
            self.committing.is_due_from(now);
        }
        match known == Some(id) {
            true => self.share_room_of(id),
            false => self.share_room(),
        }
    }

    /// A partition that is read on from `first`, where that is not behind what has arrived of it.
    fn begin_anew(
        &mut self,
        at: &TopicPartition,
        known: Option<Incarnation>,
        first: i64,
        next: &CommittedOffset,
    ) -> Incarnation {
        let before = known.and_then(|id| Some((id, self.partitions.get(&id)?)));
        let Some((before, partition)) = before else { return self.begin(at.clone(), None) };
        let (mut stays, newest_done) = (partition.before(first, next), partition.newest_before(first));
        let (phase, is_paused) = (partition.phase, partition.is_paused);
        for (until, places) in &self.retries {
            for (_, offset) in places.iter().filter(|(id, _)| *id == before) {
                if let Some((_, item)) = stays.iter_mut().find(|(at, _)| at == offset) {
                    item.due = Some(*until);
                }
            }
        }
        self.stray(before);
        let id = self.begin(at.clone(), None);
        // What was said of this before may be under way.
        self.pauses.push_back((at.clone(), is_paused));
        let Some(partition) = self.partitions.get_mut(&id) else { return id };
        (partition.phase, partition.is_paused) = (phase, is_paused);
        for (offset, line) in partition.goes_on(first, newest_done, stays) {
            self.in_hand += 1;
            self.lines.join(line, (id, offset));
        }
        id
    }

    /// These partitions are to be given up: nothing of them is handed out any more. What is in a handler has until `deadline`,
    /// and is then told to end. [`Self::is_drained`] tells when it has, and [`Self::release`] what is to be committed.
    pub fn handle_revoked<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        deadline: Instant,
    ) {
        for at in partitions {
            if let Some(partition) = self.named.get(at).and_then(|id| self.partitions.get_mut(id))
                && !self.plot.has(Planted::RevokedIsHandedOut)
            {
                partition.phase = Phase::Draining(deadline);
            }
        }
        self.stir = true;
    }

    /// Whether no handler is at a record of these partitions any more, and none of them is somebody else's.
    pub fn is_drained<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> bool {
        let is_idle = |at: &TopicPartition| {
            let known = self.named.get(at).and_then(|id| Some((*id, self.partitions.get(id)?)));
            self.plot.has(Planted::DrainedAtOnce)
                || known.is_none_or(|(id, partition)| {
                    partition.busy() == 0 && self.batches_of(id).next().is_none() && !self.held.has_strays(at)
                })
        };
        partitions.into_iter().all(is_idle)
    }

    /// These partitions are not ours any more, in good order: what is to be committed of them. Handlers that are still at
    /// records of theirs are told to end, and nothing that they bring about counts.
    pub fn release<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let mut commit = BTreeMap::new();
        for at in partitions {
            let Some(id) = self.named.remove(at) else { continue };
            self.held.forget(at);
            let saves = self.committing.saves;
            let is_dirty = |partition: &&Partition<W>| {
                partition.is_dirty() && !self.plot.has(Planted::ReleasedUncommitted)
            };
            let dirty = self.partitions.get(&id).filter(is_dirty);
            commit.extend(dirty.and_then(|partition| Some((at.clone(), partition.to_commit(saves)?))));
            self.end(id);
        }
        self.share_room();
        commit
    }

    /// These partitions are gone, and another's perhaps already: handlers are told to end, and nothing can be committed.
    pub fn handle_lost<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        self.release(partitions);
    }

    fn end(&mut self, id: Incarnation) {
        let Some(partition) = self.partitions.remove(&id) else { return };
        self.in_hand -= partition.items.len();
        self.end_batches(id);
        for (offset, item) in partition.items.into_all() {
            self.lines.forget(id, item.line);
            let job = JobId { partition: id, offset, attempt: item.attempts };
            if item.state == State::GivenAway {
                self.held.ends(&partition.at, item.line);
            }
            if let State::Running { deadline: Some(deadline), .. } = item.state {
                self.deadlines.remove(&(deadline, job));
            }
            if item.state.is_cancellable() && !self.plot.has(Planted::HandlersOutlivePartition) {
                self.cancels.push_back((job, CancelReason::Gone));
            }
        }
        // Of what comes next under its name nothing was said yet.
        self.pauses.retain(|(at, _)| *at != partition.at);
        self.given_away.retain(|given| given.id.partition != id);
        self.following.retain(|following| following.id.partition != id);
        self.stir = true;
    }

    /// Every partition's share of the room is another.
    pub(super) fn share_room(&mut self) {
        for id in self.partitions.keys().copied().collect::<Vec<_>>() {
            self.share_room_of(id);
        }
    }

    /// Pauses a partition whose share of the room is used up, and resumes it when half of that is free again.
    pub(super) fn share_room_of(&mut self, id: Incarnation) {
        let partitions = self.partitions.len().max(1);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let room = self.config.room;
        let shares = [(partition.items.len(), room.records), (partition.bytes, room.bytes)];
        let is_over = |part: usize| shares.iter().any(|(used, of)| *used >= (of / partitions / part).max(1));
        let is_paused = match partition.is_paused {
            true => is_over(2) || self.plot.has(Planted::NothingIsResumed),
            false => is_over(1),
        };
        if is_paused != partition.is_paused {
            partition.is_paused = is_paused;
            self.pauses.push_back((partition.at.clone(), is_paused));
            self.stir = true;
        }
    }
}
