//! DescribeShareGroupOffsets, API key 90 (KIP-932).

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    DescribeShareGroupOffsetsRequest(versions 0..=1, flexible 0..) {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup>,
    }

    DescribeShareGroupOffsetsRequestGroup {
        group_id: String,
        /// Null for all.
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>,
    }

    DescribeShareGroupOffsetsRequestTopic {
        topic_name: String,
        partitions: Vec<i32>,
    }

    DescribeShareGroupOffsetsResponse(versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        groups: Vec<DescribeShareGroupOffsetsResponseGroup>,
    }

    DescribeShareGroupOffsetsResponseGroup {
        group_id: String,
        topics: Vec<DescribeShareGroupOffsetsResponseTopic>,
        error_code: ErrorCode,
        error_message: Option<String>,
    }

    DescribeShareGroupOffsetsResponseTopic {
        topic_name: String,
        topic_id: TopicId,
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition>,
    }

    DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32,
        /// -1 where nothing was acquired yet.
        start_offset: i64,
        leader_epoch: i32,
        /// -1 where it is not known (KIP-1226).
        lag: i64 [1..] = -1,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
