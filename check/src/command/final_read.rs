//! The last word on a log: all of it, from its start to its end.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use ottla::TopicPartition;
use ottla_check::history::{Isolation, Op, Place, Record};

use super::{Failure, clients::ClientArgs, diary::Diary};

/// How long it may get no further.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn read(
    clients: &ClientArgs,
    topic: &str,
    partitions: i32,
    isolation: Isolation,
    history: &Path,
) -> Result<(), Failure> {
    let diary = Diary::begin("final", history)?;
    let all: Vec<TopicPartition> =
        (0..partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
    let mut consumer = clients.reader(isolation)?.build().await?;
    diary.write(Op::Start { group: None, isolation, reset: None, idempotent: true })?;
    let place = |at: &TopicPartition| Place { topic: at.topic.clone(), partition: at.partition };
    diary.write(Op::Assign { partitions: all.iter().map(place).collect(), generation: None })?;
    consumer.assign(all.clone())?;
    consumer.seek_to_beginning(all.clone())?;
    let from = consumer.beginning_offsets(all.clone()).await?;
    let to = consumer.end_offsets(all.clone()).await?;
    let mut behind: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for at in &all {
        let (Some(from), Some(to)) = (from.get(at), to.get(at)) else {
            return Err(format!("final read: the ends of {at} are not told; is its leader there?").into());
        };
        if from < to {
            behind.insert(at.clone(), *to);
        }
    }
    let mut deadline = Instant::now() + PATIENCE;
    while !behind.is_empty() {
        let result = consumer.poll(Duration::from_millis(200)).await;
        match result {
            Ok(records) if !records.is_empty() => {
                deadline = Instant::now() + PATIENCE;
                let record = |record: ottla::Record<'_>| Record {
                    topic: record.topic().to_owned(),
                    partition: record.partition(),
                    offset: record.offset(),
                    value: String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned(),
                };
                diary.write(Op::Poll { records: records.iter().map(record).collect() })?;
            }
            Err(error) if error.is_final() => return Err(error.into()),
            _ if Instant::now() > deadline => {
                let why = consumer.explain();
                return Err(format!("final read: nothing came for {} s; {why}", PATIENCE.as_secs()).into());
            }
            _ => {}
        }
        // Control batches and compaction leave no records at the end: positions tell.
        for at in behind.keys().cloned().collect::<Vec<_>>() {
            if let Ok(position) = consumer.position(&at).await
                && behind.get(&at).is_some_and(|to| position >= *to)
            {
                behind.remove(&at);
            }
        }
    }
    for at in &all {
        let (from, to) = (from.get(at).copied().unwrap_or_default(), to.get(at).copied().unwrap_or_default());
        diary.write(Op::Final { topic: at.topic.clone(), partition: at.partition, from, to })?;
    }
    diary.write(Op::Stop {})?;
    Ok(consumer.close().await?)
}
