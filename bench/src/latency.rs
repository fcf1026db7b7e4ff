//! How late records come: one producer writes at a steady pace all the time, and one reader after the other measures, for
//! each record, how long ago it was sent.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use ottla_bench_child::{Course, Lap, Watch};
use ottla_conformance::process::Process;
use ottla_conformance::targets::unique;

use crate::broker::Broker;
use crate::contender::{Contender, Who};
use crate::laps::{self, Laps};
use crate::peers;
use crate::topics::Topics;

const END_WITHIN: Duration = Duration::from_secs(60);
const WHO: [Who; 7] =
    [Who::OttlaRecv, Who::OttlaPoll, Who::Rdkafka, Who::FranzGo, Who::Kacrab, Who::Krafka, Who::Java];
const SHARES: [f64; 3] = [0.5, 0.99, 0.999];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// That each reader measures in a round.
    #[arg(long, default_value_t = 20_000)]
    records: u64,
    /// That each reads before, so that connections stand and a JVM is warm.
    #[arg(long, default_value_t = 10_000)]
    before: u64,
    #[arg(long, default_value_t = 1_000)]
    per_second: u64,
    #[arg(long, default_value_t = 12)]
    partitions: u32,
    /// Which clients; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Who>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Kafka that runs already, in place of one node started for this.
    #[arg(long)]
    bootstrap: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let readers = Contender::all(&WHO, &options.clients, "Latency")?;
    let mut producer = Command::new(peers::rust("rdkafka")?);
    let broker = Broker::of(options.bootstrap.as_deref())?;
    let topics = Topics::new(&broker.bootstrap)?;
    let &Options { records, before, per_second, partitions, rounds, .. } = options;
    let topic = unique("pulse");
    topics.create(&topic, partitions)?;
    producer.args(["pulse", "--bootstrap", &broker.bootstrap, "--topic", &topic]);
    producer.args(["--partitions", &partitions.to_string(), "--per-second", &per_second.to_string()]);
    let mut producer = Process::spawn_with_input(&producer)?;
    producer.write(b"begin\n")?;
    let course = Course {
        bootstrap: broker.bootstrap.clone(),
        topic: topic.clone(),
        partitions,
        records,
        fetch_max_bytes: 50 << 20,
        millis_per_mb: 0,
        authority: None,
        committed: false,
    };
    let watch = Watch { course, before };
    // The broker is warm then, and the producer has no backlog from when it was not.
    readers.first().context("nobody reads")?.lap("lap-latency", watch.args())?;
    let laps = Laps::run(rounds, readers.len(), |round, place| {
        let reader = readers.get(place).context("a reader without a place")?;
        let mut lap = reader.lap("lap-latency", watch.args())?;
        ensure!(producer.is_running(), "the producer ended: {}", producer.stderr());
        lap.delays.sort_unstable();
        laps::tell(&topic, (round, rounds), reader.name, &lap);
        Ok(lap)
    })?;
    producer.write(b"end\n")?;
    producer.finish(END_WITHIN)?;
    topics.delete(&topic)?;
    println!("| reader | p50 ms | p99 ms | p99.9 ms | CPU µs/record |\n|---|---|---|---|---|");
    for (place, reader) in readers.iter().enumerate() {
        let [median, most, nearly_all] = SHARES.map(|share| laps.of(place, |lap| below(lap, share)));
        let micros = laps.of(place, Lap::micros_per_record);
        println!("| {} | {median:.3} | {most:.3} | {nearly_all:.3} | {micros:.0} |", reader.name);
    }
    Ok(())
}

/// This share of a lap's records came no later than so many milliseconds.
fn below(lap: &Lap, share: f64) -> f64 {
    let place = (lap.delays.len() as f64 * share) as usize;
    lap.delays.get(place).map_or(f64::NAN, |micros| *micros as f64 / 1_000.0)
}
