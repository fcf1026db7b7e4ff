//! Heartbeat: a member is alive, and learns of a rebalance.

use ottla_protocol::{
    ErrorCode, Now,
    messages::{HeartbeatRequest, HeartbeatResponse},
};

use crate::{Cluster, connections::Asked, security::Operation};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &HeartbeatRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> HeartbeatResponse {
    let alive = forced.map_or(Ok(()), Err).and_then(|()| {
        cluster.config.check_group(&asked.principal, Operation::Read, &request.group_id)?;
        cluster.check_group(asked.node, &request.group_id)?;
        let instance = request.group_instance_id.as_deref();
        let alive = cluster.groups.step(&request.group_id, &cluster.topics, now, |group, turn| {
            group.heartbeat(&request.member_id, instance, request.generation_id, turn)
        });
        alive.unwrap_or(Err(ErrorCode::UnknownMemberId))
    });
    HeartbeatResponse { error_code: alive.err().unwrap_or_default(), ..Default::default() }
}
