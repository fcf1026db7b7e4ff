//! Records as fast as they go: queued one after the other, and acknowledged together.

use std::time::Duration;

use anyhow::Result;
use krafka::producer::{Acks, Producer};
use krafka::{Compression, Kafka, Record};
use ottla_bench_child::{Lap, Meter, Values, Writing};

pub(crate) async fn write(writing: &Writing) -> Result<Lap> {
    let values = writing.values()?;
    let kafka = Kafka::builder(writing.bootstrap.as_str()).connect().await?;
    let producer = kafka
        .producer()
        .compression(if writing.codec == "lz4" { Compression::Lz4 } else { Compression::None })
        .acks(Acks::All)
        .linger(Duration::from_millis(5))
        .build()
        .await?;
    send(&producer, writing, &values, writing.before).await?;
    let mut meter = Meter::new();
    meter.begin()?;
    meter.bytes = send(&producer, writing, &values, writing.records).await?;
    meter.records = writing.records;
    let lap = meter.end()?;
    producer.close().await?;
    Ok(lap)
}

/// Returns when all are acknowledged; how many bytes that were.
async fn send(producer: &Producer, writing: &Writing, values: &Values, count: u64) -> Result<u64> {
    let mut bytes = 0;
    for value in values.cycle(count) {
        drop(producer.enqueue(Record::new(writing.topic.as_str(), value)).await?);
        bytes += value.len() as u64;
    }
    producer.flush().await?;
    Ok(bytes)
}
