//! ConsumerGroupHeartbeat, API key 68 (KIP-848).

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    ConsumerGroupHeartbeatRequest(versions 0..=1, flexible 0..) {
        group_id: String,
        member_id: String,
        member_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<String>>,
        subscribed_topic_regex: Option<String> [1..],
        server_assignor: Option<String>,
        topic_partitions: Option<Vec<ConsumerGroupHeartbeatTopicPartitions>>,
    }

    ConsumerGroupHeartbeatTopicPartitions {
        topic_id: TopicId,
        partitions: Vec<i32>,
    }

    ConsumerGroupHeartbeatResponse(versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        member_id: Option<String>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<ConsumerGroupHeartbeatAssignment>,
    }

    ConsumerGroupHeartbeatAssignment {
        topic_partitions: Vec<ConsumerGroupHeartbeatTopicPartitions>,
    }
}
