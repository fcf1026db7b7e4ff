//! DeleteRecords, API key 21.

use crate::{ErrorCode, codec::message::messages};

messages! {
    DeleteRecordsRequest(versions 0..=2, flexible 2..) {
        topics: Vec<DeleteRecordsTopic>,
        timeout_ms: i32,
    }

    DeleteRecordsTopic {
        name: String,
        partitions: Vec<DeleteRecordsPartition>,
    }

    DeleteRecordsPartition {
        partition_index: i32,
        offset: i64,
    }

    DeleteRecordsResponse(versions 0..=2, flexible 2..) {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResponse>,
    }

    DeleteRecordsTopicResponse {
        name: String,
        partitions: Vec<DeleteRecordsPartitionResponse>,
    }

    DeleteRecordsPartitionResponse {
        partition_index: i32,
        low_watermark: i64,
        error_code: ErrorCode,
    }
}
