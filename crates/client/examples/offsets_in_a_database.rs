//! Offsets in the program's own database: results and offsets are written in one transaction of it.
//!
//! Each record's key is an account, and its value what is booked on it.
//!
//! ```sh
//! cargo run -p ottla --example offsets_in_a_database -- localhost:9092 bookings /tmp/accounts.redb
//! ```
//!
//! docs/offsets-in-a-database.md tells what this costs, and what another database needs.

use std::{error::Error, sync::Arc, time::Duration};

use ottla::{Consumer, OffsetReset, Rebalance, RebalanceListener, Records, SeekPosition, TopicPartition};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// Of each account what is on it.
const BALANCES: TableDefinition<'_, &str, i64> = TableDefinition::new("balances");
/// Of each partition the next offset to read.
const OFFSETS: TableDefinition<'_, (&str, i32), i64> = TableDefinition::new("offsets");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let topic = args.next().unwrap_or_else(|| "bookings".to_owned());
    let database = Arc::new(Database::create(args.next().unwrap_or_else(|| "accounts.redb".to_owned()))?);
    run(&server, &topic, database.clone()).await?;
    for row in database.begin_read()?.open_table(BALANCES)?.iter()? {
        let (account, balance) = row?;
        println!("{}: {}", account.value(), balance.value());
    }
    Ok(())
}

async fn run(server: &str, topic: &str, database: Arc<Database>) -> Result<(), Box<dyn Error>> {
    // The tables exist from here on.
    book(&database, &Records::default())?;
    let mut consumer = Consumer::builder()
        .bootstrap_servers([server])
        // The group shares out partitions; it has no offsets.
        .group_id("accounts")
        // A program that was killed has its partitions at once when it is started again.
        .group_instance_id("accounts-1")
        .enable_auto_commit(false)
        // An offset that is not in the log any more is an error: nobody else can tell what to do then.
        .auto_offset_reset(OffsetReset::None)
        .rebalance_listener(FromDatabase(database.clone()))
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
        book(&database, &records)?;
        for next in records.next_offsets().values() {
            println!("booked up to {}", next.offset);
        }
    }
    Ok(consumer.close().await?)
}

/// Moves each partition that comes to where the database is.
struct FromDatabase(Arc<Database>);

impl RebalanceListener for FromDatabase {
    async fn on_assigned(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        for at in partitions {
            // Without a position no record is handed out, and the consumer's next call fails: there is no offset in the group.
            match next_offset(&self.0, at) {
                Ok(next) => _ = rebalance.seek(at, next.map_or(SeekPosition::Beginning, Into::into)),
                Err(error) => eprintln!("{at}: {error}"),
            }
        }
    }
}

fn next_offset(database: &Database, at: &TopicPartition) -> Result<Option<i64>, redb::Error> {
    let offsets = database.begin_read()?.open_table(OFFSETS)?;
    Ok(offsets.get((at.topic.as_str(), at.partition))?.map(|next| next.value()))
}

/// Books these records, and that they are booked, or nothing at all.
fn book(database: &Database, records: &Records) -> Result<(), Box<dyn Error>> {
    let transaction = database.begin_write()?;
    {
        let mut balances = transaction.open_table(BALANCES)?;
        let mut offsets = transaction.open_table(OFFSETS)?;
        for record in records {
            let partition = (record.topic(), record.partition());
            // Who has lost the partition without knowing it yet may be behind who has it now.
            if offsets.get(partition)?.is_some_and(|next| record.offset() < next.value()) {
                continue;
            }
            let account = std::str::from_utf8(record.key().unwrap_or_default())?;
            let amount: i64 = std::str::from_utf8(record.value().unwrap_or_default())?.parse()?;
            let balance = balances.get(account)?.map_or(0, |balance| balance.value());
            balances.insert(account, balance + amount)?;
            offsets.insert(partition, record.next_offset())?;
        }
    }
    Ok(transaction.commit()?)
}
