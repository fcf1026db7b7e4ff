//! The time of day, as records and commits bear it.

use std::time::{SystemTime, UNIX_EPOCH};

/// In milliseconds since 1970; 0 before that.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
