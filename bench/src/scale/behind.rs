//! A group that is very many records behind: what it is told of that, and how it catches up.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ottla::{Compression, Consumer, OffsetReset, Producer, ProducerRecord};
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::targets::unique;

use super::Options;
use crate::consumer::runtime;
use crate::topics::Topics;

const PARTITIONS: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(5);
/// So often the lag is looked at on the way.
const LOOKS: u64 = 10;

pub(super) fn run(options: &Options) -> Result<()> {
    let records = options.records;
    let cluster = Cluster::start(Config::new(1).optimized())?;
    let (bootstrap, topic) = (cluster.bootstrap(), unique("behind"));
    let topics = Topics::new(&bootstrap)?;
    topics.create(&topic, PARTITIONS)?;
    let began = Instant::now();
    fill(&bootstrap, &topic, records)?;
    println!("{records} records of a byte, lz4: written in {:.1} s", began.elapsed().as_secs_f64());
    ensure!(topics.ends(&topic, PARTITIONS)? == records, "the log has other records");
    runtime()?.block_on(async {
        let mut consumer = Consumer::builder()
            .bootstrap_servers(bootstrap.split(','))
            .group_id(&topic)
            .auto_offset_reset(OffsetReset::Earliest)
            .build()
            .await?;
        consumer.subscribe([&topic])?;
        let (mut began, mut read, mut next) = (Instant::now(), 0, 0);
        while read < records {
            let count = consumer.poll(PATIENCE).await?.len() as u64;
            ensure!(count > 0, "nothing came for {PATIENCE:?}; {read} of {records} were read");
            if read == 0 {
                println!("first records after {:.0} ms", began.elapsed().as_secs_f64() * 1_000.0);
                began = Instant::now();
            }
            read += count;
            if read >= next {
                let lag = consumer.lag();
                let known = lag.values().flatten().sum::<i64>();
                println!("read {read}, lag of {} partitions {known}", lag.values().flatten().count());
                let is_all = lag.values().all(Option::is_some);
                ensure!(!is_all || known as u64 == records - read, "the lag is not what is left");
                next += records / LOOKS;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("read in {seconds:.1} s, {:.0} a second", records as f64 / seconds);
        consumer.close().await?;
        Ok::<_, anyhow::Error>(())
    })?;
    ensure!(topics.committed_by(&topic)? == records, "the group has committed something else");
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    println!("producer, consumer and bench in one process: {}", peak.unwrap_or_default());
    Ok(())
}

fn fill(bootstrap: &str, topic: &str, records: u64) -> Result<()> {
    runtime()?.block_on(async {
        let producer = Producer::builder()
            .bootstrap_servers(bootstrap.split(','))
            .compression(Compression::Lz4)
            .linger(Duration::from_millis(5))
            .batch_size(256 << 10)
            .build()
            .await?;
        for _ in 0..records {
            drop(producer.send(ProducerRecord::to(topic).value(b"x")).await?);
        }
        producer.flush().await?;
        Ok(producer.close().await?)
    })
}
