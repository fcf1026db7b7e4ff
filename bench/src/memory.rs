//! The peak of memory, from three brokers and twelve partitions, by readers slower than the brokers and by fast ones;
//! and the bytes fetched, as proxies before the brokers count them, over the bytes of the log.

use anyhow::{Context, Result};
use clap::Args;
use ottla_bench_child::Course;
use ottla_conformance::kafka::{Cluster, Config};
use ottla_protocol::ApiKey;

use crate::lap::{self, Client};
use crate::load::{self, Load};

/// `buffer_memory`, the consumer's byte budget, at its default.
const BUDGET: u64 = 64 << 20;
const ALLOWANCE: u64 = 32 << 20;
const BROKERS: u32 = 3;
const PARTITIONS: u32 = 12;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Multiplies the number of records.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How slow the slow readers are.
    #[arg(long, default_value_t = 20)]
    millis_per_mb: u64,
}

/// Batches of the default size, batches as large as a broker takes, and few records that are as large once decompressed.
const LOADS: [(&str, Load<'static>); 4] = [
    ("1 KB, 16 KiB batches", load(1_000, 400_000, "none", &[])),
    ("1 KB zstd, 16 KiB batches", load(1_000, 400_000, "zstd", &[])),
    ("10 KB lz4, 900 KB batches", load(10_000, 40_000, "lz4", &["batch.size=900000", "linger.ms=100"])),
    ("900 KB zstd, a batch each", load(900_000, 600, "zstd", &[])),
];

const fn load(
    size: usize,
    records: u64,
    codec: &'static str,
    producer: &'static [&'static str],
) -> Load<'static> {
    Load { partitions: PARTITIONS, records, size, codec, producer }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let cluster = Cluster::start(Config::new(BROKERS).behind_proxies())?;
    println!(
        "| topic | reader | VmHWM MiB | bound MiB | fetched/log |\n\
         |---|---|---|---|---|"
    );
    for (index, (name, load)) in LOADS.into_iter().enumerate() {
        let topic = format!("memory-{index}");
        let records = (load.records as f64 * options.scale) as u64;
        load::fill(&cluster.tools(), &topic, Load { records, ..load })?;
        let fast = Course {
            bootstrap: cluster.bootstrap(),
            topic,
            partitions: PARTITIONS,
            records,
            fetch_max_bytes: 50 << 20,
            millis_per_mb: 0,
            authority: None,
            committed: false,
        };
        let slow = Course { millis_per_mb: options.millis_per_mb, ..fast.clone() };
        let log = lap::start(Client::Floor, &fast)?.log.context("the floor tells no log")?;
        let largest = u64::from(BROKERS) * log.largest_batch + log.largest_decompressed;
        let bound = BUDGET + largest + ALLOWANCE;
        let readers = [
            (Client::Floor, &fast, "floor"),
            (Client::Poll, &slow, "iterator, slow"),
            (Client::Poll, &fast, "iterator"),
            (Client::Recv, &slow, "recv, slow"),
            (Client::Recv, &fast, "recv"),
        ];
        for (client, course, reader) in readers {
            let before = fetched(&cluster)?;
            let lap = lap::start(client, course)?;
            println!(
                "| {name} | {reader} | {:.1} | {} | {:.4} |",
                lap.vm_hwm_kib as f64 / 1024.0,
                if client == Client::Floor { "-".to_owned() } else { format!("{:.1}", mib(bound)) },
                (fetched(&cluster)? - before) as f64 / log.bytes as f64,
            );
        }
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The bytes of all Fetch responses so far.
fn fetched(cluster: &Cluster) -> Result<u64> {
    let mut bytes = 0;
    for node in cluster.node_ids() {
        let traffic = cluster.proxy(node)?.traffic();
        bytes += traffic.get(&(ApiKey::Fetch as i16)).map_or(0, |fetch| fetch.response_bytes);
    }
    Ok(bytes)
}
