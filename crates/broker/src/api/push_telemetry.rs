//! PushTelemetry: takes a client's metrics (KIP-714).

use ottla_protocol::{
    ErrorCode,
    messages::{PushTelemetryRequest, PushTelemetryResponse},
    records::{Compression, Decompressor},
};

use crate::{Cluster, PushedMetrics};

pub(super) fn handle(
    cluster: &mut Cluster,
    request: PushTelemetryRequest,
    forced: Option<ErrorCode>,
) -> PushTelemetryResponse {
    let error_code = forced.map_or_else(|| take(cluster, request), Err).err().unwrap_or(ErrorCode::None);
    PushTelemetryResponse { error_code, ..Default::default() }
}

fn take(cluster: &mut Cluster, request: PushTelemetryRequest) -> Result<(), ErrorCode> {
    let wanted = cluster.config.client_metrics.as_ref().ok_or(ErrorCode::UnsupportedVersion)?;
    if request.subscription_id != wanted.subscription_id() {
        return Err(ErrorCode::UnknownSubscriptionId);
    }
    let codec = u8::try_from(request.compression_type).ok().and_then(Compression::from_id);
    let may = |codec: &Compression| *codec == Compression::None || wanted.codecs.contains(codec);
    let codec = codec.filter(may).ok_or(ErrorCode::UnsupportedCompressionType)?;
    if request.metrics.len() > wanted.max_bytes {
        return Err(ErrorCode::TelemetryTooLarge);
    }
    let metrics = if codec == Compression::None {
        request.metrics
    } else {
        let mut metrics = Vec::new();
        let unpacked =
            Decompressor::new().decompress(codec, &request.metrics, &mut metrics, wanted.max_bytes);
        unpacked.map_err(|_| ErrorCode::InvalidRecord)?;
        metrics
    };
    let PushTelemetryRequest { client_instance_id, terminating, .. } = request;
    cluster.pushed.add(PushedMetrics { client_instance_id, terminating, codec, metrics });
    Ok(())
}
