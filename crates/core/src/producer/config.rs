//! The settings of a producer.

use std::time::Duration;

use ottla_protocol::records::Compression;

use super::{Partitioning, TransactionConfig};
use crate::{backoff::Backoff, connections::ConnectionConfig, metadata::MetadataConfig};

/// `acks`: who has a batch before it counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// `0`: perhaps nobody. Brokers do not answer; a batch counts as delivered once it was given to the connection. Records
    /// are lost without a word where the broker refuses them, or the connection breaks.
    None,
    /// `1`: the leader. Records are lost where it fails before a follower has them.
    Leader,
    /// `all`: every replica in sync, `min.insync.replicas` of the topic at the least.
    #[default]
    All,
}

impl Acks {
    /// As it stands in a request.
    pub(super) const fn to_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// The settings of a producer. The defaults are Java's.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Limits of connections.
    pub connections: ConnectionConfig,
    /// How metadata is refreshed.
    pub metadata: MetadataConfig,
    /// `acks`; all for an idempotent producer.
    pub acks: Acks,
    /// `enable.idempotence`: a batch that is sent again is not appended again. Needed for transactions.
    pub idempotent: bool,
    /// `retries`: how often a batch is sent again at the most.
    pub retries: u32,
    /// `linger.ms`: how long a batch that is not full waits for more records.
    pub linger: Duration,
    /// `batch.size`: how large a batch grows, in bytes, not compressed; less in a topic that was found to take less. Java: 16 KiB.
    pub batch_size: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// The codec's level; its own default where there is none.
    pub compression_level: Option<i32>,
    /// `buffer.memory`: how many bytes of records may wait.
    pub buffer_memory: usize,
    /// `max.request.size`: the largest record, and how much goes into one request.
    pub max_request_size: usize,
    /// `max.in.flight.requests.per.connection`; at most 5 for an idempotent producer, as a broker remembers that many
    /// batches of a partition.
    pub max_in_flight: usize,
    /// `delivery.timeout.ms`: from the send of a batch's first record to its acknowledgement.
    pub delivery_timeout: Duration,
    /// `max.block.ms`: how long a send waits for metadata, or for room.
    pub max_block: Duration,
    /// How long a send waits for a topic, or a partition, that brokers say does not exist. Java: `max.block.ms`.
    pub unknown_topic_grace: Duration,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub retry_backoff: Backoff,
    /// How a partition is chosen for records that name none.
    pub partitioning: Partitioning,
    /// `partitioner.ignore.keys`: with [`Partitioning::Murmur2Random`], whether keys do not decide.
    pub ignore_keys: bool,
    /// `partitioner.adaptive.partitioning.enable`: whether records without a key go where little waits.
    pub adaptive: bool,
    /// `partitioner.availability.timeout.ms`: how long a leader may take nothing before it gets no more records without a key,
    /// where others take some. Zero for ever. Only where it is adaptive.
    pub availability_timeout: Duration,
    /// Whether [`Producer::take_decided`](super::Producer::take_decided) tells of each batch.
    pub tells_decided: bool,
    /// Who the producer is where it sends in transactions, and then it sends nothing outside one.
    pub transactions: Option<TransactionConfig>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        let metadata = MetadataConfig::default();
        Self {
            retry_backoff: metadata.retry_backoff,
            connections: ConnectionConfig::default(),
            metadata,
            acks: Acks::All,
            idempotent: true,
            retries: i32::MAX.cast_unsigned(),
            linger: Duration::from_millis(5),
            batch_size: 128 * 1024,
            compression: Compression::None,
            compression_level: None,
            buffer_memory: 32 * 1024 * 1024,
            max_request_size: 1024 * 1024,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            max_block: Duration::from_secs(60),
            unknown_topic_grace: Duration::from_secs(60),
            partitioning: Partitioning::default(),
            ignore_keys: false,
            adaptive: true,
            availability_timeout: Duration::ZERO,
            tells_decided: false,
            transactions: None,
        }
    }
}
