//! Reads a topic: as a member of a group, or partitions that it assigns itself from offsets that it is told.

use std::time::{Duration, Instant};

use ottla::{Consumer, Rebalance, RebalanceListener, Records, TopicPartition};

use super::{Asked, CLOSE, Failure, Orders, Pulse, numbers, tell, tell_all};
use crate::line::{Told, Value};

/// How often it commits by hand.
const COMMIT: Duration = Duration::from_secs(1);

/// A position that is known is told at once.
const KNOWN: Duration = Duration::from_millis(5);

pub(super) async fn run(asked: &Asked, orders: &Orders) -> Result<(), Failure> {
    let topic: String = asked.own("topic")?;
    let from = asked.own.get("from");
    let by_hand = asked.properties.iter().any(|(key, value)| key == "enable.auto.commit" && value == "false");
    let mut builder = Consumer::builder().properties(asked.properties.iter().cloned())?;
    if from.is_none() {
        builder = builder.subscribe([topic.as_str()]).rebalance_listener(Listener);
    }
    let mut consumer = builder.build().await?;
    let mut count = 0;
    if let Some(from) = from {
        let offsets = from.split(',').map(str::parse).collect::<Result<Vec<i64>, _>>()?;
        count = offsets.len() as i32;
        consumer.assign((0..count).map(|partition| (topic.as_str(), partition)))?;
        for (partition, offset) in (0..).zip(offsets) {
            consumer.seek((topic.as_str(), partition), offset)?;
        }
    }
    let (mut pulse, mut committed, mut dirty) = (Pulse::new(), Instant::now(), false);
    while !orders.is_over() {
        if from.is_some() && orders.partitions(count) > count {
            count = orders.partitions(count);
            consumer.assign((0..count).map(|partition| (topic.as_str(), partition)))?;
        }
        match consumer.poll(Duration::from_millis(100)).await {
            Ok(records) if records.is_empty() => {}
            Ok(records) => {
                tell_all(&handed_out(&records)?);
                pulse.moved();
                dirty = true;
            }
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => {
                tell(&Told::Error(format!("{error:#}")));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        if by_hand && from.is_none() && dirty && committed.elapsed() >= COMMIT {
            if let Err(error) = consumer.commit().await {
                tell(&Told::Error(format!("{error:#}")));
            }
            (committed, dirty) = (Instant::now(), false);
        }
        if pulse.tick(consumer.deleted_unread(), || consumer.explain().to_string()) && from.is_some() {
            for partition in 0..count {
                // One that is not known is told the next time.
                let position = consumer.position((topic.as_str(), partition));
                if let Ok(Ok(offset)) = tokio::time::timeout(KNOWN, position).await {
                    tell(&Told::At { partition, offset });
                }
            }
        }
    }
    Ok(consumer.close_within(CLOSE).await?)
}

fn handed_out(records: &Records) -> Result<Vec<Told>, Failure> {
    let got = |record: ottla::Record<'_>| {
        let (partition, offset) = (record.partition(), record.offset());
        let value = Value::parse(record.value()).map_err(|error| format!("{partition} {offset}: {error}"))?;
        Ok(Told::Got { partition, offset, value })
    };
    records.iter().map(got).collect()
}

/// Tells what comes and goes where records of it begin and end.
struct Listener;

impl RebalanceListener for Listener {
    async fn on_assigned(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        tell(&Told::Assigned(numbers(partitions)));
    }

    async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        if let Err(error) = rebalance.commit().await {
            tell(&Told::Error(format!("{error:#}")));
        }
        tell(&Told::Revoked(numbers(partitions)));
    }

    async fn on_lost(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        tell(&Told::Lost(numbers(partitions)));
    }
}
