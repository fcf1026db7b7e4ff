//! What becomes of batches. Each has an [`Outcome`], which the tickets of its records share: who drops one counts there, who asks
//! looks there, and who awaits one waits there, all without the machine. The pieces of a batch that was split share its outcome.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use ottla_protocol::{
    Timestamp,
    records::{ClosedBatch, Record},
};

use super::{Delivered, SendFailure, fate::Fate};
use crate::ids::TopicPartition;

/// A batch of one producer. Later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub(super) u64);

/// The broker's answer for a batch that was appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acked {
    pub(super) base_offset: Option<i64>,
    pub(super) log_append_time: Option<i64>,
}

impl Acked {
    /// Where a record of the batch is.
    fn delivered(&self, partition: i32, index: i64, timestamp: i64) -> Delivered {
        Delivered {
            partition,
            offset: self.base_offset.map(|base| base.saturating_add(index)),
            timestamp: Timestamp::from_wire(self.log_append_time.unwrap_or(timestamp)),
        }
    }
}

/// A batch that was delivered or has failed, for who wants to hear of all: see [`Producer::take_decided`].
///
/// [`Producer::take_decided`]: super::Producer::take_decided
#[derive(Debug)]
pub struct Decided {
    /// Its partition.
    pub at: TopicPartition,
    pub(super) records: ClosedBatch,
    pub(super) result: Result<Acked, SendFailure>,
}

impl Decided {
    /// Why it is not delivered.
    pub fn failure(&self) -> Option<&SendFailure> {
        self.result.as_ref().err()
    }

    /// Its records, and where each is; `None` where they are not delivered.
    pub fn records(&self) -> impl Iterator<Item = (Record<'_>, Option<Delivered>)> {
        let acked = self.result.as_ref().ok();
        // What the producer has written itself can be read.
        self.records.records().filter_map(Result::ok).map(move |record| {
            let delivered =
                acked.map(|acked| acked.delivered(self.at.partition, record.offset, record.timestamp));
            (record, delivered)
        })
    }
}

/// What becomes of a batch.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) id: BatchId,
    fate: Fate,
    /// How many tickets were released, and [`DECIDED`].
    released: AtomicU32,
    /// Who awaits the result of which record. Locked by them, and when a result is known.
    waiting: Mutex<Vec<(i32, Waker)>>,
}

/// All of it is known: who is released from now on is not counted.
const DECIDED: u32 = 1 << 31;

impl Outcome {
    pub(super) fn new(id: BatchId) -> Arc<Self> {
        let (fate, released, waiting) = (Fate::default(), AtomicU32::new(0), Mutex::default());
        Arc::new(Self { id, fate, released, waiting })
    }

    /// Those who wait, who are then to be woken.
    pub(super) fn take_wakers(&self) -> impl Iterator<Item = Waker> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().map(|(_, waker)| waker)
    }

    /// Those who wait for these records. The others keep their places.
    fn wakers_of(&self, records: &Range<i32>) -> Vec<Waker> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let these = waiting.iter().filter(|(index, _)| records.contains(index));
        these.map(|(_, waker)| waker.clone()).collect()
    }
}

/// Stands for a record that was taken. The record's outcome is asked for with it.
#[derive(Debug)]
#[must_use = "if nobody asks for the outcome it is to be released, so that a failure is told elsewhere"]
pub struct Ticket {
    pub(super) outcome: Arc<Outcome>,
    pub(super) index: i32,
    pub(super) partition: i32,
    pub(super) timestamp: i64,
}

impl Ticket {
    /// The partition that the record goes to.
    pub const fn partition(&self) -> i32 {
        self.partition
    }

    /// What became of the record, once that is known.
    pub fn result(&self) -> Option<Result<Delivered, SendFailure>> {
        let (result, index) = self.outcome.fate.of(self.index)?;
        Some(match result {
            Ok(acked) => Ok(acked.delivered(self.partition, index.into(), self.timestamp)),
            Err(failure) => Err(failure.clone()),
        })
    }

    /// As [`result`](Self::result), or has it that [`Machine::take_wakers`](crate::Machine::take_wakers) tells `context` once it
    /// is known. `place` is where that was noted the last time; `None` at first.
    pub fn poll_result(
        &self,
        place: &mut Option<usize>,
        context: &Context<'_>,
    ) -> Poll<Result<Delivered, SendFailure>> {
        if let Some(result) = self.result() {
            return Poll::Ready(result);
        }
        let mut waiting = self.outcome.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked again under the lock: those who wait are taken after it is known.
        if let Some(result) = self.result() {
            return Poll::Ready(result);
        }
        match place.and_then(|place| waiting.get_mut(place)) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => {
                *place = Some(waiting.len());
                waiting.push((self.index, context.waker().clone()));
            }
        }
        Poll::Pending
    }

    /// As [`Producer::release`](super::Producer::release), without the machine. Where it returns `true` the record has failed
    /// already, and [`Producer::note_unclaimed`](super::Producer::note_unclaimed) is to be told.
    #[must_use = "a failure that nobody asks for is told elsewhere"]
    pub fn let_go(&self) -> bool {
        let before = self.outcome.released.fetch_add(1, Ordering::AcqRel);
        before & DECIDED != 0 && self.failure().is_some()
    }

    /// Why the record failed, if it did.
    fn failure(&self) -> Option<&SendFailure> {
        self.outcome.fate.of(self.index)?.0.as_ref().err()
    }
}

/// Records that failed, and whose tickets were released. Of a batch that was split it is only known how many tickets were released,
/// so where some of its records failed, all of those count, up to that number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// How many.
    pub count: u64,
    /// Why the first of them failed.
    pub first: SendFailure,
}

/// How it stands with a batch that was split.
#[derive(Debug)]
struct Split {
    /// How many of its pieces are not decided.
    pending: usize,
    /// How many of its records have failed, and why the first of them did.
    failed: Option<(u32, SendFailure)>,
}

/// The batches that are not decided, and what is to be told of those that are.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pending: BTreeSet<BatchId>,
    /// Those among them that were split.
    split: BTreeMap<BatchId, Split>,
    pub(super) unclaimed: Option<Unclaimed>,
    /// Who waited for what is known by now.
    pub(super) wakers: Vec<Waker>,
}

impl Outcomes {
    pub(super) fn begin(&mut self, batch: BatchId) {
        self.pending.insert(batch);
    }

    /// The oldest batch that is not decided.
    pub(super) fn first_pending(&self) -> Option<BatchId> {
        self.pending.first().copied()
    }

    /// What is decided of a batch, or of a piece of it, is decided from now on of each of the pieces that begin at these records.
    pub(super) fn split(&mut self, outcome: &Outcome, pieces: &[i32]) {
        let split = self.split.entry(outcome.id).or_insert(Split { pending: 1, failed: None });
        split.pending += pieces.len().saturating_sub(1);
        outcome.fate.split(pieces);
    }

    /// These records of a batch are decided: all of them, or those of a piece.
    pub(super) fn decide(
        &mut self,
        outcome: &Outcome,
        records: Range<i32>,
        result: Result<Acked, SendFailure>,
    ) {
        let failure = result.as_ref().err().cloned();
        let failed = failure.map(|failure| (records.len() as u32, failure));
        outcome.fate.decide(records.start, result);
        let Some(split) = self.split.get_mut(&outcome.id) else {
            self.wakers.extend(outcome.take_wakers());
            return self.end(outcome, failed);
        };
        split.pending = split.pending.saturating_sub(1);
        match (&mut split.failed, failed) {
            (Some((count, _)), Some((more, _))) => *count += more,
            (None, failed) => split.failed = failed,
            (Some(_), None) => {}
        }
        self.wakers.append(&mut outcome.wakers_of(&records));
        if split.pending == 0 {
            let split = self.split.remove(&outcome.id);
            self.end(outcome, split.and_then(|split| split.failed));
        }
    }

    /// All records of a batch are decided.
    fn end(&mut self, outcome: &Outcome, failed: Option<(u32, SendFailure)>) {
        self.pending.remove(&outcome.id);
        let released = outcome.released.fetch_or(DECIDED, Ordering::AcqRel);
        if let (Some((count, failure)), 1..) = (failed, released) {
            self.add_unclaimed(released.min(count).into(), failure);
        }
    }

    /// A ticket was released after its record had failed.
    pub(super) fn note_unclaimed(&mut self, ticket: &Ticket) {
        if let Some(failure) = ticket.failure() {
            self.add_unclaimed(1, failure.clone());
        }
    }

    fn add_unclaimed(&mut self, count: u64, failure: SendFailure) {
        match &mut self.unclaimed {
            Some(unclaimed) => unclaimed.count += count,
            None => self.unclaimed = Some(Unclaimed { count, first: failure }),
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.pending.len() + self.split.len()
    }
}
