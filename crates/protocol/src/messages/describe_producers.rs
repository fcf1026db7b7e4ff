//! DescribeProducers, API key 61.

use crate::{ErrorCode, codec::message::messages};

messages! {
    DescribeProducersRequest(versions 0..=0, flexible 0..) {
        topics: Vec<DescribeProducersTopic>,
    }

    DescribeProducersTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }

    DescribeProducersResponse(versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        topics: Vec<DescribeProducersTopicResponse>,
    }

    DescribeProducersTopicResponse {
        name: String,
        partitions: Vec<DescribeProducersPartitionResponse>,
    }

    DescribeProducersPartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        active_producers: Vec<DescribeProducersProducerState>,
    }

    DescribeProducersProducerState {
        producer_id: i64,
        producer_epoch: i32,
        last_sequence: i32 = -1,
        last_timestamp: i64 = -1,
        coordinator_epoch: i32,
        current_txn_start_offset: i64 = -1,
    }
}
