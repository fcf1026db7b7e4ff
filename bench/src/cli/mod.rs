//! What the `ottla` command costs, beyond the consumer and the producer in it.

pub(crate) mod memory;
mod scan;
mod wake_ups;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::peers;

#[derive(Debug, Subcommand)]
pub(crate) enum Measure {
    /// The peak of memory of `ottla consume`, reading a topic of a real Kafka to /dev/null.
    Memory(memory::Options),
    /// How often the producer's driver is woken for each batch that `ottla produce` sends to an embedded broker.
    WakeUps(wake_ups::Options),
    /// What it takes to look at all groups, beside Kafka's own tool, and what `ottla serve` holds.
    Scan(scan::Options),
}

pub(crate) fn run(measure: &Measure) -> Result<()> {
    match measure {
        Measure::Memory(options) => memory::run(options),
        Measure::WakeUps(options) => wake_ups::run(options),
        Measure::Scan(options) => scan::run(options),
    }
}

/// Which command.
#[derive(Debug, Args)]
struct Ottla {
    /// The command; by default this checkout's, which is built first.
    #[arg(long, value_name = "PROGRAM")]
    ottla: Option<PathBuf>,
}

impl Ottla {
    fn program(&self) -> Result<PathBuf> {
        match &self.ottla {
            Some(program) => peers::whole(program),
            None => peers::ottla(),
        }
    }
}
