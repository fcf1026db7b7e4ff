//! What a lap has cost: CPU and time from its first record on to its last, and the peak of memory.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// One reading or writing of a topic by one client, in a process of its own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Lap {
    /// How many were read, or written.
    pub records: u64,
    /// The lengths of all keys and values.
    pub bytes: u64,
    /// User and system time of all threads, from the first record to the last.
    pub cpu_micros: i64,
    /// From the first record to the last.
    pub seconds: f64,
    /// From the first call for a record to the last record.
    pub seconds_of_all: f64,
    /// The peak of memory.
    pub vm_hwm_kib: u64,
    /// Fetch responses, where the client tells.
    pub fetched: Option<u64>,
    /// Only the floor tells what the log is made of.
    pub log: Option<Log>,
    /// How many transactions were committed, where there are any.
    #[serde(default)]
    pub transactions: Option<u64>,
    /// How long a handler had a record, in the mean, in microseconds, where there are handlers that wait.
    #[serde(default)]
    pub handling_micros: Option<f64>,
    /// How late each record came, in microseconds, where that is measured.
    #[serde(default)]
    pub delays: Vec<u64>,
}

impl Lap {
    /// CPU.
    pub fn micros_per_record(&self) -> f64 {
        self.cpu_micros as f64 / self.records as f64
    }
}

/// What was read, batch by batch.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Log {
    /// How many there are.
    pub batches: u64,
    /// Whole batches, as the log has them.
    pub bytes: u64,
    /// As the log has it.
    pub largest_batch: u64,
    /// The largest batch's records, decompressed.
    pub largest_decompressed: u64,
}

/// Measures a lap.
#[derive(Debug)]
pub struct Meter {
    called: Instant,
    first: Option<(Instant, i64)>,
    /// So many so far.
    pub records: u64,
    /// The lengths of their keys and values.
    pub bytes: u64,
}

impl Meter {
    /// The client stands ready; what it did for that is not counted.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self { called: Instant::now(), first: None, records: 0, bytes: 0 }
    }

    /// A record is there, or about to be sent; only the first call counts.
    pub fn begin(&mut self) -> Result<()> {
        if self.first.is_none() {
            self.first = Some((Instant::now(), cpu_micros()?));
        }
        Ok(())
    }

    /// A record was read, or sent.
    #[inline]
    pub fn add(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.records += 1;
        self.bytes += (key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
    }

    /// The last record was read, or acknowledged.
    pub fn end(self) -> Result<Lap> {
        let (cpu_end, end) = (cpu_micros()?, Instant::now());
        let (start, cpu_start) = self.first.context("there was no record")?;
        Ok(Lap {
            records: self.records,
            bytes: self.bytes,
            cpu_micros: cpu_end - cpu_start,
            seconds: (end - start).as_secs_f64(),
            seconds_of_all: (end - self.called).as_secs_f64(),
            vm_hwm_kib: vm_hwm_kib()?,
            ..Lap::default()
        })
    }
}

/// User and system time of this process so far, all threads.
fn cpu_micros() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

/// User and system time of the thread that asks, so far.
pub fn thread_cpu_micros() -> Result<i64> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.num_microseconds())
}

/// The largest peak of memory of the children that were waited for, each with its own.
pub fn peak_of_children_kib() -> Result<u64> {
    // Linux counts in KiB.
    Ok(getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() as u64)
}

/// What the children that were waited for have used of the CPU.
pub fn cpu_of_children_micros() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

fn vm_hwm_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
