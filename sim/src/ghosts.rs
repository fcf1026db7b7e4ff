//! What was said in a generation or an epoch, and may arrive again when that is over.

use ottla_broker::{GroupKind, GroupView};
use ottla_protocol::{
    ApiKey, Request, RequestHeader, TopicId,
    messages::{ConsumerGroupHeartbeatTopicPartitions, OffsetCommitRequest, OffsetCommitRequestTopic},
};

use crate::{role::GROUP, truth::Truth};

/// All of that.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    commits: Vec<Late>,
    /// In the order in which each was last said.
    beats: Vec<Beat>,
}

impl Ghosts {
    /// A request passes.
    pub(super) fn note(&mut self, key: Option<ApiKey>, frame: &[u8]) {
        if key == Some(ApiKey::OffsetCommit)
            && let Ok((_, Request::OffsetCommit(commit))) = RequestHeader::decode(frame)
            && let Some(late) = Late::of(&commit, frame)
            && !self.commits.iter().any(|known| known.is_like(&late))
        {
            self.commits.push(late);
        }
        if key == Some(ApiKey::ConsumerGroupHeartbeat)
            && let Some(beat) = Beat::of(frame)
        {
            self.beats.retain(|known| !known.is_like(&beat));
            self.beats.push(beat);
        }
    }

    /// Commits that must be refused, where brokers are as `relaxed` as of 4.3.
    pub(super) fn commits(&self, group: &GroupView, relaxed: bool, truth: &Truth) -> Vec<&Late> {
        self.commits.iter().filter(|late| late.is_over(group, relaxed, truth)).collect()
    }

    /// Heartbeats that must be refused.
    pub(super) fn beats(&self, group: &GroupView, truth: &Truth) -> Vec<&Beat> {
        // The epoch before, whose number may be much smaller, is taken for the sake of answers that are lost: of a member
        // that says what it has, and has nothing else than the coordinator knows.
        let is_over = |beat: &&Beat| {
            let member = group.members.iter().find(|member| member.member_id == beat.member_id);
            // Epochs begin anew with a group: what was said before it says nothing of what came after.
            let since = self.beats.iter().skip_while(|other| !std::ptr::eq(*other, *beat));
            let between = |other: &Beat, now: i32| {
                other.member_id == beat.member_id && beat.epoch < other.epoch && other.epoch < now
            };
            member.is_some_and(|member| {
                let overtaken = since.clone().any(|other| between(other, member.epoch));
                let knows = |at: &(String, i32)| member.owned.contains(at);
                let fits = |owned: &Vec<_>| named(owned, truth).iter().all(knows);
                overtaken || beat.epoch < member.epoch && !beat.owned.as_ref().is_some_and(fits)
            })
        };
        self.beats.iter().filter(is_over).collect()
    }
}

/// A commit that may arrive again, when its time is over.
#[derive(Debug, Clone)]
pub(super) struct Late {
    pub(super) generation_id: i32,
    member_id: String,
    /// Topics by name or, where they have none, by id.
    partitions: Vec<(String, TopicId, i32)>,
    pub(super) frame: Vec<u8>,
}

impl Late {
    /// One that a member of the group sent.
    fn of(commit: &OffsetCommitRequest, frame: &[u8]) -> Option<Self> {
        let of_topic = |topic: &OffsetCommitRequestTopic| {
            let (name, id) = (topic.name.clone(), topic.topic_id);
            let numbers: Vec<i32> = topic.partitions.iter().map(|p| p.partition_index).collect();
            numbers.into_iter().map(move |number| (name.clone(), id, number))
        };
        (commit.group_id == GROUP && commit.generation_id_or_member_epoch >= 0).then(|| Self {
            generation_id: commit.generation_id_or_member_epoch,
            member_id: commit.member_id.clone(),
            partitions: commit.topics.iter().flat_map(of_topic).collect(),
            frame: frame.to_vec(),
        })
    }

    fn is_like(&self, other: &Self) -> bool {
        self.generation_id == other.generation_id && self.member_id == other.member_id
    }

    /// Whether it must be refused. Under the consumer protocol an older epoch will do for what is still owned, all of it,
    /// where brokers are as `relaxed` as of 4.3 (KIP-1251).
    fn is_over(&self, group: &GroupView, relaxed: bool, truth: &Truth) -> bool {
        // Of a topic that is gone nothing is taken, nor held against the others.
        let name = |name: &String, id| match name.is_empty() {
            true => truth.topic_ids.get(id).cloned(),
            false => Some(name.clone()),
        };
        let named =
            self.partitions.iter().filter_map(|(topic, id, number)| Some((name(topic, id)?, *number)));
        let named: Vec<(String, i32)> = named.collect();
        let member = group.members.iter().find(|member| member.member_id == self.member_id);
        match group.kind {
            GroupKind::Classic => self.generation_id < group.generation_id,
            GroupKind::Consumer => member.is_none_or(|member| {
                let owns = named.iter().all(|at| member.owned.contains(at));
                self.generation_id < member.epoch && !(relaxed && owns)
            }),
        }
    }
}

/// A heartbeat of the consumer protocol that may arrive again.
#[derive(Debug, Clone)]
pub(super) struct Beat {
    pub(super) epoch: i32,
    member_id: String,
    /// What it says that the member has.
    owned: Option<Vec<(TopicId, i32)>>,
    pub(super) version: i16,
    pub(super) frame: Vec<u8>,
}

impl Beat {
    fn of(frame: &[u8]) -> Option<Self> {
        let (header, request) = RequestHeader::decode(frame).ok()?;
        let Request::ConsumerGroupHeartbeat(request) = request else { return None };
        let of_topic = |topic: ConsumerGroupHeartbeatTopicPartitions| {
            topic.partitions.into_iter().map(move |number| (topic.topic_id, number))
        };
        let owned = request.topic_partitions.map(|topics| topics.into_iter().flat_map(of_topic).collect());
        let (epoch, member_id, version) = (request.member_epoch, request.member_id, header.version);
        (epoch > 0).then(|| Self { epoch, member_id, owned, version, frame: frame.to_vec() })
    }

    fn is_like(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.member_id == other.member_id && self.owned == other.owned
    }
}

/// Partitions by their topics' names, of the topics that are there.
fn named(partitions: &[(TopicId, i32)], truth: &Truth) -> Vec<(String, i32)> {
    let name = |id| truth.topic_ids.get(id).cloned();
    partitions.iter().filter_map(|(id, number)| Some((name(id)?, *number))).collect()
}
