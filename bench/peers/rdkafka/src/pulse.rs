//! A steady producer of single records: each carries the time at which it was sent, as microseconds in eight bytes, and
//! goes out at once, to each of the partitions in turn, and to no neighbour of the last: neighbours are often of one member.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use ottla_bench_child::{Orders, now_micros};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::producer::Pace;

const PATIENCE: Duration = Duration::from_secs(60);
/// Of each record.
const SIZE: usize = 100;

pub(crate) fn run(pace: &Pace) -> Result<()> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &pace.bootstrap)
        .set("acks", "1")
        .set("linger.ms", "0")
        .create()?;
    let between = Duration::from_secs(1) / pace.per_second as u32;
    let orders = Orders::begin()?;
    let stride = stride(pace.partitions);
    let (mut due, mut partition) = (Instant::now(), 0);
    while !orders.ended() {
        let mut value = [0; SIZE];
        if let Some(time) = value.first_chunk_mut() {
            *time = now_micros().to_be_bytes();
        }
        let record =
            BaseRecord::<(), [u8; SIZE]>::to(&pace.topic).partition(partition as i32).payload(&value);
        producer.send(record).map_err(|(error, _)| error)?;
        partition = (partition + stride) % pace.partitions;
        due += between;
        // What is late is made up for, one record after the other.
        sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(producer.flush(PATIENCE)?)
}

/// How far the next partition is from the last: some five eighths of them, and so that each has its turn.
fn stride(partitions: u64) -> u64 {
    let shares_no_factor =
        |stride: &u64| (2..=*stride).all(|factor| stride % factor != 0 || partitions % factor != 0);
    (partitions * 5 / 8..).find(shares_no_factor).unwrap_or(1)
}
