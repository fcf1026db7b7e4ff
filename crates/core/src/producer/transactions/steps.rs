//! What the coordinator of a transactional id is asked next, one thing at a time, and what its answers mean.

use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Request, Response,
    messages::{
        AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
        AddPartitionsToTxnTopic, EndTxnRequest, EndTxnResponse, FindCoordinatorResponse,
        InitProducerIdRequest, InitProducerIdResponse,
    },
};

use super::{
    AbortCause, CONCURRENT, End, FatalCause, Flow, Producer, SETTLING, SendFailure, State,
    TransactionFailure, Transactions,
};
use crate::{
    connections::{Kind, Target},
    coordinator::ToCoordinator,
    ids::TopicPartition,
    log::{self, refused},
    planted::Planted,
    producer::{
        idempotence::{Identity, IdentityState},
        machine::Pending,
    },
};

/// The newest version of AddPartitionsToTxn that is a client's: later ones are for brokers.
const NEWEST_OF_PARTITIONS: i16 = 3;
/// The newest version of EndTxn in the explicit flow: later ones raise the epoch.
const NEWEST_END_OF_EXPLICIT: i16 = 4;

/// What the coordinator is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::producer) enum Ask {
    /// An identity: the first one, or one with a raised epoch.
    Identity,
    /// To add the partitions of these queues.
    Partitions(Vec<usize>),
    /// To add this group.
    Group(String),
    /// To end the transaction.
    End(End),
}

impl Ask {
    const fn api(&self) -> ApiKey {
        match self {
            Self::Identity => ApiKey::InitProducerId,
            Self::Partitions(_) => ApiKey::AddPartitionsToTxn,
            Self::Group(_) => ApiKey::AddOffsetsToTxn,
            Self::End(_) => ApiKey::EndTxn,
        }
    }
}

impl Transactions {
    /// What the coordinator is to be asked next. `active` are the queues with a batch; `quiet` says that no request with
    /// a batch is under way.
    fn next(&self, active: impl Iterator<Item = usize>, quiet: bool) -> Option<Ask> {
        let mut active = active.peekable();
        match self.state {
            State::Starting | State::Raising => Some(Ask::Identity),
            State::Open | State::Committing if self.doom.is_none() => {
                let delivered = active.peek().is_none() && quiet;
                let delivered = delivered || self.plot.has(Planted::CommitOvertakesRecords);
                let settled = delivered && self.has_taken_offsets();
                if self.flow == Flow::Explicit {
                    let missing: Vec<usize> = active.filter(|queue| !self.added.contains(queue)).collect();
                    if !missing.is_empty() {
                        return Some(Ask::Partitions(missing));
                    }
                    let group = self.offsets.front().map(|first| &first.group.group_id);
                    if let Some(group) = group.filter(|group| !self.groups_added.contains(*group)) {
                        return Some(Ask::Group(group.clone()));
                    }
                }
                let ends = self.state == State::Committing && settled && self.touched;
                ends.then_some(Ask::End(End::Commit))
            }
            State::Aborting if active.peek().is_none() && quiet && self.touched => Some(Ask::End(End::Abort)),
            _ => None,
        }
    }

    /// The answer of a coordinator that is no success, but for what only one API means by it.
    fn refused(&mut self, api: ApiKey, error: ErrorCode, now: Now) {
        self.coordinator.heard(error, now);
        if self.attempts.is_news(error) && error != ErrorCode::ConcurrentTransactions {
            refused!(log::PRODUCER, api, error, transactional_id = %self.config.id);
        }
        match error {
            ErrorCode::ConcurrentTransactions => {
                // The wait is short, and its failures do not lengthen others'.
                let wait = CONCURRENT.after(1, &mut self.rng);
                self.attempts.note(error);
                self.attempts.put_off_by(wait, now);
            }
            error if error.is_retriable() => self.attempts.failed(error, now),
            ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => {
                let in_doubt = self.end_unanswered == Some(End::Commit);
                self.heed(FatalCause::Fenced { api, error, in_doubt }.into());
            }
            ErrorCode::InvalidProducerIdMapping if matches!(self.state, State::Open | State::Committing) => {
                self.raise_epoch = true;
                self.heed(AbortCause::Told { api, error }.into());
            }
            ErrorCode::TransactionAbortable if matches!(self.state, State::Open | State::Committing) => {
                self.heed(AbortCause::Told { api, error }.into());
            }
            error => self.heed(FatalCause::Refused { api, error }.into()),
        }
    }

    fn answered(&mut self) {
        self.attempts.reset();
    }

    /// Whether no offsets wait.
    fn has_taken_offsets(&self) -> bool {
        self.offsets.is_empty() || self.plot.has(Planted::CommitOvertakesOffsets)
    }
}

impl<F> Producer<F> {
    pub(in crate::producer) fn advance_transaction(&mut self, now: Now) {
        self.step();
        self.look_up_coordinators(now);
        self.ask_coordinator(now);
        self.commit_offsets(now);
    }

    /// The steps that need no answer.
    pub(super) fn step(&mut self) {
        let quiet = self.is_quiet();
        let Some(transactions) = &mut self.transactions else { return };
        if let Some(cause) = transactions.doom.clone() {
            if transactions.state == State::Committing {
                if cause != AbortCause::EndedByCoordinator {
                    transactions.end(Err(cause.clone().into()));
                }
                transactions.state = State::Aborting;
                self.hub.wake = true;
            } else if transactions.state == State::Open {
                // Nothing else may happen for a long time: whoever waits is told now.
                self.hub.wake |= !transactions.offsets.is_empty();
                transactions.settle_offsets(&cause.clone().into());
                self.drop_batches(|| SendFailure::Doomed(Box::new(cause.clone().into())));
            }
        }
        let Some(transactions) = &mut self.transactions else { return };
        match &transactions.state {
            State::Failed(cause) => {
                let failure = Box::new(TransactionFailure::from(cause.clone()));
                self.drop_batches(|| SendFailure::Doomed(failure.clone()));
            }
            State::Aborting => {
                transactions.settle_offsets(&AbortCause::Asked.into());
                self.drop_batches(|| SendFailure::Aborted);
            }
            _ => {}
        }
        let Some(transactions) = &mut self.transactions else { return };
        let untouched =
            self.active.is_empty() && quiet && transactions.offsets.is_empty() && !transactions.touched;
        match transactions.state {
            State::Committing if untouched && transactions.doom.is_none() => {
                self.transaction_ended(End::Commit)
            }
            State::Aborting if untouched => self.transaction_ended(End::Abort),
            _ => {}
        }
    }

    /// Whether no request with a batch is under way.
    fn is_quiet(&self) -> bool {
        !self.hub.expected().any(|pending| matches!(pending, Pending::Batches(_) | Pending::Offsets(_)))
    }

    /// Drops the batches that are not on their way. Of those that are the answer is awaited.
    fn drop_batches(&mut self, failure: impl Fn() -> SendFailure) {
        for index in self.all_active() {
            let Some(queue) = self.queues.get_mut(index) else { continue };
            let dropped = queue.take_waiting();
            if queue.batches.is_empty() {
                self.active.remove(&index);
            }
            if dropped.iter().any(|batch| batch.sequence.is_some()) {
                let stale = queue.break_sequence();
                self.leave_identity(stale);
            }
            for batch in dropped {
                self.decide(index, batch, Err(failure()));
            }
        }
    }

    fn look_up_coordinators(&mut self, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        let (metadata, connections) = (&mut self.hub.metadata, &mut self.hub.connections);
        if !matches!(transactions.state, State::Failed(_))
            && let Some(id) = transactions.coordinator.poll_send(metadata, connections, now)
        {
            self.hub.expect(id, Pending::Coordinator(None));
        }
        let Some(group) = transactions.offsets.front().map(|first| first.group.group_id.clone()) else {
            return;
        };
        let Some(coordinator) = transactions.group_coordinators.get_mut(&group) else { return };
        let (metadata, connections) = (&mut self.hub.metadata, &mut self.hub.connections);
        if let Some(id) = coordinator.poll_send(metadata, connections, now) {
            self.hub.expect(id, Pending::Coordinator(Some(group)));
        }
    }

    pub(in crate::producer) fn handle_coordinator(
        &mut self,
        group: Option<String>,
        response: FindCoordinatorResponse,
        now: Now,
    ) {
        let Some(transactions) = &mut self.transactions else { return };
        let metadata = &mut self.hub.metadata;
        let (api, coordinator) = (
            ApiKey::FindCoordinator,
            match &group {
                None => Some(&mut transactions.coordinator),
                Some(group) => transactions.group_coordinators.get_mut(group),
            },
        );
        let Some(error) = coordinator.and_then(|found| found.handle_response(response, metadata, now)) else {
            return;
        };
        self.hub.wake = true;
        transactions.heed(match group {
            None => FatalCause::Refused { api, error }.into(),
            Some(group) => AbortCause::Offsets { group, at: None, error }.into(),
        });
    }

    fn ask_coordinator(&mut self, now: Now) {
        let quiet = self.is_quiet();
        let Some(transactions) = &mut self.transactions else { return };
        if transactions.asked || !transactions.attempts.is_due(now) {
            return;
        }
        let Some(ask) = transactions.next(self.active.iter().copied(), quiet) else { return };
        let newest = match ask {
            Ask::Partitions(_) => NEWEST_OF_PARTITIONS,
            Ask::End(_) if transactions.flow == Flow::Explicit => NEWEST_END_OF_EXPLICIT,
            _ => i16::MAX,
        };
        let mut to = ToCoordinator {
            coordinator: &mut transactions.coordinator,
            metadata: &self.hub.metadata,
            connections: &mut self.hub.connections,
            now,
        };
        let open = match to.open(Kind::Main, ask.api(), newest) {
            Ok(Some(open)) => open,
            Ok(None) => return self.heed_refused_connection(now),
            Err(_) => return transactions.heed(FatalCause::Unsupported(ask.api()).into()),
        };
        let request = self.ask_as_request(&ask);
        let Some(transactions) = &mut self.transactions else { return };
        let mut to = ToCoordinator {
            coordinator: &mut transactions.coordinator,
            metadata: &self.hub.metadata,
            connections: &mut self.hub.connections,
            now,
        };
        let id = to.send(open, request, None);
        transactions.asked = true;
        // A request that is lost may have been carried out.
        transactions.touched |= matches!(ask, Ask::Partitions(_) | Ask::Group(_));
        self.hub.expect(id, Pending::Transaction(ask));
    }

    /// A broker that has to be asked wants no connection, and will not later.
    fn heed_refused_connection(&mut self, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        let node = transactions.coordinator.node().map(Target::Node);
        let link = node.and_then(|node| self.hub.connections.refusal(node, Kind::Main, now));
        if let Some(refused) = link.or_else(|| self.hub.refusal(now)) {
            transactions.heed(FatalCause::Connection(refused).into());
            self.hub.wake = true;
        }
    }

    fn ask_as_request(&self, ask: &Ask) -> Request {
        let Some(transactions) = &self.transactions else { return InitProducerIdRequest::default().into() };
        let transactional_id = transactions.config.id.clone();
        let Identity { id: producer_id, epoch: producer_epoch } =
            self.identity.known().unwrap_or(Identity { id: -1, epoch: -1 });
        match ask {
            Ask::Identity => InitProducerIdRequest {
                transactional_id: Some(transactional_id),
                transaction_timeout_ms: transactions
                    .config
                    .timeout
                    .as_millis()
                    .try_into()
                    .unwrap_or(i32::MAX),
                producer_id,
                producer_epoch,
                ..Default::default()
            }
            .into(),
            Ask::Partitions(queues) => {
                let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
                for at in queues.iter().filter_map(|queue| self.name_of(*queue)) {
                    topics.entry(at.topic).or_default().push(at.partition);
                }
                let topic = |(name, partitions)| AddPartitionsToTxnTopic { name, partitions };
                AddPartitionsToTxnRequest {
                    v3_and_below_transactional_id: transactional_id,
                    v3_and_below_producer_id: producer_id,
                    v3_and_below_producer_epoch: producer_epoch,
                    v3_and_below_topics: topics.into_iter().map(topic).collect(),
                    ..Default::default()
                }
                .into()
            }
            Ask::Group(group) => AddOffsetsToTxnRequest {
                transactional_id,
                producer_id,
                producer_epoch,
                group_id: group.clone(),
            }
            .into(),
            Ask::End(end) => EndTxnRequest {
                transactional_id,
                producer_id,
                producer_epoch,
                committed: *end == End::Commit
                    || (transactions.doom.is_some() && self.plot.has(Planted::FailedTransactionIsCommitted)),
            }
            .into(),
        }
    }

    pub(in crate::producer) fn handle_transaction(&mut self, ask: Ask, response: Response, now: Now) {
        self.hub.wake = true;
        let Some(transactions) = &mut self.transactions else { return };
        transactions.asked = false;
        transactions.coordinator.answered(&self.hub.metadata, now);
        match (ask, response) {
            (Ask::Identity, Response::InitProducerId(response)) => self.handle_claimed(&response, now),
            (Ask::Partitions(queues), Response::AddPartitionsToTxn(response)) => {
                self.handle_partitions(&queues, &response, now);
            }
            (Ask::Group(group), Response::AddOffsetsToTxn(response)) => match response.error_code {
                ErrorCode::None => {
                    transactions.answered();
                    transactions.groups_added.insert(group);
                }
                error @ ErrorCode::GroupAuthorizationFailed => {
                    transactions.heed(AbortCause::Offsets { group, at: None, error }.into());
                }
                error => transactions.refused(ApiKey::AddOffsetsToTxn, error, now),
            },
            (Ask::End(end), Response::EndTxn(response)) => self.handle_end(end, &response, now),
            _ => debug_assert!(false, "the answer is of another API than the request"),
        }
    }

    /// The coordinator did not answer, so it is not known what became of the request.
    pub(in crate::producer) fn transaction_unanswered(&mut self, ask: &Ask, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        transactions.asked = false;
        transactions.attempts.failed(None, now);
        if let Ask::End(end) = ask {
            transactions.end_unanswered = Some(*end);
            if *end == End::Commit && self.plot.has(Planted::LostEndIsTakenForAbort) {
                self.transaction_ended(End::Abort);
            }
        }
    }

    fn handle_claimed(&mut self, response: &InitProducerIdResponse, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        let given = response.error_code.ok();
        match given.and_then(|()| Identity::given(response.producer_id, response.producer_epoch)) {
            Ok(identity) => {
                self.identity = IdentityState::Known(identity);
                transactions.answered();
                transactions.raise_epoch = false;
                transactions.state = State::Ready;
                // Whoever has the id when a transaction begins may not be connected to.
                if let Some(told) = transactions.flow_told(&self.hub.connections) {
                    transactions.flow = told;
                }
                let Identity { id, epoch } = identity;
                let own = transactions.config.id.as_str();
                tracing::info!(target: log::PRODUCER, transactional_id = own, producer_id = id, epoch, "identity obtained");
            }
            Err(error) => transactions.refused(ApiKey::InitProducerId, error, now),
        }
    }

    fn handle_partitions(&mut self, queues: &[usize], response: &AddPartitionsToTxnResponse, now: Now) {
        let answers: BTreeMap<(&str, i32), ErrorCode> = response
            .results_by_topic_v3_and_below
            .iter()
            .flat_map(|topic| {
                let answer = |it: &ottla_protocol::messages::AddPartitionsToTxnPartitionResponse| {
                    ((topic.name.as_str(), it.partition_index), it.partition_error_code)
                };
                topic.results_by_partition.iter().map(answer)
            })
            .collect();
        // All are added, or none: the others are then told that they were not tried.
        let decisive =
            |error: &&ErrorCode| !matches!(error, ErrorCode::None | ErrorCode::OperationNotAttempted);
        let refused = answers
            .iter()
            .find(|(_, error)| decisive(error))
            .map(|(at, error)| (TopicPartition::new(at.0, at.1), *error));
        let added: Vec<usize> = queues
            .iter()
            .copied()
            .filter(|queue| {
                let at = self.name_of(*queue);
                at.is_some_and(|at| answers.get(&(at.topic.as_str(), at.partition)) == Some(&ErrorCode::None))
            })
            .collect();
        let complete = added.len() == queues.len();
        let Some(transactions) = &mut self.transactions else { return };
        transactions.added.extend(added);
        match refused {
            Some((at, error @ (ErrorCode::TopicAuthorizationFailed | ErrorCode::InvalidTopicException))) => {
                transactions.heed(AbortCause::Partition { at, error }.into());
            }
            Some((_, error)) => {
                if error.is_stale_metadata() {
                    self.hub.metadata.request_update();
                }
                transactions.refused(ApiKey::AddPartitionsToTxn, error, now);
            }
            None if complete => transactions.answered(),
            None => transactions.attempts.failed(None, now),
        }
    }

    fn handle_end(&mut self, end: End, response: &EndTxnResponse, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        match (end, response.error_code) {
            (_, ErrorCode::None) => {
                transactions.settles_at = Some(now.mono + SETTLING);
                match Identity::given(response.producer_id, response.producer_epoch) {
                    Ok(identity) => {
                        transactions.raise_epoch = false;
                        self.raise(identity);
                    }
                    // In the explicit flow none is told.
                    Err(_) => {
                        transactions.raise_epoch |=
                            transactions.flow == Flow::Implicit || response.producer_id >= 0;
                    }
                }
                self.transaction_ended(end);
            }
            (End::Commit, ErrorCode::InvalidTxnState) if self.plot.has(Planted::TimedOutCounts) => {
                self.transaction_ended(end);
            }
            // It is aborted, as it was open for too long, or for a newer producer. That is asked for again: the answer has the
            // next epoch, or tells a zombie by PRODUCER_FENCED, once the newer producer has its own.
            (End::Commit, ErrorCode::InvalidTxnState) if transactions.flow == Flow::Implicit => {
                transactions.answered();
                transactions.heed(AbortCause::EndedByCoordinator.into());
            }
            // Nothing is there to be aborted: what was to begin it never came to the coordinator, or was forgotten.
            (End::Abort, ErrorCode::InvalidTxnState | ErrorCode::InvalidProducerIdMapping) => {
                transactions.raise_epoch = true;
                self.transaction_ended(End::Abort);
            }
            // While the end of the transaction before is written, an EndTxn with the epoch that it has raised looks like a
            // zombie's. Where nothing of this transaction was taken it may be that: the next answer tells who is a zombie.
            (End::Abort, ErrorCode::ProducerFenced) if transactions.may_be_too_early() => {
                transactions.raise_epoch = true;
                self.transaction_ended(End::Abort);
            }
            (_, error) => transactions.refused(ApiKey::EndTxn, error, now),
        }
    }

    /// The end of a transaction has raised the epoch.
    fn raise(&mut self, identity: Identity) {
        if !self.plot.has(Planted::EndKeepsEpoch) {
            self.identity = IdentityState::Known(identity);
        }
    }

    fn transaction_ended(&mut self, end: End) {
        let Some(transactions) = &mut self.transactions else { return };
        transactions.answered();
        let ended = match transactions.doom.take() {
            Some(cause @ AbortCause::EndedByCoordinator) => Err(cause.into()),
            _ => Ok(end),
        };
        transactions.end(ended);
        transactions.touched = false;
        transactions.state = if transactions.raise_epoch { State::Raising } else { State::Ready };
        self.hub.wake = true;
    }
}
