//! Interceptors are told of records and commits, against the embedded broker.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers")]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ottla::{Committed, Consumer, ConsumerBuilder, ConsumerInterceptor, OffsetReset, OwnedRecord, Record};
use ottla_broker::Server;

use common::{PATIENCE, produce, server};

/// What it was told: offsets of records, and committed offsets of partition 0.
#[derive(Debug, Clone, Default)]
struct Told {
    records: Arc<Mutex<Vec<i64>>>,
    commits: Arc<Mutex<Vec<i64>>>,
}

impl ConsumerInterceptor for Told {
    fn on_consume(&self, record: Record<'_>) {
        self.records.lock().unwrap().push(record.offset());
    }

    fn on_commit(&self, offsets: &Committed) {
        self.commits.lock().unwrap().extend(offsets.values().map(|committed| committed.offset));
    }
}

impl Told {
    fn records(&self) -> Vec<i64> {
        self.records.lock().unwrap().clone()
    }

    fn commits(&self) -> Vec<i64> {
        self.commits.lock().unwrap().clone()
    }
}

/// It fails each time.
struct Panics;

impl ConsumerInterceptor for Panics {
    fn on_consume(&self, record: Record<'_>) {
        panic!("not at {}", record.offset());
    }

    fn on_commit(&self, _: &Committed) {
        panic!("not here");
    }
}

fn builder(server: &Server) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .auto_commit_interval(Duration::from_secs(3600))
        .subscribe(["t"])
}

async fn next(consumer: &mut Consumer) -> OwnedRecord {
    tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn each_record_is_told_once_before_it_is_handed_out_however_that_is() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let told = Told::default();
    let mut consumer = builder(&server).interceptor(told.clone()).build().await.unwrap();
    for offset in 0..3 {
        assert_eq!(next(&mut consumer).await.offset(), offset);
        assert_eq!(told.records(), (0..=offset).collect::<Vec<_>>());
    }
    let polled = consumer.poll(PATIENCE).max_records(4).await.unwrap();
    assert_eq!((polled.len(), told.records().len()), (4, 7));
    let streamed = tokio::time::timeout(PATIENCE, consumer.stream().next()).await.unwrap().unwrap().unwrap();
    assert_eq!((streamed.offset(), told.records()), (7, (0..8).collect()));
    let mut other = consumer.reader();
    drop(consumer.poll(Duration::from_millis(1)).max_records(1).await.unwrap());
    consumer.pause([("t", 0)]);
    drop(tokio::time::timeout(Duration::from_millis(20), other.recv()).await);
    assert_eq!(told.records(), (0..9).collect::<Vec<_>>(), "what is not handed out is not told");
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn commits_are_told_whoever_asked_for_them() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let told = Told::default();
    let builder = builder(&server).auto_commit_records(3).interceptor(told.clone());
    let mut consumer = builder.build().await.unwrap();
    next(&mut consumer).await;
    consumer.commit().await.unwrap();
    assert_eq!(told.commits(), [1], "before the call returns");
    for _ in 0..4 {
        next(&mut consumer).await;
    }
    // Whoever waits for records is told of a commit in the background.
    let waiting = async {
        while told.commits().len() < 2 {
            drop(tokio::time::timeout(Duration::from_millis(5), consumer.recv_from([("t", 9)])).await);
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok());
    next(&mut consumer).await;
    consumer.close().await.unwrap();
    assert_eq!(told.commits().last(), Some(&6), "the close's own: {:?}", told.commits());
}

#[tokio::test]
async fn a_consumer_goes_on_though_an_interceptor_panics_and_others_are_told() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let told = Told::default();
    let builder = builder(&server).interceptor(Panics).interceptor(told.clone());
    let mut consumer = builder.build().await.unwrap();
    for offset in 0..3 {
        assert_eq!(next(&mut consumer).await.offset(), offset);
    }
    consumer.close().await.unwrap();
    assert_eq!((told.records(), told.commits()), (vec![0, 1, 2], vec![3]));
}
