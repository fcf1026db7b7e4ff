//! JoinGroup, API key 11.

use crate::{ErrorCode, codec::message::messages};

messages! {
    JoinGroupRequest(versions 0..=9, flexible 6..) {
        group_id: String,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32 [1..] = -1,
        member_id: String,
        group_instance_id: Option<String> [5..],
        protocol_type: String,
        protocols: Vec<JoinGroupRequestProtocol>,
        reason: Option<String> [8..],
    }

    JoinGroupRequestProtocol {
        name: String,
        metadata: Vec<u8>,
    }

    JoinGroupResponse(versions 0..=9, flexible 6..) {
        throttle_time_ms: i32 [2..],
        error_code: ErrorCode,
        generation_id: i32 = -1,
        protocol_type: Option<String> [7..],
        protocol_name: Option<String> [0.., nullable 7..],
        leader: String,
        skip_assignment: bool [9..],
        member_id: String,
        members: Vec<JoinGroupResponseMember>,
    }

    JoinGroupResponseMember {
        member_id: String,
        group_instance_id: Option<String> [5..],
        metadata: Vec<u8>,
    }
}
