//! A worker that transforms records exactly once, as a process of its own, which can be killed:
//! `transformer INPUT OUTPUT ID SEED KEY=VALUE...` with Kafka's properties of a consumer; ID is its transactional id.
//!
//! It writes each record's value as it is. Of some rounds, drawn from the seed, it aborts the transaction, behind its
//! records. It prints a line for each transaction: `committed N`, or `aborted WHY`; `waits WHY` where there is none for a
//! while; and goes on until its input ends.

use std::error::Error;
use std::fmt;
use std::io::{self, Read as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ottla::{
    Consumer, ConsumerBuilder, IsolationLevel, ProducerRecord, SendError, TransactionalProducer,
    TransformError,
};

/// Of how many rounds one is aborted.
const ABORTED: u32 = 5;

/// After how long without a transaction it tells what it waits for.
const QUIET: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("fatal {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for on the command line.
struct Asked {
    input: String,
    output: String,
    id: String,
    rng: fastrand::Rng,
    properties: Vec<(String, String)>,
}

impl Asked {
    fn parse() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        let [input, output, id, seed] = std::array::from_fn(|_| arguments.next().unwrap_or_default());
        let pair = |pair: String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let properties = arguments.map(pair).collect::<Option<_>>()?;
        Some(Self { input, output, id, rng: fastrand::Rng::with_seed(seed.parse().ok()?), properties })
    }

    async fn consumer(&self) -> Result<Consumer, Box<dyn Error>> {
        let builder = ConsumerBuilder::from_properties(self.properties.iter().cloned())?;
        let builder = builder.enable_auto_commit(false).isolation_level(IsolationLevel::ReadCommitted);
        Ok(builder.subscribe([self.input.as_str()]).build().await?)
    }

    async fn producer(&self) -> Result<TransactionalProducer, Box<dyn Error>> {
        let servers = self.properties.iter().find(|(key, _)| key == "bootstrap.servers");
        let servers = servers.map(|(_, servers)| servers.as_str()).unwrap_or_default();
        let builder = TransactionalProducer::builder().bootstrap_servers(servers.split(','));
        let builder = builder.transactional_id(&self.id).transaction_timeout(Duration::from_secs(10));
        Ok(builder.build_transactional().await?)
    }
}

#[derive(Debug)]
enum Stop {
    Drawn,
    Send(SendError),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drawn => f.write_str("as drawn"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut asked = Asked::parse().ok_or("usage: transformer INPUT OUTPUT ID SEED KEY=VALUE...")?;
    let ends = Arc::new(AtomicBool::new(false));
    let told = ends.clone();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    let mut consumer = asked.consumer().await?;
    let mut producer = asked.producer().await?;
    let mut told = Instant::now();
    while !ends.load(Ordering::Relaxed) {
        let aborts = asked.rng.u32(0..ABORTED) == 0;
        let output = asked.output.as_str();
        let round =
            producer.transform(&mut consumer, Duration::from_millis(200), async |records, transaction| {
                for record in records {
                    let record =
                        ProducerRecord::to(output).partition(record.partition()).value(record.value());
                    drop(transaction.send(record).await.map_err(Stop::Send)?);
                }
                if aborts { Err(Stop::Drawn) } else { Ok(()) }
            });
        match round.await {
            Ok(0) if told.elapsed() < QUIET => continue,
            Ok(0) => println!("waits {}", consumer.explain().to_string().replace('\n', "; ")),
            Ok(count) => println!("committed {count}"),
            Err(TransformError::Recv(error)) if !error.is_retriable() => return Err(error.into()),
            Err(error) => {
                println!("aborted {}", error.to_string().replace('\n', " "));
                if !producer.is_usable() {
                    drop(producer);
                    producer = asked.producer().await?;
                }
            }
        }
        told = Instant::now();
    }
    consumer.close().await?;
    Ok(producer.close().await?)
}
