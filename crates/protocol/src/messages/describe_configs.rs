//! DescribeConfigs, API key 32.

use crate::{ErrorCode, codec::message::messages};

messages! {
    DescribeConfigsRequest(versions 1..=4, flexible 4..) {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool [1..],
        include_documentation: bool [3..],
    }

    DescribeConfigsResource {
        /// 2 is a topic, 4 a broker, 8 a broker's logger, 16 client metrics, 32 a group.
        resource_type: i8,
        resource_name: String,
        /// Null for all.
        configuration_keys: Option<Vec<String>>,
    }

    DescribeConfigsResponse(versions 1..=4, flexible 4..) {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    DescribeConfigsResult {
        error_code: ErrorCode,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    DescribeConfigsResourceResult {
        name: String,
        value: Option<String>,
        read_only: bool,
        config_source: i8 [1..] = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym> [1..],
        config_type: i8 [3..],
        documentation: Option<String> [3..],
    }

    DescribeConfigsSynonym {
        name: String [1..],
        value: Option<String> [1..],
        source: i8 [1..],
    }
}
