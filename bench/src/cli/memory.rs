//! The peak of memory of `ottla consume`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use clap::Args;
use ottla_bench_child::peak_of_children_kib;
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::process;

use super::Ottla;
use crate::lap::WITHIN;
use crate::load::{self, Load};
use crate::stats::median;

const TOPIC: &str = "cli-memory";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ottla: Ottla,
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    #[arg(long, default_value_t = 12)]
    partitions: u32,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let program = options.ottla.program()?;
    let cluster = Cluster::start(Config::new(1))?;
    let &Options { records, partitions, rounds, .. } = options;
    load::fill(
        &cluster.tools(),
        TOPIC,
        Load { partitions, records, size: 100, codec: "none", producer: &[] },
    )?;
    println!("| round | peak of `ottla consume`, MiB |\n|---|---|");
    let mut peaks = Vec::new();
    for round in 1..=rounds {
        let mut child = Command::new(std::env::current_exe()?);
        child.arg("peak").arg(&program).args(["consume", "-b", &cluster.bootstrap(), TOPIC]);
        // It succeeds only when it has printed so many.
        child.args(["--count", &records.to_string()]);
        let kib: u64 = process::run(&child, WITHIN)?.stdout.trim().parse()?;
        let mib = kib as f64 / 1024.0;
        println!("| {round} | {mib:.1} |");
        peaks.push(mib);
    }
    let largest = peaks.iter().copied().fold(f64::NAN, f64::max);
    println!("| median, largest | {:.1}, {largest:.1} |", median(peaks.iter().copied()));
    Ok(())
}

/// Runs a program with its output to /dev/null, and prints its peak in KiB.
///
/// The kernel tells it to whoever waits for a child (`ru_maxrss` of `wait4`), and nothing is missed at its end, when
/// /proc has its status no more. What is told is never less than the peak of the process that started the child: this one
/// is small, and does nothing else.
pub(crate) fn peak(program: &Path, args: &[String]) -> Result<()> {
    let status = Command::new(program).args(args).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{}: {status}", program.display());
    println!("{}", peak_of_children_kib()?);
    Ok(())
}
