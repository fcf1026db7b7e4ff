//! GetTelemetrySubscriptions, API key 71 (KIP-714).

use crate::{
    ErrorCode,
    codec::{ClientInstanceId, message::messages},
};

messages! {
    GetTelemetrySubscriptionsRequest(versions 0..=0, flexible 0..) {
        client_instance_id: ClientInstanceId,
    }

    GetTelemetrySubscriptionsResponse(versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        client_instance_id: ClientInstanceId,
        subscription_id: i32,
        accepted_compression_types: Vec<i8>,
        push_interval_ms: i32,
        telemetry_max_bytes: i32,
        delta_temporality: bool,
        requested_metrics: Vec<String>,
    }
}
