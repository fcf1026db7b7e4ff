//! Producers against the embedded broker.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla::{
    Compression, Consumer, Delivered, ErrorCode, SendError,
    config::{OffsetReset, ProducerBuilder},
    error::{BuildErrorKind, RecvErrorKind, SendErrorKind},
    producer::{Acks, Delivery, Producer, ProducerRecord, TrySendError, partition_for_key},
};
use ottla_broker::{Config, Fault, Server, TopicSpec};
use ottla_protocol::{
    ApiKey,
    records::{BatchHeader, Decompressor, RecordWalk, walk_headers},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn cluster(brokers: u32, partitions: u32) -> Server {
    let topics = vec![TopicSpec::new("t", partitions)];
    Server::start_on_thread(Config { brokers, topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

fn builder(server: &Server) -> ProducerBuilder {
    Producer::builder().bootstrap_servers([server.bootstrap()])
}

async fn producer(server: &Server) -> Producer {
    builder(server).build().await.unwrap()
}

/// The values in a partition's log, in order.
fn values(server: &Server, partition: i32) -> Vec<String> {
    let log = server.with_cluster(|cluster| cluster.log("t", partition)).unwrap();
    let mut values = Vec::new();
    for batch in walk_headers(&log) {
        let (range, header) = batch.unwrap();
        let packed = log.get(range.start + BatchHeader::SIZE..range.end).unwrap();
        let mut records = Vec::new();
        Decompressor::new().decompress(header.compression().unwrap(), packed, &mut records, 1 << 24).unwrap();
        values.extend(
            RecordWalk::new(&header, &records)
                .map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap()),
        );
    }
    values
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Sends numbers to partition 0, without waiting for each; fails when one does.
async fn send_numbers(producer: &Producer, range: std::ops::Range<usize>) {
    for delivery in send_numbers_unwatched(producer, range).await {
        delivery.await.unwrap();
    }
}

async fn send_numbers_unwatched(producer: &Producer, range: std::ops::Range<usize>) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for n in range {
        let record = ProducerRecord::to("t").partition(0).value(n.to_string().into_bytes());
        deliveries.push(producer.send(record).await.unwrap());
    }
    deliveries
}

/// Waits until so many records are in partition 0.
async fn written(server: &Server, count: i64) {
    let deadline = Instant::now() + PATIENCE;
    while server.with_cluster(|cluster| cluster.log_end_offset("t", 0)).unwrap() < count {
        assert!(Instant::now() < deadline, "{count} records are not written");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn records_of_every_codec_arrive_in_order_with_the_offsets_told() {
    for &compression in Compression::ALL {
        let server = cluster(1, 1);
        let producer = builder(&server).compression(compression).build().await.unwrap();
        let mut deliveries = Vec::new();
        for n in 0..2_000 {
            let record = ProducerRecord::to("t").value(n.to_string().into_bytes()).header("n", b"1");
            deliveries.push(producer.send(record).await.unwrap());
        }
        for (n, delivery) in deliveries.into_iter().enumerate() {
            assert_eq!(delivery.await.unwrap().offset, Some(n as i64));
        }
        producer.close().await.unwrap();
        assert_eq!(values(&server, 0), numbers(0..2_000), "{compression}");
    }
}

#[tokio::test]
async fn headers_whose_keys_are_any_bytes_come_back_as_they_were_sent() {
    let server = cluster(1, 1);
    let producer = producer(&server).await;
    let keys: [&[u8]; 3] = [b"a", b"b\xff", b"c"];
    let record = ProducerRecord::to("t").header("a", b"1").header(keys[1], b"1").null_header("c");
    producer.send(record).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let mut consumer = builder.auto_offset_reset(OffsetReset::Earliest).build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let record = consumer.recv().await.unwrap().unwrap().detach();
    let read: Vec<_> = record.headers.iter().map(|(key, value)| (key.as_slice(), value.is_some())).collect();
    assert_eq!(read, [(keys[0], true), (keys[1], true), (keys[2], false)]);
}

#[tokio::test]
async fn keys_go_to_the_partitions_that_java_picks_and_the_rest_fills_all() {
    let server = cluster(3, 6);
    // Of some hundred batches some go to each.
    let producer = builder(&server).batch_size(16 << 10).build().await.unwrap();
    for n in 0..100 {
        let key = format!("key {n}").into_bytes();
        let expected = partition_for_key(&key, 6);
        let delivery = producer.send(ProducerRecord::to("t").key(key).value(b"v")).await.unwrap();
        assert_eq!(delivery.await.unwrap().partition, expected);
    }
    let mut filled = BTreeMap::<i32, usize>::new();
    for _ in 0..100_000 {
        let delivery = producer.send(ProducerRecord::to("t").value(b"0123456789")).await.unwrap();
        *filled.entry(delivery.partition()).or_default() += 1;
    }
    producer.close().await.unwrap();
    let written: i64 = (0..6)
        .map(|partition| server.with_cluster(|cluster| cluster.log_end_offset("t", partition)).unwrap())
        .sum();
    assert_eq!((written, filled.len()), (100_100, 6), "{filled:?}");
}

#[tokio::test]
async fn lost_answers_and_connections_cost_neither_a_record_nor_the_order_nor_a_repeat() {
    let server = cluster(1, 1);
    server.with_cluster(|cluster| {
        let faults = cluster.faults();
        faults.on(ApiKey::Produce).after(2).then(Fault::ApplyThenDisconnect);
        faults.on(ApiKey::Produce).after(9).then(Fault::Disconnect);
        faults.on(ApiKey::Produce).after(12).then(Fault::Error(ErrorCode::NotEnoughReplicas));
        faults.on(ApiKey::Produce).after(15).then(Fault::Error(ErrorCode::NotLeaderOrFollower));
        faults.on(ApiKey::Produce).after(18).then(Fault::Corrupt);
    });
    let producer = builder(&server).batch_size(300).linger(Duration::ZERO).build().await.unwrap();
    send_numbers(&producer, 0..3_000).await;
    producer.close().await.unwrap();
    assert!(server.with_cluster(|cluster| cluster.faults().is_empty()), "every fault has happened");
    assert_eq!(values(&server, 0), numbers(0..3_000));
}

#[tokio::test]
async fn with_fewer_acknowledgements_than_all_records_arrive_in_order_and_their_offsets_are_told_where_a_broker_does()
 {
    for (acks, first) in [(Acks::Leader, Some(0)), (Acks::None, None)] {
        let server = cluster(1, 1);
        let producer = builder(&server).acks(acks).batch_size(300).build().await.unwrap();
        let deliveries = send_numbers_unwatched(&producer, 0..2_000).await;
        for (n, delivery) in deliveries.into_iter().enumerate() {
            let delivered = delivery.await.unwrap();
            assert_eq!(delivered.offset, first.map(|_| n as i64), "{acks:?}");
        }
        producer.close().await.unwrap();
        written(&server, 2_000).await;
        assert_eq!(values(&server, 0), numbers(0..2_000), "{acks:?}");
    }
}

#[tokio::test]
async fn without_acknowledgements_a_refused_batch_is_lost_in_silence_and_later_ones_arrive() {
    let server = cluster(1, 1);
    let refused = Fault::Error(ErrorCode::NotEnoughReplicas);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).then(refused));
    let producer = builder(&server).acks(Acks::None).build().await.unwrap();
    let lost = producer.send(ProducerRecord::to("t").partition(0).value("lost")).await.unwrap();
    assert_eq!(lost.await.unwrap().offset, None);
    let deadline = Instant::now() + PATIENCE;
    while !server.with_cluster(|cluster| cluster.faults().is_empty()) {
        assert!(Instant::now() < deadline, "the broker does not get it");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What is written before the broker's close is heard of is lost as well.
    let mut sent = 0;
    while server.with_cluster(|cluster| cluster.log_end_offset("t", 0)).unwrap() < 3 {
        assert!(Instant::now() < deadline, "nothing arrives");
        send_numbers(&producer, sent..sent + 1).await;
        sent += 1;
    }
    let arrived: Vec<usize> = values(&server, 0).iter().map(|value| value.parse().unwrap()).collect();
    assert!(arrived.is_sorted(), "{arrived:?}");
}

#[tokio::test]
async fn without_idempotence_lost_answers_repeat_records_and_swap_none() {
    for acks in [Acks::Leader, Acks::All] {
        let server = cluster(1, 1);
        server.with_cluster(|cluster| {
            let faults = cluster.faults();
            faults.on(ApiKey::Produce).after(2).then(Fault::ApplyThenDisconnect);
            faults.on(ApiKey::Produce).after(9).then(Fault::Disconnect);
            faults.on(ApiKey::Produce).after(12).then(Fault::Error(ErrorCode::NotEnoughReplicas));
            faults.on(ApiKey::Produce).after(15).then(Fault::ApplyThenDisconnect);
        });
        let builder = builder(&server).acks(acks).enable_idempotence(false);
        let producer = builder.batch_size(300).linger(Duration::ZERO).build().await.unwrap();
        send_numbers(&producer, 0..3_000).await;
        producer.close().await.unwrap();
        assert!(server.with_cluster(|cluster| cluster.faults().is_empty()), "every fault has happened");
        let written = values(&server, 0);
        assert!(written.len() > 3_000, "what was appended without an answer is there twice");
        let mut first = std::collections::BTreeSet::new();
        let once: Vec<String> = written.into_iter().filter(|value| first.insert(value.clone())).collect();
        assert_eq!(once, numbers(0..3_000));
    }
}

#[tokio::test]
async fn a_record_is_tried_as_often_as_retries_say() {
    let server = cluster(1, 1);
    let refused = Fault::Error(ErrorCode::NotEnoughReplicas);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).times(2).then(refused));
    let producer = builder(&server).retries(1).build().await.unwrap();
    let error = producer.send(ProducerRecord::to("t")).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::RetriesExhausted);
    assert!(error.to_string().contains("sent 2 times"), "{error}");
    assert!(error.is_retriable());
    send_numbers(&producer, 0..1).await;
}

#[tokio::test]
async fn a_broker_that_forgot_the_producer_is_met_in_a_new_epoch() {
    for error in [ErrorCode::UnknownProducerId, ErrorCode::OutOfOrderSequenceNumber] {
        let server = cluster(1, 1);
        let producer = producer(&server).await;
        send_numbers(&producer, 0..10).await;
        server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).then(Fault::Error(error)));
        send_numbers(&producer, 10..20).await;
        assert_eq!(values(&server, 0), numbers(0..20));
    }
}

#[tokio::test]
async fn leaders_that_move_while_records_are_sent_lose_none() {
    let server = cluster(3, 1);
    let producer = builder(&server).batch_size(200).linger(Duration::ZERO).build().await.unwrap();
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { send_numbers(&producer, 0..5_000).await }
    });
    for (count, node) in [(500, 1), (1_200, 2), (2_000, 3), (2_800, 1), (3_600, 2), (4_400, 3)] {
        written(&server, count).await;
        let now = server.now();
        server.with_cluster(|cluster| cluster.move_leader("t", 0, node, now));
    }
    tokio::time::timeout(PATIENCE, sending).await.unwrap().unwrap();
    assert_eq!(values(&server, 0), numbers(0..5_000));
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_an_error_at_once_where_asked_for() {
    let server = cluster(1, 1);
    let producer = builder(&server).unknown_topic_grace(Duration::ZERO).build().await.unwrap();
    let started = Instant::now();
    let error = producer.send(ProducerRecord::to("missing")).await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::UnknownTopic);
    assert_eq!(error.to_string(), "topic `missing`: no such topic; create it, or check its name");
    let error = producer.send(ProducerRecord::to("t").partition(5)).await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::UnknownPartition);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_unreachable_cluster_is_told_with_its_address_when_a_producer_is_built() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let building = Producer::builder()
        .bootstrap_servers([nobody.clone()])
        .default_api_timeout(Duration::from_millis(300))
        .build();
    let error = building.await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Unreachable);
    assert!(error.to_string().contains(&nobody), "{error}");
}

#[tokio::test]
async fn what_lingers_is_sent_by_a_flush_and_by_a_close() {
    let server = cluster(1, 1);
    let producer = builder(&server).linger(Duration::from_secs(60)).build().await.unwrap();
    let first = producer.send(ProducerRecord::to("t").value(b"0")).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(values(&server, 0), ["0"]);
    assert_eq!(first.await.unwrap().offset, Some(0));
    let second = producer.send(ProducerRecord::to("t").value(b"1")).await.unwrap();
    producer.close().await.unwrap();
    assert_eq!(second.await.unwrap().offset, Some(1), "told after the close too");
}

#[tokio::test]
async fn a_producer_that_is_dropped_gives_up_what_lingers() {
    let server = cluster(1, 1);
    let producer = builder(&server).linger(Duration::from_secs(60)).build().await.unwrap();
    let delivery = producer.send(ProducerRecord::to("t").value(b"0")).await.unwrap();
    drop(producer);
    let outcome = tokio::time::timeout(PATIENCE, delivery.into_future()).await.unwrap();
    assert_eq!(outcome.unwrap_err().kind(), SendErrorKind::Closed);
}

#[tokio::test]
async fn a_clone_that_is_dropped_changes_nothing_and_the_last_one_gives_up_what_lingers() {
    let server = cluster(1, 1);
    let last = builder(&server).linger(Duration::from_secs(60)).build().await.unwrap();
    let first = last.clone();
    let delivery = first.send(ProducerRecord::to("t").value(b"0")).await.unwrap();
    drop(first);
    last.flush().await.unwrap();
    assert_eq!(delivery.await.unwrap().offset, Some(0));
    let delivery = last.send(ProducerRecord::to("t").value(b"1")).await.unwrap();
    drop(last);
    let outcome = tokio::time::timeout(PATIENCE, delivery.into_future()).await.unwrap();
    assert_eq!(outcome.unwrap_err().kind(), SendErrorKind::Closed);
}

#[tokio::test]
async fn a_close_of_one_clone_sends_what_all_have_and_closes_them() {
    let server = cluster(1, 1);
    let producer = builder(&server).linger(Duration::from_secs(60)).build().await.unwrap();
    let other = producer.clone();
    let delivery = other.send(ProducerRecord::to("t").value(b"0")).await.unwrap();
    producer.close().await.unwrap();
    assert_eq!(delivery.await.unwrap().offset, Some(0));
    let refused = other.send(ProducerRecord::to("t").value(b"1")).await.unwrap_err();
    assert_eq!(refused.kind(), SendErrorKind::Closed);
    other.flush().await.unwrap();
    let again = tokio::time::timeout(PATIENCE, other.close()).await;
    again.unwrap().unwrap();
}

#[tokio::test]
async fn a_close_that_is_dropped_goes_on_as_long_as_there_are_clones() {
    let server = cluster(1, 1);
    let delay = Fault::Delay(Duration::from_millis(300));
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).then(delay));
    let producer = producer(&server).await;
    let delivery = producer.send(ProducerRecord::to("t").value(b"0")).await.unwrap();
    let closing = tokio::time::timeout(Duration::from_millis(20), producer.clone().close()).await;
    assert!(closing.is_err(), "the broker has not answered yet");
    assert_eq!(delivery.await.unwrap().offset, Some(0));
    let refused = producer.send(ProducerRecord::to("t").value(b"1")).await.unwrap_err();
    assert_eq!(refused.kind(), SendErrorKind::Closed);
}

#[tokio::test]
async fn a_record_of_90_mb_that_a_broker_took_compressed_is_read_unless_the_property_forbids_it() {
    let server = cluster(1, 1);
    let builder = builder(&server).compression(Compression::Zstd);
    let producer = builder.max_request_size(100 << 20).buffer_memory(200 << 20).build().await.unwrap();
    let value = vec![b'x'; 90_000_000];
    producer.send(ProducerRecord::to("t").value(&value)).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    let reader = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let reader = reader.auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = reader.clone().build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let record = consumer.recv().await.unwrap().unwrap();
    assert!(record.value() == Some(&value), "{:?} bytes", record.value().map(<[u8]>::len));

    let mut consumer = reader.max_decompressed_batch_bytes(64 << 20).build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let error = consumer.recv().await.unwrap_err();
    assert_eq!(error.kind(), RecvErrorKind::TooLarge);
    assert!(error.to_string().contains("ottla.max.decompressed.batch.bytes"), "{error}");
}

#[tokio::test]
async fn failures_that_nobody_waited_for_are_told_by_the_flush() {
    let topics = vec![TopicSpec::new("t", 1)];
    let config = Config { max_message_bytes: 2_000, topics, ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let producer = producer(&server).await;
    for _ in 0..3 {
        drop(producer.send(ProducerRecord::to("t").value(vec![b'x'; 3_000])).await.unwrap());
    }
    let error = producer.flush().await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::TooLarge);
    assert!(error.to_string().contains("3 records"), "{error}");
    producer.flush().await.unwrap();
    send_numbers(&producer, 0..1).await;
}

#[tokio::test]
async fn batches_that_are_larger_than_brokers_take_arrive_in_pieces_once_and_in_order() {
    for acks in [Acks::All, Acks::Leader] {
        let topics = vec![TopicSpec::new("t", 1)];
        let config = Config { max_message_bytes: 2_000, topics, ..Config::default() };
        let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
        let builder = builder(&server).acks(acks).batch_size(30_000).linger(Duration::from_secs(60));
        let producer = builder.build().await.unwrap();
        let mut deliveries = Vec::new();
        for n in 0..1_000 {
            let value = if n == 500 { "x".repeat(3_000) } else { format!("{n:0>100}") };
            deliveries.push(producer.send(ProducerRecord::to("t").value(value)).await.unwrap());
        }
        let waiting = tokio::spawn(awaited(deliveries));
        let flushed = producer.flush().await;
        let mut results = waiting.await.unwrap();
        let error = results.remove(500).unwrap_err();
        assert_eq!((error.kind(), error.code()), (SendErrorKind::TooLarge, Some(ErrorCode::MessageTooLarge)));
        let offsets: Vec<_> = results.into_iter().map(|delivered| delivered.unwrap().offset).collect();
        assert_eq!(offsets, (0..999).map(Some).collect::<Vec<_>>(), "{acks:?}");
        flushed.unwrap();
        producer.close().await.unwrap();
        let written: Vec<usize> = values(&server, 0).iter().map(|value| value.parse().unwrap()).collect();
        assert_eq!(written, (0..1_000).filter(|n| *n != 500).collect::<Vec<_>>());
    }
}

/// What became of each, awaited in order.
async fn awaited(deliveries: Vec<Delivery>) -> Vec<Result<Delivered, SendError>> {
    let mut results = Vec::new();
    for delivery in deliveries {
        results.push(delivery.await);
    }
    results
}

#[tokio::test]
async fn senders_wait_while_the_buffer_is_full() {
    let server = cluster(1, 1);
    let delay = Fault::Delay(Duration::from_millis(100));
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).times(3).then(delay));
    let producer = builder(&server).buffer_memory(10_000).batch_size(5_000).build().await.unwrap();
    send_numbers(&producer, 0..1).await;
    let mut full = 0;
    for n in 1..200 {
        let value = format!("{n:0>100}").into_bytes();
        let delivery = match producer.try_send(ProducerRecord::to("t").value(value)) {
            Ok(delivery) => delivery,
            Err(TrySendError::NotNow(record)) => {
                full += 1;
                producer.send(record).await.unwrap()
            }
            Err(TrySendError::Failed(error)) => panic!("{error}"),
        };
        drop(delivery);
    }
    producer.flush().await.unwrap();
    assert!(full > 0);
    let sent: Vec<usize> = values(&server, 0).iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(sent, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_that_no_broker_acknowledges_in_time_fails_and_says_why() {
    let server = cluster(1, 1);
    let refusal = Fault::Error(ErrorCode::NotEnoughReplicas);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).always().then(refusal));
    let producer = builder(&server)
        .request_timeout(Duration::from_millis(400))
        .delivery_timeout(Duration::from_millis(500))
        .build()
        .await
        .unwrap();
    let error = producer.send(ProducerRecord::to("t").value(b"v")).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::TimedOut);
    assert!(error.to_string().contains("NOT_ENOUGH_REPLICAS"), "{error}");
}
