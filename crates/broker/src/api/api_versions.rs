//! ApiVersions: what is spoken here (KIP-35, KIP-511).

use ottla_protocol::{
    ApiKey, ErrorCode, Response,
    messages::{
        ApiVersionsApiVersion, ApiVersionsFinalizedFeatureKey, ApiVersionsRequest, ApiVersionsResponse,
        ApiVersionsSupportedFeatureKey,
    },
};

use crate::{Cluster, connections::Asked};

/// The one feature whose level clients go by (KIP-890).
const TRANSACTION_VERSION: &str = "transaction.version";
/// From this version on clients have names.
const NAMED: i16 = 3;

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: &ApiVersionsRequest,
    forced: Option<ErrorCode>,
) -> ApiVersionsResponse {
    let error_code = match forced {
        Some(code) => code,
        None if is_valid(request, asked.header.version) => ErrorCode::None,
        None => ErrorCode::InvalidRequest,
    };
    let api_keys = if error_code.is_ok() { advertised(cluster).collect() } else { Vec::new() };
    let own = cluster.config.versions.transaction_version().filter(|_| error_code.is_ok());
    let finalized_level = own.map(|own| cluster.transactions.version.unwrap_or(own));
    let name = || TRANSACTION_VERSION.to_owned();
    let supported =
        |max_version| ApiVersionsSupportedFeatureKey { name: name(), min_version: 0, max_version };
    let finalized = |level| ApiVersionsFinalizedFeatureKey {
        name: name(),
        max_version_level: level,
        min_version_level: level,
    };
    ApiVersionsResponse {
        error_code,
        api_keys,
        supported_features: own.map(supported).into_iter().collect(),
        finalized_features_epoch: own.map_or(-1, |_| 0),
        finalized_features: finalized_level.map(finalized).into_iter().collect(),
        ..Default::default()
    }
}

/// Whether the names are such.
pub(crate) fn is_valid(request: &ApiVersionsRequest, version: i16) -> bool {
    let names = [&request.client_software_name, &request.client_software_version];
    version < NAMED || names.iter().all(|name| is_name(name))
}

/// The answer to a version that is not spoken, in version 0: which versions of this API are.
pub(crate) fn unsupported(cluster: &Cluster) -> Response {
    let this = advertised(cluster).filter(|api| api.api_key == ApiKey::ApiVersions as i16).collect();
    let error_code = ErrorCode::UnsupportedVersion;
    ApiVersionsResponse { error_code, api_keys: this, ..Default::default() }.into()
}

fn advertised(cluster: &Cluster) -> impl Iterator<Item = ApiVersionsApiVersion> {
    cluster.config.advertised().map(|(key, versions)| ApiVersionsApiVersion {
        api_key: key as i16,
        min_version: versions.min,
        max_version: versions.max,
    })
}

/// Letters and digits, dots and dashes inside.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
}
