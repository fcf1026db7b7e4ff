//! DescribeTransactions, API key 65.

use crate::{ErrorCode, codec::message::messages};

messages! {
    DescribeTransactionsRequest(versions 0..=0, flexible 0..) {
        transactional_ids: Vec<String>,
    }

    DescribeTransactionsResponse(versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        transaction_states: Vec<DescribeTransactionsTransactionState>,
    }

    DescribeTransactionsTransactionState {
        error_code: ErrorCode,
        transactional_id: String,
        transaction_state: String,
        transaction_timeout_ms: i32,
        transaction_start_time_ms: i64,
        producer_id: i64,
        producer_epoch: i16,
        topics: Vec<DescribeTransactionsTopicData>,
    }

    DescribeTransactionsTopicData {
        topic: String,
        partitions: Vec<i32>,
    }
}
