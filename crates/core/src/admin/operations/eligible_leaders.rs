use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{
        DescribeTopicPartitionsCursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsRequestTopic,
    },
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::NodeId,
};

/// Asks which replicas may lead partitions although they are not in sync (KIP-966). Each topic has its partitions, or its
/// failure.
#[derive(Debug)]
pub struct DescribeEligibleLeaders(pub BTreeSet<String>);

/// Which replicas of a partition may be elected where none is in sync.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EligibleLeaders {
    /// Those that have all that was committed; `None` where the cluster keeps no account of them.
    pub eligible: Option<Vec<NodeId>>,
    /// Those that were eligible before none was left: the last that could have had all of it.
    pub last_known: Option<Vec<NodeId>>,
}

/// A topic, and from which partition on it is asked for: an answer has 2000 partitions at the most.
type Topic = (String, i32);

impl Operation for DescribeEligibleLeaders {
    type Outcome = BTreeMap<String, Result<BTreeMap<i32, EligibleLeaders>, Failure>>;
    type Part = Topic;

    fn begin(&self) -> (Self::Outcome, Vec<Topic>) {
        (BTreeMap::new(), self.0.iter().map(|name| (name.clone(), 0)).collect())
    }

    fn route<'a>(&'a self, _: &'a Topic) -> Route<'a, Topic> {
        Route::Any
    }

    fn api(&self, _: &Topic) -> (ApiKey, i16) {
        (ApiKey::DescribeTopicPartitions, i16::MAX)
    }

    fn request(&self, topics: &[Topic], _: i16, _: i32) -> Option<Request> {
        let begun = topics.iter().find(|(_, from)| *from > 0);
        let cursor = begun.map(|(name, from)| DescribeTopicPartitionsCursor {
            topic_name: name.clone(),
            partition_index: *from,
        });
        let topic = |(name, _): &Topic| DescribeTopicPartitionsRequestTopic { name: name.clone() };
        let topics = topics.iter().map(topic).collect();
        Some(DescribeTopicPartitionsRequest { topics, cursor, ..Default::default() }.into())
    }

    fn gather(&self, answer: Answer<'_, Topic>, outcome: &mut Self::Outcome) -> Verdict<Topic> {
        let Response::DescribeTopicPartitions(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeMap<String, i32> = answer.asked.iter().cloned().collect();
        let next = response.next_cursor;
        let has_any = response.topics.iter().any(|topic| !topic.partitions.is_empty());
        let mut again = None;
        for topic in response.topics {
            let Some(name) = topic.name.filter(|name| left.contains_key(name)) else { continue };
            // A topic that is not there may come to be; nobody waits for that here.
            let missing = topic.error_code == ErrorCode::UnknownTopicOrPartition;
            if topic.error_code.is_retriable() && !missing {
                again = Some(topic.error_code);
                continue;
            }
            if next.as_ref().is_none_or(|next| next.topic_name != name) {
                left.remove(&name);
            }
            if let Err(error) = topic.error_code.ok() {
                outcome.insert(name, Err(Failure::of(error)));
                continue;
            }
            let nodes = |nodes: Option<Vec<i32>>| nodes.map(|nodes| nodes.into_iter().map(NodeId).collect());
            let partitions = topic.partitions.into_iter().map(|told| {
                let (eligible, last_known) =
                    (nodes(told.eligible_leader_replicas), nodes(told.last_known_elr));
                (told.partition_index, EligibleLeaders { eligible, last_known })
            });
            match outcome.entry(name).or_insert_with(|| Ok(BTreeMap::new())) {
                Ok(known) => known.extend(partitions),
                told @ Err(_) => *told = Ok(partitions.collect()),
            }
        }
        let Some(next) = next else { return Verdict::left(again, left.into_iter().collect()) };
        let is_new = has_any && left.get(&next.topic_name).is_some_and(|from| *from < next.partition_index);
        if left.len() == answer.asked.len() && !is_new {
            // It goes nowhere: not to be followed at once.
            return Verdict::left(again, left.into_iter().collect());
        }
        // What comes before it was not left for later.
        let mut later = left.split_off(&next.topic_name);
        if let Some(from) = later.get_mut(&next.topic_name) {
            *from = next.partition_index.max(*from);
        }
        let later = later.into_iter().collect();
        Verdict::left_then(again, left.into_iter().collect(), later)
    }

    fn fail_part(&self, (name, _): &Topic, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(name.clone(), Err(failure.clone()));
        true
    }
}
