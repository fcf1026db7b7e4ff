use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, Request, Response,
    messages::{CreatePartitionsRequest, CreatePartitionsTopic},
};

use super::topic_changes::{self, TopicChanges};
use crate::admin::{Answer, Operation, Route, Verdict};

/// Gives topics more partitions: how many each is to have then.
#[derive(Debug)]
pub struct CreatePartitions(pub BTreeMap<String, i32>);

/// A topic, and how many partitions it is to have.
type Count = (String, i32);

impl Operation for CreatePartitions {
    type Outcome = TopicChanges;
    type Part = Count;

    fn begin(&self) -> (TopicChanges, Vec<Count>) {
        (BTreeMap::new(), self.0.clone().into_iter().collect())
    }

    fn route<'a>(&'a self, _: &'a Count) -> Route<'a, Count> {
        Route::Controller
    }

    fn api(&self, _: &Count) -> (ApiKey, i16) {
        (ApiKey::CreatePartitions, i16::MAX)
    }

    fn request(&self, counts: &[Count], _: i16, timeout_ms: i32) -> Option<Request> {
        let topic = |(name, count): &Count| CreatePartitionsTopic {
            name: name.clone(),
            count: *count,
            assignments: None,
        };
        let topics = counts.iter().map(topic).collect();
        Some(CreatePartitionsRequest { topics, timeout_ms, validate_only: false }.into())
    }

    fn gather(&self, answer: Answer<'_, Count>, changes: &mut TopicChanges) -> Verdict<Count> {
        let Response::CreatePartitions(response) = answer.response else { return Verdict::stray() };
        let answers = response.results.into_iter().map(|t| (t.name, t.error_code, t.error_message));
        topic_changes::gather(ApiKey::CreatePartitions, answer.asked, |(name, _)| name, answers, changes)
    }
}
