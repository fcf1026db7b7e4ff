//! The embedded broker with a data directory, killed again and again under transactional producers that others wrote: what they
//! were told is there, exactly once. `OTTLA_KILLS=100` kills it as often, `OTTLA_SEED` at the moments of another run.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::Admin;
use ottla_conformance::process::{Process, run};
use ottla_conformance::wait::{until, until_some};
use ottla_conformance::{binary, ports};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, equal, holds, wait};
use crate::transactions::{JavaSide, Librdkafka, Producers};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("transactions_of_librdkafka_survive_a_broker_that_is_killed", || {
            survive(|bootstrap| Ok(Librdkafka::at(bootstrap)))
        }),
        Case::alone("transactions_of_java_survive_a_broker_that_is_killed", || survive(JavaSide::at))
            .with_java(),
    ]
}

const KILLS: usize = 5;

struct Broker {
    command: Command,
    process: Process,
}

impl Broker {
    fn start(port: u16, dir: &Path) -> Result<Self, Failed> {
        let mut command = Command::new(binary::ottla()?);
        command.args([
            "broker",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--topic",
            "a:1",
            "--topic",
            "b:1",
        ]);
        command.arg("--data-dir").arg(dir);
        let mut broker = Self { process: Process::spawn(&command)?, command };
        broker.ready()?;
        Ok(broker)
    }

    fn ready(&mut self) -> Outcome {
        let process = &mut self.process;
        until_some(PATIENCE, "a broker that is ready", || {
            let ended = !process.is_running();
            (ended || !process.lines().is_empty()).then_some(())
        })?;
        holds(&format!("the broker runs: {}", self.process.stderr()), self.process.is_running())
    }

    fn kill_and_start(&mut self) -> Outcome {
        self.process.kill();
        self.process = Process::spawn(&self.command)?;
        self.ready()
    }
}

/// A directory that ends with the case.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a producer was told.
#[derive(Debug, Default)]
struct Told {
    committed: BTreeSet<usize>,
    aborted: usize,
}

/// Transactions, each of a record to both topics and an offset, until it is to stop. One in four is aborted.
fn transact(producers: &mut impl Producers, stops: &AtomicBool, ended: &AtomicUsize) -> Result<Told, Failed> {
    let mut told = Told::default();
    producers.init("p", "tx")?;
    for number in 0.. {
        if stops.load(Ordering::Relaxed) {
            break;
        }
        producers.begin("p")?;
        producers.send("p", "a", &number.to_string())?;
        producers.send("p", "b", &number.to_string())?;
        producers.offsets("p", "g", "a", number as i64)?;
        let commits = number % 4 != 3;
        producers.end("p", commits)?;
        if commits {
            told.committed.insert(number);
        } else {
            told.aborted += 1;
        }
        ended.fetch_add(1, Ordering::Relaxed);
    }
    Ok(told)
}

fn survive<P: Producers + Send>(at: impl FnOnce(&str) -> Result<P, Failed>) -> Outcome {
    let number = |name: &str| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let kills = number("OTTLA_KILLS").map_or(KILLS, |kills| kills as usize);
    let seed = number("OTTLA_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{kills} kills; again with OTTLA_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let port = ports::free()?;
    let dir = Dir(env::temp_dir().join(format!("ottla-killed-{}-{port}", std::process::id())));
    let mut broker = Broker::start(port, &dir.0)?;
    let bootstrap = format!("127.0.0.1:{port}");
    let mut producers = at(&bootstrap)?;
    let (stops, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let told = std::thread::scope(|scope| {
        let transacting = scope.spawn(|| transact(&mut producers, &stops, &ended));
        let mut kill = || {
            let before = ended.load(Ordering::Relaxed);
            until(PATIENCE, "a transaction that ended", || {
                transacting.is_finished() || ended.load(Ordering::Relaxed) > before
            })?;
            std::thread::sleep(Duration::from_micros(rng.u64(0..400_000)));
            broker.kill_and_start()
        };
        let killed: Outcome = (0..kills).try_for_each(|_| kill());
        stops.store(true, Ordering::Relaxed);
        let told = transacting.join().map_err(|_| Failed::from("the producer panicked"))?;
        killed.and(told)
    })?;
    for topic in ["a", "b"] {
        let mut command = Command::new(binary::ottla()?);
        command.args(["consume", topic, "-e", "--isolation", "read_committed", "-b", &bootstrap]);
        let read = run(&command, PATIENCE)?.stdout;
        let read: Vec<usize> = read.lines().map(str::parse).collect::<Result<_, _>>()?;
        equal("each committed number once, in order", read, told.committed.iter().copied().collect())?;
    }
    let offsets = wait(async {
        let admin = Admin::builder().bootstrap_servers([&bootstrap]).build().await?;
        Ok(admin.committed_offsets("g").await?)
    })?;
    let offset = offsets.values().map(|committed| committed.offset).next();
    equal("the offset", offset, told.committed.last().map(|last| *last as i64))?;
    println!("{kills} kills: {} transactions committed, {} aborted", told.committed.len(), told.aborted);
    holds("some are aborted", told.aborted > 0 || kills < KILLS)
}
