//! ListGroups, API key 16.

use crate::{ErrorCode, codec::message::messages};

messages! {
    ListGroupsRequest(versions 0..=5, flexible 3..) {
        states_filter: Vec<String> [4..],
        types_filter: Vec<String> [5..],
    }

    ListGroupsResponse(versions 0..=5, flexible 3..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        groups: Vec<ListGroupsListedGroup>,
    }

    ListGroupsListedGroup {
        group_id: String,
        protocol_type: String,
        group_state: String [4..],
        group_type: String [5..],
    }
}
