//! A process that holds partitions, seen from outside: what it has told, and what it costs as the kernel counts it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_bench_child::{Holding, now_millis};
use ottla_conformance::process::Process;
use ottla_conformance::wait::until_some;

pub(super) struct Holder {
    process: Process,
    started: u64,
}

impl Holder {
    pub(super) fn start(mut command: Command, holding: &Holding) -> Result<Self> {
        command.arg("hold").args(holding.args());
        let started = now_millis();
        Ok(Self { process: Process::spawn_with_input(&command)?, started })
    }

    /// All that it has told so far, and how many milliseconds after its start.
    fn told(&self) -> Vec<(String, u64)> {
        let told = |line: &String| {
            let (what, at) = line.rsplit_once(' ')?;
            Some((what.to_owned(), at.parse::<u64>().ok()?.saturating_sub(self.started)))
        };
        self.process.lines().iter().filter_map(told).collect()
    }

    /// Waits until it tells this; when it first did, in milliseconds after its start.
    pub(super) fn wait_for(&mut self, what: &str, within: Duration) -> Result<u64> {
        let found = until_some(within, what, || {
            let told = self.told().into_iter().find(|(told, _)| told == what).map(|(_, at)| at);
            told.map(Some).or_else(|| (!self.process.is_running()).then_some(None))
        });
        let context = || format!("{:?}; it told {:?}", self.process.stderr(), self.told());
        found.with_context(context)?.with_context(context)
    }

    /// How many partitions it has, and when it had them and was handed a record of them, where it was; a time of the clock that
    /// all processes share.
    pub(super) fn has(&self) -> (u64, Option<u64>) {
        let told = self.told();
        let owns = told.iter().rposition(|(what, _)| what.starts_with("owns-"));
        let owned = owns.and_then(|at| told.get(at)?.0.strip_prefix("owns-")?.parse().ok());
        let behind = owns.and_then(|at| told.get(at..)).unwrap_or_default();
        let record = behind.iter().find(|(what, _)| what == "record").map(|(_, at)| self.started + at);
        (owned.unwrap_or_default(), record)
    }

    /// When it was started, on that clock.
    pub(super) fn started(&self) -> u64 {
        self.started
    }

    /// What its threads have had of the CPU so far, in nanoseconds.
    pub(super) fn cpu_nanos(&self) -> Result<u64> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split(' ').next().context("an empty schedstat")?;
            nanos += first.parse::<u64>()?;
        }
        Ok(nanos)
    }

    /// Its anonymous memory, garbage that it knows of collected.
    pub(super) fn memory_kib(&mut self, within: Duration) -> Result<u64> {
        self.process.write(b"collect\n")?;
        self.wait_for("collected", within)?;
        self.status_kib("RssAnon:")
    }

    /// A line of what the kernel tells of the process.
    pub(super) fn status_kib(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// It must not have given up by itself.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        ensure!(self.process.is_running(), "it ended: {}", self.process.stderr());
        Ok(())
    }
}
