//! Exactly once, from topic to topic: results and offsets are committed in one transaction.
//!
//! ```sh
//! cargo run -p ottla --example exactly_once -- localhost:9092 numbers doubled
//! ```
//!
//! docs/exactly-once.md tells what this costs, and whom it holds for.

use std::{error::Error, time::Duration};

use ottla::{Consumer, IsolationLevel, OffsetReset, ProducerRecord, TransactionalProducer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let input = args.next().unwrap_or_else(|| "numbers".to_owned());
    let output = args.next().unwrap_or_else(|| "doubled".to_owned());
    run(&server, &input, &output).await
}

async fn run(server: &str, input: &str, output: &str) -> Result<(), Box<dyn Error>> {
    let mut consumer = Consumer::builder()
        .bootstrap_servers([server])
        .group_id("exactly-once")
        // A program that was killed has its partitions at once when it is started again.
        .group_instance_id("exactly-once-1")
        .enable_auto_commit(false)
        .auto_offset_reset(OffsetReset::Earliest)
        .isolation_level(IsolationLevel::ReadCommitted)
        .subscribe([input])
        .build()
        .await?;
    let mut producer = TransactionalProducer::builder()
        .bootstrap_servers([server])
        // Of this process alone: a second one with the same id fences the first.
        .transactional_id("exactly-once-1")
        .build_transactional()
        .await?;
    let closer = consumer.closer();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            closer.close();
        }
    });
    while consumer.is_open() {
        let round =
            producer.transform(&mut consumer, Duration::from_secs(1), async |records, transaction| {
                for record in records {
                    let number: u64 = std::str::from_utf8(record.value().unwrap_or_default())?.parse()?;
                    let doubled =
                        ProducerRecord::to(output).key(record.key()).value((2 * number).to_string());
                    // Not awaited: the commit waits for all that is under way.
                    drop(transaction.send(doubled).await?);
                }
                Ok::<_, Box<dyn Error>>(())
            });
        match round.await {
            Ok(0) => {}
            Ok(count) => println!("{count} records"),
            // Nothing of the round counts: its records are handed out again.
            Err(error) if error.is_retriable() => eprintln!("{error}; again"),
            Err(error) => return Err(error.to_string().into()),
        }
    }
    consumer.close().await?;
    Ok(producer.close().await?)
}
