//! What a cluster is started with.

use std::{path::PathBuf, time::Duration};

use ottla_protocol::{ApiKey, codec::Versions};

use crate::{Authorizer, ClientMetrics, Sasl, VersionSet};

/// What a [`Cluster`](crate::Cluster) is started with. The defaults are Kafka's, but for a rebalance delay of zero.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many logical brokers there are; their node ids are `1..=brokers`.
    pub brokers: u32,
    /// The topics that exist from the start, if they were not there before. One that cannot be created is left out with a
    /// warning.
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
    /// Kafka's `offset.metadata.max.bytes`: the longest text beside a committed offset that is taken.
    pub offset_metadata_max_bytes: usize,
    /// Kafka's `message.max.bytes`: the largest batch that is taken.
    pub max_message_bytes: usize,
    /// Kafka's `fetch.max.bytes`: what a fetch response is cut to, whatever the client asks.
    pub fetch_max_bytes: usize,
    /// Whether clients may fetch from followers, and leaders name one that is in the rack of who asks (KIP-392): Kafka's
    /// `replica.selector.class` at `RackAwareReplicaSelector`. Brokers are in the racks `rack-1`, `rack-2` and so on. False by
    /// default, as Kafka names none; but its followers serve whoever asks, which these do only then.
    pub follower_fetching: bool,
    /// Kafka's `max.incremental.fetch.session.cache.slots`, per broker.
    pub max_fetch_sessions: usize,
    /// Whether groups may use the consumer protocol (KIP-848); as the release has it, unless it says. Kafka 3.9 has it
    /// off, and version 0 of it once it is on.
    pub consumer_protocol: Option<bool>,
    /// Kafka's `group.consumer.session.timeout.ms`.
    pub group_consumer_session_timeout: Duration,
    /// Kafka's `group.consumer.heartbeat.interval.ms`, which clients are told.
    pub group_consumer_heartbeat_interval: Duration,
    /// Kafka's `group.consumer.assignment.interval.ms`: how long a target stands before the next is made. Kafka 4.3 has
    /// 1 s; zero here, and before.
    pub group_consumer_assignment_interval: Duration,
    /// Kafka's `transaction.max.timeout.ms`: the longest that a producer may ask a transaction to stay open for.
    pub transaction_max_timeout: Duration,
    /// How long it takes at most, once a transaction was ended, until its end is written to each of its partitions. Each takes
    /// a time of its own, drawn from the seed. In Kafka some milliseconds; zero here.
    pub transaction_marker_delay: Duration,
    /// Which metrics clients are asked for. None by default, as without a plug-in for them: clients are then not told that they could
    /// be asked.
    pub client_metrics: Option<ClientMetrics>,
    /// How clients authenticate. None by default: everybody is `User:ANONYMOUS`.
    pub sasl: Option<Sasl>,
    /// TLS on every listener of a [`Server`](crate::Server). None by default. A cluster that is not served has no use for it.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::Tls>,
    /// Who may do what. None by default: everybody may do everything.
    pub authorizer: Option<Authorizer>,
    /// The directory in which everything is kept that is to survive the process; it is created where it is not there. None by
    /// default: all is in memory. What is kept, and against what: [`Cluster::open`](crate::Cluster::open), which looks at this,
    /// as [`Server`](crate::Server) does; [`Cluster::new`](crate::Cluster::new) does not.
    pub data_dir: Option<PathBuf>,
    /// Where all randomness comes from: topic ids, member ids, session ids, the nonces and salts of SCRAM. Who records an
    /// exchange of SCRAM can repeat it to a cluster with the same seed: another one each time, where that matters.
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
            offset_metadata_max_bytes: 4096,
            max_message_bytes: 1024 * 1024 + 12,
            fetch_max_bytes: 55 * 1024 * 1024,
            follower_fetching: false,
            max_fetch_sessions: 1000,
            consumer_protocol: None,
            group_consumer_session_timeout: Duration::from_secs(45),
            group_consumer_heartbeat_interval: Duration::from_secs(5),
            group_consumer_assignment_interval: Duration::ZERO,
            transaction_max_timeout: Duration::from_secs(900),
            transaction_marker_delay: Duration::ZERO,
            client_metrics: None,
            sasl: None,
            #[cfg(feature = "tls")]
            tls: None,
            authorizer: None,
            data_dir: None,
            seed: 0,
        }
    }
}

impl Config {
    /// What is advertised, in the order of the keys. Produce is advertised from 0, as librdkafka needs, though 0 to 2
    /// are not spoken; Kafka does the same.
    pub(crate) fn advertised(&self) -> impl Iterator<Item = (ApiKey, Versions)> {
        ApiKey::ALL.iter().filter_map(|&key| {
            let spoken = self.spoken(key)?;
            Some((key, if key == ApiKey::Produce { Versions { min: 0, ..spoken } } else { spoken }))
        })
    }

    /// What is answered of this API, if anything.
    pub(crate) fn spoken(&self, key: ApiKey) -> Option<Versions> {
        let on = match key {
            ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
                self.consumer_protocol.unwrap_or(self.versions.has_consumer_protocol())
            }
            ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry => self.client_metrics.is_some(),
            // SKIPPED.md.
            ApiKey::DescribeConfigs
            | ApiKey::DescribeLogDirs
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::DescribeTopicPartitions
            | ApiKey::ShareGroupDescribe
            | ApiKey::StreamsGroupDescribe
            | ApiKey::DescribeShareGroupOffsets => false,
            _ => true,
        };
        on.then(|| self.versions.spoken(key))
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
