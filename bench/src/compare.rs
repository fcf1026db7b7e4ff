//! The main table: floor, iterator and `recv` in turn, and another build and the other clients if they are asked for;
//! round by round, column by column.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use ottla_bench_child::{Course, Lap};
use ottla_conformance::kafka::Config;
use ottla_conformance::targets::unique;

use crate::broker::Broker;
use crate::columns::{AIM, COLUMNS, Column, TLS_AIM, TLS_COLUMNS};
use crate::lap::{self, Client};
use crate::laps::{self, Laps};
use crate::load::{self, Load};
use crate::peers;
use crate::table::Rounds;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which columns; all by default, or with `--tls` 100b-12 and 1k-12.
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
    /// All over TLS 1.3.
    #[arg(long, conflicts_with = "bootstrap")]
    tls: bool,
    /// Beside another build of this program, of an older commit, say: its iterator and its `recv`.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
    /// Beside the other clients, which are built first; that takes minutes, and needs Go and a C compiler.
    #[arg(long)]
    peers: bool,
}

/// Who reads.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    pub(crate) what: What,
}

pub(crate) enum What {
    /// This build.
    Own(Client),
    /// Another build, in the same way.
    Before(PathBuf, Client),
    Peer(Command),
}

impl Reader {
    fn lap(&self, course: &Course) -> Result<Lap> {
        match &self.what {
            What::Own(client) => lap::start(*client, course),
            What::Before(program, client) => lap::start_of(program, *client, course),
            What::Peer(program) => lap::start_peer(program, course),
        }
    }
}

/// The floor, which the others are measured against, is the first.
fn readers(options: &Options) -> Result<Vec<Reader>> {
    let own = |name, client| Reader { name, what: What::Own(client) };
    let peer = |name, program: PathBuf| Reader { name, what: What::Peer(Command::new(program)) };
    let mut readers = vec![own("floor", Client::Floor)];
    for (name, before, client) in
        [("iterator", "iterator, before", Client::Poll), ("recv", "recv, before", Client::Recv)]
    {
        readers.push(own(name, client));
        if let Some(program) = &options.beside {
            readers.push(Reader { name: before, what: What::Before(peers::whole(program)?, client) });
        }
    }
    if options.peers {
        readers.push(peer("franz-go 1.22", peers::franz_go()?));
        readers.push(peer("kacrab 0.4", peers::rust("kacrab")?));
        readers.push(peer("krafka 0.28", peers::rust("krafka")?));
        readers.push(peer("confluent-kafka 1.0", peers::rust("confluent")?));
        readers.push(peer("rdkafka 0.39, base", peers::rust("rdkafka")?));
        readers.push(Reader { name: "Java 4.4, warm", what: What::Peer(peers::java("Lap", &[])?) });
    }
    Ok(readers)
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let readers = readers(options)?;
    let broker = match &options.bootstrap {
        Some(bootstrap) => Broker::running(bootstrap)?,
        None if options.tls => Broker::with_tls(Config::new(1).optimized())?,
        None => Broker::plain()?,
    };
    let columns = match options.columns.is_empty() {
        true if options.tls => TLS_COLUMNS.to_vec(),
        true => COLUMNS.to_vec(),
        false => options.columns.clone(),
    };
    println!(
        "| column | client | CPU µs/record | over the floor (aim) | best peer over this | records/s | VmHWM MiB | fetched/log |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let mut notes = Vec::new();
    for column in columns {
        let records = (column.records as f64 * options.scale) as u64;
        let topic = unique(&format!("bench-{}", column.name));
        let Column { partitions, size, codec, .. } = column;
        load::fill(&broker.tools, &topic, Load { partitions, records, size, codec, producer: &[] })?;
        let course = Course {
            bootstrap: broker.bootstrap.clone(),
            topic: topic.clone(),
            partitions,
            records,
            fetch_max_bytes: 50 << 20,
            millis_per_mb: 0,
            authority: broker.authority.clone(),
            committed: false,
        };
        let aim = if options.tls { TLS_AIM } else { AIM };
        let rounds = measure(&course, &readers, options.rounds, aim)?;
        for row in rounds.rows(&column) {
            println!("{row}");
        }
        notes.extend(rounds.notes(&column));
        broker.tools.delete_topic(&topic)?;
    }
    println!("\n{}", notes.join("\n"));
    Ok(())
}

fn measure<'a>(course: &Course, readers: &'a [Reader], rounds: usize, aim: f64) -> Result<Rounds<'a>> {
    // Brings the log into the page cache, and tells what it is made of.
    let warm = lap::start(Client::Floor, course)?;
    let laps = Laps::run(rounds, readers.len(), |round, place| {
        let reader = readers.get(place).context("a reader without a place")?;
        let (name, lap) = (reader.name, reader.lap(course)?);
        laps::tell(&course.topic, (round, rounds), name, &lap);
        ensure!(
            (lap.records, lap.bytes) == (warm.records, warm.bytes),
            "{name} read something else: {lap:?}, not {warm:?}"
        );
        Ok(lap)
    })?;
    Ok(Rounds { readers, aim, log: warm.log.unwrap_or_default(), laps })
}
