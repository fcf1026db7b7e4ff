//! The main table: floor, iterator and `recv` in turn, round by round, column by column.

use std::fs;

use anyhow::{Result, ensure};
use clap::Args;
use ottla_conformance::kafka::{Cluster, Config, Tools};
use ottla_conformance::targets::unique;

use crate::columns::{COLUMNS, Column};
use crate::lap::{self, Client, Course};
use crate::load::{self, Load};
use crate::meter::{Lap, Log};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which columns; all by default.
    #[arg(long, value_delimiter = ',')]
    columns: Vec<Column>,
    /// How often each client reads each topic.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Multiplies the number of records.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// A Kafka that runs already, in place of one node started for this.
    #[arg(long)]
    bootstrap: Option<String>,
}

const CLIENTS: [(Client, &str); 3] =
    [(Client::Floor, "floor"), (Client::Poll, "iterator"), (Client::Recv, "recv")];

pub(crate) fn run(options: &Options) -> Result<()> {
    let (_cluster, tools, bootstrap) = match &options.bootstrap {
        Some(bootstrap) => (None, Tools::new(bootstrap)?, bootstrap.clone()),
        None => {
            let cluster = Cluster::start(Config::new(1))?;
            let (tools, bootstrap) = (cluster.tools(), cluster.bootstrap());
            (Some(cluster), tools, bootstrap)
        }
    };
    let columns = if options.columns.is_empty() { COLUMNS.to_vec() } else { options.columns.clone() };
    println!(
        "| column | client | CPU µs/record | over the floor (aim) | records/s | VmHWM MiB | fetched/log |\n\
         |---|---|---|---|---|---|---|"
    );
    let mut notes = Vec::new();
    for column in columns {
        let records = (column.records as f64 * options.scale) as u64;
        let topic = unique(&format!("bench-{}", column.name));
        let Column { partitions, size, codec, .. } = column;
        load::fill(&tools, &topic, Load { partitions, records, size, codec, producer: &[] })?;
        let course = Course {
            bootstrap: bootstrap.clone(),
            topic: topic.clone(),
            partitions,
            records,
            fetch_max_bytes: 50 << 20,
            millis_per_mb: 0,
        };
        let rounds = measure(&course, options.rounds)?;
        for row in rows(&column, &rounds) {
            println!("{row}");
        }
        notes.push(note(&column, &rounds));
        tools.delete_topic(&topic)?;
    }
    println!("\n{}", notes.join("\n"));
    Ok(())
}

/// What one column's laps were, and what they read.
struct Rounds {
    log: Log,
    laps: Vec<[Lap; 3]>,
}

fn measure(course: &Course, rounds: usize) -> Result<Rounds> {
    // Brings the log into the page cache, and tells what it is made of.
    let warm = lap::start(Client::Floor, course)?;
    let mut laps = Vec::new();
    for round in 1..=rounds {
        let mut in_turn = Vec::new();
        for (client, name) in CLIENTS {
            let lap = lap::start(client, course)?;
            let (micros, load) = (lap.micros_per_record(), load_average());
            eprintln!("{} {round}/{rounds} {name}: {micros:.3} µs/record; load {load}", course.topic);
            ensure!(
                (lap.records, lap.bytes) == (warm.records, warm.bytes),
                "{name} read something else: {lap:?}, not {warm:?}"
            );
            in_turn.push(lap);
        }
        laps.extend(<[Lap; 3]>::try_from(in_turn));
    }
    Ok(Rounds { log: warm.log.unwrap_or_default(), laps })
}

fn rows(column: &Column, rounds: &Rounds) -> Vec<String> {
    let bytes = rounds.log.bytes as f64;
    let row = |(index, (_, name)): (usize, (Client, &str))| {
        let of =
            |value: fn(&Lap) -> f64| median(rounds.laps.iter().filter_map(|laps| laps.get(index)).map(value));
        let ratio = |laps: &[Lap; 3]| {
            let [floor, ..] = laps;
            laps.get(index).map(|lap| lap.micros_per_record() / floor.micros_per_record())
        };
        let over = match index.checked_sub(1).and_then(|client| column.aims.get(client)) {
            Some(aim) => format!("{:.2} ({aim})", median(rounds.laps.iter().filter_map(ratio))),
            None => "1".to_owned(),
        };
        let fetched = of(|lap| lap.fetched.map_or(f64::NAN, |bytes| bytes as f64)) / bytes;
        format!(
            "| {} | {name} | {:.3} | {over} | {:.0} | {:.0} | {} |",
            column.name,
            of(Lap::micros_per_record),
            of(|lap| lap.records as f64 / lap.seconds),
            of(|lap| lap.vm_hwm_kib as f64 / 1024.0),
            if fetched.is_nan() { "-".to_owned() } else { format!("{fetched:.4}") },
        )
    };
    CLIENTS.into_iter().enumerate().map(row).collect()
}

/// What a column's topic held.
fn note(column: &Column, rounds: &Rounds) -> String {
    let Log { bytes, batches, .. } = rounds.log;
    let records = rounds.laps.iter().flatten().map(|lap| lap.records).max().unwrap_or_default();
    let megabytes = bytes as f64 / 1e6;
    format!("- {}: {records} records in {batches} batches, {megabytes:.0} MB in the log", column.name)
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Of the last minute: what else the machine did.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
