//! Several readers of one consumer, against the embedded broker.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ottla::{Consumer, ConsumerBuilder, OffsetReset, Reader, Rebalance, RebalanceListener, TopicPartition};
use ottla_broker::Server;

use crate::common::{PATIENCE, produce, server};

fn builder(server: &Server) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"])
}

/// What was handed out, in the order of time: partition and offset.
type Handed = Arc<Mutex<Vec<(i32, i64)>>>;

/// Reads until the consumer is closed.
async fn read_on(mut reader: Reader, handed: Handed) {
    while let Some(record) = reader.recv().await.unwrap() {
        handed.lock().unwrap().push((record.partition(), record.offset()));
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn readers_on_other_threads_share_the_partitions_and_read_each_in_order() {
    let server = server(4);
    for partition in 0..4 {
        produce(&server, partition, 0..300).await;
    }
    let consumer = builder(&server).build().await.unwrap();
    let handed = Handed::default();
    let reading: Vec<_> = (0..3).map(|_| tokio::spawn(read_on(consumer.reader(), handed.clone()))).collect();
    until("all of it", || handed.lock().unwrap().len() >= 1200).await;
    consumer.closer().close();
    for reader in reading {
        tokio::time::timeout(PATIENCE, reader).await.unwrap().unwrap();
    }
    let mut by_partition: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for (partition, offset) in handed.lock().unwrap().iter() {
        by_partition.entry(*partition).or_default().push(*offset);
    }
    assert_eq!(by_partition, (0..4).map(|partition| (partition, (0..300).collect())).collect());
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn what_a_dropped_reader_has_in_hand_comes_again_and_what_a_closed_one_has_does_not() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let mut consumer = builder(&server).build().await.unwrap();
    for (closes, next) in [(false, 2), (true, 5)] {
        let mut reader = consumer.reader();
        for _ in 0..3 {
            tokio::time::timeout(PATIENCE, reader.recv()).await.unwrap().unwrap().unwrap();
        }
        match closes {
            true => reader.close(),
            false => drop(reader),
        }
        assert_eq!(consumer.position(("t", 0)).await.unwrap(), next);
    }
    let record = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(record.offset(), 5);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_is_left_when_its_consumer_is_gone_is_told_that_this_is_the_end() {
    let server = server(1);
    let consumer = builder(&server).build().await.unwrap();
    let mut reader = consumer.reader();
    consumer.close().await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, reader.recv()).await.unwrap().unwrap().is_none());
    assert!(reader.poll(PATIENCE).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_commit_through_a_record_covers_it_and_all_before_it_in_its_partition() {
    let server = server(2);
    for partition in 0..2 {
        produce(&server, partition, 0..5).await;
    }
    let mut consumer = builder(&server).enable_auto_commit(false).build().await.unwrap();
    let mut records = Vec::new();
    while records.len() < 10 {
        let polled = consumer.poll(PATIENCE).await.unwrap();
        assert_eq!(polled.iter().len(), polled.len());
        for (at, next) in polled.next_offsets() {
            let last = polled.iter().filter(|record| *record.topic_partition() == at).last();
            assert_eq!(last.map(|record| record.next_offset()), Some(next.offset));
            assert_eq!(next.leader_epoch, Some(0), "of the leader that appended the record before");
        }
        records.extend(polled.iter().map(|record| record.into_owned()));
    }
    let third = records.iter().find(|record| (record.partition(), record.offset()) == (1, 2)).unwrap();
    consumer.commit_through(third).await.unwrap();
    let committed = consumer.committed([("t", 0), ("t", 1)]).await.unwrap();
    let offset =
        |partition| committed[&TopicPartition::new("t", partition)].as_ref().map(|found| found.offset);
    assert_eq!((offset(0), offset(1)), (None, Some(3)));
    assert!(*third == third.clone() && *third != records[0]);
    consumer.close().await.unwrap();
}

/// Takes its time, and counts.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<&'static str>>>);

impl RebalanceListener for Slow {
    async fn on_assigned(&self, _: &Rebalance, _: &[TopicPartition]) {
        self.0.lock().unwrap().push("begins");
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.0.lock().unwrap().push("returns");
    }
}

#[tokio::test]
async fn a_listener_that_one_reader_began_is_finished_by_another() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let slow = Slow::default();
    let consumer = builder(&server).rebalance_listener(slow.clone()).build().await.unwrap();
    let (mut first, mut second) = (consumer.reader(), consumer.reader());
    let begun = || !slow.0.lock().unwrap().is_empty();
    let gives_up = async {
        let a_little_later = async {
            until("a listener that is called", begun).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        tokio::select! {
            received = first.recv() => panic!("{received:?}"),
            () = a_little_later => {}
        }
    };
    let waits = async {
        until("a listener that is called", begun).await;
        tokio::time::timeout(PATIENCE, second.recv()).await.unwrap()
    };
    let ((), received) = tokio::join!(gives_up, waits);
    assert_eq!(received.unwrap().unwrap().offset(), 0);
    assert_eq!(*slow.0.lock().unwrap(), ["begins", "returns"]);
    consumer.close().await.unwrap();
}
