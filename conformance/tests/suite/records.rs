//! Records come through as they were sent, and none is lost on the way to the user's hands.

use std::time::{Duration, SystemTime};

use libtest_mimic::Failed;
use ottla::{Compression, Consumer, DetachedRecord, Producer, ProducerRecord, Timestamp};
use ottla_conformance::targets::Target;

use crate::cases::{Case, Outcome};
use crate::kit::{
    consumer, equal, holds, next, numbers, offsets, one_batch, producer, take, text, topic, wait, within,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("records_come_back_in_each_codec_with_all_their_parts", |target| {
            wait(records_come_back(target))
        }),
        Case::both("reading_starts_in_the_middle_of_a_batch", |target| wait(middle_of_a_batch(target))),
        Case::both("a_receive_that_is_dropped_loses_no_record", |target| wait(dropped_receive(target))),
        Case::both("records_outlive_the_commit_that_follows", |target| wait(records_outlive(target))),
    ]
    .into_iter()
    .map(Case::and_kafka_4_3)
    .map(Case::and_kafka_3_9)
    .collect()
}

/// Nulls, empty parts, and headers whose keys repeat, or are not text.
fn record(topic: &str, since: i64, n: i64) -> DetachedRecord {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let keys = [None, text(""), text(&format!("key {n}"))];
    let mut record = DetachedRecord::new((topic, 0), n);
    record.leader_epoch = Some(0);
    record.timestamp = Some(Timestamp(since + n));
    record.key = keys[(n % 3) as usize].clone();
    record.value = match n % 5 {
        0 => None,
        _ => text(&format!("value {n}, as long as a compressor likes")),
    };
    record.headers = [("trace", text("a")), ("trace", text("b")), ("empty", text("")), ("null", None)]
        .map(|(key, value)| (key.into(), value))
        .into_iter()
        .chain([(b"\xff".to_vec(), text("behind it")), (b"last".to_vec(), None)])
        .collect();
    record
}

fn outgoing(record: &DetachedRecord) -> ProducerRecord<'_> {
    let mut out =
        ProducerRecord::to(record.topic_partition.topic.as_str()).partition(record.topic_partition.partition);
    if let Some(time) = record.timestamp {
        out = out.timestamp(time);
    }
    if let Some(key) = &record.key {
        out = out.key(key.as_slice());
    }
    if let Some(value) = &record.value {
        out = out.value(value.as_slice());
    }
    record.headers.iter().fold(out, |out, (key, value)| match value {
        Some(value) => out.header(key.as_slice(), value.as_slice()),
        None => out.null_header(key.as_slice()),
    })
}

async fn records_come_back(target: &Target) -> Outcome {
    // Not so long ago that a broker would take them for expired.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64 - 60_000;
    for &compression in Compression::ALL {
        let topic = topic(target, &format!("codec-{compression}"), 1).await?;
        let sent: Vec<_> = (0..300).map(|n| record(&topic, since, n)).collect();
        let builder = Producer::builder().bootstrap_servers([target.bootstrap()]).compression(compression);
        let producer = builder.build().await?;
        for record in &sent {
            drop(within("room for a record", producer.send(outgoing(record))).await??);
        }
        within("records that are acknowledged", producer.close()).await??;
        let mut consumer = consumer(target).build().await?;
        consumer.assign([(topic.as_str(), 0)])?;
        for sent in sent {
            equal(&format!("in {compression}"), next(&mut consumer).await?.detach(), sent)?;
        }
    }
    Ok(())
}

async fn middle_of_a_batch(target: &Target) -> Outcome {
    for compression in [Compression::None, Compression::Lz4] {
        let topic = topic(target, "batch", 1).await?;
        one_batch(target, &topic, 100, compression).await?;
        let mut consumer = consumer(target).build().await?;
        consumer.assign([(topic.as_str(), 0)])?;
        consumer.seek((topic.as_str(), 0), 37)?;
        let records = take(&mut consumer, 63).await?;
        equal("the offsets", offsets(&records), (37..100).collect())?;
        equal("the first", records.first().map(text), Some("37".to_owned()))?;
    }
    Ok(())
}

async fn dropped_receive(target: &Target) -> Outcome {
    const RECORDS: i64 = 300;
    let topic = topic(target, "dropped", 1).await?;
    let mut consumer = consumer(target).build().await?;
    consumer.assign([(topic.as_str(), 0)])?;
    let producer = producer(target).await?;
    let produce = async {
        for _ in 0..RECORDS {
            // One at a time: each is waited for at the end of the log.
            let sent = producer.send(ProducerRecord::to(topic.as_str()).value(b"a record"));
            within("an acknowledgement", within("room for a record", sent).await??).await??;
        }
        Outcome::Ok(())
    };
    let receive = async {
        let (mut received, mut dropped) = (Vec::new(), 0);
        for _ in 0..RECORDS {
            received.push(within("a record", receive_impatiently(&mut consumer, &mut dropped)).await??);
        }
        equal("the offsets", received, (0..RECORDS).collect())?;
        holds("many receives were dropped", dropped > 100)
    };
    tokio::try_join!(produce, receive).map(drop)
}

/// The offset of the next record, after receives that were dropped: some at once, more after a moment.
async fn receive_impatiently(consumer: &mut Consumer, dropped: &mut usize) -> Result<i64, Failed> {
    loop {
        let impatience = async {
            match *dropped % 3 {
                0 => tokio::task::yield_now().await,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        tokio::select! {
            record = consumer.recv() => return Ok(record?.ok_or("closed")?.offset()),
            () = impatience => *dropped += 1,
        }
    }
}

async fn records_outlive(target: &Target) -> Outcome {
    let topic = topic(target, "outlive", 1).await?;
    numbers(target, &topic, 1, 0..500).await?;
    let mut consumer = consumer(target).group_id(topic.as_str()).enable_auto_commit(false).build().await?;
    consumer.assign([(topic.as_str(), 0)])?;
    let (mut kept, mut count) = (Vec::new(), 0);
    while count < 500 {
        let records = within("records", consumer.poll(Duration::from_secs(5)).max_records(100)).await??;
        within("a commit", consumer.commit()).await??;
        count += records.len();
        let committed = within("the offset", consumer.committed([(topic.as_str(), 0)])).await??;
        let committed = committed.values().flatten().next().map(|committed| committed.offset);
        equal("committed", committed, Some(count as i64))?;
        kept.push(records);
    }
    consumer.close().await?;
    let values: Vec<String> = kept
        .iter()
        .flat_map(|records| records.iter())
        .map(|record| String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned())
        .collect();
    equal("the values", values, (0..500).map(|n| n.to_string()).collect())
}
