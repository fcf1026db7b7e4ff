//! Offsets that the log itself knows: its ends, and the first record after a time (ListOffsets).

use std::{collections::BTreeMap, sync::Arc};

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic},
};

use crate::{
    backoff::{Attempts, Backoff, Retry},
    connections::{Connections, Kind, Target},
    deadline::Earliest,
    ids::{LaneEpoch, NodeId, OpId, PartIdx, RequestId, TopicPartition},
    log::{self, ByError, refused},
    metadata::Metadata,
    offsets::{IsolationLevel, OffsetAndTimestamp, ResetTo},
    planted::{Planted, Plot},
};

/// The origin of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A lane has no position.
    Lane(PartIdx, LaneEpoch),
    /// A user asks.
    Op(OpId),
}

/// The answer to a look-up: an offset, none, or an error.
pub(crate) type Found = (Arc<TopicPartition>, Purpose, Result<Option<OffsetAndTimestamp>, ErrorCode>);

#[derive(Debug)]
struct Query {
    at: Arc<TopicPartition>,
    to: ResetTo,
    purpose: Purpose,
    attempts: Attempts,
    in_flight: Option<RequestId>,
}

/// Every look-up that is not answered yet.
#[derive(Debug)]
pub(crate) struct Lookups {
    queries: Vec<Query>,
    backoff: Backoff,
    isolation: IsolationLevel,
    /// How many partitions a leader is asked about first. The rest is in a request behind that one: their positions come later, and
    /// the first records sooner.
    at_first: usize,
    rng: fastrand::Rng,
    pub(crate) plot: Plot,
}

impl Lookups {
    pub(crate) fn new(backoff: Backoff, isolation: IsolationLevel, at_first: usize, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { queries: Vec::new(), backoff, isolation, at_first, rng, plot: Plot::default() }
    }

    pub(crate) fn ask(&mut self, at: Arc<TopicPartition>, to: ResetTo, purpose: Purpose) {
        let attempts = Attempts::new(self.backoff, self.rng.fork());
        self.queries.push(Query { at, to, purpose, attempts, in_flight: None });
    }

    /// Why a query is asked again, and when.
    pub(crate) fn retry(&self, purpose: Purpose, now: Now) -> Option<Retry> {
        let mut queries = self.queries.iter().filter(|query| query.purpose == purpose);
        queries.find_map(|query| query.attempts.retry(now))
    }

    /// Drops the queries that nobody waits for.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&Purpose) -> bool) {
        self.queries.retain(|query| wanted(&query.purpose));
    }

    /// The topics whose leaders are needed.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.queries.iter().map(|query| &query.at.topic)
    }

    /// Whether positions of lanes are on their way, asked for the first time.
    pub(crate) fn bring_positions(&self) -> bool {
        let comes = |query: &Query| query.in_flight.is_some() && query.attempts.error().is_none();
        self.queries.iter().any(|query| matches!(query.purpose, Purpose::Lane(..)) && comes(query))
    }

    /// Asks each leader of which something is to be asked: about a few partitions at first, and at once about the rest.
    pub(crate) fn poll_send(
        &mut self,
        metadata: &mut Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<RequestId> {
        let mut by_leader: BTreeMap<NodeId, Vec<(usize, i32)>> = BTreeMap::new();
        for (index, query) in self.queries.iter().enumerate() {
            if query.in_flight.is_some() || !query.attempts.is_due(now) {
                continue;
            }
            match metadata
                .partition(&query.at)
                .and_then(|partition| Some((partition.leader?, partition.leader_epoch)))
            {
                Some((leader, epoch)) => by_leader.entry(leader).or_default().push((index, epoch)),
                None => metadata.request_update(),
            }
        }
        let mut sent = Vec::new();
        for (leader, queries) in by_leader {
            if !metadata.node_ready(leader, Kind::Main, connections, now) {
                continue;
            }
            let target = Target::Node(leader);
            let Ok(version) = connections.version(target, Kind::Main, ApiKey::ListOffsets, i16::MAX) else {
                continue;
            };
            let (first, rest) = queries.split_at(queries.len().min(self.at_first));
            for queries in [first, rest].into_iter().filter(|queries| !queries.is_empty()) {
                let (topics, taken) = self.asks(queries);
                let request = ListOffsetsRequest {
                    replica_id: -1,
                    isolation_level: self.isolation.wire(),
                    topics,
                    timeout_ms: connections.request_timeout().as_millis() as i32,
                };
                let id = connections.send(target, Kind::Main, version, request, None, now);
                for index in taken {
                    if let Some(query) = self.queries.get_mut(index) {
                        query.in_flight = Some(id);
                    }
                }
                sent.push(id);
            }
        }
        sent
    }

    /// What a request asks, and which of these queries, which come with the epochs of their partitions' leader, that answers.
    fn asks(&self, queries: &[(usize, i32)]) -> (Vec<ListOffsetsTopic>, Vec<usize>) {
        let mut topics: BTreeMap<&str, BTreeMap<i32, ListOffsetsPartition>> = BTreeMap::new();
        let mut taken = Vec::new();
        for (index, epoch) in queries {
            let Some(query) = self.queries.get(*index) else { continue };
            // A request may name a partition only once, so a second question about it waits for its turn.
            topics.entry(&query.at.topic).or_default().entry(query.at.partition).or_insert_with(|| {
                taken.push(*index);
                ListOffsetsPartition {
                    partition_index: query.at.partition,
                    current_leader_epoch: *epoch,
                    timestamp: query.to.timestamp(),
                }
            });
        }
        let topic = |(name, partitions): (&str, BTreeMap<i32, ListOffsetsPartition>)| ListOffsetsTopic {
            name: name.to_owned(),
            partitions: partitions.into_values().collect(),
        };
        (topics.into_iter().map(topic).collect(), taken)
    }

    pub(crate) fn handle_response(
        &mut self,
        id: RequestId,
        response: ListOffsetsResponse,
        metadata: &mut Metadata,
        now: Now,
    ) -> Vec<Found> {
        let mut answers: BTreeMap<String, BTreeMap<i32, _>> = BTreeMap::new();
        for topic in response.topics {
            let partitions = topic.partitions.into_iter().map(|answer| (answer.partition_index, answer));
            answers.entry(topic.name).or_default().extend(partitions);
        }
        let mut found = Vec::new();
        let mut refused = ByError::new(tracing::enabled!(target: log::OFFSETS, tracing::Level::INFO));
        let queries = std::mem::take(&mut self.queries);
        for mut query in queries {
            if query.in_flight != Some(id) {
                self.queries.push(query);
                continue;
            }
            let answer = answers.get(&query.at.topic).and_then(|topic| topic.get(&query.at.partition));
            let offset = answer.and_then(OffsetAndTimestamp::told);
            // Only a time may be behind all records. A log without an end would be asked again at once.
            let endless = offset.is_none() && !matches!(query.to, ResetTo::Timestamp(_));
            match answer.map_or(ErrorCode::UnknownServerError, |answer| answer.error_code) {
                ErrorCode::None if !endless => found.push((query.at, query.purpose, Ok(offset))),
                error if error.is_ok() || error.is_retriable() || error == ErrorCode::UnknownServerError => {
                    let error = error.ok().err().unwrap_or(ErrorCode::UnknownServerError);
                    if error.is_stale_metadata() || error == ErrorCode::UnknownLeaderEpoch {
                        metadata.request_update();
                    }
                    if query.attempts.is_news(error) {
                        refused.add(error, &query.at);
                    }
                    query.failed(Some(error), now);
                    if !self.plot.has(Planted::FailedLookupIsForgotten) {
                        self.queries.push(query);
                    }
                }
                error => found.push((query.at, query.purpose, Err(error))),
            }
        }
        refused.tell(|error, partitions| {
            refused!(log::OFFSETS, ApiKey::ListOffsets, error, %partitions);
        });
        found
    }

    pub(crate) fn handle_unanswered(&mut self, id: RequestId, metadata: &mut Metadata, now: Now) {
        metadata.request_update();
        for query in self.queries.iter_mut().filter(|query| query.in_flight == Some(id)) {
            query.failed(None, now);
        }
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        for query in &self.queries {
            earliest.consider(query.attempts.next());
        }
    }
}

impl Query {
    fn failed(&mut self, error: Option<ErrorCode>, now: Now) {
        self.in_flight = None;
        self.attempts.failed(error, now);
    }
}
