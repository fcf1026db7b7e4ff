use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{DescribableLogDirTopic, DescribeLogDirsRequest},
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::{TopicPartition, numbers_by_topic},
};

/// Asks the leaders of partitions how many bytes their logs take on disk (KIP-113). Each partition has its size, or its failure.
#[derive(Debug)]
pub struct DescribeLogSizes(pub BTreeSet<TopicPartition>);

impl Operation for DescribeLogSizes {
    type Outcome = BTreeMap<TopicPartition, Result<u64, Failure>>;
    type Part = TopicPartition;

    fn begin(&self) -> (Self::Outcome, Vec<TopicPartition>) {
        (BTreeMap::new(), self.0.iter().cloned().collect())
    }

    fn route<'a>(&'a self, at: &'a TopicPartition) -> Route<'a, TopicPartition> {
        Route::Leader(at)
    }

    fn api(&self, _: &TopicPartition) -> (ApiKey, i16) {
        (ApiKey::DescribeLogDirs, i16::MAX)
    }

    fn request(&self, partitions: &[TopicPartition], _: i16, _: i32) -> Option<Request> {
        let topic =
            |(name, partitions): (&str, _)| DescribableLogDirTopic { topic: name.to_owned(), partitions };
        let topics = numbers_by_topic(partitions).into_iter().map(topic).collect();
        Some(DescribeLogDirsRequest { topics: Some(topics) }.into())
    }

    fn gather(
        &self,
        answer: Answer<'_, TopicPartition>,
        outcome: &mut Self::Outcome,
    ) -> Verdict<TopicPartition> {
        let Response::DescribeLogDirs(response) = answer.response else { return Verdict::stray() };
        if let Err(error) = response.error_code.ok() {
            return Verdict::of(error, None);
        }
        if response.results.is_empty() {
            // Before version 3 who may not ask is told of no directory, and of no error.
            return Verdict::of(ErrorCode::ClusterAuthorizationFailed, None);
        }
        let mut left: BTreeSet<TopicPartition> = answer.asked.iter().cloned().collect();
        let mut again = None;
        for directory in response.results {
            // What is in a directory that cannot be read is in no other.
            again = again.or(directory.error_code.ok().err());
            for topic in directory.topics {
                for told in topic.partitions.iter().filter(|told| !told.is_future_key) {
                    let at = TopicPartition::new(topic.name.as_str(), told.partition_index);
                    if left.remove(&at) {
                        outcome.insert(at, Ok(u64::try_from(told.partition_size).unwrap_or(0)));
                    }
                }
            }
        }
        // Its leader is another by now, or its directory is gone.
        Verdict::left(again.or(Some(ErrorCode::NotLeaderOrFollower)), left.into_iter().collect())
    }

    fn fail_part(&self, at: &TopicPartition, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(at.clone(), Err(failure.clone()));
        true
    }
}
