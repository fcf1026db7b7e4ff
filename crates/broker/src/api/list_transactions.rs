//! ListTransactions: the transactional ids that a broker coordinates (KIP-664).

use ottla_protocol::{
    ErrorCode, Now,
    messages::{ListTransactionsRequest, ListTransactionsResponse, ListTransactionsTransactionState},
};
use regex_lite::Regex;

use crate::{
    Cluster,
    connections::Asked,
    security::{Operation, ResourceType},
    transactions::{State, Transaction},
};

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: &ListTransactionsRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> ListTransactionsResponse {
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let pattern = pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose();
    let pattern = match (forced, pattern) {
        (Some(error_code), _) => return ListTransactionsResponse { error_code, ..Default::default() },
        (None, Err(_)) => {
            let error_code = ErrorCode::InvalidRegularExpression;
            return ListTransactionsResponse { error_code, ..Default::default() };
        }
        (None, Ok(pattern)) => pattern,
    };
    let is_wanted = |id: &str, transaction: &Transaction| {
        let states = &request.state_filters;
        let producers = &request.producer_id_filters;
        (states.is_empty() || states.iter().any(|state| state == transaction.state.name()))
            && (producers.is_empty() || producers.contains(&transaction.identity.id))
            && (request.duration_filter < 0 || lasted(transaction, now) > Some(request.duration_filter))
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    };
    let may = |id: &str| {
        let (operation, resource) = (Operation::Describe, ResourceType::TransactionalId);
        cluster.config.check(&asked.principal, operation, resource, id).is_ok()
    };
    let ours =
        cluster.transactions.iter().filter(|(id, _)| cluster.transaction_coordinator(id) == asked.node);
    let listed = ours.filter(|(id, transaction)| is_wanted(id, transaction) && may(id));
    let transaction_states = listed.map(|(id, transaction)| ListTransactionsTransactionState {
        transactional_id: id.to_owned(),
        producer_id: transaction.identity.id,
        transaction_state: transaction.state.name().to_owned(),
    });
    let is_known = |state: &&String| State::ALL.iter().any(|known| known.name() == state.as_str());
    ListTransactionsResponse {
        transaction_states: transaction_states.collect(),
        unknown_state_filters: request.state_filters.iter().filter(|it| !is_known(it)).cloned().collect(),
        ..Default::default()
    }
}

/// For how many milliseconds it has been open.
fn lasted(transaction: &Transaction, now: Now) -> Option<i64> {
    transaction.started.map(|started| now.wall.0.saturating_sub(started.wall.0))
}
