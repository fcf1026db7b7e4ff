//! What a consumer's builder was told, valid, or what is wrong with it.

#[cfg(unix)]
use std::path::PathBuf;
use std::{collections::BTreeSet, time::Duration};

use ottla_core::{FetchConfig, IsolationLevel, Pattern, TOPIC_NAME};

use super::builder::{ConsumerBuilder, OffsetReset};
use crate::{
    config::{
        common::{CommonConfig, RECEIVE_MAX},
        group::GroupSettings,
        is_topic_name,
        value::{MAX_SIZE, check, check_millis, check_millis_or_zero},
    },
    consumer::{Interceptors, Listener},
    driver::DriverConfig,
    error::{BuildError, BuildErrorKind, Details as _},
    log,
};

/// The largest batch that is reckoned with: a response holds one batch beyond `fetch.max.bytes` where that is the first
/// (KIP-74), and brokers take batches of 1 MiB unless told otherwise.
const LARGEST_BATCH: usize = 64 << 20;

/// A valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerConfig {
    pub(crate) common: CommonConfig,
    /// What the builder was told to subscribe to; only with a group.
    pub(crate) subscription: Option<Wish>,
    pub(crate) listener: Option<Listener>,
    #[cfg(unix)]
    pub(crate) explain_socket: Option<PathBuf>,
    pub(crate) interceptors: Interceptors,
    pub(crate) group: Option<GroupSettings>,
    pub(crate) client_rack: Option<String>,
    pub(crate) auto_offset_reset: OffsetReset,
    pub(crate) allow_auto_create_topics: bool,
    pub(crate) enable_metrics_push: bool,
    pub(crate) max_poll_records: usize,
    /// Fits the wire, as all sizes here.
    pub(crate) fetch_min_bytes: usize,
    pub(crate) fetch_max_bytes: usize,
    /// Shorter than the request time-out.
    pub(crate) fetch_max_wait: Duration,
    pub(crate) max_partition_fetch_bytes: usize,
    pub(crate) check_crcs: bool,
    pub(crate) isolation_level: IsolationLevel,
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
                isolation: self.isolation_level,
                rack: self.client_rack.clone().unwrap_or_default(),
                request_timeout: common.request_timeout,
                ..FetchConfig::default()
            },
            group: self.group.as_ref().map(GroupSettings::machine),
            auto_commit: self.group.as_ref().and_then(|group| group.auto_commit_interval),
            auto_commit_records: self.group.as_ref().and_then(|group| group.auto_commit_records),
            listener: self.listener.is_some(),
            reset: self.auto_offset_reset,
            api_timeout: common.default_api_timeout,
            metrics_push: self.enable_metrics_push,
            retry_backoff: common.retry_backoff,
            seed,
        }
    }

    /// What the driver goes by.
    pub(crate) fn driver(&self) -> DriverConfig {
        let receive_max = RECEIVE_MAX.max(self.fetch_max_bytes.saturating_add(LARGEST_BATCH));
        let group = self.group.as_ref();
        let instance = group.and_then(|group| group.instance_id.as_deref());
        let span = log::consumer(&self.common, group.map(|group| group.id.as_str()), instance);
        self.common.driver("ottla-consumer", receive_max, self.buffer_memory, span)
    }
}

impl ConsumerBuilder {
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
            #[cfg(unix)]
            explain_socket: self.explain_socket.clone(),
            interceptors: self.interceptors.clone(),
            group: self.parse_group()?,
            client_rack: self.group.rack.clone(),
            auto_offset_reset: self.auto_offset_reset,
            allow_auto_create_topics: self.allow_auto_create_topics,
            enable_metrics_push: self.enable_metrics_push,
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
            isolation_level: self.isolation_level,
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
            let key = "ottla.auto.commit.records";
            let records = self.auto_commit_records.map(|records| check(key, records, 1..=MAX_SIZE));
            return self.group.parse(id, auto_commit, records.transpose()?.map(|n| n as u64)).map(Some);
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
            return Err(BuildError::invalid("subscribe", wrong, TOPIC_NAME));
        }
        Ok(Some(Wish::Topics(topics.iter().cloned().collect())))
    }
}
