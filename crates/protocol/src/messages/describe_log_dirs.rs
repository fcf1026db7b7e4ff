//! DescribeLogDirs, API key 35 (KIP-113).

use crate::{ErrorCode, codec::message::messages};

messages! {
    DescribeLogDirsRequest(versions 1..=5, flexible 2..) {
        /// Null for all.
        topics: Option<Vec<DescribableLogDirTopic>>,
    }

    DescribableLogDirTopic {
        topic: String,
        partitions: Vec<i32>,
    }

    DescribeLogDirsResponse(versions 1..=5, flexible 2..) {
        throttle_time_ms: i32,
        error_code: ErrorCode [3..],
        results: Vec<DescribeLogDirsResult>,
    }

    DescribeLogDirsResult {
        error_code: ErrorCode,
        log_dir: String,
        topics: Vec<DescribeLogDirsTopic>,
        total_bytes: i64 [4..] = -1,
        usable_bytes: i64 [4..] = -1,
        is_cordoned: bool [5..],
    }

    DescribeLogDirsTopic {
        name: String,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        /// It is a copy on its way to another directory.
        is_future_key: bool,
    }
}
