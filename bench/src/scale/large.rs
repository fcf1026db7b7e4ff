//! Records of 50 MB: how long each client takes to read them with its defaults, and its peak of memory.

use std::time::Duration;

use anyhow::Result;
use ottla::admin::NewTopic;
use ottla::{Producer, ProducerRecord};
use ottla_bench_child::{Holding, Way};
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::targets::unique;

use super::holder::Holder;
use super::{HEARTBEAT_MILLIS, Options, programs};
use crate::consumer::runtime;
use crate::peers;
use crate::topics::Topics;

const SIZE: usize = 50_000_000;
/// What a broker is to take; its own limit of a request is 100 MiB.
const MOST: usize = 64 << 20;
const RECORDS: u64 = 8;
const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(options: &Options) -> Result<()> {
    let programs = programs(options)?;
    let cluster = Cluster::start(Config::new(1).jvm("-Xmx2g".to_owned()))?;
    let (bootstrap, topic) = (cluster.bootstrap(), unique("large"));
    let topics = Topics::new(&bootstrap)?;
    topics.create_as(
        NewTopic::new(&topic).partitions(PARTITIONS as i32).config("max.message.bytes", MOST.to_string()),
        PARTITIONS,
    )?;
    fill(&bootstrap, &topic)?;
    println!("| client | first record ms | all {RECORDS} ms | VmHWM MiB |\n|---|---|---|---|");
    for (who, program) in &programs {
        let holding = Holding {
            bootstrap: bootstrap.clone(),
            topic: topic.clone(),
            partitions: PARTITIONS,
            records: RECORDS,
            way: Way::Assigned,
            group: unique("holders"),
            heartbeat_millis: HEARTBEAT_MILLIS,
        };
        let mut holder = Holder::start(peers::again(program), &holding)?;
        let first = holder.wait_for("record", PATIENCE)?;
        let all = holder.wait_for("all", PATIENCE)?;
        println!("| {} | {first} | {all} | {} |", who.name(), holder.status_kib("VmHWM:")? / 1_024);
    }
    Ok(())
}

/// Bytes that no codec makes less of.
fn fill(bootstrap: &str, topic: &str) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(16);
    let mut value = vec![0; SIZE];
    random.fill(&mut value);
    runtime()?.block_on(async {
        let producer = Producer::builder()
            .bootstrap_servers(bootstrap.split(','))
            .max_request_size(MOST)
            .buffer_memory(4 * MOST)
            .build()
            .await?;
        for number in 0..RECORDS {
            let partition = (number % u64::from(PARTITIONS)) as i32;
            producer.send(ProducerRecord::to(topic).partition(partition).value(&value)).await?.await?;
        }
        Ok(producer.close().await?)
    })
}
