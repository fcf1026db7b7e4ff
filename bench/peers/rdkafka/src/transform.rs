//! Exactly once, as librdkafka's own example has it: records are read one by one, sent on, and each transaction takes how
//! far was read with it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ottla_bench_child::{Lap, Meter, Transforming};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const ROOM: Duration = Duration::from_millis(10);
/// So long a transaction waits for more records, until it has as many as it may.
const MORE: Duration = Duration::from_millis(100);

pub(crate) fn transform(transforming: &Transforming) -> Result<Lap> {
    let Transforming { bootstrap, from, name, .. } = transforming;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", name)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        // As in laps that read.
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", name)
        .set("linger.ms", "5")
        .create()?;
    producer.init_transactions(PATIENCE)?;
    consumer.subscribe(&[from])?;
    let (mut meter, mut transactions) = (Meter::new(), 0);
    while meter.records < transforming.records {
        // It returns without a record after a rebalance, too.
        let Some(first) = consumer.poll(PATIENCE) else { continue };
        meter.begin()?;
        producer.begin_transaction()?;
        let (mut next, mut offsets) = (Some(first), HashMap::new());
        let mut of_this = 0;
        while let Some(record) = next {
            let record = record?;
            offsets.insert(record.partition(), record.offset() + 1);
            meter.add(record.key(), record.payload());
            send(&producer, &transforming.to, &record)?;
            of_this += 1;
            let is_full = of_this == transforming.of_each || meter.records == transforming.records;
            next = if is_full { None } else { consumer.poll(MORE) };
        }
        let mut read = TopicPartitionList::new();
        for (partition, offset) in offsets {
            read.add_partition_offset(from, partition, Offset::Offset(offset))?;
        }
        let group = consumer.group_metadata().context("no member of the group")?;
        producer.send_offsets_to_transaction(&read, &group, PATIENCE)?;
        producer.commit_transaction(PATIENCE)?;
        transactions += 1;
    }
    Ok(Lap { transactions: Some(transactions), ..meter.end()? })
}

fn send(producer: &BaseProducer, topic: &str, read: &impl Message) -> Result<()> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic);
    record.key = read.key();
    record.payload = read.payload();
    while let Err((error, again)) = producer.send(record) {
        let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else { bail!(error) };
        producer.poll(ROOM);
        record = again;
    }
    Ok(())
}
