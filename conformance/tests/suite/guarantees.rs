//! The examples of the pages on guarantees, killed while they work: at most once, at least once, exactly once, and with offsets in
//! a database.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::{Consumer, IsolationLevel, ProducerRecord};
use ottla_broker::{ApiKey, Fault};
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::explain::own;
use crate::kit::{PATIENCE, consumer, equal, holds, numbers, producer, take, text, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("the_example_of_at_most_once_doubles_nothing_when_it_is_killed", at_most_once),
        Case::both("the_example_of_at_least_once_loses_nothing_when_it_is_killed", at_least_once),
        Case::both("the_example_of_exactly_once_loses_and_doubles_nothing_when_it_is_killed", exactly_once),
        Case::both("the_example_with_offsets_in_a_database_doubles_nothing_when_it_is_killed", in_a_database),
    ]
}

const AT_MOST_ONCE: &str = env!("CARGO_BIN_EXE_ottla-conformance-at-most-once");
const AT_LEAST_ONCE: &str = env!("CARGO_BIN_EXE_ottla-conformance-at-least-once");
const EXACTLY_ONCE: &str = env!("CARGO_BIN_EXE_ottla-conformance-exactly-once");
const IN_A_DATABASE: &str = env!("CARGO_BIN_EXE_ottla-conformance-offsets-in-a-database");

/// More than the examples handle before the last kill.
const COUNT: i32 = 1500;
const KILLS: usize = 4;

/// An example, whose processes come one after the other.
struct Example {
    command: Command,
    process: Process,
    /// Of the processes that are gone.
    lines: Vec<String>,
}

impl Example {
    fn start(program: &str, arguments: &[&str]) -> Result<Self, Failed> {
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(Self { process: Process::spawn(&command)?, command, lines: Vec::new() })
    }

    fn until(&mut self, what: &str, mut condition: impl FnMut(&[String]) -> bool) -> Outcome {
        let process = &mut self.process;
        let waited = until(PATIENCE, what, || !process.is_running() || condition(&process.lines()));
        waited.map_err(|expired| format!("{expired}\n{}{}", self.process.stdout(), self.process.stderr()))?;
        holds(&format!("it runs: {}", self.process.stderr()), self.process.is_running())
    }

    /// Kills it in the middle of its work, a moment behind the first that it tells of, and starts it again.
    fn kill(&mut self, moment: Duration) -> Outcome {
        self.until("work", |lines| !lines.is_empty())?;
        std::thread::sleep(moment);
        self.process.kill();
        self.lines.append(&mut self.process.lines());
        self.process = Process::spawn(&self.command)?;
        Ok(())
    }

    /// Ends it in good order: all that its processes told.
    fn end(mut self) -> Result<Vec<String>, Failed> {
        self.process.signal("INT")?;
        let output = self.process.end(PATIENCE)?;
        holds(&format!("it ends well: {}", output.stderr), output.status.success())?;
        self.lines.append(&mut self.process.lines());
        Ok(self.lines)
    }
}

fn moment() -> Duration {
    Duration::from_millis(fastrand::u64(0..200))
}

/// How often each is there.
fn times(lines: &[String]) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for line in lines {
        *times.entry(line.as_str()).or_default() += 1;
    }
    times
}

fn last_is_there(lines: &[String]) -> bool {
    lines.iter().any(|line| *line == (COUNT - 1).to_string())
}

fn at_most_once(target: &Target) -> Outcome {
    let topic = wait(async {
        let topic = topic(target, "at-most-once", 1).await?;
        // It skips what is there before the group has an offset.
        let mut first = consumer(target).group_id("at-most-once").build().await?;
        first.assign([(topic.as_str(), 0)])?;
        first.commit_offsets([((topic.as_str(), 0), 0)]).await?;
        first.close().await?;
        numbers(target, &topic, 1, 0..COUNT).await?;
        Ok(topic)
    })?;
    let mut example = Example::start(AT_MOST_ONCE, &[&target.bootstrap(), &topic])?;
    // Two batches are lost at the most, so that the last number is handled.
    for _ in 0..2 {
        example.kill(moment())?;
    }
    example.until("the last number", last_is_there)?;
    let lines = example.end()?;
    let times = times(&lines);
    holds(&format!("none is handled twice: {times:?}"), times.values().all(|times| *times == 1))?;
    holds("killed in the middle of a batch, it loses the rest", times.len() < COUNT as usize)
}

fn at_least_once(target: &Target) -> Outcome {
    let topic = wait(async {
        let topic = topic(target, "at-least-once", 1).await?;
        numbers(target, &topic, 1, 0..COUNT).await?;
        Ok(topic)
    })?;
    let mut example = Example::start(AT_LEAST_ONCE, &[&target.bootstrap(), &topic])?;
    for _ in 0..KILLS {
        example.kill(moment())?;
    }
    example.until("the last number", last_is_there)?;
    let lines = example.end()?;
    let times = times(&lines);
    equal("each is handled", times.len(), COUNT as usize)?;
    holds("killed in the middle of a batch, it begins it again", lines.len() > COUNT as usize)
}

fn exactly_once(target: &Target) -> Outcome {
    let Target::Embedded(_) = target else { return doubled(target) };
    // An offset that is committed apart from the transaction comes late, so that a kill meets it: on a real broker that is rare.
    let (broker, target) = own()?;
    let late = Fault::Delay(Duration::from_millis(50));
    broker
        .server()
        .with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetCommit).always().then(late.clone()));
    doubled(&target)
}

fn doubled(target: &Target) -> Outcome {
    let (input, output) = wait(async {
        let input = topic(target, "exactly-once", 1).await?;
        Ok((input, topic(target, "doubled", 1).await?))
    })?;
    let written = AtomicBool::new(false);
    let mut example = Example::start(EXACTLY_ONCE, &[&target.bootstrap(), &input, &output])?;
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| wait(feed(target, &input, &written, |n| (Vec::new(), n))));
        let killed = (0..KILLS).try_for_each(|_| example.kill(moment()));
        written.store(true, Ordering::Relaxed);
        let count = feeding.join().map_err(|_| Failed::from("the feeder panicked"))??;
        killed?;
        let doubled: Vec<String> = (0..count).map(|n| (2 * n).to_string()).collect();
        equal("what is committed", wait(committed(target, &output, doubled.len()))?, doubled)
    })?;
    example.end().map(drop)
}

async fn committed(target: &Target, topic: &str, count: usize) -> Result<Vec<String>, Failed> {
    let mut consumer = consumer(target).isolation_level(IsolationLevel::ReadCommitted).build().await?;
    consumer.assign([(topic, 0)])?;
    let mut values: Vec<String> = take(&mut consumer, count).await?.iter().map(text).collect();
    // And no more than these.
    values.extend(more(&mut consumer).await?);
    Ok(values)
}

async fn more(consumer: &mut Consumer) -> Result<Vec<String>, Failed> {
    let records = consumer.poll(Duration::from_millis(500)).await?;
    Ok(records.iter().map(|record| format!("{}: {:?}", record.offset(), record.value())).collect())
}

/// Writes a record every two milliseconds until it is told to stop: how many. Its key and value are made of its number.
async fn feed(
    target: &Target,
    topic: &str,
    stops: &AtomicBool,
    record: impl Fn(i64) -> (Vec<u8>, i64),
) -> Result<i64, Failed> {
    let producer = producer(target).await?;
    let mut count = 0;
    while !stops.load(Ordering::Relaxed) {
        let (key, value) = record(count);
        let record = ProducerRecord::to(topic).partition(0).key(key).value(value.to_string());
        drop(within("room for a record", producer.send(record)).await??);
        count += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    within("records that are acknowledged", producer.close()).await??;
    Ok(count)
}

/// A file that ends with the case.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn in_a_database(target: &Target) -> Outcome {
    const KILLS: usize = 20;
    const ACCOUNTS: i64 = 3;
    let topic = wait(topic(target, "bookings", 1))?;
    let file = File(std::env::temp_dir().join(unique("ottla-accounts")));
    let path = file.0.to_str().ok_or("a path that is no text")?;
    let mut example = Example::start(IN_A_DATABASE, &[&target.bootstrap(), &topic, path])?;
    let account = |n: i64| (format!("account-{}", n % ACCOUNTS).into_bytes(), n);
    let written = AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| wait(feed(target, &topic, &written, account)));
        let killed = (0..KILLS).try_for_each(|_| example.kill(moment() / 2));
        written.store(true, Ordering::Relaxed);
        let count = feeding.join().map_err(|_| Failed::from("the feeder panicked"))?;
        killed.and(count)
    })?;
    // It tells after each transaction how far the partition is booked.
    let end = format!("booked up to {count}");
    example.until("the last booking", |lines| lines.contains(&end))?;
    let lines = example.end()?;
    let balances: Vec<String> = lines.into_iter().filter(|line| line.starts_with("account-")).collect();
    let sum = |account: i64| (0..count).filter(|n| n % ACCOUNTS == account).sum::<i64>();
    equal("balances", balances, (0..ACCOUNTS).map(|n| format!("account-{n}: {}", sum(n))).collect())
}
