//! A quota that is exceeded (KIP-219): a reader is told until when it waits, is silent until then, and misses nothing.

use std::time::{Duration, Instant};

use ottla::{Consumer, ProducerRecord, Reason};
use ottla_broker::{Cluster, Fault};
use ottla_conformance::targets::{Target, unique};
use ottla_protocol::ApiKey;

use crate::cases::{Case, Outcome};
use crate::explain::{alone, own};
use crate::kit::{PATIENCE, consumer, equal, holds, producer, topic, wait, within};

/// Some 250 kB.
const RECORDS: i64 = 100;
const SIZE: usize = 2500;

pub(crate) fn cases() -> Vec<Case> {
    let name = "explain::a_quota_that_is_exceeded";
    vec![
        Case::embedded(name, |_| wait(by_fault())),
        Case::kafka(name, |target| wait(by_quota(target))).with_java(),
    ]
}

async fn by_fault() -> Outcome {
    let (broker, target) = own()?;
    let topic = topic(&target, "throttled", 1).await?;
    fill(&target, &topic).await?;
    let pause = Duration::from_millis(1500);
    let script = |cluster: &mut Cluster| {
        cluster.faults().on(ApiKey::Fetch).after(1).times(2).then(Fault::Throttle(pause));
    };
    broker.server().with_cluster(script);
    let mut consumer = alone(consumer(&target).max_partition_fetch_bytes(SIZE), &topic).await?;
    reads_all(&mut consumer, pause).await
}

async fn by_quota(target: &Target) -> Outcome {
    // What ten seconds allow may come at once; and no pause is longer than Kafka measures.
    const BYTES_PER_SECOND: f64 = 15_000.0;
    const MEASURED: Duration = Duration::from_secs(11);
    let (topic, client) = (topic(target, "throttled", 1).await?, unique("greedy"));
    fill(target, &topic).await?;
    target.tools()?.set_quota(&[("clients", &client)], "consumer_byte_rate", BYTES_PER_SECOND)?;
    // A machine that is busy with others reads that much faster than the quota allows, too.
    let builder = consumer(target).client_id(&client).max_partition_fetch_bytes(4 * SIZE);
    reads_all(&mut alone(builder, &topic).await?, MEASURED).await
}

async fn fill(target: &Target, topic: &str) -> Outcome {
    let producer = producer(target).await?;
    for _ in 0..RECORDS {
        let record = ProducerRecord::to(topic).partition(0).value(vec![b'v'; SIZE]);
        drop(within("room for a record", producer.send(record)).await??);
    }
    Ok(within("records that are acknowledged", producer.close()).await??)
}

/// Each record once. Meanwhile the consumer says for how long it is throttled, and nothing comes before that is over. A broker hears
/// of a quota after the controller that was told it: what is read before is read again.
async fn reads_all(consumer: &mut Consumer, longest: Duration) -> Outcome {
    let start = Instant::now();
    let (mut read, mut until) = (Vec::new(), None);
    let all: Vec<i64> = (0..RECORDS).collect();
    while read != all || until.is_none() {
        if read.len() >= all.len() {
            equal("what was read", &read, &all)?;
            read.clear();
            consumer.seek_to_beginning(consumer.assignment())?;
        }
        holds(&format!("all is read in time\n{}", consumer.explain()), start.elapsed() < PATIENCE)?;
        let polled = consumer.poll(Duration::from_millis(20)).await?;
        let silent = polled.is_empty() || until.is_none_or(|until| until <= Instant::now());
        holds("nothing comes while it is throttled", silent)?;
        read.extend(polled.iter().map(|record| record.offset()));
        let asked = Instant::now();
        let explanation = consumer.explain();
        if let Some((_, Reason::Throttled { rest })) = explanation.partitions.first() {
            holds(&format!("{rest:?} are no more than {longest:?}"), *rest <= longest)?;
            let said = explanation.to_string();
            holds(&format!("its words: {said}"), said.contains("-0: throttled by the broker for "))?;
            until = Some(asked + *rest);
        }
    }
    Ok(())
}
