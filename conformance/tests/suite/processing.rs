//! Records are handled by key while a worker is killed: each at least once, in order, and what is hopeless becomes a dead letter, which
//! is brought back once the handler is mended.
//!
//! `OTTLA_CONFORMANCE_PROCESSING_RECORDS` says how many, 60,000 if it is not set. One command runs the long form:
//! `OTTLA_CONFORMANCE_PROCESSING_RECORDS=1000000 cargo test -p ottla-conformance --test suite -- handled_by_key_under_a_kill`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs};

use libtest_mimic::Failed;
use ottla::dead_letters::{FailedRecord, Origin, Profile};
use ottla::{Compression, Producer, ProducerRecord};
use ottla_conformance::process::{self, Process};
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::kit::{PATIENCE, consumer, create, equal, holds, wait, within};

const PARTITIONS: i32 = 12;
const KEYS: u64 = 5_000;
/// As the worker has it.
const ATTEMPTS: u32 = 3;
/// No record ends for so long at the most: the killed worker's partitions are another's by then.
const STALL: Duration = Duration::from_secs(30);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("records_are_handled_by_key_under_a_kill", under_a_kill).heavy(),
        Case::kafka(
            "records_that_are_held_keep_the_order_of_their_key_over_all_topics_under_a_kill",
            held_under_a_kill,
        )
        .heavy(),
    ]
}

/// How a worker runs, and on what.
struct Way {
    mode: &'static str,
    count: u64,
    keys: u64,
    /// The fewest that a dead letter has had.
    attempts: u32,
}

/// A topic, and the group that handles it.
struct Handled {
    topic: String,
    group: String,
}

/// A worker's process, and what it says that it did.
struct Worker {
    process: Process,
    history: PathBuf,
}

/// A line of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    time: u128,
    worker: usize,
    what: What,
    number: u64,
    attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Cancelled,
    Ended,
    Failed,
    Started,
    Killed,
}

fn is_hopeless(number: u64) -> bool {
    number % 1000 == 7
}

fn under_a_kill(target: &Target) -> Outcome {
    let count = env::var("OTTLA_CONFORMANCE_PROCESSING_RECORDS").ok().and_then(|count| count.parse().ok());
    let count: u64 = count.unwrap_or(60_000);
    let handled = run(target, &Way { mode: "failing", count, keys: KEYS, attempts: ATTEMPTS })?;
    brought_back(target, &handled, (0..count).filter(|number| is_hopeless(*number)).collect())
}

/// The dead letters go back to where they were, and the mended handler takes them.
fn brought_back(target: &Target, handled: &Handled, hopeless: BTreeSet<u64>) -> Outcome {
    let history = env::temp_dir().join(unique("mended"));
    let mut worker = Worker::start(target, handled, "mended", history.clone())?;
    let begun = Instant::now();
    let letters = format!("{}-dlt", handled.topic);
    process::run(&ottla(target, &["dlq", "replay", &letters, "--execute"])?, PATIENCE)?;
    let ended = |worker: &Worker| -> Result<BTreeSet<u64>, Failed> {
        Ok(worker.events(0)?.iter().filter(|event| is_end(event)).map(|event| event.number).collect())
    };
    until(PATIENCE, "what was replayed", || ended(&worker).is_ok_and(|it| it.is_superset(&hopeless)))?;
    println!("{} dead letters are brought back and handled in {:.1?}", hopeless.len(), begun.elapsed());
    worker.process.close_input();
    let output = worker.process.end(PATIENCE)?;
    holds(&format!("the mended worker ends well: {output:?}"), output.status.success())?;
    equal("what came back", ended(&worker)?, hopeless)?;
    Ok(fs::remove_file(history)?)
}

/// Few keys, so that each is held again and again.
fn held_under_a_kill(target: &Target) -> Outcome {
    // One that has followed into the last topic has its attempts there alone.
    let handled = run(target, &Way { mode: "held", count: 12_000, keys: 307, attempts: 2 })?;
    let waited = wait(ends(target, &handled.topic))?;
    println!("{waited:?} were in retry topics");
    // Of those that fail, a part: others followed.
    let failing = 12_000 / 20 + 12_000 / 50;
    holds(
        "others follow those that fail",
        waited.iter().all(|count| *count > 0) && waited.iter().sum::<i64>() > failing,
    )
}

/// How many records its retry topics have.
async fn ends(target: &Target, topic: &str) -> Result<Vec<i64>, Failed> {
    let consumer = consumer(target).build().await?;
    let mut counts = Vec::new();
    for delay in [200, 500] {
        let partitions = (0..PARTITIONS).map(|partition| (format!("{topic}-retry-{delay}"), partition));
        counts.push(consumer.end_offsets(partitions).await?.values().sum());
    }
    Ok(counts)
}

fn run(target: &Target, way: &Way) -> Result<Handled, Failed> {
    let Way { mode, count, keys, attempts } = *way;
    let handled = Handled { topic: unique("handled"), group: unique("handlers") };
    wait(write(target, &handled.topic, count, keys))?;
    let folder = env::temp_dir().join(&handled.group);
    fs::create_dir_all(&folder)?;
    let start = |index: usize| Worker::start(target, &handled, mode, folder.join(index.to_string()));
    let mut workers = vec![start(0)?, start(1)?];
    let begun = Instant::now();
    until_ended(&mut workers, count / 4, count)?;
    workers.get_mut(1).ok_or("no worker")?.process.kill();
    let killed = now();
    workers.push(start(2)?);
    until_ended(&mut workers, count, count)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut events = Vec::new();
    for (index, worker) in workers.iter_mut().enumerate() {
        if index != 1 {
            worker.process.close_input();
            let output = worker.process.end(PATIENCE)?;
            holds(&format!("worker {index} ends well: {output:?}"), output.status.success())?;
        }
        events.extend(worker.events(index)?);
    }
    events.push(Event { time: killed, worker: 1, what: What::Killed, number: 0, attempt: 0 });
    events.sort_unstable();
    fs::remove_dir_all(&folder)?;
    let repeated = judge(&events, count, keys)?;
    let letters = wait(letters(target, &handled, count, attempts))?;
    let by_killed: BTreeSet<u64> = events.iter().filter(|it| it.worker == 1).map(|it| it.number).collect();
    let twice = letters.iter().filter(|(_, times)| **times > 1).map(|(number, _)| *number);
    let twice: Vec<u64> = twice.collect();
    let longest = longest_gap(&events);
    println!(
        "{count} records in {seconds:.1} s: each handled, {repeated} of them again, {} dead letters, {} of them twice; no record \
         ended for {longest:.1?} at the most",
        letters.len(),
        twice.len(),
    );
    holds(
        "a letter is there twice only where its worker was killed",
        twice.iter().all(|it| by_killed.contains(it)),
    )?;
    holds(&format!("it never stalls: {longest:?}"), longest < STALL)?;
    Ok(handled)
}

async fn write(target: &Target, topic: &str, count: u64, keys: u64) -> Outcome {
    create(target, topic, PARTITIONS).await?;
    let servers = target.bootstrap();
    let builder = Producer::builder().bootstrap_servers(servers.split(',')).compression(Compression::Lz4);
    let producer = builder.build().await?;
    for number in 0..count {
        let record = ProducerRecord::to(topic).key((number % keys).to_string()).value(number.to_string());
        drop(within("room for a record", producer.send(record)).await??);
    }
    Ok(within("records that are acknowledged", producer.close()).await??)
}

fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

impl Worker {
    fn start(target: &Target, handled: &Handled, mode: &str, history: PathBuf) -> Result<Self, Failed> {
        let Handled { topic, group } = handled;
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla-conformance-processor"));
        command.arg(&history).args([mode, topic]);
        command.arg(format!("bootstrap.servers={}", target.bootstrap())).arg(format!("group.id={group}"));
        command.args(["auto.offset.reset=earliest", "session.timeout.ms=6000", "heartbeat.interval.ms=1000"]);
        Ok(Self { process: Process::spawn_with_input(&command)?, history })
    }

    /// What it did, to its last whole line.
    fn events(&self, worker: usize) -> Result<Vec<Event>, Failed> {
        // It is not there before the process is.
        let text = fs::read_to_string(&self.history).unwrap_or_default();
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        let event = |line: &str| {
            let mut words = line.split(' ');
            let what = match words.next()? {
                "S" => What::Started,
                "E" => What::Ended,
                "F" => What::Failed,
                _ => What::Cancelled,
            };
            let (number, attempt) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(Event { time: words.next()?.parse().ok()?, worker, what, number, attempt })
        };
        let events =
            whole.lines().map(|line| event(line).ok_or_else(|| Failed::from(format!("what is `{line}`?"))));
        events.collect()
    }
}

/// Until so many of the records have ended: a number that is at its last attempt counts.
fn until_ended(workers: &mut [Worker], some: u64, count: u64) -> Outcome {
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let mut ended = BTreeSet::new();
        for (index, worker) in workers.iter().enumerate() {
            ended
                .extend(worker.events(index)?.iter().filter(|event| is_end(event)).map(|event| event.number));
        }
        let ended = ended.len() as u64;
        if ended >= some {
            return Ok(());
        }
        if ended > most {
            (most, since) = (ended, Instant::now());
        } else if since.elapsed() > 2 * STALL {
            let told: Vec<String> =
                workers.iter().map(|it| it.process.stdout() + &it.process.stderr()).collect();
            return Err(format!("{ended} of {count} for {:?}\n{}", since.elapsed(), told.join("\n")).into());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn is_end(event: &Event) -> bool {
    event.what == What::Ended || event.what == What::Failed && event.attempt >= ATTEMPTS
}

/// Each record was handled, in the order of its key, and no two of a key at once. How many were handled again.
fn judge(events: &[Event], count: u64, keys: u64) -> Result<usize, Failed> {
    let (mut ended, mut running) = (BTreeMap::<u64, usize>::new(), BTreeMap::<u64, (u64, usize)>::new());
    // What every key's next record is that has not ended.
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    for event in events {
        let key = event.number % keys;
        match event.what {
            What::Killed => running.retain(|_, (_, worker)| *worker != event.worker),
            What::Started => {
                let due = *next.get(&key).unwrap_or(&key);
                if event.number > due {
                    return Err(format!("{event:?} begins before {due} has ended").into());
                }
                if let Some(other) = running.insert(key, (event.number, event.worker)) {
                    return Err(format!("{event:?} begins while {other:?} is handled").into());
                }
            }
            What::Ended | What::Failed | What::Cancelled => {
                running.remove(&key);
            }
        }
        if is_end(event) {
            *ended.entry(event.number).or_default() += 1;
            let due = next.entry(key).or_insert(key);
            if *due == event.number {
                *due += keys;
            }
        }
    }
    let lost: Vec<u64> = (0..count).filter(|number| !ended.contains_key(number)).collect();
    holds(&format!("each was handled, but {lost:?}"), lost.is_empty())?;
    let wrong = events.iter().find(|event| is_hopeless(event.number) && event.what == What::Ended);
    holds(&format!("what is hopeless always fails: {wrong:?}"), wrong.is_none())?;
    Ok(ended.iter().filter(|(number, times)| **times > 1 && !is_hopeless(**number)).count())
}

/// The longest time in which no record ended.
fn longest_gap(events: &[Event]) -> Duration {
    let ends: Vec<u128> = events.iter().filter(|event| is_end(event)).map(|event| event.time).collect();
    let longest = ends.windows(2).map(|pair| pair.iter().rev().copied().reduce(|last, first| last - first));
    Duration::from_nanos(longest.flatten().max().unwrap_or_default() as u64)
}

/// How often each dead letter is there: all that are hopeless, and no other, with headers that tell where they were and why.
async fn letters(
    target: &Target,
    handled: &Handled,
    count: u64,
    attempts: u32,
) -> Result<BTreeMap<u64, usize>, Failed> {
    let Handled { topic, group } = handled;
    let mut consumer = consumer(target).build().await?;
    consumer.assign((0..PARTITIONS).map(|partition| (format!("{topic}-dlt"), partition)))?;
    let hopeless: BTreeSet<u64> = (0..count).filter(|number| is_hopeless(*number)).collect();
    let (mut times, begun) = (BTreeMap::new(), Instant::now());
    let at_end = |lag: &BTreeMap<_, Option<i64>>| {
        lag.len() == PARTITIONS as usize && lag.values().all(|lag| *lag == Some(0))
    };
    while times.len() < hopeless.len() || !at_end(&consumer.lag()) {
        holds(&format!("{} of {} letters", times.len(), hopeless.len()), begun.elapsed() < PATIENCE)?;
        for record in &consumer.poll(Duration::from_millis(200)).await? {
            let record = FailedRecord::from(&record);
            let number: u64 = std::str::from_utf8(record.value.unwrap_or_default())?.parse()?;
            let origin = Origin::of(&record).ok_or("a record without headers of a dead letter")?;
            let told = (origin.profile, origin.topic, origin.partition, origin.group);
            let right = (Profile::Kip1191, Ok(topic.as_str()), Ok(record.partition), Ok(group.as_str()));
            equal("where it was", told, right)?;
            holds(&format!("the offset is told: {:?}", origin.offset), origin.offset.is_ok())?;
            equal("why", origin.message.as_deref(), Ok(&*format!("{number} is not wanted")))?;
            holds(
                &format!("attempts: {:?}", origin.attempts),
                origin.attempts.is_ok_and(|it| it >= attempts),
            )?;
            *times.entry(number).or_default() += 1;
        }
    }
    holds("no other record is a dead letter", times.keys().all(|number| hopeless.contains(number)))?;
    Ok(times)
}
