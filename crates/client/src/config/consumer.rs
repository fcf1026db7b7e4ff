//! The configuration of a consumer.

use std::{collections::BTreeSet, time::Duration};

pub use ottla_core::ResetPolicy as OffsetReset;
use ottla_core::{Assignor, FetchConfig, GroupProtocol, Pattern};

use super::{
    common::{Common, CommonConfig, RECEIVE_MAX, common_setters},
    group::{Group, GroupSettings, SharedAssignor},
    known::{self, Known},
    names::Names,
    value::{MAX_SIZE, check, check_millis, check_millis_or_zero, count, iso_duration, millis, size, truth},
};
use crate::{
    consumer::{Listener, RebalanceListener},
    driver::DriverConfig,
    error::{BuildError, BuildErrorKind, Details as _},
};

/// The properties of a consumer, but for those of every client.
pub(super) const SUPPORTED: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "true"),
    ("auto.commit.interval.ms", "5000"),
    ("auto.offset.reset", "latest"),
    ("check.crcs", "true"),
    ("client.rack", ""),
    ("enable.auto.commit", "true"),
    ("fetch.max.bytes", "52428800"),
    ("fetch.max.wait.ms", "500"),
    ("fetch.min.bytes", "1"),
    ("group.id", ""),
    ("group.instance.id", ""),
    ("group.protocol", "classic"),
    ("group.remote.assignor", ""),
    ("heartbeat.interval.ms", "3000"),
    ("max.partition.fetch.bytes", "1048576"),
    ("max.poll.interval.ms", "300000"),
    ("max.poll.records", "500"),
    ("ottla.buffer.memory", "67108864"),
    ("ottla.max.decompressed.batch.bytes", "2147483647"),
    ("ottla.rebalance.timeout.ms", ""),
    ("partition.assignment.strategy", "range,cooperative-sticky"),
    ("session.timeout.ms", "45000"),
];

/// The largest batch that is reckoned with: a response holds one batch beyond `fetch.max.bytes` where that is the first
/// (KIP-74), and brokers take batches of 1 MiB unless told otherwise.
const LARGEST_BATCH: usize = 64 << 20;

/// As Kafka writes it: `earliest`, `latest`, `none`, or `by_duration:` and a duration in ISO 8601.
fn offset_reset(text: &str) -> Option<OffsetReset> {
    match text.trim().to_lowercase().as_str() {
        "earliest" => Some(OffsetReset::Earliest),
        "latest" => Some(OffsetReset::Latest),
        "none" => Some(OffsetReset::None),
        text => text.strip_prefix("by_duration:").and_then(iso_duration).map(OffsetReset::ByDuration),
    }
}

const KNOWN: Known = known::CONSUMER;

/// Builds a consumer.
#[derive(Debug, Clone)]
pub struct ConsumerBuilder {
    common: Common,
    topics: Option<Vec<String>>,
    pattern: Option<String>,
    listener: Option<Listener>,
    group: Group,
    enable_auto_commit: Option<bool>,
    auto_commit_interval: Duration,
    auto_offset_reset: OffsetReset,
    allow_auto_create_topics: bool,
    max_poll_records: usize,
    fetch_min_bytes: usize,
    fetch_max_bytes: usize,
    fetch_max_wait: Duration,
    max_partition_fetch_bytes: usize,
    check_crcs: bool,
    buffer_memory: usize,
    max_decompressed_batch_bytes: usize,
}

impl Default for ConsumerBuilder {
    fn default() -> Self {
        Self {
            common: Common::default(),
            topics: None,
            pattern: None,
            listener: None,
            group: Group::default(),
            enable_auto_commit: None,
            auto_commit_interval: Duration::from_secs(5),
            auto_offset_reset: OffsetReset::default(),
            allow_auto_create_topics: true,
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            fetch_max_wait: Duration::from_millis(500),
            max_partition_fetch_bytes: 1 << 20,
            check_crcs: true,
            buffer_memory: 64 << 20,
            max_decompressed_batch_bytes: MAX_SIZE,
        }
    }
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerConfig {
    pub(crate) common: CommonConfig,
    /// What the builder was told to subscribe to; only with a group.
    pub(crate) subscription: Option<Wish>,
    pub(crate) listener: Option<Listener>,
    pub(crate) group: Option<GroupSettings>,
    pub(crate) auto_offset_reset: OffsetReset,
    pub(crate) allow_auto_create_topics: bool,
    pub(crate) max_poll_records: usize,
    /// Fits the wire, as all sizes here.
    pub(crate) fetch_min_bytes: usize,
    pub(crate) fetch_max_bytes: usize,
    /// Shorter than the request time-out.
    pub(crate) fetch_max_wait: Duration,
    pub(crate) max_partition_fetch_bytes: usize,
    pub(crate) check_crcs: bool,
    /// The byte budget.
    pub(crate) buffer_memory: usize,
    pub(crate) max_decompressed_batch_bytes: usize,
}

/// What to subscribe to.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Topics(BTreeSet<String>),
    Pattern(Pattern),
}

impl ConsumerConfig {
    /// What the machine goes by.
    pub(crate) fn machine(&self, seed: u64) -> ottla_core::ConsumerConfig {
        let common = &self.common;
        ottla_core::ConsumerConfig {
            seeds: common.bootstrap_servers.clone(),
            connections: common.connections(),
            metadata: common.metadata(self.allow_auto_create_topics),
            fetch: FetchConfig {
                min_bytes: i32::try_from(self.fetch_min_bytes).unwrap_or(i32::MAX),
                max_bytes: self.fetch_max_bytes,
                partition_max_bytes: self.max_partition_fetch_bytes,
                max_wait: self.fetch_max_wait,
                budget: self.buffer_memory,
                retry_backoff: common.retry_backoff,
                request_timeout: common.request_timeout,
            },
            group: self.group.as_ref().map(GroupSettings::machine),
            auto_commit: self.group.as_ref().and_then(|group| group.auto_commit_interval),
            listener: self.listener.is_some(),
            reset: self.auto_offset_reset,
            api_timeout: common.default_api_timeout,
            retry_backoff: common.retry_backoff,
            seed,
        }
    }

    /// What the driver goes by.
    pub(crate) fn driver(&self) -> DriverConfig {
        let receive_max = RECEIVE_MAX.max(self.fetch_max_bytes.saturating_add(LARGEST_BATCH));
        self.common.driver("ottla-consumer", receive_max, self.buffer_memory)
    }
}

impl ConsumerBuilder {
    common_setters!("9 min");

    /// A topic, or several, to read as a member of the group, which hands out their partitions. Default none: subscribe or assign
    /// later, as in Java.
    #[must_use]
    pub fn subscribe<Kind>(mut self, topics: impl Names<Kind>) -> Self {
        self.topics = Some(topics.into_names());
        self
    }

    /// Topics by a regular expression that their whole names match, as
    /// [`Consumer::subscribe_pattern`](crate::Consumer::subscribe_pattern) does. In place of
    /// [`subscribe`](Self::subscribe).
    #[must_use]
    pub fn subscribe_pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// Who is told when partitions come and go. Default nobody.
    #[must_use]
    pub fn rebalance_listener(mut self, listener: impl RebalanceListener) -> Self {
        self.listener = Some(Listener::new(listener));
        self
    }

    /// The group to be a member of, and whose offsets to commit. Default none, as Java's.
    #[must_use]
    pub fn group_id(mut self, id: impl Into<String>) -> Self {
        self.group.id = Some(id.into());
        self
    }

    /// Who shares the group's partitions out: its members, or its coordinator (KIP-848, Kafka 4.0). A group may be moved
    /// from one to the other while it runs, member by member. Default [`GroupProtocol::Classic`], as Java's.
    #[must_use]
    pub fn group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.group.protocol = protocol;
        self
    }

    /// Makes the member static (KIP-345): who comes back under the same id within the session has its partitions back,
    /// without a rebalance. Of two at once the classic protocol fences the older, and the consumer protocol refuses the
    /// newer. Default none, as Java's.
    #[must_use]
    pub fn group_instance_id(mut self, id: impl Into<String>) -> Self {
        self.group.instance_id = Some(id.into());
        self
    }

    /// The rack that the consumer is in, for assignors that mind it (KIP-881). Fetching from followers in it (KIP-392)
    /// is not supported yet. Default none, as Java's.
    #[must_use]
    pub fn client_rack(mut self, rack: impl Into<String>) -> Self {
        self.group.rack = Some(rack.into());
        self
    }

    /// Which of the coordinator's assignors to ask for; consumer protocol only. Default the coordinator's choice, as
    /// Java's.
    #[must_use]
    pub fn group_remote_assignor(mut self, name: impl Into<String>) -> Self {
        self.group.remote_assignor = Some(name.into());
        self
    }

    /// Offers an assignor, behind those that earlier calls offered; classic protocol only. The group takes one that all
    /// its members offer. When all that a member offers are cooperative, it keeps its partitions while the group
    /// rebalances. Default, without a call: [`Range`](crate::Range), then
    /// [`CooperativeSticky`](crate::CooperativeSticky), as Java's.
    #[must_use]
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.group.assignors.push(SharedAssignor::new(assignor));
        self
    }

    /// Whether to commit, every [`auto_commit_interval`](Self::auto_commit_interval), when partitions are revoked, and
    /// on close, what was handed out. Default true with a group, as Java's, and false without one.
    #[must_use]
    pub fn enable_auto_commit(mut self, enable: bool) -> Self {
        self.enable_auto_commit = Some(enable);
        self
    }

    /// The time between automatic commits. Default 5 s, as Java's.
    #[must_use]
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.auto_commit_interval = interval;
        self
    }

    /// Where to begin without a committed offset. Default [`OffsetReset::Latest`], as Java's.
    ///
    /// With `Latest`, records that were written to a partition before the group first read it are skipped: those of a
    /// partition that was added to a topic just now, too (KAFKA-12261). Where none may be missed, take
    /// [`OffsetReset::Earliest`]. [`Consumer::explain`](crate::Consumer::explain) tells where reading began so.
    #[must_use]
    pub fn auto_offset_reset(mut self, reset: OffsetReset) -> Self {
        self.auto_offset_reset = reset;
        self
    }

    /// Whether a broker may create a topic that is subscribed to and does not exist. Default true, as Java's.
    #[must_use]
    pub fn allow_auto_create_topics(mut self, allow: bool) -> Self {
        self.allow_auto_create_topics = allow;
        self
    }

    /// The most records that one `poll` returns. Default 500, as Java's.
    #[must_use]
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.max_poll_records = records;
        self
    }

    /// How long the program may take between two calls for records before its partitions go to other members. Default
    /// 5 min, as Java's.
    #[must_use]
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.group.max_poll_interval = interval;
        self
    }

    /// How long a rebalance waits for this member to give up what it must: past that, its partitions are lost to it, and
    /// others read from the last commit on. Default [`max_poll_interval`](Self::max_poll_interval), always so with Java's.
    /// Shorter, others wait less for a handler or a listener that takes its time; but longer than
    /// [`heartbeat_interval`](Self::heartbeat_interval), by which the member hears of it. As a property:
    /// `ottla.rebalance.timeout.ms`.
    #[must_use]
    pub fn rebalance_timeout(mut self, timeout: Duration) -> Self {
        self.group.rebalance_timeout = Some(timeout);
        self
    }

    /// How long the coordinator hears nothing before it takes the member for dead. Default 45 s, as Java's. Classic
    /// protocol only.
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.group.session_timeout = Some(timeout);
        self
    }

    /// The time between heartbeats; shorter than the session, best a third of it. Default 3 s, as Java's. Under the
    /// consumer protocol the coordinator says it. While others have still to give up what comes here, for up to two
    /// intervals, heartbeats of either protocol come five times as often.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.group.heartbeat_interval = Some(interval);
        self
    }

    /// How many bytes a broker gathers, for up to [`fetch_max_wait`](Self::fetch_max_wait), before it answers a fetch.
    /// Default 1, as Java's; at least 1, where Java also takes 0, with which a broker answers empty without a pause.
    #[must_use]
    pub fn fetch_min_bytes(mut self, bytes: usize) -> Self {
        self.fetch_min_bytes = bytes;
        self
    }

    /// About how many bytes one fetch brings; a batch that is larger comes whole. Default 50 MiB, as Java's.
    #[must_use]
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.fetch_max_bytes = bytes;
        self
    }

    /// How long a broker holds a fetch for which it has too little. Default 500 ms, as Java's; shorter than
    /// [`request_timeout`](Self::request_timeout), which Java does not check.
    #[must_use]
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.fetch_max_wait = wait;
        self
    }

    /// About how many bytes of one partition a fetch brings; a batch that is larger comes whole. Default 1 MiB, as
    /// Java's.
    #[must_use]
    pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.max_partition_fetch_bytes = bytes;
        self
    }

    /// Whether the checksum of each batch is checked. Default true, as Java's.
    #[must_use]
    pub fn check_crcs(mut self, check: bool) -> Self {
        self.check_crcs = check;
        self
    }

    /// How many bytes fetched, in flight, and held by the program in records may be in memory at once. Default 64 MiB:
    /// a fetch from each of three brokers while another of each is read. Java has no such bound: it buffers one fetch
    /// of `fetch.max.bytes` a broker. As a property: `ottla.buffer.memory`.
    #[must_use]
    pub fn buffer_memory(mut self, bytes: usize) -> Self {
        self.buffer_memory = bytes;
        self
    }

    /// The most that one batch may decompress to. Default 2 GiB less a byte, which no single record exceeds: brokers
    /// bound what a batch takes compressed, and by default nothing else, so that whatever record they took is read. Java
    /// has no such bound either. Memory is taken as a batch turns out to need it, twice what it holds at the most. But who
    /// may write to a topic can make 1 MiB into that much: where such writers are not trusted, set less. As a property:
    /// `ottla.max.decompressed.batch.bytes`.
    #[must_use]
    pub fn max_decompressed_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_decompressed_batch_bytes = bytes;
        self
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BuildError> {
        match key {
            "allow.auto.create.topics" => self.allow_auto_create_topics = truth(key, value)?,
            "auto.commit.interval.ms" => self.auto_commit_interval = millis(key, value)?,
            "auto.offset.reset" => {
                let expected = "earliest, latest, none or by_duration:PnDTnHnMn.nS";
                self.auto_offset_reset =
                    offset_reset(value).ok_or_else(|| BuildError::invalid(key, value, expected))?;
            }
            "check.crcs" => self.check_crcs = truth(key, value)?,
            "enable.auto.commit" => self.enable_auto_commit = Some(truth(key, value)?),
            "fetch.max.bytes" => self.fetch_max_bytes = size(key, value)?,
            "fetch.max.wait.ms" => self.fetch_max_wait = millis(key, value)?,
            "fetch.min.bytes" => self.fetch_min_bytes = size(key, value)?,
            "client.rack" => self.group.rack = Some(value.trim().to_owned()).filter(|rack| !rack.is_empty()),
            "group.id" => self.group.id = Some(value.trim().to_owned()),
            "group.instance.id" => self.group.instance_id = Some(value.trim().to_owned()),
            "group.protocol" => {
                self.group.protocol = match value.trim().to_lowercase().as_str() {
                    "classic" => GroupProtocol::Classic,
                    "consumer" => GroupProtocol::Consumer,
                    _ => return Err(BuildError::invalid(key, value, "classic or consumer")),
                };
            }
            "group.remote.assignor" => self.group.remote_assignor = Some(value.trim().to_owned()),
            "heartbeat.interval.ms" => self.group.heartbeat_interval = Some(millis(key, value)?),
            "max.partition.fetch.bytes" => self.max_partition_fetch_bytes = size(key, value)?,
            "max.poll.interval.ms" => self.group.max_poll_interval = millis(key, value)?,
            "max.poll.records" => self.max_poll_records = count(key, value)?,
            "ottla.buffer.memory" => self.buffer_memory = size(key, value)?,
            "ottla.max.decompressed.batch.bytes" => self.max_decompressed_batch_bytes = size(key, value)?,
            "ottla.rebalance.timeout.ms" => self.group.rebalance_timeout = Some(millis(key, value)?),
            "partition.assignment.strategy" => self.group.assignors = SharedAssignor::all_named(key, value)?,
            "session.timeout.ms" => self.group.session_timeout = Some(millis(key, value)?),
            _ if self.common.set(key, value)? => {}
            _ => KNOWN.refuse(key, value)?,
        }
        Ok(())
    }

    /// A configuration in which everything fits together, or what does not.
    pub(crate) fn parse(&self) -> Result<ConsumerConfig, BuildError> {
        let common = self.common.parse()?;
        let fetch_max_wait = check_millis_or_zero("fetch.max.wait.ms", self.fetch_max_wait)?;
        if fetch_max_wait >= common.request_timeout {
            let (wait, request) = (fetch_max_wait.as_millis(), common.request_timeout.as_millis());
            return Err(match self.fetch_max_wait == Self::default().fetch_max_wait {
                true => {
                    let expected = format!("more than fetch.max.wait.ms, {wait}");
                    BuildError::invalid("request.timeout.ms", request, expected)
                }
                false => BuildError::invalid("fetch.max.wait.ms", wait, "less than request.timeout.ms"),
            });
        }
        Ok(ConsumerConfig {
            subscription: self.parse_subscription()?,
            listener: self.listener.clone(),
            group: self.parse_group()?,
            auto_offset_reset: self.auto_offset_reset,
            allow_auto_create_topics: self.allow_auto_create_topics,
            max_poll_records: check("max.poll.records", self.max_poll_records, 1..=MAX_SIZE)?,
            fetch_min_bytes: check("fetch.min.bytes", self.fetch_min_bytes, 1..=MAX_SIZE)?,
            fetch_max_bytes: check("fetch.max.bytes", self.fetch_max_bytes, 1..=MAX_SIZE)?,
            fetch_max_wait,
            max_partition_fetch_bytes: check(
                "max.partition.fetch.bytes",
                self.max_partition_fetch_bytes,
                1..=MAX_SIZE,
            )?,
            check_crcs: self.check_crcs,
            buffer_memory: check("ottla.buffer.memory", self.buffer_memory, 1..=usize::MAX / 2)?,
            max_decompressed_batch_bytes: check(
                "ottla.max.decompressed.batch.bytes",
                self.max_decompressed_batch_bytes,
                1..=MAX_SIZE,
            )?,
            common,
        })
    }

    fn parse_group(&self) -> Result<Option<GroupSettings>, BuildError> {
        if let Some(id) = &self.group.id {
            let interval = check_millis("auto.commit.interval.ms", self.auto_commit_interval)?;
            let auto_commit = self.enable_auto_commit.unwrap_or(true).then_some(interval);
            return self.group.parse(id, auto_commit).map(Some);
        }
        let without = |key: &str, what: &str| {
            Err(BuildError::new(BuildErrorKind::MissingProperty)
                .property("group.id")
                .detail(format!("{key} {what}")))
        };
        match (self.enable_auto_commit, &self.topics, &self.pattern) {
            (Some(true), ..) => without("enable.auto.commit", "needs a group to commit to"),
            (_, Some(_), _) => without("subscribe", "needs a group that hands out the partitions"),
            (_, _, Some(_)) => without("subscribe_pattern", "needs a group that hands out the partitions"),
            _ => Ok(None),
        }
    }

    fn parse_subscription(&self) -> Result<Option<Wish>, BuildError> {
        let topics = match (&self.topics, &self.pattern) {
            (None, None) => return Ok(None),
            (Some(topics), None) => topics,
            (None, Some(pattern)) => {
                let wrong = |why: String| {
                    BuildError::new(BuildErrorKind::InvalidValue).property("subscribe_pattern").detail(why)
                };
                return Pattern::new(pattern).map(Wish::Pattern).map(Some).map_err(wrong);
            }
            (Some(_), Some(pattern)) => {
                return Err(BuildError::invalid(
                    "subscribe_pattern",
                    pattern,
                    "topics or a pattern, not both",
                ));
            }
        };
        if let Some(wrong) = topics.iter().find(|topic| !is_topic_name(topic)) {
            let expected = "a topic's name: up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`";
            return Err(BuildError::invalid("subscribe", wrong, expected));
        }
        Ok(Some(Wish::Topics(topics.iter().cloned().collect())))
    }
}

/// Whether a topic may have this name: up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`, and not `.` or `..` alone.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !matches!(name, "" | "." | "..") && name.len() <= 249 && name.chars().all(legal)
}
