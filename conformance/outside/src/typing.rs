//! Records with their keys and values deserialized.

use std::convert::Infallible;

use ottla::{
    BigEndian, Consumer, Deserializer, JavaNumber, Json, NotSuchNumber, OwnedRecord, Parsed, Poison,
    PollTyped, PollTypedFuture, RawBytes, RecordDeserializer, SeekPosition, TypedConsumer, TypedRecord,
    TypedStream, Utf8, UuidText,
};
use serde::Deserialize;

use crate::{ORDERS, Outcome, PATIENCE, administering::at, configuring, equal};

#[derive(Debug, PartialEq, Deserialize)]
struct Order {
    id: u32,
}

/// Keys and values as text and JSON.
type Orders = (Utf8, Json<Order>);

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let mut consumer = configuring::consumer(servers).build().await?;
    consumer.assign([(topic, 0)])?;
    consumer.seek_to_beginning([at(topic)])?;

    let mut orders = orders(consumer);
    let first = awaited(ask(&mut orders).max_records(1)).await?.remove(0);
    equal(order(first)?, (Some("0".to_owned()), Order { id: 0 }))?;
    let second = stream(&mut orders).next().await.ok_or("the stream has ended")??;
    equal(order(second)?.1, Order { id: 1 })?;
    orders.consumer_mut().seek(at(topic), SeekPosition::Offset(i64::from(ORDERS)))?;
    let last = orders.recv().await?.ok_or("the consumer is closed")?;
    equal(poisoned(last.err().ok_or("an order")?).offset(), i64::from(ORDERS))?;

    let mut lengths = orders.into_inner().typed_with(length);
    lengths.consumer_mut().seek_to_beginning([at(topic)])?;
    equal(lengths.recv().await?.ok_or("the consumer is closed")??.value, 8)?;

    let mut read = lengths.into_inner();
    read.seek_to_beginning([at(topic)])?;
    let record = read.recv().await?.ok_or("the consumer is closed")?;
    equal(value(&copies(), &record)?, Some(br#"{"id":0}"#.to_vec()))?;
    equal(parsed(&Numbered, record)?.value, 0)?;
    equal(number(BigEndian::<i16>::new(), &[1, 0])?, Some(256))?;
    equal(uuids().deserialize("any", None)?, None)?;
    Ok(read.close().await?)
}

/// A number that Java has written.
fn number<T: JavaNumber>(numbers: BigEndian<T>, bytes: &[u8]) -> Result<Option<T>, NotSuchNumber> {
    numbers.deserialize("any", Some(bytes))
}

fn uuids() -> UuidText {
    UuidText
}

fn orders(consumer: Consumer) -> TypedConsumer<Orders> {
    consumer.typed(Utf8, Json::new())
}

fn ask<D: RecordDeserializer>(consumer: &mut TypedConsumer<D>) -> PollTyped<'_, D> {
    consumer.poll(PATIENCE)
}

fn awaited<D: RecordDeserializer>(poll: PollTyped<'_, D>) -> PollTypedFuture<'_, D> {
    poll.into_future()
}

fn stream<D: RecordDeserializer>(consumer: &mut TypedConsumer<D>) -> TypedStream<'_, D> {
    consumer.stream()
}

fn order(parsed: Parsed<Orders>) -> Result<(Option<String>, Order), Poison> {
    parsed.map(|TypedRecord { key, value, .. }| (key, value))
}

fn poisoned(poison: Poison) -> OwnedRecord {
    poison.into_raw()
}

fn length(record: &OwnedRecord) -> Result<usize, Infallible> {
    Ok(record.value().unwrap_or_default().len())
}

fn copies() -> RawBytes {
    RawBytes
}

fn value<D: Deserializer>(deserializer: &D, record: &OwnedRecord) -> Result<D::Output, D::Error> {
    deserializer.deserialize(record.topic(), record.value())
}

/// A deserializer of whole records, of one's own.
struct Numbered;

impl RecordDeserializer for Numbered {
    type Key = ();
    type Value = i64;

    fn deserialize_record(&self, record: OwnedRecord) -> Result<TypedRecord<(), i64>, Poison> {
        match record.partition() {
            0 => Ok(TypedRecord { key: (), value: record.offset(), record }),
            _ => Err(Poison::new(record, "of another partition")),
        }
    }
}

fn parsed<D: RecordDeserializer>(
    deserializer: &D,
    record: OwnedRecord,
) -> Result<TypedRecord<D::Key, D::Value>, Poison> {
    deserializer.deserialize_record(record)
}
