//! krafka as the bench measures it: it reads all partitions by hand, with every default but the sizes that the floor has
//! too, and writes without a wait for each record.

mod write;

use std::time::Duration;

use anyhow::Result;
use krafka::Kafka;
use krafka::auth::{AuthConfig, TlsConfig};
use krafka::consumer::{AutoOffsetReset, Consumer};
use ottla_bench_child::{Course, Delays, Lap, Meter, Watch};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    ottla_bench_child::peer(read, write::write, watch)
}

async fn read(course: &Course) -> Result<Lap> {
    let consumer = consumer(course, AutoOffsetReset::Earliest).await?;
    let mut meter = Meter::new();
    while meter.records < course.records {
        let records = consumer.poll(PATIENCE).await?;
        meter.begin()?;
        for record in &records {
            meter.add(record.key.as_deref(), record.value.as_deref());
        }
    }
    meter.end()
}

async fn watch(watch: &Watch) -> Result<Lap> {
    let consumer = consumer(&watch.course, AutoOffsetReset::Latest).await?;
    let mut delays = Delays::new(watch);
    while !delays.is_complete() {
        let records = consumer.poll(PATIENCE).await?;
        for record in &records {
            delays.add(record.value.as_deref())?;
        }
    }
    delays.end()
}

async fn consumer(course: &Course, from: AutoOffsetReset) -> Result<Consumer> {
    let mut kafka = Kafka::builder(course.bootstrap.as_str());
    if let Some(file) = &course.authority {
        let tls = TlsConfig::new().with_ca_cert(file.display().to_string());
        kafka = kafka.security(AuthConfig::ssl(tls));
    }
    let kafka = kafka.connect().await?;
    let consumer = kafka
        .consumer_without_group()
        .auto_offset_reset(from)
        .fetch_max_bytes(course.fetch_max_bytes)
        .max_partition_fetch_bytes(1 << 20)
        .build()
        .await?;
    consumer.assign(&course.topic, (0..course.partitions as i32).collect()).await?;
    Ok(consumer)
}
