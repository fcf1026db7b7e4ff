//! Several readers of one consumer: how much sooner a compressed log is drained that is already fetched, so that nothing is left but to
//! decompress and walk it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;
use ottla::{Consumer, OffsetReset, Reader};
use ottla_conformance::kafka::{Cluster, Config};

use crate::consumer::runtime;
use crate::load::{self, Load};
use crate::stats::median;

/// What the second reader is to bring.
const AIM: f64 = 1.7;
/// Above all that is fetched.
const BUDGET: usize = 1 << 30;
/// The most bytes a second of a consumer that has fetched all: of fetches that find nothing.
const AT_REST: u64 = 1 << 16;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 4_000_000)]
    records: u64,
    #[arg(long, default_value_t = 12)]
    partitions: u32,
    #[arg(long, default_value_t = 100)]
    size: usize,
    #[arg(long, default_value = "zstd")]
    codec: String,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cluster = Cluster::start(Config::new(1))?;
    let &Options { records, partitions, size, .. } = options;
    let load = Load { partitions, records, size, codec: &options.codec, producer: &[] };
    load::fill(&cluster.tools(), "drain", load)?;
    println!("| readers | s, of {records} records | over one |\n|---|---|---|");
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        // In turn, so that what else the machine does hits both.
        let one = drain(&cluster.bootstrap(), options, 1)?;
        let two = drain(&cluster.bootstrap(), options, 2)?;
        eprintln!("{}/{}: one {one:.3?}, two {two:.3?}", round + 1, options.rounds);
        rounds.push([one.as_secs_f64(), two.as_secs_f64()]);
    }
    let times = median(rounds.iter().map(|[one, two]| one / two));
    let missed = if times < AIM { " **missed**" } else { "" };
    println!("| 1 | {:.3} | 1 |", median(rounds.iter().map(|[one, _]| *one)));
    println!("| 2 | {:.3} | {times:.2} (aim {AIM}){missed} |", median(rounds.iter().map(|[_, two]| *two)));
    Ok(())
}

/// The time that so many readers, each on a thread of its own, take for what is already fetched.
fn drain(bootstrap: &str, options: &Options, readers: usize) -> Result<Duration> {
    let runtime = runtime()?;
    let mut consumer = runtime.block_on(
        Consumer::builder()
            .bootstrap_servers([bootstrap])
            .auto_offset_reset(OffsetReset::Earliest)
            .buffer_memory(BUDGET)
            .max_partition_fetch_bytes(1 << 26)
            .fetch_max_bytes(1 << 28)
            .build(),
    )?;
    consumer.assign((0..options.partitions as i32).map(|partition| ("drain", partition)))?;
    runtime.block_on(async {
        let mut before = 0;
        while before == 0 || consumer.fetched_bytes() - before > AT_REST {
            before = consumer.fetched_bytes();
            // A call in which nothing is taken: without one, nothing is fetched.
            let nothing: [(&str, i32); 0] = [];
            consumer.poll(Duration::from_secs(1)).partitions(nothing).await?;
        }
        anyhow::Ok(())
    })?;
    let before = consumer.fetched_bytes();
    let left = AtomicU64::new(options.records);
    let more: Vec<Reader> = (1..readers).map(|_| consumer.reader()).collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        let beside: Vec<_> = more.into_iter().map(|reader| scope.spawn(|| read(reader, &left))).collect();
        let mut own = consumer.reader();
        runtime.block_on(take(&mut own, &left))?;
        beside
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a reader panicked")))
    })?;
    let took = begun.elapsed();
    let meanwhile = consumer.fetched_bytes() - before;
    ensure!(meanwhile * 100 < before, "{meanwhile} of {before} bytes were fetched while it was drained");
    runtime.block_on(consumer.close())?;
    Ok(took)
}

fn read(mut reader: Reader, left: &AtomicU64) -> Result<()> {
    runtime()?.block_on(take(&mut reader, left))
}

/// Takes records until none is left, and looks at each.
async fn take(reader: &mut Reader, left: &AtomicU64) -> Result<()> {
    while left.load(Ordering::Relaxed) > 0 {
        let records = reader.poll(Duration::from_millis(20)).await?;
        let bytes: usize = records.iter().filter_map(|record| record.value()).map(<[u8]>::len).sum();
        std::hint::black_box(bytes);
        left.fetch_sub(records.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}
