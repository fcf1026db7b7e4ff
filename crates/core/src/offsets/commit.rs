//! Committing: one request is in flight at a time, and commits that are asked for meanwhile are merged into the
//! next. The newest *request* wins, and not the largest offset: to seek back and commit is legal. Each partition of
//! a request settles by itself.
//!
//! If a broker does not know a topic, it has not heard of the topic yet, or the topic is gone. Such a partition is
//! kept apart (`unknown`), so that no other waits for it. It is tried again when there is newer metadata, unless
//! [`Commits::give_up_unknown`] lets go of it; so it does at once where the metadata lacks the partition, too.
//!
//! Each commit carries the id of the topic that was read (KIP-516, KIP-848). A topic that is deleted and made anew under its name
//! has another id: an offset of the old log would skip records of the new one. A coordinator that is named ids refuses such a
//! commit. For one that knows only names the ids are compared here, before the commit is sent. What remains possible there: the
//! topic is made anew after the newest metadata, and before the coordinator takes the commit.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, TopicId,
    messages::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
        OffsetCommitResponsePartition,
    },
};

use crate::{
    backoff::{Attempts, Backoff, Retry},
    connections::Kind,
    coordinator::{Coordinator, ToCoordinator},
    deadline::Earliest,
    event::CommitGivenUp,
    group::Committer,
    ids::{OpId, RequestId, TopicPartition},
    lanes::Lanes,
    log::{self, Listed, refused},
    metadata::Metadata,
    offsets::{AutoCommit, CommitStats, CommittedOffset},
    planted::{Planted, Plot},
    telemetry::Took,
};

/// From this version on topics are named by their ids.
const BY_ID: i16 = 10;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Commits {
    group: String,
    pending: Batch,
    in_flight: Option<InFlight>,
    unknown: Batch,
    unknown_attempts: Attempts,
    /// When a broker first did not know these partitions, and the revision of the metadata then; `None` if that
    /// metadata lacked them, too.
    unknown_since: BTreeMap<TopicPartition, (Instant, Option<u64>)>,
    auto: Option<AutoCommit>,
    attempts: Attempts,
    pub(crate) stats: CommitStats,
    /// How long answers took lately.
    pub(crate) recent: Took,
    /// Since when there has been something to commit and nothing was; `None` where there is nothing.
    waiting_since: Option<Instant>,
    pub(crate) plot: Plot,
}

#[derive(Debug)]
struct InFlight {
    id: RequestId,
    since: Instant,
    by: Committer,
    batch: Batch,
    /// The topics by their ids, where the request names them so.
    names: BTreeMap<TopicId, String>,
}

type Batch = BTreeMap<TopicPartition, Wish>;

/// An offset that is to be committed in one partition.
#[derive(Debug)]
struct Wish {
    committed: CommittedOffset,
    /// Of the topic that was read; where none was, of the one that the coordinator was asked about first.
    topic_id: Option<TopicId>,
    /// The operations that asked for it, or for one that it took the place of.
    ops: Vec<OpId>,
}

/// The outcome of a commit in one partition.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) at: TopicPartition,
    pub(crate) committed: CommittedOffset,
    /// The operations that wait for it; none where no user asked for the commit.
    pub(crate) ops: Vec<OpId>,
    pub(crate) result: Result<(), CommitRefusal>,
}

/// Why a partition's offset is not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitRefusal {
    /// The coordinator refused with this error.
    Refused(ErrorCode),
    /// The partition's topic is gone.
    Gone,
}

impl Settled {
    fn new(at: TopicPartition, wish: Wish, result: Result<(), CommitRefusal>) -> Self {
        Self { at, committed: wish.committed, ops: wish.ops, result }
    }
}

impl Commits {
    pub(crate) fn new(group: String, auto: Option<AutoCommit>, backoff: Backoff, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            group,
            pending: Batch::default(),
            in_flight: None,
            unknown: Batch::default(),
            unknown_attempts: Attempts::new(backoff, rng.fork()),
            unknown_since: BTreeMap::new(),
            auto,
            attempts: Attempts::new(backoff, rng),
            stats: CommitStats::default(),
            recent: Took::default(),
            waiting_since: None,
            plot: Plot::default(),
        }
    }

    /// Whether offsets are committed without a call of the user's.
    pub(crate) fn is_auto(&self) -> bool {
        self.auto.is_some()
    }

    /// When that is done.
    pub(crate) fn auto(&self) -> Option<&AutoCommit> {
        self.auto.as_ref()
    }

    /// Whether it is time to do so, where users have come back from so many records (`done`). If so, the time begins anew.
    pub(crate) fn take_due(&mut self, done: u64, now: Now) -> bool {
        self.auto.as_mut().is_some_and(|auto| auto.take_due(done, now))
    }

    /// Asks for offsets to be committed. Partitions that are assigned are of the topic that they are read of (`lanes`).
    pub(crate) fn request<F>(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        op: Option<OpId>,
        lanes: &Lanes<F>,
    ) {
        let largest = self.plot.has(Planted::LargestCommitWins);
        for (at, committed) in offsets {
            let topic_id = committed.topic_id.or_else(|| lanes.topic_id(&at));
            let mut wish = Wish { committed, topic_id, ops: op.into_iter().collect() };
            if let Some(older) = self.unknown.remove(&at) {
                wish.ops.extend(older.ops);
            }
            if let Some(older) = self.pending.remove(&at) {
                wish.ops.extend(older.ops);
                if largest && older.committed.offset > wish.committed.offset {
                    wish.committed = older.committed;
                }
            }
            self.pending.insert(at, wish);
        }
    }

    /// Whether every commit that was asked for is settled.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.pending.is_empty() && self.unknown.is_empty()
    }

    /// Whether an offset of this partition waits to be committed. Partitions that the broker does not know do not count.
    pub(crate) fn is_under_way(&self, at: &TopicPartition) -> bool {
        let sent = self.in_flight.as_ref().is_some_and(|sent| sent.batch.contains_key(at));
        sent || self.pending.contains_key(at)
    }

    /// Whether an offset of a partition that is to go waits to be committed. Those of what stays are not waited for: where each
    /// follows the other, as with a short interval, there is always one under way.
    pub(crate) fn are_revoking<F>(&self, lanes: &Lanes<F>) -> bool {
        let waits = |at: &TopicPartition| self.is_under_way(at) || self.unknown.contains_key(at);
        lanes.revoking().any(|(_, lane)| waits(&lane.at))
    }

    /// Why a commit is tried again, and when.
    pub(crate) fn retry(&self, now: Now) -> Option<Retry> {
        self.attempts.retry(now).or_else(|| self.unknown_attempts.retry(now))
    }

    /// Since when there has been something to commit and nothing was.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// Since when a request has been in flight without an answer.
    pub(crate) fn asked_since(&self) -> Option<Instant> {
        self.in_flight.as_ref().map(|sent| sent.since)
    }

    /// Drops all commits, as the partitions are not this member's any more. Returns the operations that waited for them.
    pub(crate) fn discard(&mut self) -> Vec<OpId> {
        if self.plot.has(Planted::CommitsSurviveLoss) {
            return Vec::new();
        }
        self.attempts.reset();
        let all = self.take_all();
        if !all.is_empty() {
            let partitions = Listed(all.keys());
            tracing::warn!(target: log::OFFSETS, %partitions, why = "not a member any more", "commit given up");
        }
        all.into_values().flat_map(|wish| wish.ops).collect()
    }

    /// Gives up all commits that are not settled by now. Returns those that no user asked for, with the last error.
    pub(crate) fn give_up(&mut self) -> Vec<CommitGivenUp> {
        let error = self.attempts.error().or(self.unknown_attempts.error());
        self.attempts.reset();
        let unasked = self.take_all().into_iter().filter(|(_, wish)| wish.ops.is_empty());
        unasked.map(|(at, wish)| CommitGivenUp { at, offset: wish.committed.offset, error }).collect()
    }

    fn take_all(&mut self) -> Batch {
        let mut all = std::mem::take(&mut self.pending);
        put_under(&mut all, std::mem::take(&mut self.unknown));
        put_under(&mut all, self.in_flight.take().map(|sent| sent.batch).unwrap_or_default());
        self.settle_unknown();
        self.stats.failed += all.len() as u64;
        all
    }

    /// Gives up partitions that a broker does not know: at once where something waits for the commits (`hurried`),
    /// otherwise when the metadata lacks the partition, too, or after `timeout`.
    pub(crate) fn give_up_unknown(
        &mut self,
        hurried: bool,
        timeout: Duration,
        metadata: &Metadata,
        now: Now,
    ) -> Vec<Settled> {
        if self.plot.has(Planted::UnknownTopicHoldsUpCommits) {
            return Vec::new();
        }
        let since = &self.unknown_since;
        let is_gone = |at: &TopicPartition, wish: &Wish| {
            let Some((since, revision)) = since.get(at) else { return hurried };
            let gone = || is_newer(metadata, *revision) && metadata.is_gone(at, wish.topic_id);
            hurried || *since + timeout <= now.mono || gone()
        };
        let gone = take_gone(&mut self.unknown, is_gone);
        self.stats.failed += gone.len() as u64;
        self.settle_unknown();
        gone
    }

    /// Forgets that partitions were unknown, as soon as no commit of them waits any more.
    fn settle_unknown(&mut self) {
        let sent = self.in_flight.as_ref().map(|sent| &sent.batch);
        let asked = |at: &TopicPartition| {
            [&self.unknown, &self.pending].into_iter().chain(sent).any(|b| b.contains_key(at))
        };
        self.unknown_since.retain(|at, _| asked(at));
        if self.unknown_since.is_empty() {
            self.unknown_attempts.reset();
        }
    }

    /// Sends the commits that wait, in the name of `by`; nothing where that is `None`, as the name is still open. Commits of
    /// topics that were made anew are added to `gone`, where the coordinator would take them.
    pub(crate) fn poll_send(
        &mut self,
        by: Option<Committer>,
        to: &mut ToCoordinator<'_>,
        gone: &mut Vec<Settled>,
    ) -> Result<Option<RequestId>, ErrorCode> {
        self.waiting_since = match self.is_idle() {
            true => None,
            false => self.waiting_since.or(Some(to.now.mono)),
        };
        let newer = |(_, revision): &(Instant, Option<u64>)| is_newer(to.metadata, *revision);
        if self.unknown_attempts.is_due(to.now) && self.unknown_since.values().all(newer) {
            put_under(&mut self.pending, std::mem::take(&mut self.unknown));
        }
        if self.pending.is_empty() || self.in_flight.is_some() || !self.attempts.is_due(to.now) {
            return Ok(None);
        }
        let nobody = || Committer { generation_id: -1, member_id: String::new(), instance_id: None };
        let by = by.or_else(|| self.plot.has(Planted::CommitsAsNobody).then(nobody));
        let Some(by) = by else { return Ok(None) };
        let metadata = to.metadata;
        for (at, wish) in &mut self.pending {
            wish.topic_id = wish.topic_id.or_else(|| metadata.id_of(&at.topic));
        }
        // A request names all topics in the same way.
        let named = self.pending.values().all(|wish| wish.topic_id.is_some_and(|id| id != TopicId::ZERO));
        let limit = if named { i16::MAX } else { BY_ID - 1 };
        let Some(open) = to.open(Kind::Main, ApiKey::OffsetCommit, limit)? else { return Ok(None) };
        let by_id = open.version >= BY_ID;
        if !by_id {
            let is_another = |at: &TopicPartition, wish: &Wish| {
                wish.topic_id.is_some_and(|id| metadata.has_another(&at.topic, id))
            };
            let others = take_gone(&mut self.pending, is_another);
            self.stats.failed += others.len() as u64;
            gone.extend(others);
            self.settle_unknown();
            if self.pending.is_empty() {
                return Ok(None);
            }
        }
        let (batch, mut names) = (std::mem::take(&mut self.pending), BTreeMap::new());
        let mut topics: BTreeMap<(&String, TopicId), Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (at, Wish { committed, topic_id, .. }) in &batch {
            let id = topic_id.filter(|_| by_id).unwrap_or(TopicId::ZERO);
            topics.entry((&at.topic, id)).or_default().push(OffsetCommitRequestPartition {
                partition_index: at.partition,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
                committed_metadata: Some(committed.metadata.clone()),
            });
        }
        let topic = |((name, topic_id), partitions): ((&String, TopicId), _)| {
            if by_id {
                names.insert(topic_id, name.clone());
            }
            OffsetCommitRequestTopic { name: name.clone(), topic_id, partitions }
        };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: by.generation_id,
            member_id: by.member_id.clone(),
            group_instance_id: by.instance_id.clone().filter(|_| by.generation_id >= 0),
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        };
        let id = to.send(open, request, None);
        self.in_flight = Some(InFlight { id, since: to.now.mono, by, batch, names });
        Ok(Some(id))
    }

    /// Returns the commits that are settled. The others are tried again.
    pub(crate) fn handle_response(
        &mut self,
        id: RequestId,
        response: OffsetCommitResponse,
        coordinator: &mut Coordinator,
        commits_again: impl Fn(ErrorCode, &Committer) -> bool,
        metadata: &mut Metadata,
        now: Now,
    ) -> Vec<Settled> {
        let Some(sent) = self.in_flight.take_if(|sent| sent.id == id) else { return Vec::new() };
        let InFlight { since, by, mut batch, names, .. } = sent;
        self.stats.requests += 1;
        let took = now.mono.saturating_duration_since(since);
        self.stats.latency += took;
        self.recent.add(took);
        let (mut settled, mut again, mut why) = (Vec::new(), Batch::new(), None);
        let was_known = self.unknown.is_empty();
        for (at, error) in answers(response, &names) {
            let Some(wish) = batch.remove(&at) else { continue };
            match error {
                ErrorCode::None => settled.push(Settled::new(at, wish, Ok(()))),
                ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
                    let known = (!metadata.is_gone(&at, wish.topic_id)).then(|| metadata.revision());
                    self.unknown_since.entry(at.clone()).or_insert((now.mono, known));
                    put_under(&mut self.unknown, Batch::from([(at, wish)]));
                }
                error if error.is_retriable() && self.plot.has(Planted::RefusedPartitionCounts) => {
                    coordinator.heard(error, now);
                    settled.push(Settled::new(at, wish, Ok(())));
                }
                error if error.is_retriable() || commits_again(error, &by) => {
                    coordinator.heard(error, now);
                    why.get_or_insert(error);
                    again.insert(at, wish);
                }
                error => settled.push(Settled::new(at, wish, Err(CommitRefusal::Refused(error)))),
            }
        }
        if was_known && !self.unknown.is_empty() {
            metadata.request_update();
            let error = ErrorCode::UnknownTopicOrPartition;
            if self.unknown_attempts.is_news(error) {
                let partitions = Listed(self.unknown.keys());
                refused!(log::OFFSETS, ApiKey::OffsetCommit, error, %partitions);
            }
            self.unknown_attempts.failed(error, now);
        }
        // Partitions that the answer leaves out are tried again, as after an error that may pass.
        again.append(&mut batch);
        match again.is_empty() {
            true => self.attempts.reset(),
            false => {
                if let Some(error) = why.filter(|error| self.attempts.is_news(*error)) {
                    let partitions = Listed(again.keys());
                    refused!(log::OFFSETS, ApiKey::OffsetCommit, error, %partitions);
                }
                self.again(again, why, now);
            }
        }
        self.settle_unknown();
        let done = settled.iter().filter(|settled| settled.result.is_ok()).count();
        self.stats.done += done as u64;
        if done > 0 {
            self.waiting_since = None;
        }
        self.stats.failed += (settled.len() - done) as u64;
        settled
    }

    pub(crate) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        if let Some(sent) = self.in_flight.take_if(|sent| sent.id == id) {
            self.again(sent.batch, None, now);
        }
    }

    /// Tries these commits again. Where a newer one of the same partition was asked for since, that one stands.
    fn again(&mut self, mut batch: Batch, error: Option<ErrorCode>, now: Now) {
        if self.plot.has(Planted::RetryLosesMetadata) {
            batch.values_mut().for_each(|wish| wish.committed.metadata.clear());
        }
        self.put_back(batch);
        self.attempts.failed(error, now);
    }

    fn put_back(&mut self, batch: Batch) {
        let newer = std::mem::take(&mut self.pending);
        let (mut stands, yields) = match self.plot.has(Planted::RetriedCommitWins) {
            true => (batch, newer),
            false => (newer, batch),
        };
        put_under(&mut stands, yields);
        self.pending = stands;
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.auto.as_ref().map(AutoCommit::deadline));
        if !self.pending.is_empty() {
            earliest.consider(self.attempts.next());
        }
        if !self.unknown.is_empty() {
            earliest.consider(self.unknown_attempts.next());
        }
    }
}

/// Whether the metadata is newer than the revision `known`, which had a partition that a broker did not know; also
/// where none had it (`None`).
fn is_newer(metadata: &Metadata, known: Option<u64>) -> bool {
    known.is_none_or(|known| metadata.revision() > known)
}

/// Takes out the wishes that are in vain, as their partitions are gone.
fn take_gone(batch: &mut Batch, is_gone: impl Fn(&TopicPartition, &Wish) -> bool) -> Vec<Settled> {
    let (gone, rest): (Batch, Batch) =
        std::mem::take(batch).into_iter().partition(|(at, wish)| is_gone(at, wish));
    *batch = rest;
    gone.into_iter().map(|(at, wish)| Settled::new(at, wish, Err(CommitRefusal::Gone))).collect()
}

/// Adds the older wishes to the batch. Where both have a partition, the one in `batch` stands, and the operations
/// of the older one wait for it, too.
fn put_under(batch: &mut Batch, older: Batch) {
    for (at, older) in older {
        match batch.entry(at) {
            Entry::Vacant(place) => drop(place.insert(older)),
            Entry::Occupied(mut newer) => newer.get_mut().ops.extend(older.ops),
        }
    }
}

/// What an answer says of each partition. `names` are those of the topics that it names by their ids.
fn answers(
    response: OffsetCommitResponse,
    names: &BTreeMap<TopicId, String>,
) -> impl Iterator<Item = (TopicPartition, ErrorCode)> {
    response.topics.into_iter().flat_map(|topic| {
        let name = names.get(&topic.topic_id).cloned().unwrap_or(topic.name);
        let answer = move |p: OffsetCommitResponsePartition| {
            (TopicPartition::new(name.clone(), p.partition_index), p.error_code)
        };
        topic.partitions.into_iter().map(answer)
    })
}
