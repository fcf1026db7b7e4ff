//! A batch job: reads all that is in a topic now, without a group, and counts records and bytes of each partition.
//!
//! ```sh
//! cargo run -p ottla --example batch -- orders localhost:9092
//! ```

use std::{collections::BTreeMap, error::Error, process::ExitCode, time::Duration};

use ottla::{Admin, Consumer, TopicPartition};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let topic = args.next().unwrap_or_else(|| "orders".to_owned());
    let servers = [args.next().unwrap_or_else(|| "localhost:9092".to_owned())];

    let admin = Admin::builder().bootstrap_servers(servers.clone()).build().await?;
    let described = admin.describe_topics([topic.as_str()]).await?;
    admin.close().await;
    let mut partitions = Vec::new();
    for (name, topic) in described {
        partitions.extend(topic?.partitions.keys().map(|number| TopicPartition::new(name.as_str(), *number)));
    }

    let mut consumer = Consumer::builder().bootstrap_servers(servers).build().await?;
    let ends = consumer.end_offsets(partitions.clone()).await?;
    consumer.assign(partitions.clone())?;
    consumer.seek_to_beginning(partitions)?;

    let mut counts: BTreeMap<TopicPartition, (u64, u64)> = BTreeMap::new();
    let mut unread = ends.clone();
    while !unread.is_empty() {
        let records = consumer.poll(Duration::from_millis(500)).await?;
        for (at, records) in records.by_partition() {
            let (count, bytes) = counts.entry(at.clone()).or_default();
            let end = ends.get(at).copied().unwrap_or_default();
            for record in records.filter(|record| record.offset() < end) {
                *count += 1;
                *bytes += record.value().map_or(0, |value| value.len() as u64);
            }
        }
        let mut read = Vec::new();
        for (at, end) in &unread {
            // Not the last record's offset: the log may end with what no reader is handed, such as a transaction's marker.
            if consumer.position(at.clone()).await? >= *end {
                read.push(at.clone());
            }
        }
        unread.retain(|at, _| !read.contains(at));
        consumer.pause(read);
    }
    consumer.close().await?;
    for (at, (count, bytes)) in counts {
        println!("{at}: {count} records, {bytes} bytes");
    }
    Ok(())
}
