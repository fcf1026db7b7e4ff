//! kacrab as the bench measures it: all partitions by hand, from the beginning, every default but the sizes that the
//! floor has too.

use std::time::Duration;

use anyhow::Result;
use kacrab::common::TopicPartition;
use kacrab::consumer::Consumer;
use ottla_bench_child::{Course, Lap, Meter};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    ottla_bench_child::lap(read)
}

async fn read(course: &Course) -> Result<Lap> {
    let settings = [
        ("bootstrap.servers", course.bootstrap.clone()),
        ("enable.auto.commit", "false".to_owned()),
        ("auto.offset.reset", "earliest".to_owned()),
        ("isolation.level", "read_uncommitted".to_owned()),
        ("check.crcs", "true".to_owned()),
        ("fetch.max.bytes", course.fetch_max_bytes.to_string()),
        ("max.partition.fetch.bytes", (1 << 20).to_string()),
    ];
    let mut consumer = Consumer::from_map(settings.into_iter().chain(course.tls())).await?;
    let partition = |partition| TopicPartition::new(course.topic.as_str(), partition);
    consumer.assign((0..course.partitions as i32).map(partition))?;
    let mut meter = Meter::new();
    while meter.records < course.records {
        let records = consumer.poll(PATIENCE).await?;
        if records.is_empty() {
            continue;
        }
        meter.begin()?;
        for record in &records {
            meter.add(record.key.as_deref(), record.value.as_deref());
        }
    }
    meter.end()
}
