//! Jobs: taken, ended, tried again.

use std::{
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::Now;

use super::{
    CancelReason, Ended, GivenAway, Hopeless, Job, JobId, Notice, OnHopeless, Processing,
    lines::{LineId, Place},
    partition::{Item, Phase, State},
    policy::{FailureClass, Verdict, WhyHopeless},
};
use crate::{log, planted::Planted};

impl<W: Clone, E: fmt::Display> Processing<W, E> {
    /// The next record to handle; `None` where there is none, or no more may be handled at once.
    pub fn take(&mut self, now: Now) -> Option<Job<W>> {
        while let Some((id, offset)) = self.next_place(now) {
            let partition = self.partitions.get_mut(&id);
            let Some(item) = partition.and_then(|it| it.items.get_mut(offset)) else { continue };
            let deadline = self.config.handler_timeout.map(|timeout| now.mono + timeout);
            item.begin(State::Running { cancelled: false, deadline }, now.mono);
            let id = JobId { partition: id, offset, attempt: item.attempts };
            let job = Job { id, attempt: item.counted(), work: item.work.clone() };
            self.begins(now);
            self.deadline_of(id, now);
            return Some(job);
        }
        None
    }

    /// Whose turn it is, and may begin; `None` where there is none, or no more may be handled at once.
    pub(super) fn next_place(&mut self, now: Now) -> Option<Place> {
        while self.can_take() {
            let (id, offset) = self.lines.pop()?;
            self.hungers();
            let Some(partition) = self.partitions.get_mut(&id).filter(|it| it.phase == Phase::Open) else {
                continue;
            };
            if self.committing.saves && !partition.may_begin(offset) {
                partition.hold(offset);
                continue;
            }
            let item = partition.items.get(offset).filter(|item| item.state == State::Queued);
            let Some(item) = item else { continue };
            if partition.is_blind {
                partition.unseen.push(offset);
                continue;
            }
            let due = item.due.filter(|due| *due > now.mono);
            if self.is_held((id, offset)) {
                self.follow((id, offset));
                continue;
            }
            if let Some(due) = due {
                self.wait((id, offset), due);
                continue;
            }
            return Some((id, offset));
        }
        None
    }

    /// One more job begins.
    pub(super) fn begins(&mut self, now: Now) {
        if self.running == 0 {
            self.stir |= self.notices.moves(now);
        }
        self.running += 1;
    }

    /// Notes when a job that begins now will be told to end.
    pub(super) fn deadline_of(&mut self, job: JobId, now: Now) -> Option<Instant> {
        let timeout = self.config.handler_timeout;
        let deadline = now.mono + timeout.filter(|_| !self.plot.has(Planted::HandlersHaveNoDeadline))?;
        // It may be earlier than what is waited for.
        self.stir |= self.deadlines.is_empty();
        self.deadlines.insert((deadline, job));
        Some(deadline)
    }

    /// Whether [`take`](Self::take) may have a job.
    pub fn can_take(&self) -> bool {
        let slots = self.config.concurrency.max(1) + usize::from(self.plot.has(Planted::OneTooMany));
        !self.is_stopping && self.running < slots && !self.lines.is_empty()
    }

    /// A job has ended. Of a partition that is gone it counts for nothing.
    ///
    /// Of a [batch](Self::take_batch), [`Ended::Done`] says that it has come to an end, and not that its records are done: those are
    /// that were [resolved](Self::handle_resolved). The others are handed out again.
    ///
    /// Whether a record is done by it: not of a batch, nor where the partition is gone.
    pub fn handle_ended(&mut self, job: JobId, ended: Ended<E>, now: Now) -> bool {
        let keeps_slot =
            self.plot.has(Planted::GoneKeepsItsSlot) && !self.partitions.contains_key(&job.partition);
        self.running = self.running.saturating_sub(usize::from(!keeps_slot));
        self.stir |= self.notices.moves(now);
        if let Some(batch) = self.batches.remove(&job) {
            self.batch_ended(job, batch, ended, now);
            self.look_again(job);
            return false;
        }
        let Some(item) = self.running_item(job) else {
            self.stir = true;
            return false;
        };
        if let State::Running { deadline: Some(deadline), .. } =
            std::mem::replace(&mut item.state, State::Stopped)
        {
            self.deadlines.remove(&(deadline, job));
        }
        let is_done = matches!(ended, Ended::Done);
        match ended {
            Ended::Done => self.done(job, now),
            Ended::Failed(class, error) => self.failed(job, class, error, now),
            Ended::Deferred(time) => self.deferred((job.partition, job.offset), time, now),
            Ended::Cancelled => {}
        }
        self.look_again(job);
        is_done
    }

    /// Whoever waits until the partition of a job that has ended is drained looks again.
    fn look_again(&mut self, job: JobId) {
        let phase = self.partitions.get(&job.partition).map(|partition| partition.phase);
        self.stir |= self.is_stopping || phase != Some(Phase::Open);
    }

    fn running_item(&mut self, job: JobId) -> Option<&mut Item<W>> {
        let item = self.partitions.get_mut(&job.partition)?.items.get_mut(job.offset)?;
        (item.attempts == job.attempt && matches!(item.state, State::Running { .. })).then_some(item)
    }

    /// A record is done: the next of its line is ready, and those that were kept back for it.
    fn done(&mut self, job: JobId, now: Now) {
        let Some(line) = self.finish((job.partition, job.offset), now) else { return };
        if !self.plot.has(Planted::LineIsStuck) {
            self.lines.advance(job.partition, line);
        }
    }

    /// A record is done, whose line does not go on by that; the line that it was in.
    pub(super) fn finish(&mut self, (id, offset): Place, now: Now) -> Option<Option<LineId>> {
        let partition = self.partitions.get_mut(&id)?;
        let item = partition.finish(offset)?;
        self.held.done(&partition.at, item.line, offset);
        self.in_hand -= 1;
        for offset in partition.let_go() {
            self.lines.hurry((id, offset));
        }
        self.stir |= self.committing.is_due_from(now);
        self.share_room_of(id);
        self.hungers();
        Some(item.line)
    }

    fn failed(&mut self, job: JobId, class: FailureClass, error: E, now: Now) {
        let item = self.partitions.get_mut(&job.partition).and_then(|it| it.items.get_mut(job.offset));
        let Some(item) = item else { return };
        let first = item.first.unwrap_or(now.mono);
        match self.config.retries.verdict(class, item.counted(), first, &mut self.rng, now.mono) {
            Verdict::Again(at) => {
                item.state = State::Queued;
                let attempts = item.counted();
                let at = if self.plot.has(Planted::RetriesAtOnce) { now.mono } else { at };
                self.wait((job.partition, job.offset), at);
                self.tell_retried(job, attempts, at, &error, now);
            }
            Verdict::Hopeless(why) => self.hopeless(job, why, error, now),
        }
    }

    /// A record waits until its time has come.
    pub(super) fn deferred(&mut self, (id, offset): Place, time: Duration, now: Now) {
        let partition = self.partitions.get_mut(&id);
        let Some(item) = partition.and_then(|it| it.items.get_mut(offset)) else { return };
        // Who always defers to a time that has passed is no busy loop.
        let until = now.mono + time.max(Duration::from_millis(1));
        item.state = State::Queued;
        item.due = Some(until);
        item.uncounted += 1;
        if item.counted() == 0 {
            item.first = None;
        }
        self.wait((id, offset), until);
    }

    pub(super) fn wait(&mut self, place: Place, until: Instant) {
        self.stir |= self.poll_timeout().is_none_or(|next| until < next);
        self.retries.entry(until).or_default().push(place);
    }

    pub(super) fn hopeless(&mut self, job: JobId, why: WhyHopeless, error: E, now: Now) {
        if self.is_patient(job, why, &error, now) {
            return;
        }
        let follows = self.config.on_hopeless;
        let Some(partition) = self.partitions.get_mut(&job.partition) else { return };
        let Some(item) = partition.items.get_mut(job.offset) else { return };
        let attempts = item.counted().saturating_add(item.before);
        let (at, offset) = (partition.at.clone(), job.offset);
        tracing::warn!(target: log::PROCESSING, partition = %at, offset, attempts, %why, %error, ?follows, "record is hopeless");
        self.notices.gives_up();
        self.notices.tell(|| Notice::Hopeless {
            at: at.clone(),
            offset,
            attempts,
            why,
            error: error.to_string(),
            follows,
        });
        let hopeless = Hopeless { at, offset, work: item.work.clone(), attempts, why, error };
        match follows {
            OnHopeless::Skip => self.done(job, now),
            OnHopeless::GiveAway => {
                item.state = State::GivenAway;
                self.held.begins(&partition.at, item.line);
                self.given_away.push_back(GivenAway { id: job, hopeless });
                self.stir = true;
                if self.plot.has(Planted::GivenAwayIsDone) {
                    self.done(job, now);
                }
            }
            OnHopeless::Stop => {
                self.stop();
                // The first is what it stops for: others failed beside it.
                self.stopped_for.get_or_insert(hopeless);
            }
        }
    }

    /// Whether a record that has had all its attempts waits in its place, to be tried anew.
    fn is_patient(&mut self, job: JobId, why: WhyHopeless, error: &E, now: Now) -> bool {
        let item = self.partitions.get_mut(&job.partition).and_then(|it| it.items.get_mut(job.offset));
        let Some(item) = item.filter(|_| why != WhyHopeless::Fatal) else { return false };
        let Some(patience) = item.patience.take() else { return false };
        let (attempts, due) = (item.counted(), now.mono + patience);
        item.state = State::Queued;
        item.due = Some(due);
        item.before = item.before.saturating_add(attempts);
        item.uncounted = item.attempts;
        item.first = None;
        self.wait((job.partition, job.offset), due);
        self.tell_retried(job, attempts, due, error, now);
        true
    }

    /// What became of a record that was [given away](Self::poll_given_away): it is done once it is `taken`, and is handed out
    /// again, after a while, if it is not. Whether it is done by that: not where its partition is gone.
    pub fn handle_given_away(&mut self, id: JobId, taken: bool, now: Now) -> bool {
        self.held.returns(id, None);
        self.stir |= !self.held.is_empty();
        let Some(partition) = self.partitions.get_mut(&id.partition) else { return false };
        let item = partition.items.get_mut(id.offset).filter(|item| item.is_given_away_as(id));
        let Some(item) = item else { return false };
        self.held.ends(&partition.at, item.line);
        self.stir = true;
        if taken || self.plot.has(Planted::RefusalCounts) {
            self.done(id, now);
            return true;
        }
        item.state = State::Queued;
        item.given_away += 1;
        let at = self.config.retries.after_nothing(item.given_away, &mut self.rng, now.mono);
        self.wait((id.partition, id.offset), at);
        false
    }

    /// Nobody takes records over any more: those that were given away are not done, and are not handed out again.
    pub fn handle_nobody_takes(&mut self) {
        self.given_away.clear();
        self.following.clear();
        for (_, item) in self.partitions.values_mut().flat_map(|partition| partition.items.iter_mut(i64::MIN))
        {
            if item.state == State::GivenAway {
                item.state = State::Stopped;
            }
        }
        self.stop();
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(due) = self.retries.first_entry().filter(|due| *due.key() <= now.mono) {
            for place in due.remove().into_iter().rev() {
                if self.plot.has(Planted::RetriesAreForgotten) {
                    continue;
                }
                self.lines.hurry(place);
            }
        }
        while let Some((_, job)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now.mono) {
            self.deadlines.pop_first();
            self.cancel(job, CancelReason::TimedOut);
        }
        self.end_draining(now);
        self.look_for_stall(now);
    }

    /// Handlers of partitions whose time to drain is over are told to end.
    fn end_draining(&mut self, now: Now) {
        let goes_on = self.plot.has(Planted::DrainHasNoEnd);
        let is_over = |phase: Phase| matches!(phase, Phase::Draining(until) if until <= now.mono && !goes_on);
        let over = self.partitions.iter().filter(|(_, partition)| is_over(partition.phase));
        let jobs: Vec<JobId> = over
            .flat_map(|(id, partition)| {
                let job = |offset, attempt| JobId { partition: *id, offset, attempt };
                partition.items.iter().map(move |(offset, item)| job(offset, item.attempts))
            })
            .collect();
        let over = self.partitions.iter().filter(|(_, partition)| is_over(partition.phase));
        let batches: Vec<JobId> = over.flat_map(|(id, _)| self.batches_of(*id)).collect();
        jobs.into_iter().chain(batches).for_each(|job| self.cancel(job, CancelReason::Gone));
    }

    fn cancel(&mut self, job: JobId, reason: CancelReason) {
        let offset = match self.running_item(job).filter(|item| item.state.is_cancellable()) {
            Some(item) => {
                item.state = State::Running { cancelled: true, deadline: None };
                job.offset
            }
            None => match self.cancel_batch(job) {
                Some(offset) => offset,
                None => return,
            },
        };
        self.cancels.push_back((job, reason));
        let partition = self.partitions.get(&job.partition).filter(|_| reason == CancelReason::TimedOut);
        if let Some(partition) = partition {
            let item = partition.items.get(offset);
            let (after, attempts) = (self.config.handler_timeout, item.map_or(job.attempt, Item::counted));
            tracing::warn!(target: log::PROCESSING, partition = %partition.at, offset, attempts, ?after, "handler hangs");
        }
    }
}
