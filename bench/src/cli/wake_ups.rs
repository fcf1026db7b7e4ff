//! How often the producer's driver goes to sleep and is woken while `ottla produce` sends short lines, for each batch. The
//! broker is an embedded one in another process, whose own threads are not counted.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use ottla_bench_child::Course;
use ottla_conformance::process::Process;
use ottla_conformance::wait::until_some;

use super::Ottla;
use crate::lap::{self, Client, WITHIN};
use crate::stats::median;

const TOPIC: &str = "lines";
const DRIVER: &str = "ottla-producer";
const COUNTER: &str = "voluntary_ctxt_switches:";
const START_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ottla: Ottla,
    /// Lines of six digits.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=900_000))]
    lines: u64,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let program = options.ottla.program()?;
    println!("| round | batches | driver's wake-ups | for each batch |\n|---|---|---|---|");
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let mut broker = Command::new(&program);
        broker.args(["broker", "--listen", "127.0.0.1:0", "--topic", &format!("{TOPIC}:1")]);
        let broker = Process::spawn(&broker)?;
        let ready = until_some(START_WITHIN, "an embedded broker", || broker.lines().into_iter().next())?;
        let bootstrap = ready.strip_prefix("ready ").with_context(|| ready.clone())?;
        let mut produce = Command::new(&program);
        produce.args(["produce", "-b", bootstrap, TOPIC]);
        let (batches, wake_ups) = produced(&produce, bootstrap, options.lines)?;
        let each = wake_ups as f64 / batches as f64;
        println!("| {round} | {batches} | {wake_ups} | {each:.1} |");
        rounds.push((batches as f64, wake_ups as f64, each));
    }
    let of = |pick: fn(&(f64, f64, f64)) -> f64| median(rounds.iter().map(pick));
    println!("| median | {} | {} | {:.1} |", of(|round| round.0), of(|round| round.1), of(|round| round.2));
    Ok(())
}

/// In how many batches the lines came to the broker, and how often the driver was woken from the first line's arrival
/// to the last's.
fn produced(produce: &Command, bootstrap: &str, lines: u64) -> Result<(u64, u64)> {
    let mut produce = Process::spawn_with_input(produce)?;
    // Connections, metadata and the producer's id are there when a line has arrived.
    produce.write(b"first\n")?;
    let (batches_before, wake_ups_before) = (batches(bootstrap, 1)?, wake_ups(produce.id())?);
    let mut text = String::new();
    for number in 100_000..100_000 + lines {
        writeln!(text, "{number}")?;
    }
    produce.write(text.as_bytes())?;
    let batches = batches(bootstrap, 1 + lines)? - batches_before;
    // Before its input ends, as its threads end with that.
    let wake_ups = wake_ups(produce.id())? - wake_ups_before;
    produce.close_input();
    produce.finish(WITHIN)?;
    Ok((batches, wake_ups))
}

/// Waits for so many records, and tells in how many batches they are.
fn batches(bootstrap: &str, records: u64) -> Result<u64> {
    let (bootstrap, topic) = (bootstrap.to_owned(), TOPIC.to_owned());
    let course = Course {
        bootstrap,
        topic,
        partitions: 1,
        records,
        fetch_max_bytes: 50 << 20,
        millis_per_mb: 0,
        authority: None,
        committed: false,
    };
    let lap = lap::start(Client::Floor, &course)?;
    ensure!(lap.records == records, "{} records, not {records}", lap.records);
    Ok(lap.log.context("the floor tells no log")?.batches)
}

/// How often the driver of this process has gone to sleep so far.
fn wake_ups(process: u32) -> Result<u64> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.path();
        if fs::read_to_string(thread.join("comm"))?.trim_end() == DRIVER {
            let status = fs::read_to_string(thread.join("status"))?;
            let counter = status.lines().find_map(|line| line.strip_prefix(COUNTER));
            return Ok(counter.context("no counter of context switches")?.trim().parse()?);
        }
    }
    anyhow::bail!("process {process} has no thread {DRIVER}")
}
