//! One run: a fresh topic, a steady producer, a group of each client, and the events in turn.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ottla_bench_child::{Membership, now_millis};
use ottla_conformance::kafka::Cluster;
use ottla_conformance::targets::unique;
use ottla_conformance::wait::until;

use super::client::{Client, Programs};
use super::figures::{self, Window};
use super::group::{Group, Printer};
use super::ledger::{Delivery, Ledger};
use super::report::{Measured, Report};
use super::{
    BROKER_SESSION_MILLIS, COMMIT_MILLIS, Event, HEARTBEAT_MILLIS, Options, PARTITIONS, SESSION_MILLIS,
    coordinator,
};

/// Between one group's event and the next's, so that they do not slow each other down; no multiple of the heartbeats'
/// interval, so that over the runs a kill finds each client's heartbeats anywhere between two.
const STAGGER: Duration = Duration::from_millis(1370);
/// A group that is not steady by then is reported as such.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(60);
/// What is not there so long after the last record is lost.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) number: usize,
    pub(super) clients: &'a [Client],
    /// In their order.
    pub(super) events: &'a [Event],
    pub(super) options: &'a Options,
}

/// Until a try begins with steady groups: one that was not has nothing to be measured.
pub(super) fn run(
    plan: &Plan<'_>,
    programs: &Programs,
    cluster: &Cluster,
    report: &mut Report,
) -> Result<()> {
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        match attempt(plan, programs, cluster, report)? {
            Ok(()) => return Ok(()),
            Err(unsteady) => eprintln!("run {}: {unsteady}", plan.number + 1),
        }
    }
    bail!("no run of {TRIES} began with steady groups")
}

/// One try; or which group was not steady before the first event.
fn attempt(
    plan: &Plan<'_>,
    programs: &Programs,
    cluster: &Cluster,
    report: &mut Report,
) -> Result<Result<(), String>> {
    let (bootstrap, topic) = (cluster.bootstrap(), unique("failover"));
    let tools = cluster.tools();
    tools.create_topic(&topic, PARTITIONS, 3, &[("min.insync.replicas", "1")])?;
    let coordinator = coordinator::of(&bootstrap, &topic)?;
    let groups = plan.clients.iter().map(|&client| group(programs, client, &bootstrap, &topic, coordinator));
    let mut groups: Vec<Group> = groups.collect::<Result<_>>()?;
    let acknowledged = Arc::new(Ledger::new(PARTITIONS as usize));
    let produce = programs.producer(&bootstrap, &topic, PARTITIONS, plan.options.per_second);
    let mut producer = Printer::start(produce, &acknowledged, 0)?;
    producer.order()?;

    let first = plan.events.first().context("no events")?;
    for _ in 0..if *first == Event::Close { 3 } else { 2 } {
        groups.iter_mut().try_for_each(Group::join)?;
    }
    if let Some((client, _)) = settle(&mut groups).into_iter().find(|(_, until)| until.is_none()) {
        let group = groups.iter().find(|group| group.client == client);
        let owners = group.map(|group| group.ledger.owners(now_millis()));
        return Ok(Err(format!("the group of {client} is not steady: {owners:?}")));
    }
    let mut windows = Vec::new();
    for &event in plan.events {
        eprintln!("run {}: {event:?}", plan.number + 1);
        windows.push((event, happen(event, plan.number, coordinator, cluster, &mut groups)?));
    }

    producer.order()?;
    until(END_WITHIN, "the end of the producer", || !producer.is_running())?;
    producer.kill();
    let all = acknowledged.len();
    // What a group lost it will not have; what comes late, it may.
    let _ = until(DRAIN_WITHIN, "all records", || groups.iter().all(|group| group.ledger.len() >= all));
    sleep(Duration::from_millis(500));
    groups.iter_mut().for_each(Group::end);
    let acknowledged = acknowledged.deliveries();
    if let Some(folder) = &plan.options.ledgers {
        write(folder, &format!("{topic}-producer"), &acknowledged)?;
    }
    for (index, group) in groups.iter().enumerate() {
        let deliveries = group.ledger.deliveries();
        if let Some(folder) = &plan.options.ledgers {
            write(folder, &format!("{topic}-{}", group.client), &deliveries)?;
        }
        for (position, (event, of_groups)) in windows.iter().enumerate() {
            let Some(&(window, settled)) = of_groups.get(index) else { continue };
            let next = windows.get(position + 1).and_then(|(_, next)| next.get(index));
            let next = next.map_or(u64::MAX, |(next, _)| next.from);
            if plan.options.ledgers.is_some() {
                eprintln!("{topic}-{} {event:?}: {} to {}", group.client, window.from, window.until);
            }
            let figures = figures::figures(&deliveries, &acknowledged, window, next);
            report.add(Measured { event: *event, client: group.client, settled, figures });
        }
    }
    tools.delete_topic(&topic)?;
    Ok(Ok(()))
}

/// A line for each: when, which partition, which record, which member.
fn write(folder: &Path, name: &str, deliveries: &[Delivery]) -> Result<()> {
    let mut file = BufWriter::new(File::create(folder.join(name))?);
    for Delivery { at, partition, number, member } in deliveries {
        writeln!(file, "{at} {partition} {number} {member}")?;
    }
    Ok(file.flush()?)
}

/// Three processes, of which the first two or three will be told to join.
fn group(
    programs: &Programs,
    client: Client,
    bootstrap: &str,
    topic: &str,
    coordinator: i32,
) -> Result<Group> {
    let membership = Membership {
        bootstrap: bootstrap.to_owned(),
        topic: topic.to_owned(),
        group: coordinator::name(bootstrap, &format!("{topic}-{client}"), coordinator)?,
        protocol: client.protocol,
        session_millis: SESSION_MILLIS,
        heartbeat_millis: HEARTBEAT_MILLIS,
        commit_millis: COMMIT_MILLIS,
    };
    let commands = (0..3).map(|_| programs.member(client.product, &membership)).collect::<Result<_>>()?;
    Group::new(client, PARTITIONS, commands)
}

/// Lets an event happen to all groups; what each one's window was, and whether it was steady in the end.
fn happen(
    event: Event,
    turn: usize,
    coordinator: i32,
    cluster: &Cluster,
    groups: &mut [Group],
) -> Result<Vec<(Window, bool)>> {
    groups.iter_mut().for_each(Group::unsettle);
    let mut begun = vec![now_millis(); groups.len()];
    if event == Event::Broker {
        cluster.kill(coordinator as u32)?;
        // Before, nothing is known to have happened but where a connection broke.
        sleep(Duration::from_millis(BROKER_SESSION_MILLIS) + STAGGER);
    } else {
        // Each run begins with another group.
        let first = turn % groups.len();
        for index in (first..groups.len()).chain(0..first) {
            let (Some(group), Some(begun)) = (groups.get_mut(index), begun.get_mut(index)) else { continue };
            *begun = now_millis();
            match event {
                Event::Join => group.join()?,
                Event::Close => group.close(turn)?,
                Event::Kill | Event::Broker => group.kill(turn)?,
            }
            sleep(STAGGER);
        }
    }
    let ends = settle(groups);
    if event == Event::Broker {
        cluster.restart(coordinator as u32)?;
        groups.iter_mut().for_each(Group::unsettle);
        settle(groups);
    }
    let window = |(from, (_, until)): (u64, (Client, Option<u64>))| {
        (Window { from, until: until.unwrap_or_else(now_millis) }, until.is_some())
    };
    Ok(begun.into_iter().zip(ends).map(window).collect())
}

/// Waits until all groups are steady: when each was, in their order.
fn settle(groups: &mut [Group]) -> Vec<(Client, Option<u64>)> {
    let mut ends: Vec<(Client, Option<u64>)> = groups.iter().map(|group| (group.client, None)).collect();
    // Who is not steady in time has no end.
    let _ = until(SETTLE_WITHIN, "steady groups", || {
        for (group, (_, end)) in groups.iter_mut().zip(&mut ends) {
            if end.is_none() && group.is_settled() {
                *end = Some(now_millis());
            }
        }
        ends.iter().all(|(_, end)| end.is_some())
    });
    ends
}
