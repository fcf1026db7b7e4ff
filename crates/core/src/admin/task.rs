//! An operation under way: sends its parts, tries again, and gathers the answers.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::{ApiKey, ErrorCode, Now, Response, messages::FindCoordinatorResponse};

use super::{
    Answer, Failure, Operation, Refusal, Route, Verdict,
    brokers::{Brokers, Leader, Place},
};
use crate::{
    backoff::Attempts,
    cause::Cause,
    connections::{Target, Unsupported},
    coordinator::Coordinated,
    disconnected::Disconnected,
    ids::{OpId, RequestId, TopicPartition},
    log::{self, refused},
    metadata::Metadata,
};

/// The outcome, of the type that the operation says.
pub(super) type AnyOutcome = Box<dyn Any + Send>;

/// A [`Task`], whatever its operation.
pub(super) trait AnyTask: fmt::Debug + Send {
    /// Sends what can be sent and is due.
    fn advance(&mut self, op: OpId, brokers: &mut Brokers, now: Now);

    /// A request was answered.
    fn answered(&mut self, id: RequestId, from: Target, response: Response, brokers: &mut Brokers, now: Now);

    /// A request will not be answered.
    fn lost(&mut self, id: RequestId, to: Target, why: Disconnected, brokers: &Brokers, now: Now);

    /// Whether nothing is left to do, or the operation has failed as a whole.
    fn is_over(&self) -> bool;

    /// What has become of an operation that is over.
    fn result(self: Box<Self>) -> Result<AnyOutcome, Failure>;

    /// The operation's time is up. Where each part has a result, those that were answered keep theirs.
    fn give_up(self: Box<Self>, failure: Failure, metadata: &Metadata) -> Result<AnyOutcome, Failure>;

    /// The topics whose leaders are needed.
    fn topics(&self) -> BTreeSet<String>;

    /// The last obstacle.
    fn cause(&self) -> Option<&Cause>;

    /// When it is tried again.
    fn next(&self) -> Option<Instant>;
}

/// How long it counts as known which brokers there are.
const NEW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Task<O: Operation> {
    operation: O,
    outcome: O::Outcome,
    /// The operation failed as a whole.
    failed: Option<Failure>,
    todo: Vec<O::Part>,
    sent: BTreeMap<RequestId, Batch<O::Part>>,
    attempts: Attempts,
    cause: Option<Cause>,
    /// What was told of brokers before this is not what there is.
    since: Instant,
}

/// Where parts go and what is asked there. Those that go the same way travel together.
type Way = (Place, (ApiKey, i16));

/// The parts that one request was sent for.
#[derive(Debug)]
struct Batch<P> {
    parts: Vec<P>,
    /// The API that answers them.
    api: ApiKey,
    /// Whose coordinators the request looks up, before the parts themselves can be sent.
    lookup: Option<Vec<Coordinated>>,
}

/// Parts that wait until it is known who coordinates them.
type Unplaced<P> = BTreeMap<Coordinated, Vec<P>>;

impl<O: Operation> Task<O> {
    pub(super) fn new(operation: O, attempts: Attempts, metadata: &mut Metadata, now: Now) -> Self {
        let (outcome, todo) = operation.begin();
        let since = now.mono.checked_sub(NEW).unwrap_or(now.mono);
        for part in &todo {
            match operation.route(part) {
                // A partition that is known not to exist may exist by now.
                Route::Leader(at) if metadata.partition(at).is_none() => metadata.forget(&at.topic),
                // A broker that was gone may be back by now.
                Route::Broker(node) if metadata.address(node).is_some() => {}
                Route::Broker(_) | Route::EveryBroker(_) if !metadata.is_newer_than(since) => {
                    metadata.request_update();
                }
                _ => {}
            }
        }
        Self { operation, outcome, failed: None, todo, sent: BTreeMap::new(), attempts, cause: None, since }
    }

    /// Where a part goes now. `None` where it waits, for metadata or until its coordinator is looked up, and where it is over.
    fn place(
        &mut self,
        part: O::Part,
        brokers: &Brokers,
        unplaced: &mut Unplaced<O::Part>,
    ) -> Option<(Place, O::Part)> {
        let route = self.operation.route(&part);
        if let Some(of) = route.coordinated() {
            match brokers.coordinator_of(&of) {
                Some(node) => return Some((Place::Node(node), part)),
                None => unplaced.entry(of).or_default().push(part),
            }
            return None;
        }
        match route {
            Route::Any => return Some((Place::Any, part)),
            Route::Controller => return Some((Place::Controller, part)),
            Route::Broker(node) if brokers.is_there(node) => return Some((Place::Node(node), part)),
            // Which there are is not known yet, or was known once.
            Route::Broker(_) if !brokers.hub.metadata.is_newer_than(self.since) => self.todo.push(part),
            Route::Broker(_) => {}
            Route::Leader(at) => match brokers.leader_of(at) {
                Leader::Is(node) => return Some((Place::Node(node), part)),
                Leader::NotKnown => self.todo.push(part),
                Leader::Missing => {
                    self.cause = Some(Cause::NoLeader(at.clone()));
                    self.todo.push(part);
                }
                Leader::Never(error) => {
                    let refused = Failure::of(error);
                    self.fail_parts(&[part], refused, &brokers.hub.metadata);
                }
            },
            // It is not known yet which brokers there are.
            Route::EveryBroker(_) => self.todo.push(part),
            Route::Coordinator(_) | Route::TransactionCoordinator(_) => {}
        }
        None
    }

    /// Asks who coordinates these. An operation asks for groups, or for transactional ids: not for both.
    fn look_up(&mut self, op: OpId, mut unplaced: Unplaced<O::Part>, brokers: &mut Brokers, now: Now) {
        if unplaced.is_empty() {
            return;
        }
        match brokers.look_up(op, unplaced.keys().cloned().collect(), now) {
            Ok(sent) => {
                for (id, of) in sent {
                    let parts = of.iter().filter_map(|of| unplaced.remove(of)).flatten().collect();
                    let lookup = Some(of);
                    self.sent.insert(id, Batch { parts, api: ApiKey::FindCoordinator, lookup });
                }
                self.todo.extend(unplaced.into_values().flatten());
            }
            Err(Unsupported(key)) => self.failed = Some(Failure::Unsupported(key)),
        }
    }

    /// Takes the answer to who coordinates these.
    fn looked_up(
        &mut self,
        of: &[Coordinated],
        parts: Vec<O::Part>,
        response: FindCoordinatorResponse,
        from: Target,
        brokers: &mut Brokers,
        now: Now,
    ) {
        let told = brokers.looked_up(of, response);
        let (mut again, mut error_again) = (Vec::new(), None);
        for part in parts {
            let found = self.operation.route(&part).coordinated().and_then(|of| told.get(&of));
            match found {
                Some(Ok(())) => self.todo.push(part),
                Some(Err((error, message))) if !error.is_retriable() => {
                    let refused = Refusal::told(*error, message.clone());
                    self.refused(ApiKey::FindCoordinator, vec![part], Failure::Refused(refused), brokers);
                }
                other => {
                    let error = other.and_then(|told| told.as_ref().err()).map(|(error, _)| *error);
                    error_again = error_again.or(error);
                    again.push(part);
                }
            }
        }
        if !again.is_empty() {
            let error = error_again.unwrap_or(ErrorCode::UnknownServerError);
            let cause = Cause::Broker { address: brokers.address_of(from).cloned(), error };
            self.retry(again, ApiKey::FindCoordinator, cause, now);
        }
    }

    fn refused(&mut self, api: ApiKey, parts: Vec<O::Part>, failure: Failure, brokers: &Brokers) {
        tracing::info!(target: log::ADMIN, ?api, why = %failure, "refused for good");
        self.fail_parts(&parts, failure, &brokers.hub.metadata);
    }

    /// These come next, where the broker speaks their API.
    fn follow(&mut self, next: Vec<O::Part>, from: Target, brokers: &Brokers) {
        let operation = &self.operation;
        let is_spoken = |part: &O::Part| {
            let (key, newest) = operation.api(part);
            brokers.version(from, key, newest).is_ok()
        };
        self.todo.extend(next.into_iter().filter(is_spoken));
    }

    /// Sends parts to the broker, or keeps them for later.
    fn send(
        &mut self,
        op: OpId,
        (place, (api, newest)): Way,
        parts: Vec<O::Part>,
        brokers: &mut Brokers,
        now: Now,
    ) {
        let Some(to) = brokers.ready(place, now) else {
            if let Some(refused) = brokers.refusal(place, now) {
                brokers.hub.connections.forgive(now);
                return self.fail_parts(&parts, Failure::Connection(refused), &brokers.hub.metadata);
            }
            if let Place::Node(node) = place {
                self.cause = brokers.obstacle(node, now).or(self.cause.take());
            }
            return self.todo.extend(parts);
        };
        let Ok(version) = brokers.version(to, api, newest) else {
            return self.fail_parts(&parts, Failure::Unsupported(api), &brokers.hub.metadata);
        };
        let timeout_ms = brokers.hub.connections.request_timeout().as_millis().try_into().unwrap_or(i32::MAX);
        for parts in parts.chunks(self.operation.at_once(api, version).max(1)) {
            let Some(request) = self.operation.request(parts, version, timeout_ms) else {
                self.fail_parts(parts, Failure::Unsupported(api), &brokers.hub.metadata);
                continue;
            };
            let id = brokers.send(op, to, version, request, now);
            self.sent.insert(id, Batch { parts: parts.to_vec(), api, lookup: None });
        }
    }

    fn gather(
        &mut self,
        asked: &[O::Part],
        from: Target,
        response: Response,
        brokers: &mut Brokers,
        now: Now,
    ) -> Verdict<O::Part> {
        let from = match from {
            Target::Node(node) => Some(node),
            Target::Seed(_) => None,
        };
        let verdict = self.operation.gather(Answer { asked, response, from, now }, &mut self.outcome);
        let left = match &verdict {
            Verdict::Again(_) => asked,
            Verdict::Left(_, left) | Verdict::LeftThen(_, left, _) => left,
            _ => &[],
        };
        for part in left {
            if let Some(of) = self.operation.route(part).coordinated() {
                brokers.forget_coordinator(&of);
            }
        }
        verdict
    }

    /// These parts failed in a way that may pass.
    fn retry(&mut self, parts: Vec<O::Part>, api: ApiKey, cause: Cause, now: Now) {
        self.attempts.failed(None, now);
        if let Cause::Broker { address: Some(address), error } = &cause
            && self.cause.as_ref() != Some(&cause)
        {
            refused!(log::ADMIN, api, error, %address);
        }
        self.cause = Some(cause);
        self.todo.extend(parts);
    }

    /// These parts failed for good. Where they have no results of their own, the operation fails as a whole.
    fn fail_parts(&mut self, parts: &[O::Part], failure: Failure, metadata: &Metadata) {
        let operation = &self.operation;
        let is_leaderless =
            |at: &TopicPartition| metadata.partition(at).is_some_and(|known| known.leader.is_none());
        let fails = |part: &O::Part| match (operation.route(part), &failure) {
            (Route::Leader(at), Failure::TimedOut { waited, .. }) if is_leaderless(at) => {
                let cause = Some(Cause::NoLeader(at.clone()));
                operation.fail_part(part, &Failure::TimedOut { waited: *waited, cause }, &mut self.outcome)
            }
            _ => operation.fail_part(part, &failure, &mut self.outcome),
        };
        if !parts.iter().all(fails) {
            self.failed = Some(failure);
        }
    }
}

impl<O: Operation> AnyTask for Task<O> {
    fn advance(&mut self, op: OpId, brokers: &mut Brokers, now: Now) {
        if !self.attempts.is_due(now) {
            return;
        }
        let mut ready: BTreeMap<Way, Vec<O::Part>> = BTreeMap::new();
        let mut unplaced = Unplaced::new();
        let mut todo: VecDeque<O::Part> = std::mem::take(&mut self.todo).into();
        while let Some(part) = todo.pop_front() {
            if let Route::EveryBroker(part_of) = self.operation.route(&part)
                && let Some(nodes) = brokers.every(self.since)
            {
                todo.extend(nodes.map(part_of));
            } else if let Some((place, part)) = self.place(part, brokers, &mut unplaced) {
                ready.entry((place, self.operation.api(&part))).or_default().push(part);
            }
        }
        self.look_up(op, unplaced, brokers, now);
        for (way, parts) in ready {
            if self.failed.is_none() {
                self.send(op, way, parts, brokers, now);
            }
        }
    }

    fn answered(&mut self, id: RequestId, from: Target, response: Response, brokers: &mut Brokers, now: Now) {
        let Some(Batch { parts, api, lookup }) = self.sent.remove(&id) else { return };
        let address = brokers.address_of(from).cloned();
        let verdict = match (lookup, response) {
            (Some(of), Response::FindCoordinator(response)) => {
                return self.looked_up(&of, parts, response, from, brokers, now);
            }
            (_, response) => self.gather(&parts, from, response, brokers, now),
        };
        let (error, left) = match verdict {
            Verdict::Done => return,
            Verdict::Then(next) => return self.follow(next, from, brokers),
            Verdict::Failed(failure) => return self.refused(api, parts, failure, brokers),
            Verdict::Again(error) => (error, parts),
            Verdict::Left(error, left) => (error, left),
            Verdict::LeftThen(error, left, next) => {
                self.follow(next, from, brokers);
                (error, left)
            }
        };
        if error.is_stale_metadata() || error == ErrorCode::NotController {
            brokers.hub.metadata.request_update();
        }
        self.retry(left, api, Cause::Broker { address, error }, now);
    }

    fn lost(&mut self, id: RequestId, to: Target, why: Disconnected, brokers: &Brokers, now: Now) {
        let Some(Batch { parts, api, .. }) = self.sent.remove(&id) else { return };
        let cause = match brokers.address_of(to).cloned() {
            Some(address) => Cause::Connection { address, why },
            None => Cause::Broker { address: None, error: ErrorCode::NetworkException },
        };
        self.retry(parts, api, cause, now);
    }

    fn is_over(&self) -> bool {
        self.failed.is_some() || self.todo.is_empty() && self.sent.is_empty()
    }

    fn result(self: Box<Self>) -> Result<AnyOutcome, Failure> {
        match self.failed {
            Some(failure) => Err(failure),
            None => Ok(Box::new(self.outcome)),
        }
    }

    fn give_up(mut self: Box<Self>, failure: Failure, metadata: &Metadata) -> Result<AnyOutcome, Failure> {
        tracing::warn!(target: log::ADMIN, why = %failure, "given up");
        let mut left = std::mem::take(&mut self.todo);
        left.extend(std::mem::take(&mut self.sent).into_values().flat_map(|batch| batch.parts));
        self.fail_parts(&left, failure, metadata);
        self.result()
    }

    fn topics(&self) -> BTreeSet<String> {
        let topic = |part| match self.operation.route(part) {
            Route::Leader(at) => Some(at.topic.clone()),
            _ => None,
        };
        self.todo.iter().filter_map(topic).collect()
    }

    fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    fn next(&self) -> Option<Instant> {
        self.attempts.next()
    }
}
