//! The `main` of a peer that laps and nothing else, on a runtime as Ottla's own laps have it.

use anyhow::Result;
use clap::Parser;

use crate::{Course, Lap};

#[derive(Debug, Parser)]
enum Verb {
    /// Reads a topic once.
    Lap {
        #[command(flatten)]
        course: Course,
    },
}

/// Lets `read` read what the arguments say, and prints what it has cost.
pub fn lap(read: impl AsyncFnOnce(&Course) -> Result<Lap>) -> Result<()> {
    let Verb::Lap { course } = Verb::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(read(&course))?.print()
}
