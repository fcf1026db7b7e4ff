//! Messages of a processor that are read typed: what the registry does decides whether a record is tried again or given up.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ottla::{
    Consumer, HandlerError, Json, OffsetReset, Order, Processor, Producer, ProducerRecord, RetryPolicy,
    dead_letters::DeadLetters,
    schema_registry::{Avro, SchemaRegistry},
};
use ottla_broker::Server;
use tokio::sync::Notify;

use crate::{
    PATIENCE,
    common::server,
    hex,
    stub::{Answer, Stub},
};

async fn send(server: &Server, values: impl IntoIterator<Item = Vec<u8>>) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    for value in values {
        producer.send(ProducerRecord::to("t").value(value)).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
}

fn processor(server: &Server) -> Processor {
    let consumer = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("g").subscribe(["t"]);
    Processor::new(consumer.auto_offset_reset(OffsetReset::Earliest))
        .order(Order::Partition)
        .retries(
            RetryPolicy::exponential(Duration::from_millis(20)..=Duration::from_millis(100)).attempts(10_000),
        )
        .dead_letters(DeadLetters::new())
}

/// Runs a processor of Avro's longs until this is so.
async fn run(server: &Server, registry: SchemaRegistry, until: impl Fn(&[i64]) -> bool) -> Vec<i64> {
    let handled: Arc<(Mutex<Vec<i64>>, Notify)> = Default::default();
    let (tell, longs) = (handled.clone(), Avro::<i64>::new(registry));
    let running = processor(server).each_message(move |message| {
        let (tell, longs) = (tell.clone(), longs.clone());
        async move {
            let long = message.value_as(&longs).await?.unwrap_or_default();
            tell.0.lock().unwrap().push(long);
            tell.1.notify_one();
            Ok::<(), HandlerError>(())
        }
    });
    let stop = async {
        while !until(&handled.0.lock().unwrap()) {
            handled.1.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, running.run_until(stop)).await.unwrap().unwrap();
    handled.0.lock().unwrap().clone()
}

/// The raw values of the dead letters, of which there are so many.
async fn dead(server: &Server, count: usize) -> Vec<Vec<u8>> {
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let mut consumer = builder.auto_offset_reset(OffsetReset::Earliest).build().await.unwrap();
    consumer.assign([("t-dlt", 0)]).unwrap();
    let mut values = Vec::new();
    while values.len() < count {
        let record = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        values.push(record.value().unwrap().to_vec());
    }
    consumer.close().await.unwrap();
    values
}

fn long(id: u8, value: u8) -> Vec<u8> {
    vec![0, 0, 0, 0, id, value * 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_registry_answers_500_records_are_tried_again_and_none_is_given_up() {
    let server = server(1);
    send(&server, (0..20).map(|value| long(1, value))).await;
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let stub = Stub::new(move |_| match down.load(Ordering::SeqCst) {
        true => Answer::error(500, 50001),
        false => Answer::avro("\"long\""),
    });
    // Far less than it is down: as 30 seconds are of a minute.
    let registry = stub.builder().total_timeout(Duration::from_millis(30)).build().unwrap();
    let mended = tokio::spawn(async move {
        tokio::task::spawn_blocking(move || {
            stub.wait_for_requests(25);
            is_down.store(false, Ordering::SeqCst);
            stub
        })
        .await
        .unwrap()
    });
    let handled = run(&server, registry, |handled| handled.len() == 20).await;
    assert_eq!(handled, (0..20).collect::<Vec<_>>());
    let stub = mended.await.unwrap();
    assert!(stub.paths().len() < 100, "{}", stub.paths().len());
    let letters = server.with_cluster(|cluster| cluster.log_end_offset("t-dlt", 0));
    assert_eq!(letters.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_parse_go_to_the_dead_letters_as_they_are_at_the_first_attempt() {
    let server = server(1);
    let left_over = hex("00000000010200");
    let unknown = long(9, 1);
    let bare = b"{}".to_vec();
    let values = [long(1, 1), left_over.clone(), unknown.clone(), bare.clone(), long(1, 2)];
    send(&server, values).await;
    let stub = Stub::new(|request| match request.path.as_str() {
        "/schemas/ids/1" => Answer::avro("\"long\""),
        _ => Answer::error(404, 40403),
    });
    let handled = run(&server, stub.client(), |handled| handled.len() == 2).await;
    assert_eq!(handled, [1, 2]);
    assert_eq!(dead(&server, 3).await, [left_over, unknown, bare]);
    assert_eq!(stub.paths().len(), 2, "one for each id, and none again");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_does_not_parse_is_given_up_at_the_first_attempt() {
    let server = server(1);
    send(&server, [b"{".to_vec(), b"7".to_vec()]).await;
    let done = Arc::new(Notify::new());
    let tell = done.clone();
    let running = processor(&server).each_message(move |message| {
        let tell = tell.clone();
        async move {
            assert_eq!(message.attempt(), 1);
            assert_eq!(message.key_as(&ottla::Utf8).await?, None);
            assert_eq!(message.value_as(&Json::<u64>::new()).await?, 7);
            tell.notify_one();
            Ok::<(), HandlerError>(())
        }
    });
    tokio::time::timeout(PATIENCE, running.run_until(done.notified())).await.unwrap().unwrap();
    assert_eq!(dead(&server, 1).await, [b"{"]);
}
