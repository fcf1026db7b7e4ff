//! ConsumerGroupDescribe, API key 69 (KIP-848).

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    ConsumerGroupDescribeRequest(versions 0..=1, flexible 0..) {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }

    ConsumerGroupDescribeResponse(versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        groups: Vec<ConsumerGroupDescribeDescribedGroup>,
    }

    ConsumerGroupDescribeDescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: String,
        members: Vec<ConsumerGroupDescribeMember>,
        authorized_operations: i32 = i32::MIN,
    }

    ConsumerGroupDescribeMember {
        member_id: String,
        instance_id: Option<String>,
        rack_id: Option<String>,
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String>,
        assignment: ConsumerGroupDescribeAssignment,
        target_assignment: ConsumerGroupDescribeAssignment,
        /// -1 unknown, 0 classic, 1 consumer (KIP-1099).
        member_type: i8 [1..] = -1,
    }

    ConsumerGroupDescribeAssignment {
        topic_partitions: Vec<ConsumerGroupDescribeTopicPartitions>,
    }

    ConsumerGroupDescribeTopicPartitions {
        topic_id: TopicId,
        topic_name: String,
        partitions: Vec<i32>,
    }
}
