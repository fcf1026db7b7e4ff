//! Fetching: one request always ahead for each broker, within one byte budget, in fetch sessions (KIP-227).

mod aborted;
mod answers;
mod open_transactions;
mod plan;
mod refusals;
mod requests;
mod session;
mod spans;
mod stamps;
mod validation;
mod window;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ErrorCode, Now,
    messages::{DescribeProducersResponse, OffsetForLeaderEpochResponse},
};

use crate::{
    connections::Connections,
    ids::{LaneEpoch, NodeId, PartIdx, RequestId},
    lanes::{Lane, Lanes},
    metadata::Metadata,
    offsets::IsolationLevel,
    planted::{Planted, Plot},
    telemetry::Took,
};

pub(crate) use aborted::Aborted;
pub use open_transactions::OpenTransaction;
pub use spans::{Span, Spans, spans};
pub(crate) use stamps::Stamps;
pub(crate) use validation::Cut;

use open_transactions::OpenTransactions;
use plan::Plan;
use session::Session;
use validation::Validations;
use window::Window;

/// How records are fetched. The defaults are Java's, but for the budget, which Java does not have.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// `fetch.min.bytes`: a broker holds a fetch until it has so many bytes, or for `max_wait`.
    pub min_bytes: i32,
    /// `fetch.max.bytes`: how many bytes a response may bring. A larger batch comes only as the first of a response.
    pub max_bytes: usize,
    /// `max.partition.fetch.bytes`: how many bytes of one partition a response may bring. A larger batch comes only
    /// as the first of a response.
    pub partition_max_bytes: usize,
    /// `fetch.max.wait.ms`: how long a broker may hold a fetch.
    pub max_wait: Duration,
    /// How many bytes are fetched ahead of a busy reader from each broker, to begin with. More where readers wait for full
    /// responses, and more bytes in a response come faster.
    pub read_ahead: usize,
    /// For how many partitions a broker is asked by the first fetch of all, without a wait; those behind it have up to four times as
    /// many further ones each. A fetch for very many keeps it busy for a while, and its first records with it.
    pub at_first: usize,
    /// How many bytes of responses may be held at once, those in flight included.
    pub budget: usize,
    /// `isolation.level`.
    pub isolation: IsolationLevel,
    /// `client.rack`: where leaders name followers that are in it, those are fetched from (KIP-392). Empty for none.
    pub rack: String,
    /// `request.timeout.ms`: a fetch may take so long on top of `max_wait`.
    pub request_timeout: Duration,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            max_wait: Duration::from_millis(500),
            read_ahead: 2 << 20,
            at_first: 500,
            budget: 64 << 20,
            isolation: IsolationLevel::default(),
            rack: String::new(),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl FetchConfig {
    /// Whether aborted records are passed over.
    fn filters(&self, plot: Plot) -> bool {
        self.isolation.is_committed() && !plot.has(Planted::AbortedIsHandedOut)
    }
}

/// Requests for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FetchStats {
    /// How many were sent.
    pub requests: u64,
    /// How many were answered.
    pub answered: u64,
    /// How long these took, together. A broker that has no records holds a request for up to `fetch.max.wait.ms`.
    pub latency: Duration,
    /// How many bytes the responses had.
    pub bytes: u64,
    /// How many bytes of records were dropped unread: by a seek, a rebalance, or a pause that others' records needed the room of.
    pub wasted_bytes: u64,
}

/// Every broker's session, and the budget that they share.
#[derive(Debug)]
pub(crate) struct Fetcher {
    config: FetchConfig,
    plan: Plan,
    brokers: BTreeMap<NodeId, Broker>,
    validations: Validations,
    open_transactions: OpenTransactions,
    /// Bytes of frames that are still referred to.
    held: usize,
    /// All bytes of frames ever received.
    pub(crate) fetched: u64,
    /// How many responses there were, and how many requests.
    responses: u64,
    requests: u64,
    /// How long brokers took for what they answered.
    latency: Duration,
    /// How long they took lately.
    pub(crate) recent: Took,
    /// Whether the budget, and nothing else, kept a fetch from being sent the last time.
    pub(crate) out_of_room: bool,
    /// Whether enough was fetched ahead for readers that are busy, so that a fetch was not sent the last time.
    pub(crate) far_ahead: bool,
    /// Whether a reader waits for records.
    pub(crate) is_awaited: bool,
    /// Whether positions of further partitions are about to be told, which would have to wait behind a fetch that waits.
    pub(crate) more_come: bool,
    pub(crate) plot: Plot,
}

#[derive(Debug, Default)]
struct Broker {
    session: Session,
    in_flight: Option<InFlight>,
    /// The number of the last request to this broker, counted over all brokers.
    turn: u64,
    /// The error by which the broker refused the last fetch as a whole.
    refused: Option<ErrorCode>,
    /// When the broker answered the last fetch of the session.
    told: Option<Instant>,
    /// When it was sent the first fetch of all.
    since: Option<Instant>,
    window: Window,
}

#[derive(Debug)]
struct InFlight {
    id: RequestId,
    since: Instant,
    reserved: usize,
}

impl Fetcher {
    pub(crate) fn new(config: FetchConfig) -> Self {
        Self {
            config,
            plan: Plan::default(),
            brokers: BTreeMap::new(),
            validations: Validations::default(),
            open_transactions: OpenTransactions::default(),
            held: 0,
            fetched: 0,
            responses: 0,
            requests: 0,
            latency: Duration::ZERO,
            recent: Took::default(),
            out_of_room: false,
            far_ahead: false,
            is_awaited: false,
            more_come: false,
            plot: Plot::default(),
        }
    }

    /// Bytes in frames, and bytes that fetches in flight may bring.
    pub(crate) fn used(&self) -> usize {
        let reserved = |broker: &Broker| broker.in_flight.as_ref().map_or(0, |fetch| fetch.reserved);
        self.held + self.brokers.values().map(reserved).sum::<usize>()
    }

    /// What was asked and answered; of what was wasted the lanes know.
    pub(crate) fn stats(&self) -> FetchStats {
        FetchStats {
            requests: self.requests,
            answered: self.responses,
            latency: self.latency,
            bytes: self.fetched,
            wasted_bytes: 0,
        }
    }

    /// `client.rack`; empty where there is none.
    pub(crate) fn rack(&self) -> &str {
        &self.config.rack
    }

    pub(crate) fn budget(&self) -> usize {
        self.config.budget
    }

    pub(crate) fn released(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Whether a fetch that would bring records of this lane is in flight.
    pub(crate) fn asks_for(&self, part: PartIdx, epoch: LaneEpoch) -> bool {
        let asks =
            |broker: &Broker| broker.session.known().get(&part).is_some_and(|asked| asked.epoch == epoch);
        self.brokers.values().filter(|broker| broker.in_flight.is_some()).any(asks)
    }

    /// How long a broker may hold a fetch.
    pub(crate) fn max_wait(&self) -> Duration {
        self.config.max_wait
    }

    /// Since when a fetch has been in flight to this broker.
    pub(crate) fn busy_since(&self, node: NodeId) -> Option<Instant> {
        Some(self.brokers.get(&node)?.in_flight.as_ref()?.since)
    }

    /// Asks the leaders of partitions that open transactions hold back for a while whose these are.
    pub(crate) fn poll_open_transactions<F>(
        &mut self,
        lanes: &Lanes<F>,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<(RequestId, NodeId)> {
        match self.config.isolation {
            IsolationLevel::ReadCommitted => {
                self.open_transactions.poll_send(lanes, metadata, connections, now)
            }
            _ => Vec::new(),
        }
    }

    /// Takes a leader's answer to that.
    pub(crate) fn handle_open_transactions(
        &mut self,
        node: NodeId,
        id: RequestId,
        response: DescribeProducersResponse,
    ) {
        self.open_transactions.handle_response(node, id, response);
    }

    /// A leader will not answer that.
    pub(crate) fn handle_open_transactions_unanswered(&mut self, node: NodeId, id: RequestId) {
        self.open_transactions.handle_unanswered(node, id);
    }

    /// Whose transaction holds this lane back, as far as its leader has told.
    pub(crate) fn held_back_by<F>(&self, part: PartIdx, lane: &Lane<F>, now: Now) -> Option<OpenTransaction> {
        self.open_transactions.by(part, lane, now)
    }

    /// Asks the leaders of positions that wait for it whether they have the records before.
    pub(crate) fn poll_validate<F>(
        &mut self,
        lanes: &mut Lanes<F>,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<(RequestId, NodeId)> {
        self.plan.follow(lanes, metadata, self.config.partition_max_bytes, now);
        self.validations.poll_send(&self.plan, lanes, metadata, connections, now)
    }

    /// Takes a leader's answer to that. Returns the positions that are not in its log, and are to be moved.
    pub(crate) fn handle_validated<F>(
        &mut self,
        node: NodeId,
        id: RequestId,
        mut response: OffsetForLeaderEpochResponse,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) -> Vec<Cut> {
        if self.plot.has(Planted::TruncationIsIgnored) {
            let told = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            told.for_each(|end| end.end_offset = i64::MAX);
        }
        self.validations.handle_response(node, id, response, lanes, metadata, now)
    }

    /// A leader will not answer that.
    pub(crate) fn handle_not_validated<F>(
        &mut self,
        node: NodeId,
        id: RequestId,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) {
        self.validations.handle_unanswered(node, id, lanes, metadata, now);
    }
}
