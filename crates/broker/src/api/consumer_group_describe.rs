//! ConsumerGroupDescribe: the state and the members of groups of the consumer protocol.

use ottla_protocol::{
    ErrorCode,
    messages::{
        ConsumerGroupDescribeDescribedGroup, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    },
};

use crate::{Cluster, connections::Asked, groups::Side, security::Operation};

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: ConsumerGroupDescribeRequest,
    forced: Option<ErrorCode>,
) -> ConsumerGroupDescribeResponse {
    let describe = |group_id: String| {
        let checked = (forced.map_or(Ok(()), Err))
            .and_then(|()| cluster.config.check_group(&asked.principal, Operation::Describe, &group_id))
            .and_then(|()| cluster.check_group(asked.node, &group_id));
        let failed = |error_code, error_message, group_id| ConsumerGroupDescribeDescribedGroup {
            error_code,
            error_message,
            group_id,
            ..Default::default()
        };
        match (checked, cluster.groups.find(&group_id).map(|group| &group.side)) {
            (Err(error_code), _) => failed(error_code, None, group_id),
            (Ok(()), Some(Side::Consumer(group))) => group.describe(group_id, &cluster.topics),
            (Ok(()), other) => {
                let what = if other.is_some() { "is not a consumer group" } else { "not found" };
                failed(ErrorCode::GroupIdNotFound, Some(format!("Group {group_id} {what}.")), group_id)
            }
        }
    };
    ConsumerGroupDescribeResponse {
        groups: request.group_ids.into_iter().map(describe).collect(),
        ..Default::default()
    }
}
