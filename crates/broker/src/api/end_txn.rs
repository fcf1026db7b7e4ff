//! EndTxn: commits a transaction, or aborts it. From version 5 on that raises the producer's epoch (KIP-890).

use ottla_protocol::{
    ErrorCode, Now,
    messages::{EndTxnRequest, EndTxnResponse},
    records::ControlType,
};

use super::fenced;
use crate::{
    Cluster,
    connections::Asked,
    security::{Operation, ResourceType},
    transactions::{Flow, Identity},
};

/// The first version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;
/// From this version on each end raises the epoch.
const RAISES_EPOCH: i16 = 5;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &EndTxnRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> EndTxnResponse {
    let ended = forced.map_or(Ok(()), Err).and_then(|()| end(cluster, asked, request, now));
    match ended {
        Ok(Identity { id, epoch }) => {
            EndTxnResponse { producer_id: id, producer_epoch: epoch, ..Default::default() }
        }
        Err(code) => {
            let error_code = fenced(code, asked.header.version >= KNOWS_FENCED);
            EndTxnResponse { error_code, ..Default::default() }
        }
    }
}

fn end(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &EndTxnRequest,
    now: Now,
) -> Result<Identity, ErrorCode> {
    let id = request.transactional_id.as_str();
    cluster.config.check(&asked.principal, Operation::Write, ResourceType::TransactionalId, id)?;
    cluster.check_transactional_id(asked.node, id)?;
    let flow = if asked.header.version >= RAISES_EPOCH { Flow::V2 } else { Flow::V1 };
    let identity = Identity { id: request.producer_id, epoch: request.producer_epoch };
    let outcome = if request.committed { ControlType::Commit } else { ControlType::Abort };
    cluster.end_transaction(id, identity, outcome, flow, now)
}
