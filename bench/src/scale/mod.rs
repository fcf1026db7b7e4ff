//! Ten thousand partitions of one topic in one consumer, beside the other clients: until the first record, an idle second,
//! memory, and a rebalance.

mod behind;
pub(crate) mod hold;
mod holder;
mod large;
mod members;
mod report;

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use ottla::ProducerRecord;
use ottla_bench_child::{Holding, Way};
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::process::Process;
use ottla_conformance::targets::unique;
use ottla_conformance::wait::until_some;
use ottla_protocol::ApiKey;

use crate::peers;
use crate::topics::Topics;
use holder::Holder;
use report::{Measured, Report};

/// The broker's own, of the consumer protocol, too.
const HEARTBEAT_MILLIS: u64 = 1_000;
/// Longer than anything takes that has not failed.
const PATIENCE: Duration = Duration::from_secs(180);
/// Records are read and committed by then, and what a start has left to be done is done.
const SETTLE: Duration = Duration::from_secs(8);
/// A controller takes no more in one request than makes 10,000 records of its log.
const MOST_CREATED: u32 = 4_000;
/// Records a second, while partitions change hands.
const PULSE: &str = "500";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    Ottla,
    Java,
    Rdkafka,
    FranzGo,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Ottla => "Ottla",
            Self::Java => "Java 4.4",
            Self::Rdkafka => "librdkafka 2.12",
            Self::FranzGo => "franz-go 1.22",
        }
    }

    fn program(self) -> Result<Command> {
        Ok(match self {
            Self::Ottla => Command::new(std::env::current_exe()?),
            Self::Java => peers::java("Hold", &[])?,
            Self::Rdkafka => Command::new(peers::rust("rdkafka")?),
            Self::FranzGo => Command::new(peers::franz_go()?),
        })
    }

    /// franz-go's release has the classic protocol alone.
    fn can(self, way: Way) -> bool {
        !(self == Self::FranzGo && way == Way::Consumer)
    }
}

/// What there is much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Partitions of one consumer.
    Partitions,
    /// Bytes of one record.
    Bytes,
    /// Records that a group is behind.
    Behind,
    /// Members of one group.
    Members,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(default_value = "partitions")]
    what: What,
    #[arg(long, default_value_t = 10_000)]
    partitions: u32,
    /// Of a second topic, which is assigned only: an idle second costs no more with many partitions than with these.
    #[arg(long, default_value_t = 1_000)]
    few: u32,
    /// How long a consumer is left idle.
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Which clients; all by default.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Who>,
    /// How they come by their partitions; all by default.
    #[arg(long, value_delimiter = ',')]
    ways: Vec<Way>,
    /// That a group is behind.
    #[arg(long, default_value_t = 100_000_000)]
    records: u64,
    /// Of a group, in one process.
    #[arg(long, default_value_t = 1_000)]
    members: u32,
    /// Members in a process each.
    #[arg(long, default_value_t = 200)]
    processes: u32,
}

struct Bench<'a> {
    options: &'a Options,
    cluster: Cluster,
    topics: Topics,
    /// With one partition, and one record.
    empty: String,
    few: String,
    many: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    match options.what {
        What::Partitions => partitions(options),
        What::Bytes => large::run(options),
        What::Behind => behind::run(options),
        What::Members => members::run(options),
    }
}

/// The clients that are asked for.
fn programs(options: &Options) -> Result<Vec<(Who, Command)>> {
    let chosen = |who: &Who| options.clients.is_empty() || options.clients.contains(who);
    let clients = Who::value_variants().iter().copied().filter(chosen);
    clients.map(|who| Ok((who, who.program()?))).collect()
}

fn partitions(options: &Options) -> Result<()> {
    let programs = programs(options)?;
    let pulse = peers::rust("rdkafka")?;
    let bench = Bench::start(options)?;
    let mut report = Report::default();
    for round in 0..options.rounds {
        for way in Way::value_variants() {
            if !options.ways.is_empty() && !options.ways.contains(way) {
                continue;
            }
            for (who, program) in &programs {
                if !who.can(*way) {
                    continue;
                }
                let measured = bench.measure(*way, program, &pulse)?;
                eprintln!("round {}, {}, {}: {measured:?}", round + 1, way.name(), who.name());
                report.add(*way, *who, measured);
            }
        }
    }
    print!("{}", report.table(options.partitions, options.few));
    Ok(())
}

impl<'a> Bench<'a> {
    fn start(options: &'a Options) -> Result<Self> {
        let config = Config::new(1)
            .behind_proxies()
            .optimized()
            .jvm("-Xms2g".to_owned())
            .jvm("-Xmx2g".to_owned())
            .jvm("-Xmn1g".to_owned())
            // Each index is a file of this size, and mapped.
            .set("log.index.size.max.bytes", 4_096)
            .set("group.consumer.heartbeat.interval.ms", HEARTBEAT_MILLIS)
            .set("group.consumer.session.timeout.ms", 45_000);
        let cluster = Cluster::start(config)?;
        let topics = Topics::new(&cluster.bootstrap())?;
        let [empty, few, many] = ["empty", "few", "many"].map(unique);
        let bench = Self { options, cluster, topics, empty, few, many };
        for (topic, partitions) in
            [(&bench.empty, 1), (&bench.few, options.few), (&bench.many, options.partitions)]
        {
            eprintln!("{topic}: {partitions} partitions");
            bench.topics.create(topic, partitions.min(MOST_CREATED))?;
            let mut count = partitions.min(MOST_CREATED);
            while count < partitions {
                count = partitions.min(count + MOST_CREATED);
                bench.topics.grow(topic, count)?;
            }
            let record = |partition| ProducerRecord::to(topic).partition(partition).value(b"a record");
            bench.topics.fill((0..partitions as i32).map(record))?;
        }
        Ok(bench)
    }

    /// One client, in a process for each of what it is measured with.
    fn measure(&self, way: Way, program: &Command, pulse: &Path) -> Result<Measured> {
        let mut empty = self.hold(way, program, &self.empty, 1)?.0;
        empty.wait_for("all", PATIENCE)?;
        sleep(SETTLE);
        let empty_kib = empty.memory_kib(PATIENCE)?;
        drop(empty);
        let mut measured = Measured::default();
        if way == Way::Assigned {
            let mut few = self.hold(way, program, &self.few, self.options.few)?.0;
            few.wait_for("all", PATIENCE)?;
            sleep(SETTLE);
            measured.bytes_of_few = Some(self.idle(&mut few)?.1);
        }
        let (mut holder, holding) = self.hold(way, program, &self.many, self.options.partitions)?;
        measured.first_millis = holder.wait_for("record", PATIENCE)?;
        measured.all_millis = holder.wait_for("all", PATIENCE)?;
        sleep(SETTLE);
        (measured.cpu_micros, measured.bytes) = self.idle(&mut holder)?;
        measured.kib = holder.memory_kib(PATIENCE)?.saturating_sub(empty_kib);
        if way != Way::Assigned {
            // A client that does not get there has that for its result.
            let rebalanced = self.rebalance(&mut holder, &holding, program, pulse);
            measured.rebalance_millis = rebalanced.inspect_err(|error| eprintln!("{error:#}")).ok();
        }
        Ok(measured)
    }

    /// A process that reads all that is in the topic.
    fn hold(&self, way: Way, program: &Command, topic: &str, partitions: u32) -> Result<(Holder, Holding)> {
        let holding = Holding {
            bootstrap: self.cluster.bootstrap(),
            topic: topic.to_owned(),
            partitions,
            records: self.topics.ends(topic, partitions)?,
            way,
            group: unique("holders"),
            heartbeat_millis: HEARTBEAT_MILLIS,
        };
        Ok((Holder::start(peers::again(program), &holding)?, holding))
    }

    /// From the start of a second member until both have half of the partitions, and have been handed a record of them, in
    /// milliseconds. Records come all the time meanwhile.
    fn rebalance(
        &self,
        first: &mut Holder,
        holding: &Holding,
        program: &Command,
        pulse: &Path,
    ) -> Result<u64> {
        let mut producer = Command::new(pulse);
        producer.args(["pulse", "--bootstrap", &holding.bootstrap, "--topic", &holding.topic]);
        producer.args(["--partitions", &holding.partitions.to_string(), "--per-second", PULSE]);
        let mut producer = Process::spawn_with_input(&producer)?;
        producer.write(b"begin\n")?;
        sleep(Duration::from_secs(1));
        let second = Holder::start(peers::again(program), holding)?;
        let shared = || {
            let ((of_first, first), (of_second, second)) = (first.has(), second.has());
            let is_shared =
                of_first.abs_diff(of_second) <= 1 && of_first + of_second == u64::from(holding.partitions);
            first.max(second).filter(|_| is_shared && first.is_some() && second.is_some())
        };
        let at = until_some(PATIENCE, "two members with half of the partitions", shared);
        let at = at.with_context(|| format!("they have {:?} and {:?}", first.has(), second.has()))?;
        producer.write(b"end\n")?;
        producer.finish(PATIENCE)?;
        Ok(at.saturating_sub(second.started()))
    }

    /// Microseconds of CPU, and bytes of fetches and their answers, of a second in which nothing happens.
    fn idle(&self, holder: &mut Holder) -> Result<(f64, f64)> {
        let (began, cpu, bytes) = (Instant::now(), holder.cpu_nanos()?, self.fetch_bytes()?);
        sleep(Duration::from_secs(self.options.idle_seconds));
        let seconds = began.elapsed().as_secs_f64();
        holder.ensure_running()?;
        let cpu = (holder.cpu_nanos()? - cpu) as f64 / 1_000.0;
        Ok((cpu / seconds, (self.fetch_bytes()? - bytes) as f64 / seconds))
    }

    fn fetch_bytes(&self) -> Result<u64> {
        let traffic = self.cluster.proxy(1)?.traffic();
        Ok(traffic.get(&(ApiKey::Fetch as i16)).map_or(0, |fetch| fetch.request_bytes + fetch.response_bytes))
    }
}
