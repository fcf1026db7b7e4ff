//! Fewer acknowledgements than all, no idempotence, and batches that are refused as too large: what arrives, in which order, and what
//! is told of it.

use libtest_mimic::Failed;
use ottla::admin::NewTopic;
use ottla::error::{BuildError, SendErrorKind};
use ottla::{Acks, Delivered, Producer, ProducerRecord};
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, consumer, create_as, equal, offsets, take, text, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("fewer_acknowledgements_and_no_idempotence_keep_the_order", |target| {
            wait(keep_the_order(target))
        })
        .and_kafka_3_9(),
        Case::both(
            "without_acknowledgements_a_refused_record_is_lost_in_silence_and_later_ones_arrive",
            |target| wait(refused_in_silence(target)),
        )
        .and_kafka_3_9(),
        Case::kafka("batches_larger_than_their_topic_takes_arrive_in_pieces_once_and_in_order", |target| {
            wait(in_pieces(target))
        })
        .and_kafka_3_9(),
    ]
}

async fn keep_the_order(target: &Target) -> Outcome {
    let count = 1_000;
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let topic = topic(target, "acks", 1).await?;
        let builder = Producer::builder().bootstrap_servers([target.bootstrap()]).acks(acks);
        let producer = builder.enable_idempotence(false).batch_size(500).build().await?;
        let mut deliveries = Vec::new();
        for n in 0..count {
            let record = ProducerRecord::to(topic.as_str()).partition(0).value(n.to_string());
            deliveries.push(within("room for a record", producer.send(record)).await??);
        }
        for (n, delivery) in (0..count).zip(deliveries) {
            let delivered = within("a delivery", delivery.into_future()).await??;
            equal("its offset", delivered.offset, Some(n).filter(|_| acks != Acks::None))?;
        }
        within("a close", producer.close()).await??;
        let mut reader = consumer(target).build().await?;
        reader.assign([(topic.as_str(), 0)])?;
        reader.seek((topic.as_str(), 0), 0)?;
        let records = take(&mut reader, count as usize).await?;
        equal("the offsets", offsets(&records), (0..count).collect())?;
        let values: Vec<_> = records.iter().map(text).collect();
        equal("the values", values, (0..count).map(|n| n.to_string()).collect())?;
    }
    Ok(())
}

/// A record that is larger than brokers take by default.
async fn refused_in_silence(target: &Target) -> Outcome {
    let topic = topic(target, "acks-refused", 1).await?;
    let large = "x".repeat(1_200_000);
    let error = sent(target, Acks::Leader, &topic, &large).await?;
    equal(
        "it is told by a leader",
        error.map_err(|error| error.kind()).err(),
        Some(SendErrorKind::TooLarge),
    )?;
    let delivered = sent(target, Acks::None, &topic, &large).await??;
    equal("nothing is told", delivered.offset, None)?;
    let producer = producer(target, Acks::None).await?;
    for value in [large.as_str(), "small"] {
        let record = ProducerRecord::to(topic.as_str()).partition(0).value(value);
        within("a delivery", within("room", producer.send(record)).await??.into_future()).await??;
    }
    let mut reader = consumer(target).build().await?;
    reader.assign([(topic.as_str(), 0)])?;
    reader.seek((topic.as_str(), 0), 0)?;
    // What is written to a connection that the broker is about to close is lost as well, so it is written until one arrives.
    let record = loop {
        let records = reader.poll(std::time::Duration::from_millis(200)).await?;
        if let Some(record) = records.iter().next() {
            break String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
        }
        let record = ProducerRecord::to(topic.as_str()).partition(0).value("small");
        within("a delivery", within("room", producer.send(record)).await??.into_future()).await??;
    };
    equal("the first that arrives", record, "small".to_owned())
}

/// Records of 100 KB in all, at once, for a topic whose batches are of 20 KB at the most.
async fn in_pieces(target: &Target) -> Outcome {
    let topic = unique("acks-pieces");
    let new = NewTopic::new(&topic).partitions(1).config("max.message.bytes", "20000");
    create_as(target, new).await?;
    for (acks, first) in [(Acks::All, 0), (Acks::Leader, 100)] {
        let builder = Producer::builder().bootstrap_servers([target.bootstrap()]).acks(acks);
        let producer = builder.batch_size(128 << 10).linger(PATIENCE / 2).build().await?;
        let mut deliveries = Vec::new();
        for n in first..first + 100 {
            let record = ProducerRecord::to(topic.as_str()).partition(0).value(format!("{n:0>1000}"));
            deliveries.push(within("room for a record", producer.send(record)).await??);
        }
        within("a flush", producer.flush()).await??;
        for (n, delivery) in (first..).zip(deliveries) {
            equal("its offset", within("a delivery", delivery.into_future()).await??.offset, Some(n))?;
        }
        within("a close", producer.close()).await??;
    }
    let mut reader = consumer(target).build().await?;
    reader.assign([(topic.as_str(), 0)])?;
    reader.seek((topic.as_str(), 0), 0)?;
    let values: Vec<_> = take(&mut reader, 200).await?.iter().map(text).collect();
    equal("the values", values, (0..200).map(|n| format!("{n:0>1000}")).collect())
}

/// A producer that sends larger records than brokers take.
async fn producer(target: &Target, acks: Acks) -> Result<Producer, BuildError> {
    let builder = Producer::builder().bootstrap_servers([target.bootstrap()]).acks(acks);
    builder.max_request_size(4 << 20).build().await
}

async fn sent(
    target: &Target,
    acks: Acks,
    topic: &str,
    value: &str,
) -> Result<Result<Delivered, ottla::SendError>, Failed> {
    let producer = producer(target, acks).await?;
    let record = ProducerRecord::to(topic).partition(0).value(value);
    let delivery = within("room for a record", producer.send(record)).await??;
    within("a delivery", delivery.into_future()).await
}
