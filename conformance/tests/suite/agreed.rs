//! What a classic group's members tell each other: which assignors they have, and which racks they are in.

use std::collections::BTreeSet;

use ottla_conformance::flow::Member;
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{describe, equal};
use crate::mixed::{HEARTBEAT, SESSION, led_by};
use crate::scene::{Membership, PARTITIONS, Scene, even};

const RANGE: &str = "org.apache.kafka.clients.consumer.RangeAssignor";
const COOPERATIVE: &str = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("a_live_group_is_upgraded_from_eager_to_cooperative", upgraded).and_kafka_3_9(),
        Case::both("range_gives_each_rack_its_own_partitions::ottla_leads", |target| {
            racks(target, "of-ottla")
        })
        .with_java(),
        Case::both("range_gives_each_rack_its_own_partitions::java_leads", |target| racks(target, "of-java"))
            .with_java(),
    ]
}

/// Member by member, twice, as Kafka's documentation has it (KIP-429): both assignors, then the new one alone.
fn upgraded(target: &Target) -> Outcome {
    let mut scene = Scene::start(target, Membership::Eager, "upgraded", 3)?;
    let both = format!("{COOPERATIVE},{RANGE}");
    let mut oldest = 0;
    for (strategies, before) in [(both.as_str(), "range"), (COOPERATIVE, "cooperative-sticky")] {
        equal("the assignor", describe(target, &scene.group)?.protocol.as_str(), before)?;
        for _ in 0..3 {
            let replace = |scene: &mut Scene| {
                scene.close(oldest)?;
                scene.add(&[("partition.assignment.strategy", strategies)]).map(drop)
            };
            scene.when("a member is replaced", replace, &even(PARTITIONS, 3), (0, true))?;
            oldest += 1;
        }
    }
    equal("the assignor", describe(target, &scene.group)?.protocol.as_str(), "cooperative-sticky")?;
    scene.finish()
}

/// Two members are Ottla's, one is Java's: each tells the leader its rack (KIP-881), whoever leads.
fn racks(target: &Target, leader: &str) -> Outcome {
    const RACKS: i32 = 3;
    let (tools, topic) = (target.tools()?, unique("racked"));
    // One copy each, on a node of a rack of its own.
    tools.create_topic_on(&topic, (0..PARTITIONS).map(|partition| (partition % RACKS) as u32 + 1))?;
    if let Target::Kafka(cluster) = target {
        cluster.wait_for_topic(&topic)?;
    }
    let group = topic.clone();
    let mut scene = Scene::of_topic(target, Membership::Eager, topic, group, PARTITIONS, 300)?;
    let mut clients = ["of-ottla", "of-java", "of-ottla"];
    if leader == "of-java" {
        clients.swap(0, 1);
    }
    for (client, rack) in clients.into_iter().zip(["rack-1", "rack-2", "rack-3"]) {
        let properties = [("client.id", client), ("client.rack", rack), HEARTBEAT, SESSION];
        if client == "of-java" {
            let args = ["--session-timeout", SESSION.1, "--assignment-strategy", RANGE];
            let java = Member::start_java(&tools, &scene.topic, &scene.group, &args, &properties)?;
            scene.members.push(java);
        } else {
            scene.add(&properties)?;
        }
        // The first one leads.
        scene.settle(&even(PARTITIONS, scene.members.len()))?;
    }
    if let Target::Kafka(_) = target {
        led_by(&mut scene, leader)?;
    }
    for member in 0..RACKS {
        let of_rack: BTreeSet<i32> =
            (0..PARTITIONS).filter(|partition| partition % RACKS == member).collect();
        equal("the partitions of a rack", scene.log(member as usize).owns(), of_rack)?;
    }
    scene.finish()
}
