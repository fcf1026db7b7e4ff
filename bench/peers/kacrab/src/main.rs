//! kacrab as the bench measures it: it reads all partitions by hand, with every default but the sizes that the floor has
//! too, and writes without a wait for each record.

mod write;

use std::time::Duration;

use anyhow::Result;
use kacrab::common::TopicPartition;
use kacrab::consumer::Consumer;
use ottla_bench_child::{Course, Delays, Lap, Meter, Watch};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    ottla_bench_child::peer(read, write::write, watch)
}

async fn read(course: &Course) -> Result<Lap> {
    let mut consumer = consumer(course, "earliest").await?;
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

async fn watch(watch: &Watch) -> Result<Lap> {
    let mut consumer = consumer(&watch.course, "latest").await?;
    let mut delays = Delays::new(watch);
    while !delays.is_complete() {
        let records = consumer.poll(PATIENCE).await?;
        for record in &records {
            delays.add(record.value.as_deref())?;
        }
    }
    delays.end()
}

async fn consumer(course: &Course, from: &str) -> Result<Consumer> {
    let settings = [
        ("bootstrap.servers", course.bootstrap.clone()),
        ("enable.auto.commit", "false".to_owned()),
        ("auto.offset.reset", from.to_owned()),
        ("isolation.level", "read_uncommitted".to_owned()),
        ("check.crcs", "true".to_owned()),
        ("fetch.max.bytes", course.fetch_max_bytes.to_string()),
        ("max.partition.fetch.bytes", (1 << 20).to_string()),
    ];
    let mut consumer = Consumer::from_map(settings.into_iter().chain(course.tls())).await?;
    let partition = |partition| TopicPartition::new(course.topic.as_str(), partition);
    consumer.assign((0..course.partitions as i32).map(partition))?;
    Ok(consumer)
}
