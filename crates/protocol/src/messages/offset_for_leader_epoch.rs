//! OffsetForLeaderEpoch, API key 23.

use crate::{ErrorCode, codec::message::messages};

messages! {
    OffsetForLeaderEpochRequest(versions 2..=4, flexible 4..) {
        replica_id: i32 [3..] = -2,
        topics: Vec<OffsetForLeaderEpochTopic>,
    }

    OffsetForLeaderEpochTopic {
        topic: String,
        partitions: Vec<OffsetForLeaderEpochPartition>,
    }

    OffsetForLeaderEpochPartition {
        partition: i32,
        current_leader_epoch: i32 [2..] = -1,
        leader_epoch: i32,
    }

    OffsetForLeaderEpochResponse(versions 2..=4, flexible 4..) {
        throttle_time_ms: i32 [2..],
        topics: Vec<OffsetForLeaderEpochTopicResponse>,
    }

    OffsetForLeaderEpochTopicResponse {
        topic: String,
        partitions: Vec<OffsetForLeaderEpochEndOffset>,
    }

    OffsetForLeaderEpochEndOffset {
        error_code: ErrorCode,
        partition: i32,
        leader_epoch: i32 [1..] = -1,
        end_offset: i64 = -1,
    }
}
