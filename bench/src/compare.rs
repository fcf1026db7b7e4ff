//! The main table: floor, iterator and `recv` in turn, and the other clients if they are asked for; round by round, column
//! by column.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use ottla_bench_child::{Course, Lap, Log};
use ottla_conformance::kafka::{Cluster, Config, Tools};
use ottla_conformance::targets::unique;

use crate::columns::{COLUMNS, Column};
use crate::lap::{self, Client};
use crate::load::{self, Load};
use crate::peers;

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
    /// Beside the other clients, which are built first; that takes minutes, and needs Go and a C compiler.
    #[arg(long)]
    peers: bool,
}

/// Who reads.
enum Reader {
    Own(Client),
    Peer(PathBuf),
}

/// The floor, which the others are measured against, is the first; then Ottla, in the order of the aims.
fn readers(peers: bool) -> Result<Vec<(&'static str, Reader)>> {
    let own = [("floor", Client::Floor), ("iterator", Client::Poll), ("recv", Client::Recv)];
    let mut readers: Vec<_> = own.into_iter().map(|(name, client)| (name, Reader::Own(client))).collect();
    if peers {
        readers.push(("franz-go 1.22", Reader::Peer(peers::franz_go()?)));
        readers.push(("krafka 0.28", Reader::Peer(peers::rust("krafka")?)));
        readers.push(("confluent-kafka 1.0", Reader::Peer(peers::rust("confluent")?)));
        readers.push(("rdkafka 0.39, base", Reader::Peer(peers::rust("rdkafka")?)));
    }
    Ok(readers)
}

/// Floor, iterator and `recv`.
const OWN: usize = 3;

pub(crate) fn run(options: &Options) -> Result<()> {
    let readers = readers(options.peers)?;
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
        "| column | client | CPU µs/record | over the floor (aim) | best peer over this | records/s | VmHWM MiB | fetched/log |\n\
         |---|---|---|---|---|---|---|---|"
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
        let rounds = measure(&course, &readers, options.rounds)?;
        for row in rows(&column, &readers, &rounds) {
            println!("{row}");
        }
        notes.push(note(&column, &rounds));
        notes.extend(verdict(&readers, &rounds));
        tools.delete_topic(&topic)?;
    }
    println!("\n{}", notes.join("\n"));
    Ok(())
}

/// What one column's laps were, and what they read.
struct Rounds {
    log: Log,
    /// Each round's, in the readers' order.
    laps: Vec<Vec<Lap>>,
}

fn measure(course: &Course, readers: &[(&str, Reader)], rounds: usize) -> Result<Rounds> {
    // Brings the log into the page cache, and tells what it is made of.
    let warm = lap::start(Client::Floor, course)?;
    let mut laps = Vec::new();
    for round in 1..=rounds {
        let mut in_turn = Vec::new();
        for (name, reader) in readers {
            let lap = match reader {
                Reader::Own(client) => lap::start(*client, course)?,
                Reader::Peer(program) => lap::start_peer(program, course)?,
            };
            let (micros, load) = (lap.micros_per_record(), load_average());
            eprintln!("{} {round}/{rounds} {name}: {micros:.3} µs/record; load {load}", course.topic);
            ensure!(
                (lap.records, lap.bytes) == (warm.records, warm.bytes),
                "{name} read something else: {lap:?}, not {warm:?}"
            );
            in_turn.push(lap);
        }
        laps.push(in_turn);
    }
    Ok(Rounds { log: warm.log.unwrap_or_default(), laps })
}

impl Rounds {
    /// The median of a figure of one reader.
    fn of(&self, reader: usize, value: impl Fn(&Lap) -> f64) -> f64 {
        median(self.laps.iter().filter_map(|laps| laps.get(reader)).map(value))
    }

    /// The median of the rounds' own ratios to the floor.
    fn over_the_floor(&self, reader: usize) -> f64 {
        let ratio =
            |laps: &Vec<Lap>| Some(laps.get(reader)?.micros_per_record() / laps.first()?.micros_per_record());
        median(self.laps.iter().filter_map(ratio))
    }
}

fn rows(column: &Column, readers: &[(&str, Reader)], rounds: &Rounds) -> Vec<String> {
    let bytes = rounds.log.bytes as f64;
    let best_peer = (OWN..readers.len()).map(|peer| rounds.over_the_floor(peer)).min_by(f64::total_cmp);
    let row = |(index, (name, _)): (usize, &(&str, Reader))| {
        let over = rounds.over_the_floor(index);
        let aim = index.checked_sub(1).and_then(|client| column.aims.get(client));
        let fetched = rounds.of(index, |lap| lap.fetched.map_or(f64::NAN, |bytes| bytes as f64)) / bytes;
        format!(
            "| {} | {name} | {:.3} | {over:.2}{} | {} | {:.0} | {:.0} | {} |",
            column.name,
            rounds.of(index, Lap::micros_per_record),
            aim.map_or(String::new(), |aim| format!(" ({aim})")),
            best_peer.filter(|_| aim.is_some()).map_or("-".to_owned(), |peer| format!("{:.2}", peer / over)),
            rounds.of(index, |lap| lap.records as f64 / lap.seconds),
            rounds.of(index, |lap| lap.vm_hwm_kib as f64 / 1024.0),
            if fetched.is_nan() { "-".to_owned() } else { format!("{fetched:.4}") },
        )
    };
    readers.iter().enumerate().map(row).collect()
}

/// Whether Ottla, by either way to read, took less than the best of the peers.
fn verdict(readers: &[(&str, Reader)], rounds: &Rounds) -> Option<String> {
    let over = |&(index, _): &(usize, &str)| rounds.over_the_floor(index);
    let all: Vec<(usize, &str)> = readers.iter().map(|(name, _)| *name).enumerate().collect();
    let best = *all.get(OWN..)?.iter().min_by(|a, b| over(a).total_cmp(&over(b)))?;
    let own = all.get(1..OWN)?.iter().map(|client| {
        let ahead = if over(client) < over(&best) { "ahead" } else { "**behind**" };
        format!("{} {ahead} ({:.2})", client.1, over(client))
    });
    let own: Vec<String> = own.collect();
    Some(format!("  beside the best peer, {} ({:.2}): {}", best.1, over(&best), own.join(", ")))
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
