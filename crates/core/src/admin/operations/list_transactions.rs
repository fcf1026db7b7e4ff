use std::{collections::BTreeMap, time::Duration};

use ottla_protocol::{ApiKey, ErrorCode, Request, Response, messages::ListTransactionsRequest};

use crate::{
    admin::{Answer, Failure, Operation, Refusal, Route, Verdict},
    ids::NodeId,
};

/// Asks every broker for the transactions that it coordinates (KIP-664).
#[derive(Debug, Clone, Default)]
pub struct ListTransactions {
    /// Only those in one of these states, by Kafka's names; empty for all.
    pub states: Vec<String>,
    /// Only those of these producers; empty for all.
    pub producer_ids: Vec<i64>,
    /// Only those that have been open for longer than this (KIP-994).
    pub open_for: Option<Duration>,
}

/// A transactional id, as brokers list it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionListing {
    /// The producer that has the transactional id now.
    pub producer_id: i64,
    /// The state of its transaction, by Kafka's name: `Ongoing`, `CompleteCommit` and so on.
    pub state: String,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
}

/// From this version on it can be asked for those that are open for long.
const BY_DURATION: i16 = 1;

impl Operation for ListTransactions {
    type Outcome = BTreeMap<String, TransactionListing>;
    /// A broker; `None` for all, until it is known which there are.
    type Part = Option<NodeId>;

    fn begin(&self) -> (Self::Outcome, Vec<Self::Part>) {
        (BTreeMap::new(), vec![None])
    }

    fn route<'a>(&'a self, broker: &'a Self::Part) -> Route<'a, Self::Part> {
        match broker {
            None => Route::EveryBroker(Some),
            Some(node) => Route::Broker(*node),
        }
    }

    fn api(&self, _: &Self::Part) -> (ApiKey, i16) {
        (ApiKey::ListTransactions, i16::MAX)
    }

    fn request(&self, _: &[Self::Part], version: i16, _: i32) -> Option<Request> {
        if self.open_for.is_some() && version < BY_DURATION {
            return None;
        }
        let duration = self.open_for.map(|time| time.as_millis().try_into().unwrap_or(i64::MAX));
        let request = ListTransactionsRequest {
            state_filters: self.states.clone(),
            producer_id_filters: self.producer_ids.clone(),
            duration_filter: duration.unwrap_or(-1),
            transactional_id_pattern: None,
        };
        Some(request.into())
    }

    fn gather(&self, answer: Answer<'_, Self::Part>, listed: &mut Self::Outcome) -> Verdict<Self::Part> {
        let (Response::ListTransactions(response), Some(coordinator)) = (answer.response, answer.from) else {
            return Verdict::stray();
        };
        if !response.unknown_state_filters.is_empty() {
            let unknown = response.unknown_state_filters.join(", ");
            let message = Some(format!("the broker knows no state {unknown}"));
            let error = ErrorCode::InvalidRequest;
            return Verdict::Failed(Failure::Refused(Refusal::told(error, message)));
        }
        for transaction in response.transaction_states {
            let listing = TransactionListing {
                producer_id: transaction.producer_id,
                state: transaction.transaction_state,
                coordinator,
            };
            listed.insert(transaction.transactional_id, listing);
        }
        Verdict::of(response.error_code, None)
    }
}
