//! Writes numbered records with an idempotent producer, at a steady pace.

use std::time::{Duration, Instant};

use ottla::{Delivery, Producer, ProducerRecord};
use tokio::task::JoinSet;

use super::{Asked, CLOSE, Failure, Orders, Pulse, tell};
use crate::line::{Id, Told, Value};

/// Records of one turn are written together.
const TURN: Duration = Duration::from_millis(100);

/// Records that may wait for their acknowledgement: beyond that it waits, as a program would.
const UNACKED: usize = 4000;

/// How many keys each partition has.
const KEYS: u64 = 8;

pub(super) async fn run(asked: &Asked, orders: &Orders) -> Result<(), Failure> {
    let (topic, at_first): (String, i32) = (asked.own("topic")?, asked.own("partitions")?);
    let (writer, life, rate): (u16, u16, u64) =
        (asked.own("writer")?, asked.own("life")?, asked.own("rate")?);
    let producer = Producer::builder().properties(asked.of_producer())?.build().await?;
    let mut numbers = vec![0; at_first as usize];
    let (mut acks, mut pulse, mut turn) = (JoinSet::new(), Pulse::new(), 0_u64);
    while !orders.is_over() {
        numbers.resize(orders.partitions(at_first) as usize, 0);
        let wanted = (rate * TURN.as_millis() as u64 / 1000).max(1);
        for place in 0..wanted {
            let index = ((turn * wanted + place) % numbers.len() as u64) as usize;
            let Some(number) = numbers.get_mut(index) else { continue };
            let (partition, key) = (index as i32, index as u64 * KEYS + *number % KEYS);
            let value = Value { id: Id { writer, life, number: *number }, partition, key };
            *number += 1;
            let record = ProducerRecord::to(&topic).partition(partition).key(key.to_string());
            match producer.send(record.value(format!("{value} {:.<60}", ""))).await {
                Ok(delivery) => drop(acks.spawn(acknowledged(value, delivery))),
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) => tell(&Told::Failed { value, why: format!("{error:#}") }),
            }
        }
        turn += 1;
        while acks.try_join_next().is_some() {
            pulse.moved();
        }
        while acks.len() > UNACKED && !orders.is_over() {
            tokio::time::sleep(TURN).await;
            while acks.try_join_next().is_some() {}
            pulse.tick(0, || format!("{:?}", producer.explain()));
        }
        pulse.tick(0, || {
            let causes: Vec<String> = producer.explain().iter().map(ToString::to_string).collect();
            causes.join("; ")
        });
        tokio::time::sleep(TURN).await;
    }
    let began = Instant::now();
    producer.close_within(CLOSE).await?;
    while acks.join_next().await.is_some() && began.elapsed() < CLOSE {}
    Ok(())
}

async fn acknowledged(value: Value, delivery: Delivery) {
    tell(&match delivery.await {
        Ok(delivered) => Told::Acked { value, offset: delivered.offset },
        Err(error) => Told::Failed { value, why: format!("{error:#}") },
    });
}
