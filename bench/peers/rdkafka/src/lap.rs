//! All partitions by hand, from the beginning, or as they are written.

use std::time::Duration;

use anyhow::Result;
use ottla_bench_child::{Course, Delays, Lap, Meter, Watch};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn read(course: &Course) -> Result<Lap> {
    let consumer = consumer(course, Offset::Beginning)?;
    let mut meter = Meter::new();
    while meter.records < course.records {
        let Some(record) = consumer.poll(PATIENCE) else { continue };
        let record = record?;
        meter.begin()?;
        meter.add(record.key(), record.payload());
    }
    meter.end()
}

pub(crate) fn watch(watch: &Watch) -> Result<Lap> {
    let consumer = consumer(&watch.course, Offset::End)?;
    let mut delays = Delays::new(watch);
    while !delays.is_complete() {
        let Some(record) = consumer.poll(PATIENCE) else { continue };
        delays.add(record?.payload())?;
    }
    delays.end()
}

fn consumer(course: &Course, from: Offset) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    if let Some(file) = &course.authority {
        config.set("security.protocol", "ssl").set("ssl.ca.location", file.display().to_string());
    }
    let consumer: BaseConsumer = config
        .set("bootstrap.servers", &course.bootstrap)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_uncommitted")
        .set("check.crcs", "true")
        .set("fetch.max.bytes", course.fetch_max_bytes.to_string())
        .set("fetch.message.max.bytes", (1 << 20).to_string())
        // Its default of a second starves small records: a full queue would be looked at again a second later.
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..course.partitions as i32 {
        partitions.add_partition_offset(&course.topic, partition, from)?;
    }
    consumer.assign(&partitions)?;
    Ok(consumer)
}
