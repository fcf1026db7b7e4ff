//! ShareGroupDescribe, API key 77 (KIP-932).

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    ShareGroupDescribeRequest(versions 1..=1, flexible 0..) {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }

    ShareGroupDescribeResponse(versions 1..=1, flexible 0..) {
        throttle_time_ms: i32,
        groups: Vec<ShareGroupDescribeDescribedGroup>,
    }

    ShareGroupDescribeDescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: String,
        members: Vec<ShareGroupDescribeMember>,
        authorized_operations: i32 = i32::MIN,
    }

    ShareGroupDescribeMember {
        member_id: String,
        rack_id: Option<String>,
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        assignment: ShareGroupDescribeAssignment,
    }

    ShareGroupDescribeAssignment {
        topic_partitions: Vec<ShareGroupDescribeTopicPartitions>,
    }

    ShareGroupDescribeTopicPartitions {
        topic_id: TopicId,
        topic_name: String,
        partitions: Vec<i32>,
    }
}
