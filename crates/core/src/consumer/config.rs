//! What a consumer is told at its start.

use std::time::Duration;

use crate::{
    backoff::Backoff,
    connections::{Address, ConnectionConfig},
    fetch::FetchConfig,
    group::GroupConfig,
    metadata::MetadataConfig,
    offsets::ResetPolicy,
};

/// Everything that a consumer is told at its start.
#[derive(Debug)]
pub struct ConsumerConfig {
    /// `bootstrap.servers`.
    pub seeds: Vec<Address>,
    /// Connections' limits.
    pub connections: ConnectionConfig,
    /// How metadata is refreshed.
    pub metadata: MetadataConfig,
    /// How to fetch.
    pub fetch: FetchConfig,
    /// The group, if there is one.
    pub group: Option<GroupConfig>,
    /// How often to commit unasked; `None` for never.
    pub auto_commit: Option<Duration>,
    /// Whether somebody answers [`Callback`](crate::Callback)s.
    pub listener: bool,
    /// `auto.offset.reset`.
    pub reset: ResetPolicy,
    /// `default.api.timeout.ms`.
    pub api_timeout: Duration,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub retry_backoff: Backoff,
    /// Decides all that is left to chance.
    pub seed: u64,
}

impl ConsumerConfig {
    /// Java's defaults, without a group.
    pub fn new(seeds: Vec<Address>) -> Self {
        Self {
            seeds,
            connections: ConnectionConfig::default(),
            metadata: MetadataConfig::default(),
            fetch: FetchConfig::default(),
            group: None,
            auto_commit: None,
            listener: false,
            reset: ResetPolicy::default(),
            api_timeout: Duration::from_secs(60),
            retry_backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) },
            seed: 0,
        }
    }
}
