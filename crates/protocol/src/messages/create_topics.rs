//! CreateTopics, API key 19.

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    CreateTopicsRequest(versions 2..=7, flexible 5..) {
        topics: Vec<CreateTopicsCreatableTopic>,
        timeout_ms: i32 = 60000,
        validate_only: bool [1..],
    }

    CreateTopicsCreatableTopic {
        name: String,
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreateTopicsCreatableReplicaAssignment>,
        configs: Vec<CreateTopicsCreatableTopicConfig>,
    }

    CreateTopicsCreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    CreateTopicsCreatableTopicConfig {
        name: String,
        value: Option<String>,
    }

    CreateTopicsResponse(versions 2..=7, flexible 5..) {
        throttle_time_ms: i32 [2..],
        topics: Vec<CreateTopicsCreatableTopicResult>,
    }

    CreateTopicsCreatableTopicResult {
        name: String,
        topic_id: TopicId [7..],
        error_code: ErrorCode,
        error_message: Option<String> [1..],
        topic_config_error_code: i16 [5.., tag 0],
        num_partitions: i32 [5..] = -1,
        replication_factor: i16 [5..] = -1,
        configs: Option<Vec<CreateTopicsCreatableTopicConfigs>> [5..],
    }

    CreateTopicsCreatableTopicConfigs {
        name: String [5..],
        value: Option<String> [5..],
        read_only: bool [5..],
        config_source: i8 [5..] = -1,
        is_sensitive: bool [5..],
    }
}
