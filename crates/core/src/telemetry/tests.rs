//! Payloads, read by a reader of their own.

use std::{collections::BTreeMap, time::Instant};

use ottla_protocol::{Timestamp, messages::GetTelemetrySubscriptionsResponse};

use super::*;
use crate::{
    consumer::PartitionStats,
    ids::{NodeId, TopicPartition},
};

/// A message's fields: number, and the bytes or the number.
pub(crate) fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => {
                let (head, rest) = bytes.split_first_chunk::<8>().unwrap();
                bytes = rest;
                Field::Number(u64::from_le_bytes(*head))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (head, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(head)
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("{number} is no message"),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(bytes) => panic!("{bytes:?} is no number"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    value
}

/// The messages of one field.
fn all(bytes: &[u8], field: u64) -> Vec<&[u8]> {
    fields(bytes).into_iter().filter(|(its, _)| *its == field).map(|(_, found)| found.bytes()).collect()
}

fn text(bytes: &[u8], field: u64) -> String {
    String::from_utf8(all(bytes, field)[0].to_vec()).unwrap()
}

fn attributes(message: &[u8], field: u64) -> BTreeMap<String, String> {
    all(message, field).into_iter().map(|pair| (text(pair, 1), text(all(pair, 2)[0], 1))).collect()
}

/// A payload as a receiver sees it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) resource: BTreeMap<String, String>,
    /// By name: gauge, delta or cumulative; and its points.
    pub(crate) metrics: BTreeMap<String, (&'static str, Vec<Point>)>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    /// In milliseconds.
    pub(crate) start: u64,
    pub(crate) at: u64,
}

impl Decoded {
    pub(crate) fn new(payload: &[u8]) -> Self {
        let mut decoded = Self::default();
        for resource_metrics in all(payload, 1) {
            decoded.resource = attributes(all(resource_metrics, 1)[0], 1);
            for metric in all(all(resource_metrics, 2)[0], 2) {
                let (gauge, sum) = (all(metric, 5), all(metric, 7));
                let (form, data) = match (&gauge[..], &sum[..]) {
                    ([data], []) => ("gauge", data),
                    ([], [data]) => {
                        let of = |wanted| fields(data).into_iter().find(|(field, _)| *field == wanted);
                        assert_eq!(of(3).unwrap().1.number(), 1, "it only grows");
                        (if of(2).unwrap().1.number() == 1 { "delta" } else { "cumulative" }, data)
                    }
                    _ => panic!("one form"),
                };
                let point = |point: &[u8]| {
                    let of = |wanted| fields(point).into_iter().find(|(field, _)| *field == wanted);
                    let millis = |field| of(field).map_or(0, |(_, nanos)| nanos.number() / 1_000_000);
                    Point {
                        labels: attributes(point, 7),
                        value: f64::from_bits(of(4).unwrap().1.number()),
                        start: millis(2),
                        at: millis(3),
                    }
                };
                let points = all(data, 1).into_iter().map(point).collect();
                decoded.metrics.insert(text(metric, 1), (form, points));
            }
        }
        decoded
    }

    /// The only value of a metric without labels.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let (_, points) = self.metrics.get(&format!("org.apache.kafka.consumer.{name}"))?;
        let [point] = &points[..] else { panic!("{points:?}") };
        Some(point.value)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.metrics.keys().map(|name| name.strip_prefix("org.apache.kafka.consumer.").unwrap()).collect()
    }
}

fn subscription(requested: &[&str], telemetry_max_bytes: i32, delta_temporality: bool) -> Subscription {
    Subscription::new(&GetTelemetrySubscriptionsResponse {
        requested_metrics: requested.iter().map(|&name| name.to_owned()).collect(),
        push_interval_ms: 1000,
        telemetry_max_bytes,
        delta_temporality,
        ..Default::default()
    })
}

fn sample() -> Sample {
    let mut sample = Sample { connected: 3, ..Sample::default() };
    let lag = |(partition, lag)| PartitionStats {
        lag,
        ..PartitionStats::new(TopicPartition::new("topic", partition))
    };
    sample.stats.partitions = [(0, Some(5)), (1, None), (2, Some(70)), (3, Some(6))].map(lag).into();
    sample.stats.records.decoded = 100;
    sample.stats.rebalances.took = Duration::from_millis(1500);
    sample
}

fn recent() -> Recent {
    let mut recent = Recent::default();
    [10, 20, 60].iter().for_each(|ms| recent.fetches.add(Duration::from_millis(*ms)));
    let mut took = Took::default();
    took.add(Duration::from_millis(4));
    recent.nodes = [(NodeId(1), took), (NodeId(2), Took::default())].into();
    recent
}

/// A client begun at 1,000,000, ten seconds later.
fn ledger() -> (Ledger, Now) {
    let now = Now { mono: Instant::now(), wall: Timestamp(1_000_000) };
    (Ledger::new(now), now.after(Duration::from_secs(10)))
}

#[test]
fn a_payload_has_what_is_asked_for_with_its_kind_its_labels_and_its_time() {
    let (ledger, now) = ledger();
    let resource = vec![("group_id", "g".to_owned())];
    let wanted = ["org.apache.kafka.consumer.fetch.", "org.apache.kafka.consumer.node.request.latency.max"];
    let payload =
        ledger.payload(&subscription(&wanted, 1 << 20, true), &resource, (&sample(), &recent()), now);
    let decoded = Decoded::new(&payload);
    assert_eq!(decoded.resource, [("group_id".to_owned(), "g".to_owned())].into());
    let names = METRICS.iter().map(|metric| metric.name);
    let expected = names.filter(|name| wanted.iter().any(|prefix| name.starts_with(prefix))).count();
    assert_eq!(decoded.metrics.len(), expected, "{:?}", decoded.names());
    assert_eq!(decoded.value("fetch.manager.records.consumed.total"), Some(100.0));
    assert_eq!(decoded.value("fetch.manager.records.consumed.rate"), Some(10.0));
    assert_eq!(decoded.value("fetch.manager.fetch.latency.avg"), Some(30.0));
    assert_eq!(decoded.value("fetch.manager.fetch.latency.max"), Some(60.0));
    assert_eq!(decoded.value("fetch.manager.records.lag.max"), Some(70.0));
    let (form, lags) = &decoded.metrics["org.apache.kafka.consumer.fetch.manager.records.lag"];
    assert_eq!(*form, "gauge");
    let told =
        |point: &Point| (point.labels["topic"].clone(), point.labels["partition"].clone(), point.value);
    let told: Vec<_> = lags.iter().map(told).collect();
    let lag = |partition: &str, lag| ("topic".to_owned(), partition.to_owned(), lag);
    assert_eq!(told, [lag("2", 70.0), lag("3", 6.0), lag("0", 5.0)], "of partition 1 it is not known");
    assert!(lags.iter().all(|point| (point.start, point.at) == (0, 1_010_000)), "{lags:?}");
    let (_, nodes) = &decoded.metrics["org.apache.kafka.consumer.node.request.latency.max"];
    assert_eq!((nodes.len(), nodes[0].labels["node_id"].as_str(), nodes[0].value), (1, "node-1", 4.0));
}

#[test]
fn a_sum_is_what_was_added_since_the_last_push_or_all_since_the_client_began() {
    let (mut ledger, now) = ledger();
    let mut before = sample();
    before.stats.records.decoded = 30;
    ledger.tells(before, now);
    let later = now.after(Duration::from_secs(5));
    let name = "org.apache.kafka.consumer.fetch.manager.records.consumed.total";
    for (is_delta, expected) in
        [(true, ("delta", 70.0, 1_010_000)), (false, ("cumulative", 100.0, 1_000_000))]
    {
        let wanted = subscription(&["*"], 1 << 20, is_delta);
        let decoded =
            Decoded::new(&ledger.payload(&wanted, &Vec::new(), (&sample(), &Recent::default()), later));
        let (form, points) = &decoded.metrics[name];
        assert_eq!((*form, points[0].value, points[0].start), expected);
        assert_eq!(points[0].at, 1_015_000);
        assert_eq!(decoded.value("fetch.manager.records.consumed.rate"), Some(14.0));
    }
}

#[test]
fn an_average_of_nothing_is_left_out() {
    let (ledger, now) = ledger();
    let wanted = subscription(&[""], 1 << 20, true);
    let decoded = Decoded::new(&ledger.payload(&wanted, &Vec::new(), (&sample(), &Recent::default()), now));
    assert_eq!(decoded.value("coordinator.commit.latency.avg"), None);
    assert_eq!(decoded.value("coordinator.rebalance.latency.total"), Some(1500.0));
    let absent: Vec<_> = METRICS.iter().filter(|it| !decoded.metrics.contains_key(it.name)).collect();
    assert!(absent.iter().all(|it| it.name.contains("latency")), "{absent:?}");
}

#[test]
fn a_payload_is_never_larger_than_the_broker_takes_and_has_the_largest_lags_first() {
    let (ledger, now) = ledger();
    let mut sample = sample();
    let lag = |partition: i32| PartitionStats {
        lag: Some(i64::from(partition * 7919 % 1000)),
        ..PartitionStats::new(TopicPartition::new("topic", partition))
    };
    sample.stats.partitions = (0..1000).map(lag).collect();
    let resource = vec![("group_id", "g".repeat(300))];
    let of = |most| ledger.payload(&subscription(&["*"], most, true), &resource, (&sample, &recent()), now);
    let whole = of(i32::MAX).len();
    let mut lengths = Vec::new();
    for most in (0..whole as i32 + 200).step_by(97) {
        let payload = of(most);
        assert!(payload.len() <= most as usize, "{} of {most}", payload.len());
        lengths.push(payload.len());
        let decoded = Decoded::new(&payload);
        if let Some((_, points)) = decoded.metrics.get("org.apache.kafka.consumer.fetch.manager.records.lag")
        {
            let mut all: Vec<i64> = sample.stats.partitions.iter().filter_map(|it| it.lag).collect();
            all.sort_by(|one, other| other.cmp(one));
            let told: Vec<i64> = points.iter().map(|point| point.value as i64).collect();
            assert_eq!(told, all[..told.len()]);
            assert_eq!(decoded.value("connection.count"), Some(0.0), "which goes first");
        }
    }
    assert_eq!((lengths[0], *lengths.last().unwrap()), (0, whole));
    assert!(lengths.is_sorted_by(|one, other| *one <= other + 120), "{lengths:?}");
}

#[test]
fn what_a_subscription_says_is_taken_as_far_as_it_makes_sense() {
    let told = |push_interval_ms, codecs: &[i8]| {
        Subscription::new(&GetTelemetrySubscriptionsResponse {
            push_interval_ms,
            accepted_compression_types: codecs.to_vec(),
            telemetry_max_bytes: -1,
            ..Default::default()
        })
    };
    for (ms, expected) in [(0, 300_000), (-1, 300_000), (1, 100), (100, 100), (i32::MAX, i32::MAX as u64)] {
        assert_eq!(told(ms, &[]).interval, Duration::from_millis(expected));
    }
    let subscription = told(1000, &[99, -1, 4, 4, 3, 1]);
    assert_eq!((subscription.most_bytes, subscription.wants_any), (0, false));
    for (refused, expected) in [
        (&[][..], Compression::Zstd),
        (&[Compression::Zstd], Compression::Lz4),
        (&[Compression::Gzip, Compression::Zstd, Compression::Lz4], Compression::None),
    ] {
        assert_eq!(subscription.codec(refused), expected);
    }
}

#[test]
fn metrics_are_asked_for_by_prefixes_of_their_names() {
    let wants = |requested: &[&str]| {
        let subscription = subscription(requested, 1 << 20, true);
        METRICS.iter().filter(|metric| subscription.wants(metric.name)).count()
    };
    let all = METRICS.len();
    for (requested, expected) in [
        (&[][..], 0),
        (&["*"], all),
        (&[""], all),
        (&["org.apache.kafka.consumer.connection."], 3),
        (&["org.apache.kafka.producer."], 0),
        (&["org.apache.kafka.consumer.connection.count", "org.apache.kafka.consumer.last"], 2),
        (&["*", "org.apache.kafka.consumer.last"], 1),
    ] {
        assert_eq!(wants(requested), expected, "{requested:?}");
    }
}

#[test]
fn each_metric_that_the_kip_requires_is_there_or_it_is_said_why_not() {
    let there: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
    let lacking: Vec<_> = LACKING.iter().map(|(name, _)| *name).collect();
    for name in REQUIRED {
        assert!(there.contains(name) != lacking.contains(name), "{name}");
    }
    let mut names = there.clone();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), there.len(), "a name stands once");
}
