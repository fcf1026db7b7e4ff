//! IncrementalAlterConfigs, API key 44 (KIP-339).

use crate::{ErrorCode, codec::message::messages};

messages! {
    IncrementalAlterConfigsRequest(versions 0..=1, flexible 1..) {
        resources: Vec<IncrementalAlterConfigsResource>,
        validate_only: bool,
    }

    IncrementalAlterConfigsResource {
        /// As in DescribeConfigs.
        resource_type: i8,
        resource_name: String,
        configs: Vec<IncrementalAlterConfigsConfig>,
    }

    IncrementalAlterConfigsConfig {
        name: String,
        /// 0 sets, 1 takes back to the default, 2 appends to a list, 3 subtracts from it.
        config_operation: i8,
        value: Option<String>,
    }

    IncrementalAlterConfigsResponse(versions 0..=1, flexible 1..) {
        throttle_time_ms: i32,
        responses: Vec<IncrementalAlterConfigsResourceResponse>,
    }

    IncrementalAlterConfigsResourceResponse {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
    }
}
