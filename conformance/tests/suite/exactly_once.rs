//! Numbers are read, transformed and written exactly once, while workers and brokers are killed.
//!
//! `OTTLA_CONFORMANCE_EXACTLY_ONCE_MINUTES` says for how many minutes, two if it is not set; `OTTLA_SEED` repeats the draws of
//! another run. One command runs the long form:
//! `OTTLA_CONFORMANCE_EXACTLY_ONCE_MINUTES=10 cargo test -p ottla-conformance --test suite -- exactly_once_under_kills`.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla::admin::OffsetSpec;
use ottla::{Consumer, IsolationLevel, OffsetReset, Producer, ProducerRecord};
use ottla_conformance::kafka::{Cluster, Config, Unavailable};
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, admin, create, holds, wait, within};

const MINUTES: &str = "OTTLA_CONFORMANCE_EXACTLY_ONCE_MINUTES";

pub(crate) fn cases() -> Vec<Case> {
    let [on_4_4, on_3_9] = ["4_4", "3_9"]
        .map(|version| format!("numbers_are_transformed_exactly_once_under_kills_on_kafka_{version}"));
    vec![
        Case::alone(on_4_4, || under_kills(Cluster::start)).with_java().heavy(),
        Case::alone(on_3_9, || under_kills(Cluster::start_3_9)).with_java().heavy(),
    ]
}

pub(crate) const PARTITIONS: i32 = 4;
const WORKERS: usize = 2;
/// How many numbers are written each second.
const RATE: u64 = 250;

/// A worker, whose processes come one after the other.
pub(crate) struct Worker {
    command: Command,
    process: Process,
    pub(crate) kills: usize,
    /// Of the processes that are gone.
    lines: Vec<String>,
}

impl Worker {
    pub(crate) fn start(command: Command) -> Result<Self, Failed> {
        Ok(Self { process: Process::spawn_with_input(&command)?, command, kills: 0, lines: Vec::new() })
    }

    pub(crate) fn kill(&mut self) -> Outcome {
        self.process.kill();
        self.lines.append(&mut self.process.lines());
        self.process = Process::spawn_with_input(&self.command)?;
        self.kills += 1;
        Ok(())
    }

    /// It ran until now: a worker that ends by itself has failed.
    pub(crate) fn check(&mut self) -> Outcome {
        if self.process.is_running() {
            return Ok(());
        }
        Err(format!("a worker has ended: {}\n{}", self.last_lines(), self.process.stderr()).into())
    }

    fn last_lines(&self) -> String {
        let lines = self.process.lines();
        lines.iter().rev().take(5).rev().fold(String::new(), |text, line| text + "\n" + line)
    }

    pub(crate) fn end(mut self) -> Result<Vec<String>, Failed> {
        self.process.close_input();
        self.process.end(PATIENCE)?;
        self.lines.append(&mut self.process.lines());
        Ok(self.lines)
    }
}

/// Writes numbers until it is told to stop: how many.
pub(crate) async fn feed(bootstrap: String, topic: String, stops: &AtomicBool) -> Result<u64, Failed> {
    let producer = Producer::builder().bootstrap_servers(bootstrap.split(',')).build().await?;
    let (mut count, begun) = (0, Instant::now());
    while !stops.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_millis() as u64 * RATE / 1000;
        while count < due {
            let record = ProducerRecord::to(&topic).partition((count % PARTITIONS as u64) as i32);
            drop(within("room for a record", producer.send(record.value(count.to_string()))).await??);
            count += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    within("records that are acknowledged", producer.close()).await??;
    Ok(count)
}

fn under_kills(start: fn(Config) -> Result<Cluster, Unavailable>) -> Outcome {
    let number = |name: &str| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let minutes = number(MINUTES).unwrap_or(2);
    let seed = number("OTTLA_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("again with OTTLA_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let config = Config::new(3)
        .set("min.insync.replicas", 2)
        .set("transaction.state.log.min.isr", 2)
        .set("transaction.abort.timed.out.transaction.cleanup.interval.ms", 1000);
    let cluster: &'static Cluster = Box::leak(Box::new(start(config)?));
    let _ends = Ends(cluster);
    let target = Target::Kafka(cluster);
    let (input, output, group) = (unique("numbers"), unique("transformed"), unique("transformers"));
    wait(async {
        for topic in [&input, &output] {
            create(&target, topic, PARTITIONS).await?;
        }
        Ok(())
    })?;
    let worker = |index: usize| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla-conformance-transformer"));
        let id = format!("{group}-{index}");
        command.args([&input, &output, &id, &(seed.wrapping_add(index as u64)).to_string()]);
        command.arg(format!("bootstrap.servers={}", target.bootstrap()));
        command.arg(format!("group.id={group}"));
        command.args(["auto.offset.reset=earliest", "max.poll.records=20", "session.timeout.ms=6000"]);
        Worker::start(command)
    };
    let mut workers: Vec<Worker> = (0..WORKERS).map(worker).collect::<Result<_, _>>()?;
    let stops = AtomicBool::new(false);
    let (count, broker_kills) = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| wait(feed(target.bootstrap(), input.clone(), &stops)));
        let killed = kill_now_and_then(cluster, &mut workers, minutes, &mut rng, || feeding.is_finished());
        stops.store(true, Ordering::Relaxed);
        let count = feeding.join().map_err(|_| Failed::from("the feeder panicked"))??;
        killed.map(|kills| (count, kills))
    })?;
    until_all_is_read(&target, &group, &input, &mut workers)?;
    let worker_kills: usize = workers.iter().map(|worker| worker.kills).sum();
    let mut lines = Vec::new();
    for mut worker in workers {
        worker.check()?;
        lines.extend(worker.end()?);
    }
    let told = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
    let times = wait(read(&target, &output, count))?;
    let wrong = |n: &u64| times.get(n) != Some(&1);
    let (lost, doubled): (Vec<u64>, Vec<u64>) =
        (0..count).filter(wrong).partition(|n| !times.contains_key(n));
    println!(
        "{minutes} min: {count} numbers, {} lost, {} doubled; {} transactions committed, {} aborted; workers killed {worker_kills} \
         times, brokers {broker_kills} times",
        lost.len(),
        doubled.len(),
        told("committed"),
        told("aborted"),
    );
    let mut why: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.starts_with("aborted")) {
        *why.entry(line.split(['(', ';']).next().unwrap_or(line)).or_default() += 1;
    }
    println!("{why:#?}");
    holds("workers were killed", worker_kills as u64 >= 2 * minutes)?;
    holds("brokers were killed", broker_kills > 0)?;
    holds("transactions were aborted", told("aborted") as u64 >= 25 * minutes)?;
    holds(
        &format!("each number once: lost {lost:?}, doubled {doubled:?}"),
        lost.is_empty() && doubled.is_empty(),
    )?;
    holds("there is nothing else", times.len() as u64 == count)
}

/// The group may be far behind by now: it is to come nearer to the end as long as it is not there.
pub(crate) fn until_all_is_read(
    target: &Target,
    group: &str,
    input: &str,
    workers: &mut [Worker],
) -> Outcome {
    let (mut least, mut since) = (i64::MAX, Instant::now());
    while least > 0 {
        workers.iter_mut().try_for_each(Worker::check)?;
        let lags = wait(lag(target, group, input)).unwrap_or_default();
        if lags.len() == PARTITIONS as usize && lags.iter().sum::<i64>() < least {
            (least, since) = (lags.iter().sum(), Instant::now());
        } else if since.elapsed() > PATIENCE {
            let told: Vec<String> = workers.iter().map(Worker::last_lines).collect();
            return Err(format!("lag {lags:?} for {PATIENCE:?}, least {least}\n{}", told.join("\n")).into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The cluster's nodes end with the case.
struct Ends(&'static Cluster);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

/// Kills a worker every few seconds, and a broker every half a minute, for so many minutes: how often a broker.
fn kill_now_and_then(
    cluster: &Cluster,
    workers: &mut [Worker],
    minutes: u64,
    rng: &mut fastrand::Rng,
    failed: impl Fn() -> bool,
) -> Result<usize, Failed> {
    let nodes: Vec<u32> = cluster.node_ids().collect();
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let (mut kills, mut next_broker) = (0, Instant::now() + Duration::from_secs(10));
    while Instant::now() < end && !failed() {
        std::thread::sleep(Duration::from_millis(rng.u64(2000..6000)));
        workers.iter_mut().try_for_each(Worker::check)?;
        if let Some(worker) = rng.choice(workers.iter_mut()) {
            worker.kill()?;
        }
        if Instant::now() >= next_broker {
            let Some(node) = rng.choice(&nodes) else { break };
            cluster.kill(*node)?;
            std::thread::sleep(Duration::from_millis(rng.u64(1000..5000)));
            cluster.restart(*node)?;
            (kills, next_broker) = (kills + 1, Instant::now() + Duration::from_secs(20));
        }
    }
    Ok(kills)
}

/// How far the group is behind, in each partition of which it has committed anything.
async fn lag(target: &Target, group: &str, topic: &str) -> Result<Vec<i64>, Failed> {
    let admin = admin(target).await?;
    let committed = admin.committed_offsets(group).await?;
    let asked = (0..PARTITIONS).map(|partition| ((topic, partition), OffsetSpec::Latest));
    let ends = admin.list_offsets_for(IsolationLevel::ReadCommitted, asked).await?;
    let mut lags = Vec::new();
    for (at, end) in ends {
        let end = end?.map_or(0, |end| end.offset);
        lags.extend(committed.get(&at).map(|committed| end - committed.offset));
    }
    admin.close().await;
    Ok(lags)
}

/// How often each number is there, for a reader of what is committed.
pub(crate) async fn read(target: &Target, topic: &str, count: u64) -> Result<BTreeMap<u64, usize>, Failed> {
    let builder =
        Consumer::builder().bootstrap_servers([target.bootstrap()]).auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = builder.isolation_level(IsolationLevel::ReadCommitted).build().await?;
    consumer.assign((0..PARTITIONS).map(|partition| (topic, partition)))?;
    let (mut times, begun) = (BTreeMap::new(), Instant::now());
    let at_end = |consumer: &Consumer| {
        let lag = consumer.lag();
        lag.len() == PARTITIONS as usize && lag.values().all(|lag| *lag == Some(0))
    };
    while (times.len() as u64) < count || !at_end(&consumer) {
        if begun.elapsed() > 2 * PATIENCE {
            break;
        }
        for record in &consumer.poll(Duration::from_millis(200)).await? {
            let number = std::str::from_utf8(record.value().unwrap_or_default())?.parse()?;
            *times.entry(number).or_default() += 1;
        }
    }
    Ok(times)
}
