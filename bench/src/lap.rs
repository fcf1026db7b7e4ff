//! One lap in a process of its own, so that its CPU and its peak of memory are its own: the child's side, which reads
//! and prints, and the parent's, which starts it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use ottla_conformance::process;

use crate::meter::Lap;
use crate::{consumer, floor};

const WITHIN: Duration = Duration::from_secs(600);

/// What reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// The floor.
    Floor,
    /// Ottla by iterator.
    Poll,
    /// Ottla record by record.
    Recv,
}

/// What a lap reads, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Course {
    #[arg(long)]
    pub(crate) bootstrap: String,
    #[arg(long)]
    pub(crate) topic: String,
    #[arg(long)]
    pub(crate) partitions: u32,
    #[arg(long)]
    pub(crate) records: u64,
    #[arg(long, default_value_t = 50 << 20)]
    pub(crate) fetch_max_bytes: i32,
    /// Work, by a thread that sleeps, for each million bytes of keys and values.
    #[arg(long, default_value_t = 0)]
    pub(crate) millis_per_mb: u64,
}

/// Reads, and prints what it has cost.
pub(crate) fn run(client: Client, course: &Course) -> Result<()> {
    let lap = match client {
        Client::Floor => {
            floor::read(&course.bootstrap, &course.topic, course.records, course.fetch_max_bytes)?
        }
        Client::Poll => consumer::by_iterator(course)?,
        Client::Recv => consumer::by_recv(course)?,
    };
    println!("{}", serde_json::to_string(&lap)?);
    Ok(())
}

/// Lets a child read.
pub(crate) fn start(client: Client, course: &Course) -> Result<Lap> {
    let mut child = Command::new(std::env::current_exe()?);
    let client = client.to_possible_value().context("a client without a name")?;
    child.args(["lap", client.get_name(), "--bootstrap", &course.bootstrap, "--topic", &course.topic]);
    let numbers = [
        ("--partitions", u64::from(course.partitions)),
        ("--records", course.records),
        ("--fetch-max-bytes", course.fetch_max_bytes as u64),
        ("--millis-per-mb", course.millis_per_mb),
    ];
    child.args(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]));
    let output = process::run(&child, WITHIN)?;
    Ok(serde_json::from_str(&output.stdout)?)
}

/// The work that a lap is told to do beside reading.
pub(crate) struct Work {
    millis_per_mb: u64,
    done: u64,
}

impl Work {
    pub(crate) fn new(millis_per_mb: u64) -> Self {
        Self { millis_per_mb, done: 0 }
    }

    /// Works for what came in since the last call. It blocks the thread, as a handler may.
    pub(crate) fn up_to(&mut self, bytes: u64) {
        let due = bytes / 1_000_000 * u64::from(self.millis_per_mb > 0);
        for _ in self.done..due {
            std::thread::sleep(Duration::from_millis(self.millis_per_mb));
        }
        self.done = due;
    }
}
