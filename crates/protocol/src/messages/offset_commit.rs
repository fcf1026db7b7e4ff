//! OffsetCommit, API key 8.

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    OffsetCommitRequest(versions 2..=10, flexible 8..) {
        group_id: String,
        generation_id_or_member_epoch: i32 [1..] = -1,
        member_id: String [1..],
        group_instance_id: Option<String> [7..],
        retention_time_ms: i64 [2..=4] = -1,
        topics: Vec<OffsetCommitRequestTopic>,
    }

    OffsetCommitRequestTopic {
        name: String [0..=9],
        topic_id: TopicId [10..],
        partitions: Vec<OffsetCommitRequestPartition>,
    }

    OffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [6..] = -1,
        committed_metadata: Option<String>,
    }

    OffsetCommitResponse(versions 2..=10, flexible 8..) {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetCommitResponseTopic>,
    }

    OffsetCommitResponseTopic {
        name: String [0..=9],
        topic_id: TopicId [10..],
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    OffsetCommitResponsePartition {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
