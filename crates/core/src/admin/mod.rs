//! Asks a cluster about its topics, groups and offsets, and changes topics.
//!
//! A handle starts an [`Operation`], which is broken into pieces of work that one request can do. Work that failed
//! in a way that may pass is tried again, with back-off, until the operation's time is up. The answers are gathered
//! into its [`Outcome`].
//!
//! - `operation`: the operations, and their outcomes.
//! - `request`: from work to a request, and to the broker that it goes to.
//! - `response`: from a response to what it adds to the outcome.

mod operation;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    time::{Duration, Instant},
};

use ottla_protocol::{ApiKey, ErrorCode, Now, Response};

pub use operation::{
    Cluster, Coordinator, Failure, GroupDescription, GroupListing, MemberDescription, NewTopic, OffsetSpec,
    Operation, Outcome, Refusal,
};

use crate::{
    backoff::{Attempts, Backoff},
    cause::Cause,
    connections::{Address, ConnectionConfig, Target},
    hub::{Hub, Lost},
    ids::{ConnId, NodeId, OpId, TopicPartition},
    log::{self, refused},
    machine::{Disconnected, Machine, Outbound, Reply},
    metadata::{Metadata, MetadataConfig, Wanted},
};
use response::Verdict;

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
    seeds: Vec<Address>,
    hub: Hub<Sent>,
    /// Which broker coordinates a group, as far as it was looked up.
    coordinators: BTreeMap<String, NodeId>,
    last_op: OpId,
    tasks: BTreeMap<OpId, Task>,
    results: BTreeMap<OpId, Result<Outcome, Failure>>,
    closed: bool,
    rng: fastrand::Rng,
    frame: PhantomData<fn() -> F>,
}

/// An operation under way.
#[derive(Debug)]
struct Task {
    started: Instant,
    attempts: Attempts,
    /// The last obstacle.
    cause: Option<Cause>,
    todo: Vec<Work>,
    in_flight: usize,
    gathered: Outcome,
}

/// A piece of work that one request can do, or one request to each broker concerned.
#[derive(Debug, Clone)]
enum Work {
    Cluster,
    /// `None` for all.
    Topics(Option<Vec<String>>),
    CreateTopics {
        topics: Vec<NewTopic>,
        validate_only: bool,
    },
    DeleteTopics(Vec<String>),
    CreatePartitions(BTreeMap<String, i32>),
    /// Becomes [`Work::Groups`] of each broker, once the brokers are known.
    GroupsEverywhere,
    Groups(NodeId),
    Coordinator(String),
    DescribeGroup(String),
    DescribeConsumerGroup(String),
    Committed {
        group: String,
        require_stable: bool,
    },
    Offsets {
        queries: Vec<(TopicPartition, i64)>,
        read_committed: bool,
    },
}

/// Work on its way.
#[derive(Debug)]
struct Sent {
    op: OpId,
    work: Work,
    target: Target,
    /// The group whose coordinator this request looks up, before the work itself can be sent.
    lookup: Option<String>,
}

impl<F> Admin<F> {
    /// An admin client that knows the addresses that the user gave. `seed` decides jitter.
    pub fn new(config: AdminConfig, seeds: Vec<Address>, seed: u64, now: Now) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            hub: Hub::new(config.connections.clone(), config.metadata.clone(), seeds.clone(), &mut rng, now),
            seeds,
            config,
            coordinators: BTreeMap::new(),
            last_op: OpId(0),
            tasks: BTreeMap::new(),
            results: BTreeMap::new(),
            closed: false,
            rng,
            frame: PhantomData,
        }
    }

    /// The cluster, as far as it is known.
    pub const fn metadata(&self) -> &Metadata {
        &self.hub.metadata
    }

    /// Begins an operation. Its result is kept until [`Admin::take_result`] or [`Admin::forget`].
    pub fn start(&mut self, operation: Operation, now: Now) -> OpId {
        self.last_op.0 += 1;
        let id = self.last_op;
        if self.closed {
            self.results.insert(id, Err(Failure::Closed));
            return id;
        }
        if let Operation::ListOffsets { partitions, .. } = &operation {
            // Partitions that are known not to exist may exist by now.
            let missing: Vec<_> =
                partitions.keys().filter(|at| self.hub.metadata.partition(at).is_none()).collect();
            missing.into_iter().for_each(|at| self.hub.metadata.forget(&at.topic));
        }
        let (gathered, todo) = plan(operation);
        let task = Task {
            started: now.mono,
            attempts: Attempts::new(self.config.retry_backoff, self.rng.fork()),
            cause: None,
            todo,
            in_flight: 0,
            gathered,
        };
        self.tasks.insert(id, task);
        self.hub.stir = true;
        self.finish_if_done(id);
        id
    }

    /// The result of an operation, once it has ended. It is told once.
    pub fn take_result(&mut self, op: OpId) -> Option<Result<Outcome, Failure>> {
        self.results.remove(&op)
    }

    /// The obstacles in the way of the operations under way. Empty where there are none.
    pub fn obstacles(&self) -> Vec<Cause> {
        let mut obstacles: Vec<Cause> = Vec::new();
        for (op, task) in &self.tasks {
            let told = task.cause.clone().or_else(|| self.silence(*op));
            let cause = told.or_else(|| Cause::of_metadata(&self.hub.metadata));
            obstacles.extend(cause.filter(|cause| !obstacles.contains(cause)));
        }
        obstacles
    }

    /// Nobody waits for this operation any more. A change that was sent is made all the same.
    pub fn forget(&mut self, op: OpId) {
        self.tasks.remove(&op);
        self.results.remove(&op);
    }

    /// Gives up the operations under way, and closes.
    pub fn close(&mut self) {
        for op in std::mem::take(&mut self.tasks).into_keys() {
            self.results.insert(op, Err(Failure::Closed));
        }
        self.hub.close();
        self.closed = true;
    }

    /// The topics whose leaders are needed.
    fn wanted(&self) -> Wanted {
        let work = self.tasks.values().flat_map(|task| &task.todo);
        let topics = work.filter_map(|work| match work {
            Work::Offsets { queries, .. } => Some(queries.iter().map(|(at, _)| at.topic.clone())),
            _ => None,
        });
        Wanted::Topics(topics.flatten().collect::<BTreeSet<_>>())
    }

    fn advance(&mut self, now: Now) {
        let wanted = self.wanted();
        self.hub.poll_metadata(&wanted, now);
        let due = |task: &&Task| !task.todo.is_empty() && task.attempts.is_due(now);
        let due: Vec<OpId> = self.tasks.iter().filter(|(_, task)| due(task)).map(|(op, _)| *op).collect();
        for op in due {
            let todo = self.tasks.get_mut(&op).map(|task| std::mem::take(&mut task.todo)).unwrap_or_default();
            for work in todo {
                self.try_work(op, work, now);
            }
            self.finish_if_done(op);
        }
    }

    /// This work waits for a connection, for metadata, or for its next attempt.
    fn put_back(&mut self, op: OpId, work: Work) {
        if let Some(task) = self.tasks.get_mut(&op) {
            task.todo.push(work);
        }
    }

    /// This work failed in a way that may pass.
    fn retry(&mut self, op: OpId, work: Work, cause: Cause, now: Now) {
        let Some(task) = self.tasks.get_mut(&op) else { return };
        task.attempts.failed(None, now);
        if let Cause::Broker { address: Some(address), error } = &cause
            && task.cause.as_ref() != Some(&cause)
        {
            refused!(log::ADMIN, work.api().0, error, %address);
        }
        task.cause = Some(cause);
        task.todo.push(work);
    }

    fn fail(&mut self, op: OpId, failure: Failure) {
        if self.tasks.remove(&op).is_some() {
            self.results.insert(op, Err(failure));
            self.hub.wake = true;
        }
    }

    fn finish_if_done(&mut self, op: OpId) {
        if self.tasks.get(&op).is_some_and(|task| task.todo.is_empty() && task.in_flight == 0)
            && let Some(task) = self.tasks.remove(&op)
        {
            self.results.insert(op, Ok(task.gathered));
            self.hub.wake = true;
        }
    }

    fn handle_response(&mut self, sent: Sent, response: Response, now: Now) {
        let Sent { op, work, target, lookup } = sent;
        let address = self.address_of(target);
        let Some(task) = self.tasks.get_mut(&op) else { return };
        task.in_flight -= 1;
        let verdict = match (lookup, response) {
            (Some(group), Response::FindCoordinator(response)) => self.learn_coordinator(group, response),
            (_, response) => self.gather(op, &work, target, response, now),
        };
        match verdict {
            Verdict::Done => {}
            Verdict::Found => self.put_back(op, work),
            Verdict::Again(error, rest) => {
                if error.is_stale_metadata() || error == ErrorCode::NotController {
                    self.hub.metadata.request_update();
                }
                self.retry(op, rest.unwrap_or(work), Cause::Broker { address, error }, now);
            }
            Verdict::Failed(failure) => {
                tracing::info!(target: log::ADMIN, api = ?work.api().0, why = %failure, "refused for good");
                let task = self.tasks.get_mut(&op);
                if !task.is_some_and(|task| task.fail_part(&work, &failure, &self.hub.metadata)) {
                    self.fail(op, failure);
                }
            }
        }
        self.finish_if_done(op);
    }

    fn handle_lost(&mut self, lost: Vec<Lost<Sent>>, now: Now) {
        for Lost { purpose: Sent { op, work, target, .. }, why, .. } in lost {
            self.hub.metadata.request_update();
            let cause = match self.address_of(target) {
                Some(address) => Cause::Connection { address, why },
                None => Cause::Broker { address: None, error: ErrorCode::NetworkException },
            };
            if let Some(task) = self.tasks.get_mut(&op) {
                task.in_flight -= 1;
            }
            self.retry(op, work, cause, now);
        }
    }

    fn address_of(&self, target: Target) -> Option<Address> {
        match target {
            Target::Node(node) => self.hub.metadata.address(node).cloned(),
            Target::Seed(index) => self.seeds.get(index).cloned(),
        }
    }

    /// Gives up the operations whose time is up.
    fn expire(&mut self, now: Now) {
        let late = |task: &Task| task.started + self.config.api_timeout <= now.mono;
        let late: Vec<OpId> = self.tasks.iter().filter(|(_, task)| late(task)).map(|(op, _)| *op).collect();
        for op in late {
            let told = self.tasks.get(&op).and_then(|task| task.cause.clone());
            let cause = self.silence(op).or(told).or_else(|| Cause::of_metadata(&self.hub.metadata));
            self.give_up(op, cause);
        }
    }

    /// The operation's time is up. One that concerns several groups or partitions has a result for each, and those
    /// that were answered keep theirs.
    fn give_up(&mut self, op: OpId, cause: Option<Cause>) {
        let failure = Failure::TimedOut { waited: self.config.api_timeout, cause };
        let Some(task) = self.tasks.get_mut(&op) else { return };
        tracing::warn!(target: log::ADMIN, why = %failure, "given up");
        let sent = self.hub.expected().filter(|sent| sent.op == op).map(|sent| &sent.work);
        let left: Vec<Work> = task.todo.drain(..).chain(sent.cloned()).collect();
        match left.iter().all(|work| task.fail_part(work, &failure, &self.hub.metadata)) {
            true => {
                task.in_flight = 0;
                self.finish_if_done(op);
            }
            false => self.fail(op, failure),
        }
    }

    /// The broker that owes this operation an answer, as an obstacle.
    fn silence(&self, op: OpId) -> Option<Cause> {
        let sent = self.hub.expected().find(|sent| sent.op == op)?;
        let address = self.address_of(sent.target)?;
        let key = if sent.lookup.is_some() { ApiKey::FindCoordinator } else { sent.work.api().0 };
        Some(Cause::Connection { address, why: Disconnected::TimedOut(key) })
    }
}

impl Task {
    /// Fails the groups or partitions of this work alone, where the outcome has a result for each. Returns whether
    /// it has.
    fn fail_part(&mut self, work: &Work, failure: &Failure, metadata: &Metadata) -> bool {
        match (&mut self.gathered, work) {
            (
                Outcome::GroupDescriptions(groups),
                Work::DescribeGroup(group) | Work::DescribeConsumerGroup(group),
            ) => {
                groups.insert(group.clone(), Err(failure.clone()));
            }
            (Outcome::Offsets(offsets), Work::Offsets { queries, .. }) => {
                for (at, _) in queries {
                    let leaderless = metadata.partition(at).is_some_and(|known| known.leader.is_none());
                    let failure = match failure {
                        Failure::TimedOut { waited, .. } if leaderless => {
                            Failure::TimedOut { waited: *waited, cause: Some(Cause::NoLeader(at.clone())) }
                        }
                        failure => failure.clone(),
                    };
                    offsets.insert(at.clone(), Err(failure));
                }
            }
            _ => return false,
        }
        true
    }
}

/// The outcome that an operation begins with, and its work.
fn plan(operation: Operation) -> (Outcome, Vec<Work>) {
    match operation {
        Operation::DescribeCluster => (Outcome::Cluster(Cluster::default()), vec![Work::Cluster]),
        Operation::ListTopics => (Outcome::Topics(BTreeMap::new()), vec![Work::Topics(None)]),
        Operation::DescribeTopics(names) => {
            (Outcome::Topics(BTreeMap::new()), vec![Work::Topics(Some(names))])
        }
        Operation::CreateTopics { topics, validate_only } => {
            (Outcome::Changes(BTreeMap::new()), vec![Work::CreateTopics { topics, validate_only }])
        }
        Operation::DeleteTopics(names) => {
            (Outcome::Changes(BTreeMap::new()), vec![Work::DeleteTopics(names)])
        }
        Operation::CreatePartitions(counts) => {
            (Outcome::Changes(BTreeMap::new()), vec![Work::CreatePartitions(counts)])
        }
        Operation::ListGroups => (Outcome::Groups(BTreeMap::new()), vec![Work::GroupsEverywhere]),
        Operation::DescribeGroups(groups) => {
            let work = groups.into_iter().map(Work::DescribeGroup).collect();
            (Outcome::GroupDescriptions(BTreeMap::new()), work)
        }
        Operation::CommittedOffsets { group, require_stable } => {
            (Outcome::Committed(BTreeMap::new()), vec![Work::Committed { group, require_stable }])
        }
        Operation::ListOffsets { partitions, read_committed } => {
            let queries: Vec<_> = partitions.into_iter().map(|(at, spec)| (at, spec.timestamp())).collect();
            let work = (!queries.is_empty()).then_some(Work::Offsets { queries, read_committed });
            (Outcome::Offsets(BTreeMap::new()), work.into_iter().collect())
        }
        Operation::FindCoordinator(group) => {
            let nowhere = Address { host: String::new(), port: 0 };
            let coordinator = Coordinator { node: NodeId(-1), address: nowhere };
            (Outcome::Coordinator(coordinator), vec![Work::Coordinator(group)])
        }
    }
}

impl<F> Machine for Admin<F> {
    type Frame = F;

    fn handle_connected(&mut self, conn: ConnId, now: Now) {
        self.hub.handle_connected(conn, now);
    }

    fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now) {
        let lost = self.hub.handle_disconnected(conn, why, now);
        self.handle_lost(lost, now);
    }

    fn handle_reply(&mut self, conn: ConnId, reply: Reply<F>, now: Now) {
        if let Some((sent, reply)) = self.hub.handle_reply(conn, reply, now) {
            self.handle_response(sent, reply.response, now);
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        let lost = self.hub.handle_timeout(now);
        self.handle_lost(lost, now);
        self.expire(now);
    }

    fn poll_send(&mut self, now: Now) -> Option<Outbound> {
        self.hub.poll_send(now).or_else(|| {
            if !self.closed {
                self.advance(now);
            }
            self.hub.poll_send(now)
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let mut earliest = self.hub.deadlines();
        for task in self.tasks.values() {
            earliest.consider(task.attempts.next());
            earliest.consider(task.started + self.config.api_timeout);
        }
        earliest.get()
    }

    fn take_wake(&mut self) -> bool {
        self.hub.take_wake()
    }

    fn take_stir(&mut self) -> bool {
        self.hub.take_stir()
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}
