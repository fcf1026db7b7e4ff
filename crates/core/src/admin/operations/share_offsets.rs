use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup},
};

use crate::{
    admin::{Answer, Failure, Operation, Refusal, Route, Verdict},
    ids::TopicPartition,
    offsets::known_epoch,
};

/// Asks where share groups are in their partitions (KIP-932). Each group has its partitions, or its failure.
#[derive(Debug)]
pub struct ShareOffsets(pub BTreeSet<String>);

/// Where a share group is in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareOffset {
    /// The first record that is not done; `None` as long as nothing of the partition was acquired.
    pub start_offset: Option<i64>,
    /// Its leader epoch, where it is known.
    pub leader_epoch: Option<i32>,
    /// How many records are not done, where the broker tells (from Kafka 4.2 on): those behind the start that are done are not
    /// counted.
    pub lag: Option<i64>,
}

type Partitions = BTreeMap<TopicPartition, Result<ShareOffset, Failure>>;

impl Operation for ShareOffsets {
    type Outcome = BTreeMap<String, Result<Partitions, Failure>>;
    type Part = String;

    fn begin(&self) -> (Self::Outcome, Vec<String>) {
        (BTreeMap::new(), self.0.iter().cloned().collect())
    }

    fn route<'a>(&'a self, group: &'a String) -> Route<'a, String> {
        Route::Coordinator(group)
    }

    fn api(&self, _: &String) -> (ApiKey, i16) {
        (ApiKey::DescribeShareGroupOffsets, i16::MAX)
    }

    fn request(&self, groups: &[String], _: i16, _: i32) -> Option<Request> {
        let group = |group_id: &String| DescribeShareGroupOffsetsRequestGroup {
            group_id: group_id.clone(),
            topics: None,
        };
        Some(DescribeShareGroupOffsetsRequest { groups: groups.iter().map(group).collect() }.into())
    }

    fn gather(&self, answer: Answer<'_, String>, outcome: &mut Self::Outcome) -> Verdict<String> {
        let Response::DescribeShareGroupOffsets(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeSet<&String> = answer.asked.iter().collect();
        let mut again = None;
        for group in response.groups {
            let mut partitions = Partitions::new();
            let mut passing = Some(group.error_code).filter(|error| error.is_retriable());
            for topic in group.topics {
                for told in topic.partitions {
                    passing = passing.or(Some(told.error_code).filter(|error| error.is_retriable()));
                    let known = |number: i64| Some(number).filter(|number| *number >= 0);
                    let offset = ShareOffset {
                        start_offset: known(told.start_offset),
                        leader_epoch: known_epoch(told.leader_epoch),
                        lag: known(told.lag),
                    };
                    let refused = |error| refusal(error, told.error_message);
                    let at = TopicPartition::new(topic.topic_name.as_str(), told.partition_index);
                    partitions.insert(at, told.error_code.ok().map(|()| offset).map_err(refused));
                }
            }
            if let Some(error) = passing {
                again = Some(error);
            } else if left.remove(&group.group_id) {
                let told = group.error_code.ok().map(|()| partitions);
                outcome.insert(group.group_id, told.map_err(|error| refusal(error, group.error_message)));
            }
        }
        Verdict::left(again, left.into_iter().cloned().collect())
    }

    fn fail_part(&self, group: &String, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(group.clone(), Err(failure.clone()));
        true
    }
}

fn refusal(error: ErrorCode, message: Option<String>) -> Failure {
    Failure::Refused(Refusal::told(error, message))
}
