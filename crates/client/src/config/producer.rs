//! The configuration of a producer.

mod guarantee;
mod placing;

use std::time::Duration;

use guarantee::{acks, retries};
use ottla_core::producer::{Acks, Partitioning, TransactionConfig};
use ottla_protocol::records::Compression;
use placing::{class, partitioner};

use super::{
    common::{Common, CommonConfig, FRAME_POOL, RECEIVE_MAX},
    property::{JavaDefault::*, Property, properties},
    setters::{common_setters, settings},
    value::{
        MAX_SIZE, check, check_millis, check_millis_or_zero, count, from_text, millis, size, text, truth,
    },
};
use crate::{
    driver::DriverConfig,
    error::BuildError,
    log,
    producer::{Interceptors, ProducerInterceptor},
};

properties! {
    ProducerBuilder;
    "acks": "all, -1, 1, 0", "all", Same,
        "Who has a record before it counts as delivered: all replicas in sync, the leader, or perhaps nobody. Below all the \
         producer is not idempotent",
        acks = acks;
    "batch.size": "bytes", "131072", Other("16384"),
        "How large a batch grows, not compressed. Smaller in a topic that takes less (`max.message.bytes`)",
        batch_size = size;
    "buffer.memory": "bytes", "33554432", Same,
        "How much may wait to be sent",
        buffer_memory = size;
    "compression.type": "none, gzip, snappy, lz4, zstd", "none", Same,
        "How batches are compressed",
        compression = compression;
    "connections.max.idle.ms": "ms", "540000", Same,
        "How long a connection may be without use before it is closed",
        common.connections_max_idle = millis;
    "default.api.timeout.ms": "ms", "60000", Absent,
        "How long building the producer waits for a broker",
        common.default_api_timeout = millis;
    "delivery.timeout.ms": "ms", "120000", Same,
        "How long a record may take from the send to its acknowledgement; at least `linger.ms` and `request.timeout.ms` \
         together",
        delivery_timeout = millis;
    "enable.idempotence": "true or false", "true", Same,
        "Whether a record that is sent again is not appended again; with `acks=all` and `retries` above 0, and false without \
         unless it is set",
        idempotent = truth;
    "linger.ms": "ms", "5", Same,
        "How long a batch that is not full waits for more records, and a full one, while its leader has a request to answer, for \
         others to go with it",
        linger = millis;
    "max.block.ms": "ms", "60000", Same,
        "How long a send waits for metadata, or for room",
        max_block = millis;
    "max.in.flight.requests.per.connection": "1 to 5", "5", Same,
        "How many requests a broker may have to answer at once; up to 255 without idempotence",
        max_in_flight = count;
    "max.request.size": "bytes", "1048576", Same,
        "The largest record, and how much goes into one request",
        max_request_size = size;
    "partitioner": "consistent_random, consistent, murmur2, murmur2_random, random, fnv1a, fnv1a_random", "murmur2_random",
        Absent,
        "Which partition a record goes to that names none, by librdkafka's names: `murmur2_random` is Java's, `consistent_random` \
         librdkafka's own default. Of it and `partitioner.class` the last one stands",
        partitioning = partitioner;
    "partitioner.adaptive.partitioning.enable": "true or false", "true", Same,
        "Whether records without a key go where little waits to be sent",
        adaptive = truth;
    "partitioner.availability.timeout.ms": "ms", "0", Same,
        "How long a broker may take nothing before records without a key go to others; 0 for ever. With \
         `partitioner.adaptive.partitioning.enable`",
        availability_timeout = millis;
    "partitioner.class": "RoundRobinPartitioner, or Java's class", "", Same,
        "Which partition a record goes to that names none: empty for Java's default, by the key",
        partitioning = class;
    "partitioner.ignore.keys": "true or false", "false", Same,
        "Whether records with a key go where those without one do. With the default partitioner",
        ignore_keys = truth;
    "retries": "a number", "2147483647", Same,
        "How often a record is sent again at the most, within `delivery.timeout.ms`",
        retries = retries;
    "transaction.timeout.ms": "ms", "60000", Same,
        "How long a transaction may be open before its coordinator aborts it; at most the broker's \
         `transaction.max.timeout.ms`",
        transaction_timeout = millis;
    "transactional.id": "text", "", Same,
        "Who the producer is over restarts; with it the producer sends in transactions, and fences older ones with the \
         same id",
        transactional_id = text;
}

fn compression(key: &str, value: &str) -> Result<Compression, BuildError> {
    from_text(key, value, "none, gzip, snappy, lz4 or zstd")
}

/// Builds a producer. Unless it is told otherwise, it is idempotent, and waits for every replica in sync.
#[derive(Debug, Clone)]
pub struct ProducerBuilder {
    pub(super) common: Common,
    acks: Acks,
    /// `None` where nobody said: whatever the rest allows.
    idempotent: Option<bool>,
    retries: u32,
    partitioning: Partitioning,
    adaptive: bool,
    availability_timeout: Duration,
    ignore_keys: bool,
    linger: Duration,
    batch_size: usize,
    compression: Compression,
    buffer_memory: usize,
    max_request_size: usize,
    max_in_flight: usize,
    delivery_timeout: Duration,
    max_block: Duration,
    unknown_topic_grace: Option<Duration>,
    transactional_id: Option<String>,
    transaction_timeout: Duration,
    interceptors: Interceptors,
}

impl Default for ProducerBuilder {
    fn default() -> Self {
        Self {
            common: Common::default(),
            acks: Acks::All,
            idempotent: None,
            retries: guarantee::MAX_RETRIES,
            partitioning: Partitioning::default(),
            adaptive: true,
            availability_timeout: Duration::ZERO,
            ignore_keys: false,
            linger: Duration::from_millis(5),
            batch_size: 128 << 10,
            compression: Compression::None,
            buffer_memory: 32 << 20,
            max_request_size: 1 << 20,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            max_block: Duration::from_secs(60),
            unknown_topic_grace: None,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            interceptors: Interceptors::default(),
        }
    }
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct ProducerConfig {
    pub(crate) common: CommonConfig,
    pub(crate) acks: Acks,
    pub(crate) idempotent: bool,
    pub(crate) retries: u32,
    pub(crate) partitioning: Partitioning,
    pub(crate) adaptive: bool,
    pub(crate) availability_timeout: Duration,
    pub(crate) ignore_keys: bool,
    pub(crate) linger: Duration,
    pub(crate) batch_size: usize,
    pub(crate) compression: Compression,
    pub(crate) buffer_memory: usize,
    pub(crate) max_request_size: usize,
    /// 1 to 5, where it is idempotent.
    pub(crate) max_in_flight: usize,
    /// At least linger + request timeout.
    pub(crate) delivery_timeout: Duration,
    pub(crate) max_block: Duration,
    pub(crate) unknown_topic_grace: Duration,
    pub(crate) transactions: Option<TransactionConfig>,
    pub(crate) interceptors: Interceptors,
}

impl ProducerConfig {
    /// What the machine goes by.
    pub(crate) fn machine(&self) -> ottla_core::producer::ProducerConfig {
        ottla_core::producer::ProducerConfig {
            connections: self.common.connections(),
            metadata: self.common.metadata(true),
            acks: self.acks,
            idempotent: self.idempotent,
            retries: self.retries,
            partitioning: self.partitioning.clone(),
            adaptive: self.adaptive,
            availability_timeout: self.availability_timeout,
            ignore_keys: self.ignore_keys,
            linger: self.linger,
            batch_size: self.batch_size,
            compression: self.compression,
            buffer_memory: self.buffer_memory,
            max_request_size: self.max_request_size,
            max_in_flight: self.max_in_flight,
            delivery_timeout: self.delivery_timeout,
            max_block: self.max_block,
            unknown_topic_grace: self.unknown_topic_grace,
            retry_backoff: self.common.retry_backoff,
            tells_decided: !self.interceptors.is_empty(),
            transactions: self.transactions.clone(),
            ..Default::default()
        }
    }

    /// What the driver goes by. No answer to a producer is long, or kept.
    pub(crate) fn driver(&self) -> DriverConfig {
        let span = log::producer(&self.common);
        // A call for each record would enter the span each time, and no event comes of a call.
        let span_of_calls = tracing::Span::none();
        let driver = self.common.driver("ottla-producer", RECEIVE_MAX, FRAME_POOL, span);
        DriverConfig { span_of_calls, ..driver }
    }
}

impl ProducerBuilder {
    /// With the connection properties of another client.
    pub(super) fn with(common: Common) -> Self {
        Self { common, ..Self::default() }
    }

    /// Who is asked about each record before it is sent, and told what became of it, behind those that earlier calls named.
    /// Default nobody, as Java's (`interceptor.classes`).
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor) -> Self {
        self.interceptors.add(interceptor);
        self
    }

    common_setters!("9 min");

    /// Who has a record before it counts as delivered. Default every replica in sync, as Java's. With less the producer is not
    /// idempotent: to ask for that, or for transactions, is then an error. Without acknowledgements nothing is told of records
    /// that brokers refuse, and a delivery has no offset.
    #[must_use]
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// Whether a record that is sent again is not appended again (`enable.idempotence`, KIP-98). Default true, as Java's, with
    /// `acks` of all and `retries` above 0; otherwise false.
    ///
    /// Without it one batch of a partition is on its way at a time, so that no retry swaps records. Java sends several, and
    /// may swap them unless `max.in.flight.requests.per.connection` is 1.
    #[must_use]
    pub fn enable_idempotence(mut self, enable: bool) -> Self {
        self.idempotent = Some(enable);
        self
    }

    /// How often a record is sent again at the most, within `delivery_timeout`. Default 2147483647, as Java's: as long as that
    /// lasts.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long a batch that is not full waits for more records. Default 5 ms, as Java's since Kafka 4.0.
    ///
    /// A full batch goes at once, but where its leader has a request to answer: then full batches of other partitions may join it
    /// in one request, until the answer comes, they make an eighth of `max_request_size`, or the time is over. With zero nothing waits.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How large a batch grows, in bytes, not compressed. Default 128 KiB (Java: 16 KiB): a record of 1 KB costs less than half as
    /// much then. A batch is no later for it, as [`linger`](Self::linger) bounds how long it waits, and begins with about the memory
    /// that the one before took.
    ///
    /// A batch that is larger than its topic takes (`max.message.bytes`, 1 MiB by default) is split and sent again, as by Java, and
    /// later ones of that topic are smaller, for as long as the producer lives.
    #[must_use]
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.batch_size = bytes;
        self
    }

    /// How batches are compressed (`compression.type`). Default not at all, as Java's.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How many bytes of records may wait to be sent. Default 32 MiB, as Java's.
    #[must_use]
    pub fn buffer_memory(mut self, bytes: usize) -> Self {
        self.buffer_memory = bytes;
        self
    }

    /// The largest record, and how much goes into one request, in bytes, not compressed. Default 1 MiB, as Java's.
    #[must_use]
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.max_request_size = bytes;
        self
    }

    /// How many requests a broker may have to answer at once (`max.in.flight.requests.per.connection`), 1 to 5: a
    /// broker remembers five batches of an idempotent producer. Up to 255 without idempotence. Default 5, as Java's.
    #[must_use]
    pub fn max_in_flight_requests_per_connection(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// How long a record may take from the send to its acknowledgement, with all attempts; at least linger and request
    /// time-out together. Default 2 min, as Java's.
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// How long a send waits for metadata, or for room. Default 60 s, as Java's.
    #[must_use]
    pub fn max_block(mut self, wait: Duration) -> Self {
        self.max_block = wait;
        self
    }

    /// How long a send waits for a topic, or a partition, that brokers say does not exist. Default `max_block`, as in
    /// Java, which has no setting of its own for it.
    #[must_use]
    pub fn unknown_topic_grace(mut self, wait: Duration) -> Self {
        self.unknown_topic_grace = Some(wait);
        self
    }

    /// Who the producer is (`transactional.id`), over restarts: with it [`build_transactional`](Self::build_transactional)
    /// builds a producer of transactions. A newer producer with the same id fences the older one. Default none.
    #[must_use]
    pub fn transactional_id(mut self, id: impl Into<String>) -> Self {
        self.transactional_id = Some(id.into());
        self
    }

    /// How long a transaction may be open, from its first record on, before its coordinator aborts it; at most the
    /// broker's `transaction.max.timeout.ms` (15 min by default). Default 60 s, as Java's.
    #[must_use]
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// A configuration in which everything fits together, or what does not.
    pub(crate) fn parse(&self) -> Result<ProducerConfig, BuildError> {
        let common = self.common.parse()?;
        let linger = check_millis_or_zero("linger.ms", self.linger)?;
        let delivery_timeout = check_millis("delivery.timeout.ms", self.delivery_timeout)?;
        if delivery_timeout < linger + common.request_timeout {
            let delivery = delivery_timeout.as_millis();
            let default = Self::default();
            return Err(if delivery_timeout != default.delivery_timeout {
                let expected = "at least linger.ms and request.timeout.ms together";
                BuildError::invalid("delivery.timeout.ms", delivery, expected)
            } else if linger > common.request_timeout {
                let expected = format!("with request.timeout.ms at most delivery.timeout.ms, {delivery}");
                BuildError::invalid("linger.ms", linger.as_millis(), expected)
            } else {
                let expected = format!("with linger.ms at most delivery.timeout.ms, {delivery}");
                BuildError::invalid("request.timeout.ms", common.request_timeout.as_millis(), expected)
            });
        }
        let idempotent = self.check_idempotence()?;
        let max_block = check_millis_or_zero("max.block.ms", self.max_block)?;
        let timeout = check_millis("transaction.timeout.ms", self.transaction_timeout)?;
        let transactions = match &self.transactional_id {
            Some(id) if id.trim().is_empty() => {
                return Err(BuildError::invalid(
                    "transactional.id",
                    id,
                    "a name; leave it out to send without transactions",
                ));
            }
            id => id.clone().map(|id| TransactionConfig { id, timeout }),
        };
        Ok(ProducerConfig {
            common,
            acks: self.acks,
            idempotent,
            retries: check("retries", self.retries, 0..=guarantee::MAX_RETRIES)?,
            partitioning: self.partitioning.clone(),
            adaptive: self.adaptive,
            availability_timeout: check_millis_or_zero(
                "partitioner.availability.timeout.ms",
                self.availability_timeout,
            )?,
            ignore_keys: self.ignore_keys,
            linger,
            batch_size: check("batch.size", self.batch_size, 1..=MAX_SIZE)?,
            compression: self.compression,
            buffer_memory: check("buffer.memory", self.buffer_memory, 1..=MAX_SIZE)?,
            max_request_size: check("max.request.size", self.max_request_size, 1..=MAX_SIZE)?,
            max_in_flight: self.check_in_flight(idempotent)?,
            delivery_timeout,
            max_block,
            unknown_topic_grace: self.unknown_topic_grace.unwrap_or(max_block),
            transactions,
            interceptors: self.interceptors.clone(),
        })
    }
}

settings! {
    ProducerSettings of ProducerBuilder;
    acks: Acks = |told| told.acks;
    enable_idempotence: bool = |told| told.idempotent.unwrap_or_else(|| told.obstacle_to_idempotence().is_none());
    retries: u32 = |told| told.retries;
    partitioning: &'a Partitioning = |told| &told.partitioning;
    partitioner_adaptive_partitioning: bool = |told| told.adaptive;
    partitioner_availability_timeout: Duration = |told| told.availability_timeout;
    partitioner_ignore_keys: bool = |told| told.ignore_keys;
    linger: Duration = |told| told.linger;
    batch_size: usize = |told| told.batch_size;
    compression: Compression = |told| told.compression;
    buffer_memory: usize = |told| told.buffer_memory;
    max_request_size: usize = |told| told.max_request_size;
    max_in_flight_requests_per_connection: usize = |told| told.max_in_flight;
    delivery_timeout: Duration = |told| told.delivery_timeout;
    max_block: Duration = |told| told.max_block;
    unknown_topic_grace: Duration = |told| told.unknown_topic_grace.unwrap_or(told.max_block);
    transactional_id: Option<&'a str> = |told| told.transactional_id.as_deref();
    transaction_timeout: Duration = |told| told.transaction_timeout;
}
