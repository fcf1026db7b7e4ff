//! The records of one partition that wait for their acknowledgement, in batches, in order.
//!
//! Up to five batches of a partition are on their way at once, in as many requests, so that one partition is not
//! bound to a round trip per batch. Order survives a retry by two rules: a batch that goes again goes alone, and one
//! never passes another. Batches that were on their way behind a failed one are refused, as the broker expects
//! another sequence number, and go again after it.
//!
//! A broker refuses them only if it knows this producer. A broker without state of the producer takes any first
//! sequence number (KAFKA-15591), and would append batches that were on their way behind a failed first one. So the
//! first batch under an identity goes alone until it is acknowledged.
//!
//! Without an identity, nothing tells a broker that a batch behind a failed one is too early. So each goes alone, until it is
//! answered, or without acknowledgements written. Java sends several, and may have them swapped by a retry.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Instant};

use ottla_protocol::records::{BatchBuilder, ClosedBatch};

use super::{
    BatchId,
    idempotence::{Identity, sequence_after},
    outcomes::Outcome,
};
use crate::{
    cause::Cause,
    ids::NodeId,
    planted::{Planted, Plot},
};

/// A batch in a queue, or a piece of one that was split: by its first record's index there. Later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PieceId {
    batch: BatchId,
    first: i32,
}

/// A batch, or a piece of one that was split, from its first record to its acknowledgement. The records stay as they were appended.
/// They are compressed each time they are sent, as a new epoch changes the batch, and by whoever sends them: here that would hold up
/// everybody.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: BatchId,
    /// The index, in the batch as it was at first, of the first record.
    first: i32,
    pub(super) outcome: Arc<Outcome>,
    /// While it takes records.
    pub(super) open: Option<BatchBuilder>,
    /// From then on.
    closed: Option<ClosedBatch>,
    pub(super) created: Instant,
    /// The sequence number of its first record, given when the batch is first sent. Not told without an identity.
    pub(super) sequence: Option<i32>,
    pub(super) in_flight: bool,
    pub(super) attempts: u32,
    /// Why the last attempt failed.
    pub(super) cause: Option<Cause>,
    /// What a broker may have of it from an earlier attempt.
    pub(super) doubt: Doubt,
}

/// What a broker may have of a batch that counts as not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing.
    None,
    /// The batch. The broker knows it again by its sequence numbers.
    Batch,
    /// The batch that it is a piece of. The broker does not know the piece by its sequence numbers.
    Whole,
}

impl Batch {
    pub(super) fn new(id: BatchId, builder: BatchBuilder, created: Instant) -> Self {
        Self {
            id,
            first: 0,
            outcome: Outcome::new(id),
            open: Some(builder),
            closed: None,
            created,
            sequence: None,
            in_flight: false,
            attempts: 0,
            cause: None,
            doubt: Doubt::None,
        }
    }

    pub(super) const fn piece(&self) -> PieceId {
        PieceId { batch: self.id, first: self.first }
    }

    /// Where its records are in the batch as it was at first.
    pub(super) fn records(&self) -> Range<i32> {
        self.first..self.first.saturating_add(self.count() as i32)
    }

    /// Its records in pieces of at most so many bytes, or of one record. `None` where that is the batch itself.
    pub(super) fn split(&mut self, max_size: usize) -> Option<Vec<Self>> {
        self.close();
        let pieces = self.closed.as_ref()?.split(max_size).ok().filter(|pieces| pieces.len() > 1)?;
        let (mut first, mut sequence) = (self.first, self.sequence);
        let piece = |records: ClosedBatch| {
            let count = records.count() as i32;
            let piece = Self {
                id: self.id,
                first,
                outcome: self.outcome.clone(),
                open: None,
                closed: Some(records),
                created: self.created,
                sequence,
                in_flight: false,
                attempts: self.attempts,
                cause: None,
                doubt: if self.doubt == Doubt::None { Doubt::None } else { Doubt::Whole },
            };
            (first, sequence) = (first + count, sequence.map(|sequence| sequence_after(sequence, count)));
            piece
        };
        Some(pieces.into_iter().map(piece).collect())
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// All its records.
    pub(super) fn into_records(mut self) -> Option<ClosedBatch> {
        self.close();
        self.closed
    }

    /// It takes no more records.
    fn close(&mut self) {
        if let Some(builder) = self.open.take() {
            self.closed = Some(builder.close());
        }
    }

    /// How many records there are.
    pub(super) fn count(&self) -> usize {
        let open = self.open.as_ref().map(BatchBuilder::count);
        open.or_else(|| self.closed.as_ref().map(ClosedBatch::count)).unwrap_or_default()
    }

    /// How many bytes, not compressed.
    pub(super) fn size(&self) -> usize {
        let open = self.open.as_ref().map(BatchBuilder::size_estimate);
        open.or_else(|| self.closed.as_ref().map(ClosedBatch::size_estimate)).unwrap_or_default()
    }
}

/// The batches of a partition.
#[derive(Debug, Default)]
pub(super) struct PartitionQueue {
    /// The topic's place in the producer's list.
    pub(super) topic: usize,
    pub(super) partition: i32,
    pub(super) batches: VecDeque<Batch>,
    /// How many requests with a batch of this partition are unanswered, its batch given up or not.
    pub(super) in_flight: u32,
    /// The broker that they went to.
    pub(super) sent_to: Option<NodeId>,
    /// The end of the back-off after a failure. Nothing is sent before it.
    pub(super) retry_at: Option<Instant>,
    /// How large the last batch was that was closed.
    pub(super) last_size: usize,
    /// The last batch that came to its end was given up.
    pub(super) gives_up: bool,
    identity: Option<Identity>,
    /// A batch of this producer was acknowledged, so the broker knows the producer.
    known: bool,
    next_sequence: i32,
    /// The sequence has a gap: it starts anew, under another identity, when nothing is in flight.
    broken: bool,
}

impl PartitionQueue {
    pub(super) fn new(topic: usize, partition: i32) -> Self {
        Self { topic, partition, ..Self::default() }
    }

    /// The batch that takes records.
    pub(super) fn open(&mut self) -> Option<&mut Batch> {
        self.batches.back_mut().filter(|batch| batch.is_open())
    }

    /// The batch that takes records takes no more.
    pub(super) fn close(&mut self) {
        if let Some(batch) = self.batches.back_mut() {
            batch.close();
            self.last_size = batch.size();
        }
    }

    pub(super) fn batch(&mut self, id: PieceId) -> Option<&mut Batch> {
        let index = self.index_of(id)?;
        self.batches.get_mut(index)
    }

    pub(super) fn remove(&mut self, id: PieceId) -> Option<Batch> {
        let index = self.index_of(id)?;
        self.batches.remove(index)
    }

    /// Puts these in the place of a batch.
    pub(super) fn replace(&mut self, id: PieceId, pieces: Vec<Batch>) {
        let Some(index) = self.index_of(id) else { return };
        let behind = self.batches.split_off(index);
        self.batches.extend(pieces);
        self.batches.extend(behind.into_iter().skip(1));
    }

    /// Removes the batches that are not on their way.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Batch> {
        let batches = std::mem::take(&mut self.batches);
        let (sent, waiting) = batches.into_iter().partition(|batch| batch.in_flight);
        self.batches = sent;
        waiting
    }

    /// The batches that are not on their way.
    pub(super) fn unsent(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter().filter(|batch| !batch.in_flight)
    }

    /// How many they are.
    pub(super) fn waiting(&self) -> usize {
        self.batches.len().saturating_sub(self.in_flight as usize)
    }

    fn index_of(&self, id: PieceId) -> Option<usize> {
        self.batches.binary_search_by_key(&id, Batch::piece).ok()
    }

    /// Whether nothing stands before this batch.
    pub(super) fn is_first(&self, id: PieceId) -> bool {
        self.batches.front().is_some_and(|batch| batch.piece() == id)
    }

    /// The sequence cannot go on as it is. Returns the identity that is to be left behind.
    pub(super) const fn break_sequence(&mut self) -> Option<Identity> {
        self.broken = true;
        self.identity
    }

    /// Goes over to the producer's identity, where nothing sent under the former one can still be appended.
    pub(super) fn adopt(&mut self, current: Identity) {
        let sent = self.batches.iter().any(|batch| batch.sequence.is_some());
        if self.in_flight > 0 || (!self.broken && (sent || self.identity == Some(current))) {
            return;
        }
        for batch in &mut self.batches {
            batch.sequence = None;
        }
        // A raised epoch, as each end of a transaction may have it, leaves what the broker knows of the producer.
        let raised = self.identity.is_some_and(|former| former.id == current.id) && !self.broken;
        self.known &= raised;
        (self.identity, self.next_sequence, self.broken) = (Some(current), 0, false);
    }

    /// A batch was appended, so the partition's leader knows the identity.
    pub(super) const fn set_known(&mut self) {
        self.known = true;
    }

    /// The partition's leader does not know the identity any more.
    pub(super) const fn set_unknown(&mut self) {
        self.known = false;
    }

    /// The next batch that may be sent to `leader`. `ready` says whether a batch may go that was never sent.
    pub(super) fn sendable(
        &self,
        leader: NodeId,
        now: Instant,
        ready: impl Fn(&Batch) -> bool,
    ) -> Option<&Batch> {
        let waits = self.retry_at.is_some_and(|at| at > now);
        // Another leader may have none of the batches in flight, and would take a later batch as the first.
        let moved = self.in_flight > 0 && self.sent_to != Some(leader);
        let alone = self.broken || !self.known || self.identity.is_none();
        if waits || moved || (alone && self.in_flight > 0) {
            return None;
        }
        let retrying = self.batches.iter().any(|batch| batch.in_flight && batch.attempts > 1);
        let batch = self.unsent().next()?;
        let may = match batch.sequence {
            Some(_) => self.in_flight == 0,
            None => !retrying && ready(batch),
        };
        may.then_some(batch)
    }

    /// The batch goes out, and is closed. Returns its records.
    pub(super) fn send(&mut self, id: PieceId, leader: NodeId, plot: Plot) -> Option<ClosedBatch> {
        let identity = self.identity;
        let next = self.next_sequence;
        let batch = self.batch(id)?;
        let after = after(next, batch.count() as i32, plot);
        if plot.has(Planted::RetriedBatchHasNewSequence) {
            batch.sequence = None;
        }
        let next_sequence = if batch.sequence.is_none() { after } else { next };
        let sequence = *batch.sequence.get_or_insert(next);
        (batch.in_flight, batch.attempts) = (true, batch.attempts + 1);
        batch.close();
        let size = batch.size();
        let records = batch.closed.as_mut()?;
        if let Some(Identity { id, epoch }) = identity {
            records.set_producer(id, epoch, sequence);
        }
        let records = records.clone();
        self.next_sequence = next_sequence;
        self.last_size = size;
        self.in_flight += 1;
        self.sent_to = Some(leader);
        Some(records)
    }
}

/// The sequence number behind a batch of so many records.
fn after(next: i32, count: i32, plot: Plot) -> i32 {
    let reused = count == 1 && plot.has(Planted::SequenceReused);
    if reused { next } else { sequence_after(next, count) }
}
