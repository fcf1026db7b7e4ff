use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_protocol::{ApiKey, Request, Response, Timestamp, messages::DescribeTransactionsRequest};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::{NodeId, TopicPartition},
};

/// Asks the coordinators of transactional ids about them (KIP-664). Each has its description, or its failure.
#[derive(Debug)]
pub struct DescribeTransactions(pub BTreeSet<String>);

/// A transactional id, as its coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionDescription {
    /// The state of its transaction, by Kafka's name.
    pub state: String,
    /// The producer that has the transactional id now.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// After how long the coordinator aborts a transaction.
    pub timeout: Duration,
    /// Since when it has been open; `None` where it is not.
    pub started: Option<Timestamp>,
    /// The partitions that are in it, in order.
    pub partitions: Vec<TopicPartition>,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
}

impl Operation for DescribeTransactions {
    type Outcome = BTreeMap<String, Result<TransactionDescription, Failure>>;
    type Part = String;

    fn begin(&self) -> (Self::Outcome, Vec<String>) {
        (BTreeMap::new(), self.0.iter().cloned().collect())
    }

    fn route<'a>(&'a self, id: &'a String) -> Route<'a, String> {
        Route::TransactionCoordinator(id)
    }

    fn api(&self, _: &String) -> (ApiKey, i16) {
        (ApiKey::DescribeTransactions, i16::MAX)
    }

    fn request(&self, ids: &[String], _: i16, _: i32) -> Option<Request> {
        Some(DescribeTransactionsRequest { transactional_ids: ids.to_vec() }.into())
    }

    fn gather(&self, answer: Answer<'_, String>, outcome: &mut Self::Outcome) -> Verdict<String> {
        let (Response::DescribeTransactions(response), Some(coordinator)) = (answer.response, answer.from)
        else {
            return Verdict::stray();
        };
        let mut left: BTreeSet<&String> = answer.asked.iter().collect();
        let mut again = None;
        for told in response.transaction_states {
            if told.error_code.is_retriable() {
                again = Some(told.error_code);
                continue;
            }
            if !left.remove(&told.transactional_id) {
                continue;
            }
            let partitions = told.topics.into_iter().flat_map(|topic| {
                let at = move |partition| TopicPartition::new(topic.topic.as_str(), partition);
                topic.partitions.into_iter().map(at)
            });
            let mut partitions: Vec<_> = partitions.collect();
            partitions.sort_unstable();
            let description = TransactionDescription {
                state: told.transaction_state,
                producer_id: told.producer_id,
                producer_epoch: told.producer_epoch,
                timeout: Duration::from_millis(told.transaction_timeout_ms.max(0).unsigned_abs().into()),
                started: Timestamp::from_wire(told.transaction_start_time_ms),
                partitions,
                coordinator,
            };
            let result = told.error_code.ok().map(|()| description).map_err(Failure::of);
            outcome.insert(told.transactional_id, result);
        }
        Verdict::left(again, left.into_iter().cloned().collect())
    }

    fn fail_part(&self, id: &String, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(id.clone(), Err(failure.clone()));
        true
    }
}
