//! What a proxy makes of real brokers: one that refuses a first batch, and two whose addresses are swapped.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::{Consumer, ProducerRecord};
use ottla_conformance::kafka::Config;
use ottla_conformance::targets::Target;
use ottla_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use ottla_protocol::{ApiKey, ErrorCode, Response};

use crate::brokers::Own;
use crate::cases::{Case, Outcome};
use crate::explain::says;
use crate::kit::{ask, consumer, equal, holds, next, numbers, producer, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("a_first_batch_that_is_refused_is_in_the_log_before_the_next", first_batch_is_refused)
            .with_java()
            .heavy(),
        Case::alone(
            "brokers_whose_addresses_are_swapped_are_noticed_and_nothing_is_lost",
            addresses_are_swapped,
        )
        .with_java()
        .heavy(),
        Case::kafka("a_broker_refuses_who_means_another_or_says_half_of_whom", |target| {
            half_an_identity(target)
        }),
    ]
}

/// KAFKA-15591: a broker without state of a producer takes any first sequence.
fn first_batch_is_refused() -> Outcome {
    const RUNS: usize = 20;
    const RECORDS: usize = 20_000;
    let own = Own::start(Config::new(1).behind_proxies())?;
    let (target, proxy) = (own.target(), own.0.proxy(1)?);
    for run in 0..RUNS {
        let read: Vec<usize> = wait(async {
            let topic = topic(&target, "refused", 1).await?;
            proxy.refuse_produces(1);
            let producer = producer(&target).await?;
            for n in 0..RECORDS {
                let record = ProducerRecord::to(topic.as_str()).value(n.to_string().into_bytes());
                drop(within("room for a record", producer.send(record)).await??);
            }
            within("all records", producer.close()).await??;
            let mut consumer = consumer(&target).build().await?;
            consumer.assign([(topic.as_str(), 0)])?;
            let mut read = Vec::new();
            while read.len() < RECORDS {
                let records = within("more records", consumer.poll(Duration::from_secs(5))).await??;
                let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<usize>().ok();
                read.extend(records.iter().filter_map(|record| number(record.value()?)));
            }
            Ok(read)
        })?;
        let wrong = read.iter().enumerate().find(|(place, number)| place != *number);
        equal(&format!("run {run}: the first record out of its place"), wrong, None)?;
    }
    Ok(())
}

fn addresses_are_swapped() -> Outcome {
    let own = Own::start(Config::new(2).behind_proxies())?;
    let target = own.target();
    let behind: Vec<SocketAddr> =
        [1, 2].map(|node| own.0.behind(node)).into_iter().collect::<Result<_, _>>()?;
    wait(async {
        let topic = topic(&target, "swapped", 4).await?;
        numbers(&target, &topic, 4, 0..40).await?;
        let mut consumer = consumer(&target).build().await?;
        consumer.assign((0..4).map(|partition| (topic.as_str(), partition)))?;
        let mut read = take(&mut consumer, 40).await?;
        for (node, other) in [(1, 1), (2, 0)] {
            own.0.proxy(node)?.redirect(Some(behind[other]));
            own.0.proxy(node)?.cut();
        }
        says(&consumer, "another broker, or another cluster, answers at this address").await?;
        for node in [1, 2] {
            own.0.proxy(node)?.redirect(None);
            own.0.proxy(node)?.cut();
        }
        numbers(&target, &topic, 4, 40..80).await?;
        read.extend(take(&mut consumer, 40).await?);
        read.sort_unstable();
        equal("what was read", read, (0..80).collect())
    })
}

async fn take(consumer: &mut Consumer, count: usize) -> Result<Vec<i32>, Failed> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let record = next(consumer).await?;
        numbers.push(String::from_utf8_lossy(record.value().unwrap_or_default()).parse()?);
    }
    Ok(numbers)
}

/// KIP-1242: both are told, or neither.
fn half_an_identity(target: &Target) -> Outcome {
    let first = target.bootstrap().split(',').next().ok_or("no broker")?.to_owned();
    let mut stream = TcpStream::connect(&first)?;
    let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    let Response::Metadata(metadata) = ask(&mut stream, ApiKey::Metadata, 12, request)? else {
        return Err("another answer".into());
    };
    let cluster = metadata.cluster_id.ok_or("a cluster without an id")?;
    let port = first.rsplit(':').next().and_then(|port| port.parse().ok());
    let own =
        metadata.brokers.iter().find(|broker| Some(broker.port) == port).ok_or("no such broker")?.node_id;
    for (cluster_id, node_id, expected) in [
        (Some(cluster.clone()), own, ErrorCode::None),
        (None, -1, ErrorCode::None),
        (Some(cluster.clone()), -1, ErrorCode::InvalidRequest),
        (None, own, ErrorCode::InvalidRequest),
        (Some("another".to_owned()), own, ErrorCode::RebootstrapRequired),
        (Some(cluster), own + 1, ErrorCode::RebootstrapRequired),
    ] {
        let told = format!("cluster {cluster_id:?}, node {node_id}");
        let request = ApiVersionsRequest {
            client_software_name: "ottla".to_owned(),
            client_software_version: "1".to_owned(),
            cluster_id,
            node_id,
        };
        let mut stream = TcpStream::connect(&first)?;
        let Response::ApiVersions(answer) = ask(&mut stream, ApiKey::ApiVersions, 5, request)? else {
            return Err("another answer".into());
        };
        equal(&told, answer.error_code, expected)?;
        holds(&format!("{told}: the APIs"), answer.api_keys.is_empty() != expected.is_ok())?;
    }
    Ok(())
}
