//! A group's offsets as a part of a transaction (KIP-447): they are committed where the transaction is.
//!
//! They go to the group's coordinator, with the member's place in its group: a member that has lost its partitions is
//! refused, and the transaction is then to be aborted.
//!
//! Offsets that were made of records carry the id of the topic that was read (KIP-516): one made anew under its name has another,
//! and an old offset would skip records of it. A coordinator that is named ids (TxnOffsetCommit 6) refuses such offsets. For one that
//! knows only names, the ids are compared here with metadata, before the offsets are sent. What remains possible there: the topic
//! is made anew after the newest metadata, and before the coordinator takes the offsets. Once the topic is seen to be gone, the
//! transaction fails at once.

use std::{collections::BTreeMap, time::Instant};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, TopicId,
    messages::{
        TxnOffsetCommitPartition, TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitTopic,
    },
};

use super::{
    AbortCause, CONCURRENT, FatalCause, Flow, Producer, State, TransactionFailure, TransactionNumber,
    Transactions,
};
use crate::{
    backoff::{Attempts, Backoff},
    cause::Cause,
    connections::Kind,
    coordinator::{Coordinated, Coordinator, ToCoordinator},
    deadline::Earliest,
    group::GroupMetadata,
    ids::{TopicPartition, is_topic_name},
    log::{self, refused},
    metadata::Metadata,
    offsets::CommittedOffset,
    planted::Planted,
    producer::{idempotence::Identity, machine::Pending},
};

/// The newest version in the explicit flow: a later one adds the group by itself.
const NEWEST_OF_EXPLICIT: i16 = 4;
/// From this version on topics are named by their ids.
const BY_ID: i16 = 6;
/// The first version that tells the member's place in its group.
const MEMBER_SINCE: i16 = 3;

/// Stands for offsets that a transaction is to commit. What became of them is asked for with it, before the next
/// transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct OffsetsTicket(u64);

/// Offsets that wait for the group's coordinator to take them.
#[derive(Debug)]
pub(super) struct OffsetsCommit {
    ticket: OffsetsTicket,
    pub(super) group: GroupMetadata,
    /// Those that were not taken yet.
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    since: Instant,
    gives_up_at: Instant,
    attempts: Attempts,
    sent: bool,
    /// The topics by their ids, where the request on its way names them so.
    names: BTreeMap<TopicId, String>,
    /// A topic seems to be gone: metadata that is newer than of this revision tells.
    doubted: Option<u64>,
}

/// What metadata tells of the topics that were read.
enum Read {
    There,
    Gone(TopicPartition),
    /// Metadata that tells it is still to come.
    Unknown,
}

impl OffsetsCommit {
    /// A request names all topics in the same way.
    fn has_ids(&self) -> bool {
        self.offsets.values().all(|committed| committed.topic_id.is_some_and(|id| id != TopicId::ZERO))
    }

    fn topics_read(&self) -> impl Iterator<Item = (&TopicPartition, TopicId)> {
        self.offsets.iter().filter_map(|(at, committed)| Some((at, committed.topic_id?)))
    }

    /// The coordinator does not know a topic: it has not heard of it yet, or the topic is gone.
    fn doubt(&mut self, metadata: &mut Metadata) {
        self.topics_read().for_each(|(at, _)| metadata.ask_also(&at.topic));
        self.doubted = Some(metadata.revision());
        metadata.request_update();
    }

    fn look_for_topics(&mut self, metadata: &mut Metadata) -> Read {
        let newer = self.doubted.is_none_or(|revision| metadata.revision() > revision);
        let told = |(at, _): (&TopicPartition, _)| newer && metadata.topics().contains_key(&at.topic);
        if !self.topics_read().all(told) {
            self.topics_read().for_each(|(at, _)| metadata.ask_also(&at.topic));
            return Read::Unknown;
        }
        let gone = self.topics_read().find(|(at, id)| metadata.is_gone(at, Some(*id)));
        match gone.map(|(at, _)| at.clone()) {
            None => Read::There,
            Some(at) if self.doubted.is_some() => Read::Gone(at),
            // What was read may be newer than the metadata.
            Some(_) => {
                self.doubt(metadata);
                Read::Unknown
            }
        }
    }

    pub(super) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.gives_up_at);
        if !self.sent {
            earliest.consider(self.attempts.next());
        }
    }
}

/// A request with offsets on its way.
#[derive(Debug)]
pub(in crate::producer) struct OffsetsSent(OffsetsTicket);

impl Transactions {
    /// The offsets that wait come to nothing.
    pub(super) fn settle_offsets(&mut self, failure: &TransactionFailure) {
        for commit in std::mem::take(&mut self.offsets) {
            self.offsets_settled.insert(commit.ticket, Err(failure.clone()));
        }
    }

    /// The first of the offsets that wait are taken.
    fn offsets_taken(&mut self) {
        if let Some(taken) = self.offsets.pop_front() {
            self.offsets_settled.insert(taken.ticket, Ok(()));
        }
    }
}

impl<F> Producer<F> {
    /// Has the transaction commit these offsets. Nothing is sent where there are none.
    pub fn send_offsets(
        &mut self,
        of: TransactionNumber,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        group: GroupMetadata,
        now: Now,
    ) -> Result<OffsetsTicket, Box<TransactionFailure>> {
        let timeout = self.config.delivery_timeout;
        let Some(transactions) = self.transactions.as_mut() else {
            return Err(Box::new(FatalCause::Closed.into()));
        };
        let refused: Option<TransactionFailure> = match (&transactions.state, &transactions.doom) {
            (State::Failed(cause), _) => Some(cause.clone().into()),
            (_, Some(cause)) if transactions.current == of => Some(cause.clone().into()),
            (State::Open, None) if transactions.current == of => None,
            _ => Some(AbortCause::Asked.into()),
        };
        if let Some(refused) = refused {
            return Err(Box::new(refused));
        }
        let offsets: BTreeMap<TopicPartition, CommittedOffset> = offsets.into_iter().collect();
        if let Some(at) = offsets.keys().find(|at| !is_topic_name(&at.topic)).cloned() {
            let refused = AbortCause::Partition { at, error: ErrorCode::InvalidTopicException };
            transactions.heed(refused.clone().into());
            self.hub.changed();
            return Err(Box::new(refused.into()));
        }
        transactions.last_offsets.0 += 1;
        let ticket = transactions.last_offsets;
        if offsets.is_empty() {
            transactions.offsets_settled.insert(ticket, Ok(()));
            return Ok(ticket);
        }
        let (backoff, rng) = (transactions.retry_backoff, &mut transactions.rng);
        let id = &group.group_id;
        if !transactions.group_coordinators.contains_key(id) {
            let coordinator = Coordinator::new(Coordinated::Group(id.clone()), backoff, rng.u64(..), now);
            transactions.group_coordinators.insert(id.clone(), coordinator);
        }
        transactions.offsets.push_back(OffsetsCommit {
            ticket,
            group,
            offsets,
            since: now.mono,
            gives_up_at: now.mono + timeout,
            // While the transaction before is still being ended Kafka 4.4.0 says that it is (51), or that it loads (14).
            attempts: Attempts::new(Backoff { first: CONCURRENT.first, ..backoff }, rng.fork()),
            sent: false,
            names: BTreeMap::new(),
            doubted: None,
        });
        self.hub.stir = true;
        Ok(ticket)
    }

    /// What became of the offsets, once that is known: taken, to be committed with the transaction, or not.
    pub fn take_offsets(&mut self, ticket: OffsetsTicket) -> Option<Result<(), TransactionFailure>> {
        if self.closed {
            return Some(Err(FatalCause::Closed.into()));
        }
        self.transactions.as_mut()?.offsets_settled.remove(&ticket)
    }

    /// Sends the first of the offsets that wait.
    pub(super) fn commit_offsets(&mut self, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        let identity = self.identity.known();
        let Some(commit) = transactions.offsets.front_mut() else { return };
        let Some(identity) = identity.filter(|_| !commit.sent && commit.attempts.is_due(now)) else { return };
        let group = &commit.group.group_id;
        let explicit = transactions.flow == Flow::Explicit;
        if explicit && !transactions.groups_added.contains(group) {
            return;
        }
        let Some(coordinator) = transactions.group_coordinators.get_mut(group) else { return };
        let newest = match explicit {
            true => NEWEST_OF_EXPLICIT,
            false if commit.has_ids() => i16::MAX,
            false => BY_ID - 1,
        };
        let (metadata, connections) = (&self.hub.metadata, &mut self.hub.connections);
        let mut to = ToCoordinator { coordinator: &mut *coordinator, metadata, connections, now };
        let open = match to.open(Kind::Main, ApiKey::TxnOffsetCommit, newest) {
            Ok(Some(open)) if open.version >= MEMBER_SINCE => open,
            Ok(None) => return,
            _ => return transactions.heed(FatalCause::Unsupported(ApiKey::TxnOffsetCommit).into()),
        };
        let by_id = open.version >= BY_ID;
        if !by_id || commit.doubted.is_some() {
            match commit.look_for_topics(&mut self.hub.metadata) {
                Read::There => {}
                Read::Unknown => return self.hub.poll_metadata(&self.wanted, now),
                Read::Gone(at) => {
                    let group = commit.group.group_id.clone();
                    transactions.heed(AbortCause::Gone { group, at }.into());
                    return self.step();
                }
            }
        }
        let (metadata, connections) = (&self.hub.metadata, &mut self.hub.connections);
        let mut to = ToCoordinator { coordinator, metadata, connections, now };
        let mut request = request(&transactions.config.id, identity, commit, by_id);
        if self.plot.has(Planted::OffsetsNameNoMember) {
            (request.generation_id_or_member_epoch, request.member_id) = (-1, String::new());
        }
        let id = to.send(open, request, None);
        commit.sent = true;
        transactions.touched = true;
        self.hub.expect(id, Pending::Offsets(OffsetsSent(commit.ticket)));
    }

    pub(in crate::producer) fn handle_offsets(
        &mut self,
        sent: &OffsetsSent,
        response: TxnOffsetCommitResponse,
        now: Now,
    ) {
        self.hub.wake = true;
        let Some(transactions) = &mut self.transactions else { return };
        let Some(commit) = transactions.offsets.front_mut().filter(|first| first.ticket == sent.0) else {
            return;
        };
        commit.sent = false;
        let group = commit.group.group_id.clone();
        let (mut again, names) = (None, std::mem::take(&mut commit.names));
        for topic in response.topics {
            let name = names.get(&topic.topic_id).unwrap_or(&topic.name);
            for answer in topic.partitions {
                let at = TopicPartition::new(name.as_str(), answer.partition_index);
                let error = answer.error_code;
                if error.is_ok() || (!error.is_retriable() && self.plot.has(Planted::RefusedOffsetsCount)) {
                    commit.offsets.remove(&at);
                    transactions.landed = true;
                } else if error.is_retriable() {
                    if matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) {
                        commit.doubt(&mut self.hub.metadata);
                    }
                    again.get_or_insert(error);
                } else {
                    return transactions.heed(refused_for(group, at, error));
                }
            }
        }
        if commit.offsets.is_empty() {
            return transactions.offsets_taken();
        }
        match again {
            Some(ErrorCode::ConcurrentTransactions) => {
                let wait = CONCURRENT.after(1, &mut transactions.rng);
                commit.attempts.put_off_by(wait, now);
            }
            again => {
                if let Some(error) = again.filter(|error| commit.attempts.is_news(*error)) {
                    refused!(log::PRODUCER, ApiKey::TxnOffsetCommit, error, group = %group);
                }
                commit.attempts.failed(again, now);
            }
        }
        if let (Some(error), Some(coordinator)) = (again, transactions.group_coordinators.get_mut(&group)) {
            coordinator.heard(error, now);
        }
    }

    pub(in crate::producer) fn offsets_unanswered(&mut self, sent: &OffsetsSent, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        if let Some(commit) = transactions.offsets.front_mut().filter(|first| first.ticket == sent.0) {
            commit.sent = false;
            commit.attempts.failed(None, now);
        }
    }

    pub(in crate::producer) fn coordinator_unanswered(&mut self, group: Option<&str>, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        let coordinator = match group {
            None => Some(&mut transactions.coordinator),
            Some(group) => transactions.group_coordinators.get_mut(group),
        };
        if let Some(coordinator) = coordinator {
            coordinator.handle_unanswered(now);
        }
    }

    /// Gives up offsets that nobody has taken for too long.
    pub(in crate::producer) fn expire_offsets(&mut self, now: Now) {
        let Some(transactions) = &mut self.transactions else { return };
        let Some(first) = transactions.offsets.front().filter(|first| first.gives_up_at <= now.mono) else {
            return;
        };
        let group = first.group.group_id.clone();
        let waited = now.mono.saturating_duration_since(first.since);
        let node = transactions.group_coordinators.get(&group).and_then(Coordinator::node);
        let address = node.and_then(|node| self.hub.metadata.address(node).cloned());
        let cause = first.attempts.error().map(|error| Cause::Broker { address, error });
        transactions.heed(AbortCause::OffsetsTimedOut { group, waited, cause }.into());
        self.hub.wake = true;
    }
}

fn refused_for(group: String, at: TopicPartition, error: ErrorCode) -> TransactionFailure {
    let api = ApiKey::TxnOffsetCommit;
    match error {
        ErrorCode::ProducerFenced => FatalCause::Fenced { api, error, in_doubt: false }.into(),
        ErrorCode::TransactionalIdAuthorizationFailed | ErrorCode::UnsupportedForMessageFormat => {
            FatalCause::Refused { api, error }.into()
        }
        // Of a zombie, or of a transaction that timed out: the answer to the abort tells which.
        ErrorCode::InvalidProducerEpoch
        | ErrorCode::InvalidProducerIdMapping
        | ErrorCode::TransactionAbortable => AbortCause::Told { api, error }.into(),
        error => {
            // What is wrong with the member is so for every partition.
            let of_member = matches!(
                error,
                ErrorCode::GroupAuthorizationFailed
                    | ErrorCode::IllegalGeneration
                    | ErrorCode::UnknownMemberId
                    | ErrorCode::FencedInstanceId
                    | ErrorCode::StaleMemberEpoch
            );
            AbortCause::Offsets { group, at: (!of_member).then_some(at), error }.into()
        }
    }
}

fn request(id: &str, identity: Identity, commit: &mut OffsetsCommit, by_id: bool) -> TxnOffsetCommitRequest {
    let mut topics: BTreeMap<(&String, TopicId), Vec<TxnOffsetCommitPartition>> = BTreeMap::new();
    for (at, committed) in &commit.offsets {
        let topic_id = committed.topic_id.filter(|_| by_id).unwrap_or(TopicId::ZERO);
        topics.entry((&at.topic, topic_id)).or_default().push(TxnOffsetCommitPartition {
            partition_index: at.partition,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(committed.metadata.clone()),
        });
    }
    if by_id {
        commit.names = topics.keys().map(|(name, topic_id)| (*topic_id, (*name).clone())).collect();
    }
    let topic = |((name, topic_id), partitions): ((&String, TopicId), _)| TxnOffsetCommitTopic {
        name: name.clone(),
        topic_id,
        partitions,
    };
    let group = &commit.group;
    TxnOffsetCommitRequest {
        transactional_id: id.to_owned(),
        group_id: group.group_id.clone(),
        producer_id: identity.id,
        producer_epoch: identity.epoch,
        generation_id_or_member_epoch: group.generation_id,
        member_id: group.member_id.clone(),
        group_instance_id: group.group_instance_id.clone().filter(|_| group.generation_id >= 0),
        topics: topics.into_iter().map(topic).collect(),
    }
}
