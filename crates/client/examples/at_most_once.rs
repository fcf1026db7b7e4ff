//! At most once: what was read is committed first, and handled then. No record is handled twice; some may never be.
//!
//! ```sh
//! cargo run -p ottla --example at_most_once -- localhost:9092 numbers
//! ```
//!
//! docs/at-most-once.md tells what this costs and loses.

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
        .group_id("at-most-once")
        // A program that was killed has its partitions at once when it is started again.
        .group_instance_id("at-most-once-1")
        .enable_auto_commit(false)
        // Where the group's offset is lost, what was there before is skipped: it may have been handled.
        .auto_offset_reset(OffsetReset::Latest)
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
        match consumer.commit().await {
            Ok(_) => {}
            // Others have the partitions by now, and these records.
            Err(error) if error.kind() == CommitErrorKind::NotMember => continue,
            // It may have been committed or not. The group's offset, which the next start asks for, tells.
            Err(error) => return Err(error.into()),
        }
        for record in &records {
            handle(&record).await;
        }
    }
    Ok(consumer.close().await?)
}

/// Stands for the work.
async fn handle(record: &ottla::Record<'_>) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    println!("{}", String::from_utf8_lossy(record.value().unwrap_or_default()));
}
