use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic},
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::TopicPartition,
};

/// Deletes offsets that a group has committed (KIP-496). Each partition is deleted, or fails, by itself: a coordinator keeps
/// those of topics to which a member is subscribed.
#[derive(Debug)]
pub struct DeleteOffsets {
    /// The group's id.
    pub group: String,
    /// Whose offsets.
    pub partitions: BTreeSet<TopicPartition>,
}

impl Operation for DeleteOffsets {
    type Outcome = BTreeMap<TopicPartition, Result<(), Failure>>;
    type Part = TopicPartition;

    fn begin(&self) -> (Self::Outcome, Vec<TopicPartition>) {
        (BTreeMap::new(), self.partitions.iter().cloned().collect())
    }

    fn route<'a>(&'a self, _: &'a TopicPartition) -> Route<'a, TopicPartition> {
        Route::Coordinator(&self.group)
    }

    fn api(&self, _: &TopicPartition) -> (ApiKey, i16) {
        (ApiKey::OffsetDelete, i16::MAX)
    }

    fn request(&self, partitions: &[TopicPartition], _: i16, _: i32) -> Option<Request> {
        let mut topics: BTreeMap<&String, Vec<OffsetDeletePartition>> = BTreeMap::new();
        for at in partitions {
            let partition = OffsetDeletePartition { partition_index: at.partition };
            topics.entry(&at.topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&String, _)| OffsetDeleteTopic { name: name.clone(), partitions };
        let topics = topics.into_iter().map(topic).collect();
        Some(OffsetDeleteRequest { group_id: self.group.clone(), topics }.into())
    }

    fn gather(
        &self,
        answer: Answer<'_, TopicPartition>,
        outcome: &mut Self::Outcome,
    ) -> Verdict<TopicPartition> {
        let Response::OffsetDelete(response) = answer.response else { return Verdict::stray() };
        if !response.error_code.is_ok() {
            return Verdict::of(response.error_code, None);
        }
        let mut left: BTreeSet<TopicPartition> = answer.asked.iter().cloned().collect();
        let mut again = None;
        for topic in response.topics {
            for told in topic.partitions {
                let (at, error) =
                    (TopicPartition::new(topic.name.as_str(), told.partition_index), told.error_code);
                // A topic that is not there may come to be; nobody waits for that here.
                if error.is_retriable() && error != ErrorCode::UnknownTopicOrPartition {
                    again = Some(error);
                } else if left.remove(&at) {
                    outcome.insert(at, error.ok().map_err(Failure::of));
                }
            }
        }
        Verdict::left(again, left.into_iter().collect())
    }

    /// As long as no partition was answered it is the whole that fails, as where there is no such group.
    fn fail_part(&self, at: &TopicPartition, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        if outcome.is_empty() {
            return false;
        }
        outcome.insert(at.clone(), Err(failure.clone()));
        true
    }
}
