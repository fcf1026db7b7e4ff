//! The producer's requests with batches: which of them go to which leader, and together.

use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, Now, TopicId,
    codec::RecordData,
    messages::{ProducePartitionData, ProduceRequest, ProduceTopicData},
};

use super::{
    Batch, PartitionQueue, Producer, SendFailure, Transactions, accumulator::PieceId,
    idempotence::IdentityState, machine::Pending, transactions::Flow,
};
use crate::{
    cause::Cause,
    connections::{Kind, RefusedConnection, Target},
    ids::NodeId,
    planted::Planted,
};

/// The first version in which a topic bears its id instead of its name.
const TOPIC_IDS_SINCE: i16 = 13;
/// The first version by which a broker adds a partition to the transaction by itself (KIP-890).
const ADDS_BY_ITSELF_SINCE: i16 = 12;

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) node: NodeId,
    /// The topics by their ids, by which the answer may name them.
    pub(super) ids: BTreeMap<TopicId, usize>,
    /// By topic and partition.
    pub(super) parts: BTreeMap<(usize, i32), Part>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) queue: usize,
    pub(super) batch: PieceId,
}

impl<F> Producer<F> {
    pub(super) fn send_batches(&mut self, now: Now) {
        self.filled = 0;
        let identity = self.identity.known();
        if identity.is_none() && self.identity != IdentityState::Absent {
            return;
        }
        let mut by_leader: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        let first = self.active.range(self.next_first..).chain(self.active.range(..self.next_first));
        let transactions = self.transactions.as_ref();
        for index in first.filter(|index| transactions.is_none_or(|open| open.admits(**index, now))) {
            let Some(queue) = self.queues.get_mut(*index) else { continue };
            if let Some(identity) = identity {
                queue.adopt(identity);
            }
            if self.plot.has(Planted::FirstBatchIsNotAlone) {
                queue.set_known();
            }
            if let Some(leader) = self.queues.get(*index).and_then(|queue| self.leader_of(queue)) {
                by_leader.entry(leader).or_default().push(*index);
            }
        }
        // Who has nothing to take may get something again.
        self.stalled.retain(|leader, _| by_leader.contains_key(leader));
        for (leader, queues) in by_leader {
            let mut takes = false;
            while self.in_flight_to(leader) < self.config.max_in_flight {
                let holds = self.holds(leader, &queues, now);
                takes |= holds;
                if holds || !self.send_to(leader, &queues, now) {
                    break;
                }
                takes = true;
            }
            if !self.config.availability_timeout.is_zero() {
                if !takes && queues.iter().any(|queue| self.is_waiting(*queue, now)) {
                    self.stalled.entry(leader).or_insert(now.mono);
                } else {
                    self.stalled.remove(&leader);
                }
            }
        }
    }

    pub(super) fn leader_of(&self, queue: &PartitionQueue) -> Option<NodeId> {
        let topic = self.hub.metadata.topic(&self.topics.get(queue.topic)?.name)?;
        topic.partitions.get(&queue.partition)?.leader
    }

    pub(super) fn fail_refused(&mut self, queues: Vec<usize>, refused: &RefusedConnection, now: Now) {
        self.fail_queues(queues, |at| SendFailure::Connection { topic: at.topic, refused: refused.clone() });
        self.hub.connections.forgive(now);
    }

    pub(super) fn in_flight_to(&self, node: NodeId) -> usize {
        let goes_there = |pending: &&Pending| matches!(pending, Pending::Batches(sent) if sent.node == node);
        self.hub.expected().filter(goes_there).count()
    }

    /// Sends one request, with at most one batch of each partition. Returns `false` where there is nothing to send,
    /// or no connection is ready.
    fn send_to(&mut self, leader: NodeId, queues: &[usize], now: Now) -> bool {
        let sendable = |queue: &usize| self.is_sendable(*queue, leader, now);
        let queues: Vec<usize> = queues.iter().copied().filter(sendable).collect();
        if queues.is_empty() {
            return false;
        }
        if !self.hub.metadata.node_ready(leader, Kind::Produce, &mut self.hub.connections, now) {
            let refused = self.hub.connections.refusal(Target::Node(leader), Kind::Produce, now);
            if let Some(refused) = refused {
                self.fail_refused(queues, &refused, now);
            }
            return false;
        }
        let id_of = |topic: usize| {
            let topic = self.topics.get(topic).and_then(|topic| self.hub.metadata.topic(&topic.name));
            topic.map_or(TopicId::ZERO, |topic| topic.id)
        };
        let topic_of = |queue: &usize| self.queues.get(*queue).map(|queue| (queue.topic, id_of(queue.topic)));
        let ids: BTreeMap<usize, TopicId> = queues.iter().filter_map(topic_of).collect();
        let all_known = ids.values().all(|id| *id != TopicId::ZERO);
        let limit = match self.transactions.as_ref().map(Transactions::flow) {
            Some(Flow::Explicit) => ADDS_BY_ITSELF_SINCE - 1,
            _ if all_known => i16::MAX,
            _ => TOPIC_IDS_SINCE - 1,
        };
        let target = Target::Node(leader);
        let version = match self.hub.connections.version(target, Kind::Produce, ApiKey::Produce, limit) {
            Ok(version) => version,
            Err(unsupported) => {
                // The leader speaks no version that will do, so the batches that would go there fail.
                let cause = Cause::Unsupported(unsupported.0);
                self.fail_queues(queues, |at| SendFailure::Unsupported { at, cause: cause.clone() });
                return false;
            }
        };
        let (parts, topics) = self.pack(leader, &queues, now);
        let topic_data = topics
            .into_iter()
            .map(|(topic, partition_data)| ProduceTopicData {
                name: self.topics.get(topic).map(|topic| topic.name.clone()).unwrap_or_default(),
                topic_id: ids.get(&topic).copied().unwrap_or_default(),
                partition_data,
            })
            .collect();
        let timeout_ms = self.config.connections.request_timeout.as_millis().try_into().unwrap_or(i32::MAX);
        let transactional_id = self.transactions.as_mut().map(|open| {
            open.touch();
            open.id().to_owned()
        });
        let acks = self.config.acks.to_wire();
        let request = ProduceRequest { transactional_id, acks, timeout_ms, topic_data };
        let ids = ids.into_iter().map(|(topic, id)| (id, topic)).collect();
        let sent = Pending::Batches(Sent { node: leader, ids, parts });
        self.hub.send((target, Kind::Produce), version, request, sent, now);
        true
    }

    fn is_sendable(&self, queue: usize, leader: NodeId, now: Now) -> bool {
        self.queues.get(queue).is_some_and(|queue| self.sendable_of(queue, leader, now).is_some())
    }

    fn sendable_of(&self, queue: &PartitionQueue, leader: NodeId, now: Now) -> Option<PieceId> {
        queue.sendable(leader, now.mono, |batch| self.is_ready(batch, now)).map(Batch::piece)
    }

    /// Takes the next batch of each queue, as many as a request may hold.
    #[expect(clippy::type_complexity, reason = "two halves of one list, each used once")]
    fn pack(
        &mut self,
        leader: NodeId,
        queues: &[usize],
        now: Now,
    ) -> (BTreeMap<(usize, i32), Part>, BTreeMap<usize, Vec<ProducePartitionData>>) {
        let (mut parts, mut topics) = (BTreeMap::new(), BTreeMap::<usize, Vec<_>>::new());
        let mut size = 0;
        for index in queues {
            let Some(batch) = self.queues.get(*index).and_then(|queue| self.sendable_of(queue, leader, now))
            else {
                continue;
            };
            self.fit(Part { queue: *index, batch });
            let Some(queue) = self.queues.get_mut(*index) else { continue };
            size += queue.batch(batch).map_or(0, |batch| batch.size());
            if !parts.is_empty() && size > self.config.max_request_size {
                self.next_first = *index;
                break;
            }
            let Some(records) = queue.send(batch, leader, self.plot) else { continue };
            let records = Some(RecordData::Closed(records));
            let (topic, index_in_topic) = (queue.topic, queue.partition);
            parts.insert((topic, index_in_topic), Part { queue: *index, batch });
            topics.entry(topic).or_default().push(ProducePartitionData { index: index_in_topic, records });
        }
        (parts, topics)
    }
}
