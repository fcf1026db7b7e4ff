//! DeleteTopics, API key 20.

use crate::{
    ErrorCode,
    codec::{TopicId, message::messages},
};

messages! {
    DeleteTopicsRequest(versions 1..=6, flexible 4..) {
        topics: Vec<DeleteTopicsDeleteTopicState> [6..],
        topic_names: Vec<String> [0..=5],
        timeout_ms: i32,
    }

    DeleteTopicsDeleteTopicState {
        name: Option<String> [6..],
        topic_id: TopicId [6..],
    }

    DeleteTopicsResponse(versions 1..=6, flexible 4..) {
        throttle_time_ms: i32 [1..],
        responses: Vec<DeleteTopicsDeletableTopicResult>,
    }

    DeleteTopicsDeletableTopicResult {
        name: Option<String> [0.., nullable 6..],
        topic_id: TopicId [6..],
        error_code: ErrorCode,
        error_message: Option<String> [5..],
    }
}
