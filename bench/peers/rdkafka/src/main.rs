//! librdkafka as the bench measures it: a lap of the base consumer, a member of a group, and the producer whose
//! acknowledgements are the clock of a failover.

mod lap;
mod member;
mod producer;

use anyhow::Result;
use clap::Parser;
use ottla_bench_child::{Course, Membership};

#[derive(Debug, Parser)]
enum Verb {
    /// Reads a topic once.
    Lap {
        #[command(flatten)]
        course: Course,
    },
    /// Is a member of a group until told to leave.
    Member {
        #[command(flatten)]
        membership: Membership,
    },
    /// Writes numbered records at a steady pace.
    Produce {
        #[command(flatten)]
        pace: producer::Pace,
    },
}

fn main() -> Result<()> {
    match Verb::parse() {
        Verb::Lap { course } => lap::read(&course)?.print(),
        Verb::Member { membership } => member::run(&membership),
        Verb::Produce { pace } => producer::run(&pace),
    }
}
