//! The processor, against the embedded broker.

#[expect(dead_code, reason = "its `main`")]
#[path = "../../examples/each_message.rs"]
mod each_message;

use std::{
    collections::BTreeMap,
    error::Error as _,
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ottla::{
    Consumer, ConsumerBuilder, GroupProtocol, HandlerError, OffsetReset, OnHopeless, Order, OwnedRecord,
    ProcessError, Processor, Producer, ProducerRecord, RetryPolicy,
    error::{BuildErrorKind, ProcessErrorKind},
    processor::{FailureClass, Handler, HandlerFailure, Handling, Message, WhyHopeless},
};
use ottla_broker::Server;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use crate::common::{PATIENCE, produce, server};

pub(crate) const MILLI: Duration = Duration::from_millis(1);

pub(crate) fn consumer(server: &Server) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .heartbeat_interval(Duration::from_millis(100))
        .subscribe(["t"])
}

pub(crate) fn processor(server: &Server) -> Processor {
    Processor::new(consumer(server))
        .retries(RetryPolicy::exponential(5 * MILLI..=20 * MILLI))
        .commit_interval(20 * MILLI)
}

/// What was handled, in the order in which it was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done(Arc<Mutex<Vec<(i32, i64)>>>);

impl Done {
    pub(crate) fn note(&self, record: &OwnedRecord) {
        self.0.lock().unwrap().push((record.partition(), record.offset()));
    }

    pub(crate) fn all(&self) -> Vec<(i32, i64)> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How often each record was handled.
    pub(crate) fn counts(&self) -> BTreeMap<(i32, i64), usize> {
        let mut counts = BTreeMap::new();
        self.all().into_iter().for_each(|record| *counts.entry(record).or_default() += 1);
        counts
    }
}

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(2 * MILLI).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

pub(crate) fn committed(server: &Server, partition: i32) -> Option<i64> {
    server.with_cluster(|cluster| cluster.committed("g").get(&("t".to_owned(), partition)).copied())
}

/// A processor that runs until it is told to stop.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ProcessError>>,
}

impl Running {
    pub(crate) fn new(process: ottla::processor::EachMessage) -> Self {
        Self::of(|stopped| process.run_until(stopped))
    }

    pub(crate) fn of<F>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = Result<(), ProcessError>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(run(stopped)) }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    /// It stops by itself.
    pub(crate) async fn error(self) -> ProcessError {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap_err()
    }
}

pub(crate) async fn produce_keys(server: &Server, keys: impl IntoIterator<Item = String>) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let mut deliveries = Vec::new();
    for key in keys {
        let record = ProducerRecord::to("t").key(key.into_bytes()).value("");
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_is_handled_once_and_committed_when_it_stops() {
    for order in [Order::Partition, Order::Key, Order::Unordered] {
        let server = server(3);
        for partition in 0..3 {
            produce(&server, partition, 0..1000).await;
        }
        let done = Done::default();
        let noted = done.clone();
        let process = processor(&server).order(order).in_flight(300, 1 << 20).each_message(move |message| {
            noted.note(&message);
            ready(Ok::<_, HandlerError>(()))
        });
        let running = Running::new(process);
        until("all are handled", || done.len() >= 3000).await;
        running.stop().await;
        assert!(done.counts().values().all(|count| *count == 1), "{order:?}");
        for partition in 0..3 {
            assert_eq!(committed(&server, partition), Some(1000), "{order:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_key_are_handled_in_order_and_different_keys_in_parallel() {
    let server = server(2);
    produce_keys(&server, (0..400).map(|n| (n % 20).to_string())).await;
    type Keys = BTreeMap<Vec<u8>, (bool, Vec<i64>)>;
    let (keys, most) = (Arc::new(Mutex::new(Keys::new())), Arc::new(AtomicUsize::new(0)));
    let seen = (keys.clone(), most.clone());
    let process = processor(&server).order(Order::Key).concurrency(10).each_message(move |message| {
        let (keys, most) = seen.clone();
        async move {
            let key = message.key().unwrap().to_vec();
            {
                let mut keys = keys.lock().unwrap();
                let (is_busy, offsets) = keys.entry(key.clone()).or_default();
                assert!(!std::mem::replace(is_busy, true), "beside another of its key");
                offsets.push(message.offset());
                most.fetch_max(keys.values().filter(|(is_busy, _)| *is_busy).count(), Ordering::Relaxed);
            }
            tokio::time::sleep(MILLI).await;
            keys.lock().unwrap().get_mut(&key).unwrap().0 = false;
            Ok::<_, HandlerError>(())
        }
    });
    let running = Running::new(process);
    let count = || keys.lock().unwrap().values().map(|(_, offsets)| offsets.len()).sum::<usize>();
    until("all are handled", || count() >= 400).await;
    running.stop().await;
    assert_eq!(count(), 400, "once");
    for (key, (_, offsets)) in keys.lock().unwrap().iter() {
        assert!(offsets.is_sorted(), "{key:?}: {offsets:?}");
    }
    let most = most.load(Ordering::Relaxed);
    assert!((2..=10).contains(&most), "{most} at once");
}

#[tokio::test]
async fn a_record_that_fails_is_tried_again_while_others_go_on() {
    let server = server(1);
    produce_keys(&server, (0..20).map(|n| n.to_string())).await;
    let (done, attempts) = (Done::default(), Arc::new(Mutex::new(Vec::new())));
    let noted = (done.clone(), attempts.clone());
    let retries = RetryPolicy::exponential(MILLI..=20 * MILLI).attempts(10_000);
    let process = processor(&server).order(Order::Key).retries(retries).each_message(move |message| {
        let (done, attempts) = noted.clone();
        async move {
            if message.offset() == 3 {
                attempts.lock().unwrap().push(message.attempt());
                if done.len() < 19 {
                    return Err("not before the others");
                }
            }
            done.note(&message);
            Ok(())
        }
    });
    let running = Running::new(process);
    until("all are handled", || done.len() >= 20).await;
    running.stop().await;
    assert_eq!(done.all().last(), Some(&(0, 3)));
    let attempts = attempts.lock().unwrap();
    assert!(attempts.len() > 1 && attempts.iter().copied().eq(1..=attempts.len() as u32), "{attempts:?}");
    assert_eq!(committed(&server, 0), Some(20));
}

#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the printer is broken")
    }
}

impl std::error::Error for Broken {}

#[tokio::test]
async fn every_time_of_a_processor_may_be_for_ever() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let done = Done::default();
    let noted = done.clone();
    let retries = RetryPolicy::exponential(MILLI..=Duration::MAX).total(Duration::MAX);
    let process = processor(&server)
        .retries(retries)
        .handler_timeout(Duration::MAX)
        .drain(Duration::MAX)
        .commit_interval(Duration::MAX)
        .each_message(move |message| {
            let is_first = message.attempt() == 1;
            if !is_first {
                noted.note(&message);
            }
            ready(if is_first { Err("once more") } else { Ok(()) })
        });
    let running = Running::new(process);
    until("all are handled", || done.len() >= 3).await;
    running.stop().await;
    assert_eq!(committed(&server, 0), Some(3));
}

#[tokio::test]
async fn a_hopeless_record_stops_the_processor_with_its_place_and_the_chain_of_errors() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let retries = RetryPolicy::exponential(MILLI..=MILLI).attempts(3);
    let process = processor(&server).retries(retries).each_message(async |message| match message.offset() {
        4 => Err(Broken),
        _ => Ok(()),
    });
    let error = Running::new(process).error().await;
    assert_eq!(error.kind(), ProcessErrorKind::Record);
    let text = "partition t-0, offset 4: a record cannot be handled; mend what handles it, or have such \
                records skipped: attempt 3 failed, and it has had all its attempts: the handler failed: the \
                printer is broken";
    assert_eq!(format!("{error:#}"), text);
    let hopeless = error.hopeless().unwrap();
    assert_eq!((hopeless.record().offset(), hopeless.record().value()), (4, Some(&b"4"[..])));
    assert_eq!((hopeless.attempts(), hopeless.why()), (3, WhyHopeless::Attempts));
    assert!(hopeless.failure().source().unwrap().is::<Broken>());
    assert_eq!(committed(&server, 0), Some(4));
}

#[tokio::test]
async fn a_hopeless_record_that_is_skipped_is_committed_and_a_fatal_failure_has_no_second_attempt() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let (done, attempts) = (Done::default(), Arc::new(AtomicUsize::new(0)));
    let noted = (done.clone(), attempts.clone());
    let process = processor(&server).on_hopeless(OnHopeless::Skip).each_message(move |message| {
        let (done, attempts) = noted.clone();
        async move {
            if message.offset() == 4 {
                attempts.fetch_add(1, Ordering::Relaxed);
                return Err(HandlerError::fatal("unreadable"));
            }
            done.note(&message);
            Ok(())
        }
    });
    let running = Running::new(process);
    until("all others are handled", || done.len() >= 9).await;
    running.stop().await;
    assert_eq!((attempts.load(Ordering::Relaxed), committed(&server, 0)), (1, Some(10)));
}

#[tokio::test]
async fn a_panic_and_a_time_out_are_failures_which_the_program_may_classify() {
    let server = server(1);
    produce(&server, 0, 0..2).await;
    let done = Done::default();
    let (noted, failures) = (done.clone(), Arc::new(Mutex::new(Vec::new())));
    let told = failures.clone();
    let process = processor(&server)
        .handler_timeout(50 * MILLI)
        .classify(move |failure| {
            told.lock().unwrap().push(failure.to_string());
            match failure {
                HandlerFailure::Error(..) => FailureClass::Fatal,
                _ => FailureClass::Retriable,
            }
        })
        .each_message(move |message| {
            let done = noted.clone();
            // This one panics before there is a future.
            assert!(message.offset() != 0 || message.attempt() != 3, "no future");
            async move {
                match (message.offset(), message.attempt()) {
                    (0, 1) => panic!("on purpose"),
                    (0, 2) => pending().await,
                    (1, 1) => Err("fatal here"),
                    _ => {
                        done.note(&message);
                        Ok(())
                    }
                }
            }
        });
    let error = Running::new(process).error().await;
    assert_eq!(done.all(), [(0, 0)]);
    assert_eq!(error.hopeless().map(|hopeless| hopeless.why()), Some(WhyHopeless::Fatal));
    let told = failures.lock().unwrap().clone();
    let expected = [
        "the handler panicked: on purpose",
        "the handler had not ended after 50.0ms",
        "the handler panicked: no future",
        "the handler failed",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn after_a_crash_only_what_was_not_done_is_handled_again() {
    let server = server(1);
    produce_keys(&server, (0..50).map(|n| n.to_string())).await;
    let done = Done::default();
    let noted = done.clone();
    let process = processor(&server).order(Order::Key).each_message(move |message| {
        let done = noted.clone();
        async move {
            if [2, 7].contains(&message.offset()) {
                pending::<()>().await;
            }
            done.note(&message);
            Ok::<_, HandlerError>(())
        }
    });
    let running = tokio::spawn(process.run());
    until("all others are handled", || done.len() == 48).await;
    // From 2 on: one that is not done, four that are, one that is not, 42 that are; of leader epoch 0.
    let whole = "ottla1rAgEBBAEq";
    let saved = || server.with_cluster(|cluster| cluster.committed_metadata("g", "t", 0).map(str::to_owned));
    until("what is done is saved", || saved().as_deref() == Some(whole)).await;
    assert_eq!(committed(&server, 0), Some(2));
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());

    let again = Done::default();
    let noted = again.clone();
    let process = processor(&server).order(Order::Key).each_message(move |message| {
        noted.note(&message);
        ready(Ok::<_, HandlerError>(()))
    });
    let running = Running::new(process);
    until("those are handled", || committed(&server, 0) == Some(50)).await;
    running.stop().await;
    // Of different keys, so in either order.
    assert_eq!(again.counts(), BTreeMap::from([((0, 2), 1), ((0, 7), 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processors_of_a_group_lose_and_repeat_nothing_as_one_comes_and_goes() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(4);
        for partition in 0..4 {
            produce(&server, partition, 0..500).await;
        }
        let (done, by_second) = (Done::default(), Done::default());
        let process = |also: Option<Done>| {
            let noted = done.clone();
            let builder = Consumer::builder()
                .bootstrap_servers([server.bootstrap()])
                .group_id("g")
                .auto_offset_reset(OffsetReset::Earliest)
                .group_protocol(protocol)
                .subscribe(["t"]);
            let builder = match protocol {
                GroupProtocol::Classic => builder.heartbeat_interval(100 * MILLI),
                _ => builder,
            };
            Processor::new(builder)
                .order(Order::Unordered)
                .concurrency(8)
                .commit_interval(20 * MILLI)
                .each_message(move |message| {
                    let (done, also) = (noted.clone(), also.clone());
                    async move {
                        tokio::time::sleep(4 * MILLI).await;
                        done.note(&message);
                        also.iter().for_each(|also| also.note(&message));
                        Ok::<_, HandlerError>(())
                    }
                })
        };
        let first = Running::new(process(None));
        until("the first has begun", || done.len() > 100).await;
        let second = Running::new(process(Some(by_second.clone())));
        until("the second has begun", || by_second.len() > 100).await;
        second.stop().await;
        let count = || done.counts().len();
        until("all are handled", || count() == 2000).await;
        first.stop().await;
        let repeated = done.counts().into_iter().filter(|(_, count)| *count > 1).collect::<Vec<_>>();
        assert_eq!(repeated, [], "{protocol:?}");
        assert_eq!((0..4).map(|part| committed(&server, part)).collect::<Vec<_>>(), [Some(500); 4]);
    }
}

#[tokio::test]
async fn a_stop_waits_for_handlers_and_commits_what_they_have_done() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let shared = (begun.clone(), go.clone());
    let process = processor(&server).commit_interval(Duration::from_secs(3600)).each_message(move |_| {
        let (begun, go) = shared.clone();
        async move {
            begun.fetch_add(1, Ordering::Relaxed);
            go.notified().await;
            Ok::<_, HandlerError>(())
        }
    });
    let running = Running::new(process);
    until("it has begun", || begun.load(Ordering::Relaxed) == 1).await;
    running.stop.send(()).unwrap();
    let mut task = running.task;
    let early = tokio::time::timeout(100 * MILLI, &mut task).await;
    assert!(early.is_err(), "it waits: {early:?}");
    go.notify_one();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    assert_eq!(begun.load(Ordering::Relaxed), 1, "nothing more was handed out");
    assert_eq!(committed(&server, 0), Some(1));
}

struct Counts(AtomicUsize);

impl Handler for Counts {
    fn handle(&self, _: Message) -> Handling<'_> {
        Box::pin(async move {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_handler_may_be_a_trait_object() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let counts = Arc::new(Counts(AtomicUsize::new(0)));
    let handler: Arc<dyn Handler> = counts.clone();
    let running = Running::new(processor(&server).each_message_by(handler));
    until("all are handled", || counts.0.load(Ordering::Relaxed) == 10).await;
    running.stop().await;
}

#[tokio::test]
async fn without_a_group_there_is_nothing_to_process() {
    let server = server(1);
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let process = Processor::new(builder).each_message(|_| ready(Ok::<_, HandlerError>(())));
    let error = process.run().await.unwrap_err();
    assert_eq!(error.kind(), ProcessErrorKind::Build);
    let source = error.source().unwrap().downcast_ref::<ottla::BuildError>().unwrap();
    assert_eq!((source.kind(), source.key()), (BuildErrorKind::MissingProperty, Some("group.id")));
}

#[tokio::test]
async fn the_example_handles_what_it_can_and_passes_over_the_rest() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    produce_keys(&server, ["no number".to_owned()]).await;
    let group = || server.with_cluster(|cluster| cluster.committed("each-message").values().sum::<i64>());
    let stop = until("all are committed", || group() == 11);
    each_message::run(&server.bootstrap(), "t", stop).await.unwrap();
}
