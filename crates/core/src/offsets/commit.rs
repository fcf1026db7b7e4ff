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
    backoff::Backoff,
    connections::{Connections, Kind, Target},
    coordinator::Coordinator,
    deadline::Earliest,
    ids::{OpId, RequestId, TopicPartition},
    metadata::Metadata,
    offsets::CommittedOffset,
    planted::{Planted, Plot},
};

/// The newest version that names topics; the next names them by id.
const NEWEST: i16 = 9;

/// On whose behalf a commit is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Commits {
    group: String,
    pending: Batch,
    in_flight: Option<(RequestId, Batch)>,
    interval: Option<Duration>,
    next_auto: Option<Instant>,
    backoff: Backoff,
    failures: u32,
    retry_at: Option<Instant>,
    pub(crate) last_error: Option<ErrorCode>,
    rng: fastrand::Rng,
    pub(crate) plot: Plot,
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
            backoff,
            failures: 0,
            retry_at: None,
            last_error: None,
            rng: fastrand::Rng::with_seed(seed),
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

    /// Offsets of partitions that are not this member's any more are not committed. Returns whose wish that was.
    pub(crate) fn discard(&mut self) -> Vec<OpId> {
        if self.plot.has(Planted::CommitsSurviveLoss) {
            return Vec::new();
        }
        self.retry_at = None;
        let mut ops = std::mem::take(&mut self.pending).ops;
        ops.extend(self.in_flight.take().into_iter().flat_map(|(_, batch)| batch.ops));
        ops
    }

    pub(crate) fn poll_send(
        &mut self,
        by: &Committer,
        coordinator: &mut Coordinator,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let waits = self.retry_at.is_some_and(|at| at > now.mono);
        if self.pending.offsets.is_empty() || self.in_flight.is_some() || waits {
            return None;
        }
        let target = Target::Node(coordinator.ready(Kind::Main, metadata, connections, now)?);
        let version = connections.version(target, Kind::Main, ApiKey::OffsetCommit, NEWEST).ok()?;
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
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        };
        let id = connections.send(target, Kind::Main, version, request, None, now);
        self.in_flight = Some((id, batch));
        Some(id)
    }

    pub(crate) fn handle_response(
        &mut self,
        id: RequestId,
        response: OffsetCommitResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> Option<CommitNews> {
        let (_, batch) = self.in_flight.take_if(|(sent, _)| *sent == id)?;
        let partitions = response.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic
                .partitions
                .into_iter()
                .map(move |p| (TopicPartition::new(name.clone(), p.partition_index), p))
        });
        let failed =
            partitions.filter(|(_, p)| !p.error_code.is_ok()).map(|(at, p)| (p.error_code, at)).next();
        self.last_error = failed.as_ref().map(|(error, _)| *error);
        match failed {
            None => {
                (self.failures, self.retry_at) = (0, None);
                Some(CommitNews { ops: batch.ops, result: Ok(batch.offsets) })
            }
            Some((error, _)) if error.is_retriable() => {
                if matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                    coordinator.forget(now);
                }
                self.again(batch, now);
                None
            }
            Some((error, at)) => Some(CommitNews { ops: batch.ops, result: Err((error, Some(at))) }),
        }
    }

    pub(crate) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        if let Some((_, batch)) = self.in_flight.take_if(|(sent, _)| *sent == id) {
            self.again(batch, now);
        }
    }

    /// Under what was asked since, which is newer.
    fn again(&mut self, batch: Batch, now: Now) {
        for (at, committed) in batch.offsets {
            match self.plot.has(Planted::RetriedCommitWins) {
                true => drop(self.pending.offsets.insert(at, committed)),
                false => drop(self.pending.offsets.entry(at).or_insert(committed)),
            }
        }
        self.pending.ops.extend(batch.ops);
        self.failures += 1;
        self.retry_at = Some(now.mono + self.backoff.after(self.failures, &mut self.rng));
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.next_auto);
        if !self.pending.offsets.is_empty() {
            earliest.consider(self.retry_at);
        }
    }
}
