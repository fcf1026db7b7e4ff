//! AddOffsetsToTxn: a group whose offsets a transaction is about to commit.

use ottla_protocol::{
    ErrorCode, Now,
    messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse},
};

use super::fenced;
use crate::{
    Cluster,
    connections::Asked,
    security::{Operation, ResourceType},
    transactions::{Flow, Identity, offsets_of},
};

/// The first version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &AddOffsetsToTxnRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> AddOffsetsToTxnResponse {
    let added = forced.map_or(Ok(()), Err).and_then(|()| add(cluster, asked, request, now));
    let error_code = fenced(added.err().unwrap_or_default(), asked.header.version >= KNOWS_FENCED);
    AddOffsetsToTxnResponse { error_code, ..Default::default() }
}

fn add(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &AddOffsetsToTxnRequest,
    now: Now,
) -> Result<(), ErrorCode> {
    let AddOffsetsToTxnRequest { transactional_id: id, group_id, .. } = request;
    let identity = Identity { id: request.producer_id, epoch: request.producer_epoch };
    cluster.config.check(&asked.principal, Operation::Write, ResourceType::TransactionalId, id)?;
    cluster.config.check_group(&asked.principal, Operation::Read, group_id)?;
    cluster.check_transactional_id(asked.node, id)?;
    cluster.add_to_transaction(id, identity, [offsets_of(group_id)], Flow::V1, now)
}
