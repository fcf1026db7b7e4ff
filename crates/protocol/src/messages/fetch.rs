//! Fetch, API key 1.

use crate::{
    ErrorCode,
    codec::{RecordData, TopicId, message::messages},
};

messages! {
    FetchRequest(versions 4..=18, flexible 12..) {
        cluster_id: Option<String> [12.., tag 0],
        replica_id: i32 [0..=14] = -1,
        replica_state: FetchReplicaState [15.., tag 1],
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 [3..] = i32::MAX,
        isolation_level: i8 [4..],
        session_id: i32 [7..],
        session_epoch: i32 [7..] = -1,
        topics: Vec<FetchTopic>,
        forgotten_topics_data: Vec<FetchForgottenTopic> [7..],
        rack_id: String [11..],
    }

    FetchReplicaState {
        replica_id: i32 [15..] = -1,
        replica_epoch: i64 [15..] = -1,
    }

    FetchTopic {
        topic: String [0..=12],
        topic_id: TopicId [13..],
        partitions: Vec<FetchPartition>,
    }

    FetchForgottenTopic {
        topic: String [7..=12],
        topic_id: TopicId [13..],
        partitions: Vec<i32> [7..],
    }

    FetchPartition {
        partition: i32,
        current_leader_epoch: i32 [9..] = -1,
        fetch_offset: i64,
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..] = -1,
        partition_max_bytes: i32,
        replica_directory_id: TopicId [17.., tag 0],
        high_watermark: i64 [18.., tag 1] = i64::MAX,
    }

    FetchResponse(versions 4..=18, flexible 12..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [7..],
        session_id: i32 [7..],
        responses: Vec<FetchTopicResponse>,
        node_endpoints: Vec<FetchNodeEndpoint> [16.., tag 0],
    }

    FetchTopicResponse {
        topic: String [0..=12],
        topic_id: TopicId [13..],
        partitions: Vec<FetchPartitionResponse>,
    }

    FetchNodeEndpoint {
        node_id: i32 [16..],
        host: String [16..],
        port: i32 [16..],
        rack: Option<String> [16..],
    }

    FetchPartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        high_watermark: i64,
        last_stable_offset: i64 [4..] = -1,
        log_start_offset: i64 [5..] = -1,
        diverging_epoch: FetchEpochEndOffset [12.., tag 0],
        current_leader: FetchLeaderIdAndEpoch [12.., tag 1],
        snapshot_id: FetchSnapshotId [12.., tag 2],
        aborted_transactions: Option<Vec<FetchAbortedTransaction>> [4..],
        preferred_read_replica: i32 [11..] = -1,
        records: Option<RecordData>,
    }

    FetchEpochEndOffset {
        epoch: i32 [12..] = -1,
        end_offset: i64 [12..] = -1,
    }

    FetchLeaderIdAndEpoch {
        leader_id: i32 [12..] = -1,
        leader_epoch: i32 [12..] = -1,
    }

    FetchSnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    FetchAbortedTransaction {
        producer_id: i64 [4..],
        first_offset: i64 [4..],
    }
}
