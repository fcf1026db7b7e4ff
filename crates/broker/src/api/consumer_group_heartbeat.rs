//! ConsumerGroupHeartbeat: all that a member of the consumer protocol says and is told (KIP-848).

use ottla_protocol::{
    ErrorCode, Now,
    messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
};

use crate::{Cluster, Refusal, connections::Asked, groups::ConsumerGroup, security::Operation};

/// Joins.
const JOIN: i32 = 0;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: ConsumerGroupHeartbeatRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> ConsumerGroupHeartbeatResponse {
    let beaten = match forced {
        Some(code) => Err(Refusal::new(code, "")),
        None => beat(cluster, asked, request, now),
    };
    beaten.unwrap_or_else(|Refusal { code, message }| ConsumerGroupHeartbeatResponse {
        error_code: code,
        error_message: Some(message).filter(|message| !message.is_empty()),
        ..Default::default()
    })
}

fn beat(
    cluster: &mut Cluster,
    asked: &Asked,
    mut request: ConsumerGroupHeartbeatRequest,
    now: Now,
) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
    let (config, principal) = (&cluster.config, &*asked.principal);
    let topics = request.subscribed_topic_names.iter().flatten();
    config
        .check_group(principal, Operation::Read, &request.group_id)
        .and_then(|()| {
            topics.into_iter().try_for_each(|topic| config.check_topic(principal, Operation::Describe, topic))
        })
        .map_err(|code| Refusal::new(code, ""))?;
    cluster.groups.hidden = config.hidden(principal, &cluster.topics);
    ConsumerGroup::check(&request, asked.header.version)?;
    cluster.check_coordinator(asked.node, &request.group_id).map_err(|code| Refusal::new(code, ""))?;
    if request.member_id.is_empty() {
        request.member_id = format!("{:032x}", cluster.rng.u128(..));
    }
    if request.member_epoch == JOIN {
        cluster.groups.create(&request.group_id);
    }
    let client_id = asked.header.client_id.as_deref().unwrap_or_default();
    let beaten = cluster.groups.step(&request.group_id, &cluster.topics, now, |group, turn| {
        group.consumer_heartbeat(&request, client_id, turn)
    });
    beaten.unwrap_or_else(|| Err(Refusal::new(ErrorCode::GroupIdNotFound, "the group does not exist")))
}
