//! What answers to batches mean, and what becomes of batches without one.

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{ProduceNodeEndpoint, ProducePartitionResponse, ProduceResponse},
};

use super::{
    Acked, Producer, SendFailure,
    accumulator::Doubt,
    sending::{Part, Sent},
    splitting::appends_nothing,
    transactions::CONCURRENT,
};
use crate::{
    cause::Cause,
    disconnected::Disconnected,
    ids::NodeId,
    log::{self, refused},
    words,
};

impl<F> Producer<F> {
    pub(super) fn handle_produce(&mut self, mut sent: Sent, response: ProduceResponse, now: Now) {
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
            ErrorCode::OutOfOrderSequenceNumber if self.may_be_there_in_whole(part) => {
                self.landed(part);
                self.fail_pieces(part, &answer);
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
            ErrorCode::MessageTooLarge if self.is_divisible(part) => {
                self.landed(part);
                self.split_refused(part);
            }
            error if error.is_retriable() => self.again(part, cause, back_off),
            error => {
                self.landed(part);
                let Some(at) = self.name_of(part.queue) else { return };
                let message = answer.error_message.map(words::heard);
                self.finish(part, Err(SendFailure::Refused { at, error, message }));
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
    pub(super) fn sent_unanswered(&mut self, sent: Sent) {
        for part in sent.parts.into_values() {
            self.landed(part);
            self.finish(part, Ok(Acked { base_offset: None, log_append_time: None }));
        }
    }

    /// Whether no batch of the partition stands before this one.
    pub(super) fn is_first(&self, part: Part) -> bool {
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
        if batch.doubt == Doubt::None && !appends_nothing(&cause) {
            batch.doubt = Doubt::Batch;
        }
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
        let first = queue.batches.front().filter(|first| first.piece() == part.batch);
        if *error != ErrorCode::ConcurrentTransactions
            && let Some(at) = self.name_of(part.queue)
            && first.is_some_and(|first| first.cause.as_ref() != Some(cause))
        {
            refused!(log::PRODUCER, ApiKey::Produce, error, partition = %at, %address);
        }
    }

    pub(super) fn finish(&mut self, part: Part, result: Result<Acked, SendFailure>) {
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
        self.decide(part.queue, batch, result);
    }

    /// Tells the log when batches of a partition begin to be given up, and when one is delivered again.
    fn tell_given_up(&mut self, part: Part, failure: Option<&SendFailure>) {
        let Some(queue) = self.queues.get_mut(part.queue) else { return };
        let before = std::mem::replace(&mut queue.gives_up, failure.is_some());
        match failure {
            Some(why) if !before => {
                let records = queue.batch(part.batch).map(|batch| batch.count());
                tracing::error!(target: log::PRODUCER, records, %why, "batch given up");
            }
            None if before => {
                let at = self.name_of(part.queue).map(tracing::field::display);
                tracing::info!(target: log::PRODUCER, partition = at, "delivering again");
            }
            _ => {}
        }
    }

    /// A request with batches has no answer.
    pub(super) fn batches_unanswered(&mut self, sent: Sent, why: Disconnected, now: Now) {
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

    /// Gives up the batches that are too old.
    pub(super) fn expire(&mut self, now: Now) {
        for queue in self.active.clone() {
            while let Some(front) = self.queues.get(queue).and_then(|queue| queue.batches.front())
                && front.created + self.config.delivery_timeout <= now.mono
                && let Some(at) = self.name_of(queue)
            {
                let (batch, waited, sent) = (front.piece(), self.config.delivery_timeout, front.attempts > 0);
                let cause = self.obstacle(queue, now);
                let failure = SendFailure::DeliveryTimeout { at, sent, waited, cause };
                self.finish(Part { queue, batch }, Err(failure));
            }
        }
    }
}
