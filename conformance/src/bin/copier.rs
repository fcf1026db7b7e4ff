//! A worker that processes records exactly once, as a process of its own, which can be killed:
//! `copier INPUT OUTPUT ID KEY=VALUE...` with Kafka's properties of a consumer; ID is its transactional id.
//!
//! A record's value is its number, which is written to OUTPUT as it is. Handlers take up to 20 ms, and no record waits for another. Of
//! twenty one fails at first, behind its output, and of a hundred one fails always, and becomes a dead letter. It prints `fatal WHY` where it
//! cannot go on; and goes on until its input ends.

use std::error::Error;
use std::io::{self, Read as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ottla::dead_letters::DeadLetters;
use ottla::processor::{Message, Outputs};
use ottla::{ConsumerBuilder, HandlerError, Order, Processor, Producer, ProducerRecord, RetryPolicy};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("fatal {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let [input, output, id] = std::array::from_fn(|_| arguments.next().unwrap_or_default());
    let pair = |pair: String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let properties = arguments.map(pair).collect::<Option<Vec<_>>>();
    let properties = properties.ok_or("usage: copier INPUT OUTPUT ID KEY=VALUE...")?;
    let servers = properties.iter().find(|(key, _)| key == "bootstrap.servers");
    let servers = servers.map(|(_, servers)| servers.clone()).unwrap_or_default();
    let (ends, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = ends.send(());
    });
    let producer = Producer::builder().bootstrap_servers(servers.split(',')).transactional_id(id);
    let output: Arc<str> = output.into();
    Processor::new(ConsumerBuilder::from_properties(properties)?.subscribe([input.as_str()]))
        .order(Order::Unordered)
        .retries(RetryPolicy::exponential(Duration::from_millis(5)..=Duration::from_millis(20)).attempts(3))
        .dead_letters(DeadLetters::new())
        .commit_interval(Duration::from_millis(200))
        .transactional(producer.transaction_timeout(Duration::from_secs(10)))
        .each_message(move |message, out| copy(message, out, output.clone()))
        .run_until(ended)
        .await?;
    Ok(())
}

async fn copy(message: Message, out: Outputs, to: Arc<str>) -> Result<(), HandlerError> {
    let number: u64 = std::str::from_utf8(message.value().unwrap_or_default())?.parse()?;
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
    out.push(ProducerRecord::to(&*to).partition(message.partition()).value(message.value()))?;
    if number % 100 == 7 || number % 20 == 3 && message.attempt() == 1 {
        return Err(format!("{number} is not wanted").into());
    }
    Ok(())
}
