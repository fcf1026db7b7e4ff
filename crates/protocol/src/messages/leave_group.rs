//! LeaveGroup, API key 13.

use crate::{ErrorCode, codec::message::messages};

messages! {
    LeaveGroupRequest(versions 0..=5, flexible 4..) {
        group_id: String,
        member_id: String [0..=2],
        members: Vec<LeaveGroupMemberIdentity> [3..],
    }

    LeaveGroupMemberIdentity {
        member_id: String [3..],
        group_instance_id: Option<String> [3..],
        reason: Option<String> [5..],
    }

    LeaveGroupResponse(versions 0..=5, flexible 4..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        members: Vec<LeaveGroupMemberResponse> [3..],
    }

    LeaveGroupMemberResponse {
        member_id: String [3..],
        group_instance_id: Option<String> [3..],
        error_code: ErrorCode [3..],
    }
}
