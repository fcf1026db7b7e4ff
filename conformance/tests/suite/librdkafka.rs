//! librdkafka, unchanged, on the embedded broker; and on Kafka, which tells whether these cases ask the right thing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ottla::{Compression, Consumer, Partitioning};
use ottla_conformance::targets::{Target, unique};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::cases::{Case, Outcome};
use crate::kit::{
    self, PATIENCE, admin, describe, equal, holds, is_settled, numbers, one_batch, topic, wait,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("librdkafka_writes_and_reads_in_the_codecs_that_it_has", writes_and_reads),
        Case::embedded(
            "keys_go_to_the_partitions_that_librdkafka_picks_with_each_of_its_partitioners",
            partitioned,
        ),
        Case::both("librdkafka_members_share_commit_and_resume", share_commit_and_resume),
        Case::both("librdkafka_starts_in_the_middle_of_a_batch_and_finds_times", middle_and_times),
        Case::both("librdkafka_groups_are_independent_and_a_third_member_is_idle", independent_and_idle),
    ]
}

fn client(target: &Target) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", target.bootstrap());
    config
}

fn consumer(target: &Target, group: &str) -> KafkaResult<BaseConsumer> {
    client(target)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "300")
        .create()
}

fn member(target: &Target, group: &str, topic: &str) -> KafkaResult<BaseConsumer> {
    let consumer = consumer(target, group)?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

/// Which member read it, and where it was.
type Seen = (usize, i32, i64);

/// Polls in turn until it holds of the members' shares and of what they have seen.
fn poll_all(
    members: &[BaseConsumer],
    seen: &mut Vec<Seen>,
    what: &str,
    condition: impl Fn(&[usize], &[Seen]) -> bool,
) -> Outcome {
    let start = Instant::now();
    loop {
        let shares: Vec<usize> =
            members.iter().map(|member| Ok(member.assignment()?.count())).collect::<KafkaResult<_>>()?;
        if condition(&shares, seen) {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("not within {PATIENCE:?}: {what}; {shares:?}, {} seen", seen.len()).into());
        }
        for (place, member) in members.iter().enumerate() {
            while let Some(message) = member.poll(Duration::from_millis(10)) {
                let message = message?;
                seen.push((place, message.partition(), message.offset()));
            }
        }
    }
}

fn distinct(seen: &[Seen]) -> BTreeSet<(i32, i64)> {
    seen.iter().map(|(_, partition, offset)| (*partition, *offset)).collect()
}

fn every(partitions: i32, offsets: std::ops::Range<i64>) -> BTreeSet<(i32, i64)> {
    (0..partitions).flat_map(|partition| offsets.clone().map(move |offset| (partition, offset))).collect()
}

/// Keys of all lengths, the empty one and none among them.
fn keys() -> Vec<Option<Vec<u8>>> {
    let many =
        (0..200_u32).map(|n| Some(n.to_be_bytes().repeat(3).into_iter().take(n as usize % 13).collect()));
    many.chain([Some(Vec::new()), None]).collect()
}

fn partitioned(target: &Target) -> Outcome {
    for (name, partitioning, is_random) in [
        ("consistent", Partitioning::Consistent, None),
        ("consistent_random", Partitioning::ConsistentRandom, Some(0)),
        ("murmur2", Partitioning::Murmur2, None),
        ("murmur2_random", Partitioning::Murmur2Random, Some(-1)),
        ("fnv1a", Partitioning::Fnv1a, None),
        ("fnv1a_random", Partitioning::Fnv1aRandom, Some(-1)),
    ] {
        let topic = wait(topic(target, &format!("partitioner-{name}"), 11))?;
        // The others may go anywhere: without a key, or with one of no more than so many bytes.
        let decides = |key: &Option<Vec<u8>>| {
            is_random.is_none_or(|most| key.as_ref().is_some_and(|key| key.len() as i64 > most))
        };
        let producer: BaseProducer = client(target).set("partitioner", name).create()?;
        for (n, key) in keys().into_iter().enumerate() {
            let value = n.to_string();
            let record = BaseRecord::<Vec<u8>, String>::to(&topic).payload(&value);
            let record = if let Some(key) = &key { record.key(key) } else { record };
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)?;
        let keys = keys();
        wait(async {
            let mut consumer = kit::consumer(target).build().await?;
            consumer.assign((0..11).map(|partition| (topic.as_str(), partition)))?;
            consumer.seek_to_beginning((0..11).map(|partition| (topic.as_str(), partition)))?;
            let mut theirs = vec![None; keys.len()];
            for record in kit::take(&mut consumer, keys.len()).await? {
                let n: usize = kit::text(&record).parse()?;
                *theirs.get_mut(n).ok_or("no such record")? = Some(record.partition());
            }
            let builder = ottla::Producer::builder().bootstrap_servers([target.bootstrap()]);
            let producer = builder.partitioning(partitioning).build().await?;
            for (key, theirs) in keys.iter().zip(theirs) {
                let record = ottla::ProducerRecord::to(topic.as_str()).key(key.as_deref());
                let ours = producer.send(record).await?.partition();
                if decides(key) {
                    equal(&format!("{name}: the partition of {key:?}"), Some(ours), theirs)?;
                }
            }
            Ok(producer.close().await?)
        })?;
    }
    Ok(())
}

fn writes_and_reads(target: &Target) -> Outcome {
    for codec in ["none", "snappy", "lz4"] {
        let topic = wait(topic(target, &format!("librdkafka-{codec}"), 2))?;
        let producer: BaseProducer = client(target)
            .set("compression.codec", codec)
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .create()?;
        for n in 0..1000 {
            let (key, value) = (format!("key {n}"), format!("value {n}"));
            let headers = OwnedHeaders::new().insert(Header { key: "n", value: Some(&value) });
            let record = BaseRecord::to(&topic).partition(n % 2).key(&key).payload(&value).headers(headers);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)?;
        // It reads its own, and so do we.
        let reader = consumer(target, &unique("reader"))?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..2 {
            partitions.add_partition_offset(&topic, partition, Offset::Beginning)?;
        }
        reader.assign(&partitions)?;
        let mut values = BTreeSet::new();
        let start = Instant::now();
        while values.len() < 1000 && start.elapsed() < PATIENCE {
            let Some(message) = reader.poll(Duration::from_millis(100)) else { continue };
            let message = message?;
            let header =
                message.headers().and_then(|headers| headers.iter().next()?.value.map(<[u8]>::to_vec));
            equal("its header", header.as_deref(), message.payload())?;
            values.insert(String::from_utf8(message.payload().unwrap_or_default().to_vec())?);
        }
        equal(
            &format!("what it read in {codec}"),
            values,
            (0..1000).map(|n| format!("value {n}")).collect(),
        )?;
        wait(async {
            let mut ours: Consumer = kit::consumer(target).build().await?;
            ours.assign((0..2).map(|partition| (topic.as_str(), partition)))?;
            let records = kit::take(&mut ours, 1000).await?;
            let values: BTreeSet<String> = records.iter().map(kit::text).collect();
            equal("what we read", values, (0..1000).map(|n| format!("value {n}")).collect())
        })?;
    }
    Ok(())
}

fn share_commit_and_resume(target: &Target) -> Outcome {
    let topic = wait(topic(target, "librdkafka-shared", 4))?;
    let mut from = 0;
    for to in [100, 150] {
        let members = [member(target, &topic, &topic)?, member(target, &topic, &topic)?];
        let mut seen = Vec::new();
        poll_all(&members, &mut seen, "two partitions for each", |shares, _| shares == [2, 2])?;
        wait(numbers(target, &topic, 4, from * 4..to * 4))?;
        let read = every(4, from.into()..to.into());
        poll_all(&members, &mut seen, "all records", |_, seen| distinct(seen).len() == read.len())?;
        equal("what both read, from where the group was", distinct(&seen), read)?;
        for (place, member) in members.iter().enumerate() {
            holds("each reads", seen.iter().any(|(of, ..)| *of == place))?;
            member.commit_consumer_state(CommitMode::Sync)?;
        }
        drop(members);
        let committed = wait(async { Ok(admin(target).await?.committed_offsets(topic.as_str()).await?) })?;
        equal("committed", committed.values().map(|at| at.offset).collect(), vec![i64::from(to); 4])?;
        from = to;
    }
    Ok(())
}

fn middle_and_times(target: &Target) -> Outcome {
    let topic = wait(topic(target, "librdkafka-middle", 1))?;
    let first = wait(one_batch(target, &topic, 100, Compression::Lz4))?;
    let reader = consumer(target, &topic)?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(&topic, 0, Offset::Offset(37))?;
    reader.assign(&partitions)?;
    let (members, mut seen) = ([reader], Vec::new());
    poll_all(&members, &mut seen, "the rest of the batch", |_, seen| seen.len() >= 63)?;
    equal("what it read", seen, (37..100).map(|offset| (0, 0, offset)).collect())?;
    for (time, expected) in [
        (first + 20_000, Offset::Offset(20)),
        (first + 20_001, Offset::Offset(21)),
        (first + 1_000_000, Offset::End),
    ] {
        let found = members[0].offsets_for_timestamp(time, PATIENCE)?;
        let offset = found.find_partition(&topic, 0).map(|found| found.offset());
        equal("by time", offset, Some(expected))?;
    }
    equal("the watermarks", members[0].fetch_watermarks(&topic, 0, PATIENCE)?, (0, 100))
}

fn independent_and_idle(target: &Target) -> Outcome {
    let topic = wait(topic(target, "librdkafka-apart", 2))?;
    let other = unique("other");
    let group = (0..3).map(|_| member(target, &topic, &topic)).collect::<KafkaResult<Vec<_>>>()?;
    let apart = [member(target, &other, &topic)?];
    let (mut seen, mut seen_apart) = (Vec::new(), Vec::new());
    let settled = |shares: &[usize], _: &[Seen]| {
        shares.iter().sum::<usize>() == 2
            && describe(target, &topic).is_ok_and(|group| is_settled(&group, &[0, 1, 1]))
    };
    poll_all(&group, &mut seen, "three members, one without a share", settled)?;
    let before = describe(target, &topic)?;
    wait(numbers(target, &topic, 2, 0..100))?;
    let start = Instant::now();
    let all = |_: &[usize], seen: &[Seen]| seen.len() >= 100 && start.elapsed() > Duration::from_secs(2);
    poll_all(&group, &mut seen, "all records", all)?;
    poll_all(&apart, &mut seen_apart, "all records, by the other group", all)?;
    equal("what the one read", distinct(&seen), every(2, 0..50))?;
    equal("what the other read", distinct(&seen_apart), every(2, 0..50))?;
    equal("readers of the one", seen.iter().map(|seen| seen.0).collect::<BTreeSet<_>>().len(), 2)?;
    equal("each once", (seen.len(), seen_apart.len()), (100, 100))?;
    equal("no rebalance since", describe(target, &topic)?, before)
}
