//! What it costs a leader to share partitions out.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use ottla::group::{LastAssignment, Member, PartitionRacks, Subscription};
use ottla::{Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor};

use crate::stats::median;

const ASSIGNORS: [&dyn Assignor; 4] =
    [&RangeAssignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor];

type Topics = BTreeMap<String, Vec<PartitionRacks>>;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many topics the partitions are of. Each member subscribes to all.
    #[arg(long, default_value_t = 10)]
    topics: usize,
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    println!(
        "| members x partitions | assignor | fresh ms | one joins ms | one leaves ms |\n|---|---|---|---|---|"
    );
    for (members, partitions) in [(100, 1_000), (1_000, 10_000)] {
        let topics: Topics = (0..options.topics)
            .map(|topic| (format!("topic-{topic}"), vec![PartitionRacks::new(); partitions / options.topics]))
            .collect();
        for assignor in ASSIGNORS {
            let mut group: Vec<Member> = (0..members).map(|id| member(id, &topics)).collect();
            let fresh = millis(assignor, &topics, &group, options.rounds);
            settle(assignor, &topics, &mut group);
            let mut grown = group.clone();
            grown.push(member(members, &topics));
            let joins = millis(assignor, &topics, &grown, options.rounds);
            group.swap_remove(members / 2);
            let leaves = millis(assignor, &topics, &group, options.rounds);
            let name = assignor.name();
            println!("| {members} x {partitions} | {name} | {fresh:.2} | {joins:.2} | {leaves:.2} |");
        }
    }
    Ok(())
}

fn member(id: usize, topics: &Topics) -> Member {
    Member::new(format!("member-{id:04}"), Subscription::new(topics.keys()))
}

/// Each member has what it was given, in generation 1.
fn settle(assignor: &dyn Assignor, topics: &Topics, group: &mut [Member]) {
    let mut given = assignor.assign(topics, group);
    for member in group {
        let partitions = given.remove(&member.id).unwrap_or_default().partitions;
        let last = LastAssignment::new(partitions, 1);
        member.subscription.user_data = assignor.user_data(&last);
        member.subscription.generation_id = last.generation_id;
        member.subscription.owned = last.partitions;
    }
}

fn millis(assignor: &dyn Assignor, topics: &Topics, group: &[Member], rounds: usize) -> f64 {
    let once = |_| {
        let start = Instant::now();
        std::hint::black_box(assignor.assign(topics, group));
        start.elapsed().as_secs_f64() * 1e3
    };
    median((0..rounds).map(once))
}
