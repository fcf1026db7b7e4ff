//! Brokers that restart and die under groups of each kind: on a cluster of their own, as no other case could use it
//! meanwhile.

use std::time::Duration;

use libtest_mimic::Failed;
use ottla::Consumer;
use ottla::admin::NewTopic;
use ottla_conformance::kafka::{Cluster, Config, Unavailable};
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::explain::says;
use crate::kit::{PATIENCE, admin, consumer, equal, wait};
use crate::scene::{Membership, PARTITIONS, Scene, even};

pub(crate) fn cases() -> Vec<Case> {
    let name = "groups_of_each_kind_survive_a_rolling_restart_and_the_kill_of_their_coordinator";
    let upgrade = "groups_of_each_kind_survive_a_rolling_upgrade_from_kafka_4_3_to_4_4";
    vec![
        Case::alone(name, restarts_and_a_kill).with_java().heavy(),
        Case::alone(upgrade, upgraded).with_java().heavy(),
    ]
}

/// A case's own cluster. What a target refers to lives on, so that it is stopped by hand.
pub(crate) struct Own(pub(crate) &'static Cluster);

impl Own {
    pub(crate) fn start(config: Config) -> Result<Self, Failed> {
        Ok(Self(Box::leak(Box::new(Cluster::start(config)?))))
    }

    pub(crate) fn target(&self) -> Target {
        Target::Kafka(self.0)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

fn coordinator(target: &Target, group: &str) -> Result<u32, Failed> {
    wait(async { Ok(admin(target).await?.find_coordinator(group).await?.node.0 as u32) })
}

/// The partition of `__consumer_offsets` that a group belongs to, whose leader coordinates it: by Java's hash of a
/// string, of the four that clusters here have.
fn offsets_partition(group: &str) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit)) //
    });
    (hash & i32::MAX) % 4
}

/// Until each partition is in sync on all three nodes: then one of them may go.
pub(crate) fn in_sync(target: &Target) -> Outcome {
    let all = async {
        let admin = admin(target).await?;
        loop {
            let topics = admin.list_topics().await?;
            if topics.values().flat_map(|topic| topic.partitions.values()).all(|at| at.isr.len() == 3) {
                return Outcome::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    wait(async { tokio::time::timeout(PATIENCE, all).await? })
}

/// A consumer of partitions that each have but one copy, on all nodes.
async fn without_copies(target: &Target) -> Result<Consumer, Failed> {
    let name = unique("alone");
    admin(target).await?.create_topic(NewTopic::new(&name).partitions(3).replication_factor(1)).await?;
    let mut consumer = consumer(target).build().await?;
    consumer.assign((0..3).map(|partition| (name.as_str(), partition)))?;
    for partition in 0..3 {
        says(&consumer, &format!("{name}-{partition}: at the end")).await?;
    }
    Ok(consumer)
}

/// A group of each kind, with three members.
fn groups_of_each_kind(target: &Target) -> Result<Vec<Scene>, Failed> {
    let mut scenes = Vec::new();
    for membership in Membership::ALL {
        // One coordinator for all groups, so that one kill meets them all; after restarts, too.
        let group = loop {
            let group = unique(membership.name());
            if offsets_partition(&group) == 0 {
                break group;
            }
        };
        let mut scene = Scene::of_group(target, membership, unique("brokers"), group, PARTITIONS, 300)?;
        for _ in 0..3 {
            scene.add(&[])?;
        }
        scenes.push(scene);
    }
    settled(&mut scenes)?;
    Ok(scenes)
}

fn settled(scenes: &mut [Scene]) -> Outcome {
    scenes.iter_mut().try_for_each(|scene| {
        scene.settle(&even(PARTITIONS, 3))?;
        scene.flow(300)
    })
}

/// Stops the nodes one by one, and starts each again; the groups settle in between.
fn rolling(own: &Own, scenes: &mut [Scene], start: fn(&Cluster, u32) -> Result<(), Unavailable>) -> Outcome {
    for node in own.0.node_ids() {
        in_sync(&own.target())?;
        own.0.stop(node)?;
        settled(scenes)?;
        start(own.0, node)?;
        settled(scenes)?;
    }
    in_sync(&own.target())
}

fn restarts_and_a_kill() -> Outcome {
    let own = Own::start(Config::new(3))?;
    let target = own.target();
    let mut scenes = groups_of_each_kind(&target)?;
    rolling(&own, &mut scenes, Cluster::restart)?;
    let nodes: Vec<u32> =
        scenes.iter().map(|scene| coordinator(&target, &scene.group)).collect::<Result<_, _>>()?;
    equal("one coordinator", nodes.iter().all(|node| *node == nodes[0]), true)?;
    let alone = wait(without_copies(&target))?;
    own.0.kill(nodes[0])?;
    wait(says(&alone, "the partition has no leader"))?;
    settled(&mut scenes)?;
    scenes.into_iter().try_for_each(Scene::finish)
}

/// Node by node, and the features at the end, as Kafka's documentation has it.
fn upgraded() -> Outcome {
    let own = Own(Box::leak(Box::new(Cluster::start_4_3(Config::new(3))?)));
    let target = own.target();
    let mut scenes = groups_of_each_kind(&target)?;
    rolling(&own, &mut scenes, Cluster::upgrade)?;
    target.tools()?.upgrade_features("4.4")?;
    settled(&mut scenes)?;
    scenes.into_iter().try_for_each(Scene::finish)
}
