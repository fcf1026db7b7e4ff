//! The whole consuming side: `consume poll|recv RECORDS` reads records of 100 bytes from an embedded broker, which runs
//! in a process of its own (`consume serve RECORDS`), so that only the client is counted. `consume partition|key RECORDS` has a
//! processor handle them, by handlers that are ready at once, in that order.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ottla::{Consumer, OffsetReset, Order, Processor};
use ottla_broker::{Config, Server, TopicSpec};
use tokio::sync::Notify;

use crate::batches::{batches, value};

const TOPIC: &str = "records";
/// Of what is handled by key.
const KEYS: i64 = 1000;
/// Callgrind makes everything fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &[String]) -> Result<()> {
    let [what, records] = args else { bail!("usage: consume serve|poll|recv|partition|key RECORDS") };
    match (what.as_str(), records.parse()?) {
        ("serve", records) => serve(records, 0),
        ("serve-keys", records) => serve(records, KEYS),
        ("poll", records) => consume(records, poll),
        ("recv", records) => consume(records, recv),
        ("partition", records) => process(records, Order::Partition),
        ("key", records) => process(records, Order::Key),
        _ => bail!("serve, poll, recv, partition or key"),
    }
}

/// Serves until standard input ends.
fn serve(records: usize, keys: i64) -> Result<()> {
    let config = Config { topics: vec![TopicSpec::new(TOPIC, 1)], ..Config::default() };
    let server = Server::start_on_thread(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let now = server.now();
    for batch in batches(records, keys, &value()) {
        server.with_cluster(|cluster| cluster.append(TOPIC, 0, &batch, now))?;
    }
    println!("{}", server.bootstrap());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn consume(records: usize, read: impl AsyncFn(&mut Consumer, usize) -> Result<usize>) -> Result<()> {
    let mut broker = Broker::start("serve", records)?;
    let bootstrap = broker.bootstrap()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sum = runtime.block_on(async {
        let mut consumer = Consumer::builder()
            .bootstrap_servers([bootstrap])
            .auto_offset_reset(OffsetReset::Earliest)
            .build()
            .await?;
        consumer.assign([(TOPIC, 0)])?;
        let sum = read(&mut consumer, records).await?;
        consumer.close().await?;
        anyhow::Ok(sum)
    })?;
    println!("{sum}");
    Ok(())
}

fn process(records: usize, order: Order) -> Result<()> {
    let mut broker = Broker::start("serve-keys", records)?;
    let bootstrap = broker.bootstrap()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sum, left, all) =
        (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(records), Arc::new(Notify::new()));
    let (summed, told) = (sum.clone(), all.clone());
    runtime.block_on(async {
        let consumer = Consumer::builder()
            .bootstrap_servers([bootstrap])
            .group_id("instructions")
            .auto_offset_reset(OffsetReset::Earliest)
            .subscribe([TOPIC]);
        let handled = Processor::new(consumer).order(order).each_message(move |message| {
            let length = message.key().map_or(0, <[u8]>::len) + message.value().map_or(0, <[u8]>::len);
            summed.fetch_add(length, Ordering::Relaxed);
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                told.notify_one();
            }
            async { Ok::<_, Infallible>(()) }
        });
        handled.run_until(all.notified()).await
    })?;
    println!("{}", sum.load(Ordering::Relaxed));
    Ok(())
}

async fn poll(consumer: &mut Consumer, records: usize) -> Result<usize> {
    let (mut count, mut sum) = (0, 0);
    while count < records {
        let polled = consumer.poll(PATIENCE).await?;
        for record in &polled {
            sum += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
        }
        count += polled.len();
    }
    Ok(sum)
}

async fn recv(consumer: &mut Consumer, records: usize) -> Result<usize> {
    let mut sum = 0;
    for _ in 0..records {
        let Some(record) = consumer.recv().await? else { bail!("closed") };
        sum += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
    }
    Ok(sum)
}

/// The process that serves; it ends when its input does, that is: with this one at the latest.
struct Broker(Child);

impl Broker {
    fn start(serve_what: &str, records: usize) -> Result<Self> {
        let mut serve = Command::new(std::env::current_exe()?);
        serve
            .args(["consume", serve_what, &records.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Ok(Self(serve.spawn()?))
    }

    fn bootstrap(&mut self) -> Result<String> {
        let stdout = self.0.stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It has nothing to tell.
        let _ = self.0.wait();
    }
}
