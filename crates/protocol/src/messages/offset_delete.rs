//! OffsetDelete, API key 47.

use crate::{ErrorCode, codec::message::messages};

messages! {
    OffsetDeleteRequest(versions 0..=0, flexible 32767..) {
        group_id: String,
        topics: Vec<OffsetDeleteTopic>,
    }

    OffsetDeleteTopic {
        name: String,
        partitions: Vec<OffsetDeletePartition>,
    }

    OffsetDeletePartition {
        partition_index: i32,
    }

    OffsetDeleteResponse(versions 0..=0, flexible 32767..) {
        error_code: ErrorCode,
        throttle_time_ms: i32,
        topics: Vec<OffsetDeleteTopicResponse>,
    }

    OffsetDeleteTopicResponse {
        name: String,
        partitions: Vec<OffsetDeletePartitionResponse>,
    }

    OffsetDeletePartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
