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

#[path = "suite/acknowledgements.rs"]
mod acknowledgements;
#[path = "suite/administering.rs"]
mod administering;
#[path = "suite/agreed.rs"]
mod agreed;
#[path = "suite/assignors.rs"]
mod assignors;
#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/behaviours.rs"]
mod behaviours;
#[path = "suite/brokers.rs"]
mod brokers;
#[path = "suite/browsed.rs"]
mod browsed;
#[path = "suite/browsed_writes.rs"]
mod browsed_writes;
#[path = "suite/callbacks.rs"]
mod callbacks;
#[path = "suite/cases.rs"]
mod cases;
#[path = "suite/changed_logs.rs"]
mod changed_logs;
#[path = "suite/cli.rs"]
mod cli;
#[path = "suite/consume_processes.rs"]
mod consume_processes;
#[path = "suite/dead_letters.rs"]
mod dead_letters;
#[path = "suite/deleted_topics.rs"]
mod deleted_topics;
#[path = "suite/deletions.rs"]
mod deletions;
#[path = "suite/doctor.rs"]
mod doctor;
#[path = "suite/doctor_brokers.rs"]
mod doctor_brokers;
#[path = "suite/doctor_groups.rs"]
mod doctor_groups;
#[path = "suite/doctor_healthy.rs"]
mod doctor_healthy;
#[path = "suite/exactly_once.rs"]
mod exactly_once;
#[path = "suite/exactly_once_processors.rs"]
mod exactly_once_processors;
#[path = "suite/explain.rs"]
mod explain;
#[path = "suite/failures.rs"]
mod failures;
#[path = "suite/followers.rs"]
mod followers;
#[path = "suite/groups.rs"]
mod groups;
#[path = "suite/groups_changed.rs"]
mod groups_changed;
#[path = "suite/groups_deleted.rs"]
mod groups_deleted;
#[path = "suite/groups_reset.rs"]
mod groups_reset;
#[path = "suite/groups_shared.rs"]
mod groups_shared;
#[path = "suite/groups_shown.rs"]
mod groups_shown;
#[path = "suite/groups_staged.rs"]
mod groups_staged;
#[path = "suite/guarantees.rs"]
mod guarantees;
#[path = "suite/guarded.rs"]
mod guarded;
#[path = "suite/handlers.rs"]
mod handlers;
#[path = "suite/harness.rs"]
mod harness;
#[path = "suite/in_hand.rs"]
mod in_hand;
#[path = "suite/isolation.rs"]
mod isolation;
#[path = "suite/java_clients.rs"]
mod java_clients;
#[path = "suite/kcat.rs"]
mod kcat;
#[path = "suite/killed.rs"]
mod killed;
#[path = "suite/kit.rs"]
mod kit;
#[path = "suite/lag_watched.rs"]
mod lag_watched;
#[path = "suite/librdkafka.rs"]
mod librdkafka;
#[path = "suite/machine.rs"]
mod machine;
#[path = "suite/membership.rs"]
mod membership;
#[path = "suite/misled.rs"]
mod misled;
#[path = "suite/mixed.rs"]
mod mixed;
#[path = "suite/observed.rs"]
mod observed;
#[path = "suite/observed_admin.rs"]
mod observed_admin;
#[path = "suite/observed_offsets.rs"]
mod observed_offsets;
#[path = "suite/observed_reading.rs"]
mod observed_reading;
#[path = "suite/own_producers.rs"]
mod own_producers;
#[path = "suite/own_transactions.rs"]
mod own_transactions;
#[path = "suite/pages.rs"]
mod pages;
#[path = "suite/positions.rs"]
mod positions;
#[path = "suite/processing.rs"]
mod processing;
#[path = "suite/produce_process.rs"]
mod produce_process;
#[path = "suite/protocol.rs"]
mod protocol;
#[path = "suite/public_face.rs"]
mod public_face;
#[path = "suite/pushed_metrics.rs"]
mod pushed_metrics;
#[path = "suite/raw.rs"]
mod raw;
#[path = "suite/raw_transactions.rs"]
mod raw_transactions;
#[path = "suite/records.rs"]
mod records;
#[path = "suite/registered.rs"]
mod registered;
#[path = "suite/scene.rs"]
mod scene;
#[path = "suite/scenes.rs"]
mod scenes;
#[path = "suite/secured.rs"]
mod secured;
#[path = "suite/secured_cli.rs"]
mod secured_cli;
#[path = "suite/secured_matrix.rs"]
mod secured_matrix;
#[path = "suite/secured_refusals.rs"]
mod secured_refusals;
#[path = "suite/secured_renewals.rs"]
mod secured_renewals;
#[path = "suite/secured_rights.rs"]
mod secured_rights;
#[path = "suite/served.rs"]
mod served;
#[path = "suite/throttle.rs"]
mod throttle;
#[path = "suite/topics_shown.rs"]
mod topics_shown;
#[path = "suite/transactions.rs"]
mod transactions;

use std::process::ExitCode;

use cases::Case;
use libtest_mimic::{Arguments, Trial};
use machine::{AT_ONCE, Load};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cases = all();
    // Heavy ones wait for each other. Each may have a thread meanwhile, so that the light ones go on.
    let heavy = cases.iter().filter(|case| case.load() == Load::Heavy).count();
    arguments.test_threads.get_or_insert(AT_ONCE + heavy);
    let conclusion = libtest_mimic::run(&arguments, in_order(cases));
    ottla_conformance::kafka::stop_shared();
    ottla_conformance::registry::stop_shared();
    cases::print_slowest(40);
    conclusion.exit_code()
}

/// The heavy ones first, as they take the longest; at the end those that measure time.
fn in_order(mut cases: Vec<Case>) -> Vec<Trial> {
    cases.sort_by_key(|case| match case.load() {
        Load::Heavy => 0,
        Load::Light => 1,
        Load::Timed => 2,
    });
    cases.into_iter().flat_map(Case::trials).collect()
}

fn all() -> Vec<Case> {
    [
        harness::cases(),
        protocol::cases(),
        assignors::cases(),
        records::cases(),
        acknowledgements::cases(),
        positions::cases(),
        groups::cases(),
        groups_shown::cases(),
        groups_staged::cases(),
        groups_shared::cases(),
        kcat::cases(),
        topics_shown::cases(),
        groups_reset::cases(),
        groups_changed::cases(),
        groups_deleted::cases(),
        administering::cases(),
        membership::cases(),
        scenes::cases(),
        deleted_topics::cases(),
        explain::cases(),
        throttle::cases(),
        mixed::cases(),
        agreed::cases(),
        brokers::cases(),
        followers::cases(),
        misled::cases(),
        callbacks::cases(),
        librdkafka::cases(),
        java_clients::cases(),
        dead_letters::cases(),
        pushed_metrics::cases(),
        consume_processes::cases(),
        produce_process::cases(),
        bad_input::cases(),
        failures::cases(),
        lag_watched::cases(),
        served::cases(),
        browsed::cases(),
        browsed_writes::cases(),
        doctor::cases(),
        doctor_brokers::cases(),
        doctor_groups::cases(),
        doctor_healthy::cases(),
        public_face::cases(),
        secured::cases(),
        secured_matrix::cases(),
        secured_refusals::cases(),
        secured_renewals::cases(),
        secured_rights::cases(),
        secured_cli::cases(),
        guarded::cases(),
        deletions::cases(),
        changed_logs::cases(),
        transactions::cases(),
        behaviours::cases(),
        pages::cases(),
        observed::cases(),
        observed_admin::cases(),
        observed_offsets::cases(),
        observed_reading::cases(),
        killed::cases(),
        own_transactions::cases(),
        exactly_once::cases(),
        exactly_once_processors::cases(),
        guarantees::cases(),
        processing::cases(),
        handlers::cases(),
        registered::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
