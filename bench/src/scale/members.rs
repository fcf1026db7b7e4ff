//! Very many members of one group: consumers of one process, which share a runtime, and as many processes as are asked for.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ottla::{Consumer, CooperativeStickyAssignor, GroupProtocol, OffsetReset};
use ottla_bench_child::{Holding, Way};
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::targets::unique;
use ottla_conformance::wait::until;

use super::holder::Holder;
use super::{HEARTBEAT_MILLIS, Options};
use crate::consumer::runtime;
use crate::topics::Topics;

/// So long a group may take to settle.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn run(options: &Options) -> Result<()> {
    let config = Config::new(1)
        .optimized()
        .jvm("-Xmx2g".to_owned())
        .set("log.index.size.max.bytes", 4_096)
        .set("group.consumer.heartbeat.interval.ms", HEARTBEAT_MILLIS)
        .set("group.consumer.session.timeout.ms", 45_000);
    let cluster = Cluster::start(config)?;
    let topics = Topics::new(&cluster.bootstrap())?;
    let (members, processes) = (options.members, options.processes);
    let topic = unique("members");
    topics.create(&topic, members.max(processes))?;
    println!(
        "| members | protocol | all have their partitions s | the rest when one has left s |\n|---|---|---|---|"
    );
    for way in [Way::Classic, Way::Consumer] {
        let (settled, left) = in_one_process(&cluster.bootstrap(), &topic, way, members)?;
        println!("| {members} in one process | {} | {settled:.1} | {left:.1} |", way.name());
    }
    for way in [Way::Classic, Way::Consumer] {
        let settled = in_processes(&cluster.bootstrap(), &topic, way, processes, members.max(processes))?;
        println!("| {processes} processes | {} | {settled:.1} | - |", way.name());
    }
    Ok(())
}

/// Each member polls in a task of its own, and its driver is another.
fn in_one_process(bootstrap: &str, topic: &str, way: Way, members: u32) -> Result<(f64, f64)> {
    let group = unique("members");
    runtime()?.block_on(async {
        let (mut monitors, mut tasks) = (Vec::new(), Vec::new());
        let began = Instant::now();
        for _ in 0..members {
            let builder = Consumer::builder()
                .bootstrap_servers(bootstrap.split(','))
                .group_id(&group)
                .auto_offset_reset(OffsetReset::Earliest)
                .ambient_runtime(true);
            let builder = match way {
                Way::Consumer => builder.group_protocol(GroupProtocol::Consumer),
                Way::Classic | Way::Assigned => builder.assignor(CooperativeStickyAssignor),
            };
            let mut consumer = builder.build().await?;
            consumer.subscribe([topic])?;
            monitors.push(consumer.monitor());
            tasks.push(tokio::spawn(async move {
                loop {
                    consumer.poll(Duration::from_secs(60)).await?;
                }
                #[expect(unreachable_code, reason = "it says what the task returns")]
                Ok::<(), ottla::RecvError>(())
            }));
        }
        let settle = async |monitors: &[ottla::Monitor]| -> Result<()> {
            let all = |monitors: &[ottla::Monitor]| {
                let counts = monitors.iter().map(|monitor| monitor.stats().partitions.len());
                counts.clone().sum::<usize>() == members as usize && counts.min() > Some(0)
            };
            let wait = async {
                while !all(monitors) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::time::timeout(PATIENCE, wait).await.context("the group does not settle")
        };
        settle(&monitors).await?;
        let settled = began.elapsed().as_secs_f64();
        let began = Instant::now();
        // A consumer that is dropped leaves its group.
        if let (Some(task), Some(_)) = (tasks.pop(), monitors.pop()) {
            task.abort();
        }
        settle(&monitors).await?;
        Ok((settled, began.elapsed().as_secs_f64()))
    })
}

/// Until each process has what is its own.
fn in_processes(bootstrap: &str, topic: &str, way: Way, processes: u32, partitions: u32) -> Result<f64> {
    let holding = Holding {
        bootstrap: bootstrap.to_owned(),
        topic: topic.to_owned(),
        partitions,
        records: u64::MAX,
        way,
        group: unique("members"),
        heartbeat_millis: HEARTBEAT_MILLIS,
    };
    let began = Instant::now();
    let program = std::env::current_exe()?;
    let start = |_| Holder::start(Command::new(&program), &holding);
    let members = (0..processes).map(start).collect::<Result<Vec<_>>>()?;
    until(PATIENCE, "members with partitions", || {
        let owned: Vec<u64> = members.iter().map(|member| member.has().0).collect();
        owned.iter().sum::<u64>() == u64::from(partitions) && !owned.contains(&0)
    })?;
    Ok(began.elapsed().as_secs_f64())
}
