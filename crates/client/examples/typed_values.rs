//! Orders in Avro, with their schemas in a registry: what does not parse goes to the dead letters with its raw bytes, and while the
//! registry is down records wait.
//!
//! ```sh
//! cargo run -p ottla --features avro --example typed_values -- localhost:9092 orders http://localhost:8081
//! ```
//!
//! docs/typed-values.md tells what each failure does.

use std::error::Error;

use ottla::{
    Consumer, HandlerError, OffsetReset, Order, Processor,
    dead_letters::DeadLetters,
    processor::Message,
    schema_registry::{Avro, SchemaRegistry},
};

#[derive(serde::Deserialize)]
struct Purchase {
    total: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let topic = args.next().unwrap_or_else(|| "orders".to_owned());
    let registry = args.next().unwrap_or_else(|| "http://localhost:8081".to_owned());
    let purchases = Avro::<Purchase>::new(SchemaRegistry::builder([registry]).build()?);
    let consumer = Consumer::builder()
        .bootstrap_servers([server])
        .group_id("typed-values")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe([topic]);
    Processor::new(consumer)
        .order(Order::Key)
        .dead_letters(DeadLetters::new())
        .each_message(move |message| {
            let purchases = purchases.clone();
            async move { charge(&message, &purchases).await }
        })
        .run_until(tokio::signal::ctrl_c())
        .await?;
    Ok(())
}

async fn charge(message: &Message, purchases: &Avro<Purchase>) -> Result<(), HandlerError> {
    // A tombstone is none.
    if let Some(purchase) = message.value_as(purchases).await? {
        println!("charged {}", purchase.total);
    }
    Ok(())
}
