//! SyncGroup: brings the leader's assignment, and takes each member's.

use ottla_protocol::{
    ErrorCode, Now,
    messages::{SyncGroupRequest, SyncGroupResponse},
};

use super::Outcome;
use crate::{Cluster, connections::Asked, security::Operation};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: SyncGroupRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> Outcome {
    let synced = match forced {
        Some(code) => Err(code),
        None => sync(cluster, asked, request, now),
    };
    match synced {
        Ok(None) => Outcome::Held,
        Ok(Some(response)) => response.into(),
        Err(error_code) => SyncGroupResponse { error_code, ..Default::default() }.into(),
    }
}

fn sync(
    cluster: &mut Cluster,
    asked: &Asked,
    request: SyncGroupRequest,
    now: Now,
) -> Result<Option<SyncGroupResponse>, ErrorCode> {
    cluster.config.check_group(&asked.principal, Operation::Read, &request.group_id)?;
    cluster.check_group(asked.node, &request.group_id)?;
    let group_id = request.group_id.clone();
    let synced = cluster
        .groups
        .step(&group_id, &cluster.topics, now, |group, turn| group.sync(request, asked.conn, turn));
    synced.unwrap_or(Err(ErrorCode::UnknownMemberId))
}
