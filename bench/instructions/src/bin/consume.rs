//! The whole consuming side: `consume poll|recv RECORDS` reads records of 100 bytes from an embedded broker, which runs
//! in a process of its own (`consume serve RECORDS`), so that only the client is counted.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ottla::{Consumer, OffsetReset};
use ottla_broker::{Config, Server, TopicSpec};
use ottla_instructions::{batches, value};

const TOPIC: &str = "records";
/// Callgrind makes everything fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, records] = &args[..] else { bail!("usage: consume serve|poll|recv RECORDS") };
    match (what.as_str(), records.parse()?) {
        ("serve", records) => serve(records),
        ("poll", records) => consume(records, poll),
        ("recv", records) => consume(records, recv),
        _ => bail!("serve, poll or recv"),
    }
}

/// Serves until standard input ends.
fn serve(records: usize) -> Result<()> {
    let config = Config { topics: vec![TopicSpec::new(TOPIC, 1)], ..Config::default() };
    let server = Server::start_on_thread(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let now = server.now();
    for batch in batches(records, &value()) {
        server.with_cluster(|cluster| cluster.append(TOPIC, 0, &batch, now))?;
    }
    println!("{}", server.bootstrap());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn consume(records: usize, read: impl AsyncFn(&mut Consumer, usize) -> Result<usize>) -> Result<()> {
    let mut broker = Broker::start(records)?;
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
    fn start(records: usize) -> Result<Self> {
        let mut serve = Command::new(std::env::current_exe()?);
        serve.args(["serve", &records.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
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
