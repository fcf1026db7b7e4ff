//! Ottla beside the floor and beside other clients, on a real Kafka: what a record costs, what memory a slow reader
//! costs, whether work and fetching overlap, and for how long a group delivers nothing. README.md has the method.

mod assignors;
mod broker;
mod cli;
mod columns;
mod compare;
mod consumer;
mod contender;
mod drain;
mod failover;
mod handshakes;
mod isolation;
mod lap;
mod laps;
mod latency;
mod load;
mod member;
mod memory;
mod overlap;
mod peers;
mod process;
mod scale;
mod stats;
mod table;
mod topics;
mod transform;
mod write;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use ottla_bench_child::{Course, Holding, Membership, Processing, Transforming, Watch, Writing};

use crate::lap::Client;

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
    /// CPU per record that is written, beside the other clients.
    Write(write::Options),
    /// What `read_committed` costs over `read_uncommitted`.
    Isolation(isolation::Options),
    /// Consume, transform, produce, exactly once, beside the other clients.
    Transform(transform::Options),
    /// A record handled, against the handler's time, beside the other processors.
    Process(process::Options),
    /// How late records come to each client, from one and the same producer.
    Latency(latency::Options),
    /// Whether fetching goes on while the user works.
    Overlap(overlap::Options),
    /// How much sooner two readers drain what is already fetched.
    Drain(drain::Options),
    /// The peak of memory of slow and fast readers of three brokers.
    Memory(memory::Options),
    /// What the `ottla` command costs.
    #[command(subcommand)]
    Cli(cli::Measure),
    /// For how long a group delivers nothing when a member joins, leaves or dies, or a broker dies.
    Failover(failover::Options),
    /// Ten thousand partitions in one consumer, beside the other clients.
    Scale(scale::Options),
    /// What it costs to agree upon TLS, and how often an earlier session spares it.
    Handshakes(handshakes::Options),
    /// What it costs a group's leader to share partitions out.
    Assignors(assignors::Options),
    /// One lap, in the process that the others measure.
    #[command(hide = true)]
    Lap {
        client: Client,
        #[command(flatten)]
        course: Course,
    },
    /// One lap of writing.
    #[command(hide = true)]
    LapWrite {
        #[command(flatten)]
        writing: Writing,
    },
    /// One lap of transforming.
    #[command(hide = true)]
    LapTransform {
        #[command(flatten)]
        transforming: Transforming,
    },
    /// One lap of handling.
    #[command(hide = true)]
    LapProcess {
        #[command(flatten)]
        processing: Processing,
    },
    /// One lap of reading what is being written.
    #[command(hide = true)]
    LapLatency {
        #[command(flatten)]
        watch: Watch,
        #[arg(long)]
        by_recv: bool,
    },
    /// The peak of memory of another program, in a process that has no other child.
    #[command(hide = true)]
    Peak {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// A member of a group, in a process that the others start and kill.
    #[command(hide = true)]
    Member {
        #[command(flatten)]
        membership: Membership,
    },
    /// A consumer of very many partitions.
    #[command(hide = true)]
    Hold {
        #[command(flatten)]
        holding: Holding,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Verb::Run(options) => compare::run(&options),
        Verb::Write(options) => write::run(&options),
        Verb::Isolation(options) => isolation::run(&options),
        Verb::Transform(options) => transform::run(&options),
        Verb::Process(options) => process::run(&options),
        Verb::Latency(options) => latency::run(&options),
        Verb::Overlap(options) => overlap::run(&options),
        Verb::Drain(options) => drain::run(&options),
        Verb::Memory(options) => memory::run(&options),
        Verb::Cli(measure) => cli::run(&measure),
        Verb::Failover(options) => failover::run(&options),
        Verb::Scale(options) => scale::run(&options),
        Verb::Handshakes(options) => handshakes::run(&options),
        Verb::Assignors(options) => assignors::run(&options),
        Verb::Lap { client, course } => lap::run(client, &course),
        Verb::LapWrite { writing } => write::lap(&writing)?.print(),
        Verb::LapTransform { transforming } => transform::lap(&transforming)?.print(),
        Verb::LapProcess { processing } => process::lap::run(&processing)?.print(),
        Verb::LapLatency { watch, by_recv } => consumer::watch(&watch, by_recv)?.print(),
        Verb::Peak { program, args } => cli::memory::peak(&program, &args),
        Verb::Member { membership } => member::run(&membership),
        Verb::Hold { holding } => scale::hold::run(&holding),
    }
}
