//! A service: a member of a group that reads orders and writes an invoice for each to another topic.
//!
//! - Records come in batches. A batch is committed once all that came of it is acknowledged, so that no order is lost; after
//!   a crash some are done again.
//! - A value that is not an order is reported, and skipped.
//! - Ctrl-C and SIGTERM end it in good order: what is under way is finished and committed, then the group is left.
//! - A listener tells which partitions come and go.
//!
//! To try it, each in a terminal of its own:
//!
//! ```sh
//! ottla broker --topic orders:3 --topic invoices:3
//! cargo run -p ottla --example service -- localhost:9092
//! echo '7|{"id":7,"cents":1250}' | ottla produce orders -K '|'
//! ottla consume invoices
//! ```
//!
//! `tests/service.rs` runs the same code.

use std::{error::Error, future::Future, process::ExitCode, time::Duration};

use ottla::{
    Consumer, OffsetReset, Producer, ProducerRecord, Rebalance, RebalanceListener, Record, Records,
    TopicPartition,
    error::{CommitErrorKind, RecvErrorKind},
};
use serde::{Deserialize, Serialize};

/// How long a call for records waits where there are none.
const WAIT: Duration = Duration::from_millis(500);

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Deserialize)]
struct Order {
    id: u64,
    cents: u64,
}

#[derive(Debug, Serialize)]
struct Invoice {
    order: u64,
    cents: u64,
}

/// Where the service works.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) bootstrap_servers: String,
    pub(crate) group: String,
    pub(crate) orders: String,
    pub(crate) invoices: String,
}

/// What it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) forwarded: u64,
    pub(crate) skipped: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings {
        bootstrap_servers: std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned()),
        group: "billing".to_owned(),
        orders: "orders".to_owned(),
        invoices: "invoices".to_owned(),
    };
    match run(&settings, asked_to_stop()).await {
        Ok(tally) => {
            eprintln!("stopped: {} forwarded, {} skipped", tally.forwarded, tally.skipped);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or SIGTERM, by which service managers end a process.
async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    _ = tokio::signal::ctrl_c().await;
}

/// Works until `stop` is over, or something fails for good.
pub(crate) async fn run(
    settings: &Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Tally, Failure> {
    let servers = [settings.bootstrap_servers.as_str()];
    let producer = Producer::builder().bootstrap_servers(servers).build().await?;
    let mut consumer = Consumer::builder()
        .bootstrap_servers(servers)
        .group_id(&settings.group)
        // Where the group has committed nothing yet: from the first order on.
        .auto_offset_reset(OffsetReset::Earliest)
        .enable_auto_commit(false)
        .rebalance_listener(Log)
        .subscribe([settings.orders.as_str()])
        .build()
        .await?;
    let closer = consumer.closer();
    let stopping = tokio::spawn(async move {
        stop.await;
        // A call that waits for records ends at once.
        closer.close();
    });
    let worked = work(&mut consumer, &producer, &settings.invoices).await;
    stopping.abort();
    // Also after a failure: the other members have the partitions at once, not when a session is over.
    let (left, closed) = (consumer.close().await, producer.close().await);
    let tally = worked?;
    left?;
    closed?;
    Ok(tally)
}

async fn work(consumer: &mut Consumer, producer: &Producer, invoices: &str) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    while consumer.is_open() {
        let records = match consumer.poll(WAIT).await {
            Ok(records) => records,
            // The last batch took too long for the group: the next call joins it again.
            Err(error) if error.kind() == RecvErrorKind::MaxPollExceeded => {
                eprintln!("{error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if records.is_empty() {
            continue;
        }
        let done = forward(&records, producer, invoices).await?;
        tally.forwarded += done.forwarded;
        tally.skipped += done.skipped;
        if let Err(error) = consumer.commit().await {
            match error.kind() {
                // Other members have the partitions by now, and do this batch again.
                CommitErrorKind::NotMember => eprintln!("{error}"),
                _ => return Err(error.into()),
            }
        }
    }
    Ok(tally)
}

/// Returns when every invoice of these orders is acknowledged.
async fn forward(records: &Records, producer: &Producer, invoices: &str) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut deliveries = Vec::with_capacity(records.len());
    for record in records {
        match invoice(&record) {
            Ok(value) => {
                let mut out = ProducerRecord::to(invoices).value(value);
                if let Some(key) = record.key() {
                    out = out.key(key);
                }
                // Waits only where the producer's buffer is full. Each delivery is awaited below: here, one record would be
                // under way at a time.
                deliveries.push(producer.send(out).await?);
            }
            Err(why) => {
                eprintln!("{}@{} is skipped: {why}", record.topic_partition(), record.offset());
                tally.skipped += 1;
            }
        }
    }
    for delivery in deliveries {
        delivery.await?;
        tally.forwarded += 1;
    }
    Ok(tally)
}

/// The invoice of an order, as JSON.
fn invoice(record: &Record<'_>) -> Result<Vec<u8>, Failure> {
    let value = record.value().ok_or("it has no value")?;
    let order: Order = serde_json::from_slice(value)?;
    Ok(serde_json::to_vec(&Invoice { order: order.id, cents: order.cents })?)
}

/// Tells which partitions come and go.
///
/// There is nothing to commit when partitions are revoked: a rebalance waits for the call that follows a batch, and by then
/// the batch is committed.
#[derive(Debug)]
struct Log;

impl RebalanceListener for Log {
    async fn on_assigned(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        eprintln!("assigned: {}", names(partitions));
    }

    async fn on_revoked(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        eprintln!("revoked: {}", names(partitions));
    }

    async fn on_lost(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        eprintln!("lost: {}", names(partitions));
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(TopicPartition::to_string).collect::<Vec<_>>().join(", ")
}
