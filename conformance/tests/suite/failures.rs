//! A cluster that fails while it is read and written: on one of its own, as no other case could use it meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla::ProducerRecord;
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::targets::Target;

use crate::brokers::Own;
use crate::cases::{Case, Outcome};
use crate::kit::{admin, equal, holds, member, next, producer, topic, wait, within};

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
    let read = async {
        let builder = member(&target, group, group).enable_auto_commit(true);
        let mut consumer = builder.auto_commit_interval(Duration::from_millis(100)).build().await?;
        let mut places = BTreeSet::new();
        let mut repeated = 0;
        while places.len() < RECORDS as usize {
            let record = next(&mut consumer).await?;
            repeated += usize::from(!places.insert((record.partition(), record.offset())));
            match places.len() {
                200 => {
                    let cut = cluster.node_ids().map(|node| Ok(cluster.proxy(node)?.cut()));
                    let cut = cut.sum::<Result<usize, ottla_conformance::kafka::Unavailable>>()?;
                    holds("connections were cut", cut > 3)?;
                }
                400 => {
                    // It leads two of the partitions, too.
                    let coordinator = admin(&target).await?.find_coordinator(group).await?;
                    cluster.kill(coordinator.node.0 as u32)?;
                }
                _ => {}
            }
        }
        equal("repeated", repeated, 0)?;
        consumer.close().await;
        let each = RECORDS / PARTITIONS;
        let expected =
            (0..PARTITIONS as i32).flat_map(|partition| (0..each).map(move |offset| (partition, offset)));
        equal("what was read", places == expected.collect(), true)
    };
    within("all records, and the end", async { tokio::try_join!(write, read) }).await??;
    let committed = admin(&target).await?.committed_offsets(group).await?;
    equal("committed", committed.values().map(|at| at.offset).sum(), RECORDS)
}
