//! A producer's transactions (KIP-98, KIP-447, KIP-890): what belongs to one appears as a whole or not at all.
//!
//! ```text
//!            identity                begin             commit            all delivered, EndTxn
//! Starting ───────────> Ready ─────────────────> Open ────────> Committing ───────────────────> Ready
//!                         ^                       │  a failure, or an abort   │
//!                         │        EndTxn         v                           │
//!                         ├─────────────────── Aborting <─────────────────────┘
//!                         │      identity         │  sequences have a gap
//!                         └─────── Raising <──────┘                      any: fenced, refused ──> Failed
//! ```
//!
//! Two flows. Where the finalized `transaction.version` is at least 2, brokers add what is written to the transaction by
//! themselves, and each end raises the epoch ([`Flow::Implicit`]). Elsewhere partitions and groups are added before they
//! are written to ([`Flow::Explicit`]). It is a request's version that tells a broker which of the two the client means,
//! so versions are chosen by the flow.
//!
//! A commit or an abort that was asked for is carried out by the machine, whoever waits for it. So a handle that stops
//! waiting leaves nothing in doubt: the next transaction begins when this one has ended.
//!
//! - `failure`: why a transaction is aborted, or the producer of no use any more.
//! - `steps`: what the coordinator is asked next, and what its answers mean.
//! - `offsets`: a group's offsets, as a part of the transaction.

mod failure;
mod offsets;
mod steps;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use ottla_protocol::{Now, records::Header};

pub use failure::{AbortCause, FatalCause, TransactionFailure};
pub(super) use offsets::OffsetsSent;
pub use offsets::OffsetsTicket;
pub(super) use steps::Ask;

use super::{Outgoing, Producer, Refused, SendFailure, Ticket};
use crate::{
    backoff::{Attempts, Backoff},
    cause::Cause,
    connections::{Connections, Kind, Target},
    coordinator::{Coordinated, Coordinator},
    deadline::Earliest,
    log,
    planted::{Planted, Plot},
};
use offsets::OffsetsCommit;

/// The end of the transaction before is not written everywhere yet. It is a matter of milliseconds.
pub(super) const CONCURRENT: Backoff =
    Backoff { first: Duration::from_millis(2), most: Duration::from_millis(20) };
/// How long batches of a transaction wait for the end of the one before to be written everywhere. In the implicit flow Kafka 4.4.0
/// puts a batch that comes earlier aside for 20 ms (`add.partitions.to.txn.retry.backoff.ms`, KAFKA-18654), and all that comes behind it on
/// its connection.
pub(super) const SETTLING: Duration = Duration::from_millis(5);

/// Who a transactional producer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transactional.id`: a newer producer with the same id fences this one.
    pub id: String,
    /// `transaction.timeout.ms`: a transaction that is open for longer is aborted by its coordinator.
    pub timeout: Duration,
}

/// One transaction of a producer. Later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionNumber(u64);

/// How a transaction is to end, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it appears.
    Commit,
    /// None of it appears.
    Abort,
}

/// How partitions and groups come into a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// They are added first.
    Explicit,
    /// They are added by being written to (KIP-890).
    Implicit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The transactional id is to be claimed: older producers with it are fenced, and their transaction is ended.
    Starting,
    /// No transaction is open.
    Ready,
    Open,
    Committing,
    Aborting,
    /// The transaction has ended. A raised epoch is asked for, as sequence numbers have a gap.
    Raising,
    Failed(FatalCause),
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Transactions {
    config: TransactionConfig,
    coordinator: Coordinator,
    /// At what the coordinator is asked.
    attempts: Attempts,
    /// A request to the coordinator is under way.
    asked: bool,
    state: State,
    current: TransactionNumber,
    flow: Flow,
    /// A broker may know something of the transaction, so it has to be told of its end.
    touched: bool,
    /// A broker has taken something of the transaction, so the one before has ended.
    landed: bool,
    /// Until then the end of the one before may still be being written.
    settles_at: Option<Instant>,
    /// The queues whose partitions were added.
    added: BTreeSet<usize>,
    groups_added: BTreeSet<String>,
    group_coordinators: BTreeMap<String, Coordinator>,
    /// The first is under way.
    offsets: VecDeque<OffsetsCommit>,
    last_offsets: OffsetsTicket,
    /// Of the current transaction.
    offsets_settled: BTreeMap<OffsetsTicket, Result<(), TransactionFailure>>,
    /// Why the transaction can only be aborted.
    doom: Option<AbortCause>,
    /// The end that was sent, and not answered.
    end_unanswered: Option<End>,
    /// Sequence numbers have a gap, or the coordinator does not know the producer.
    raise_epoch: bool,
    /// How the last transaction ended.
    ended: Option<(TransactionNumber, Result<End, TransactionFailure>)>,
    rng: fastrand::Rng,
    retry_backoff: Backoff,
    pub(super) plot: Plot,
}

impl Transactions {
    pub(super) fn new(
        config: TransactionConfig,
        retry_backoff: Backoff,
        rng: &mut fastrand::Rng,
        now: Now,
    ) -> Self {
        let of = Coordinated::TransactionalId(config.id.clone());
        Self {
            coordinator: Coordinator::new(of, retry_backoff, rng.u64(..), now),
            config,
            attempts: Attempts::new(retry_backoff, rng.fork()),
            asked: false,
            state: State::Starting,
            current: TransactionNumber(0),
            flow: Flow::Explicit,
            touched: false,
            landed: false,
            settles_at: None,
            added: BTreeSet::new(),
            groups_added: BTreeSet::new(),
            group_coordinators: BTreeMap::new(),
            offsets: VecDeque::new(),
            last_offsets: OffsetsTicket::default(),
            offsets_settled: BTreeMap::new(),
            doom: None,
            end_unanswered: None,
            raise_epoch: false,
            ended: None,
            rng: rng.fork(),
            retry_backoff,
            plot: Plot::default(),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.config.id
    }

    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    /// Whether a batch of this queue may be sent.
    pub(super) fn admits(&self, queue: usize, now: Now) -> bool {
        let open = matches!(self.state, State::Open | State::Committing) && self.doom.is_none();
        let settled = self.landed || self.settles_at.is_none_or(|at| at <= now.mono);
        let added = self.added.contains(&queue) || self.plot.has(Planted::PartitionsAreNotAdded);
        open && ((self.flow == Flow::Implicit && settled) || added)
    }

    /// The flow that the coordinator tells, where a connection to it is ready.
    fn flow_told(&self, connections: &Connections) -> Option<Flow> {
        let level = connections.transaction_version(Target::Node(self.coordinator.node()?), Kind::Main)?;
        Some(if level >= 2 { Flow::Implicit } else { Flow::Explicit })
    }

    /// A batch goes to a broker.
    pub(super) const fn touch(&mut self) {
        self.touched = true;
    }

    /// A batch was taken.
    pub(super) const fn landed(&mut self) {
        self.landed = true;
    }

    /// A batch that was sent is given up, so the sequence numbers behind it have a gap.
    pub(super) fn has_gap(&mut self) {
        self.raise_epoch = true;
    }

    /// Whether the end of the transaction before may still be being written, by which this one's came too early.
    fn may_be_too_early(&self) -> bool {
        let is_told = matches!(self.doom, Some(AbortCause::Told { .. }));
        self.flow == Flow::Implicit && !self.landed && !is_told
    }

    /// A record of the transaction was not delivered.
    pub(super) fn record_failed(&mut self, failure: &SendFailure) {
        if !matches!(failure, SendFailure::Aborted | SendFailure::Doomed(_) | SendFailure::Closed) {
            self.heed(TransactionFailure::of_record(failure));
        }
    }

    /// Nothing is under way that a close would have to wait for.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Starting | State::Ready | State::Failed(_))
    }

    /// The transaction, or the producer, cannot go on. The first reason counts.
    fn heed(&mut self, failure: TransactionFailure) {
        match failure {
            TransactionFailure::Aborted(cause) if self.doom.is_none() => {
                let why = tracing::field::display(&cause);
                tracing::warn!(target: log::PRODUCER, transactional_id = %self.config.id, why, "transaction fails");
                self.doom = Some(cause);
            }
            TransactionFailure::Fatal(cause) if !matches!(self.state, State::Failed(_)) => {
                let why = tracing::field::display(&cause);
                tracing::error!(target: log::PRODUCER, transactional_id = %self.config.id, why, "no further transaction");
                self.end(Err(cause.clone().into()));
                self.settle_offsets(&cause.clone().into());
                self.state = State::Failed(cause);
            }
            _ => {}
        }
    }

    /// The current transaction has come to its end, if it has not before.
    fn end(&mut self, outcome: Result<End, TransactionFailure>) {
        if self.ended.as_ref().is_none_or(|(ended, _)| *ended < self.current) {
            self.ended = Some((self.current, outcome));
        }
    }

    fn is_over(&self, of: TransactionNumber) -> bool {
        self.current != of || self.ended.as_ref().is_some_and(|(ended, _)| *ended == of)
    }

    pub(super) fn deadlines(&self, earliest: &mut Earliest) {
        if !self.asked {
            earliest.consider(self.attempts.next());
        }
        earliest.consider(self.settles_at);
        self.coordinator.deadlines(earliest);
        for coordinator in self.group_coordinators.values() {
            coordinator.deadlines(earliest);
        }
        if let Some(first) = self.offsets.front() {
            first.deadlines(earliest);
        }
    }
}

impl<F> Producer<F> {
    /// Whether the transactional id is claimed. `since` is when the caller began to wait.
    pub fn started(&mut self, since: Instant, now: Now) -> Option<Result<(), TransactionFailure>> {
        match &self.transactions.as_ref()?.state {
            State::Failed(cause) => Some(Err(cause.clone().into())),
            State::Starting => self.await_coordinator(since, now).map(Err),
            _ => Some(Ok(())),
        }
    }

    /// Begins a transaction, once the one before has ended: one that is still open is aborted. `since` is when the
    /// caller began to wait.
    pub fn begin(
        &mut self,
        since: Instant,
        now: Now,
    ) -> Option<Result<TransactionNumber, TransactionFailure>> {
        if self.closing.is_some() {
            return Some(Err(FatalCause::Closed.into()));
        }
        let transactions = self.transactions.as_mut()?;
        match &transactions.state {
            State::Failed(cause) => return Some(Err(cause.clone().into())),
            State::Ready => {}
            State::Open => {
                let open = transactions.current;
                self.abort(open);
                return None;
            }
            _ => return self.await_coordinator(since, now).map(Err),
        }
        let told = transactions.flow_told(&self.hub.connections);
        let is_upgraded = told == Some(Flow::Implicit) && transactions.flow == Flow::Explicit;
        if is_upgraded && !transactions.plot.has(Planted::EpochOutlivesFlow) {
            // The cluster was upgraded meanwhile. The end of an explicit transaction may still be being written in this epoch, and
            // would be taken for the end of what brokers add by themselves.
            transactions.state = State::Raising;
            self.hub.changed();
            return self.await_coordinator(since, now).map(Err);
        }
        transactions.flow = told.unwrap_or(transactions.flow);
        transactions.current.0 += 1;
        transactions.state = State::Open;
        (transactions.touched, transactions.landed) = (false, false);
        (transactions.doom, transactions.end_unanswered) = (None, None);
        transactions.added.clear();
        transactions.groups_added.clear();
        transactions.offsets_settled.clear();
        Some(Ok(transactions.current))
    }

    /// The wait for the coordinator: over with an answer, or after `max.block.ms`.
    fn await_coordinator(&mut self, since: Instant, now: Now) -> Option<TransactionFailure> {
        let waited = now.mono.saturating_duration_since(since);
        if waited >= self.config.max_block {
            let cause = self.transaction_obstacle(now);
            return Some(TransactionFailure::Unanswered { waited, cause });
        }
        self.block_until(since + self.config.max_block);
        None
    }

    /// Takes a record into a transaction, as [`send`](Self::send).
    pub fn send_in<'a, H>(
        &mut self,
        of: TransactionNumber,
        record: &Outgoing<'a, H>,
        since: Instant,
        now: Now,
    ) -> Result<Ticket, Refused>
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        if self.closing.is_some() {
            return Err(SendFailure::Closed.into());
        }
        match self.transactions.as_ref() {
            Some(Transactions { state: State::Failed(cause), .. }) => {
                return Err(SendFailure::Doomed(Box::new(cause.clone().into())).into());
            }
            Some(transactions) if transactions.current == of => match &transactions.doom {
                Some(cause) => return Err(SendFailure::Doomed(Box::new(cause.clone().into())).into()),
                None if transactions.state != State::Open => return Err(SendFailure::NoTransaction.into()),
                None => {}
            },
            _ => return Err(SendFailure::NoTransaction.into()),
        }
        self.take(record, since, now)
    }

    /// Commits the transaction once all of it is delivered: [`Producer::ended`] tells. Nothing where it is over.
    pub fn commit(&mut self, of: TransactionNumber) {
        let Some(transactions) = self.transactions.as_mut().filter(|t| t.current == of) else { return };
        if transactions.state == State::Open {
            transactions.state = State::Committing;
            self.flush();
            self.hub.changed();
        }
    }

    /// Aborts the transaction: [`Producer::ended`] tells. A commit that is under way is not stopped.
    pub fn abort(&mut self, of: TransactionNumber) {
        let Some(transactions) = self.transactions.as_mut().filter(|t| t.current == of) else { return };
        if transactions.state == State::Open {
            transactions.state = State::Aborting;
            self.hub.changed();
        }
    }

    /// How the transaction ended, once that is known. `since` is when the caller began to wait.
    pub fn ended(
        &mut self,
        of: TransactionNumber,
        since: Instant,
        now: Now,
    ) -> Option<Result<End, TransactionFailure>> {
        if self.closed && self.transactions.as_ref().is_some_and(|t| !t.is_over(of)) {
            return Some(Err(FatalCause::Closed.into()));
        }
        match self.transactions.as_ref()?.ended.as_ref() {
            Some((ended, outcome)) if *ended == of => Some(outcome.clone()),
            _ => self.await_coordinator(since, now).map(Err),
        }
    }

    /// Why the transaction in hand can only be aborted, or the producer has no further one.
    pub fn doom(&self) -> Option<TransactionFailure> {
        let transactions = self.transactions.as_ref()?;
        match &transactions.state {
            State::Failed(cause) => Some(cause.clone().into()),
            _ => transactions.doom.clone().map(TransactionFailure::Aborted),
        }
    }

    /// A producer that closes aborts its open transaction.
    pub(super) fn abort_at_close(&mut self) {
        if let Some(open) = self.transactions.as_ref().map(|transactions| transactions.current) {
            self.abort(open);
        }
    }

    /// What is in the coordinator's way.
    pub(super) fn transaction_obstacle(&self, now: Now) -> Option<Cause> {
        let transactions = self.transactions.as_ref()?;
        let coordinator = &transactions.coordinator;
        let broker = |error, node| Cause::Broker { address: node_address(node, &self.hub.metadata), error };
        let Some(node) = coordinator.node() else {
            let found = coordinator.attempts.error().map(|error| broker(error, coordinator.last()));
            return found.or_else(|| Cause::of_metadata(&self.hub.metadata));
        };
        let link = Cause::of_link(node, Kind::Main, &self.hub.metadata, &self.hub.connections, now.mono);
        link.or_else(|| transactions.attempts.error().map(|error| broker(error, Some(node))))
    }
}

fn node_address(
    node: Option<crate::ids::NodeId>,
    metadata: &crate::metadata::Metadata,
) -> Option<crate::connections::Address> {
    node.and_then(|node| metadata.address(node).cloned())
}
