//! Heartbeat, API key 12.

use crate::{ErrorCode, codec::message::messages};

messages! {
    HeartbeatRequest(versions 0..=4, flexible 4..) {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3..],
    }

    HeartbeatResponse(versions 0..=4, flexible 4..) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
    }
}
