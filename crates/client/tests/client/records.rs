//! Records as users have them: by poll, by stream, kept, compared and copied, against the embedded broker.

use std::time::Duration;

use bytes::Bytes;
use ottla::{
    Compression, Consumer, ConsumerBuilder, DetachedRecord, OffsetReset, OwnedRecord, Producer,
    ProducerRecord, Reason, Record, Records, SeekPosition, Timestamp, TimestampType, TopicPartition,
};
use ottla_broker::Server;

use crate::common::{PATIENCE, produce, server};

fn builder(server: &Server) -> ConsumerBuilder {
    Consumer::builder().bootstrap_servers([server.bootstrap()]).auto_offset_reset(OffsetReset::Earliest)
}

/// A consumer of these partitions, from their beginning.
async fn reading(server: &Server, partitions: i32) -> Consumer {
    let mut consumer = builder(server).build().await.unwrap();
    consumer.assign((0..partitions).map(|partition| ("t", partition))).unwrap();
    consumer
}

async fn next(consumer: &mut Consumer) -> OwnedRecord {
    tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap()
}

async fn send(
    server: &Server,
    compression: Compression,
    records: impl IntoIterator<Item = ProducerRecord<'_>>,
) {
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).compression(compression);
    let producer = builder.build().await.unwrap();
    for record in records {
        drop(producer.send(record).await.unwrap());
    }
    producer.close().await.unwrap();
}

#[tokio::test]
async fn records_taken_by_value_are_those_that_were_lent_and_outlive_them() {
    let server = server(2);
    for partition in 0..2 {
        produce(&server, partition, 0..20).await;
    }
    let mut consumer = reading(&server, 2).await;
    let mut kept: Vec<OwnedRecord> = Vec::new();
    while kept.len() < 40 {
        let records = consumer.poll(PATIENCE).await.unwrap();
        let (copy, before) = (records.clone(), kept.len());
        assert_eq!(copy, records);
        assert_eq!(records.clone().into_iter().len(), records.len());
        for record in records {
            kept.push(record);
        }
        assert!(copy.iter().eq(kept[before..].iter().cloned()), "{copy:?}");
    }
    consumer.close().await.unwrap();
    for partition in 0..2 {
        let of_it = kept.iter().filter(|record| record.partition() == partition);
        let values: Vec<_> = of_it.map(|record| String::from_utf8_lossy(record.value().unwrap())).collect();
        assert_eq!(values, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_poll_is_seen_partition_by_partition_each_in_order() {
    let server = server(3);
    for partition in 0..2 {
        produce(&server, partition, 0..20).await;
    }
    let mut consumer = reading(&server, 3).await;
    let mut read = 0;
    while read < 40 {
        let records = consumer.poll(PATIENCE).await.unwrap();
        let by_partition = records.by_partition();
        assert_eq!(by_partition.values().map(ExactSizeIterator::len).sum::<usize>(), records.len());
        for (at, of_it) in by_partition {
            let all: Vec<Record<'_>> = of_it.collect();
            assert!(all.iter().all(|record| record.topic_partition() == at));
            assert!(all.is_sorted_by_key(Record::offset) && !all.is_empty());
            assert_eq!(
                all.last().map(Record::next_offset),
                records.next_offsets().get(at).map(|next| next.offset)
            );
        }
        read += records.len();
    }
}

#[tokio::test]
async fn a_poll_is_narrowed_to_partitions_and_to_a_number_of_records() {
    let server = server(2);
    for partition in 0..2 {
        produce(&server, partition, 0..20).await;
    }
    let mut consumer = reading(&server, 2).await;
    let mut read = Vec::new();
    while read.len() < 20 {
        let records = consumer.poll(PATIENCE).partitions([("t", 1)]).max_records(7).await.unwrap();
        assert!((1..=7).contains(&records.len()));
        read.extend(records.iter().map(|record| (record.partition(), record.offset())));
    }
    assert_eq!(read, (0..20).map(|offset| (1, offset)).collect::<Vec<_>>());
    // None at all would be no poll: it is one.
    assert_eq!(consumer.poll(PATIENCE).max_records(0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_poll_that_nothing_came_for_is_as_the_default() {
    let server = server(1);
    let mut consumer = reading(&server, 1).await;
    let records = consumer.poll(Duration::from_millis(20)).await.unwrap();
    assert_eq!(records, Records::default());
    assert!(records.is_empty() && records.by_partition().is_empty() && records.into_iter().next().is_none());
}

#[tokio::test]
async fn a_record_without_a_timestamp_has_none_and_a_copy_says_what_a_timestamp_means() {
    let server = server(1);
    let record = |time: i64| ProducerRecord::to("t").timestamp(time).value(b"v");
    send(&server, Compression::None, [record(-1), record(0), record(1_700_000_000_000)]).await;
    let mut consumer = reading(&server, 1).await;
    for time in [None, Some(Timestamp(0)), Some(Timestamp(1_700_000_000_000))] {
        let record = next(&mut consumer).await;
        assert_eq!(record.timestamp(), time);
        let mut copy = DetachedRecord::new(("t", 0), record.offset());
        copy.leader_epoch = record.leader_epoch();
        copy.timestamp = time;
        copy.timestamp_type = TimestampType::CreateTime;
        copy.value = Some(b"v".to_vec());
        assert_eq!(record.detach(), copy);
    }
    let found = consumer.offsets_for_times([(("t", 0), Timestamp(1))]).await.unwrap();
    let found = found[&TopicPartition::new("t", 0)].unwrap();
    assert_eq!((found.offset, found.timestamp), (2, Some(Timestamp(1_700_000_000_000))));
    consumer.seek(("t", 0), Timestamp(0)).unwrap();
    assert_eq!(next(&mut consumer).await.offset(), 1);
}

#[tokio::test]
async fn a_record_that_is_fetched_twice_is_the_same_lent_or_owned_and_no_other_is() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let mut consumer = reading(&server, 1).await;
    let (first, second) = (next(&mut consumer).await, next(&mut consumer).await);
    consumer.seek(("t", 0), SeekPosition::Beginning).unwrap();
    let again = consumer.poll(PATIENCE).await.unwrap();
    let lent = again.iter().next().unwrap();
    assert_eq!(lent, first);
    let (owned, from): (OwnedRecord, OwnedRecord) = (lent.into_owned(), lent.into());
    assert_eq!((&first, &first), (&owned, &from));
    assert_ne!(lent, second);
    assert_ne!(first, second);
    assert!(first.value().unwrap().as_ptr() != lent.value().unwrap().as_ptr(), "fetched once");
}

#[tokio::test]
async fn bytes_of_a_record_lie_where_they_were_fetched_to_and_outlive_it_and_its_consumer() {
    for compression in [Compression::None, Compression::Lz4] {
        let server = server(1);
        let record = ProducerRecord::to("t").key(b"a key").value(vec![b'x'; 500]);
        send(&server, compression, [record, ProducerRecord::to("t").key(b"")]).await;
        let mut consumer = reading(&server, 1).await;
        let (full, bare) = (next(&mut consumer).await, next(&mut consumer).await);
        let (key, value) = (full.key_bytes().unwrap(), full.value_bytes().unwrap());
        assert_eq!(value.as_ptr(), full.value().unwrap().as_ptr(), "{compression}");
        assert_eq!((bare.key_bytes(), bare.value_bytes()), (Some(Bytes::new()), None));
        let piece = value.slice(100..200);
        drop((full, bare, value));
        consumer.close().await.unwrap();
        assert_eq!((&key[..], &piece[..]), (&b"a key"[..], &[b'x'; 100][..]), "{compression}");
    }
}

#[tokio::test]
async fn bytes_that_are_kept_count_in_the_budget_until_they_are_dropped() {
    const SMALL: usize = 64 << 10;
    let server = server(1);
    let value = vec![b'x'; 1000];
    let records = (0..500).map(|_| ProducerRecord::to("t").value(&value[..]));
    send(&server, Compression::None, records).await;
    let builder =
        builder(&server).buffer_memory(SMALL).fetch_max_bytes(SMALL).max_partition_fetch_bytes(SMALL);
    let mut consumer = builder.build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let (mut read, mut kept) = (0, Vec::new());
    loop {
        let records = consumer.poll(Duration::from_millis(50)).await.unwrap();
        read += records.len();
        kept.extend(records.iter().filter_map(|record| record.value_bytes()));
        let explanation = consumer.explain();
        let full = explanation.partitions.iter().any(|(_, why)| matches!(why, Reason::BufferFull { .. }));
        if records.is_empty() && full {
            break;
        }
        assert!(read < 500, "all of it was read though all of it is kept");
    }
    assert!(kept.iter().all(|bytes| bytes.len() == 1000));
    drop(kept);
    while read < 500 {
        let records = consumer.poll(PATIENCE).await.unwrap();
        assert!(!records.is_empty(), "nothing came though nothing is kept: {}", consumer.explain());
        read += records.len();
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_while_it_waits_loses_no_record() {
    let server = server(1);
    let mut consumer = reading(&server, 1).await;
    let waits = tokio::time::timeout(Duration::from_millis(20), async { consumer.stream().next().await });
    assert!(waits.await.is_err(), "a record, though none was written");
    produce(&server, 0, 0..10).await;
    for offset in 0..10 {
        let record = tokio::time::timeout(PATIENCE, async { consumer.stream().next().await }).await;
        assert_eq!(record.unwrap().unwrap().unwrap().offset(), offset);
    }
}

#[tokio::test]
async fn a_stream_ends_once_its_consumer_is_closed() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let mut consumer = reading(&server, 1).await;
    let closer = consumer.closer();
    let mut records = consumer.stream();
    assert!(records.next().await.unwrap().is_ok());
    closer.close();
    assert!(tokio::time::timeout(PATIENCE, records.next()).await.unwrap().is_none());
    assert!(records.next().await.is_none());
}
