//! Clients' metrics (KIP-714): what is asked of all of them, and what they pushed.

use std::{collections::VecDeque, time::Duration};

use ottla_protocol::{ClientInstanceId, records::Compression};

/// How many pushes are kept.
const KEPT: usize = 100;

/// What every client is asked for, as by a subscription of Kafka's (`kafka-configs --entity-type client-metrics`) that matches all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMetrics {
    /// Prefixes of names; `*` alone for all, none for no metrics.
    pub metrics: Vec<String>,
    /// Kafka's `interval.ms`.
    pub interval: Duration,
    /// Kafka's `telemetry.max.bytes`.
    pub max_bytes: usize,
    /// What metrics may be compressed with, besides not at all, in order of preference.
    pub codecs: Vec<Compression>,
}

impl Default for ClientMetrics {
    fn default() -> Self {
        Self {
            metrics: vec!["*".to_owned()],
            interval: Duration::from_secs(5 * 60),
            max_bytes: 1 << 20,
            codecs: vec![Compression::Zstd, Compression::Lz4, Compression::Gzip, Compression::Snappy],
        }
    }
}

/// What a client pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedMetrics {
    /// The client's id for them.
    pub client_instance_id: ClientInstanceId,
    /// Whether it is the last that it pushes.
    pub terminating: bool,
    /// What it was compressed with.
    pub codec: Compression,
    /// A `MetricsData` of OpenTelemetry's, no longer compressed.
    pub metrics: Vec<u8>,
}

impl ClientMetrics {
    /// Another for each content.
    pub(crate) fn subscription_id(&self) -> i32 {
        let text = format!("{self:?}");
        text.bytes().fold(17, |id: i32, byte| id.wrapping_mul(31).wrapping_add(i32::from(byte)))
    }
}

/// The last pushes, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Received(VecDeque<PushedMetrics>);

impl Received {
    pub(crate) fn add(&mut self, pushed: PushedMetrics) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(pushed);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PushedMetrics> {
        self.0.iter()
    }
}
