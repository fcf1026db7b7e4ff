//! InitProducerId: an identity for an idempotent producer, or for one that writes in transactions (KIP-98, KIP-360).

use std::time::Duration;

use ottla_protocol::{
    ErrorCode, Now,
    messages::{InitProducerIdRequest, InitProducerIdResponse},
};

use super::fenced;
use crate::{
    Cluster,
    connections::Asked,
    security::{Operation, ResourceType},
    transactions::Identity,
};

/// The first version whose clients know PRODUCER_FENCED (KIP-588).
const KNOWS_FENCED: i16 = 4;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &InitProducerIdRequest,
    forced: Option<ErrorCode>,
    now: Now,
) -> InitProducerIdResponse {
    let identity = match (forced, &request.transactional_id) {
        (Some(code), _) => Err(code),
        (None, Some(id)) => init(cluster, asked, id, request, now),
        (None, None) => {
            let allowed = cluster.config.check_produce_anything(&asked.principal);
            allowed.and_then(|()| cluster.new_producer_id()).map(|id| Identity { id, epoch: 0 })
        }
    };
    match identity {
        Ok(Identity { id, epoch }) => {
            InitProducerIdResponse { producer_id: id, producer_epoch: epoch, ..Default::default() }
        }
        Err(code) => {
            let error_code = fenced(code, asked.header.version >= KNOWS_FENCED);
            InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() }
        }
    }
}

fn init(
    cluster: &mut Cluster,
    asked: &Asked,
    id: &str,
    request: &InitProducerIdRequest,
    now: Now,
) -> Result<Identity, ErrorCode> {
    cluster.config.check(&asked.principal, Operation::Write, ResourceType::TransactionalId, id)?;
    let was = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        (id, epoch) => Some(Identity { id, epoch }),
    };
    cluster.check_transactional_id(asked.node, id)?;
    let timeout = u64::try_from(request.transaction_timeout_ms).map_or(Duration::ZERO, Duration::from_millis);
    if timeout.is_zero() || timeout > cluster.config.transaction_max_timeout {
        return Err(ErrorCode::InvalidTransactionTimeout);
    }
    cluster.init_transactions(id, was, timeout, now)
}
