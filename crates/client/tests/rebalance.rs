//! Rebalance listeners and the ways to close, against the embedded broker.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ottla::{
    CloseOptions, Consumer, ConsumerBuilder, CooperativeSticky, GroupProtocol, LeaveGroup, OffsetReset,
    Producer, ProducerRecord, Rebalance, RebalanceListener, TopicPartition,
};
use ottla_broker::{Config, Server, TopicSpec};

const PATIENCE: Duration = Duration::from_secs(20);

fn server(partitions: u32) -> Server {
    let topics = vec![TopicSpec::new("t", partitions)];
    Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

fn builder(server: &Server, protocol: GroupProtocol) -> ConsumerBuilder {
    let builder = Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"])
        .group_protocol(protocol);
    match protocol {
        GroupProtocol::Classic => {
            builder.assignor(CooperativeSticky).heartbeat_interval(Duration::from_millis(100))
        }
        GroupProtocol::Consumer => builder,
    }
}

async fn produce(server: &Server, partition: i32, values: std::ops::Range<u32>) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    for value in values {
        let record = ProducerRecord::to("t").partition(partition).value(value.to_string().into_bytes());
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
}

/// Writes down what it is told, and does as it is asked.
#[derive(Clone, Default)]
struct Diary {
    told: Arc<Mutex<Vec<String>>>,
    skips_to: Option<i64>,
    takes: Duration,
}

impl Diary {
    fn write(&self, what: &str, partitions: &[TopicPartition]) {
        let numbers: Vec<i32> = partitions.iter().map(|at| at.partition).collect();
        self.told.lock().unwrap().push(format!("{what} {numbers:?}"));
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

impl RebalanceListener for Diary {
    async fn on_assigned(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        tokio::time::sleep(self.takes).await;
        if let Some(offset) = self.skips_to {
            partitions.iter().for_each(|at| rebalance.seek(at.clone(), offset).unwrap());
        }
        self.write("assigned", partitions);
    }

    async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        if !partitions.is_empty() {
            rebalance.commit().await.unwrap();
        }
        self.write("revoked", partitions);
    }
}

async fn values(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let (mut values, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while values.len() < count {
        assert!(Instant::now() < deadline, "{values:?}; {}", consumer.explain());
        let records = consumer.poll(Duration::from_millis(50)).await.unwrap();
        values.extend(records.iter().map(|r| String::from_utf8(r.value().unwrap().to_vec()).unwrap()));
    }
    values
}

async fn until(consumer: &mut Consumer, what: &str, is_so: impl Fn(&Consumer) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(consumer) {
        assert!(Instant::now() < deadline, "{what}: {}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
}

#[tokio::test]
async fn a_seek_in_on_assigned_decides_where_reading_begins() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(1);
        produce(&server, 0, 0..10).await;
        let diary = Diary { skips_to: Some(7), ..Diary::default() };
        let mut consumer =
            builder(&server, protocol).rebalance_listener(diary.clone()).build().await.unwrap();
        assert_eq!(values(&mut consumer, 3).await, ["7", "8", "9"]);
        assert_eq!(diary.told(), ["assigned [0]"]);
        consumer.close().await;
        assert_eq!(diary.told(), ["assigned [0]", "revoked [0]"], "a close tells, too");
    }
}

#[tokio::test]
async fn a_listener_goes_on_where_it_was_when_the_call_that_began_it_is_dropped() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let diary = Diary { takes: Duration::from_millis(300), ..Diary::default() };
    let builder = builder(&server, GroupProtocol::Classic).rebalance_listener(diary.clone());
    let mut consumer = builder.build().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{}", consumer.explain());
        match tokio::time::timeout(Duration::from_millis(20), consumer.recv()).await {
            Ok(record) => break assert_eq!(record.unwrap().unwrap().value(), Some(&b"0"[..])),
            Err(_) => continue,
        }
    }
    assert_eq!(diary.told(), ["assigned [0]"], "once");
}

#[tokio::test]
async fn what_on_revoked_commits_is_where_the_next_owner_begins() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(2);
        produce(&server, 0, 0..5).await;
        produce(&server, 1, 5..10).await;
        let diary = Diary::default();
        let first = builder(&server, protocol).rebalance_listener(diary.clone()).enable_auto_commit(false);
        let mut first = first.build().await.unwrap();
        assert_eq!(values(&mut first, 10).await.len(), 10);
        let mut second = builder(&server, protocol).build().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while first.assignment().len() != 1 || second.assignment().len() != 1 {
            assert!(Instant::now() < deadline, "{}\n{}", first.explain(), second.explain());
            first.poll(Duration::from_millis(10)).await.unwrap();
            assert!(second.poll(Duration::from_millis(10)).await.unwrap().is_empty(), "nothing comes twice");
        }
        until(&mut second, "a position", |second| second.lag().values().all(Option::is_some)).await;
        assert!(second.lag().values().all(|lag| *lag == Some(0)), "{:?}", second.lag());
        assert!(diary.told().iter().any(|told| told.starts_with("revoked [")), "{:?}", diary.told());
    }
}

#[tokio::test]
async fn a_static_member_that_comes_back_has_its_partitions_back() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(2);
        let member = |id: &str| builder(&server, protocol).group_instance_id(id);
        let mut stays = member("stays").build().await.unwrap();
        let mut goes = member("goes").build().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while stays.assignment().len() != 1 || goes.assignment().len() != 1 {
            assert!(Instant::now() < deadline, "{}\n{}", stays.explain(), goes.explain());
            stays.poll(Duration::from_millis(10)).await.unwrap();
            goes.poll(Duration::from_millis(10)).await.unwrap();
        }
        let before = (stays.assignment(), goes.assignment());
        goes.close().await;
        let mut back = member("goes").build().await.unwrap();
        until(&mut back, "its partition", |back| back.assignment().len() == 1).await;
        stays.poll(Duration::from_millis(50)).await.unwrap();
        assert_eq!((stays.assignment(), back.assignment()), before);
        back.close_with(CloseOptions { leave: LeaveGroup::Leave, ..CloseOptions::default() }).await;
        until(&mut stays, "both", |stays| stays.assignment().len() == 2).await;
    }
}
