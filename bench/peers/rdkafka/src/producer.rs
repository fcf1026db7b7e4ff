//! A steady producer: it numbers its records, spreads them over the partitions in turn, waits for all replicas, and
//! prints each record that was acknowledged as a member prints each that it was handed.

use std::io::{Write, stdout};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clap::Args;
use ottla_bench_child::{Deliveries, Orders};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message};

/// Often enough that a partition's own pace is not what a pause of 30 ms is made of.
const TICK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Pace {
    #[arg(long)]
    pub(crate) bootstrap: String,
    #[arg(long)]
    pub(crate) topic: String,
    #[arg(long)]
    pub(crate) partitions: u64,
    /// Records a second.
    #[arg(long)]
    pub(crate) per_second: u64,
}

struct Acknowledged(Mutex<Deliveries>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (Ok(record), Ok(mut deliveries)) = (result, self.0.lock()) else { return };
        // A pipe that nobody reads any more ends the process elsewhere.
        let _ = deliveries.add(record.partition(), record.payload().unwrap_or_default());
    }
}

pub(crate) fn run(pace: &Pace) -> Result<()> {
    let producer: BaseProducer<Acknowledged> = ClientConfig::new()
        .set("bootstrap.servers", &pace.bootstrap)
        .set("acks", "all")
        // So that a retry after a broker's death writes no record twice.
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .create_with_context(Acknowledged(Mutex::new(Deliveries::new())))?;
    let flush =
        || -> Result<()> { producer.context().0.lock().map_err(|_| anyhow!("a callback panicked"))?.flush() };
    let orders = Orders::begin()?;
    let (start, mut number) = (Instant::now(), 0);
    while !orders.ended() {
        let due = start.elapsed().as_millis() as u64 * pace.per_second / 1_000;
        while number < due {
            let (partition, value) = ((number % pace.partitions) as i32, number.to_string());
            let record = BaseRecord::<(), String>::to(&pace.topic).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error)?;
            number += 1;
        }
        let next = Instant::now() + TICK;
        while let Some(rest) = next.checked_duration_since(Instant::now()) {
            producer.poll(rest);
        }
        flush()?;
    }
    producer.flush(PATIENCE)?;
    flush()?;
    Ok(stdout().flush()?)
}
