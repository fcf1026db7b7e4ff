//! ListGroups: the groups that a broker coordinates.

use ottla_protocol::{
    ErrorCode,
    messages::{ListGroupsListedGroup, ListGroupsRequest, ListGroupsResponse},
};

use crate::{Cluster, connections::Asked, security::Operation};

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: &ListGroupsRequest,
    forced: Option<ErrorCode>,
) -> ListGroupsResponse {
    if let Some(error_code) = forced {
        return ListGroupsResponse { error_code, ..Default::default() };
    }
    let fits = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let groups = cluster
        .groups
        .iter()
        .filter(|(id, group)| {
            cluster.coordinator(id) == asked.node
                && cluster.config.check_group(&asked.principal, Operation::Describe, id).is_ok()
                && fits(&request.states_filter, group.state_name())
                && fits(&request.types_filter, group.kind().name())
        })
        .map(|(id, group)| ListGroupsListedGroup {
            group_id: id.to_owned(),
            protocol_type: group.protocol_type().to_owned(),
            group_state: group.state_name().to_owned(),
            group_type: group.kind().name().to_owned(),
        });
    ListGroupsResponse { groups: groups.collect(), ..Default::default() }
}
