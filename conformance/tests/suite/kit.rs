//! What the library's cases share: topics, records, consumers, and how long anything may take.

use std::fmt::Debug;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use libtest_mimic::Failed;
use ottla::admin::{GroupDescription, NewTopic};
use ottla::error::BuildError;
use ottla::{
    Admin, Compression, Consumer, ConsumerBuilder, Event, GroupProtocol, Happened, OffsetReset, OwnedRecord,
    Producer, ProducerRecord,
};
use ottla_conformance::targets::{Target, unique};
use ottla_protocol::codec::RecordData;
use ottla_protocol::{ApiKey, Request, RequestHeader, Response, ResponseHeader, Timestamp};

use crate::cases::Outcome;

/// For what takes a second where nothing else runs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Fails with the two values, unless they are equal.
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, left: T, right: T) -> Outcome {
    if left == right { Ok(()) } else { Err(format!("{what}: {left:?}, not {right:?}").into()) }
}

/// Fails unless it holds.
pub(crate) fn holds(what: &str, condition: bool) -> Outcome {
    if condition { Ok(()) } else { Err(format!("not so: {what}").into()) }
}

/// What a future gives, in a runtime with one thread: a case that blocks it blocks all of its own tasks.
pub(crate) fn wait<T>(future: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// A result that has come in time.
pub(crate) async fn within<T>(what: &str, future: impl IntoFuture<Output = T>) -> Result<T, Failed> {
    let late = |_| format!("not within {PATIENCE:?}: {what}").into();
    tokio::time::timeout(PATIENCE, future.into_future()).await.map_err(late)
}

pub(crate) async fn admin(target: &Target) -> Result<Admin, BuildError> {
    Admin::builder().bootstrap_servers([target.bootstrap()]).build().await
}

/// A topic of its own for the case, that all brokers know.
pub(crate) async fn topic(target: &Target, name: &str, partitions: i32) -> Result<String, Failed> {
    let name = unique(name);
    create(target, &name, partitions).await?;
    Ok(name)
}

pub(crate) async fn create(target: &Target, name: &str, partitions: i32) -> Outcome {
    // As many copies as the cluster makes by itself: three, where it has three nodes.
    create_as(target, NewTopic::new(name).partitions(partitions)).await
}

/// As [`create`], with settings of its own.
pub(crate) async fn create_as(target: &Target, topic: NewTopic) -> Outcome {
    let name = topic.name.clone();
    admin(target).await?.create_topic(topic).await?;
    if let Target::Kafka(cluster) = *target {
        tokio::task::spawn_blocking(move || cluster.wait_for_topic(&name)).await??;
    }
    Ok(())
}

pub(crate) async fn producer(target: &Target) -> Result<Producer, BuildError> {
    Producer::builder().bootstrap_servers([target.bootstrap()]).build().await
}

/// Writes the numbers of a range as text, each to the partition of that number modulo `partitions`.
pub(crate) async fn numbers(
    target: &Target,
    topic: &str,
    partitions: i32,
    range: std::ops::Range<i32>,
) -> Outcome {
    let producer = producer(target).await?;
    for n in range {
        let record = ProducerRecord::to(topic).partition(n % partitions).value(n.to_string().into_bytes());
        drop(within("room for a record", producer.send(record)).await??);
    }
    Ok(within("records that are acknowledged", producer.close()).await??)
}

/// Writes so many numbers to partition 0 as one batch, a second apart; the time of the first.
pub(crate) async fn one_batch(
    target: &Target,
    topic: &str,
    count: i64,
    compression: Compression,
) -> Result<i64, Failed> {
    // Not so long ago that a broker would take them for expired.
    let first = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64 - 600_000;
    // It waits for all records, and has room for them.
    let builder = Producer::builder().bootstrap_servers([target.bootstrap()]).compression(compression);
    let producer = builder.linger(PATIENCE / 2).build().await?;
    for n in 0..count {
        let record = ProducerRecord::to(topic).partition(0).timestamp(Timestamp(first + n * 1000));
        let record = record.value(n.to_string().into_bytes());
        drop(within("room for a record", producer.send(record)).await??);
    }
    within("a batch that is acknowledged", producer.close()).await??;
    Ok(first)
}

/// A consumer that begins at the beginning, and creates no topic by asking for it.
pub(crate) fn consumer(target: &Target) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([target.bootstrap()])
        .auto_offset_reset(OffsetReset::Earliest)
        .allow_auto_create_topics(false)
}

/// A member of a group that soon learns of a rebalance, and commits when it is told to.
pub(crate) fn member(target: &Target, group: &str, topic: &str) -> ConsumerBuilder {
    consumer(target)
        .group_id(group)
        .subscribe([topic])
        .heartbeat_interval(Duration::from_millis(300))
        .enable_auto_commit(false)
}

/// A member of a group of this protocol. Under the consumer protocol it is the coordinator who says how often it is to be heard of.
pub(crate) fn member_by(
    target: &Target,
    group: &str,
    topic: &str,
    protocol: GroupProtocol,
) -> ConsumerBuilder {
    match protocol {
        GroupProtocol::Classic => member(target, group, topic),
        _ => consumer(target).group_id(group).subscribe([topic]).enable_auto_commit(false),
    }
    .group_protocol(protocol)
}

/// The next record, which must come.
pub(crate) async fn next(consumer: &mut Consumer) -> Result<OwnedRecord, Failed> {
    match tokio::time::timeout(PATIENCE, consumer.recv()).await {
        Ok(record) => Ok(record?.ok_or("the consumer is closed")?),
        Err(_) => Err(format!("no record within {PATIENCE:?}:\n{}", consumer.explain()).into()),
    }
}

/// The next so many records.
pub(crate) async fn take(consumer: &mut Consumer, count: usize) -> Result<Vec<OwnedRecord>, Failed> {
    let mut records = Vec::new();
    while records.len() < count {
        records.push(next(consumer).await?);
    }
    Ok(records)
}

pub(crate) fn offsets(records: &[OwnedRecord]) -> Vec<i64> {
    records.iter().map(OwnedRecord::offset).collect()
}

pub(crate) fn text(record: &OwnedRecord) -> String {
    String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned()
}

/// Polls until it holds of the consumer; what is read meanwhile is dropped.
pub(crate) async fn poll_until(
    consumer: &mut Consumer,
    what: &str,
    mut condition: impl FnMut(&mut Consumer) -> bool,
) -> Outcome {
    let start = Instant::now();
    while !condition(consumer) {
        if start.elapsed() > PATIENCE {
            return Err(format!("not within {PATIENCE:?}: {what}\n{}", consumer.explain()).into());
        }
        consumer.poll(Duration::from_millis(50)).await?;
    }
    Ok(())
}

/// A record that a member of a group was handed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Its place among the members.
    pub(crate) member: usize,
}

/// Polls the members of a group in turn, until it holds of them and of what they have seen.
pub(crate) async fn poll_all(
    members: &mut [Consumer],
    seen: &mut Vec<Seen>,
    what: &str,
    mut condition: impl FnMut(&[Consumer], &[Seen]) -> bool,
) -> Outcome {
    let start = Instant::now();
    while !condition(members, seen) {
        if start.elapsed() > PATIENCE {
            let reasons: Vec<String> = members.iter().map(|member| member.explain().to_string()).collect();
            return Err(format!("not within {PATIENCE:?}: {what}\n{}", reasons.join("\n")).into());
        }
        for (member, consumer) in members.iter_mut().enumerate() {
            let records = consumer.poll(Duration::from_millis(20)).await?;
            seen.extend(records.iter().map(|record| Seen {
                partition: record.partition(),
                offset: record.offset(),
                member,
            }));
        }
    }
    Ok(())
}

/// How many partitions each member has.
pub(crate) fn shares(members: &[Consumer]) -> Vec<usize> {
    members.iter().map(|member| member.assignment().len()).collect()
}

/// The generations that a consumer has joined since this was last asked.
pub(crate) fn generations(consumer: &mut Consumer) -> Vec<i32> {
    let mut generations = Vec::new();
    while let Some(Happened { event, .. }) = consumer.next_event() {
        if let Event::Joined { generation_id, .. } = event {
            generations.push(generation_id);
        }
    }
    generations
}

/// A group as its coordinator tells.
pub(crate) fn describe(target: &Target, group: &str) -> Result<GroupDescription, Failed> {
    wait(async {
        let admin = admin(target).await?;
        Ok(admin.describe_groups([group]).await?.remove(group).ok_or("no answer about the group")??)
    })
}

/// Whether the group is stable, with so many partitions for each of its members, in rising order.
pub(crate) fn is_settled(group: &GroupDescription, shares: &[usize]) -> bool {
    let mut found: Vec<usize> = group.members.iter().map(|member| member.assignment.len()).collect();
    found.sort_unstable();
    group.state == "Stable" && found == shares
}

/// The ids of a group's members, as its coordinator tells.
pub(crate) async fn members_of(admin: &Admin, group: &str) -> Result<Vec<String>, Failed> {
    let described = admin.describe_groups([group]).await?.remove(group).ok_or("no answer about the group")?;
    match described {
        Ok(group) => Ok(group.members.into_iter().map(|member| member.member_id).collect()),
        Err(error) if error.kind() == ottla::error::AdminErrorKind::UnknownGroup => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// One question and its answer, on a connection of the case's own.
pub(crate) fn ask(
    stream: &mut TcpStream,
    key: ApiKey,
    version: i16,
    request: impl Into<Request>,
) -> Result<Response, Failed> {
    let header = RequestHeader { key, version, correlation_id: 1, client_id: None };
    stream.write_all(&header.encode(&request.into()))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    let mut response = ResponseHeader::decode(key, version, &frame)?.1;
    if let Response::Fetch(fetch) = &mut response {
        // They are ranges of the frame, which ends here.
        for partition in fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.records =
                partition.records.take().map(|it| RecordData::Owned(it.bytes(&frame).to_vec()));
        }
    }
    Ok(response)
}
