//! Fetch: records from positions on, held until there are enough of them (long polling) or the wait is over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ErrorCode, Now, Response,
    codec::RecordData,
    messages::{
        FetchEpochEndOffset, FetchLeaderIdAndEpoch, FetchNodeEndpoint, FetchPartitionResponse, FetchRequest,
        FetchResponse, FetchTopicResponse,
    },
};

use super::{Outcome, list_offsets::READ_COMMITTED};
use crate::{
    Cluster, Config, ConnId,
    connections::Asked,
    faults::Forced,
    partition::Partition,
    planted::Plot,
    security::Operation,
    sessions::{FetchPart, Plan},
    topics::{TopicKey, Topics},
};

/// From this version on topics have ids in place of names.
const BY_ID: i16 = 13;
/// From this version on a response names the leader to the client that asked another broker (KIP-951).
const NAMES_LEADER: i16 = 16;
/// From this version on clients tell their rack, and may fetch from followers (KIP-392).
const TELLS_RACK: i16 = 11;

/// A fetch that is being answered, or waits.
#[derive(Debug)]
pub(crate) struct Fetching {
    pub(crate) until: Instant,
    conn: ConnId,
    principal: Arc<str>,
    node: i32,
    version: i16,
    plan: Plan,
    min_bytes: u64,
    max_bytes: usize,
    read_committed: bool,
    /// The client's, where followers are fetched from.
    rack: Option<String>,
    forced: Option<Forced>,
}

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &FetchRequest,
    forced: Option<Forced>,
    now: Now,
) -> Outcome {
    let version = asked.header.version;
    let Some(node) = cluster.nodes.find_mut(asked.node) else { return Outcome::Close };
    let plan = match node.sessions.plan(request, version >= BY_ID, cluster.plot, now.mono) {
        Ok(plan) => plan,
        Err(error_code) => return FetchResponse { error_code, ..Default::default() }.into(),
    };
    if asked.throttle.is_some() {
        // As Kafka has it: a session is not opened, and one that is open goes on from what was asked.
        let session_id = if let Plan::Incremental(id) = plan { id } else { 0 };
        return FetchResponse { session_id, ..Default::default() }.into();
    }
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(cluster.config.fetch_max_bytes);
    let fetching = Fetching {
        until: now.mono + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        conn: asked.conn,
        principal: Arc::clone(&asked.principal),
        node: asked.node,
        version,
        plan,
        min_bytes: u64::try_from(request.min_bytes).unwrap_or(0).min(max_bytes as u64),
        max_bytes,
        read_committed: request.isolation_level == READ_COMMITTED,
        rack: (cluster.config.follower_fetching && version >= TELLS_RACK).then(|| request.rack_id.clone()),
        forced,
    };
    if fetching.is_due(cluster, now) {
        return fetching.answer(cluster, now).into();
    }
    cluster.waiting.insert(asked.conn, fetching);
    Outcome::Held
}

/// Answers those that need not wait any more.
pub(crate) fn retry(cluster: &mut Cluster, now: Now) -> Vec<(ConnId, Response)> {
    let waiting = std::mem::take(&mut cluster.waiting);
    let mut answers = Vec::new();
    for (conn, fetching) in waiting {
        if fetching.is_due(cluster, now) {
            answers.push((fetching.conn, fetching.answer(cluster, now).into()));
        } else {
            cluster.waiting.insert(conn, fetching);
        }
    }
    answers
}

/// The first records in a response.
pub(crate) fn first_records(response: &mut FetchResponse) -> Option<&mut RecordData> {
    let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
    partitions.filter_map(|partition| partition.records.as_mut()).find(|records| !records.is_empty())
}

impl Fetching {
    /// Whether there is enough to read, an error to tell, or nothing to wait for.
    fn is_due(&self, cluster: &mut Cluster, now: Now) -> bool {
        if self.until <= now.mono || self.min_bytes == 0 || self.forced.is_some() {
            return true;
        }
        let near = self.near(cluster);
        let parts = match &self.plan {
            Plan::Full { parts, .. } => parts.as_slice(),
            Plan::Incremental(id) => {
                let sessions = cluster.nodes.find_mut(self.node).map(|node| &mut node.sessions);
                match sessions.and_then(|sessions| sessions.find(*id)) {
                    Some(session) => &session.parts,
                    None => return true,
                }
            }
        };
        let (mut bytes, mut known) = (0, false);
        for part in parts {
            // What does not exist is an error too, but no news: it waits, as in Kafka.
            let topic = cluster.topics.by_key(&part.topic);
            let Some(partition) = topic.and_then(|topic| topic.partition(part.index)) else { continue };
            known = true;
            if self.check(&cluster.config, &cluster.topics, part).is_err() {
                return true;
            }
            let log = &partition.log;
            if self.check_replica(partition, part).is_err()
                || !(log.start_offset()..=partition.end_of(self.node)).contains(&part.fetch_offset)
                || !matches!(diverging(partition, part), Ok(None))
                || self.nearest(partition, part, &near).is_some()
            {
                return true;
            }
            let readable = partition.readable_end(self.read_committed, cluster.plot);
            let end = readable.min(partition.end_of(self.node));
            if part.fetch_offset > end && !log.is_same_batch(part.fetch_offset, end) {
                // As Kafka has it: nobody waits for what lies behind a batch that is not stable.
                return true;
            }
            bytes += log.bytes_between(part.fetch_offset, end).min(part.max_bytes as u64);
            if bytes >= self.min_bytes {
                return true;
            }
        }
        !known
    }

    /// The running brokers in the client's rack.
    fn near(&self, cluster: &Cluster) -> Vec<i32> {
        self.rack.as_ref().filter(|rack| !rack.is_empty()).map_or_else(Vec::new, |rack| cluster.near(rack))
    }

    /// The follower that the client is to read from in the leader's stead.
    fn nearest(&self, partition: &Partition, part: &FetchPart, near: &[i32]) -> Option<i32> {
        (partition.leader == self.node).then(|| partition.nearest(near, part.fetch_offset)).flatten()
    }

    /// Whether the broker serves the partition, as its leader or as a follower.
    fn check_replica(&self, partition: &Partition, part: &FetchPart) -> Result<(), ErrorCode> {
        match self.rack {
            Some(_) => partition.check_replica(self.node, part.leader_epoch),
            None => partition.check_leader(self.node, part.leader_epoch),
        }
    }

    /// Whether the client may read this. What does not exist may be read, by id; by name it is forbidden as if it did.
    fn check(&self, config: &Config, topics: &Topics, part: &FetchPart) -> Result<(), ErrorCode> {
        let name = match &part.topic {
            TopicKey::Name(name) => Some(&**name),
            TopicKey::Id(id) => topics.name_of(*id),
        };
        name.map_or(Ok(()), |name| config.check_topic(&self.principal, Operation::Read, name))
    }

    fn answer(self, cluster: &mut Cluster, now: Now) -> FetchResponse {
        let (plot, near) = (cluster.plot, self.near(cluster));
        let Cluster { nodes, topics, rng, config, .. } = cluster;
        let Some(node) = nodes.find_mut(self.node) else { return FetchResponse::default() };
        let mut response = FetchResponse::default();
        match self.plan {
            Plan::Full { ref parts, opens } => {
                let mut parts = parts.clone();
                self.read(config, topics, (plot, &near), &mut parts, false, &mut response);
                if opens {
                    let by_id = self.version >= BY_ID;
                    let limit = config.max_fetch_sessions;
                    response.session_id = node.sessions.open(parts, by_id, limit, rng, now.mono);
                }
            }
            Plan::Incremental(id) => {
                let Some(session) = node.sessions.find(id) else {
                    let error_code = ErrorCode::FetchSessionIdNotFound;
                    return FetchResponse { error_code, ..Default::default() };
                };
                response.session_id = id;
                self.read(config, topics, (plot, &near), &mut session.parts, true, &mut response);
            }
        }
        if self.version >= NAMES_LEADER {
            name_leaders(cluster, &mut response);
        }
        response
    }

    /// Reads every partition; with `only_news`, those that have nothing new are left out, and those that returned
    /// records are read last the next time, so that none starves.
    fn read(
        &self,
        config: &Config,
        topics: &Topics,
        (plot, near): (Plot, &[i32]),
        parts: &mut Vec<FetchPart>,
        only_news: bool,
        response: &mut FetchResponse,
    ) {
        let mut left = self.max_bytes;
        let mut fresh = true;
        let mut last: Option<(usize, &FetchPart)> = None;
        let mut read = Vec::new();
        for (at, part) in parts.iter_mut().enumerate() {
            let answer = self.read_part(config, topics, (plot, near), part, left, fresh);
            let size = answer.records.as_ref().map_or(0, RecordData::len);
            fresh &= size == 0;
            left = left.saturating_sub(size);
            if size > 0 {
                read.push(at);
            }
            if !part.tell(&answer) && only_news {
                continue;
            }
            let part = &*part;
            if let (Some((_, before)), Some(topic)) = (last, response.responses.last_mut())
                && before.topic == part.topic
            {
                topic.partitions.push(answer);
            } else {
                let (topic, topic_id) = part.topic.fields();
                response.responses.push(FetchTopicResponse { topic, topic_id, partitions: vec![answer] });
            }
            last = Some((at, part));
        }
        if only_news && !read.is_empty() {
            let mut at = 0;
            let (done, mut rest): (Vec<_>, Vec<_>) = std::mem::take(parts).into_iter().partition(|_| {
                at += 1;
                read.binary_search(&(at - 1)).is_ok()
            });
            rest.extend(done);
            *parts = rest;
        }
    }

    fn read_part(
        &self,
        config: &Config,
        topics: &Topics,
        (plot, near): (Plot, &[i32]),
        part: &FetchPart,
        left: usize,
        fresh: bool,
    ) -> FetchPartitionResponse {
        let failed = |error_code| FetchPartitionResponse {
            partition_index: part.index,
            error_code,
            high_watermark: -1,
            records: Some(RecordData::default()),
            ..Default::default()
        };
        if let Some(code) = self.forced.and_then(|forced| forced.of(part.index)) {
            return failed(code);
        }
        if let Err(code) = self.check(config, topics, part) {
            return failed(code);
        }
        let Some(topic) = topics.by_key(&part.topic) else { return failed(part.topic.unknown()) };
        let Some(partition) = topic.partition(part.index) else {
            return failed(ErrorCode::UnknownTopicOrPartition);
        };
        if let Err(code) = self.check_replica(partition, part) {
            let current_leader =
                FetchLeaderIdAndEpoch { leader_id: partition.leader, leader_epoch: partition.leader_epoch };
            let names = self.version >= NAMES_LEADER && code != ErrorCode::UnknownLeaderEpoch;
            return if names {
                FetchPartitionResponse { current_leader, ..failed(code) }
            } else {
                failed(code)
            };
        }
        let log = &partition.log;
        let (start, end) = (log.start_offset(), partition.end_of(self.node));
        let last_stable_offset = partition.last_stable_offset(plot).min(end);
        let diverging_epoch = match diverging(partition, part) {
            Ok(diverging_epoch) => diverging_epoch,
            Err(code) => return failed(code),
        };
        if let Some(diverging_epoch) = diverging_epoch {
            return FetchPartitionResponse {
                partition_index: part.index,
                high_watermark: end,
                last_stable_offset,
                log_start_offset: start,
                diverging_epoch,
                records: Some(RecordData::default()),
                ..Default::default()
            };
        }
        if !(start..=end).contains(&part.fetch_offset) {
            return failed(ErrorCode::OffsetOutOfRange);
        }
        let readable = partition.readable_end(self.read_committed, plot).min(end);
        if let Some(preferred_read_replica) = self.nearest(partition, part, near) {
            return FetchPartitionResponse {
                partition_index: part.index,
                high_watermark: end,
                last_stable_offset,
                log_start_offset: start,
                preferred_read_replica,
                aborted_transactions: self.read_committed.then(Vec::new),
                records: Some(RecordData::default()),
                ..Default::default()
            };
        }
        let max_bytes = left.min(part.max_bytes);
        FetchPartitionResponse {
            partition_index: part.index,
            high_watermark: end,
            last_stable_offset,
            log_start_offset: start,
            aborted_transactions: self.read_committed.then(|| match part.fetch_offset < readable {
                true => partition.isolation.aborted_since(part.fetch_offset),
                false => Vec::new(),
            }),
            records: Some(RecordData::Owned(log.read(part.fetch_offset, readable, max_bytes, fresh))),
            ..Default::default()
        }
    }
}

/// Where the log parts from what the client has read, by the epoch of its last record (KIP-595).
fn diverging(partition: &Partition, part: &FetchPart) -> Result<Option<FetchEpochEndOffset>, ErrorCode> {
    if part.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let (log, asked) = (&partition.log, part.last_fetched_epoch);
    let end = partition.leader_epochs.end_of(asked, log.end_offset());
    let (epoch, end_offset) = end.ok_or(ErrorCode::OffsetOutOfRange)?;
    let is_cut = epoch < asked || end_offset < part.fetch_offset;
    Ok((is_cut && part.fetch_offset >= log.start_offset())
        .then_some(FetchEpochEndOffset { epoch, end_offset }))
}

fn name_leaders(cluster: &Cluster, response: &mut FetchResponse) {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let mut leaders: Vec<i32> = partitions.map(|partition| partition.current_leader.leader_id).collect();
    leaders.sort_unstable();
    leaders.dedup();
    for node_id in leaders {
        if let Some(node) = cluster.nodes.find_up(node_id) {
            let (host, port, rack) = (node.host.clone(), node.port.into(), Some(node.rack.clone()));
            response.node_endpoints.push(FetchNodeEndpoint { node_id, host, port, rack });
        }
    }
}
