//! Every metric: its name, what it is, and Java's name for it. `docs/metrics.md` is written from here, the recorder goes by it, and the
//! dashboard is held against it.

use std::time::Duration;

use super::{ConsumerStats, PartitionStats, ProcessorStats};
use crate::Health;

/// A metric that is read from a `T`.
pub(super) struct Metric<T> {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    /// Where it stands in the snapshot, or which method tells it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the page"))]
    pub(super) from: &'static str,
    /// The Java client's names; empty where it has none.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the page"))]
    pub(super) java: &'static str,
    pub(super) what: &'static str,
    pub(super) value: Value<T>,
}

/// What is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Bytes,
    /// The facade's counters are whole numbers: of seconds they would be too coarse.
    Milliseconds,
    Seconds,
}

pub(super) enum Value<T> {
    /// It only grows.
    Total(fn(&T) -> u64),
    /// As it is now; `None` where that is not known.
    Level(fn(&T) -> Option<f64>),
}

impl<T> Value<T> {
    #[cfg(test)]
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Total(_) => "counter",
            Self::Level(_) => "gauge",
        }
    }
}

use Unit::{Bytes, Count, Milliseconds, Seconds};
use Value::{Level, Total};

/// One row: name, unit, where from, Java's name, what it is, and how it is read.
macro_rules! rows {
    ($($name:literal, $unit:ident, $from:literal, $java:literal, $what:literal, $value:expr;)*) => {
        &[$(Metric { name: $name, unit: $unit, from: $from, java: $java, what: $what, value: $value },)*]
    };
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(time: Duration) -> Option<f64> {
    Some(time.as_secs_f64())
}

fn many(count: u64) -> Option<f64> {
    Some(count as f64)
}

/// Unknown where no partition's is known; without partitions there is none.
fn lag(stats: &ConsumerStats, lag: Option<i64>) -> Option<f64> {
    lag.or(stats.partitions.is_empty().then_some(0)).map(|lag| lag as f64)
}

fn time_lag(stats: &ConsumerStats) -> Option<f64> {
    seconds(stats.time_lag_max().or(stats.partitions.is_empty().then_some(Duration::ZERO))?)
}

/// Of a consumer.
#[rustfmt::skip]
pub(super) const CONSUMER: &[Metric<ConsumerStats>] = rows![
    "ottla_consumer_fetch_requests_total", Count, "fetches.requests", "fetch-total, fetch-rate", "requests for records that were sent", Total(|s| s.fetches.requests);
    "ottla_consumer_fetch_responses_total", Count, "fetches.answered", "", "requests for records that were answered", Total(|s| s.fetches.answered);
    "ottla_consumer_fetch_latency_milliseconds_total", Milliseconds, "fetches.latency", "fetch-latency-avg", "how long the answers took, together; a broker without records holds a request for up to `fetch.max.wait.ms`", Total(|s| millis(s.fetches.latency));
    "ottla_consumer_fetch_bytes_total", Bytes, "fetches.bytes", "", "bytes of the answers, as they came", Total(|s| s.fetches.bytes);
    "ottla_consumer_wasted_bytes_total", Bytes, "fetches.wasted_bytes", "", "bytes of records that were dropped unread: by a seek, a rebalance, or a pause that others needed the room of", Total(|s| s.fetches.wasted_bytes);
    "ottla_consumer_batches_total", Count, "records.batches", "", "batches that were opened: checked, and decompressed where need be", Total(|s| s.records.batches);
    "ottla_consumer_records_total", Count, "records.decoded", "records-consumed-total, records-consumed-rate", "records of these batches; those of a batch count as it is opened", Total(|s| s.records.decoded);
    "ottla_consumer_decoded_bytes_total", Bytes, "records.decoded_bytes", "bytes-consumed-total, bytes-consumed-rate", "bytes of these batches once decompressed; Java's are those of the records that were handed out", Total(|s| s.records.decoded_bytes);
    "ottla_consumer_offsets_passed_total", Count, "records.passed", "", "offsets that the user has come back from; more than records where a log has gaps", Total(|s| s.records.passed);
    "ottla_consumer_offsets_deleted_unread_total", Count, "records.deleted_unread", "", "offsets that the logs had lost before they were read", Total(|s| s.records.deleted_unread);
    "ottla_consumer_lag", Count, "lag()", "", "how many offsets all partitions together are behind; records in the user's hands count", Level(|s| lag(s, s.lag()));
    "ottla_consumer_lag_max", Count, "lag_max()", "records-lag-max", "how many offsets the partition that is furthest behind is behind", Level(|s| lag(s, s.lag_max()));
    "ottla_consumer_time_lag_max_seconds", Seconds, "time_lag_max()", "", "how long ago the oldest record was written that a partition reads next, as far as that is known; NaN where it is of none", Level(time_lag);
    "ottla_consumer_assigned_partitions", Count, "partitions", "assigned-partitions", "partitions that are assigned", Level(|s| many(s.partitions.len() as u64));
    "ottla_consumer_paused_partitions", Count, "partitions", "", "partitions of these that are paused", Level(|s| many(s.partitions.iter().filter(|p| p.is_paused).count() as u64));
    "ottla_consumer_commit_requests_total", Count, "commits.requests", "commit-total, commit-rate", "requests to commit that were answered", Total(|s| s.commits.requests);
    "ottla_consumer_commit_latency_milliseconds_total", Milliseconds, "commits.latency", "commit-latency-avg", "how long the answers took, together", Total(|s| millis(s.commits.latency));
    "ottla_consumer_offsets_committed_total", Count, "commits.done", "", "offsets that were committed, each partition by itself", Total(|s| s.commits.done);
    "ottla_consumer_offsets_not_committed_total", Count, "commits.failed", "", "offsets that were not, and are not tried again", Total(|s| s.commits.failed);
    "ottla_consumer_rebalances_total", Count, "rebalances.done", "rebalance-total, rebalance-rate-per-hour", "rebalances that came to their end", Total(|s| s.rebalances.done);
    "ottla_consumer_rebalance_milliseconds_total", Milliseconds, "rebalances.took", "rebalance-latency-total, rebalance-latency-avg", "how long these took, together, from the first partition given up or the first request to join to the listener's return", Total(|s| millis(s.rebalances.took));
    "ottla_consumer_rebalance_longest_seconds", Seconds, "rebalances.longest", "rebalance-latency-max", "how long the longest of these took, since the start", Level(|s| seconds(s.rebalances.longest));
    "ottla_consumer_rebalance_under_way_seconds", Seconds, "rebalances.under_way", "", "how long one has been under way; 0 where none is", Level(|s| seconds(s.rebalances.under_way.unwrap_or_default()));
    "ottla_consumer_partitions_lost_total", Count, "rebalances.lost", "", "partitions that were gone before what was delivered of them could be committed", Total(|s| s.rebalances.lost);
    "ottla_consumer_failed_heartbeats_total", Count, "rebalances.failed_heartbeats", "", "heartbeats that were refused or not answered", Total(|s| s.rebalances.failed_heartbeats);
    "ottla_consumer_away_seconds", Seconds, "polls.away", "last-poll-seconds-ago", "how long the user has been away from `recv` and `poll`; 0 where one waits there", Level(|s| seconds(s.polls.away.unwrap_or_default()));
    "ottla_consumer_longest_away_seconds", Seconds, "polls.longest", "time-between-poll-max", "the longest time that the user was away, since the start", Level(|s| seconds(s.polls.longest));
    "ottla_consumer_away_limit_seconds", Seconds, "polls.limit", "", "`max.poll.interval.ms`: who is away for so long loses the membership; NaN without a group", Level(|s| seconds(s.polls.limit?));
    "ottla_consumer_buffered_records", Count, "buffer.records", "", "offsets that are fetched and that the user has not come back from", Level(|s| many(s.buffer.records));
    "ottla_consumer_buffered_bytes", Bytes, "buffer.bytes", "", "bytes of batches that no reader has taken yet", Level(|s| many(s.buffer.bytes));
    "ottla_consumer_buffer_used_bytes", Bytes, "buffer.used", "", "bytes of `ottla.buffer.memory` that are used: by responses of which any record is buffered or kept, and by those on their way", Level(|s| many(s.buffer.used));
    "ottla_consumer_buffer_budget_bytes", Bytes, "buffer.budget", "", "`ottla.buffer.memory`", Level(|s| many(s.buffer.budget));
    "ottla_consumer_connections", Count, "connections.open", "connection-count", "connections that can be used", Level(|s| many(s.connections.open));
    "ottla_consumer_connections_begun_total", Count, "connections.begun", "connection-creation-total, connection-creation-rate", "connections that were begun, those that came to nothing included", Total(|s| s.connections.begun);
];

/// Of each partition that is assigned, with the labels `topic` and `partition`. Of one that is not any more each is 0.
#[rustfmt::skip]
pub(super) const PARTITION: &[Metric<PartitionStats>] = rows![
    "ottla_consumer_partition_lag", Count, "partitions[].lag", "records-lag", "how many offsets the partition is behind what may be read, as of the last fetch", Level(|p| p.lag.map(|lag| lag as f64));
    "ottla_consumer_partition_time_lag_seconds", Seconds, "partitions[].time_lag", "", "how long ago the record was written that the partition reads next; records in the user's hands count; 0 where there is none, NaN where it is not known", Level(|p| seconds(p.time_lag?));
    "ottla_consumer_partition_buffered_records", Count, "partitions[].buffered_records", "", "offsets of it that are fetched and that the user has not come back from", Level(|p| many(p.buffered_records));
    "ottla_consumer_partition_buffered_bytes", Bytes, "partitions[].buffered_bytes", "", "bytes of batches of it that no reader has taken yet", Level(|p| many(p.buffered_bytes));
];

/// Of how it stands: 1 where it is so.
#[rustfmt::skip]
pub(super) const HEALTH: &[Metric<Health>] = rows![
    "ottla_consumer_live", Count, "is_live()", "", "1 unless a new process would do better", Level(|h| many(h.is_live().into()));
    "ottla_consumer_ready", Count, "is_ready()", "", "1 where it is alive, a member, and nothing is stalled", Level(|h| many(h.is_ready().into()));
    "ottla_consumer_member", Count, "member", "", "1 where it has its place in its group, or partitions without one", Level(|h| many(h.member.into()));
    "ottla_consumer_stalls", Count, "stalled", "", "how much does not go on", Level(|h| many(h.stalled.len() as u64));
];

/// Of a processor, beside those of its consumer.
#[rustfmt::skip]
pub(super) const PROCESSOR: &[Metric<ProcessorStats>] = rows![
    "ottla_processor_handlers_done_total", Count, "handlers.done", "", "handlers that ended well; of a batch as of a record", Total(|s| s.handlers.done);
    "ottla_processor_handlers_failed_total", Count, "handlers.failed", "", "handlers that failed: by an error, a panic or their time", Total(|s| s.handlers.failed);
    "ottla_processor_handlers_deferred_total", Count, "handlers.deferred", "", "handlers that put their record off", Total(|s| s.handlers.deferred);
    "ottla_processor_handlers_cancelled_total", Count, "handlers.cancelled", "", "handlers that were dropped, as their partition was gone", Total(|s| s.handlers.cancelled);
    "ottla_processor_handler_milliseconds_total", Milliseconds, "handlers.time", "", "how long all of these took, together", Total(|s| millis(s.handlers.time));
    "ottla_processor_handler_longest_seconds", Seconds, "handlers.longest", "", "how long the longest of these took, since the start", Level(|s| seconds(s.handlers.longest));
    "ottla_processor_handlers_running", Count, "handlers.running", "", "handlers that are under way", Level(|s| many(s.handlers.running));
    "ottla_processor_records_in_hand", Count, "in_hand", "", "records that have been received and are not done", Level(|s| many(s.in_hand));
    "ottla_processor_retries_total", Count, "retries", "", "failures after which a record was to be tried again", Total(|s| s.retries);
    "ottla_processor_hopeless_records_total", Count, "hopeless", "", "records that were not tried any more where they were", Total(|s| s.hopeless);
    "ottla_processor_retry_topic_records_total", Count, "to_retry_topics", "", "records that were written to a retry topic", Total(|s| s.to_retry_topics);
    "ottla_processor_dead_letters_total", Count, "dead_letters", "", "records that were written to the dead letters", Total(|s| s.dead_letters);
    "ottla_processor_followed_records_total", Count, "followed", "", "records that were written behind an earlier one of their line", Total(|s| s.followed);
    "ottla_processor_too_old_records_total", Count, "too_old", "", "records that were too old to be handled", Total(|s| s.too_old);
];
