//! Numbers on their way to the `metrics` facade.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering},
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use ottla::{
    Consumer,
    processor::ProcessorStats,
    stats::{ConsumerStats, PartitionStats, Recorder},
};

use crate::{
    common::{PATIENCE, produce, server},
    processing::consumer,
};

/// An exporter that keeps what it is told.
#[derive(Debug, Default)]
struct Kept {
    values: Mutex<BTreeMap<String, (&'static str, Arc<AtomicU64>)>>,
    described: Mutex<BTreeMap<String, (Option<Unit>, String)>>,
}

impl Kept {
    fn value(&self, key: &Key, kind: &'static str) -> Arc<AtomicU64> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        self.values.lock().unwrap().entry(name).or_insert((kind, Arc::default())).1.clone()
    }

    fn describe(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        let before = self.described.lock().unwrap().insert(key.as_str().to_owned(), (unit, text.to_string()));
        assert_eq!(before, None, "{} is described once", key.as_str());
    }

    /// Each with its unit, and what it is.
    fn describes_what_it_has(&self) {
        let (described, values) = (self.described.lock().unwrap(), self.values.lock().unwrap());
        let (unit, text) = described.get("ottla_consumer_fetch_latency_milliseconds_total").unwrap();
        assert_eq!(*unit, Some(Unit::Milliseconds));
        assert!(text.starts_with("how long the answers took"), "{text}");
        let mut names = values.keys().map(|name| name.split('{').next().unwrap());
        assert!(names.all(|name| described.contains_key(name)));
    }

    fn counter(&self, name: &str) -> u64 {
        let values = self.values.lock().unwrap();
        let (kind, value) = values.get(name).unwrap_or_else(|| panic!("no {name} among {values:#?}"));
        assert_eq!(*kind, "counter", "{name}");
        value.load(Ordering::Relaxed)
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        let values = self.values.lock().unwrap();
        let (kind, value) = values.get(name)?;
        assert_eq!(*kind, "gauge", "{name}");
        Some(f64::from_bits(value.load(Ordering::Relaxed)))
    }
}

impl metrics::Recorder for Kept {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(key, unit, text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(key, unit, text);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{} is a histogram", key.as_str());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key, "counter"))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key, "gauge"))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{} is a histogram", key.name());
    }
}

fn record(kept: &Kept, recorder: &mut Recorder, consumer: &Consumer) -> ConsumerStats {
    let stats = consumer.stats();
    metrics::with_local_recorder(kept, || {
        recorder.record(&stats);
        recorder.record_health(&consumer.health());
    });
    stats
}

#[tokio::test]
async fn the_facade_is_told_totals_and_levels_with_their_labels_and_units() {
    let server = server(2);
    produce(&server, 0, 0..10).await;
    let mut consumer = consumer(&server).build().await.unwrap();
    let (kept, mut recorder) = (Kept::default(), Recorder::new().label("group", "g"));
    for _ in 0..10 {
        tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    }
    let stats = record(&kept, &mut recorder, &consumer);
    // As often as it is told, nothing counts twice.
    record(&kept, &mut recorder, &consumer);
    assert_eq!(kept.counter("ottla_consumer_records_total{group=g}"), stats.records.decoded);
    assert_eq!(kept.counter("ottla_consumer_rebalances_total{group=g}"), 1);
    assert_eq!(kept.gauge("ottla_consumer_assigned_partitions{group=g}"), Some(2.0));
    assert_eq!(kept.gauge("ottla_consumer_away_limit_seconds{group=g}"), Some(300.0));
    assert_eq!(
        kept.gauge("ottla_consumer_partition_lag{group=g,topic=t,partition=0}"),
        Some(1.0),
        "one in hand"
    );
    assert_eq!(kept.gauge("ottla_consumer_ready{group=g}"), Some(1.0));
    assert_eq!(kept.gauge("ottla_consumer_stalls{group=g}"), Some(0.0));
    kept.describes_what_it_has();
    consumer.unsubscribe();
    record(&kept, &mut recorder, &consumer);
    assert_eq!(
        kept.gauge("ottla_consumer_partition_lag{group=g,topic=t,partition=0}"),
        Some(0.0),
        "it is another's"
    );
    assert_eq!(kept.gauge("ottla_consumer_lag{group=g}"), Some(0.0));
    assert_eq!(kept.gauge("ottla_consumer_member{group=g}"), Some(0.0));
    consumer.close().await.unwrap();
}

#[test]
fn without_partitions_no_time_series_is_made_for_each_and_a_processor_tells_its_consumers_numbers() {
    let (kept, mut recorder) = (Kept::default(), Recorder::new().without_partitions());
    let mut stats = ProcessorStats::default();
    stats.consumer.partitions.push(PartitionStats::new(("t", 0)));
    stats.dead_letters = 7;
    metrics::with_local_recorder(&kept, || recorder.record_processor(&stats));
    assert_eq!(kept.counter("ottla_processor_dead_letters_total{}"), 7);
    assert_eq!(kept.gauge("ottla_consumer_assigned_partitions{}"), Some(1.0));
    assert!(kept.gauge("ottla_consumer_lag{}").unwrap().is_nan(), "it is not known yet");
    let values = kept.values.lock().unwrap();
    assert!(values.keys().all(|name| !name.contains("partition=")), "{values:?}");
}
