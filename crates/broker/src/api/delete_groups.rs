//! DeleteGroups: forgets groups that have no members, with all that they committed (KIP-229).

use std::collections::BTreeSet;

use ottla_protocol::{
    ErrorCode,
    messages::{DeleteGroupsRequest, DeleteGroupsResponse, DeleteGroupsResult},
};

use crate::{
    Cluster,
    connections::Asked,
    security::Operation,
    storage::{Entry, Unkept},
};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: DeleteGroupsRequest,
    forced: Option<ErrorCode>,
) -> DeleteGroupsResponse {
    let mut asked_for = BTreeSet::new();
    let mut groups = request.groups_names;
    // Who is named twice is answered once.
    groups.retain(|group_id| asked_for.insert(group_id.clone()));
    let delete = |group_id: String| {
        let deleted = forced.map_or(Ok(()), Err).and_then(|()| delete(cluster, asked, &group_id));
        let error_code = deleted.err().unwrap_or_default();
        DeleteGroupsResult { group_id, error_code, ..Default::default() }
    };
    let results = groups.into_iter().map(delete).collect();
    DeleteGroupsResponse { results, ..Default::default() }
}

fn delete(cluster: &mut Cluster, asked: &Asked, group_id: &str) -> Result<(), ErrorCode> {
    cluster.config.check_group(&asked.principal, Operation::Delete, group_id)?;
    cluster.check_coordinator(asked.node, group_id)?;
    let group = cluster.groups.find(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
    if !group.is_empty() {
        return Err(ErrorCode::NonEmptyGroup);
    }
    cluster.keep(Entry::GroupDeleted { group: group_id.to_owned() }).map_err(Unkept::of_coordinator)
}
