//! GetTelemetrySubscriptions: which metrics a client is asked for, and an id for it (KIP-714).

use ottla_protocol::{
    ClientInstanceId, ErrorCode,
    messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse},
};

use crate::Cluster;

pub(super) fn handle(
    cluster: &mut Cluster,
    request: &GetTelemetrySubscriptionsRequest,
    forced: Option<ErrorCode>,
) -> GetTelemetrySubscriptionsResponse {
    let Some(wanted) = cluster.config.client_metrics.as_ref().filter(|_| forced.is_none()) else {
        let error_code = forced.unwrap_or(ErrorCode::UnsupportedVersion);
        return GetTelemetrySubscriptionsResponse { error_code, ..Default::default() };
    };
    let mut client_instance_id = request.client_instance_id;
    if client_instance_id == ClientInstanceId::ZERO {
        cluster.rng.fill(&mut client_instance_id.0);
    }
    GetTelemetrySubscriptionsResponse {
        client_instance_id,
        subscription_id: wanted.subscription_id(),
        accepted_compression_types: wanted.codecs.iter().map(|codec| codec.id() as i8).collect(),
        push_interval_ms: i32::try_from(wanted.interval.as_millis()).unwrap_or(i32::MAX),
        telemetry_max_bytes: i32::try_from(wanted.max_bytes).unwrap_or(i32::MAX),
        delta_temporality: true,
        requested_metrics: wanted.metrics.clone(),
        ..Default::default()
    }
}
