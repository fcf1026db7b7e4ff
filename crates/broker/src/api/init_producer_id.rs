//! InitProducerId: an identity for an idempotent producer (KIP-98).

use ottla_protocol::{
    ErrorCode,
    messages::{InitProducerIdRequest, InitProducerIdResponse},
};

use crate::{
    Cluster,
    connections::Asked,
    security::{Operation, ResourceType},
};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &InitProducerIdRequest,
    forced: Option<ErrorCode>,
) -> InitProducerIdResponse {
    // Transactions are not supported; their producers learn so from FindCoordinator, in words.
    let config = &cluster.config;
    let allowed = match &request.transactional_id {
        Some(id) => config.check(&asked.principal, Operation::Write, ResourceType::TransactionalId, id),
        None => config.check_produce_anything(&asked.principal),
    };
    let transactional = request.transactional_id.as_ref().map(|_| ErrorCode::InvalidRequest);
    let refused = forced.or(allowed.err()).or(transactional);
    if let Some(error_code) = refused {
        return InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() };
    }
    let producer_id = cluster.producer_ids;
    cluster.producer_ids += 1;
    InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
}
