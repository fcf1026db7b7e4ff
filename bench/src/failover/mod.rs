//! Time without delivery: what a group's members do not hand out while another joins, leaves or dies, or a broker
//! dies. All clients' groups read one topic at the same time, so that what else the machine does hits all alike; a
//! broker dies for all of them at once, and the other events happen to one group after the other.

mod client;
mod coordinator;
mod figures;
mod group;
mod ledger;
mod report;
mod run;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use ottla_conformance::kafka::{Cluster, Config};

use client::{Client, Programs};
use report::Report;

const NODES: u32 = 3;
const PARTITIONS: u32 = 12;
const SESSION_MILLIS: u64 = 6_000;
const HEARTBEAT_MILLIS: u64 = 1_000;
const COMMIT_MILLIS: u64 = 5_000;
/// Kafka's default: how long the cluster itself takes to notice that a broker is dead.
const BROKER_SESSION_MILLIS: u64 = 9_000;

/// What happens to a group of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Event {
    /// A third member joins.
    Join,
    /// One of three leaves.
    Close,
    /// The broker dies that coordinates all groups, and leads a third of the partitions.
    Broker,
    /// One of two members dies.
    Kill,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each event happens to each group.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Which events; all by default.
    #[arg(long, value_delimiter = ',')]
    events: Vec<Event>,
    /// Whose groups; all by default. What is left out is not compared with.
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Client>,
    /// Records a second, over twelve partitions.
    #[arg(long, default_value_t = 2_000)]
    per_second: u64,
    /// A folder for what each run's members were handed: a file for each group, and one for the producer.
    #[arg(long)]
    ledgers: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut events = options.events.clone();
    if events.is_empty() {
        events = Event::value_variants().to_vec();
    }
    // Each run takes them in this order, as a group of three comes from a group of two.
    events.sort();
    events.dedup();
    let clients = if options.clients.is_empty() { Client::ALL.to_vec() } else { options.clients.clone() };
    let programs = Programs::build(&clients)?;
    let cluster = Cluster::start(
        Config::new(NODES)
            .set("broker.session.timeout.ms", BROKER_SESSION_MILLIS)
            .set("broker.heartbeat.interval.ms", 2_000)
            .set("group.consumer.session.timeout.ms", SESSION_MILLIS)
            .set("group.consumer.heartbeat.interval.ms", HEARTBEAT_MILLIS)
            // No leader moves but where an event moves it.
            .set("auto.leader.rebalance.enable", false),
    )?;
    let mut report = Report::default();
    for number in 0..options.runs {
        run::run(
            &run::Plan { number, clients: &clients, events: &events, options },
            &programs,
            &cluster,
            &mut report,
        )?;
    }
    println!("{}", report.table(&clients));
    Ok(())
}
