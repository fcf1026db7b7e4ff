//! One lap in a process of its own, so that its CPU and its peak of memory are its own: the child's side, which reads
//! and prints, and the parent's, which starts it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ottla_bench_child::{Course, Lap};
use ottla_conformance::process;

use crate::consumer;
use crate::peers;

pub(crate) const WITHIN: Duration = Duration::from_secs(600);

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

/// Reads, and prints what it has cost.
pub(crate) fn run(client: Client, course: &Course) -> Result<()> {
    match client {
        Client::Floor => ottla_bench_floor::read(course)?,
        Client::Poll => consumer::by_iterator(course)?,
        Client::Recv => consumer::by_recv(course)?,
    }
    .print()
}

/// Lets a child read.
pub(crate) fn start(client: Client, course: &Course) -> Result<Lap> {
    start_of(&std::env::current_exe()?, client, course)
}

/// Lets a child of another build of this program read.
pub(crate) fn start_of(program: &Path, client: Client, course: &Course) -> Result<Lap> {
    let mut child = Command::new(program);
    let client = client.to_possible_value().context("a client without a name")?;
    child.args(["lap", client.get_name()]);
    finish(child, course.args())
}

/// Lets another client's program read.
pub(crate) fn start_peer(program: &Command, course: &Course) -> Result<Lap> {
    let mut child = peers::again(program);
    child.arg("lap");
    finish(child, course.args())
}

/// A variable of glibc's, and what it is set to for each lap: copies are made by plain moves, never by `rep movsb`. On an AMD EPYC
/// that took 25 times as long where the target lay less than 16 bytes behind the source, modulo a page: a matter of luck for two
/// buffers of a heap, as those are that rustls copies each record of TLS between.
const COPIES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=0x10000000");

/// Lets a child lap, and takes what it prints.
pub(crate) fn finish(mut child: Command, args: Vec<String>) -> Result<Lap> {
    if std::env::var_os(COPIES.0).is_none() {
        child.env(COPIES.0, COPIES.1);
    }
    let output = process::run(child.args(args), WITHIN)?;
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
