//! Committing: one request in flight, and what is asked meanwhile merged into the next, the newest *request* winning
//! (not the largest offset: to seek back and commit is legal).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    },
};

use crate::{
    backoff::{Attempts, Backoff},
    connections::Kind,
    coordinator::{Coordinator, ToCoordinator},
    deadline::Earliest,
    group::Membership,
    ids::{OpId, RequestId, TopicPartition},
    offsets::CommittedOffset,
    planted::{Planted, Plot},
};

/// The newest version that names topics; the next names them by id.
const NEWEST: i16 = 9;

/// On whose behalf a commit is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committer {
    /// The generation, or the member epoch; -1 for nobody.
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Commits {
    group: String,
    pending: Batch,
    in_flight: Option<InFlight>,
    interval: Option<Duration>,
    next_auto: Option<Instant>,
    pub(crate) attempts: Attempts,
    pub(crate) plot: Plot,
}

#[derive(Debug)]
struct InFlight {
    id: RequestId,
    since: Instant,
    by: Committer,
    batch: Batch,
}

#[derive(Debug, Default)]
struct Batch {
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    ops: Vec<OpId>,
}

/// What a commit came to.
#[derive(Debug)]
pub(crate) struct CommitNews {
    pub(crate) ops: Vec<OpId>,
    pub(crate) result: Result<BTreeMap<TopicPartition, CommittedOffset>, (ErrorCode, Option<TopicPartition>)>,
}

impl Commits {
    pub(crate) fn new(
        group: String,
        interval: Option<Duration>,
        backoff: Backoff,
        seed: u64,
        now: Now,
    ) -> Self {
        Self {
            group,
            pending: Batch::default(),
            in_flight: None,
            interval,
            next_auto: interval.map(|interval| now.mono + interval),
            attempts: Attempts::new(backoff, fastrand::Rng::with_seed(seed)),
            plot: Plot::default(),
        }
    }

    /// Whether offsets are committed without being asked to.
    pub(crate) fn is_auto(&self) -> bool {
        self.interval.is_some()
    }

    /// Whether the interval has passed; begins the next.
    pub(crate) fn take_due(&mut self, now: Now) -> bool {
        let due = self.next_auto.is_some_and(|at| at <= now.mono);
        if due {
            self.next_auto = self.interval.map(|interval| now.mono + interval);
        }
        due
    }

    pub(crate) fn request(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        op: Option<OpId>,
    ) {
        let largest = self.plot.has(Planted::LargestCommitWins);
        for (at, committed) in offsets {
            let older =
                self.pending.offsets.remove(&at).filter(|older| largest && older.offset > committed.offset);
            self.pending.offsets.insert(at, older.unwrap_or(committed));
        }
        self.pending.ops.extend(op);
    }

    /// Whether everything asked for has been answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.pending.offsets.is_empty() && self.pending.ops.is_empty()
    }

    /// Since when the coordinator has been asked and has not answered.
    pub(crate) fn asked_since(&self) -> Option<Instant> {
        self.in_flight.as_ref().map(|sent| sent.since)
    }

    /// Offsets of partitions that are not this member's any more are not committed. Returns whose wish that was.
    pub(crate) fn discard(&mut self) -> Vec<OpId> {
        if self.plot.has(Planted::CommitsSurviveLoss) {
            return Vec::new();
        }
        self.attempts.reset();
        let mut ops = std::mem::take(&mut self.pending).ops;
        ops.extend(self.in_flight.take().into_iter().flat_map(|sent| sent.batch.ops));
        ops
    }

    /// Nothing is sent while it is unsettled in whose name.
    pub(crate) fn poll_send(
        &mut self,
        by: Option<Committer>,
        to: &mut ToCoordinator<'_>,
    ) -> Result<Option<RequestId>, ErrorCode> {
        if self.pending.offsets.is_empty() || self.in_flight.is_some() || !self.attempts.is_due(to.now) {
            return Ok(None);
        }
        let Some(by) = by else { return Ok(None) };
        let Some(open) = to.open(Kind::Main, ApiKey::OffsetCommit, NEWEST)? else { return Ok(None) };
        let batch = std::mem::take(&mut self.pending);
        let mut topics: BTreeMap<&String, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (at, committed) in &batch.offsets {
            topics.entry(&at.topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: at.partition,
                committed_offset: committed.offset,
                committed_metadata: Some(committed.metadata.clone()),
                ..Default::default()
            });
        }
        let topic = |(name, partitions): (&String, _)| OffsetCommitRequestTopic {
            name: name.clone(),
            partitions,
            ..Default::default()
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
        self.in_flight = Some(InFlight { id, since: to.now.mono, by, batch });
        Ok(Some(id))
    }

    pub(crate) fn handle_response(
        &mut self,
        id: RequestId,
        response: OffsetCommitResponse,
        coordinator: &mut Coordinator,
        membership: &Membership,
        now: Now,
    ) -> Option<CommitNews> {
        let InFlight { by, batch, .. } = self.in_flight.take_if(|sent| sent.id == id)?;
        let partitions = response.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic
                .partitions
                .into_iter()
                .map(move |p| (TopicPartition::new(name.clone(), p.partition_index), p))
        });
        let failed =
            partitions.filter(|(_, p)| !p.error_code.is_ok()).map(|(at, p)| (p.error_code, at)).next();
        match failed {
            None => {
                self.attempts.reset();
                Some(CommitNews { ops: batch.ops, result: Ok(batch.offsets) })
            }
            Some((error, _)) if error.is_retriable() || membership.commits_again(error, &by) => {
                coordinator.heard(error, now);
                self.again(batch, Some(error), now);
                None
            }
            Some((error, at)) => {
                self.attempts.reset();
                Some(CommitNews { ops: batch.ops, result: Err((error, Some(at))) })
            }
        }
    }

    pub(crate) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        if let Some(sent) = self.in_flight.take_if(|sent| sent.id == id) {
            self.again(sent.batch, None, now);
        }
    }

    /// Under what was asked since, which is newer.
    fn again(&mut self, batch: Batch, error: Option<ErrorCode>, now: Now) {
        for (at, committed) in batch.offsets {
            match self.plot.has(Planted::RetriedCommitWins) {
                true => drop(self.pending.offsets.insert(at, committed)),
                false => drop(self.pending.offsets.entry(at).or_insert(committed)),
            }
        }
        self.pending.ops.extend(batch.ops);
        self.attempts.failed(error, now);
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.next_auto);
        if !self.pending.offsets.is_empty() {
            earliest.consider(self.attempts.next());
        }
    }
}
