//! Batches: one job with several records of a line.

use std::{collections::VecDeque, fmt, time::Instant};

use ottla_protocol::Now;

use super::{
    CancelReason, Ended, JobId, Processing,
    lines::LineId,
    partition::{Incarnation, Phase, State},
    policy::Verdict,
};

/// Records of a line, one after the other, to be handled by one job: of a partition under
/// [`Order::Partition`](super::Order::Partition), of a key under [`Order::Key`](super::Order::Key); a single one where none waits for
/// another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<W> {
    /// To be told when it has ended.
    pub id: JobId,
    /// Which attempt at its first record it is: the first is 1.
    pub attempt: u32,
    /// The records. At least one.
    pub works: Vec<W>,
}

/// A batch that was taken and has not ended.
#[derive(Debug)]
pub(super) struct Taken {
    line: Option<LineId>,
    /// Those that are not resolved.
    rest: VecDeque<i64>,
    is_resolved: bool,
    is_cancelled: bool,
    /// When it is told to end.
    deadline: Option<Instant>,
}

impl<W: Clone, E: fmt::Display> Processing<W, E> {
    /// The next records of one line, at most so many; `None` where there is none, or no more jobs may be taken. Its
    /// [`handle_ended`](Self::handle_ended) is that of a [`Job`](super::Job), with what differs told there.
    pub fn take_batch(&mut self, most: usize, now: Now) -> Option<Batch<W>> {
        while let Some((id, first)) = self.next_place(now) {
            let Some(partition) = self.partitions.get_mut(&id) else { continue };
            let line = partition.items.get(first).and_then(|item| item.line);
            let is_alone = partition.alone_until.is_some_and(|last| first <= last);
            let others = if is_alone { 0 } else { most.saturating_sub(1) };
            let mut rest = VecDeque::from([first]);
            // What could not be saved stays in its line.
            rest.extend(self.lines.take_behind((id, line), others, |offset| {
                let is_due =
                    partition.items.get(offset).is_none_or(|item| item.due.is_none_or(|due| due <= now.mono));
                is_due && (!self.committing.saves || partition.may_begin(offset))
            }));
            let mut works = Vec::with_capacity(rest.len());
            for offset in &rest {
                let Some(item) = partition.items.get_mut(*offset) else { continue };
                item.begin(State::Batched, now.mono);
                works.push(item.work.clone());
            }
            let Some(item) = partition.items.get(first) else { continue };
            let (job, attempt) =
                (JobId { partition: id, offset: first, attempt: item.attempts }, item.counted());
            let deadline = self.deadline_of(job, now);
            self.begins(now);
            self.batches.insert(job, Taken { line, rest, is_resolved: false, is_cancelled: false, deadline });
            return Some(Batch { id: job, attempt, works });
        }
        None
    }

    /// The records of a batch up to this offset, included, are done, whatever becomes of the others. Of one that has ended, or whose
    /// partition is gone, it counts for nothing. Whether any is done by it.
    pub fn handle_resolved(&mut self, batch: JobId, through: i64, now: Now) -> bool {
        let Some(taken) = self.batches.get_mut(&batch) else { return false };
        let some = taken.rest.iter().take_while(|offset| **offset <= through).count();
        taken.is_resolved |= some > 0;
        let done: Vec<i64> = taken.rest.drain(..some).collect();
        for offset in done {
            self.finish((batch.partition, offset), now);
        }
        some > 0
    }

    /// Whether a batch is still ours: its partition is neither gone nor to be given up.
    pub fn is_stale(&self, batch: JobId) -> bool {
        let phase = self.partitions.get(&batch.partition).map(|partition| partition.phase);
        !self.batches.contains_key(&batch) || phase != Some(Phase::Open)
    }

    /// What is not resolved goes back to its line. It comes again at once if some of it was resolved, after a while if none was,
    /// and after a failure as for a single record: but hopeless is only what fails alone, as nobody knows which of several it was.
    pub(super) fn batch_ended(&mut self, job: JobId, taken: Taken, ended: Ended<E>, now: Now) {
        let Taken { line, mut rest, is_resolved, deadline, .. } = taken;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, job));
        }
        let Some(partition) = self.partitions.get_mut(&job.partition) else { return };
        let Some(first) = rest.pop_front() else { return self.lines.advance(job.partition, line) };
        let (place, is_several) = ((job.partition, first), !rest.is_empty());
        let state = if matches!(ended, Ended::Cancelled) { State::Stopped } else { State::Queued };
        let is_deferred = matches!(ended, Ended::Deferred(_));
        for (offset, item) in partition.items.iter_mut(first).filter(|(_, item)| item.state == State::Batched)
        {
            if item.line == line {
                item.state = state;
                let counts_not = matches!(ended, Ended::Done) || (is_deferred && offset != first);
                item.uncounted += u32::from(counts_not);
            }
        }
        let last = rest.back().copied().unwrap_or(first);
        self.lines.put_behind((job.partition, line), rest);
        let Some(item) = partition.items.get_mut(first) else { return };
        match ended {
            Ended::Cancelled => {}
            Ended::Deferred(time) => self.deferred(place, time, now),
            Ended::Done if is_resolved => self.lines.again(place),
            Ended::Done => {
                let at = self.config.retries.after_nothing(item.uncounted, &mut self.rng, now.mono);
                self.wait(place, at);
            }
            Ended::Failed(class, error) => {
                let begun = item.first.unwrap_or(now.mono);
                let attempts = item.counted();
                match self.config.retries.verdict(class, attempts, begun, &mut self.rng, now.mono) {
                    Verdict::Again(at) => {
                        self.wait(place, at);
                        self.tell_retried(JobId { offset: first, ..job }, attempts, at, &error, now);
                    }
                    Verdict::Hopeless(_) if is_several => {
                        partition.alone_until = partition.alone_until.max(Some(last));
                        self.lines.again(place);
                    }
                    Verdict::Hopeless(why) => {
                        item.state = State::Stopped;
                        let job = JobId { offset: first, attempt: item.attempts, ..job };
                        self.hopeless(job, why, error, now);
                    }
                }
            }
        }
    }

    /// The batches that are at records of this partition.
    pub(super) fn batches_of(&self, id: Incarnation) -> impl Iterator<Item = JobId> + '_ {
        self.batches.keys().filter(move |job| job.partition == id).copied()
    }

    /// Forgets a partition's batches, and tells who is at them to end.
    pub(super) fn end_batches(&mut self, id: Incarnation) {
        for job in self.batches_of(id).collect::<Vec<_>>() {
            let Some(taken) = self.batches.remove(&job) else { continue };
            if let Some(deadline) = taken.deadline {
                self.deadlines.remove(&(deadline, job));
            }
            if !taken.is_cancelled {
                self.cancels.push_back((job, CancelReason::Gone));
            }
        }
    }

    /// The first record of a batch that is not resolved, if it is to be told to end now: it was not before.
    pub(super) fn cancel_batch(&mut self, job: JobId) -> Option<i64> {
        let taken = self.batches.get_mut(&job).filter(|taken| !taken.is_cancelled)?;
        taken.is_cancelled = true;
        taken.deadline = None;
        Some(taken.rest.front().copied().unwrap_or(job.offset))
    }

    /// When batches of partitions that are to be given up are told to end.
    pub(super) fn batches_drain_until(&self) -> Option<Instant> {
        let going = self.batches.iter().filter(|(_, taken)| !taken.is_cancelled);
        let phases = going.filter_map(|(job, _)| self.partitions.get(&job.partition)).map(|it| it.phase);
        let until = phases.filter_map(|phase| match phase {
            Phase::Draining(until) => Some(until),
            Phase::Open => None,
        });
        until.min()
    }
}
