//! Records as fast as they go. A `send` does not wait: where the buffer is full it spins until there is room, so the buffer is
//! kept from filling.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use kacrab::producer::{Producer, ProducerRecord};
use ottla_bench_child::{Lap, Meter, Values, Writing};

/// One delivery is kept of each so many bytes,
const EACH: u64 = 1 << 20;
/// and waited for when so many are kept: half of the buffer.
const ENOUGH: usize = 16;

pub(crate) async fn write(writing: &Writing) -> Result<Lap> {
    let values = writing.values()?;
    let producer = Producer::builder()
        .set("bootstrap.servers", writing.bootstrap.as_str())
        .set("compression.type", writing.codec.as_str())
        .set("acks", "all")
        .set("linger.ms", "5")
        .build()
        .await?;
    let topic = Arc::from(writing.topic.as_str());
    send(&producer, &topic, &values, writing.before).await?;
    let mut meter = Meter::new();
    meter.begin()?;
    meter.bytes = send(&producer, &topic, &values, writing.records).await?;
    meter.records = writing.records;
    let lap = meter.end()?;
    producer.close().await?;
    Ok(lap)
}

/// Returns when all are acknowledged; how many bytes that were.
async fn send(producer: &Producer, topic: &Arc<str>, values: &Values, count: u64) -> Result<u64> {
    let (mut bytes, mut next, mut deliveries, mut last) = (0, EACH, VecDeque::new(), None);
    for value in values.cycle(count) {
        let delivery = producer.send(ProducerRecord::topic_value(topic.clone(), value))?;
        bytes += value.len() as u64;
        if bytes >= next {
            next += EACH;
            deliveries.push_back(delivery);
        } else {
            last = Some(delivery);
        }
        if deliveries.len() > ENOUGH
            && let Some(oldest) = deliveries.pop_front()
        {
            oldest.await?;
        }
    }
    producer.flush().await?;
    for delivery in deliveries.into_iter().chain(last) {
        delivery.await?;
    }
    Ok(bytes)
}
