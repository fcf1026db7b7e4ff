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
    type Part = ();

    fn begin(&self) -> (Self::Outcome, Vec<()>) {
        (BTreeMap::new(), if self.partitions.is_empty() { Vec::new() } else { vec![()] })
    }

    fn route<'a>(&'a self, (): &'a ()) -> Route<'a, ()> {
        Route::Coordinator(&self.group)
    }

    fn api(&self, (): &()) -> (ApiKey, i16) {
        (ApiKey::OffsetDelete, i16::MAX)
    }

    fn request(&self, _: &[()], _: i16, _: i32) -> Option<Request> {
        let mut topics: BTreeMap<&String, Vec<OffsetDeletePartition>> = BTreeMap::new();
        for at in &self.partitions {
            let partition = OffsetDeletePartition { partition_index: at.partition };
            topics.entry(&at.topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&String, _)| OffsetDeleteTopic { name: name.clone(), partitions };
        let topics = topics.into_iter().map(topic).collect();
        Some(OffsetDeleteRequest { group_id: self.group.clone(), topics }.into())
    }

    fn gather(&self, answer: Answer<'_, ()>, outcome: &mut Self::Outcome) -> Verdict<()> {
        let Response::OffsetDelete(response) = answer.response else { return Verdict::stray() };
        if !response.error_code.is_ok() {
            return Verdict::of(response.error_code, None);
        }
        let partitions = response.topics.into_iter().flat_map(|topic| {
            let at = move |partition| TopicPartition::new(topic.name.as_str(), partition);
            topic.partitions.into_iter().map(move |deleted| (at(deleted.partition_index), deleted.error_code))
        });
        let mut told: BTreeMap<_, _> = partitions.collect();
        // To delete what is deleted already does no harm.
        if let Some(error) = told.values().copied().find(|error| error.is_retriable()) {
            return Verdict::Again(error);
        }
        for at in &self.partitions {
            let error = told.remove(at).unwrap_or(ErrorCode::UnknownServerError);
            outcome.insert(at.clone(), error.ok().map_err(Failure::of));
        }
        Verdict::Done
    }
}
