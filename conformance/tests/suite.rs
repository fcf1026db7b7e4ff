//! The conformance suite: each case runs against the embedded broker, a real Kafka cluster, or both.
//!
//! A case whose target cannot be had on this machine is reported as ignored, with the reason; with `CI=true` it
//! fails. `OTTLA_KAFKA=off` spares a developer the cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails; clippy does not see tests without #[test]"
)]

#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/cases.rs"]
mod cases;
#[path = "suite/cli.rs"]
mod cli;
#[path = "suite/consume_processes.rs"]
mod consume_processes;
#[path = "suite/failures.rs"]
mod failures;
#[path = "suite/groups.rs"]
mod groups;
#[path = "suite/harness.rs"]
mod harness;
#[path = "suite/java_clients.rs"]
mod java_clients;
#[path = "suite/kit.rs"]
mod kit;
#[path = "suite/librdkafka.rs"]
mod librdkafka;
#[path = "suite/membership.rs"]
mod membership;
#[path = "suite/positions.rs"]
mod positions;
#[path = "suite/produce_process.rs"]
mod produce_process;
#[path = "suite/protocol.rs"]
mod protocol;
#[path = "suite/records.rs"]
mod records;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// The cluster takes most of two cores by itself.
const THREADS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let trials: Vec<Trial> = all().into_iter().flat_map(cases::Case::trials).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    ottla_conformance::kafka::stop_shared();
    conclusion.exit_code()
}

fn all() -> Vec<cases::Case> {
    [
        harness::cases(),
        protocol::cases(),
        records::cases(),
        positions::cases(),
        groups::cases(),
        membership::cases(),
        librdkafka::cases(),
        java_clients::cases(),
        consume_processes::cases(),
        produce_process::cases(),
        bad_input::cases(),
        failures::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
