//! DescribeGroups: the state and the members of groups.

use ottla_protocol::{
    ErrorCode,
    messages::{DescribeGroupsDescribedGroup, DescribeGroupsRequest, DescribeGroupsResponse},
};

use crate::{Cluster, connections::Asked, groups::Side, security::Operation};

/// From this version on a group that does not exist is an error; before, it is one in the state Dead.
const NOT_FOUND: i16 = 6;

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: DescribeGroupsRequest,
    forced: Option<ErrorCode>,
) -> DescribeGroupsResponse {
    let describe = |group_id: String| {
        let checked = (forced.map_or(Ok(()), Err))
            .and_then(|()| cluster.config.check_group(&asked.principal, Operation::Describe, &group_id))
            .and_then(|()| cluster.check_group(asked.node, &group_id));
        let dead = |error_code, group_id| DescribeGroupsDescribedGroup {
            error_code,
            group_id,
            group_state: "Dead".to_owned(),
            ..Default::default()
        };
        match (checked, cluster.groups.find(&group_id).map(|group| &group.side)) {
            (Err(error_code), _) => {
                DescribeGroupsDescribedGroup { error_code, group_id, ..Default::default() }
            }
            (Ok(()), Some(Side::Classic(group))) => group.describe(group_id),
            (Ok(()), other) if asked.header.version >= NOT_FOUND => {
                let what = if other.is_some() { "is not a classic group" } else { "not found" };
                let error_message = Some(format!("Group {group_id} {what}."));
                DescribeGroupsDescribedGroup { error_message, ..dead(ErrorCode::GroupIdNotFound, group_id) }
            }
            (Ok(()), _) => dead(ErrorCode::None, group_id),
        }
    };
    DescribeGroupsResponse {
        groups: request.groups.into_iter().map(describe).collect(),
        ..Default::default()
    }
}
