//! librdkafka as the bench measures it: laps of the base consumer and of the producer, a member of a group, and the
//! producer whose acknowledgements are the clock of a failover.

mod hold;
mod lap;
mod member;
mod producer;
mod pulse;
mod transform;
mod write;

use anyhow::Result;
use clap::Parser;
use ottla_bench_child::{Course, Holding, Membership, Transforming, Watch, Writing};

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
    /// Sends a topic's records on, exactly once.
    LapTransform {
        #[command(flatten)]
        transforming: Transforming,
    },
    /// Reads a topic as it is written.
    LapLatency {
        #[command(flatten)]
        watch: Watch,
    },
    /// Is a member of a group until told to leave.
    Member {
        #[command(flatten)]
        membership: Membership,
    },
    /// Holds very many partitions.
    Hold {
        #[command(flatten)]
        holding: Holding,
    },
    /// Writes numbered records at a steady pace.
    Produce {
        #[command(flatten)]
        pace: producer::Pace,
    },
    /// Writes records that carry their time, one by one.
    Pulse {
        #[command(flatten)]
        pace: producer::Pace,
    },
}

fn main() -> Result<()> {
    match Verb::parse() {
        Verb::Lap { course } => lap::read(&course)?.print(),
        Verb::LapWrite { writing } => write::write(&writing)?.print(),
        Verb::LapTransform { transforming } => transform::transform(&transforming)?.print(),
        Verb::LapLatency { watch } => lap::watch(&watch)?.print(),
        Verb::Member { membership } => member::run(&membership),
        Verb::Hold { holding } => hold::run(&holding),
        Verb::Produce { pace } => producer::run(&pace),
        Verb::Pulse { pace } => pulse::run(&pace),
    }
}
