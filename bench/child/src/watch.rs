//! How late records come: each begins with the time at which it was sent.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;

use crate::{Course, Lap, Meter};

/// What is read as it is written: a course, whose readers begin at the ends of its partitions.
#[derive(Debug, Clone, Args)]
pub struct Watch {
    /// Which records, and how many of them are measured.
    #[command(flatten)]
    pub course: Course,
    /// So many are read before the lap begins: connections stand by then, and a JVM is warm.
    #[arg(long)]
    pub before: u64,
}

impl Watch {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        [self.course.args(), vec!["--before".to_owned(), self.before.to_string()]].concat()
    }
}

/// Counts how late each record is.
#[derive(Debug)]
pub struct Delays {
    before: u64,
    wanted: usize,
    meter: Meter,
    micros: Vec<u64>,
}

impl Delays {
    /// None so far.
    pub fn new(watch: &Watch) -> Self {
        let wanted = watch.course.records as usize;
        Self { before: watch.before, wanted, meter: Meter::new(), micros: Vec::with_capacity(wanted) }
    }

    /// A record was handed out.
    pub fn add(&mut self, value: Option<&[u8]>) -> Result<()> {
        if self.before > 0 {
            self.before -= 1;
            return Ok(());
        }
        let value = value.context("a record without a time")?;
        let sent = value.first_chunk().context("a record with half a time")?;
        self.meter.begin()?;
        self.meter.add(None, Some(value));
        self.micros.push(now_micros().saturating_sub(u64::from_be_bytes(*sent)));
        Ok(())
    }

    /// Whether enough of them were.
    pub fn is_complete(&self) -> bool {
        self.micros.len() >= self.wanted
    }

    /// The last one was.
    pub fn end(self) -> Result<Lap> {
        Ok(Lap { delays: self.micros, ..self.meter.end()? })
    }
}

/// On the clock that all processes share.
pub fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
