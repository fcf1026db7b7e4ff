//! The spans of clients: each says whose its events are. `docs/logs.md` is the table of events, most of which are the core's.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Span;

use crate::config::common::CommonConfig;

/// The number of a client, by which an operator tells the clients of a process apart.
fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// A span for the life of a client. It has the level of errors, so that no filter by level drops it and keeps an event. It
/// has no parent, as it outlives the span in which the client is built.
macro_rules! client_span {
    ($name:literal, $common:expr $(, $($fields:tt)+)?) => {
        tracing::error_span!(
            target: "ottla",
            parent: None,
            $name,
            n = number(),
            client_id = $common.client_id.as_deref(),
            $($($fields)+)?
        )
    };
}

pub(crate) fn consumer(common: &CommonConfig, group: Option<&str>, instance: Option<&str>) -> Span {
    client_span!("consumer", common, group, instance)
}

pub(crate) fn producer(common: &CommonConfig) -> Span {
    client_span!("producer", common)
}

pub(crate) fn admin(common: &CommonConfig) -> Span {
    client_span!("admin", common)
}
