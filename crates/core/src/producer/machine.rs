//! The producer as a machine: what comes in, what goes out, and what is due.

use std::task::Waker;

use ottla_protocol::{Now, Response};

use super::{
    Producer,
    idempotence::IdentityState,
    sending::Sent,
    transactions::{Ask, OffsetsSent},
};
use crate::{
    connections::{Address, RefusedConnection, SetupStage},
    disconnected::Disconnected,
    hub::Lost,
    ids::{ConnId, RequestId},
    machine::{Machine, Outbound, Reply},
    sasl::Done,
};

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

    fn handle_lost(&mut self, lost: Vec<Lost<Pending>>, now: Now) {
        for Lost { purpose, why, .. } in lost {
            match purpose {
                Pending::Identity => self.retry_identity(None, now),
                Pending::Coordinator(group) => self.coordinator_unanswered(group.as_deref(), now),
                Pending::Transaction(ask) => self.transaction_unanswered(&ask, now),
                Pending::Offsets(sent) => self.offsets_unanswered(&sent, now),
                Pending::Batches(sent) => self.batches_unanswered(sent, why, now),
            }
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
            if let Some(waiting) = queue.unsent().next() {
                earliest.consider(waiting.created + self.config.linger);
            }
            if let Some(last) = queue.batches.back().filter(|batch| batch.is_open()) {
                earliest.consider(last.created + self.config.linger);
            }
        }
        self.looks_at.set(earliest.get());
        earliest.get()
    }

    fn take_wake(&mut self) -> bool {
        self.hub.take_wake()
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.outcomes.wakers)
    }

    fn handle_driver_gone(&mut self) {
        for batch in self.queues.iter().flat_map(|queue| &queue.batches) {
            self.outcomes.wakers.extend(batch.outcome.take_wakers());
        }
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
