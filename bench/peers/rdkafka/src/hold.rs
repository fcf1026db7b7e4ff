//! All partitions by hand, or as a member of a group, held until the end of the input.

use std::time::Duration;

use anyhow::Result;
use ottla_bench_child::{Holding, Told, Way};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(1);

struct Telling(Told);

impl ClientContext for Telling {}

impl ConsumerContext for Telling {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.0.moved(partitions.count() as i64),
            Rebalance::Revoke(partitions) => self.0.moved(-(partitions.count() as i64)),
            Rebalance::Error(_) => {}
        }
    }
}

pub(crate) fn run(holding: &Holding) -> Result<()> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &holding.bootstrap)
        .set("group.id", &holding.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", (holding.way != Way::Assigned).to_string())
        // As in laps that read.
        .set("fetch.queue.backoff.ms", "5");
    match holding.way {
        Way::Assigned => &mut config,
        Way::Classic => config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("heartbeat.interval.ms", holding.heartbeat_millis.to_string()),
        Way::Consumer => config.set("group.protocol", "consumer"),
    };
    let consumer: BaseConsumer<Telling> =
        config.create_with_context(Telling(Told::begin(holding.records)))?;
    match holding.way {
        Way::Assigned => {
            let mut partitions = TopicPartitionList::with_capacity(holding.partitions as usize);
            for partition in 0..holding.partitions as i32 {
                partitions.add_partition_offset(&holding.topic, partition, Offset::Beginning)?;
            }
            consumer.assign(&partitions)?;
        }
        Way::Classic | Way::Consumer => consumer.subscribe(&[&holding.topic])?,
    }
    loop {
        match consumer.poll(PATIENCE) {
            Some(Ok(_)) => consumer.context().0.record(),
            // What it tells of brokers it goes on after.
            Some(Err(KafkaError::MessageConsumption(_))) | None => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}
