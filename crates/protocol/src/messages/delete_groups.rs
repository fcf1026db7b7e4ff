//! DeleteGroups, API key 42.

use crate::{ErrorCode, codec::message::messages};

messages! {
    DeleteGroupsRequest(versions 0..=3, flexible 2..) {
        groups_names: Vec<String>,
    }

    DeleteGroupsResponse(versions 0..=3, flexible 2..) {
        throttle_time_ms: i32,
        results: Vec<DeleteGroupsResult>,
    }

    DeleteGroupsResult {
        group_id: String,
        error_code: ErrorCode,
        error_message: Option<String> [3..],
    }
}
