//! A consumer by itself: positions, and records in each of their forms.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use ottla::{
    Closer, Committed, Consumer, ConsumerInterceptor, DecodeError, DetachedRecord, HandedOut, Header,
    Headers, NodeId, OffsetsError, OwnedRecord, PollRecords, Reader, Record, RecordStream, Records,
    RecvError, SeekError, SeekPosition, Timestamp, TimestampType, TopicPartition, records,
};

use crate::{ORDERS, Outcome, PATIENCE, administering::at, configuring, equal};

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let last = Last::default();
    let mut consumer = configuring::consumer(servers).interceptor(last.clone()).build().await?;
    consumer.assign([(topic, 0)])?;
    seek(&mut consumer, at(topic), SeekPosition::Timestamp(Timestamp(0)))?;
    let mut reader = one_more(&consumer);
    equal(next(&mut reader).await?.map(|record| record.offset()), Some(0))?;
    reader.close();
    equal(last.0.load(Ordering::Relaxed), 0)?;

    seek(&mut consumer, at(topic), SeekPosition::Beginning)?;
    equal(position(&consumer, at(topic)).await?, 0)?;

    let records = ask(&mut consumer).max_records(2).await?;
    let first = walk(&records).next().ok_or("no record")?;
    equal(number(&first), Some(b"1".to_vec()))?;
    equal(kind_of_time(&first), TimestampType::CreateTime)?;
    equal(time(&first).is_some_and(|time| Timestamp::from(SystemTime::now()) >= time), true)?;
    equal(fetched_from(&first).0 >= 0, true)?;
    equal(text(&first).map(|text| text.len()), Some(8))?;
    let copy = detached(&kept(first));
    equal(behind(&copy), (at(topic), 1))?;
    for (n, record) in (0..).zip(each(records)) {
        equal(record.offset(), n)?;
    }

    seek(&mut consumer, at(topic), SeekPosition::Offset(i64::from(ORDERS) - 1))?;
    let last = stream(&mut consumer).next().await.ok_or("the stream has ended")??;
    equal(last.next_offset(), i64::from(ORDERS))?;
    closer(&consumer).close();
    equal(consumer.is_open(), false)?;
    Ok(consumer.close().await?)
}

/// The offset that it was told last, of a record or a commit.
#[derive(Clone)]
struct Last(Arc<AtomicI64>);

impl Default for Last {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(-1)))
    }
}

impl ConsumerInterceptor for Last {
    fn on_consume(&self, record: Record<'_>) {
        self.0.store(record.offset(), Ordering::Relaxed);
    }

    fn on_commit(&self, offsets: &Committed) {
        let newest = offsets.values().map(|committed| committed.offset).max();
        self.0.store(newest.unwrap_or(-1), Ordering::Relaxed);
    }
}

fn seek(consumer: &mut Consumer, at: TopicPartition, to: SeekPosition) -> Result<(), SeekError> {
    consumer.seek(at, to)
}

async fn position(consumer: &Consumer, at: TopicPartition) -> Result<i64, OffsetsError> {
    consumer.position(at).await
}

fn ask(consumer: &mut Consumer) -> PollRecords<'_> {
    consumer.poll(PATIENCE)
}

fn stream(consumer: &mut Consumer) -> RecordStream<'_> {
    consumer.stream()
}

fn one_more(consumer: &Consumer) -> Reader {
    consumer.reader()
}

fn closer(consumer: &Consumer) -> Closer {
    consumer.closer()
}

async fn next(reader: &mut Reader) -> Result<Option<OwnedRecord>, RecvError> {
    reader.recv().await
}

fn walk(records: &Records) -> records::Iter<'_> {
    records.iter()
}

fn each(records: Records) -> records::IntoIter {
    records.into_iter()
}

fn kept(record: Record<'_>) -> OwnedRecord {
    record.into_owned()
}

fn detached(record: &OwnedRecord) -> DetachedRecord {
    record.detach()
}

fn behind(record: &impl HandedOut) -> (TopicPartition, i64) {
    (record.topic_partition().clone(), record.next_offset())
}

fn time(record: &Record<'_>) -> Option<Timestamp> {
    record.timestamp()
}

fn kind_of_time(record: &Record<'_>) -> TimestampType {
    record.timestamp_type()
}

fn fetched_from(record: &Record<'_>) -> NodeId {
    record.broker()
}

/// With the feature `bytes`.
fn text(record: &Record<'_>) -> Option<bytes::Bytes> {
    record.value_bytes()
}

fn headers<'a>(record: &Record<'a>) -> Headers<'a> {
    record.headers()
}

fn is_number(header: &Result<Header<'_>, DecodeError>) -> bool {
    header.as_ref().is_ok_and(|header| header.key_lossy() == "number")
}

fn number(record: &Record<'_>) -> Option<Vec<u8>> {
    let header = headers(record).find(is_number)?.ok()?;
    header.value.map(<[u8]>::to_vec)
}
