//! JoinGroup: asks into a group, and is answered when its next generation begins.

use std::time::Duration;

use ottla_protocol::{
    ErrorCode, Now,
    messages::{JoinGroupRequest, JoinGroupResponse},
};

use super::Outcome;
use crate::{
    Cluster,
    connections::Asked,
    groups::{Join, JoinWait, Joined},
    security::Operation,
};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: JoinGroupRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> Outcome {
    let member_id = request.member_id.clone();
    let joined = match forced {
        Some(code) => Err(code),
        None => join(cluster, asked, request, now),
    };
    match joined {
        Ok(Joined::Held) => Outcome::Held,
        Ok(Joined::Now(response)) => response.into(),
        Err(error_code) => JoinGroupResponse { error_code, member_id, ..Default::default() }.into(),
    }
}

fn join(
    cluster: &mut Cluster,
    asked: &Asked,
    request: JoinGroupRequest,
    now: Now,
) -> Result<Joined, ErrorCode> {
    cluster.config.check_group(&asked.principal, Operation::Read, &request.group_id)?;
    cluster.check_group(asked.node, &request.group_id)?;
    let millis = |millis: i32| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    let session_timeout = millis(request.session_timeout_ms);
    let config = &cluster.config;
    if !(config.group_min_session_timeout..=config.group_max_session_timeout).contains(&session_timeout) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    // Version 0 has one time-out for both.
    let rebalance_timeout =
        if asked.header.version == 0 { session_timeout } else { millis(request.rebalance_timeout_ms) };
    let client_id = asked.header.client_id.clone().unwrap_or_default();
    let prefix = request.group_instance_id.as_ref().unwrap_or(&client_id);
    let join = Join {
        wait: JoinWait { conn: asked.conn, version: asked.header.version },
        new_member_id: format!("{prefix}-{:032x}", cluster.rng.u128(..)),
        member_id: request.member_id,
        group_instance_id: request.group_instance_id,
        client_id,
        session_timeout,
        rebalance_timeout,
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|protocol| (protocol.name, protocol.metadata)).collect(),
    };
    if join.member_id.is_empty() {
        cluster.groups.create(&request.group_id);
    }
    let joined =
        cluster.groups.step(&request.group_id, &cluster.topics, now, |group, turn| group.join(join, turn));
    joined.unwrap_or(Err(ErrorCode::UnknownMemberId))
}
