use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, Request, Response, Timestamp,
    messages::{DescribeProducersRequest, DescribeProducersTopic},
};

use crate::{
    admin::{Answer, Failure, Operation, Refusal, Route, Verdict},
    ids::{TopicPartition, numbers_by_topic},
};

/// Asks the leaders of partitions which producers with ids have written to them lately (KIP-664). Each partition has its producers,
/// or its failure.
#[derive(Debug)]
pub struct DescribeProducers(pub BTreeSet<TopicPartition>);

/// A producer with an id, as the leader of a partition knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence number of its last record; `None` where it has written none.
    pub last_sequence: Option<i32>,
    /// The time of its last record.
    pub last_timestamp: Option<Timestamp>,
    /// The epoch of the coordinator that wrote its last marker; `None` where there was none.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins in this partition; `None` where it has none open here.
    pub transaction_start: Option<i64>,
}

impl Operation for DescribeProducers {
    type Outcome = BTreeMap<TopicPartition, Result<Vec<ProducerState>, Failure>>;
    type Part = TopicPartition;

    fn begin(&self) -> (Self::Outcome, Vec<TopicPartition>) {
        (BTreeMap::new(), self.0.iter().cloned().collect())
    }

    fn route<'a>(&'a self, at: &'a TopicPartition) -> Route<'a, TopicPartition> {
        Route::Leader(at)
    }

    fn api(&self, _: &TopicPartition) -> (ApiKey, i16) {
        (ApiKey::DescribeProducers, i16::MAX)
    }

    fn request(&self, partitions: &[TopicPartition], _: i16, _: i32) -> Option<Request> {
        let topic = |(name, partition_indexes): (&str, _)| DescribeProducersTopic {
            name: name.to_owned(),
            partition_indexes,
        };
        let topics = numbers_by_topic(partitions).into_iter().map(topic).collect();
        Some(DescribeProducersRequest { topics }.into())
    }

    fn gather(
        &self,
        answer: Answer<'_, TopicPartition>,
        outcome: &mut Self::Outcome,
    ) -> Verdict<TopicPartition> {
        let Response::DescribeProducers(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeSet<TopicPartition> = answer.asked.iter().cloned().collect();
        let mut again = None;
        for topic in response.topics {
            for told in topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), told.partition_index);
                if told.error_code.is_retriable() {
                    again = Some(told.error_code);
                } else if left.remove(&at) {
                    let refused = |error| Failure::Refused(Refusal::told(error, told.error_message.clone()));
                    let producers = told.active_producers.iter().map(|producer| ProducerState {
                        producer_id: producer.producer_id,
                        producer_epoch: producer.producer_epoch,
                        last_sequence: Some(producer.last_sequence).filter(|sequence| *sequence >= 0),
                        last_timestamp: Timestamp::from_wire(producer.last_timestamp),
                        coordinator_epoch: Some(producer.coordinator_epoch).filter(|epoch| *epoch >= 0),
                        transaction_start: Some(producer.current_txn_start_offset)
                            .filter(|offset| *offset >= 0),
                    });
                    outcome.insert(at, told.error_code.ok().map(|()| producers.collect()).map_err(refused));
                }
            }
        }
        Verdict::left(again, left.into_iter().collect())
    }

    fn fail_part(&self, at: &TopicPartition, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(at.clone(), Err(failure.clone()));
        true
    }
}
