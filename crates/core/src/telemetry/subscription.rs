//! What a broker asks for.

use std::time::Duration;

use ottla_protocol::{messages::GetTelemetrySubscriptionsResponse, records::Compression};

use super::metrics::METRICS;

/// How often, where no broker says it or what it says makes no sense. Java's.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// No broker may ask for more: Kafka refuses an interval below this in a subscription.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) id: i32,
    pub(super) interval: Duration,
    /// The most bytes that the broker takes, before they are compressed: so much it unpacks.
    pub(super) most_bytes: usize,
    pub(super) is_delta: bool,
    /// In the broker's order.
    codecs: Vec<Compression>,
    /// It asks for metrics, which need not be any that there are.
    pub(super) wants_any: bool,
    /// Those that there are.
    names: Vec<&'static str>,
}

impl Subscription {
    pub(super) fn new(told: &GetTelemetrySubscriptionsResponse) -> Self {
        let interval = u64::try_from(told.push_interval_ms).ok().filter(|ms| *ms > 0);
        let codec = |id: &i8| u8::try_from(*id).ok().and_then(Compression::from_id);
        let mut codecs = Vec::new();
        for codec in told.accepted_compression_types.iter().filter_map(codec) {
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        Self {
            id: told.subscription_id,
            interval: interval
                .map_or(DEFAULT_INTERVAL, |ms| Duration::from_millis(ms).max(SHORTEST_INTERVAL)),
            most_bytes: usize::try_from(told.telemetry_max_bytes).unwrap_or(0),
            is_delta: told.delta_temporality,
            codecs,
            wants_any: !told.requested_metrics.is_empty(),
            names: names(&told.requested_metrics),
        }
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// The broker's first choice that it has not refused.
    pub(super) fn codec(&self, refused: &[Compression]) -> Compression {
        self.codecs.iter().copied().find(|codec| !refused.contains(codec)).unwrap_or_default()
    }
}

/// All is `""` by the KIP, which begins every name, and `*` by Kafka's brokers. Else they are prefixes.
fn names(requested: &[String]) -> Vec<&'static str> {
    let is_all = matches!(requested, [only] if only == "*");
    let is_wanted = |name: &&str| is_all || requested.iter().any(|prefix| name.starts_with(prefix.as_str()));
    METRICS.iter().map(|metric| metric.name).filter(is_wanted).collect()
}
