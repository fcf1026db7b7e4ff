//! Processors of transactions handle records while they are killed: of each record there is one output, or one dead letter.
//!
//! `OTTLA_SEED` repeats the draws of another run.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::exactly_once::{PARTITIONS, Worker, feed, read, until_all_is_read};
use crate::kit::{create, holds, wait};

pub(crate) fn cases() -> Vec<Case> {
    let name = "each_record_has_one_output_or_one_dead_letter_though_processors_are_killed";
    vec![Case::kafka(name, under_kills).and_kafka_3_9().heavy()]
}

const WORKERS: usize = 2;
const KILLS: usize = 4;

/// As the worker has it.
fn is_hopeless(number: &u64) -> bool {
    number % 100 == 7
}

fn under_kills(target: &Target) -> Outcome {
    let seed = env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("again with OTTLA_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let (input, output, group) = (unique("numbers"), unique("copied"), unique("copiers"));
    wait(async {
        for topic in [&input, &output] {
            create(target, topic, PARTITIONS).await?;
        }
        Ok(())
    })?;
    let worker = |index: usize| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla-conformance-copier"));
        command.args([&input, &output, &format!("{group}-{index}")]);
        command.arg(format!("bootstrap.servers={}", target.bootstrap()));
        command.arg(format!("group.id={group}"));
        command.args(["auto.offset.reset=earliest", "session.timeout.ms=6000", "heartbeat.interval.ms=500"]);
        Worker::start(command)
    };
    let mut workers: Vec<Worker> = (0..WORKERS).map(worker).collect::<Result<_, _>>()?;
    let stops = AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| wait(feed(target.bootstrap(), input.clone(), &stops)));
        let killed = kill_now_and_then(&mut workers, &mut rng);
        stops.store(true, Ordering::Relaxed);
        let count = feeding.join().map_err(|_| Failed::from("the feeder panicked"))??;
        killed.map(|()| count)
    })?;
    until_all_is_read(target, &group, &input, &mut workers)?;
    let kills: usize = workers.iter().map(|worker| worker.kills).sum();
    for mut worker in workers {
        worker.check()?;
        worker.end()?;
    }
    let hopeless = (0..count).filter(is_hopeless).count() as u64;
    let outputs = wait(read(target, &output, count - hopeless))?;
    let letters = wait(read(target, &format!("{input}-dlt"), hopeless))?;
    println!("{count} numbers, {} outputs, {} dead letters; {kills} kills", outputs.len(), letters.len());
    holds("workers were killed", kills == KILLS)?;
    each_once("outputs", &outputs, (0..count).filter(|number| !is_hopeless(number)))?;
    each_once("dead letters", &letters, (0..count).filter(is_hopeless))
}

fn kill_now_and_then(workers: &mut [Worker], rng: &mut fastrand::Rng) -> Outcome {
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(rng.u64(2000..6000)));
        workers.iter_mut().try_for_each(Worker::check)?;
        if let Some(worker) = rng.choice(workers.iter_mut()) {
            worker.kill()?;
        }
    }
    Ok(())
}

fn each_once(what: &str, times: &BTreeMap<u64, usize>, due: impl Iterator<Item = u64>) -> Outcome {
    let due: BTreeMap<u64, usize> = due.map(|number| (number, 1)).collect();
    let lost: Vec<_> = due.keys().filter(|number| !times.contains_key(number)).collect();
    let wrong: Vec<_> = times.iter().filter(|(number, times)| due.get(number) != Some(times)).collect();
    holds(&format!("{what}: lost {lost:?}, too often {wrong:?}"), lost.is_empty() && wrong.is_empty())
}
