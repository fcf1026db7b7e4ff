use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::TopicPartition,
    offsets::{CommittedOffset, NEWEST_BY_NAME},
};

/// Commits offsets for a group that has no members. Each partition is committed, or fails, by itself. A group that is not
/// there is made.
#[derive(Debug)]
pub struct AlterOffsets {
    /// The group's id.
    pub group: String,
    /// What is committed.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
}

type Commit = (TopicPartition, CommittedOffset);

impl Operation for AlterOffsets {
    type Outcome = BTreeMap<TopicPartition, Result<(), Failure>>;
    type Part = Commit;

    fn begin(&self) -> (Self::Outcome, Vec<Commit>) {
        (BTreeMap::new(), self.offsets.clone().into_iter().collect())
    }

    fn route<'a>(&'a self, _: &'a Commit) -> Route<'a, Commit> {
        Route::Coordinator(&self.group)
    }

    fn api(&self, _: &Commit) -> (ApiKey, i16) {
        (ApiKey::OffsetCommit, NEWEST_BY_NAME)
    }

    fn request(&self, commits: &[Commit], _: i16, _: i32) -> Option<Request> {
        let mut topics: BTreeMap<&String, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (at, committed) in commits {
            topics.entry(&at.topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: at.partition,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
                committed_metadata: Some(committed.metadata.clone()),
            });
        }
        let topic = |(name, partitions): (&String, _)| OffsetCommitRequestTopic {
            name: name.clone(),
            partitions,
            ..Default::default()
        };
        let topics = topics.into_iter().map(topic).collect();
        // In nobody's name: the coordinator takes that as long as there are no members.
        Some(OffsetCommitRequest { group_id: self.group.clone(), topics, ..Default::default() }.into())
    }

    fn gather(&self, answer: Answer<'_, Commit>, outcome: &mut Self::Outcome) -> Verdict<Commit> {
        let Response::OffsetCommit(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeMap<_, _> = answer.asked.iter().cloned().collect();
        let mut again = None;
        for topic in response.topics {
            for told in topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), told.partition_index);
                // Of a topic that was made a moment ago the coordinator may not have heard yet: what it does not know is
                // refused, as trying again would hide a wrong name.
                let error = told.error_code;
                if error.is_retriable() && error != ErrorCode::UnknownTopicOrPartition {
                    again = Some(error);
                } else if left.remove(&at).is_some() {
                    outcome.insert(at, error.ok().map_err(Failure::of));
                }
            }
        }
        Verdict::left(again, left.into_iter().collect())
    }

    fn fail_part(&self, (at, _): &Commit, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(at.clone(), Err(failure.clone()));
        true
    }
}
