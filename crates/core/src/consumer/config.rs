//! The settings of a consumer.

use std::time::Duration;

use crate::{
    backoff::Backoff,
    connections::{Address, ConnectionConfig},
    fetch::FetchConfig,
    group::GroupConfig,
    metadata::MetadataConfig,
    offsets::ResetPolicy,
};

/// The settings with which a consumer starts.
#[derive(Debug)]
pub struct ConsumerConfig {
    /// `bootstrap.servers`.
    pub seeds: Vec<Address>,
    /// Limits of connections.
    pub connections: ConnectionConfig,
    /// How metadata is refreshed.
    pub metadata: MetadataConfig,
    /// How records are fetched.
    pub fetch: FetchConfig,
    /// The group to be a member of; `None` for a consumer without a group.
    pub group: Option<GroupConfig>,
    /// How often positions are committed without a call of the user's; `None` for never.
    pub auto_commit: Option<Duration>,
    /// After how many records that users have come back from positions are committed before that; `None` for any number.
    /// Without effect where `auto_commit` is `None`.
    pub auto_commit_records: Option<u64>,
    /// Whether there is a rebalance listener to take [`Callback`](crate::Callback)s.
    pub listener: bool,
    /// `auto.offset.reset`.
    pub reset: ResetPolicy,
    /// `default.api.timeout.ms`.
    pub api_timeout: Duration,
    /// `enable.metrics.push`.
    pub metrics_push: bool,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub retry_backoff: Backoff,
    /// Seeds everything that is left to chance.
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
            auto_commit_records: None,
            listener: false,
            reset: ResetPolicy::default(),
            api_timeout: Duration::from_secs(60),
            metrics_push: true,
            retry_backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) },
            seed: 0,
        }
    }
}
