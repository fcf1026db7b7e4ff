//! What a consumer's builder is told: setters, which store.

#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

pub use ottla_core::ResetPolicy as OffsetReset;
use ottla_core::{Assignor, GroupProtocol, IsolationLevel};

use crate::{
    config::{
        admin::AdminBuilder,
        common::Common,
        group::{Group, SharedAssignor},
        names::Names,
        producer::ProducerBuilder,
        setters::{common_setters, settings},
        value::MAX_SIZE,
    },
    consumer::{ConsumerInterceptor, Interceptors, Listener, RebalanceListener},
};

/// Builds a consumer.
#[derive(Debug, Clone)]
pub struct ConsumerBuilder {
    pub(in crate::config) common: Common,
    pub(super) topics: Option<Vec<String>>,
    pub(super) pattern: Option<String>,
    pub(super) listener: Option<Listener>,
    #[cfg(unix)]
    pub(super) explain_socket: Option<PathBuf>,
    pub(super) interceptors: Interceptors,
    pub(super) group: Group,
    pub(super) enable_auto_commit: Option<bool>,
    pub(super) auto_commit_interval: Duration,
    pub(super) auto_commit_records: Option<usize>,
    pub(super) auto_offset_reset: OffsetReset,
    pub(super) allow_auto_create_topics: bool,
    pub(super) enable_metrics_push: bool,
    pub(super) max_poll_records: usize,
    pub(super) fetch_min_bytes: usize,
    pub(super) fetch_max_bytes: usize,
    pub(super) fetch_max_wait: Duration,
    pub(super) max_partition_fetch_bytes: usize,
    pub(super) check_crcs: bool,
    pub(super) isolation_level: IsolationLevel,
    pub(super) buffer_memory: usize,
    pub(super) max_decompressed_batch_bytes: usize,
}

impl Default for ConsumerBuilder {
    fn default() -> Self {
        Self {
            common: Common::default(),
            topics: None,
            pattern: None,
            listener: None,
            #[cfg(unix)]
            explain_socket: None,
            interceptors: Interceptors::default(),
            group: Group::default(),
            enable_auto_commit: None,
            auto_commit_interval: Duration::from_secs(5),
            auto_commit_records: None,
            auto_offset_reset: OffsetReset::default(),
            allow_auto_create_topics: true,
            enable_metrics_push: true,
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            fetch_max_wait: Duration::from_millis(500),
            max_partition_fetch_bytes: 1 << 20,
            check_crcs: true,
            isolation_level: IsolationLevel::default(),
            buffer_memory: 64 << 20,
            max_decompressed_batch_bytes: MAX_SIZE,
        }
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
    /// [`subscribe`](Self::subscribe). Default none.
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

    /// Who is told of each record that is handed out, and of offsets that are committed, behind those that earlier calls named.
    /// Default nobody, as Java's (`interceptor.classes`).
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl ConsumerInterceptor) -> Self {
        self.interceptors.add(interceptor);
        self
    }

    /// Where the consumer says what it waits for: a Unix socket that is made when it is built, and gone when it is closed. Whoever
    /// connects is written who the member is, and what [`Consumer::explain`](crate::Consumer::explain) says, and hung up on, so that
    /// `ottla doctor --explain PATH` can quote it (`docs/health.md`). The file has the permissions 0600: who runs as the same user may
    /// connect, and is told names of topics, groups and brokers, and no record. Default none.
    ///
    /// A socket that a dead process has left is replaced. Where somebody listens there, or the file is no socket, the consumer is not
    /// built.
    #[cfg(unix)]
    #[must_use]
    pub fn explain_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.explain_socket = Some(path.into());
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

    /// The rack that the consumer is in, as brokers' `broker.rack` has it: for assignors that mind it (KIP-881), and to fetch from
    /// followers in it, with a group or without (KIP-392). Default none, as Java's.
    ///
    /// Which follower that is the partition's leader says, where its broker has
    /// `replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector`. It is asked again after
    /// [`metadata_max_age`](Self::metadata_max_age), and sooner where the follower cannot be reached or answers with an error: then
    /// the leader itself is fetched from. Java, too, goes back to the leader, which names the same follower for as long as it takes
    /// it for alive; nothing is read meanwhile. What a follower has not heard of yet comes later: records, the log's end, and with
    /// them lag. [`Consumer::explain`](crate::Consumer::explain) tells which partitions are fetched from followers, and
    /// [`broker`](crate::OwnedRecord::broker) of each record.
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
    /// rebalances. Default, without a call: [`RangeAssignor`](crate::RangeAssignor), then
    /// [`CooperativeStickyAssignor`](crate::CooperativeStickyAssignor), as Java's; as the first of them is eager, each
    /// rebalance takes all partitions from all members, and gives them back. With
    /// `.assignor(CooperativeStickyAssignor)` alone only those that move are taken.
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

    /// After how many records to commit before the [interval](Self::auto_commit_interval) is over: as soon as the program has
    /// come back from so many since the last automatic commit, of all partitions together. Both begin anew then. So at most
    /// about so many are handled again after a crash, however fast they come. Records are counted by their offsets: gaps, as in
    /// a compacted topic, and markers of transactions count as well. With several [readers](crate::Consumer::reader) it may be a
    /// few more, and with `poll` the rest of what it returned. Default any number: only the interval counts, as always in Java;
    /// kafkajs calls it `autoCommitThreshold`. Without effect where nothing is committed automatically. As a property:
    /// `ottla.auto.commit.records`.
    #[must_use]
    pub fn auto_commit_records(mut self, records: usize) -> Self {
        self.auto_commit_records = Some(records);
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

    /// Which records of transactions are read. Default [`IsolationLevel::ReadUncommitted`], as Java's: all of them.
    ///
    /// With [`IsolationLevel::ReadCommitted`] those of aborted transactions are left out, and nothing is read at or behind
    /// the first record of a transaction that is still open; [`Consumer::explain`](crate::Consumer::explain) tells
    /// where one holds a partition back. Positions, lag and the log's end go by the last stable offset then.
    #[must_use]
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.isolation_level = level;
        self
    }

    /// Whether metrics are pushed to brokers that ask for them (KIP-714), which most do not: a plug-in of theirs, and a subscription that
    /// an operator has made, say which metrics and how often. Default true, as Java's. `docs/metrics.md` in the repository has the list.
    ///
    /// Nothing waits for a push but a close, for a second at the most and never beyond its own time.
    #[must_use]
    pub fn enable_metrics_push(mut self, enable: bool) -> Self {
        self.enable_metrics_push = enable;
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
}

impl ConsumerBuilder {
    /// The listener that was named, to be told by another.
    pub(crate) fn take_listener(&mut self) -> Option<Listener> {
        self.listener.take()
    }

    /// The topics that are subscribed to by name.
    pub(crate) fn topics(&self) -> &[String] {
        self.topics.as_deref().unwrap_or_default()
    }

    /// One that reads what its program names, and is not in the group, whose committed offsets it may ask for.
    pub(crate) fn beside_its_group(&self) -> Self {
        let mut beside = self.clone();
        (beside.topics, beside.pattern, beside.listener) = (None, None, None);
        #[cfg(unix)]
        {
            beside.explain_socket = None;
        }
        beside.group.instance_id = None;
        beside.enable_auto_commit = Some(false);
        beside.auto_offset_reset = OffsetReset::Earliest;
        beside
    }

    /// A producer of the same cluster.
    pub(crate) fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::with(self.common.clone())
    }

    /// An admin client of the same cluster.
    pub(crate) fn admin(&self) -> AdminBuilder {
        AdminBuilder::with(self.common.clone())
    }
}

settings! {
    ConsumerSettings of ConsumerBuilder;
    group_id: Option<&'a str> = |told| told.group.id.as_deref();
    group_protocol: GroupProtocol = |told| told.group.protocol;
    group_instance_id: Option<&'a str> = |told| told.group.instance_id.as_deref();
    client_rack: Option<&'a str> = |told| told.group.rack.as_deref();
    group_remote_assignor: Option<&'a str> = |told| told.group.remote_assignor.as_deref();
    enable_auto_commit: bool = |told| told.enable_auto_commit.unwrap_or(told.group.id.is_some());
    auto_commit_interval: Duration = |told| told.auto_commit_interval;
    auto_commit_records: Option<usize> = |told| told.auto_commit_records;
    auto_offset_reset: OffsetReset = |told| told.auto_offset_reset;
    allow_auto_create_topics: bool = |told| told.allow_auto_create_topics;
    enable_metrics_push: bool = |told| told.enable_metrics_push;
    max_poll_records: usize = |told| told.max_poll_records;
    max_poll_interval: Duration = |told| told.group.max_poll_interval;
    rebalance_timeout: Duration = |told| told.group.rebalance_timeout.unwrap_or(told.group.max_poll_interval);
    session_timeout: Duration = |told| told.group.session_timeout();
    heartbeat_interval: Duration = |told| told.group.heartbeat_interval();
    fetch_min_bytes: usize = |told| told.fetch_min_bytes;
    fetch_max_bytes: usize = |told| told.fetch_max_bytes;
    fetch_max_wait: Duration = |told| told.fetch_max_wait;
    max_partition_fetch_bytes: usize = |told| told.max_partition_fetch_bytes;
    check_crcs: bool = |told| told.check_crcs;
    isolation_level: IsolationLevel = |told| told.isolation_level;
    buffer_memory: usize = |told| told.buffer_memory;
    max_decompressed_batch_bytes: usize = |told| told.max_decompressed_batch_bytes;
}
