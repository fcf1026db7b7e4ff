//! Snapshots on their way to the `metrics` facade.

use std::collections::BTreeSet;

use metrics::Label;
use ottla_core::TopicPartition;

use super::{
    ConsumerStats, ProcessorStats,
    table::{CONSUMER, HEALTH, Metric, PARTITION, PROCESSOR, Unit, Value},
};
use crate::Health;

/// Hands snapshots to the `metrics` facade, and so to whatever exporter the program has installed: the names are those of `docs/metrics.md` in
/// the repository. One for each consumer or processor, with labels that tell them apart: where one follows another in the same process, too, as
/// exporters keep the larger of two totals.
///
/// The program says when: about as often as its exporter is asked. Neither the consumer's thread nor its readers call the facade: what an
/// exporter does there is its own, and heartbeats and records would wait for it. Counters are told as totals, so that no number of calls
/// counts anything twice or misses anything; a gauge is as it was at the last call.
///
/// ```no_run
/// # async fn run(consumer: ottla::Consumer) {
/// use ottla::stats::Recorder;
///
/// let monitor = consumer.monitor();
/// let mut recorder = Recorder::new().label("group", "billing");
/// tokio::spawn(async move {
///     let mut every = tokio::time::interval(std::time::Duration::from_secs(10));
///     loop {
///         every.tick().await;
///         recorder.record(&monitor.stats());
///         recorder.record_health(&monitor.health());
///     }
/// });
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    labels: Vec<Label>,
    without_partitions: bool,
    /// Those that were told last.
    partitions: BTreeSet<TopicPartition>,
    is_described: bool,
}

impl Recorder {
    /// One without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// A label of all metrics. `docs/grafana` in the repository goes by `group`.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push(Label::new(name.into(), value.into()));
        self
    }

    /// Tells nothing of single partitions: where there are thousands, each has its own time series for each of its metrics.
    #[must_use]
    pub fn without_partitions(mut self) -> Self {
        self.without_partitions = true;
        self
    }

    /// Tells the numbers of a consumer. Those of a partition that it has no more become 0, as the facade cannot take them back: another member
    /// tells its own.
    pub fn record(&mut self, stats: &ConsumerStats) {
        self.describe();
        tell(CONSUMER, stats, &self.labels);
        if self.without_partitions {
            return;
        }
        let mut gone = std::mem::take(&mut self.partitions);
        for partition in &stats.partitions {
            gone.remove(&partition.at);
            tell(PARTITION, partition, &self.labels_of(&partition.at));
            self.partitions.insert(partition.at.clone());
        }
        for at in gone {
            let labels = self.labels_of(&at);
            for Metric { name, .. } in PARTITION {
                metrics::gauge!(*name, labels.clone()).set(0.0);
            }
        }
    }

    /// Tells the numbers of a processor, and those of its consumer.
    pub fn record_processor(&mut self, stats: &ProcessorStats) {
        self.record(&stats.consumer);
        tell(PROCESSOR, stats, &self.labels);
    }

    /// Tells how it stands with a consumer or a processor.
    pub fn record_health(&mut self, health: &Health) {
        self.describe();
        tell(HEALTH, health, &self.labels);
    }

    fn labels_of(&self, at: &TopicPartition) -> Vec<Label> {
        let own = [Label::new("topic", at.topic.clone()), Label::new("partition", at.partition.to_string())];
        self.labels.iter().cloned().chain(own).collect()
    }

    /// Once, with the first that is told: an exporter is installed by then.
    fn describe(&mut self) {
        if !std::mem::replace(&mut self.is_described, true) {
            describe(CONSUMER);
            describe(PARTITION);
            describe(HEALTH);
            describe(PROCESSOR);
        }
    }
}

fn tell<T>(metrics: &[Metric<T>], from: &T, labels: &[Label]) {
    for Metric { name, value, .. } in metrics {
        match value {
            Value::Total(read) => metrics::counter!(*name, labels.to_vec()).absolute(read(from)),
            // What it last was is not what it is.
            Value::Level(read) => {
                metrics::gauge!(*name, labels.to_vec()).set(read(from).unwrap_or(f64::NAN));
            }
        }
    }
}

fn describe<T>(metrics: &[Metric<T>]) {
    for Metric { name, unit, what, value, .. } in metrics {
        let unit = match unit {
            Unit::Count => metrics::Unit::Count,
            Unit::Bytes => metrics::Unit::Bytes,
            Unit::Milliseconds => metrics::Unit::Milliseconds,
            Unit::Seconds => metrics::Unit::Seconds,
        };
        match value {
            Value::Total(_) => metrics::describe_counter!(*name, unit, *what),
            Value::Level(_) => metrics::describe_gauge!(*name, unit, *what),
        }
    }
}
