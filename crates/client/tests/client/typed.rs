//! Typed records, and records that do not parse, against the embedded broker.

use std::error::Error;

use ottla::{
    Consumer, HandedOut, Json, OffsetReset, Parsed, Producer, ProducerRecord, RawBytes, RecordDeserializer,
    TopicPartition, TypedConsumer, TypedRecord, Utf8,
};
use ottla_broker::Server;
use serde::Deserialize;

use crate::common::{PATIENCE, produce, server};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Order {
    total: u64,
}

async fn member(server: &Server) -> Consumer {
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("g").subscribe(["t"]);
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).enable_auto_commit(false);
    builder.build().await.unwrap()
}

/// A member, and in its partition three orders of which the second is damaged, and a deletion.
async fn orders(server: &Server) -> Consumer {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    for (key, value) in [
        ("a", Some(r#"{"total": 1}"#)),
        ("b", Some(r#"{"total": }"#)),
        ("c", Some(r#"{"total": 3}"#)),
        ("d", None),
    ] {
        let record = ProducerRecord::to("t").key(key.as_bytes());
        let record = match value {
            Some(value) => record.value(value.as_bytes()),
            None => record,
        };
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
    member(server).await
}

async fn next<D: RecordDeserializer>(consumer: &mut TypedConsumer<D>) -> Parsed<D> {
    tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap()
}

/// What became of each: its total, or the offset of one that does not parse.
fn total<K>(order: Result<TypedRecord<K, Order>, ottla::Poison>) -> Result<u64, i64> {
    order.map(|order| order.value.total).map_err(|poison| poison.offset())
}

async fn committed(consumer: &Consumer) -> Option<i64> {
    let committed = consumer.committed([("t", 0)]).await.unwrap();
    let committed = committed.get(&TopicPartition::new("t", 0)).cloned().flatten();
    committed.map(|committed| committed.offset)
}

#[tokio::test]
async fn a_record_that_does_not_parse_is_an_item_and_those_behind_it_come() {
    let server = server(1);
    let mut orders = orders(&server).await.typed(Utf8, Json::<Order>::new());
    let first = next(&mut orders).await.unwrap();
    assert_eq!((first.key.as_deref(), first.value.total, first.record.offset()), (Some("a"), 1, 0));
    let poison = next(&mut orders).await.unwrap_err();
    assert_eq!((poison.offset(), poison.raw().key()), (1, Some(&b"b"[..])));
    assert_eq!(poison.to_string(), "t-0@1: its value does not parse");
    let why = poison.source().unwrap().to_string();
    assert_eq!(format!("{poison:#}"), format!("t-0@1: its value does not parse: {why}"));
    assert_eq!(total(next(&mut orders).await), Ok(3));
    // A deletion is no order.
    assert_eq!(total(next(&mut orders).await), Err(3));
}

#[tokio::test]
async fn a_deletion_is_none_where_the_type_has_room_for_it() {
    let server = server(1);
    let mut orders = orders(&server).await.typed(RawBytes, Json::<Option<Order>>::new());
    let mut last = None;
    for _ in 0..4 {
        last = next(&mut orders).await.ok();
    }
    let last = last.unwrap();
    assert_eq!((last.key.as_deref(), last.value), (Some(&b"d"[..]), None));
}

#[tokio::test]
async fn a_closure_without_annotations_makes_values_of_whole_records() {
    let server = server(1);
    let mut orders = orders(&server)
        .await
        .typed_with(|record| serde_json::from_slice::<Order>(record.value().unwrap_or_default()));
    let mut totals = Vec::new();
    while totals.len() < 4 {
        totals.push(total(next(&mut orders).await));
    }
    assert_eq!(totals, [Ok(1), Err(1), Ok(3), Err(3)]);
}

#[tokio::test]
async fn a_function_may_look_at_all_of_a_record_and_fail_with_a_text() {
    let server = server(1);
    let mut keys = orders(&server).await.typed_with(|record| match record.key() {
        Some(b"a") => Err("that one is taken"),
        key => Ok(key.map(<[u8]>::to_vec)),
    });
    let poison = next(&mut keys).await.unwrap_err();
    assert_eq!(format!("{poison:#}"), "t-0@0: it does not parse: that one is taken");
    assert_eq!(next(&mut keys).await.unwrap().value, Some(b"b".to_vec()));
}

#[tokio::test]
async fn a_poll_and_a_stream_give_the_same_as_recv() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let mut numbers = member(&server).await.typed(RawBytes, Json::<u32>::new());
    let value = |number: Parsed<(RawBytes, Json<u32>)>| number.unwrap().value;
    let mut read = vec![value(next(&mut numbers).await)];
    let polled = numbers.poll(PATIENCE).partitions([("t", 0)]).max_records(2).await.unwrap();
    assert!((1..=2).contains(&polled.len()));
    read.extend(polled.into_iter().map(value));
    let mut stream = numbers.stream();
    while read.len() < 10 {
        read.push(value(stream.next().await.unwrap().unwrap()));
    }
    drop(stream);
    assert_eq!(read, (0..10).collect::<Vec<_>>());
    assert!(numbers.is_open());
    numbers.closer().close();
    assert!(!numbers.is_open());
    assert!(numbers.stream().next().await.is_none());
}

#[tokio::test]
async fn a_commit_through_a_typed_record_or_one_that_does_not_parse_covers_it_and_no_more() {
    let server = server(1);
    let mut orders = orders(&server).await.typed(Utf8, Json::<Order>::new());
    let first = next(&mut orders).await.unwrap();
    let poison = next(&mut orders).await.unwrap_err();
    assert_eq!((first.topic_partition(), first.next_offset()), (poison.topic_partition(), poison.offset()));
    orders.commit_through(&first).await.unwrap();
    assert_eq!(committed(orders.consumer()).await, Some(1));
    orders.commit_through(&poison).await.unwrap();
    assert_eq!(committed(orders.consumer()).await, Some(2));
    // A commit of everything covers what did not parse, too.
    for _ in 0..2 {
        _ = next(&mut orders).await;
    }
    orders.commit_offsets([(("t", 0), 3)]).await.unwrap();
    assert_eq!(committed(orders.consumer()).await, Some(3));
    orders.commit().await.unwrap();
    let mut consumer = orders.into_inner();
    assert_eq!(committed(&consumer).await, Some(4));
    consumer.seek(("t", 0), 2).unwrap();
    let record = consumer.recv().await.unwrap().unwrap();
    assert_eq!(total((Utf8, Json::<Order>::new()).deserialize_record(record)), Ok(3));
}

#[tokio::test]
async fn typed_calls_can_be_made_in_any_thread() {
    fn is_send<T: Send>(it: T) -> T {
        it
    }
    let server = server(1);
    let mut orders = is_send(orders(&server).await.typed(Utf8, Json::<Order>::new()));
    let received: Option<Parsed<(Utf8, Json<Order>)>> = is_send(orders.recv()).await.unwrap();
    assert_eq!(received.map(total), Some(Ok(1)));
    _ = is_send(orders.poll(PATIENCE).into_future()).await.unwrap();
    _ = is_send(orders.stream());
    is_send(orders.commit()).await.unwrap();
    is_send(orders.close()).await.unwrap();
}
