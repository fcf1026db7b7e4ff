//! What it costs to write a record: Ottla beside the other clients, each into a topic of its own, round by round.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::Args;
use ottla::{Producer, ProducerRecord};
use ottla_bench_child::{Lap, Meter, Values, Writing};
use ottla_conformance::targets::unique;

use crate::broker::Broker;
use crate::consumer::runtime;
use crate::contender::{Contender, Who};
use crate::laps::{self, Laps};
use crate::load::Payloads;
use crate::stats::median;
use crate::topics::Topics;

const PARTITIONS: u32 = 12;
/// How many times Ottla's CPU the best of the others is to take.
const AIM: f64 = 2.0;
const WHO: [Who; 6] = [Who::Ottla, Who::Rdkafka, Who::FranzGo, Who::Kacrab, Who::Krafka, Who::Java];

#[derive(Debug, Clone, Copy)]
struct Column {
    name: &'static str,
    size: usize,
    codec: &'static str,
    records: u64,
}

const COLUMNS: [Column; 4] = [
    Column { name: "100b", size: 100, codec: "none", records: 5_000_000 },
    Column { name: "100b-lz4", size: 100, codec: "lz4", records: 5_000_000 },
    Column { name: "1k", size: 1_000, codec: "none", records: 1_000_000 },
    Column { name: "1k-lz4", size: 1_000, codec: "lz4", records: 1_000_000 },
];

impl FromStr for Column {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = COLUMNS.map(|column| column.name).join(", ");
        COLUMNS.into_iter().find(|column| column.name == name).ok_or(format!("the columns are {names}"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which columns; all by default.
    #[arg(long, value_delimiter = ',')]
    columns: Vec<Column>,
    /// Which clients; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Who>,
    /// How often each client writes each column.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Multiplies the number of records.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// A Kafka that runs already, in place of one node started for this.
    #[arg(long)]
    bootstrap: Option<String>,
    /// Beside another build of this program, of an older commit, say.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut writers = Contender::all(&WHO, &options.clients, "Write")?;
    if let Some(program) = &options.beside {
        writers.insert(1.min(writers.len()), Contender::before(program)?);
    }
    let broker = Broker::of(options.bootstrap.as_deref())?;
    let topics = Topics::new(&broker.bootstrap)?;
    let columns = if options.columns.is_empty() { COLUMNS.to_vec() } else { options.columns.clone() };
    println!(
        "| column | client | CPU µs/record | over Ottla's | records/s | VmHWM MiB |\n|---|---|---|---|---|---|"
    );
    let mut notes = Vec::new();
    for column in columns {
        let payloads = Payloads::write(column.size)?;
        let writing = Writing {
            bootstrap: broker.bootstrap.clone(),
            topic: String::new(),
            payloads: payloads.path().to_owned(),
            codec: column.codec.to_owned(),
            before: 1,
            records: (column.records as f64 * options.scale) as u64,
        };
        // The broker is warm then, too.
        written(writers.first().context("nobody writes")?, &writing, &topics)?;
        let laps = Laps::run(options.rounds, writers.len(), |round, place| {
            let writer = writers.get(place).context("a writer without a place")?;
            let (lap, beyond) = written(writer, &writing, &topics)?;
            if let Some(beyond) = beyond {
                let (name, all) = (writer.name, writing.records);
                notes.push(format!("- {}: {name} wrote {all} records and {beyond:+}", column.name));
            }
            laps::tell(column.name, (round, options.rounds), writer.name, &lap);
            Ok(lap)
        })?;
        for (place, writer) in writers.iter().enumerate() {
            println!(
                "| {} | {} | {:.3} | {} | {:.0} | {:.0} |",
                column.name,
                writer.name,
                laps.of(place, Lap::micros_per_record),
                laps.range(place, 0, Lap::micros_per_record),
                laps.of(place, |lap| lap.records as f64 / lap.seconds),
                laps.peak(place),
            );
        }
        notes.extend(verdict(column.name, &writers, &laps));
    }
    println!("\n{}", notes.join("\n"));
    Ok(())
}

/// One lap, into a topic of its own. How many records the topic then has beyond what was written, or, below zero, how many
/// it lacks, is told where it is another client's.
fn written(writer: &Contender, writing: &Writing, topics: &Topics) -> Result<(Lap, Option<i64>)> {
    let topic = unique("written");
    topics.create(&topic, PARTITIONS)?;
    let before = if writer.is_warmed() { writing.records } else { writing.before };
    let writing = Writing { topic: topic.clone(), before, ..writing.clone() };
    let lap = writer.lap("lap-write", writing.args())?;
    let (there, all) = (topics.ends(&topic, PARTITIONS)?, before + writing.records);
    ensure!(there == all || writer.is_peer(), "{} wrote {there} records, not {all}", writer.name);
    ensure!(lap.records == writing.records, "{} counted {}", writer.name, lap.records);
    topics.delete(&topic)?;
    let beyond = there as i64 - all as i64;
    Ok((lap, (beyond != 0).then_some(beyond)))
}

/// How many times Ottla's CPU the best of the others took.
fn verdict(column: &str, writers: &[Contender], laps: &Laps) -> Option<String> {
    let over = |place| median(laps.ratios(place, 0, Lap::micros_per_record));
    let peers = writers.iter().enumerate().filter(|(_, writer)| writer.is_peer());
    let (place, best) = peers.min_by(|a, b| over(a.0).total_cmp(&over(b.0)))?;
    let range = laps.range(place, 0, Lap::micros_per_record);
    let verdict = if over(place) >= AIM { "" } else { " **missed**" };
    Some(format!(
        "- {column}: the best peer, {}, took {range} times Ottla's CPU (aim {AIM}){verdict}",
        best.name
    ))
}

/// Ottla's lap, as a user would write it.
pub(crate) fn lap(writing: &Writing) -> Result<Lap> {
    let values = writing.values()?;
    runtime()?.block_on(async {
        let producer = Producer::builder()
            .bootstrap_servers(writing.bootstrap.split(','))
            .properties([("compression.type", writing.codec.as_str())])?
            .build()
            .await?;
        send(&producer, writing, &values, writing.before).await?;
        let mut meter = Meter::new();
        meter.begin()?;
        meter.bytes = send(&producer, writing, &values, writing.records).await?;
        meter.records = writing.records;
        let lap = meter.end()?;
        producer.close().await?;
        Ok(lap)
    })
}

/// Returns when all are acknowledged; how many bytes that were.
async fn send(producer: &Producer, writing: &Writing, values: &Values, count: u64) -> Result<u64> {
    let mut bytes = 0;
    for value in values.cycle(count) {
        drop(producer.send(ProducerRecord::to(&writing.topic).value(value)).await?);
        bytes += value.len() as u64;
    }
    producer.flush().await?;
    Ok(bytes)
}
