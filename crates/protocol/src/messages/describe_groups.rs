//! DescribeGroups, API key 15.

use crate::{ErrorCode, codec::message::messages};

messages! {
    DescribeGroupsRequest(versions 0..=6, flexible 5..) {
        groups: Vec<String>,
        include_authorized_operations: bool [3..],
    }

    DescribeGroupsResponse(versions 0..=6, flexible 5..) {
        throttle_time_ms: i32 [1..],
        groups: Vec<DescribeGroupsDescribedGroup>,
    }

    DescribeGroupsDescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String> [6..],
        group_id: String,
        group_state: String,
        protocol_type: String,
        protocol_data: String,
        members: Vec<DescribeGroupsDescribedGroupMember>,
        authorized_operations: i32 [3..] = i32::MIN,
    }

    DescribeGroupsDescribedGroupMember {
        member_id: String,
        group_instance_id: Option<String> [4..],
        client_id: String,
        client_host: String,
        member_metadata: Vec<u8>,
        member_assignment: Vec<u8>,
    }
}
