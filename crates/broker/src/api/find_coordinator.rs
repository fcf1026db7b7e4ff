//! FindCoordinator: which broker coordinates a group, or a transactional id.

use ottla_protocol::{
    ErrorCode,
    messages::{FindCoordinatorCoordinator, FindCoordinatorRequest, FindCoordinatorResponse},
};

use crate::{
    Cluster, Refusal,
    connections::Asked,
    security::{Operation, ResourceType},
};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From this version on one request asks for many.
const BATCHED: i16 = 4;

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: FindCoordinatorRequest,
    forced: Option<ErrorCode>,
) -> FindCoordinatorResponse {
    let find = |key: String| {
        let found = match forced {
            Some(code) => Err(Refusal::new(code, "")),
            None => check(cluster, asked, request.key_type, &key)
                .and_then(|()| node_of(cluster, request.key_type, &key)),
        };
        match found {
            Ok((node_id, host, port)) => {
                FindCoordinatorCoordinator { key, node_id, host, port, ..Default::default() }
            }
            Err(Refusal { code, message }) => FindCoordinatorCoordinator {
                key,
                node_id: -1,
                port: -1,
                error_code: code,
                error_message: Some(message),
                ..Default::default()
            },
        }
    };
    if asked.header.version >= BATCHED {
        let coordinators = request.coordinator_keys.into_iter().map(find).collect();
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let FindCoordinatorCoordinator { node_id, host, port, error_code, error_message, .. } = find(request.key);
    FindCoordinatorResponse { node_id, host, port, error_code, error_message, ..Default::default() }
}

fn check(cluster: &Cluster, asked: &Asked, key_type: i8, key: &str) -> Result<(), Refusal> {
    let (resource_type, message) = match key_type {
        GROUP => (ResourceType::Group, "Group authorization failed."),
        TRANSACTION => (ResourceType::TransactionalId, "Transactional Id authorization failed."),
        _ => return Ok(()),
    };
    let message = if asked.header.version >= BATCHED { "" } else { message };
    let checked = cluster.config.check(&asked.principal, Operation::Describe, resource_type, key);
    checked.map_err(|code| Refusal::new(code, message))
}

fn node_of(cluster: &Cluster, key_type: i8, key: &str) -> Result<(i32, String, i32), Refusal> {
    let id = match key_type {
        GROUP => cluster.coordinator(key),
        TRANSACTION if key.is_empty() => return Err(Refusal::new(ErrorCode::InvalidRequest, "")),
        TRANSACTION => cluster.transaction_coordinator(key),
        _ => return Err(Refusal::new(ErrorCode::InvalidRequest, "no coordinator of this type")),
    };
    let node = cluster.nodes.find_up(id);
    let node = node.ok_or_else(|| Refusal::new(ErrorCode::CoordinatorNotAvailable, ""))?;
    Ok((id, node.host.clone(), node.port.into()))
}
