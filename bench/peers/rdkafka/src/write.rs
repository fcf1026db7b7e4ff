//! Records as fast as they go: sent without a wait, and where its queue is full, once more when there is room.

use std::time::Duration;

use anyhow::{Result, bail};
use ottla_bench_child::{Lap, Meter, Values, Writing};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const PATIENCE: Duration = Duration::from_secs(60);
/// As librdkafka's own programs wait for room in its queue.
const ROOM: Duration = Duration::from_millis(10);
/// Deliveries are served once in so many records.
const POLL_EACH: u64 = 1_000;

pub(crate) fn write(writing: &Writing) -> Result<Lap> {
    let values = writing.values()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &writing.bootstrap)
        .set("compression.type", &writing.codec)
        .set("acks", "all")
        .set("linger.ms", "5")
        .create()?;
    send(&producer, writing, &values, writing.before)?;
    let mut meter = Meter::new();
    meter.begin()?;
    meter.bytes = send(&producer, writing, &values, writing.records)?;
    meter.records = writing.records;
    meter.end()
}

/// Returns when all are acknowledged; how many bytes that were.
fn send(producer: &BaseProducer, writing: &Writing, values: &Values, count: u64) -> Result<u64> {
    let (mut bytes, mut since_poll) = (0, 0);
    for value in values.cycle(count) {
        let mut record = BaseRecord::<(), [u8]>::to(&writing.topic).payload(value);
        while let Err((error, again)) = producer.send(record) {
            let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else { bail!(error) };
            producer.poll(ROOM);
            record = again;
        }
        bytes += value.len() as u64;
        since_poll += 1;
        if since_poll == POLL_EACH {
            producer.poll(Duration::ZERO);
            since_poll = 0;
        }
    }
    producer.flush(PATIENCE)?;
    Ok(bytes)
}
