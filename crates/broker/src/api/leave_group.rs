//! LeaveGroup: members go, several at once from version 3 on (KIP-345).

use ottla_protocol::{
    ErrorCode, Now,
    messages::{LeaveGroupMemberIdentity, LeaveGroupMemberResponse, LeaveGroupRequest, LeaveGroupResponse},
};

use crate::{Cluster, connections::Asked, security::Operation};

/// From this version on one request names several members.
const BATCHED: i16 = 3;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: LeaveGroupRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> LeaveGroupResponse {
    let batched = asked.header.version >= BATCHED;
    let identities = if batched {
        request.members
    } else {
        vec![LeaveGroupMemberIdentity { member_id: request.member_id, ..Default::default() }]
    };
    let checked = (forced.map_or(Ok(()), Err))
        .and_then(|()| cluster.config.check_group(&asked.principal, Operation::Read, &request.group_id))
        .and_then(|()| cluster.check_group(asked.node, &request.group_id));
    if let Err(error_code) = checked {
        return LeaveGroupResponse { error_code, ..Default::default() };
    }
    let left = cluster.groups.step(&request.group_id, &cluster.topics, now, |group, turn| {
        let left = group.leave(&identities, turn);
        let answer = |(identity, left): (LeaveGroupMemberIdentity, Result<(), ErrorCode>)| {
            let LeaveGroupMemberIdentity { member_id, group_instance_id, .. } = identity;
            LeaveGroupMemberResponse {
                member_id,
                group_instance_id,
                error_code: left.err().unwrap_or_default(),
            }
        };
        identities.into_iter().zip(left).map(answer).collect::<Vec<_>>()
    });
    match left {
        None => LeaveGroupResponse { error_code: ErrorCode::UnknownMemberId, ..Default::default() },
        Some(members) if batched => LeaveGroupResponse { members, ..Default::default() },
        Some(members) => {
            let error_code = members.first().map(|member| member.error_code).unwrap_or_default();
            LeaveGroupResponse { error_code, ..Default::default() }
        }
    }
}
