//! Asks a cluster about its topics, groups, offsets, transactions and configurations, and changes them.
//!
//! A handle starts an [`Operation`], which is broken into parts, each for a broker. A part that failed in a way that may pass
//! is tried again, with back-off, until the operation's time is up. The answers are gathered into its outcome.
//!
//! - `operation`: what an operation declares about itself.
//! - `operations`: the operations, a file each.
//! - `group`: a group, as it is told.
//! - `task`: what is done with any of them.
//! - `brokers`: how brokers are reached.

mod brokers;
mod failure;
mod group;
mod operation;
mod operations;
mod task;
#[cfg(test)]
mod tests;

use std::{
    marker::PhantomData,
    time::{Duration, Instant},
};

use ottla_protocol::Now;

pub use failure::{Failure, Refusal};
pub use group::*;
pub use operation::{Answer, Operation, Route, Verdict};
pub use operations::*;

use crate::{
    backoff::{Attempts, Backoff},
    cause::Cause,
    connections::{Address, ConnectionConfig, RefusedConnection, SetupStage},
    disconnected::Disconnected,
    hub::{Hub, Lost},
    ids::{ConnId, OpId},
    machine::{Machine, Outbound, Reply},
    metadata::{Metadata, MetadataConfig, Wanted},
    ops::Ops,
    sasl::Done,
};
use brokers::{Brokers, Sent};
use task::{AnyOutcome, AnyTask, Task};

/// The settings of an admin client. The defaults are Java's.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Limits of connections.
    pub connections: ConnectionConfig,
    /// How metadata is refreshed.
    pub metadata: MetadataConfig,
    /// `default.api.timeout.ms`: how long an operation is tried.
    pub api_timeout: Duration,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub retry_backoff: Backoff,
}

impl Default for AdminConfig {
    fn default() -> Self {
        let metadata = MetadataConfig { allow_auto_create: false, ..MetadataConfig::default() };
        Self {
            connections: ConnectionConfig::default(),
            retry_backoff: metadata.retry_backoff,
            metadata,
            api_timeout: Duration::from_secs(60),
        }
    }
}

/// An admin client.
#[derive(Debug)]
pub struct Admin<F> {
    config: AdminConfig,
    brokers: Brokers,
    ops: Ops<Box<dyn AnyTask>, AnyOutcome, Failure>,
    closed: bool,
    rng: fastrand::Rng,
    frame: PhantomData<fn() -> F>,
}

/// An operation that has begun, with an outcome of type `T`.
#[derive(Debug)]
pub struct Begun<T> {
    op: OpId,
    outcome: PhantomData<fn() -> T>,
}

impl<T> Begun<T> {
    /// The operation.
    pub const fn op(&self) -> OpId {
        self.op
    }
}

impl<F> Admin<F> {
    /// An admin client that knows the addresses that the user gave. `seed` decides jitter.
    pub fn new(config: AdminConfig, seeds: Vec<Address>, seed: u64, now: Now) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let hub = Hub::new(config.connections.clone(), config.metadata.clone(), seeds.clone(), &mut rng, now);
        Self {
            config,
            brokers: Brokers::new(hub, seeds),
            ops: Ops::default(),
            closed: false,
            rng,
            frame: PhantomData,
        }
    }

    /// The cluster, as far as it is known.
    pub const fn metadata(&self) -> &Metadata {
        &self.brokers.hub.metadata
    }

    /// Begins an operation. Its result is kept until [`Admin::take_result`] or [`Admin::forget`].
    pub fn start<O: Operation>(&mut self, operation: O, now: Now) -> Begun<O::Outcome> {
        let op = match self.closed {
            true => self.ops.begin_ended(Err(Failure::Closed)),
            false => {
                let attempts = Attempts::new(self.config.retry_backoff, self.rng.fork());
                let task = Task::new(operation, attempts, &mut self.brokers.hub.metadata, now);
                let op = self.ops.begin(Box::new(task), now.mono + self.config.api_timeout);
                self.brokers.hub.stir = true;
                self.end_if_over(op);
                op
            }
        };
        Begun { op, outcome: PhantomData }
    }

    /// The result of an operation, once it has ended. It is told once.
    pub fn take_result<T: 'static>(&mut self, begun: &Begun<T>) -> Option<Result<T, Failure>> {
        match self.ops.take(begun.op)? {
            // An outcome of another type is one of another client's operation, of which nothing is known here.
            Ok(outcome) => outcome.downcast().ok().map(|outcome| Ok(*outcome)),
            Err(failure) => Some(Err(failure)),
        }
    }

    /// The obstacles in the way of the operations under way. Empty where there are none.
    pub fn obstacles(&self) -> Vec<Cause> {
        let mut obstacles: Vec<Cause> = Vec::new();
        for (op, task) in self.ops.open() {
            let told = task.cause().cloned().or_else(|| self.brokers.silence(op));
            let cause = told.or_else(|| Cause::of_metadata(self.metadata()));
            obstacles.extend(cause.filter(|cause| !obstacles.contains(cause)));
        }
        obstacles
    }

    /// Nobody waits for this operation any more. A change that was sent is made all the same.
    pub fn forget(&mut self, op: OpId) {
        self.ops.forget(op);
    }

    /// Gives up the operations under way, and closes.
    pub fn close(&mut self) {
        self.ops.fail_all(&Failure::Closed);
        self.brokers.hub.close();
        self.closed = true;
    }

    fn advance(&mut self, now: Now) {
        self.brokers.hub.wake_for_refusals(now);
        if self.ops.open().next().is_some()
            && let Some(refused) = self.brokers.hub.refusal(now)
        {
            self.ops.fail_all(&Failure::Connection(refused));
            self.brokers.hub.connections.forgive(now);
            self.brokers.hub.wake = true;
        }
        // The topics whose leaders are needed.
        let topics = self.ops.open().flat_map(|(_, task)| task.topics()).collect();
        self.brokers.hub.poll_metadata(&Wanted::Topics(topics), now);
        let open: Vec<OpId> = self.ops.open().map(|(op, _)| op).collect();
        for op in open {
            if let Some(task) = self.ops.get_mut(op) {
                task.advance(op, &mut self.brokers, now);
            }
            self.end_if_over(op);
        }
    }

    fn end_if_over(&mut self, op: OpId) {
        if self.ops.get_mut(op).is_some_and(|task| task.is_over()) {
            self.ops.end(op, AnyTask::result);
            self.brokers.hub.wake = true;
        }
    }

    fn handle_lost(&mut self, lost: Vec<Lost<Sent>>, now: Now) {
        for Lost { id, purpose: Sent { op, to, .. }, why } in lost {
            self.brokers.hub.metadata.request_update();
            if let Some(task) = self.ops.get_mut(op) {
                task.lost(id, to, why, &self.brokers, now);
            }
        }
    }

    /// Gives up the operations whose time is up.
    fn expire(&mut self, now: Now) {
        let (brokers, waited) = (&self.brokers, self.config.api_timeout);
        let metadata = &brokers.hub.metadata;
        let any = self.ops.expire(now.mono, |op, task| {
            let cause = brokers.silence(op).or_else(|| task.cause().cloned());
            let cause = cause.or_else(|| Cause::of_metadata(metadata));
            task.give_up(Failure::TimedOut { waited, cause }, metadata)
        });
        self.brokers.hub.wake |= any;
    }
}

impl<F> Machine for Admin<F> {
    type Frame = F;

    fn handle_connected(&mut self, conn: ConnId, now: Now) {
        self.brokers.hub.handle_connected(conn, now);
    }

    fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now) {
        let lost = self.brokers.hub.handle_disconnected(conn, why, now);
        self.handle_lost(lost, now);
    }

    fn handle_reply(&mut self, conn: ConnId, reply: Reply<F>, now: Now) {
        let Some((sent, reply)) = self.brokers.hub.handle_reply(conn, reply, now) else { return };
        if let Some(task) = self.ops.get_mut(sent.op) {
            task.answered(reply.id, sent.to, reply.response, &mut self.brokers, now);
            self.end_if_over(sent.op);
        }
    }

    fn handle_done(&mut self, conn: ConnId, done: Done, now: Now) {
        self.brokers.hub.handle_done(conn, done, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        let lost = self.brokers.hub.handle_timeout(now);
        self.handle_lost(lost, now);
        self.expire(now);
    }

    fn poll_send(&mut self, now: Now) -> Option<Outbound> {
        self.brokers.hub.poll_send(now).or_else(|| {
            if !self.closed {
                self.advance(now);
            }
            self.brokers.hub.poll_send(now)
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let mut earliest = self.brokers.hub.deadlines();
        self.ops.deadlines(&mut earliest);
        self.ops.open().for_each(|(_, task)| earliest.consider(task.next()));
        earliest.get()
    }

    fn take_wake(&mut self) -> bool {
        self.brokers.hub.take_wake()
    }

    fn take_stir(&mut self) -> bool {
        self.brokers.hub.take_stir()
    }

    fn refusal(&self, now: Now) -> Option<RefusedConnection> {
        self.brokers.hub.refusal(now)
    }

    fn first_contact(&self, now: Now) -> Option<(Address, SetupStage)> {
        self.brokers.hub.metadata.first_contact(&self.brokers.hub.connections, now)
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}
