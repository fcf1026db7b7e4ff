//! ListTransactions, API key 66.

use crate::{ErrorCode, codec::message::messages};

messages! {
    ListTransactionsRequest(versions 0..=2, flexible 0..) {
        state_filters: Vec<String>,
        producer_id_filters: Vec<i64>,
        duration_filter: i64 [1..] = -1,
        transactional_id_pattern: Option<String> [2..],
    }

    ListTransactionsResponse(versions 0..=2, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        unknown_state_filters: Vec<String>,
        transaction_states: Vec<ListTransactionsTransactionState>,
    }

    ListTransactionsTransactionState {
        transactional_id: String,
        producer_id: i64,
        transaction_state: String,
    }
}
