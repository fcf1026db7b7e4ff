//! Each message handled: by key in order, different keys in parallel, again where it fails, and committed when it is done.
//!
//! ```sh
//! cargo run -p ottla --example each_message -- localhost:9092 orders
//! ```
//!
//! docs/processing.md tells what each failure does.

use std::{error::Error, time::Duration};

use ottla::{
    Consumer, HandlerError, OffsetReset, OnHopeless, Order, ProcessError, Processor, RetryPolicy,
    processor::Message,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let topic = args.next().unwrap_or_else(|| "orders".to_owned());
    Ok(run(&server, &topic, tokio::signal::ctrl_c()).await?)
}

pub(crate) async fn run(server: &str, topic: &str, stop: impl Future) -> Result<(), ProcessError> {
    let orders = Consumer::builder()
        .bootstrap_servers([server])
        .group_id("each-message")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe([topic]);
    Processor::new(orders)
        // A slow customer holds up only itself.
        .order(Order::Key)
        .concurrency(64)
        .retries(RetryPolicy::exponential(Duration::from_millis(100)..=Duration::from_secs(10)))
        .handler_timeout(Duration::from_secs(30))
        // What no attempt can handle is logged and passed over.
        .on_hopeless(OnHopeless::Skip)
        .each_message(async |message| charge(&message).await)
        // Handlers end, what is done is committed, the group is left.
        .run_until(stop)
        .await
}

/// Stands for the work.
async fn charge(message: &Message) -> Result<(), HandlerError> {
    let order = std::str::from_utf8(message.value().unwrap_or_default()).map_err(HandlerError::fatal)?;
    let cents: u64 = order.parse().map_err(HandlerError::fatal)?;
    tokio::time::sleep(Duration::from_millis(1)).await;
    println!("charged {cents}");
    Ok(())
}
