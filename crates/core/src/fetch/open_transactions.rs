//! Whose transactions hold partitions back from readers of what is committed: asked of the leaders by DescribeProducers (KIP-664),
//! for `explain()` to tell. Nothing else depends on it, so a question that is refused or not answered is only asked again later.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, Now, Timestamp,
    messages::{DescribeProducersRequest, DescribeProducersResponse, DescribeProducersTopic},
};

use crate::{
    connections::{Connections, Kind, Target},
    ids::{LaneEpoch, NodeId, PartIdx, RequestId, TopicPartition},
    lanes::{FetchState, Lane, Lanes},
    metadata::Metadata,
};

/// How often all partitions are looked at, and how long one is held back before its leader is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer, or the want of one, is kept.
const AGAIN: Duration = Duration::from_secs(5);

/// A transaction that holds a partition back, as its leader tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OpenTransaction {
    /// Whose it is: the id that a coordinator gave to the producer.
    pub producer_id: i64,
    /// The offset of its first record in this partition.
    pub since_offset: i64,
    /// For how long it has held this consumer back. It has been open for longer: no leader tells when a transaction began.
    pub waited: Duration,
    /// The time of its newest record in this partition; `None` where the leader does not know it.
    pub last_written: Option<Timestamp>,
}

/// The partitions that are held back, and the questions that are not answered yet, one a leader.
#[derive(Debug, Default)]
pub(super) struct OpenTransactions {
    looked: Option<Instant>,
    held: BTreeMap<PartIdx, Held>,
    asked: BTreeMap<NodeId, (RequestId, BTreeMap<TopicPartition, PartIdx>)>,
}

#[derive(Debug)]
struct Held {
    /// What it stands at: another position or reading is another stay.
    at: (LaneEpoch, i64),
    since: Instant,
    asked: Option<Instant>,
    by: Option<OpenTransaction>,
}

impl OpenTransactions {
    /// Asks the leaders of partitions that are held back for a while.
    pub(super) fn poll_send<F>(
        &mut self,
        lanes: &Lanes<F>,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<(RequestId, NodeId)> {
        // A partition that is held back is fetched from all the time: there is no need of a deadline to look again.
        if self.looked.is_some_and(|looked| now.mono.saturating_duration_since(looked) < LOOK) {
            return Vec::new();
        }
        self.looked = Some(now.mono);
        self.look(lanes, now);
        let mut due: BTreeMap<NodeId, BTreeMap<TopicPartition, PartIdx>> = BTreeMap::new();
        for (part, held) in &self.held {
            let past = |since, time| now.mono.saturating_duration_since(since) >= time;
            if !past(held.since, LOOK) || held.asked.is_some_and(|asked| !past(asked, AGAIN)) {
                continue;
            }
            let Some(lane) = lanes.get(*part) else { continue };
            if let Some(leader) = metadata.partition(&lane.at).and_then(|partition| partition.leader) {
                due.entry(leader).or_default().insert((*lane.at).clone(), *part);
            }
        }
        due.into_iter()
            .filter_map(|(node, parts)| self.ask(node, parts, metadata, connections, now))
            .collect()
    }

    fn look<F>(&mut self, lanes: &Lanes<F>, now: Now) {
        let mut before = std::mem::take(&mut self.held);
        for (part, lane) in lanes.assigned().filter(|(_, lane)| is_held(lane)) {
            let at = (lane.epoch, lane.fetch_at);
            let same = before.remove(&part).filter(|held| held.at == at);
            let new = || Held { at, since: now.mono, asked: None, by: None };
            self.held.insert(part, same.unwrap_or_else(new));
        }
    }

    fn ask(
        &mut self,
        node: NodeId,
        parts: BTreeMap<TopicPartition, PartIdx>,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<(RequestId, NodeId)> {
        if self.asked.contains_key(&node) || !metadata.node_ready(node, Kind::Main, connections, now) {
            return None;
        }
        let target = Target::Node(node);
        let version = connections.version(target, Kind::Main, ApiKey::DescribeProducers, i16::MAX).ok()?;
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (at, part) in &parts {
            topics.entry(&at.topic).or_default().push(at.partition);
            if let Some(held) = self.held.get_mut(part) {
                held.asked = Some(now.mono);
            }
        }
        let topic = |(name, partition_indexes): (&str, _)| DescribeProducersTopic {
            name: name.to_owned(),
            partition_indexes,
        };
        let request = DescribeProducersRequest { topics: topics.into_iter().map(topic).collect() };
        let id = connections.send(target, Kind::Main, version, request, None, now);
        self.asked.insert(node, (id, parts));
        Some((id, node))
    }

    /// Takes a leader's answer. Who may not read it from the leader, or asked another broker than the leader, is told nothing.
    pub(super) fn handle_response(
        &mut self,
        node: NodeId,
        id: RequestId,
        response: DescribeProducersResponse,
    ) {
        let Some(parts) = self.take(node, id) else { return };
        for topic in response.topics {
            for partition in topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let held = parts.get(&at).and_then(|part| self.held.get_mut(part));
                let Some(held) = held else { continue };
                let open =
                    partition.active_producers.iter().filter(|state| state.current_txn_start_offset >= 0);
                // The oldest is the one at which the stable part of the log ends.
                let oldest = open.min_by_key(|state| state.current_txn_start_offset);
                held.by = oldest.map(|state| OpenTransaction {
                    producer_id: state.producer_id,
                    since_offset: state.current_txn_start_offset,
                    waited: Duration::ZERO,
                    last_written: Some(Timestamp(state.last_timestamp)).filter(|time| time.0 >= 0),
                });
            }
        }
    }

    pub(super) fn handle_unanswered(&mut self, node: NodeId, id: RequestId) {
        self.take(node, id);
    }

    /// Whose transaction holds this partition back, as far as that is known.
    pub(super) fn by<F>(&self, part: PartIdx, lane: &Lane<F>, now: Now) -> Option<OpenTransaction> {
        let held = self.held.get(&part).filter(|held| held.at == (lane.epoch, lane.fetch_at))?;
        let waited = now.mono.saturating_duration_since(held.since);
        held.by.map(|by| OpenTransaction { waited, ..by })
    }

    fn take(&mut self, node: NodeId, id: RequestId) -> Option<BTreeMap<TopicPartition, PartIdx>> {
        self.asked.get(&node).filter(|(asked, _)| *asked == id)?;
        self.asked.remove(&node).map(|(_, parts)| parts)
    }
}

/// Whether all that is stable is fetched, and a transaction is open behind it. A paused partition is nobody's concern.
fn is_held<F>(lane: &Lane<F>) -> bool {
    let reads = lane.phase().is_assigned() && lane.state == FetchState::Fetching && !lane.paused;
    reads && lane.held_back().is_some()
}
