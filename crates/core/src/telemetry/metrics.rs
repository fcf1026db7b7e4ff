//! Which of the Java consumer's metrics there are, under the names that it pushes. `docs/metrics.md` is written from the table.

use std::{collections::BTreeMap, time::Duration};

use ottla_protocol::{Now, Timestamp};

use super::{
    otlp::{Form, Labels, MetricsData},
    subscription::Subscription,
    took::{Took, millis},
};
use crate::{
    consumer::{ConsumerStats, PartitionStats},
    ids::NodeId,
};

/// A metric that is pushed.
#[derive(Debug)]
pub struct PushedMetric {
    /// Its name, the Java client's.
    pub name: &'static str,
    /// Where it comes from.
    pub from: &'static str,
    /// What it is.
    pub what: &'static str,
    value: Value,
}

impl PushedMetric {
    /// What kind of number it is, and with which labels.
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Value::Total(_) => "sum",
            Value::Rate(..) | Value::Average(_) | Value::Longest(_) | Value::Level(_) => "gauge",
            Value::OfNode(_) => "gauge for each `node_id`",
            Value::OfPartition(_) => "gauge for each `topic` and `partition`",
        }
    }
}

/// How its points are made. What is not known has none.
#[derive(Debug)]
enum Value {
    Total(fn(&Sample) -> f64),
    /// The growth of a total in so many seconds.
    Rate(fn(&Sample) -> f64, f64),
    Average(fn(&Recent) -> Took),
    Longest(fn(&Recent) -> Took),
    Level(fn(&Sample) -> Option<f64>),
    OfNode(fn(Took) -> Option<f64>),
    OfPartition(fn(&PartitionStats) -> Option<f64>),
}

/// A consumer at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) stats: ConsumerStats,
    /// How many connections have come to be of use.
    pub(crate) connected: u64,
}

/// What has been since the last push.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    pub(crate) fetches: Took,
    pub(crate) commits: Took,
    pub(crate) rebalances: Took,
    pub(crate) nodes: BTreeMap<NodeId, Took>,
}

impl Recent {
    /// With what was before it.
    pub(super) fn join(&mut self, before: Self) {
        self.fetches.join(before.fetches);
        self.commits.join(before.commits);
        self.rebalances.join(before.rebalances);
        for (node, took) in before.nodes {
            self.nodes.entry(node).or_default().join(took);
        }
    }
}

/// What the receiver is told of the client as a whole.
pub(crate) type Resource = Vec<(&'static str, String)>;

macro_rules! rows {
    ($($name:literal, $from:literal, $what:literal, $value:expr;)*) => {
        &[$( PushedMetric {
            name: concat!("org.apache.kafka.consumer.", $name),
            from: $from,
            what: $what,
            value: $value,
        } ),*]
    };
}

const HOUR: f64 = 3600.0;

/// In the order in which they go, where there is not room for all.
#[rustfmt::skip]
pub const METRICS: &[PushedMetric] = {
    use Value::*;
    rows![
        "connection.count", "connections.open", "connections that can be used", Level(|s| Some(s.stats.connections.open as f64));
        "connection.creation.rate", "", "connections that came to be of use, a second", Rate(|s| s.connected as f64, 1.0);
        "connection.creation.total", "", "connections that came to be of use", Total(|s| s.connected as f64);
        "last.poll.seconds.ago", "polls.away", "how long the user has been away from `recv` and `poll`; 0 where one waits there", Level(|s| Some(s.stats.polls.away.unwrap_or_default().as_secs_f64()));
        "coordinator.assigned.partitions", "partitions", "partitions that are assigned", Level(|s| Some(s.stats.partitions.len() as f64));
        "coordinator.commit.latency.avg", "commits.latency", "how long an answer to a commit took, in ms", Average(|r| r.commits);
        "coordinator.commit.latency.max", "", "how long the slowest of them took", Longest(|r| r.commits);
        "coordinator.commit.rate", "commits.requests", "commits that were answered, a second", Rate(|s| s.stats.commits.requests as f64, 1.0);
        "coordinator.commit.total", "commits.requests", "commits that were answered", Total(|s| s.stats.commits.requests as f64);
        "coordinator.rebalance.latency.avg", "rebalances.took", "how long a rebalance took that came to its end, in ms", Average(|r| r.rebalances);
        "coordinator.rebalance.latency.max", "", "how long the slowest of them took", Longest(|r| r.rebalances);
        "coordinator.rebalance.latency.total", "rebalances.took", "how long they took together, in ms", Total(|s| millis(s.stats.rebalances.took));
        "coordinator.rebalance.rate.per.hour", "rebalances.done", "rebalances that came to their end, an hour", Rate(|s| s.stats.rebalances.done as f64, HOUR);
        "coordinator.rebalance.total", "rebalances.done", "rebalances that came to their end", Total(|s| s.stats.rebalances.done as f64);
        "fetch.manager.bytes.consumed.rate", "records.decoded_bytes", "bytes of batches once decompressed, a second; Java's are those of records", Rate(|s| s.stats.records.decoded_bytes as f64, 1.0);
        "fetch.manager.bytes.consumed.total", "records.decoded_bytes", "bytes of batches once decompressed", Total(|s| s.stats.records.decoded_bytes as f64);
        "fetch.manager.fetch.latency.avg", "fetches.latency", "how long an answer to a fetch took, in ms", Average(|r| r.fetches);
        "fetch.manager.fetch.latency.max", "", "how long the slowest of them took", Longest(|r| r.fetches);
        "fetch.manager.fetch.rate", "fetches.answered", "fetches that were answered, a second", Rate(|s| s.stats.fetches.answered as f64, 1.0);
        "fetch.manager.fetch.total", "fetches.answered", "fetches that were answered", Total(|s| s.stats.fetches.answered as f64);
        "fetch.manager.records.consumed.rate", "records.decoded", "records of batches that were opened, a second", Rate(|s| s.stats.records.decoded as f64, 1.0);
        "fetch.manager.records.consumed.total", "records.decoded", "records of batches that were opened", Total(|s| s.stats.records.decoded as f64);
        "fetch.manager.records.lag.max", "lag_max()", "how many offsets the partition that is furthest behind is behind at the moment; Java's is the most of the last minute", Level(|s| s.stats.lag_max().map(|lag| lag as f64));
        "node.request.latency.avg", "", "how long an answer of this broker's took, in ms, of requests of every kind", OfNode(Took::average);
        "node.request.latency.max", "", "how long the slowest of them took", OfNode(Took::longest);
        "fetch.manager.records.lag", "partitions[].lag", "how many offsets the partition is behind; where there is not room for all, those of the largest", OfPartition(|p| p.lag.map(|lag| lag as f64));
    ]
};

/// What KIP-714 requires of a consumer.
pub const REQUIRED: &[&str] = &[
    "org.apache.kafka.consumer.connection.creation.rate",
    "org.apache.kafka.consumer.connection.creation.total",
    "org.apache.kafka.consumer.node.request.latency.avg",
    "org.apache.kafka.consumer.node.request.latency.max",
    "org.apache.kafka.consumer.poll.idle.ratio.avg",
    "org.apache.kafka.consumer.coordinator.commit.latency.avg",
    "org.apache.kafka.consumer.coordinator.commit.latency.max",
    "org.apache.kafka.consumer.coordinator.assigned.partitions",
    "org.apache.kafka.consumer.coordinator.rebalance.latency.avg",
    "org.apache.kafka.consumer.coordinator.rebalance.latency.max",
    "org.apache.kafka.consumer.coordinator.rebalance.latency.total",
    "org.apache.kafka.consumer.fetch.manager.fetch.latency.avg",
    "org.apache.kafka.consumer.fetch.manager.fetch.latency.max",
];

/// What there is not, and why.
pub const LACKING: &[(&str, &str)] = &[(
    "org.apache.kafka.consumer.poll.idle.ratio.avg",
    "`recv` hands out records that are at hand without a look at the clock, so that how much of its time a user is away is not known",
)];

/// What was told of totals, and when.
#[derive(Debug)]
pub(super) struct Ledger {
    begun: Timestamp,
    told: Sample,
    told_at: Now,
}

impl Ledger {
    /// Nothing was told: totals begin at 0.
    pub(super) fn new(now: Now) -> Self {
        Self { begun: now.wall, told: Sample::default(), told_at: now }
    }

    /// A sample was told.
    pub(super) fn tells(&mut self, sample: Sample, now: Now) {
        (self.told, self.told_at) = (sample, now);
    }

    /// What a subscription asks for, as a `MetricsData`; empty where that is nothing, or there is no room.
    pub(super) fn payload(
        &self,
        subscription: &Subscription,
        resource: &Resource,
        (sample, recent): (&Sample, &Recent),
        now: Now,
    ) -> Vec<u8> {
        let labels: Vec<_> = resource.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let labels: &Labels<'_> = &labels;
        let mut out = MetricsData::new(labels, subscription.most_bytes);
        let elapsed = now.mono.saturating_duration_since(self.told_at.mono).max(Duration::from_millis(1));
        for PushedMetric { name, value, .. } in
            METRICS.iter().filter(|metric| subscription.wants(metric.name))
        {
            let mut one = |form, value: Option<f64>| {
                out.add(name, form, now.wall, value.map(|value| (value, Vec::new())));
            };
            match value {
                Value::Total(of) if subscription.is_delta => {
                    let sum = Form::Sum { is_delta: true, start: self.told_at.wall };
                    one(sum, Some(of(sample) - of(&self.told)));
                }
                Value::Total(of) => one(Form::Sum { is_delta: false, start: self.begun }, Some(of(sample))),
                Value::Rate(of, seconds) => {
                    let grown = of(sample) - of(&self.told);
                    one(Form::Gauge, Some(grown / elapsed.as_secs_f64() * seconds));
                }
                Value::Average(of) => one(Form::Gauge, of(recent).average()),
                Value::Longest(of) => one(Form::Gauge, of(recent).longest()),
                Value::Level(of) => one(Form::Gauge, of(sample)),
                Value::OfNode(of) => {
                    let point =
                        |(node, took): (&NodeId, &Took)| Some((of(*took)?, format!("node-{}", node.0)));
                    let points: Vec<_> = recent.nodes.iter().filter_map(point).collect();
                    let points =
                        points.iter().map(|(value, node)| (*value, vec![("node_id", node.as_str())]));
                    out.add(name, Form::Gauge, now.wall, points);
                }
                Value::OfPartition(of) => {
                    let named = |it: &'_ PartitionStats| Some((of(it)?, it.at.partition.to_string()));
                    let partitions = &sample.stats.partitions;
                    let mut points: Vec<_> = partitions
                        .iter()
                        .filter_map(|it| named(it).map(|(value, number)| (value, it, number)))
                        .collect();
                    points.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
                    let points = points.iter().map(|(value, it, number)| {
                        (*value, vec![("topic", it.at.topic.as_str()), ("partition", number.as_str())])
                    });
                    out.add(name, Form::Gauge, now.wall, points);
                }
            }
        }
        out.finish()
    }
}
