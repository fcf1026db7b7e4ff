//! Exactly once: records read, sent on, and committed with how far was read, by Ottla beside Java and librdkafka.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use ottla::{Consumer, IsolationLevel, OffsetReset, ProducerRecord, SendError, TransactionalProducer};
use ottla_bench_child::{Lap, Meter, Transforming};
use ottla_conformance::targets::unique;

use crate::broker::Broker;
use crate::consumer::runtime;
use crate::contender::{Contender, Who};
use crate::laps::{self, Laps};
use crate::load::{self, Load};
use crate::stats::median;
use crate::topics::Topics;

/// How many times Ottla's CPU the better of the others is to take.
const AIM: f64 = 2.0;
const WHO: [Who; 3] = [Who::Ottla, Who::Rdkafka, Who::Java];

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// At most, of each transaction.
    #[arg(long, default_value_t = 1_000)]
    of_each: u64,
    #[arg(long, default_value_t = 100)]
    size: usize,
    #[arg(long, default_value_t = 12)]
    partitions: u32,
    /// Which clients; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Who>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Kafka that runs already, in place of one node started for this.
    #[arg(long)]
    bootstrap: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let contenders = Contender::all(&WHO, &options.clients, "Transform")?;
    let broker = Broker::of(options.bootstrap.as_deref())?;
    let topics = Topics::new(&broker.bootstrap)?;
    let from = unique("numbers");
    let &Options { records, of_each, size, partitions, rounds, .. } = options;
    load::fill(&broker.tools, &from, Load { partitions, records, size, codec: "none", producer: &[] })?;
    let lap = |contender: &Contender| {
        let to = unique("transformed");
        topics.create(&to, partitions)?;
        let before = u64::from(contender.is_warmed());
        let (bootstrap, from) = (broker.bootstrap.clone(), from.clone());
        let transforming =
            Transforming { bootstrap, from, to: to.clone(), name: to.clone(), of_each, before, records };
        let lap = contender.lap("lap-transform", transforming.args())?;
        let (there, all) = (topics.committed(&to, partitions)?, (1 + before) * records);
        ensure!(there == all, "{} committed {there} records, not {all}", contender.name);
        topics.delete(&to)?;
        Ok(lap)
    };
    // The broker is warm then, too, and the topics of offsets and transactions are there.
    lap(contenders.first().context("nobody transforms")?)?;
    let laps = Laps::run(rounds, contenders.len(), |round, place| {
        let contender = contenders.get(place).context("a contender without a place")?;
        let lap = lap(contender)?;
        laps::tell(&from, (round, rounds), contender.name, &lap);
        Ok(lap)
    })?;
    topics.delete(&from)?;
    println!(
        "| client | CPU µs/record | over Ottla's | records per CPU second | records/s | over Ottla's | records/transaction | VmHWM MiB |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for (place, contender) in contenders.iter().enumerate() {
        println!(
            "| {} | {:.3} | {} | {:.0} | {:.0} | {} | {:.0} | {:.0} |",
            contender.name,
            laps.of(place, Lap::micros_per_record),
            laps.range(place, 0, Lap::micros_per_record),
            1e6 / laps.of(place, Lap::micros_per_record),
            laps.of(place, per_second),
            laps.range(place, 0, per_second),
            laps.of(place, |lap| lap.records as f64 / lap.transactions.unwrap_or_default() as f64),
            laps.peak(place),
        );
    }
    println!("\n{}", verdict(&contenders, &laps).join("\n"));
    Ok(())
}

fn per_second(lap: &Lap) -> f64 {
    lap.records as f64 / lap.seconds
}

/// How each of the others stands to Ottla.
fn verdict(contenders: &[Contender], laps: &Laps) -> Vec<String> {
    let peers = contenders.iter().enumerate().filter(|(_, contender)| contender.is_peer());
    let line = |(place, peer): (usize, &Contender)| {
        let cpu = median(laps.ratios(place, 0, Lap::micros_per_record));
        let speed = median(laps.ratios(place, 0, per_second));
        let missed = |is_met| if is_met { "" } else { " **missed**" };
        format!(
            "- {}: {cpu:.2} times Ottla's CPU (aim {AIM}){}; {speed:.2} of its throughput (aim at most 1){}",
            peer.name,
            missed(cpu >= AIM),
            missed(speed <= 1.0)
        )
    };
    peers.map(line).collect()
}

/// Ottla's lap, as a user would write it. It is warm from the start.
pub(crate) fn lap(transforming: &Transforming) -> Result<Lap> {
    let Transforming { bootstrap, from, to, name, .. } = transforming;
    runtime()?.block_on(async {
        let mut consumer = Consumer::builder()
            .bootstrap_servers(bootstrap.split(','))
            .group_id(name)
            .enable_auto_commit(false)
            .auto_offset_reset(OffsetReset::Earliest)
            .isolation_level(IsolationLevel::ReadCommitted)
            .max_poll_records(transforming.of_each as usize)
            .subscribe([from])
            .build()
            .await?;
        let mut producer = TransactionalProducer::builder()
            .bootstrap_servers(bootstrap.split(','))
            .transactional_id(name)
            .build_transactional()
            .await?;
        let (mut meter, mut transactions) = (Meter::new(), 0);
        while meter.records < transforming.records {
            let meter = &mut meter;
            let round =
                producer.transform(&mut consumer, Duration::from_secs(1), async |records, transaction| {
                    // The clock runs from the first records on; it cannot fail.
                    let _ = meter.begin();
                    for record in records {
                        meter.add(record.key(), record.value());
                        let record = ProducerRecord::to(to).key(record.key()).value(record.value());
                        drop(transaction.send(record).await?);
                    }
                    Ok::<_, SendError>(())
                });
            transactions += u64::from(round.await? > 0);
        }
        let lap = Lap { transactions: Some(transactions), ..meter.end()? };
        producer.close().await?;
        consumer.close().await?;
        Ok(lap)
    })
}
