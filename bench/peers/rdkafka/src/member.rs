//! A member, as librdkafka's documentation would have it: polled in a loop, with its own rebalancing.

use std::time::Duration;

use anyhow::{Context, Result};
use ottla_bench_child::{Deliveries, Membership, Orders, Protocol};
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

pub(crate) fn run(membership: &Membership) -> Result<()> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &membership.bootstrap)
        .set("group.id", &membership.group)
        .set("auto.offset.reset", "earliest")
        .set("auto.commit.interval.ms", membership.commit_millis.to_string());
    match membership.protocol {
        Protocol::Classic => config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", membership.session_millis.to_string())
            .set("heartbeat.interval.ms", membership.heartbeat_millis.to_string()),
        Protocol::Consumer => config.set("group.protocol", "consumer"),
    };
    let consumer: BaseConsumer = config.create()?;
    let mut deliveries = Deliveries::new();
    let orders = Orders::begin()?;
    consumer.subscribe(&[&membership.topic])?;
    while !orders.ended() {
        let mut next = consumer.poll(Duration::from_millis(100));
        while let Some(polled) = next {
            match polled {
                Ok(record) => {
                    deliveries
                        .add(record.partition(), record.payload().context("a record without a number")?)?;
                }
                // A broker that is gone, a coordinator that moved: librdkafka tells, and goes on.
                Err(KafkaError::MessageConsumption(_)) => {}
                Err(error) => return Err(error.into()),
            }
            next = consumer.poll(Duration::ZERO);
        }
        deliveries.flush()?;
    }
    Ok(())
}
