//! Fetching: one request always ahead for each broker, within one byte budget, in fetch sessions (KIP-227).

mod aborted;
mod open_transactions;
mod plan;
mod session;
mod spans;
mod validation;
mod window;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{
        DescribeProducersResponse, FetchForgottenTopic, FetchPartition, FetchPartitionResponse, FetchRequest,
        FetchResponse, FetchTopic, OffsetForLeaderEpochResponse,
    },
};

use crate::{
    connections::{Connections, Kind, LinkStatus, Target},
    ids::{LaneEpoch, NodeId, PartIdx, RequestId},
    lanes::{FetchState, Lane, LaneFailure, Lanes, LogEnd, Search, Slice},
    log::{self, ByError, refused},
    machine::Fetched,
    metadata::Metadata,
    offsets::{IsolationLevel, known_epoch},
    planted::{Planted, Plot},
};

pub(crate) use aborted::Aborted;
pub use open_transactions::OpenTransaction;
pub use spans::{Span, Spans, spans};
pub(crate) use validation::Cut;

use open_transactions::OpenTransactions;
use plan::Plan;
use session::{Asked, Session};
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
    /// Whether the budget, and nothing else, kept a fetch from being sent the last time.
    pub(crate) out_of_room: bool,
    /// Whether enough was fetched ahead for readers that are busy, so that a fetch was not sent the last time.
    pub(crate) far_ahead: bool,
    /// Whether a reader waits for records.
    pub(crate) is_awaited: bool,
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
            out_of_room: false,
            far_ahead: false,
            is_awaited: false,
            plot: Plot::default(),
        }
    }

    /// Bytes in frames, and bytes that fetches in flight may bring.
    pub(crate) fn used(&self) -> usize {
        let reserved = |broker: &Broker| broker.in_flight.as_ref().map_or(0, |fetch| fetch.reserved);
        self.held + self.brokers.values().map(reserved).sum::<usize>()
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

    /// Sends the fetches that are due, one to each broker.
    pub(crate) fn poll_send<F>(
        &mut self,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<(RequestId, NodeId)> {
        let enough = self.config.partition_max_bytes;
        loop {
            self.plan.follow(lanes, metadata, enough, now);
            if !self.leave_unready(lanes, metadata, connections, now) {
                break;
            }
        }
        debug_assert!(self.plan.is_current(lanes, metadata, enough, now), "a change has passed by the plan");
        if self.plan.is_leaderless() {
            metadata.request_update();
        }
        (self.out_of_room, self.far_ahead) = (false, false);
        let share = self.config.budget / self.plan.brokers().max(1);
        let mut nodes: Vec<NodeId> = self.plan.asked().collect();
        // Brokers take turns where there is room for one of them only; otherwise the others would starve.
        nodes.sort_by_key(|node| self.brokers.get(node).map_or(0, |broker| broker.turn));
        let mut sent = Vec::new();
        for node in nodes {
            if self.busy_since(node).is_some() {
                continue;
            }
            if !metadata.node_ready(node, Kind::Fetch, connections, now) {
                // Other brokers may lead its partitions before it can be reached again.
                let status = connections.status(Target::Node(node), Kind::Fetch, now.mono);
                if matches!(status, LinkStatus::Retrying { .. }) {
                    metadata.request_update();
                }
                continue;
            }
            let first = self.config.read_ahead;
            let window = self.brokers.get(&node).map_or(first, |broker| broker.window.size(first));
            if !self.is_awaited && self.plan.share(node).ahead >= window {
                self.far_ahead = true;
                continue;
            }
            let free = self.config.budget.saturating_sub(self.used());
            if free < share.min(self.config.partition_max_bytes).max(1) {
                self.out_of_room = true;
                continue;
            }
            let room = free.min(share).min(window).min(self.config.max_bytes).max(1);
            sent.extend(self.send(node, room, connections, now).map(|id| (id, node)));
        }
        sent
    }

    /// Goes back to the leaders of partitions that are fetched from followers which cannot be asked now. A connection to each is
    /// under way then. Returns whether there were any.
    fn leave_unready<F>(
        &self,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> bool {
        let mut left = false;
        for node in self.plan.followers() {
            if self.busy_since(node).is_some() || metadata.node_ready(node, Kind::Fetch, connections, now) {
                continue;
            }
            if metadata.address(node).is_none() {
                metadata.request_update();
            }
            self.plan.following(node).into_iter().for_each(|part| lanes.leave_follower(part, node, now));
            left = true;
        }
        left
    }

    fn send(
        &mut self,
        node: NodeId,
        room: usize,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let target = Target::Node(node);
        // Version 13 names topics by id alone, so every topic must have an id.
        let wanted = self.plan.share(node);
        let limit = if wanted.nameless == 0 { i16::MAX } else { 12 };
        let version = connections.version(target, Kind::Fetch, ApiKey::Fetch, limit).ok()?;
        let by_id = version >= 13;
        let rack = if wanted.alone == 0 { self.config.rack.clone() } else { String::new() };
        let plot = self.plot;
        let broker = self.brokers.entry(node).or_default();
        broker.session.plot = self.plot;
        let changed = std::mem::take(&mut wanted.changed);
        let (named, forgotten) = broker.session.next(&wanted.asked, &changed, by_id);
        let partition_max_bytes = self.config.partition_max_bytes as i32;
        let partition = |asked: &Asked| FetchPartition {
            partition: asked.at.partition,
            current_leader_epoch: asked.leader_epoch,
            fetch_offset: asked.offset,
            last_fetched_epoch: asked.offset_epoch.unwrap_or(-1),
            partition_max_bytes,
            ..Default::default()
        };
        let topics = named.chunk_by(|a, b| a.at.topic == b.at.topic).filter_map(|topic| {
            let first = topic.first()?;
            let partitions = topic.iter().map(partition).collect();
            Some(FetchTopic { topic: first.at.topic.clone(), topic_id: first.topic_id, partitions })
        });
        let gone = forgotten.chunk_by(|a, b| a.at.topic == b.at.topic).filter_map(|topic| {
            let first = topic.first()?;
            let partitions = topic.iter().map(|asked| asked.at.partition).collect();
            Some(FetchForgottenTopic { topic: first.at.topic.clone(), topic_id: first.topic_id, partitions })
        });
        let request = FetchRequest {
            max_wait_ms: self.config.max_wait.as_millis() as i32,
            min_bytes: self.config.min_bytes,
            max_bytes: room as i32,
            isolation_level: match broker.session.epoch() > 0 && plot.has(Planted::SessionForgetsIsolation) {
                true => IsolationLevel::ReadUncommitted.wire(),
                false => self.config.isolation.wire(),
            },
            session_id: broker.session.id(),
            session_epoch: broker.session.epoch(),
            topics: topics.collect(),
            forgotten_topics_data: gone.collect(),
            rack_id: rack,
            ..Default::default()
        };
        let timeout = self.config.request_timeout + self.config.max_wait;
        let id = connections.send(target, Kind::Fetch, version, request, Some(timeout), now);
        self.requests += 1;
        broker.turn = self.requests;
        broker.in_flight = Some(InFlight { id, since: now.mono, reserved: room });
        Some(id)
    }

    /// Takes a broker's answer: slices go to their lanes, and errors to the parts that they concern.
    #[expect(clippy::too_many_arguments, reason = "a fetch touches every part that it passes through")]
    pub(crate) fn handle_response<F: Clone>(
        &mut self,
        node: NodeId,
        id: RequestId,
        response: FetchResponse,
        fetched: Fetched<F>,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) {
        self.held += fetched.size;
        self.fetched += fetched.size as u64;
        self.responses += 1;
        let Some(broker) = self.brokers.get_mut(&node) else { return };
        let Some(fetch) = broker.in_flight.take_if(|fetch| fetch.id == id) else { return };
        let first = self.config.read_ahead;
        if self.is_awaited && fetch.reserved >= broker.window.size(first) {
            let took = now.mono.saturating_duration_since(fetch.since);
            broker.window.was_awaited(fetched.size, first, took, now);
        }
        broker.session.answered(response.error_code, response.session_id);
        let before = std::mem::replace(&mut broker.refused, response.error_code.ok().err());
        if !response.error_code.is_ok() {
            if before != broker.refused {
                tell_refused(node, response.error_code);
            }
            if response.error_code.is_stale_metadata()
                || response.error_code == ErrorCode::FetchSessionTopicIdError
            {
                metadata.request_update();
            }
            // A session that the broker has lost is opened anew at once; anything else would be answered again.
            let lost_session = matches!(
                response.error_code,
                ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch
            );
            if !lost_session {
                leave(&broker.session, node, lanes, now);
                put_off(&broker.session, Some(response.error_code), lanes, now);
            }
            return;
        }
        for hint in &response.node_endpoints {
            metadata.learn_endpoint(hint.node_id, &hint.host, hint.port);
        }
        let mut spans = fetched.spans.into_iter();
        let mut refused = ByError::new(tracing::enabled!(target: log::FETCH, tracing::Level::INFO));
        for topic in response.responses {
            for partition in topic.partitions {
                let spans = spans.next();
                let asked = broker.session.find(topic.topic_id, &topic.topic, partition.partition_index);
                let asked = asked.map(|(part, asked)| (part, asked.clone()));
                let counts = |(part, asked): &(PartIdx, Asked)| {
                    lanes
                        .get(*part)
                        .is_some_and(|lane| lane.epoch == asked.epoch && lane.phase().is_assigned())
                };
                // A partition that was not asked for is the broker's mistake. Its records are dropped.
                let Some((part, Asked { epoch, offset, topic_id, leader_epoch, .. })) = asked.filter(counts)
                else {
                    lanes.wasted += partition.records.as_ref().map_or(0, |records| records.len()) as u64;
                    continue;
                };
                let follower =
                    Some(NodeId(partition.preferred_read_replica)).filter(|id| id.0 >= 0 && *id != node);
                if let (ErrorCode::None, Some(follower)) = (partition.error_code, follower) {
                    follow(part, follower, lanes, metadata, now);
                }
                let diverging = partition.error_code.is_ok() && partition.diverging_epoch.epoch >= 0;
                if diverging && lanes.follows(part, node) {
                    // A follower that lags behind has not heard of the record's epoch: the leader is asked.
                    follower_failed(part, node, ErrorCode::OffsetOutOfRange, lanes, metadata, now);
                } else if diverging {
                    diverges(part, offset, &partition, lanes, now);
                } else if partition.error_code.is_ok() {
                    let of_log = LogEnd::told(&partition, self.config.isolation);
                    let slice = |span: Span, aborted, start| Slice {
                        part,
                        epoch,
                        broker: node,
                        topic_id,
                        frame: fetched.frame.clone(),
                        bytes: span.start..span.end,
                        start,
                        next: span.next,
                        leader_epoch: known_epoch(span.leader_epoch),
                        log_end: of_log,
                        aborted,
                    };
                    match spans {
                        Some(Ok(spans)) => {
                            let brings = spans.iter().next().is_some();
                            lanes.change(part, |lane| {
                                lane.log_end = Some(of_log);
                                lane.validated_in = known_epoch(leader_epoch).or(lane.validated_in);
                                if brings {
                                    lane.served = Some(self.responses);
                                }
                                lane.attempts.reset();
                                if !brings && of_log.is_passed(offset) {
                                    // The broker does not hold such a fetch: it would be asked again at once.
                                    lane.attempts.put_off_by(self.config.max_wait, now);
                                }
                            });
                            let mut aborted = spans.aborted().filter(|_| self.config.filters(self.plot));
                            let mut start = offset;
                            // Batches that end before the position bring no record.
                            for span in spans.iter().filter(|span| span.next > offset) {
                                lanes.push(slice(span, aborted.cloned(), start), now.mono);
                                start = span.next;
                                if self.plot.has(Planted::OnlyTheFirstBatchIsFiltered) {
                                    aborted = None;
                                }
                            }
                        }
                        Some(Err(error)) => lanes.corrupt(part, epoch, offset, error, now.mono),
                        None => {}
                    }
                } else {
                    let error = partition.error_code;
                    // OFFSET_OUT_OF_RANGE is told with the reset, which follows when the buffered records are read.
                    if let Some(lane) = lanes.get(part)
                        && lane.attempts.is_news(error)
                        && error != ErrorCode::OffsetOutOfRange
                    {
                        refused.add(error, &lane.at);
                    }
                    if lanes.follows(part, node) {
                        follower_failed(part, node, error, lanes, metadata, now);
                        continue;
                    }
                    partition_failed(part, &partition, lanes, metadata, self.plot, now);
                }
            }
        }
        refused.tell(|error, partitions| {
            refused!(log::FETCH, ApiKey::Fetch, error, node = node.0, %partitions);
        });
    }

    /// A fetch will not be answered.
    pub(crate) fn handle_unanswered<F>(
        &mut self,
        node: NodeId,
        id: RequestId,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) {
        let Some(broker) = self.brokers.get_mut(&node) else { return };
        if broker.in_flight.take_if(|fetch| fetch.id == id).is_some() {
            broker.session.disconnected();
            metadata.request_update();
            leave(&broker.session, node, lanes, now);
            put_off(&broker.session, None, lanes, now);
        }
    }
}

/// A partition's leader names a follower that is to be fetched from.
fn follow<F>(part: PartIdx, follower: NodeId, lanes: &mut Lanes<F>, metadata: &Metadata, now: Now) {
    let Some(lane) = lanes.get(part) else { return };
    let Some(partition) = metadata.partition(&lane.at) else { return };
    lanes.follow(part, follower, partition.leader_epoch, now.mono + metadata.max_age());
}

/// A follower does not tell the records of one partition. Whatever is wrong, the leader knows better: a position that is not in
/// the follower's log may be in the leader's.
fn follower_failed<F>(
    part: PartIdx,
    node: NodeId,
    error: ErrorCode,
    lanes: &mut Lanes<F>,
    metadata: &mut Metadata,
    now: Now,
) {
    if error.is_stale_metadata() || error == ErrorCode::UnknownLeaderEpoch {
        metadata.request_update();
    }
    lanes.change(part, |lane| lane.attempts.failed(error, now));
    lanes.leave_follower(part, node, now);
}

/// A broker tells nothing: those who fetch from it as a follower go back to their leaders.
fn leave<F>(session: &Session, node: NodeId, lanes: &mut Lanes<F>, now: Now) {
    session.known().keys().for_each(|part| lanes.leave_follower(*part, node, now));
}

/// A broker refused to tell the records of one partition.
fn partition_failed<F>(
    part: PartIdx,
    response: &FetchPartitionResponse,
    lanes: &mut Lanes<F>,
    metadata: &mut Metadata,
    plot: Plot,
    now: Now,
) {
    let error = response.error_code;
    lanes.change(part, |lane| lane.attempts.failed(error, now));
    let Some(lane) = lanes.get(part) else { return };
    match error {
        ErrorCode::OffsetOutOfRange if lane.is_drained() => out_of_range(part, lanes, plot, now),
        // Buffered records are read first. The same answer will come again.
        ErrorCode::OffsetOutOfRange => {}
        ErrorCode::UnknownLeaderEpoch => {
            lanes.change(part, |lane| lane.validated_in = None);
            metadata.request_update();
        }
        _ if error.is_stale_metadata() => led_by_another(part, response, lanes, metadata, plot),
        _ if error.is_retriable() || error == ErrorCode::UnknownServerError => {}
        _ if error.is_authorization() => {
            if lane.is_drained() {
                // The pause before the next attempt stays.
                lanes.change(part, |lane| lane.state = FetchState::Failed(LaneFailure::NotAuthorized(error)));
            }
        }
        _ => {
            if lane.is_drained() {
                let (state, offset) = (FetchState::Failed(LaneFailure::Broker(error)), lane.fetch_at);
                lanes.place(part, state, Some(offset.into()), now.mono);
            }
        }
    }
}

/// A partition's log does not have the offset that is to be read next. Where it begins tells what was lost.
fn out_of_range<F>(part: PartIdx, lanes: &mut Lanes<F>, plot: Plot, now: Now) {
    let Some(lane) = lanes.get(part).filter(|_| !plot.has(Planted::OutOfRangeIsAskedAgain)) else { return };
    let position = lane.fetch_position();
    let state = FetchState::AwaitsReset(Search::Start { from: position.offset });
    lanes.place(part, state, Some(position), now.mono);
}

/// The leader's log parts from what was read before the position, as the leader of a fetch sees by the epoch of the last record.
/// The position is validated, which tells where.
fn diverges<F>(
    part: PartIdx,
    offset: i64,
    response: &FetchPartitionResponse,
    lanes: &mut Lanes<F>,
    now: Now,
) {
    let diverging = &response.diverging_epoch;
    lanes.change(part, |lane| {
        if lane.fetch_at != offset {
            return;
        }
        match diverging.end_offset >= offset {
            // In that epoch nothing was written: the record before is of an earlier one.
            true => {
                lane.fetch_epoch =
                    known_epoch(diverging.epoch).filter(|epoch| Some(*epoch) < lane.fetch_epoch);
            }
            false => lane.validated_in = None,
        }
        lane.attempts.put_off(now);
    });
}

/// The broker does not lead the partition. It may say who does.
fn led_by_another<F>(
    part: PartIdx,
    response: &FetchPartitionResponse,
    lanes: &mut Lanes<F>,
    metadata: &mut Metadata,
    plot: Plot,
) {
    if plot.has(Planted::NewLeaderIsNotAskedFor) {
        return;
    }
    let Some(at) = lanes.get(part).map(|lane| lane.at.clone()) else { return };
    let leader = &response.current_leader;
    match metadata.learn_leader(&at, NodeId(leader.leader_id), leader.leader_epoch) {
        true => _ = lanes.change(part, |lane| lane.attempts.hurry()),
        false => metadata.request_update(),
    }
}

/// Tells the log that a broker refused a fetch as a whole. A forgotten session is no fault: brokers keep a limited number.
fn tell_refused(node: NodeId, error: ErrorCode) {
    let (node, api) = (node.0, ApiKey::Fetch);
    match error {
        ErrorCode::FetchSessionIdNotFound
        | ErrorCode::InvalidFetchSessionEpoch
        | ErrorCode::FetchSessionTopicIdError => {
            tracing::debug!(target: log::FETCH, node, ?api, %error, "refused");
        }
        error => refused!(log::FETCH, api, error, node),
    }
}

/// The partitions of a fetch that brought nothing are asked for again after a pause.
fn put_off<F>(session: &Session, error: Option<ErrorCode>, lanes: &mut Lanes<F>, now: Now) {
    for (part, asked) in session.known() {
        lanes.change(*part, |lane| match error {
            _ if lane.epoch != asked.epoch => {}
            Some(error) => lane.attempts.failed(error, now),
            None => lane.attempts.put_off(now),
        });
    }
}
