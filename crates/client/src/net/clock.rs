//! The one place where the client reads its clocks. Everything below takes the time as an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_protocol::{Now, Timestamp};

/// Both clocks at this moment.
pub(crate) fn now() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
    Now { mono: Instant::now(), wall: Timestamp(millis) }
}
