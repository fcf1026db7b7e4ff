//! ApiVersions, API key 18.

use crate::{ErrorCode, codec::message::messages};

messages! {
    ApiVersionsRequest(versions 0..=5, flexible 3..) {
        client_software_name: String [3..],
        client_software_version: String [3..],
        cluster_id: Option<String> [5..],
        node_id: i32 [5..] = -1,
    }

    ApiVersionsResponse(versions 0..=5, flexible 3..) {
        error_code: ErrorCode,
        api_keys: Vec<ApiVersionsApiVersion>,
        throttle_time_ms: i32 [1..],
        supported_features: Vec<ApiVersionsSupportedFeatureKey> [3.., tag 0],
        finalized_features_epoch: i64 [3.., tag 1] = -1,
        finalized_features: Vec<ApiVersionsFinalizedFeatureKey> [3.., tag 2],
        zk_migration_ready: bool [3.., tag 3],
    }

    ApiVersionsApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    ApiVersionsSupportedFeatureKey {
        name: String [3..],
        min_version: i16 [3..],
        max_version: i16 [3..],
    }

    ApiVersionsFinalizedFeatureKey {
        name: String [3..],
        max_version_level: i16 [3..],
        min_version_level: i16 [3..],
    }
}
