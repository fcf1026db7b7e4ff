//! Ottla beside the floor, on a real Kafka: what a record costs, what memory a slow reader costs, and whether work and
//! fetching overlap. README.md has the method.

mod columns;
mod compare;
mod consumer;
mod floor;
mod lap;
mod load;
mod memory;
mod meter;
mod overlap;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::lap::{Client, Course};

#[derive(Debug, Parser)]
#[command(name = "ottla-bench", about = "Measures Ottla beside the floor on a real Kafka")]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// CPU per record over the floor's, column by column.
    Run(compare::Options),
    /// Whether fetching goes on while the user works.
    Overlap(overlap::Options),
    /// The peak of memory of slow and fast readers of three brokers.
    Memory(memory::Options),
    /// One lap, in the process that the others measure.
    #[command(hide = true)]
    Lap {
        client: Client,
        #[command(flatten)]
        course: Course,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Verb::Run(options) => compare::run(&options),
        Verb::Overlap(options) => overlap::run(&options),
        Verb::Memory(options) => memory::run(&options),
        Verb::Lap { client, course } => lap::run(client, &course),
    }
}
