//! The `main` of a peer that laps, on a runtime as Ottla's own laps have it.

use anyhow::{Result, bail};
use clap::Parser;

use crate::{Course, Lap, Watch, Writing};

#[derive(Debug, Parser)]
enum Verb {
    /// Reads a topic once.
    Lap {
        #[command(flatten)]
        course: Course,
    },
    /// Writes a topic.
    LapWrite {
        #[command(flatten)]
        writing: Writing,
    },
    /// Reads a topic as it is written.
    LapLatency {
        #[command(flatten)]
        watch: Watch,
    },
}

/// Lets `read` read what the arguments say, and prints what it has cost.
pub fn lap(read: impl AsyncFnOnce(&Course) -> Result<Lap>) -> Result<()> {
    peer(read, async |_| bail!("it does not write"), async |_| bail!("it does not watch"))
}

/// Lets one of the three do what the arguments say, and prints what it has cost.
pub fn peer(
    read: impl AsyncFnOnce(&Course) -> Result<Lap>,
    write: impl AsyncFnOnce(&Writing) -> Result<Lap>,
    watch: impl AsyncFnOnce(&Watch) -> Result<Lap>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lap = match Verb::parse() {
        Verb::Lap { course } => runtime.block_on(read(&course)),
        Verb::LapWrite { writing } => runtime.block_on(write(&writing)),
        Verb::LapLatency { watch: what } => runtime.block_on(watch(&what)),
    };
    lap?.print()
}
