//! A producer: it batches records by partition, and sends each batch until it counts as delivered, in order and, where the
//! producer is idempotent, once (KIP-98, KIP-480, KIP-951), or says why that failed.
//!
//! A handle calls [`Producer::send`], and asks the [`Ticket`] what became of the record. The outcome is the batch's, and shared
//! by its tickets, so that a record costs an append, but neither an allocation nor an entry in a map.
//!
//! - `intake`: how a record is taken, or refused.
//! - `accumulator`: the batches of a partition, and what keeps their order.
//! - `idempotence`: the producer's identity at brokers.
//! - `partitioner`: which partition a record goes to.
//! - `outcomes`, `fate`: what became of records, until somebody asks.
//! - `due`: when a batch goes out.
//! - `sending`: which batches go together, and to whom.
//! - `answers`: what comes of them.
//! - `splitting`: batches that are too large for their topic.
//! - `explain`: what stands in the way.
//! - `machine`: what comes in, what goes out, and what is due.
//! - `transactions`: records and offsets that appear as a whole or not at all.

mod accumulator;
mod answers;
mod config;
mod due;
mod explain;
mod failure;
mod fate;
mod idempotence;
mod intake;
mod machine;
mod outcomes;
mod partitioner;
mod sending;
mod splitting;
#[cfg(test)]
mod tests;
mod transactions;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    time::Instant,
};

use ottla_protocol::{Now, TopicId};

pub use config::{Acks, ProducerConfig};
pub use failure::{Delivered, SendFailure};
pub use intake::{Outgoing, Refused};
pub use outcomes::{BatchId, Decided, Ticket, Unclaimed};
pub use partitioner::{Partitioner, Partitioning, Unplaced, partition_for_key};
pub use transactions::{
    AbortCause, End, FatalCause, OffsetsTicket, TransactionConfig, TransactionFailure, TransactionNumber,
};

use crate::{
    backoff::Attempts,
    connections::Address,
    hub::Hub,
    ids::{NodeId, TopicPartition},
    log::{self, Listed},
    metadata::{Metadata, Wanted},
    planted::Plot,
};
use accumulator::{Batch, PartitionQueue};
use idempotence::{Identity, IdentityState};
use machine::Pending;
use outcomes::{Acked, Outcomes};
use partitioner::Sticky;
use transactions::Transactions;

/// The records that were sent before some moment; see [`Producer::flush`].
#[derive(Debug, Clone, Copy)]
pub struct Flush(BatchId);

/// A producer.
#[derive(Debug)]
pub struct Producer<F> {
    config: ProducerConfig,
    hub: Hub<Pending>,
    wanted: Wanted,
    identity: IdentityState,
    /// At asking for it.
    identity_attempts: Attempts,
    /// `None` for a producer without a transactional id.
    transactions: Option<Transactions>,
    topics: Vec<Topic>,
    by_name: BTreeMap<String, usize>,
    /// The topic of the last record: the next one's, as a rule.
    recent: usize,
    queues: Vec<PartitionQueue>,
    /// The queues with a batch.
    active: BTreeSet<usize>,
    /// When the driver looks next, as far as it was told.
    looks_at: Cell<Option<Instant>>,
    /// The bytes of batches that became full since it looked.
    filled: usize,
    /// Rotates which queue comes first into a request.
    next_first: usize,
    /// Leaders that had something to be sent to and took nothing, and since when: where that matters to the partitioner.
    stalled: BTreeMap<NodeId, Instant>,
    last_batch: BatchId,
    outcomes: Outcomes,
    decided: Vec<Decided>,
    buffered: usize,
    /// Batches up to this one wait for no more records.
    flush_upto: BatchId,
    /// A send waits for room, so no batch waits for more records.
    starved: bool,
    /// When the first of the sends that wait gives up.
    blocked_until: Option<Instant>,
    closing: Option<Instant>,
    closed: bool,
    rng: fastrand::Rng,
    plot: Plot,
    frame: PhantomData<fn() -> F>,
}

#[derive(Debug, Default)]
struct Topic {
    name: String,
    id: TopicId,
    /// The revision of the metadata that the rest is taken from.
    revision: Option<u64>,
    /// The queue of each partition that there is, or was.
    queues: Vec<usize>,
    /// How many partitions there are.
    count: usize,
    /// The partitions with a leader.
    led: Vec<i32>,
    sticky: Option<Sticky>,
    /// How large a batch may be, not compressed, after brokers refused larger ones.
    max_batch: Option<usize>,
    /// How many records went to one partition after the other.
    rounds: usize,
}

impl Topic {
    fn queue_of(&self, partition: i32) -> Option<usize> {
        let index = usize::try_from(partition).ok().filter(|index| *index < self.count)?;
        self.queues.get(index).copied()
    }
}

impl<F> Producer<F> {
    /// A producer that knows only the addresses that the user gave. `seed` decides jitter, and where records
    /// without a key go.
    pub fn new(config: ProducerConfig, seeds: Vec<Address>, seed: u64, now: Now) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let identity_attempts = Attempts::new(config.retry_backoff, rng.fork());
        let hub = Hub::new(config.connections.clone(), config.metadata.clone(), seeds, &mut rng, now);
        let transactions = config
            .transactions
            .clone()
            .map(|who| Transactions::new(who, config.retry_backoff, &mut rng, now));
        Self {
            hub,
            transactions,
            wanted: Wanted::Topics(BTreeSet::new()),
            identity: if config.idempotent { IdentityState::Needed } else { IdentityState::Absent },
            config,
            identity_attempts,
            topics: Vec::new(),
            by_name: BTreeMap::new(),
            recent: 0,
            queues: Vec::new(),
            active: BTreeSet::new(),
            looks_at: Cell::new(None),
            filled: 0,
            next_first: 0,
            stalled: BTreeMap::new(),
            last_batch: BatchId(0),
            outcomes: Outcomes::default(),
            decided: Vec::new(),
            buffered: 0,
            flush_upto: BatchId(0),
            starved: false,
            blocked_until: None,
            closing: None,
            closed: false,
            rng,
            plot: Plot::default(),
            frame: PhantomData,
        }
    }

    /// Switches a bug on.
    #[cfg(feature = "planted")]
    pub const fn plant(&mut self, bug: crate::Planted) {
        self.plot = Plot(Some(bug));
        if let Some(transactions) = &mut self.transactions {
            transactions.plot = self.plot;
        }
    }

    /// The cluster, as far as it is known.
    pub const fn metadata(&self) -> &Metadata {
        &self.hub.metadata
    }

    /// How many bytes of records wait for their acknowledgement.
    pub const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Nobody will ask what became of this record; to be said once. If it fails, [`Producer::take_unclaimed`] tells.
    pub fn release(&mut self, ticket: &Ticket) {
        if ticket.let_go() {
            self.note_unclaimed(ticket);
        }
    }

    /// The record of this ticket had failed [when it was let go](Ticket::let_go): [`Producer::take_unclaimed`] tells.
    pub fn note_unclaimed(&mut self, ticket: &Ticket) {
        self.outcomes.note_unclaimed(ticket);
    }

    /// The records that were released and have failed, in either order, since the last call.
    pub const fn take_unclaimed(&mut self) -> Option<Unclaimed> {
        self.outcomes.unclaimed.take()
    }

    /// The batches that were decided since the last call, where [`ProducerConfig::tells_decided`]: to be called after each turn.
    pub fn take_decided(&mut self) -> Vec<Decided> {
        std::mem::take(&mut self.decided)
    }

    /// Sends out all records that it has, without waiting for more. [`Producer::is_flushed`] tells when all of them
    /// are decided.
    pub fn flush(&mut self) -> Flush {
        self.flush_upto = self.last_batch;
        self.hub.stir = true;
        Flush(self.last_batch)
    }

    /// Whether all that was sent before is delivered, or has failed.
    pub fn is_flushed(&self, flush: Flush) -> bool {
        self.outcomes.first_pending().is_none_or(|first| first > flush.0)
    }

    /// Takes no more records, delivers those that it has, and closes. Records that are not acknowledged at the
    /// deadline fail with [`SendFailure::Closed`]. The earlier deadline of two calls stands.
    ///
    /// A transaction that is open is aborted; one that is being committed is carried through.
    pub fn close(&mut self, deadline: Instant) {
        self.abort_at_close();
        self.flush();
        self.closing = Some(self.closing.map_or(deadline, |at| at.min(deadline)));
        self.hub.wake = true;
    }

    /// Ends a producer that is closing, once all records are decided or its time is over.
    fn settle(&mut self, now: Now) {
        let Some(deadline) = self.closing.filter(|_| !self.closed) else { return };
        let idle = self.transactions.as_ref().is_none_or(Transactions::is_idle);
        if (idle && self.outcomes.first_pending().is_none()) || deadline <= now.mono {
            self.fail_queues(self.all_active(), |_| SendFailure::Closed);
            self.hub.close();
            self.closed = true;
        }
    }

    fn all_active(&self) -> Vec<usize> {
        self.active.iter().copied().collect()
    }

    /// Fails every batch in these queues.
    fn fail_queues(&mut self, queues: Vec<usize>, failure: impl Fn(TopicPartition) -> SendFailure) {
        let (mut given_up, mut records) = (Vec::new(), 0);
        for index in queues {
            self.active.remove(&index);
            let Some(at) = self.name_of(index) else { continue };
            let Some(queue) = self.queues.get_mut(index) else { continue };
            let batches = std::mem::take(&mut queue.batches);
            if !batches.is_empty() && !std::mem::replace(&mut queue.gives_up, true) {
                records += batches.iter().map(Batch::count).sum::<usize>();
                given_up.push(at.clone());
            }
            if batches.iter().any(|batch| batch.sequence.is_some()) {
                let stale = queue.break_sequence();
                self.leave_identity(stale);
            }
            for batch in batches {
                self.decide(index, batch, Err(failure(at.clone())));
            }
        }
        if let Some(first) = given_up.first() {
            let (partitions, why) = (Listed(given_up.iter()), failure(first.clone()));
            tracing::error!(target: log::PRODUCER, %partitions, records, %why, "batches given up");
        }
    }

    /// The sequence numbers of a partition have a gap, so they start anew under another identity. A transactional
    /// producer gets one from its coordinator, when the transaction has ended.
    fn leave_identity(&mut self, stale: Option<Identity>) {
        match &mut self.transactions {
            Some(transactions) => transactions.has_gap(),
            None => self.identity.leave(stale),
        }
    }

    fn name_of(&self, queue: usize) -> Option<TopicPartition> {
        let queue = self.queues.get(queue)?;
        let topic = self.topics.get(queue.topic)?;
        Some(TopicPartition::new(topic.name.as_str(), queue.partition))
    }

    /// Decides a batch, which no queue has any more.
    fn decide(&mut self, queue: usize, batch: Batch, result: Result<Acked, SendFailure>) {
        self.buffered -= batch.size().min(self.buffered);
        self.starved = false;
        self.hub.wake = true;
        if let (Some(transactions), Err(failure)) = (&mut self.transactions, &result) {
            transactions.record_failed(failure);
        }
        if !self.config.tells_decided {
            return self.outcomes.decide(&batch.outcome, batch.records(), result);
        }
        self.outcomes.decide(&batch.outcome, batch.records(), result.clone());
        if let Some(at) = self.name_of(queue)
            && let Some(records) = batch.into_records()
        {
            self.decided.push(Decided { at, records, result });
            self.hub.stir = true;
        }
    }
}
