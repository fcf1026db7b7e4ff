//! Records that follow others of their key to a retry topic, against the embedded broker.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    future::{Future, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ottla::{
    BuildError, HandlerError, Order, Processor, Producer, RetryOrder, RetryPolicy,
    error::{BuildErrorKind, ProcessErrorKind},
    processor::{Message, ProcessorEvent},
};
use ottla_broker::{Config, Fault, Server, TopicSpec};
use ottla_protocol::{ApiKey, ErrorCode};
use tokio::sync::Semaphore;

use crate::{
    common::{produce, server},
    giving_up::{committed_of, end_of},
    processing::{MILLI, Running, consumer, processor, produce_keys, until},
};

fn held(server: &Server) -> Processor {
    holds(processor(server))
}

fn holds(processor: Processor) -> Processor {
    processor.order(Order::Key).retries(RetryPolicy::none()).retry_order(RetryOrder::Held)
}

/// Where a record was in its first topic, wherever it is read now.
fn origin(message: &Message) -> (i32, i64) {
    let header = |name: &str| {
        let header = message.headers().flatten().filter(|header| header.key == name.as_bytes()).last()?;
        std::str::from_utf8(header.value?).ok()?.parse().ok()
    };
    match header("__dlq.errors.offset") {
        Some(offset) => (header("__dlq.errors.partition").unwrap() as i32, offset),
        None => (message.partition(), message.offset()),
    }
}

/// What handlers did, and whether that was in order.
#[derive(Debug, Default)]
struct History {
    /// Of each partition and key, the offsets in the order in which they were done.
    done: BTreeMap<(i32, Vec<u8>), Vec<i64>>,
    /// The keys that are with handlers.
    busy: BTreeSet<(i32, Vec<u8>)>,
    /// How often each record failed.
    failures: BTreeMap<(i32, i64), u32>,
    wrong: Vec<String>,
}

/// Each record of this key, in order.
type Logs = BTreeMap<(i32, Vec<u8>), Vec<i64>>;

fn logs(partition: i32, keys: &[&str]) -> Logs {
    let mut logs = Logs::new();
    for (key, offset) in keys.iter().zip(0..) {
        logs.entry((partition, key.as_bytes().to_vec())).or_default().push(offset);
    }
    logs
}

#[derive(Debug, Clone, Default)]
struct Watch(Arc<Mutex<History>>, Arc<Logs>);

/// While a record is with its handler; its key is free again whatever ends it.
struct Busy(Watch, (i32, Vec<u8>));

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().busy.remove(&self.1);
    }
}

impl Watch {
    fn of(logs: Logs) -> Self {
        Self(Arc::default(), Arc::new(logs))
    }

    fn begins(&self, message: &Message) -> Busy {
        let (partition, offset) = origin(message);
        let line = (partition, message.key().unwrap_or_default().to_vec());
        let history = &mut *self.0.lock().unwrap();
        if !history.busy.insert(line.clone()) {
            history.wrong.push(format!("{line:?}: {offset} beside another"));
        }
        let done = history.done.get(&line).cloned().unwrap_or_default();
        let before = self.1.get(&line).into_iter().flatten().filter(|before| **before < offset);
        if let Some(before) = before.into_iter().find(|before| !done.contains(before)) {
            history.wrong.push(format!("{line:?}: {offset} before {before}"));
        }
        Busy(self.clone(), line)
    }

    /// Fails so many times.
    fn handles(
        &self,
        message: Message,
        failing: u32,
    ) -> impl Future<Output = Result<(), HandlerError>> + use<> {
        let (busy, watch) = (self.begins(&message), self.clone());
        async move {
            tokio::time::sleep(MILLI).await;
            let origin = origin(&message);
            let history = &mut *watch.0.lock().unwrap();
            let failures = history.failures.entry(origin).or_default();
            if *failures < failing {
                *failures += 1;
                return Err("not yet".into());
            }
            history.done.entry(busy.1.clone()).or_default().push(origin.1);
            Ok(())
        }
    }

    fn count(&self) -> usize {
        let history = self.0.lock().unwrap();
        let once = |offsets: &Vec<i64>| offsets.iter().collect::<BTreeSet<_>>().len();
        history.done.values().map(once).sum()
    }

    fn all(&self) -> Vec<(Vec<u8>, Vec<i64>)> {
        let history = self.0.lock().unwrap();
        history.done.iter().map(|((_, key), offsets)| (key.clone(), offsets.clone())).collect()
    }

    /// Nothing began before its turn, and what was repeated was repeated with all that follows it.
    fn is_in_order(&self) {
        let history = self.0.lock().unwrap();
        assert!(history.wrong.is_empty(), "{:?}", history.wrong);
        for (line, offsets) in &history.done {
            let last = |offset: &i64| offsets.iter().rposition(|other| other == offset);
            let log = self.1.get(line).unwrap();
            assert!(log.iter().map(last).is_sorted(), "{line:?}: {offsets:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_records_of_a_key_follow_one_that_waits_and_other_keys_go_on() {
    let server = server(1);
    let keys = ["a", "a", "b", "a", "b"];
    produce_keys(&server, keys.map(str::to_owned)).await;
    let watch = Watch::of(logs(0, &keys));
    let watched = watch.clone();
    let mut process = held(&server).retry_topics([300 * MILLI]);
    let mut events = process.events();
    let follow = Arc::new(Semaphore::new(0));
    let gate = follow.clone();
    let process = process.each_message(move |message| {
        let is_first = origin(&message).1 == 0;
        let gate = (is_first && message.topic() != "t").then(|| gate.clone());
        let handling = watched.handles(message, u32::from(is_first));
        async move {
            if let Some(gate) = gate {
                // Until the others are behind it.
                gate.acquire().await.unwrap().forget();
            }
            handling.await
        }
    });
    let running = Running::new(process);
    until("the others follow", || end_of(&server, "t-retry-300") == 3).await;
    follow.add_permits(1);
    until("all are done", || watch.count() == 5).await;
    let done = |server: &Server| (committed_of(server, "t"), committed_of(server, "t-retry-300"));
    until("all is committed", || done(&server) == (5, 3)).await;
    // The key goes on where it was.
    produce_keys(&server, ["a".to_owned()]).await;
    until("it is committed", || done(&server) == (6, 3)).await;
    running.stop().await;
    assert_eq!(end_of(&server, "t-retry-300"), 3);
    assert_eq!(watch.all(), [(b"a".to_vec(), vec![0, 1, 3, 5]), (b"b".to_vec(), vec![2, 4])]);
    let mut followed = Vec::new();
    while let Some(event) = events.next().await {
        if let ProcessorEvent::Followed { offset, topic, .. } = event {
            assert_eq!(topic, "t-retry-300");
            followed.push(offset);
        }
    }
    assert_eq!(followed, [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_when_a_process_was_killed_is_held_by_the_next() {
    for order in [Order::Key, Order::Partition] {
        let server = server(1);
        let keys = ["a", "a", "a"];
        produce_keys(&server, keys.map(str::to_owned)).await;
        let watch = Watch::of(logs(0, &["a"; 5]));
        let process = || held(&server).order(order).retry_topics([600 * MILLI]);
        let watched = watch.clone();
        let running = tokio::spawn(
            process()
                .each_message(move |message| {
                    let is_behind = message.topic() != "t";
                    let handling = watched.handles(message, 1);
                    async move {
                        if is_behind {
                            pending::<()>().await;
                        }
                        handling.await
                    }
                })
                .run(),
        );
        until("they wait", || end_of(&server, "t-retry-600") == 3 && committed_of(&server, "t") == 3).await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        assert_eq!(watch.count(), 0);
        produce_keys(&server, ["a", "a"].map(str::to_owned)).await;
        let watched = watch.clone();
        let running = Running::new(process().each_message(move |message| watched.handles(message, 1)));
        until("all are done", || watch.count() == 5 && committed_of(&server, "t") == 5).await;
        running.stop().await;
        watch.is_in_order();
        assert_eq!(end_of(&server, "t-dlt"), 0, "{order:?}");
    }
}

/// Retry topics behind retry topics, members that come, go and are killed. What handlers may do comes drop by drop, so that there is
/// enough for all.
async fn in_order_while_members_come_and_go_and_are_killed(readers: usize) {
    const COUNT: usize = 1000;
    let server = server(4);
    produce_keys(&server, (0..COUNT).map(|number| (number % 23).to_string())).await;
    let mut logs = Logs::new();
    for partition in 0..4 {
        for (key, offset) in records_of(&server, partition).await {
            logs.entry((partition, key)).or_default().push(offset);
        }
    }
    let (watch, permits) = (Watch::of(logs), Arc::new(Semaphore::new(100)));
    let start = |process: Processor| {
        let (watch, permits, handled) = (watch.clone(), permits.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = handled.clone();
        let process = holds(process).readers(readers).concurrency(8).retry_topics([40 * MILLI, 60 * MILLI]);
        let process = process.each_message(move |message| {
            let (partition, offset) = origin(&message);
            let failing = match (i64::from(partition) + offset) % 9 {
                // One that has followed to the last topic has no other.
                _ if message.topic() == "t-retry-60" => 0,
                0 => 1,
                4 => 2,
                _ => 0,
            };
            let (handling, permits, counted) =
                (watch.handles(message, failing), permits.clone(), counted.clone());
            async move {
                permits.acquire().await.unwrap().forget();
                counted.fetch_add(1, Ordering::Relaxed);
                handling.await
            }
        });
        (process, handled)
    };
    let drops = async |what: &str, is_so: &dyn Fn() -> bool| {
        let mut looks = 0;
        until(what, || {
            looks += 1;
            permits.add_permits(usize::from(looks % 8 == 0));
            is_so()
        })
        .await;
    };
    let (first, _) = start(processor(&server));
    let first = Running::new(first);
    until("some are done", || watch.count() > 60).await;
    // Dropped, it writes nothing late that was on its way: a static member does not leave, so that nobody takes over before its session
    // ends.
    let fixed = consumer(&server).group_instance_id("second").session_timeout(Duration::from_secs(6));
    let (second, handled) = start(Processor::new(fixed).commit_interval(20 * MILLI));
    let second = tokio::spawn(second.run());
    drops("the second handles some", &|| handled.load(Ordering::Relaxed) >= 20).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    let (third, handled) = start(processor(&server));
    let third = Running::new(third);
    drops("the third handles some", &|| handled.load(Ordering::Relaxed) >= 20).await;
    let stopped = tokio::spawn(first.stop());
    permits.add_permits(100 * COUNT);
    stopped.await.unwrap();
    until("all are done", || watch.count() == COUNT).await;
    until("all is committed", || {
        let topics = ["t", "t-retry-40", "t-retry-60"];
        topics.iter().all(|topic| committed_of(&server, topic) == end_of(&server, topic))
    })
    .await;
    third.stop().await;
    watch.is_in_order();
    assert!(end_of(&server, "t-retry-60") > 0);
    assert_eq!(end_of(&server, "t-dlt"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_over_all_topics_while_members_come_and_go_and_are_killed() {
    in_order_while_members_come_and_go_and_are_killed(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_over_all_topics_with_several_readers_too() {
    in_order_while_members_come_and_go_and_are_killed(3).await;
}

async fn records_of(server: &Server, partition: i32) -> Vec<(Vec<u8>, i64)> {
    let mut consumer =
        ottla::Consumer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    consumer.assign([("t", partition)]).unwrap();
    consumer.seek(("t", partition), 0).unwrap();
    let count = server.with_cluster(|cluster| cluster.log_end_offset("t", partition)).unwrap_or_default();
    let mut records = Vec::new();
    while (records.len() as i64) < count {
        let record = consumer.recv().await.unwrap().unwrap();
        records.push((record.key().unwrap().to_vec(), record.offset()));
    }
    consumer.close().await.unwrap();
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_followed_and_fails_itself_waits_once_in_its_place_before_it_dies() {
    let server = server(1);
    let keys = ["a", "a", "a"];
    produce_keys(&server, keys.map(str::to_owned)).await;
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let noted = attempts.clone();
    let follows = Arc::new(Semaphore::new(0));
    let gate = follows.clone();
    let process = held(&server).retry_topics([50 * MILLI]).each_message(move |message| {
        let offset = origin(&message).1;
        let gate = gate.clone();
        let tries = noted.lock().unwrap().iter().filter(|(other, _)| *other == offset).count();
        noted.lock().unwrap().push((offset, message.topic().to_owned()));
        // The first succeeds from its retry topic, the second never, the third at once.
        async move {
            if (offset, tries) == (0, 1) {
                // Until the others are behind it.
                gate.acquire().await.unwrap().forget();
            }
            match (offset, tries) {
                (0, 0) | (1, _) => Err("not yet"),
                _ => Ok(()),
            }
        }
    });
    let running = Running::new(process);
    until("the others follow", || end_of(&server, "t-retry-50") == 3).await;
    follows.add_permits(1);
    until("all are done", || committed_of(&server, "t-retry-50") == 3).await;
    running.stop().await;
    let told: Vec<_> =
        attempts.lock().unwrap().iter().map(|(offset, topic)| (*offset, topic.len())).collect();
    let (first, retry) = ("t".len(), "t-retry-50".len());
    assert_eq!(told, [(0, first), (0, retry), (1, retry), (1, retry), (2, retry)]);
    assert_eq!(end_of(&server, "t-dlt"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_topic_that_refuses_writes_for_a_while_keeps_the_key_in_its_place() {
    let server = server(1);
    let keys = ["a", "a"];
    produce_keys(&server, keys.map(str::to_owned)).await;
    let refused = Fault::Error(ErrorCode::TopicAuthorizationFailed);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).times(1).then(refused));
    let watch = Watch::of(logs(0, &keys));
    let watched = watch.clone();
    let process = held(&server).retry_topics([50 * MILLI]).each_message(move |message| {
        // Where it is, as often as it is tried there.
        let failing = if message.topic() == "t" { u32::MAX } else { 0 };
        watched.handles(message, failing)
    });
    let running = Running::new(process);
    until("both are done", || watch.count() == 2).await;
    running.stop().await;
    watch.is_in_order();
    assert_eq!(end_of(&server, "t-retry-50"), 2);
}

#[tokio::test]
async fn a_partition_without_one_behind_it_ends_it_before_a_record_is_handled() {
    let topics = vec![TopicSpec::new("t", 3), TopicSpec::new("t-retry-50", 2)];
    let server =
        Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap();
    produce(&server, 2, 0..1).await;
    let process = held(&server).retry_topics([50 * MILLI]);
    let running = Running::new(process.each_message(|_| ready(Ok::<_, HandlerError>(()))));
    let error = running.error().await;
    assert_eq!(
        (error.kind(), error.context().topic.as_deref()),
        (ProcessErrorKind::Topic, Some("t-retry-50"))
    );
    assert!(format!("{error:#}").contains("it has 2 partitions, and `t` 3"), "{error:#}");
}

#[tokio::test]
async fn records_are_held_only_where_some_wait_for_others_there_is_a_retry_topic_and_no_transaction() {
    let server = server(1);
    let each = |processor: Processor| processor.each_message(|_| ready(Ok::<_, HandlerError>(())));
    let retries = |processor: Processor| processor.retry_topics([50 * MILLI]);
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).transactional_id("x");
    let transactional = retries(held(&server)).transactional(producer);
    let transactional = transactional.each_message(async |_, _| Ok::<_, HandlerError>(()));
    let refused = [
        (each(retries(held(&server).order(Order::Unordered))), "no record waits"),
        (each(held(&server)), "none are there"),
        (transactional, "no transactions yet"),
    ];
    for (process, why) in refused {
        let error = Running::new(process).error().await;
        let source = error.source().and_then(|source| source.downcast_ref::<BuildError>());
        assert_eq!(source.map(BuildError::kind), Some(BuildErrorKind::InvalidValue), "{error:#}");
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
}
