//! DescribeTopicPartitions, API key 75 (KIP-966).

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    DescribeTopicPartitionsRequest(versions 0..=0, flexible 0..) {
        topics: Vec<DescribeTopicPartitionsRequestTopic>,
        response_partition_limit: i32 = 2000,
        cursor: Option<DescribeTopicPartitionsCursor>,
    }

    DescribeTopicPartitionsRequestTopic {
        name: String,
    }

    DescribeTopicPartitionsCursor {
        topic_name: String,
        partition_index: i32,
    }

    DescribeTopicPartitionsResponse(versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        topics: Vec<DescribeTopicPartitionsResponseTopic>,
        /// Where the next request is to go on.
        next_cursor: Option<DescribeTopicPartitionsCursor>,
    }

    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode,
        name: Option<String>,
        topic_id: TopicId,
        is_internal: bool,
        partitions: Vec<DescribeTopicPartitionsResponsePartition>,
        topic_authorized_operations: i32 = i32::MIN,
    }

    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        eligible_leader_replicas: Option<Vec<i32>>,
        last_known_elr: Option<Vec<i32>>,
        offline_replicas: Vec<i32>,
    }
}
