//! SyncGroup, API key 14.

use crate::{ErrorCode, codec::message::messages};

messages! {
    SyncGroupRequest(versions 0..=5, flexible 4..) {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3..],
        protocol_type: Option<String> [5..],
        protocol_name: Option<String> [5..],
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    SyncGroupRequestAssignment {
        member_id: String,
        assignment: Vec<u8>,
    }

    SyncGroupResponse(versions 0..=5, flexible 4..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        protocol_type: Option<String> [5..],
        protocol_name: Option<String> [5..],
        assignment: Vec<u8>,
    }
}
