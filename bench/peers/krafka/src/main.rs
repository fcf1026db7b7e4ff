//! krafka as the bench measures it: all partitions by hand, from the beginning, every default but the sizes that the
//! floor has too.

use std::time::Duration;

use anyhow::Result;
use krafka::Kafka;
use krafka::auth::{AuthConfig, TlsConfig};
use krafka::consumer::AutoOffsetReset;
use ottla_bench_child::{Course, Lap, Meter};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    ottla_bench_child::lap(read)
}

async fn read(course: &Course) -> Result<Lap> {
    let mut kafka = Kafka::builder(course.bootstrap.as_str());
    if let Some(file) = &course.authority {
        let tls = TlsConfig::new().with_ca_cert(file.display().to_string());
        kafka = kafka.security(AuthConfig::ssl(tls));
    }
    let kafka = kafka.connect().await?;
    let consumer = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .fetch_max_bytes(course.fetch_max_bytes)
        .max_partition_fetch_bytes(1 << 20)
        .build()
        .await?;
    consumer.assign(&course.topic, (0..course.partitions as i32).collect()).await?;
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
