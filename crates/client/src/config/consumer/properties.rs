//! The properties of a consumer, but for those of every client.

use ottla_core::{GroupProtocol, IsolationLevel};

use super::builder::{ConsumerBuilder, OffsetReset};
use crate::{
    config::{
        group::SharedAssignor,
        property::{JavaDefault::*, Property, properties},
        value::{count, iso_duration, millis, size, text, text_or_none, truth},
    },
    error::BuildError,
};

properties! {
    ConsumerBuilder;
    "allow.auto.create.topics": "true or false", "true", Same,
        "Whether a broker may create a topic that is subscribed to and does not exist",
        allow_auto_create_topics = truth;
    "auto.commit.interval.ms": "ms", "5000", Same,
        "The time between automatic commits",
        auto_commit_interval = millis;
    "auto.offset.reset": "earliest, latest, none, by_duration:PnDTnHnMn.nS", "latest", Same,
        "Where to begin without a committed offset, and where the position is not in the log",
        auto_offset_reset = offset_reset;
    "check.crcs": "true or false", "true", Same,
        "Whether the checksum of each batch is checked",
        check_crcs = truth;
    "client.rack": "text", "", Same,
        "The rack that the consumer is in, for assignors that mind it, and to fetch from followers in it (KIP-392)",
        group.rack = text_or_none;
    "connections.max.idle.ms": "ms", "540000", Same,
        "How long a connection may be without use before it is closed",
        common.connections_max_idle = millis;
    "default.api.timeout.ms": "ms", "60000", Same,
        "How long an operation may take with all its attempts",
        common.default_api_timeout = millis;
    "enable.auto.commit": "true or false", "true", Same,
        "Whether what was handed out is committed on the interval, when partitions are revoked, and on close; without a \
         group `false`",
        enable_auto_commit = truth;
    "enable.metrics.push": "true or false", "true", Same,
        "Whether metrics are pushed to brokers that ask for them (KIP-714)",
        enable_metrics_push = truth;
    "fetch.max.bytes": "bytes", "52428800", Same,
        "About how much one fetch brings",
        fetch_max_bytes = size;
    "fetch.max.wait.ms": "ms", "500", Same,
        "How long a broker holds a fetch for which it has too little; less than `request.timeout.ms`",
        fetch_max_wait = millis;
    "fetch.min.bytes": "bytes", "1", Same,
        "How much a broker gathers before it answers a fetch; at least 1",
        fetch_min_bytes = size;
    "group.id": "text", "", Same,
        "The group to be a member of, and whose offsets to commit",
        group.id = text;
    "group.instance.id": "text", "", Same,
        "A name that makes the member static: it may be away for a session without a rebalance",
        group.instance_id = text;
    "group.protocol": "classic, consumer", "classic", Same,
        "Who shares partitions out: the members, or the coordinator",
        group.protocol = group_protocol;
    "group.remote.assignor": "text", "", Same,
        "Which of the coordinator's assignors to ask for; with `group.protocol=consumer`",
        group.remote_assignor = text;
    "heartbeat.interval.ms": "ms", "3000", Same,
        "The time between heartbeats; less than `session.timeout.ms`. With `group.protocol=classic`",
        group.heartbeat_interval = millis;
    "isolation.level": "read_uncommitted, read_committed", "read_uncommitted", Same,
        "Whether records of transactions are read that are open or were aborted",
        isolation_level = isolation_level;
    "max.partition.fetch.bytes": "bytes", "1048576", Same,
        "About how much of one partition a fetch brings",
        max_partition_fetch_bytes = size;
    "max.poll.interval.ms": "ms", "300000", Same,
        "How long the program may take between two calls for records before its partitions go to other members",
        group.max_poll_interval = millis;
    "max.poll.records": "a number", "500", Same,
        "The most records that one poll returns",
        max_poll_records = count;
    "ottla.auto.commit.records": "a number", "", Absent,
        "After how many records to commit before `auto.commit.interval.ms` is over; at least 1, and without it any number",
        auto_commit_records = count;
    "ottla.buffer.memory": "bytes", "67108864", Absent,
        "How much of what was fetched, or is being, may be in memory at once",
        buffer_memory = size;
    "ottla.max.decompressed.batch.bytes": "bytes", "2147483647", Absent,
        "The most that one batch may decompress to",
        max_decompressed_batch_bytes = size;
    "ottla.rebalance.timeout.ms": "ms", "", Absent,
        "How long a rebalance waits for this member to give up partitions; without it `max.poll.interval.ms`, as in Java",
        group.rebalance_timeout = millis;
    "partition.assignment.strategy": "range, roundrobin, sticky, cooperative-sticky, or Java's classes",
        "range,cooperative-sticky", Same,
        "The assignors to offer, in order of preference; with `group.protocol=classic`",
        group.assignors = SharedAssignor::all_named;
    "session.timeout.ms": "ms", "45000", Same,
        "How long the coordinator hears nothing before it takes the member for dead. With `group.protocol=classic`",
        group.session_timeout = millis;
}

fn offset_reset(key: &str, value: &str) -> Result<OffsetReset, BuildError> {
    let named = match value.trim().to_lowercase().as_str() {
        "earliest" => Some(OffsetReset::Earliest),
        "latest" => Some(OffsetReset::Latest),
        "none" => Some(OffsetReset::None),
        text => text.strip_prefix("by_duration:").and_then(iso_duration).map(OffsetReset::ByDuration),
    };
    named.ok_or_else(|| BuildError::invalid(key, value, "earliest, latest, none or by_duration:PnDTnHnMn.nS"))
}

fn isolation_level(key: &str, value: &str) -> Result<IsolationLevel, BuildError> {
    let named = [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted];
    let named = named.into_iter().find(|level| level.name().eq_ignore_ascii_case(value.trim()));
    named.ok_or_else(|| BuildError::invalid(key, value, "read_uncommitted or read_committed"))
}

fn group_protocol(key: &str, value: &str) -> Result<GroupProtocol, BuildError> {
    match value.trim().to_lowercase().as_str() {
        "classic" => Ok(GroupProtocol::Classic),
        "consumer" => Ok(GroupProtocol::Consumer),
        _ => Err(BuildError::invalid(key, value, "classic or consumer")),
    }
}
