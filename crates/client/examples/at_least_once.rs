//! At least once: what was read is handled first, and committed then. No record is lost; some are handled again.
//!
//! ```sh
//! cargo run -p ottla --example at_least_once -- localhost:9092 numbers
//! ```
//!
//! docs/at-least-once.md tells what this costs and repeats.

use std::{error::Error, time::Duration};

use ottla::{Consumer, OffsetReset, error::CommitErrorKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let topic = args.next().unwrap_or_else(|| "numbers".to_owned());
    run(&server, &topic).await
}

async fn run(server: &str, topic: &str) -> Result<(), Box<dyn Error>> {
    let mut consumer = Consumer::builder()
        .bootstrap_servers([server])
        .group_id("at-least-once")
        // A program that was killed has its partitions at once when it is started again.
        .group_instance_id("at-least-once-1")
        .enable_auto_commit(false)
        // Where the group has no offset, all is read.
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe([topic])
        .build()
        .await?;
    let closer = consumer.closer();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            closer.close();
        }
    });
    while consumer.is_open() {
        let records = consumer.poll(Duration::from_secs(1)).await?;
        for record in &records {
            // A failure ends the program before the commit: the record is handed out again by the next start.
            handle(&record).await?;
        }
        match consumer.commit().await {
            Ok(_) => {}
            // Others have the partitions by now, and handle these records again.
            Err(error) if error.kind() == CommitErrorKind::NotMember => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(consumer.close().await?)
}

/// Stands for the work.
async fn handle(record: &ottla::Record<'_>) -> Result<(), Box<dyn Error>> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    println!("{}", std::str::from_utf8(record.value().unwrap_or_default())?);
    Ok(())
}
