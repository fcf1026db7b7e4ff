//! Whether fetching goes on while the user works: a proxy delays each Fetch response, the reader sleeps for each MB, and
//! the two should take no longer than the longer of them alone.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ottla_bench_child::{Course, Lap};
use ottla_conformance::kafka::{Cluster, Config};
use ottla_protocol::ApiKey;

use crate::lap::{self, Client, Work};
use crate::load::{self, Load};
use crate::stats::median;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 600_000)]
    records: u64,
    #[arg(long, default_value_t = 12)]
    partitions: u32,
    /// How much later each Fetch response arrives.
    #[arg(long, default_value_t = 20)]
    delay_millis: u64,
    /// Work for each MB.
    #[arg(long, default_value_t = 20)]
    millis_per_mb: u64,
    #[arg(long, default_value_t = 1 << 20)]
    fetch_max_bytes: i32,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cluster = Cluster::start(Config::new(1).behind_proxies())?;
    let &Options { records, partitions, millis_per_mb, fetch_max_bytes, .. } = options;
    let load = Load { partitions, records, size: 100, codec: "none", producer: &[] };
    load::fill(&cluster.tools(), "overlap", load)?;
    cluster.proxy(1)?.delay(Some(ApiKey::Fetch as i16), Duration::from_millis(options.delay_millis));
    let topic = "overlap".to_owned();
    let both = Course {
        bootstrap: cluster.bootstrap(),
        topic,
        partitions,
        records,
        fetch_max_bytes,
        millis_per_mb,
        authority: None,
        committed: false,
    };
    let fetch_only = Course { millis_per_mb: 0, ..both.clone() };
    println!(
        "| client | fetch alone s | work alone s | both s | over the longer (aim 1.15) |\n|---|---|---|---|---|"
    );
    for (client, name) in [(Client::Poll, "iterator"), (Client::Recv, "recv")] {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let fetch = lap::start(client, &fetch_only)?;
            let work = work_alone(&fetch, millis_per_mb);
            rounds.push([fetch.seconds_of_all, work, lap::start(client, &both)?.seconds_of_all]);
        }
        let of = |pick: fn(&[f64; 3]) -> f64| median(rounds.iter().map(pick));
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.3} |",
            of(|[fetch, _, _]| *fetch),
            of(|[_, work, _]| *work),
            of(|[_, _, both]| *both),
            of(|[fetch, work, both]| both / fetch.max(*work)),
        );
    }
    Ok(())
}

/// The work of a lap, with nothing else going on; in seconds.
fn work_alone(lap: &Lap, millis_per_mb: u64) -> f64 {
    let start = std::time::Instant::now();
    Work::new(millis_per_mb).up_to(lap.bytes);
    start.elapsed().as_secs_f64()
}
