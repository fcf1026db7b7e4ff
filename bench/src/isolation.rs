//! What `read_committed` costs over `read_uncommitted`: the same log of transactions, read both ways, one right behind the
//! other.

use anyhow::{Context, Result, ensure};
use clap::Args;
use ottla::{ProducerRecord, TransactionalProducer};
use ottla_bench_child::{Course, Lap, Values};
use ottla_conformance::targets::unique;

use crate::broker::Broker;
use crate::consumer::runtime;
use crate::lap::{self, Client};
use crate::laps::{self, Laps};
use crate::load::Payloads;
use crate::topics::Topics;

/// What the ratio may be, by iterator as by `recv`.
const AIM: f64 = 1.05;
const READERS: [(&str, Client, bool); 4] = [
    ("iterator", Client::Poll, false),
    ("iterator", Client::Poll, true),
    ("recv", Client::Recv, false),
    ("recv", Client::Recv, true),
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 5_000_000)]
    records: u64,
    /// Of each transaction.
    #[arg(long, default_value_t = 1_000)]
    of_each: u64,
    #[arg(long, default_value_t = 100)]
    size: usize,
    #[arg(long, default_value_t = 12)]
    partitions: u32,
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// A Kafka that runs already, in place of one node started for this.
    #[arg(long)]
    bootstrap: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let broker = Broker::of(options.bootstrap.as_deref())?;
    let topic = unique("transactions");
    let topics = Topics::new(&broker.bootstrap)?;
    topics.create(&topic, options.partitions)?;
    fill(&broker.bootstrap, &topic, options)?;
    let ends = topics.ends(&topic, options.partitions)?;
    let uncommitted = Course {
        bootstrap: broker.bootstrap.clone(),
        topic: topic.clone(),
        partitions: options.partitions,
        records: options.records,
        fetch_max_bytes: 50 << 20,
        millis_per_mb: 0,
        authority: None,
        committed: false,
    };
    let committed = Course { committed: true, ..uncommitted.clone() };
    // Brings the log into the page cache.
    let warm = lap::start(Client::Poll, &uncommitted)?;
    let laps = Laps::run(options.rounds, READERS.len(), |round, place| {
        let (name, client, is_committed) = READERS.get(place).copied().context("a reader without a place")?;
        let lap = lap::start(client, if is_committed { &committed } else { &uncommitted })?;
        let name = if is_committed { format!("{name}, committed") } else { name.to_owned() };
        laps::tell(&topic, (round, options.rounds), &name, &lap);
        ensure!(
            (lap.records, lap.bytes) == (warm.records, warm.bytes),
            "{name} read something else: {lap:?}"
        );
        Ok(lap)
    })?;
    topics.delete(&topic)?;
    println!(
        "| reader | uncommitted: CPU µs/record | committed | committed over uncommitted (aim {AIM}) | VmHWM MiB |\n\
         |---|---|---|---|---|"
    );
    for (place, (name, ..)) in READERS.into_iter().enumerate().step_by(2) {
        println!(
            "| {name} | {:.3} | {:.3} | {} | {:.1} |",
            laps.of(place, Lap::micros_per_record),
            laps.of(place + 1, Lap::micros_per_record),
            laps.range(place + 1, place, Lap::micros_per_record),
            laps.peak(place + 1),
        );
    }
    println!("\n- {} records, and {} control records", options.records, ends.saturating_sub(options.records));
    Ok(())
}

/// Transactions one after the other, all of them committed.
fn fill(bootstrap: &str, topic: &str, options: &Options) -> Result<()> {
    eprintln!("filling {topic}: {} records, {} a transaction", options.records, options.of_each);
    let values = Values::read(Payloads::write(options.size)?.path())?;
    runtime()?.block_on(async {
        let mut producer = TransactionalProducer::builder()
            .bootstrap_servers(bootstrap.split(','))
            .transactional_id(topic)
            .build_transactional()
            .await?;
        let mut values = values.cycle(options.records).peekable();
        while values.peek().is_some() {
            let transaction = producer.begin().await?;
            for value in values.by_ref().take(options.of_each as usize) {
                drop(transaction.send(ProducerRecord::to(topic).value(value)).await?);
            }
            transaction.commit().await?;
        }
        Ok(producer.close().await?)
    })
}
