//! What a cluster is started with.

use std::time::Duration;

use crate::VersionSet;

/// What a [`Cluster`](crate::Cluster) is started with. The defaults are Kafka's, but for a rebalance delay of zero.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many logical brokers there are; their node ids are `1..=brokers`.
    pub brokers: u32,
    /// The topics that exist from the start. One that cannot be created is left out with a warning.
    pub topics: Vec<TopicSpec>,
    /// Whether a topic that a client asks for comes into being, where the client allows it too.
    pub auto_create: bool,
    /// Kafka's `num.partitions`: for topics whose creator names no count.
    pub default_partitions: u32,
    /// Whose API versions are advertised.
    pub versions: VersionSet,
    /// Kafka's `group.initial.rebalance.delay.ms`: how long an empty group waits for more members. Kafka's default is
    /// 3 s; zero here, as for its own tests.
    pub group_initial_rebalance_delay: Duration,
    /// Kafka's `group.min.session.timeout.ms`.
    pub group_min_session_timeout: Duration,
    /// Kafka's `group.max.session.timeout.ms`.
    pub group_max_session_timeout: Duration,
    /// Kafka's `group.max.size`.
    pub group_max_size: usize,
    /// Kafka's `message.max.bytes`: the largest batch that is taken.
    pub max_message_bytes: usize,
    /// Kafka's `fetch.max.bytes`: what a fetch response is cut to, whatever the client asks.
    pub fetch_max_bytes: usize,
    /// Kafka's `max.incremental.fetch.session.cache.slots`, per broker.
    pub max_fetch_sessions: usize,
    /// Where all randomness comes from: topic ids, member ids, session ids.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: 1,
            topics: Vec::new(),
            auto_create: false,
            default_partitions: 1,
            versions: VersionSet::default(),
            group_initial_rebalance_delay: Duration::ZERO,
            group_min_session_timeout: Duration::from_secs(6),
            group_max_session_timeout: Duration::from_secs(1800),
            group_max_size: usize::MAX,
            max_message_bytes: 1024 * 1024 + 12,
            fetch_max_bytes: 55 * 1024 * 1024,
            max_fetch_sessions: 1000,
            seed: 0,
        }
    }
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// On how many brokers each partition is said to be. There is one copy, whatever this says.
    pub replication_factor: u16,
    /// Kafka's `message.timestamp.type`: whether batches bear the time of their append.
    pub log_append_time: bool,
}

impl TopicSpec {
    /// A topic with one replica and the producers' timestamps.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self { name: name.into(), partitions, replication_factor: 1, log_append_time: false }
    }
}
