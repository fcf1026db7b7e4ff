//! A cluster that fails while it is read and written: on one of its own, as no other case could use it meanwhile.

use std::time::Duration;

use libtest_mimic::Failed;
use ottla::admin::NodeId;
use ottla::{Consumer, ProducerRecord};
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::targets::Target;

use crate::brokers::Own;
use crate::cases::{Case, Outcome};
use crate::kit::{Seen, admin, equal, holds, member, poll_all, producer, topic, wait};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("cut_connections_and_a_killed_node_lose_and_repeat_nothing", cut_and_killed)
            .with_java()
            .heavy(),
    ]
}

fn cut_and_killed() -> Outcome {
    let own = Own::start(Config::new(3).behind_proxies())?;
    wait(read_and_write(own.0))
}

async fn read_and_write(cluster: &'static Cluster) -> Outcome {
    const RECORDS: i64 = 600;
    const PARTITIONS: i64 = 6;
    let target = Target::Kafka(cluster);
    let topic = topic(&target, "failing", PARTITIONS as i32).await?;
    let group = topic.as_str();
    let producer = producer(&target).await?;
    let write = async {
        for n in 0..RECORDS {
            let record = ProducerRecord::to(group).partition((n % PARTITIONS) as i32);
            producer.send(record.value(n.to_string().into_bytes())).await?.await?;
        }
        Outcome::Ok(())
    };
    let nodes = || cluster.node_ids().map(|node| Ok::<_, Failed>((node, cluster.proxy(node)?)));
    let read = async {
        let builder = member(&target, group, group).enable_auto_commit(true);
        let mut reader = [builder.auto_commit_interval(Duration::from_millis(100)).build().await?];
        let mut read = Vec::new();
        poll_all(&mut reader, &mut read, "200 records", |_, read| read.len() >= 200).await?;
        let (all, mut cut) = (led_by(&target, group, None).await?, 0);
        for node in nodes() {
            let (_, proxy) = node?;
            proxy.refuse(true);
            cut += proxy.cut();
        }
        holds("connections were cut", cut > 3)?;
        explains(&mut reader, &mut read, all).await?;
        for node in nodes() {
            node?.1.refuse(false);
        }
        poll_all(&mut reader, &mut read, "400 records", |_, read| read.len() >= 400).await?;
        // It leads two of the partitions, too.
        let coordinator = admin(&target).await?.find_coordinator(group).await?.node;
        let its_own = led_by(&target, group, Some(coordinator)).await?;
        equal("its partitions", its_own.len(), 2)?;
        cluster.kill(coordinator.0 as u32)?;
        explains(&mut reader, &mut read, its_own).await?;
        poll_all(&mut reader, &mut read, "all records", |_, read| read.len() >= RECORDS as usize).await?;
        let [consumer] = reader;
        consumer.close().await?;
        let mut read: Vec<(i32, i64)> = read.iter().map(|seen| (seen.partition, seen.offset)).collect();
        read.sort_unstable();
        let each = RECORDS / PARTITIONS;
        let expected =
            (0..PARTITIONS as i32).flat_map(|partition| (0..each).map(move |offset| (partition, offset)));
        equal("what was read, each once", read == expected.collect::<Vec<_>>(), true)
    };
    tokio::try_join!(write, read)?;
    let committed = admin(&target).await?.committed_offsets(group).await?;
    equal("committed", committed.values().map(|at| at.offset).sum(), RECORDS)
}

/// What is said of each partition, or of those that this node leads, while its leader cannot be reached.
async fn led_by(target: &Target, topic: &str, node: Option<NodeId>) -> Result<Vec<String>, Failed> {
    let topics = admin(target).await?.list_topics().await?;
    let partitions = topics.get(topic).ok_or("no topic")?.partitions.iter();
    let led = partitions.filter_map(|(partition, at)| Some((partition, at.leader?)));
    let wanted = led.filter(|(_, leader)| node.is_none_or(|node| node == *leader));
    Ok(wanted.map(|(partition, leader)| format!("{topic}-{partition}: broker {}: ", leader.0)).collect())
}

/// Until each of these was said.
async fn explains(reader: &mut [Consumer], read: &mut Vec<Seen>, mut texts: Vec<String>) -> Outcome {
    let what = format!("explanations {texts:?}");
    let all_said = |reader: &[Consumer], _: &[Seen]| {
        let said = reader[0].explain().to_string();
        texts.retain(|text| !said.contains(text));
        texts.is_empty()
    };
    poll_all(reader, read, &what, all_said).await
}
