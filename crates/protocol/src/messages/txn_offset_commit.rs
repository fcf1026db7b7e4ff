//! TxnOffsetCommit, API key 28.

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    TxnOffsetCommitRequest(versions 0..=6, flexible 3..) {
        transactional_id: String,
        group_id: String,
        producer_id: i64,
        producer_epoch: i16,
        generation_id_or_member_epoch: i32 [3..] = -1,
        member_id: String [3..],
        group_instance_id: Option<String> [3..],
        topics: Vec<TxnOffsetCommitTopic>,
    }

    TxnOffsetCommitTopic {
        name: String [0..=5],
        topic_id: TopicId [6..],
        partitions: Vec<TxnOffsetCommitPartition>,
    }

    TxnOffsetCommitPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [2..] = -1,
        committed_metadata: Option<String>,
    }

    TxnOffsetCommitResponse(versions 0..=6, flexible 3..) {
        throttle_time_ms: i32,
        topics: Vec<TxnOffsetCommitTopicResponse>,
    }

    TxnOffsetCommitTopicResponse {
        name: String [0..=5],
        topic_id: TopicId [6..],
        partitions: Vec<TxnOffsetCommitPartitionResponse>,
    }

    TxnOffsetCommitPartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
