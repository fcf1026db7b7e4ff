//! Records handled, and committed when they are done: throughput and CPU against the time of a handler, by Ottla beside
//! Confluent's parallel-consumer and kafkajs.

pub(crate) mod lap;

use std::collections::{BTreeMap, btree_map::Entry};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use ottla_bench_child::{ByWhat, Lap, Processing};
use ottla_conformance::targets::unique;

use crate::broker::Broker;
use crate::contender::{Contender, Who};
use crate::laps::{self, Laps};
use crate::load;
use crate::topics::Topics;

const PARTITIONS: u32 = 12;
const SIZE: usize = 100;
const MOST: u64 = 1_000_000;
/// So long a cell would take at least that has nothing but its handlers' waits.
const SECONDS: f64 = 10.0;
/// What a timer of Node's counts in, so that shorter waits take no longer there than this.
const TICK: f64 = 1e-3;
/// How much of what its handlers allow a processor is to reach, where one core can carry it.
const AIM: f64 = 0.9;
/// How many times Ottla's CPU parallel-consumer is to take.
const TIMES: f64 = 10.0;
const WHO: [Who; 3] = [Who::Ottla, Who::ParallelConsumer, Who::Kafkajs];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long a handler waits, in microseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100, 1_000, 10_000])]
    waits: Vec<u64>,
    /// How many handlers at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1_024])]
    concurrency: Vec<u64>,
    /// By what records are in order; both by default.
    #[arg(long, value_delimiter = ',')]
    orders: Vec<ByWhat>,
    /// Which processors; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Who>,
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Multiplies the number of records.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// A Kafka that runs already, in place of one node started for this.
    #[arg(long)]
    bootstrap: Option<String>,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
struct Cell {
    order: ByWhat,
    wait_micros: u64,
    concurrency: u64,
}

impl Cell {
    /// How many handlers can be at work at once.
    fn width(self) -> u64 {
        match self.order {
            ByWhat::Partition => self.concurrency.min(u64::from(PARTITIONS)),
            ByWhat::Key => self.concurrency,
        }
    }

    fn records(self, scale: f64) -> u64 {
        let all = match self.wait_micros {
            0 => MOST,
            wait => (self.width() as f64 * SECONDS / (wait as f64 / 1e6).max(TICK)).min(MOST as f64) as u64,
        };
        ((all as f64 * scale) as u64).max(u64::from(PARTITIONS))
    }

    fn name(self) -> String {
        let wait = Duration::from_micros(self.wait_micros);
        format!("{}, {wait:?}, {}", self.order.name(), self.concurrency)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let contenders = Contender::all(&WHO, &options.clients, "Process")?;
    let broker = Broker::of(options.bootstrap.as_deref())?;
    let topics = Topics::new(&broker.bootstrap)?;
    let mut logs = BTreeMap::new();
    println!(
        "| order | wait ms | concurrency | client | CPU µs/record | over Ottla's | records/s | handler ms | of what handlers allow | VmHWM MiB |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    let mut notes = Vec::new();
    for cell in cells(options) {
        let records = cell.records(options.scale);
        if let Entry::Vacant(log) = logs.entry(records) {
            let topic = unique("handled");
            load::fill_with_keys(&topics, &topic, PARTITIONS, records, SIZE)?;
            log.insert(topic);
        }
        let topic = logs.get(&records).context("a log")?;
        let contenders: Vec<&Contender> = contenders.iter().filter(|it| it.keeps(cell.order)).collect();
        let laps = Laps::run(options.rounds, contenders.len(), |round, place| {
            let contender = contenders.get(place).context("a contender without a place")?;
            let processing = Processing {
                bootstrap: broker.bootstrap.clone(),
                topic: topic.clone(),
                group: unique("handlers"),
                order: cell.order,
                concurrency: cell.concurrency,
                wait_micros: cell.wait_micros,
                before: u64::from(contender.is_warmed()),
                records,
            };
            let (lap, left) = handled(contender, &processing, &topics)?;
            notes.extend(left.map(|left| format!("- {}: {left}", cell.name())));
            laps::tell(&cell.name(), (round, options.rounds), contender.name, &lap);
            Ok(lap)
        })?;
        for (place, contender) in contenders.iter().enumerate() {
            println!("{}", row(cell, contender, place, &laps));
        }
        notes.extend(verdict(cell, &contenders, &laps));
    }
    println!("\n{}", notes.join("\n"));
    Ok(())
}

fn cells(options: &Options) -> Vec<Cell> {
    let both = [ByWhat::Partition, ByWhat::Key];
    let orders = both.into_iter().filter(|it| options.orders.is_empty() || options.orders.contains(it));
    let mut cells = Vec::new();
    for order in orders {
        for &wait_micros in &options.waits {
            cells.extend(options.concurrency.iter().map(|&concurrency| Cell {
                order,
                wait_micros,
                concurrency,
            }));
        }
    }
    cells
}

/// One lap, in groups of its own, the last of which has to have committed the log's end. Of another client it is told where it has not.
fn handled(contender: &Contender, processing: &Processing, topics: &Topics) -> Result<(Lap, Option<String>)> {
    let lap = contender.lap("lap-process", processing.args())?;
    let (ends, committed) =
        (topics.ends(&processing.topic, PARTITIONS)?, topics.committed_by(&processing.group)?);
    ensure!(ends == processing.records, "the log ends at {ends}");
    let left = (committed != ends).then(|| format!("{} committed {committed} of {ends}", contender.name));
    ensure!(lap.records == ends, "{} handled {} of {ends}", contender.name, lap.records);
    if let Some(left) = left.as_deref().filter(|_| contender.who == Who::Ottla) {
        bail!("{left}");
    }
    Ok((lap, left))
}

fn per_second(lap: &Lap) -> f64 {
    lap.records as f64 / lap.seconds
}

fn handling(lap: &Lap) -> f64 {
    lap.handling_micros.unwrap_or_default()
}

/// Throughput over the number of handlers that can be at work over the time that they took: no processor can pass 1.
fn reached(cell: Cell, lap: &Lap) -> f64 {
    per_second(lap) * handling(lap) / 1e6 / cell.width() as f64
}

fn row(cell: Cell, contender: &Contender, place: usize, laps: &Laps) -> String {
    let waits = cell.wait_micros > 0;
    let told = |text: String| if waits { text } else { "-".to_owned() };
    format!(
        "| {} | {} | {} | {} | {:.3} | {} | {:.0} | {} | {} | {:.0} |",
        cell.order.name(),
        cell.wait_micros as f64 / 1e3,
        cell.concurrency,
        contender.name,
        laps.of(place, Lap::micros_per_record),
        laps.range(place, 0, Lap::micros_per_record),
        laps.of(place, per_second),
        told(format!("{:.2}", laps.of(place, handling) / 1e3)),
        told(format!("{:.2}", laps.of(place, |lap| reached(cell, lap)))),
        laps.peak(place),
    )
}

/// How Ottla stands to its aims.
fn verdict(cell: Cell, contenders: &[&Contender], laps: &Laps) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |what: String, is_met: bool| {
        let missed = if is_met { "" } else { " **missed**" };
        notes.push(format!("- {}: {what}{missed}", cell.name()));
    };
    if contenders.first().is_none_or(|first| first.is_peer()) {
        return notes;
    }
    let micros = laps.of(0, Lap::micros_per_record);
    if cell.wait_micros == 0 {
        let aim = if cell.order == ByWhat::Partition { 1.0 } else { 2.0 };
        note(format!("{micros:.3} µs of CPU a record (aim {aim})"), micros < aim);
    } else {
        let reached = laps.of(0, |lap| reached(cell, lap));
        // How much of a core it would take to keep all handlers at work.
        let core = micros * cell.width() as f64 / laps.of(0, handling);
        if core < 1.0 {
            note(format!("{reached:.2} of what handlers allow (aim {AIM})"), reached >= AIM);
        }
    }
    let such = contenders.iter().position(|it| it.who == Who::ParallelConsumer);
    if let Some(place) = such {
        let times = laps.of(place, Lap::micros_per_record) / micros;
        note(format!("parallel-consumer took {times:.1} times Ottla's CPU (aim {TIMES})"), times >= TIMES);
    }
    notes
}
