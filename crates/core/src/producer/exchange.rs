//! The producer's requests, for metadata, for an identity and with batches, and how it takes the answers.

use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Response, TopicId,
    codec::RecordData,
    messages::{
        InitProducerIdRequest, InitProducerIdResponse, ProduceNodeEndpoint, ProducePartitionData,
        ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopicData,
    },
};

use super::{
    Acked, BatchId, Producer, SendFailure,
    idempotence::{Identity, IdentityState},
    transactions::{Ask, CONCURRENT, Flow, OffsetsSent},
};
use crate::{
    cause::Cause,
    connections::{Address, Kind, RefusedConnection, SetupStage, Target},
    disconnected::Disconnected,
    hub::Lost,
    ids::{ConnId, NodeId, RequestId},
    log::{self, refused},
    machine::{Machine, Outbound, Reply},
    planted::Planted,
    sasl::Done,
};

/// The first version in which a topic bears its id instead of its name.
const TOPIC_IDS_SINCE: i16 = 13;
/// The first version by which a broker adds a partition to the transaction by itself (KIP-890).
const ADDS_BY_ITSELF_SINCE: i16 = 12;

/// What a request was sent for.
#[derive(Debug)]
pub(super) enum Pending {
    /// An identity.
    Identity,
    /// To deliver batches.
    Batches(Sent),
    /// Which broker coordinates this group, or without one the producer's transactions.
    Coordinator(Option<String>),
    /// What the coordinator of transactions is asked.
    Transaction(Ask),
    /// Offsets of a transaction, to be taken.
    Offsets(OffsetsSent),
}

/// A Produce request on its way.
#[derive(Debug)]
pub(super) struct Sent {
    node: NodeId,
    /// The topics by their ids, by which the answer may name them.
    ids: BTreeMap<TopicId, usize>,
    /// By topic and partition.
    parts: BTreeMap<(usize, i32), Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    queue: usize,
    batch: BatchId,
}

impl<F> Producer<F> {
    fn advance(&mut self, now: Now) {
        // Sends that wait for their topic have to look.
        self.hub.wake_for_refusals(now);
        self.hub.poll_metadata(&self.wanted, now);
        match self.transactions {
            Some(_) => self.advance_transaction(now),
            None => self.ask_identity(now),
        }
        self.send_batches(now);
    }

    fn ask_identity(&mut self, now: Now) {
        if self.identity != IdentityState::Needed
            || !self.identity_attempts.is_due(now)
            || self.active.is_empty()
        {
            return;
        }
        let Some(target) = self.hub.metadata.any_ready(&mut self.hub.connections, now) else {
            if let Some(refused) = self.hub.refusal(now) {
                self.fail_refused(self.all_active(), &refused, now);
            }
            return;
        };
        match self.hub.connections.version(target, Kind::Main, ApiKey::InitProducerId, i16::MAX) {
            Ok(version) => {
                let request =
                    InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() };
                self.hub.send((target, Kind::Main), version, request, Pending::Identity, now);
                self.identity = IdentityState::Asked;
            }
            Err(unsupported) => {
                let cause = Cause::Unsupported(unsupported.0);
                self.fail_queues(self.all_active(), |at| SendFailure::Unsupported {
                    at,
                    cause: cause.clone(),
                });
            }
        }
    }

    fn handle_identity(&mut self, response: &InitProducerIdResponse, now: Now) {
        if response.error_code.is_ok() {
            let identity = Identity { id: response.producer_id, epoch: response.producer_epoch };
            self.identity = IdentityState::Known(identity);
            self.identity_attempts.reset();
            let Identity { id, epoch } = identity;
            tracing::info!(target: log::PRODUCER, producer_id = id, epoch, "identity obtained");
            return;
        }
        let error = response.error_code;
        if self.identity_attempts.is_first() {
            refused!(log::PRODUCER, ApiKey::InitProducerId, error);
        }
        self.retry_identity(Some(error), now);
        if !error.is_retriable() {
            self.fail_queues(self.all_active(), |_| SendFailure::Identity { error });
        }
    }

    fn retry_identity(&mut self, error: Option<ErrorCode>, now: Now) {
        self.identity_attempts.failed(error, now);
        self.identity = IdentityState::Needed;
    }

    fn send_batches(&mut self, now: Now) {
        let identity = self.identity.known();
        if identity.is_none() && self.identity != IdentityState::Absent {
            return;
        }
        let mut by_leader: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        let first = self.active.range(self.next_first..).chain(self.active.range(..self.next_first));
        let transactions = self.transactions.as_ref();
        for index in first.filter(|index| transactions.is_none_or(|open| open.admits(**index))) {
            let Some(queue) = self.queues.get_mut(*index) else { continue };
            if let Some(identity) = identity {
                queue.adopt(identity);
            }
            if self.plot.has(Planted::FirstBatchIsNotAlone) {
                queue.set_known();
            }
            let Some(topic) = self.topics.get(queue.topic) else { continue };
            let partition =
                self.hub.metadata.topic(&topic.name).and_then(|topic| topic.partitions.get(&queue.partition));
            if let Some(leader) = partition.and_then(|partition| partition.leader) {
                by_leader.entry(leader).or_default().push(*index);
            }
        }
        // Who has nothing to take may get something again.
        self.stalled.retain(|leader, _| by_leader.contains_key(leader));
        for (leader, queues) in by_leader {
            let mut takes = false;
            while self.in_flight_to(leader) < self.config.max_in_flight && self.send_to(leader, &queues, now)
            {
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

    fn fail_refused(&mut self, queues: Vec<usize>, refused: &RefusedConnection, now: Now) {
        self.fail_queues(queues, |at| SendFailure::Connection { topic: at.topic, refused: refused.clone() });
        self.hub.connections.forgive(now);
    }

    fn in_flight_to(&self, node: NodeId) -> usize {
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
        let limit = match self.transactions.as_ref().map(super::Transactions::flow) {
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

    fn sendable_of(&self, queue: &super::PartitionQueue, leader: NodeId, now: Now) -> Option<BatchId> {
        queue.sendable(leader, now.mono, |batch| self.is_ready(batch, now)).map(|batch| batch.id)
    }

    /// Whether a batch waits for no more records.
    fn is_ready(&self, batch: &super::Batch, now: Now) -> bool {
        let hurry = self.starved || self.closing.is_some();
        let aged = batch.created + self.config.linger <= now.mono;
        batch.closed || hurry || aged || batch.id <= self.flush_upto
    }

    /// Whether a batch that waits for no more records waits for its leader.
    fn is_waiting(&self, queue: usize, now: Now) -> bool {
        let first =
            self.queues.get(queue).and_then(|queue| queue.batches.iter().find(|batch| !batch.in_flight));
        first.is_some_and(|batch| self.is_ready(batch, now))
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
            let Some(queue) = self.queues.get_mut(*index) else { continue };
            size += queue.batch(batch).map_or(0, |batch| batch.builder.size_estimate());
            if !parts.is_empty() && size > self.config.max_request_size {
                self.next_first = *index;
                break;
            }
            let compressor = &mut self.compressor;
            let Some(bytes) = queue.send(batch, leader, self.plot, |builder| builder.finish(compressor))
            else {
                continue;
            };
            let records = Some(RecordData::Owned(bytes));
            let (topic, index_in_topic) = (queue.topic, queue.partition);
            parts.insert((topic, index_in_topic), Part { queue: *index, batch });
            topics.entry(topic).or_default().push(ProducePartitionData { index: index_in_topic, records });
        }
        (parts, topics)
    }

    fn handle_produce(&mut self, mut sent: Sent, response: ProduceResponse, now: Now) {
        for topic in response.responses {
            let index = match topic.name.is_empty() {
                true => sent.ids.get(&topic.topic_id),
                false => self.by_name.get(&topic.name),
            };
            let Some(index) = index.copied() else { continue };
            for answer in topic.partition_responses {
                if let Some(part) = sent.parts.remove(&(index, answer.index)) {
                    self.handle_answer(part, answer, sent.node, &response.node_endpoints, now);
                }
            }
        }
        let left_out = Cause::Broker {
            address: self.hub.metadata.address(sent.node).cloned(),
            error: ErrorCode::UnknownServerError,
        };
        for part in sent.parts.into_values() {
            self.again(part, left_out.clone(), Some(now));
        }
    }

    fn handle_answer(
        &mut self,
        part: Part,
        answer: ProducePartitionResponse,
        node: NodeId,
        endpoints: &[ProduceNodeEndpoint],
        now: Now,
    ) {
        let error = answer.error_code;
        // Where the answer tells the new leader, there is no need to wait before that one is asked.
        let told = error.is_stale_metadata() && self.learn_leader(part, &answer, endpoints);
        let back_off = Some(now).filter(|_| !told);
        let cause = Cause::Broker { address: self.hub.metadata.address(node).cloned(), error };
        match error {
            // `DuplicateSequenceNumber`: the batch was appended at an earlier attempt, whose answer was lost.
            ErrorCode::None | ErrorCode::DuplicateSequenceNumber => {
                let some = |value: i64| Some(value).filter(|value| *value >= 0);
                let acked = Acked {
                    base_offset: some(answer.base_offset),
                    log_append_time: some(answer.log_append_time_ms),
                };
                self.landed(part);
                if let Some(transactions) = &mut self.transactions {
                    transactions.landed();
                }
                if let Some(queue) = self.queues.get_mut(part.queue) {
                    queue.set_known();
                }
                self.finish(part, Ok(acked));
            }
            // A batch behind one that failed is expected to be refused in this way. If the first batch is, the broker
            // has forgotten this producer, or lost records that it acknowledged, and the sequence starts anew.
            // A transaction has no second identity, so it fails.
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId
                if self.transactions.is_none() || !self.is_first(part) =>
            {
                if self.is_first(part)
                    && let Some(queue) = self.queues.get_mut(part.queue)
                {
                    let stale = queue.break_sequence();
                    self.leave_identity(stale);
                }
                self.again(part, cause, back_off);
            }
            error if error.is_retriable() => self.again(part, cause, back_off),
            error => {
                self.landed(part);
                let Some(at) = self.name_of(part.queue) else { return };
                self.finish(part, Err(SendFailure::Refused { at, error, message: answer.error_message }));
            }
        }
    }

    /// Takes over the new leader from the answer (KIP-951). Returns `false` where the answer tells none, and
    /// metadata has to.
    fn learn_leader(
        &mut self,
        part: Part,
        answer: &ProducePartitionResponse,
        endpoints: &[ProduceNodeEndpoint],
    ) -> bool {
        let leader = &answer.current_leader;
        if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.node_id == leader.leader_id) {
            self.hub.metadata.learn_endpoint(endpoint.node_id, &endpoint.host, endpoint.port);
        }
        let Some(at) = self.name_of(part.queue) else { return false };
        let told = self.hub.metadata.learn_leader(&at, NodeId(leader.leader_id), leader.leader_epoch);
        if !told {
            self.hub.metadata.request_update();
        }
        told
    }

    /// Batches that no broker acknowledges were written.
    fn sent_unanswered(&mut self, sent: Sent) {
        for part in sent.parts.into_values() {
            self.landed(part);
            self.finish(part, Ok(Acked { base_offset: None, log_append_time: None }));
        }
    }

    /// Whether no batch of the partition stands before this one.
    fn is_first(&self, part: Part) -> bool {
        self.queues.get(part.queue).is_some_and(|queue| queue.is_first(part.batch))
    }

    /// A request with a batch of this queue is answered, or will never be.
    fn landed(&mut self, part: Part) {
        if let Some(queue) = self.queues.get_mut(part.queue) {
            queue.in_flight = queue.in_flight.saturating_sub(1);
        }
    }

    /// The batch is to be sent again, unless it was given up meanwhile, or was sent often enough.
    fn again(&mut self, part: Part, cause: Cause, back_off: Option<Now>) {
        self.landed(part);
        self.tell_refused(part, &cause);
        let at = self.name_of(part.queue);
        let Some(queue) = self.queues.get_mut(part.queue) else { return };
        let Some(batch) = queue.batch(part.batch) else { return };
        batch.in_flight = false;
        let backoff = match cause {
            Cause::Broker { error: ErrorCode::ConcurrentTransactions, .. } => CONCURRENT,
            _ if batch.attempts > self.config.retries
                && let Some(at) = at =>
            {
                let failure = SendFailure::RetriesExhausted { at, attempts: batch.attempts, cause };
                return self.finish(part, Err(failure));
            }
            _ => self.config.retry_backoff,
        };
        batch.cause = Some(cause);
        let wait = backoff.after(batch.attempts, &mut self.rng);
        // Batches behind one that failed are refused, too, a moment later. The first batch sets the time of the retry.
        if queue.is_first(part.batch) {
            queue.retry_at = back_off.map(|now| now.mono + wait);
        }
    }

    /// Tells the log of a refused batch, once, however often it is sent.
    fn tell_refused(&self, part: Part, cause: &Cause) {
        let Cause::Broker { address: Some(address), error } = cause else { return };
        let Some(queue) = self.queues.get(part.queue) else { return };
        let first = queue.batches.front().filter(|first| first.id == part.batch);
        if *error != ErrorCode::ConcurrentTransactions
            && let Some(at) = self.name_of(part.queue)
            && first.is_some_and(|first| first.cause.as_ref() != Some(cause))
        {
            refused!(log::PRODUCER, ApiKey::Produce, error, partition = %at, %address);
        }
    }

    fn finish(&mut self, part: Part, result: Result<Acked, SendFailure>) {
        self.tell_given_up(part, result.as_ref().err());
        let Some(queue) = self.queues.get_mut(part.queue) else { return };
        let Some(batch) = queue.remove(part.batch) else { return };
        if result.is_err() && batch.sequence.is_some() {
            let stale = queue.break_sequence();
            self.leave_identity(stale);
        }
        let Some(queue) = self.queues.get_mut(part.queue) else { return };
        if queue.batches.is_empty() {
            self.active.remove(&part.queue);
        }
        self.decide(&batch, result);
    }

    /// Tells the log when batches of a partition begin to be given up, and when one is delivered again.
    fn tell_given_up(&mut self, part: Part, failure: Option<&SendFailure>) {
        let Some(queue) = self.queues.get_mut(part.queue) else { return };
        let before = std::mem::replace(&mut queue.gives_up, failure.is_some());
        match failure {
            Some(why) if !before => {
                let records = queue.batch(part.batch).map(|batch| batch.builder.count());
                tracing::error!(target: log::PRODUCER, records, %why, "batch given up");
            }
            None if before => {
                let at = self.name_of(part.queue).map(tracing::field::display);
                tracing::info!(target: log::PRODUCER, partition = at, "delivering again");
            }
            _ => {}
        }
    }

    fn handle_lost(&mut self, lost: Vec<Lost<Pending>>, now: Now) {
        for Lost { purpose, why, .. } in lost {
            match purpose {
                Pending::Identity => self.retry_identity(None, now),
                Pending::Coordinator(group) => self.coordinator_unanswered(group.as_deref(), now),
                Pending::Transaction(ask) => self.transaction_unanswered(&ask, now),
                Pending::Offsets(sent) => self.offsets_unanswered(&sent, now),
                Pending::Batches(sent) => {
                    self.hub.metadata.request_update();
                    let address = self.hub.metadata.address(sent.node).cloned();
                    let cause = match address {
                        Some(address) => Cause::Connection { address, why },
                        None => Cause::Broker { address: None, error: ErrorCode::NetworkException },
                    };
                    for part in sent.parts.into_values() {
                        self.again(part, cause.clone(), Some(now));
                    }
                }
            }
        }
    }

    /// Gives up the batches that are too old.
    fn expire(&mut self, now: Now) {
        for queue in self.active.clone() {
            while let Some(front) = self.queues.get(queue).and_then(|queue| queue.batches.front())
                && front.created + self.config.delivery_timeout <= now.mono
                && let Some(at) = self.name_of(queue)
            {
                let (batch, waited, sent) = (front.id, self.config.delivery_timeout, front.attempts > 0);
                let cause = self.obstacle(queue, now);
                let failure = SendFailure::DeliveryTimeout { at, sent, waited, cause };
                self.finish(Part { queue, batch }, Err(failure));
            }
        }
    }

    /// The obstacles in the way of records that wait to be acknowledged, or to be taken. Empty where there are none.
    pub fn obstacles(&self, now: Now) -> Vec<Cause> {
        let mut obstacles: Vec<Cause> = Vec::new();
        let queued = self.active.iter().filter_map(|queue| self.obstacle(*queue, now));
        for cause in
            queued.chain(self.transaction_obstacle(now)).chain(Cause::of_metadata(&self.hub.metadata))
        {
            if !obstacles.contains(&cause) {
                obstacles.push(cause);
            }
        }
        obstacles
    }

    /// Why the first batch of a queue is not acknowledged.
    fn obstacle(&self, queue: usize, now: Now) -> Option<Cause> {
        let at = self.name_of(queue)?;
        let queue = self.queues.get(queue)?;
        if let Some(cause) = queue.batches.front().and_then(|batch| batch.cause.clone()) {
            return Some(cause);
        }
        match self.hub.metadata.partition(&at).and_then(|partition| partition.leader) {
            Some(leader) => {
                Cause::of_link(leader, Kind::Produce, &self.hub.metadata, &self.hub.connections, now.mono)
                    .or_else(|| Cause::of_metadata(&self.hub.metadata))
            }
            None => Some(Cause::NoLeader(at)),
        }
    }
}

impl<F> Machine for Producer<F> {
    type Frame = F;

    fn handle_connected(&mut self, conn: ConnId, now: Now) {
        self.hub.handle_connected(conn, now);
    }

    fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now) {
        let lost = self.hub.handle_disconnected(conn, why, now);
        self.handle_lost(lost, now);
    }

    fn handle_reply(&mut self, conn: ConnId, reply: Reply<F>, now: Now) {
        // Metadata that has come is not told here, and may have ended something all the same.
        if let Some((pending, reply)) = self.hub.handle_reply(conn, reply, now) {
            match (pending, reply.response) {
                (Pending::Identity, Response::InitProducerId(response)) => {
                    self.handle_identity(&response, now)
                }
                (Pending::Batches(sent), Response::Produce(response)) => {
                    self.handle_produce(sent, response, now)
                }
                (Pending::Coordinator(group), Response::FindCoordinator(response)) => {
                    self.handle_coordinator(group, response, now);
                }
                (Pending::Transaction(ask), response) => self.handle_transaction(ask, response, now),
                (Pending::Offsets(sent), Response::TxnOffsetCommit(response)) => {
                    self.handle_offsets(&sent, response, now);
                }
                _ => debug_assert!(false, "the answer is of another API than the request"),
            }
        }
        self.settle(now);
    }

    fn handle_written(&mut self, conn: ConnId, id: RequestId, now: Now) {
        if let Some(Pending::Batches(sent)) = self.hub.handle_written(conn, id, now) {
            self.sent_unanswered(sent);
        }
        self.settle(now);
    }

    fn handle_done(&mut self, conn: ConnId, done: Done, now: Now) {
        self.hub.handle_done(conn, done, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        let lost = self.hub.handle_timeout(now);
        self.handle_lost(lost, now);
        self.expire(now);
        self.expire_offsets(now);
        if self.blocked_until.is_some_and(|at| at <= now.mono) {
            self.blocked_until = None;
            self.hub.wake = true;
        }
        self.settle(now);
    }

    fn poll_send(&mut self, now: Now) -> Option<Outbound> {
        self.hub.poll_send(now).or_else(|| {
            self.settle(now);
            if !self.closed {
                self.advance(now);
            }
            self.hub.poll_send(now)
        })
    }

    fn poll_timeout(&self) -> Option<std::time::Instant> {
        let mut earliest = self.hub.deadlines();
        earliest.consider(self.blocked_until);
        earliest.consider(self.closing.filter(|_| !self.closed));
        if let Some(transactions) = &self.transactions {
            transactions.deadlines(&mut earliest);
        } else if self.identity == IdentityState::Needed {
            earliest.consider(self.identity_attempts.next());
        }
        for queue in self.active.iter().filter_map(|queue| self.queues.get(*queue)) {
            earliest.consider(queue.retry_at);
            if let Some(front) = queue.batches.front() {
                earliest.consider(front.created + self.config.delivery_timeout);
            }
            if let Some(last) = queue.batches.back().filter(|batch| !batch.closed) {
                earliest.consider(last.created + self.config.linger);
            }
        }
        earliest.get()
    }

    fn take_wake(&mut self) -> bool {
        self.hub.take_wake()
    }

    fn take_stir(&mut self) -> bool {
        self.hub.take_stir()
    }

    fn refusal(&self, now: Now) -> Option<RefusedConnection> {
        self.hub.refusal(now)
    }

    fn first_contact(&self, now: Now) -> Option<(Address, SetupStage)> {
        self.hub.metadata.first_contact(&self.hub.connections, now)
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}
