//! Records whose time has not come, or has passed, and those that come twice, against the embedded broker.

use std::{
    collections::BTreeSet,
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use ottla::{
    HandlerError, Order, Producer, ProducerRecord, RetryPolicy,
    processor::{Deduplication, Known, ProcessorEvent, RecentIds},
};
use ottla_broker::Server;

use crate::{
    common::server,
    processing::{Done, MILLI, Running, committed, processor, produce_keys, until},
};

#[tokio::test]
async fn a_record_that_is_deferred_holds_up_its_line_and_nothing_else_and_that_is_no_attempt() {
    let server = server(1);
    produce_keys(&server, ["a", "a", "b", "b"].map(str::to_owned)).await;
    let (done, deferrals) = (Done::default(), Arc::new(AtomicUsize::new(0)));
    let noted = (done.clone(), deferrals.clone());
    let process =
        processor(&server).order(Order::Key).concurrency(1).retries(RetryPolicy::none()).each_message(
            move |message| {
                let (done, deferrals) = &noted;
                assert_eq!(message.attempt(), 1);
                // Not before both of the other key are done, and more than once.
                if message.offset() == 0 && (done.len() < 2 || deferrals.load(Ordering::Relaxed) < 3) {
                    deferrals.fetch_add(1, Ordering::Relaxed);
                    return ready(Err(HandlerError::defer_until(SystemTime::now() + 20 * MILLI)));
                }
                done.note(&message);
                ready(Ok(()))
            },
        );
    let running = Running::new(process);
    until("all are committed", || committed(&server, 0) == Some(4)).await;
    running.stop().await;
    assert_eq!(done.all(), [(0, 2), (0, 3), (0, 0), (0, 1)]);
    assert!(deferrals.load(Ordering::Relaxed) >= 3);
}

async fn produce_aged(server: &Server, ages: &[Duration]) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    for age in ages {
        let record = ProducerRecord::to("t").value("").timestamp(SystemTime::now() - *age);
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
}

#[tokio::test]
async fn what_is_older_than_may_be_is_not_handled_and_counts_as_done() {
    let server = server(1);
    let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3600));
    produce_aged(&server, &[day, hour, day, day, Duration::ZERO, day]).await;
    let done = Done::default();
    let noted = done.clone();
    let mut processor = processor(&server).skip_older_than(2 * hour);
    let mut events = processor.events();
    let process = processor.each_message(move |message| {
        noted.note(&message);
        ready(Ok::<_, HandlerError>(()))
    });
    let running = Running::new(process);
    until("all are committed", || committed(&server, 0) == Some(6)).await;
    running.stop().await;
    assert_eq!(done.all(), [(0, 1), (0, 4)]);
    let mut skipped = 0;
    while let Some(event) = events.next().await {
        if let ProcessorEvent::Skipped { records, .. } = event {
            skipped += records;
        }
    }
    assert_eq!(skipped, 4);
}

fn by_key(message: &ottla::processor::Message) -> Option<Vec<u8>> {
    message.key().map(<[u8]>::to_vec)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_records_with_one_id_one_is_handled_and_a_failure_does_not_count() {
    let server = server(1);
    produce_keys(&server, (0..60).map(|n| (n % 10).to_string())).await;
    let (done, failed) = (Done::default(), Arc::new(Mutex::new(BTreeSet::new())));
    let noted = (done.clone(), failed);
    let process = processor(&server)
        .order(Order::Unordered)
        .deduplicate(by_key, RecentIds::new(100))
        .each_message(move |message| {
            let (done, failed) = noted.clone();
            async move {
                tokio::time::sleep(MILLI).await;
                if failed.lock().unwrap().insert(message.key().map(<[u8]>::to_vec)) {
                    return Err("once more");
                }
                done.note(&message);
                Ok(())
            }
        });
    let running = Running::new(process);
    until("all are committed", || committed(&server, 0) == Some(60)).await;
    running.stop().await;
    assert_eq!(done.len(), 10, "{done:?}");
}

/// Knows nothing, and fails now and then.
#[derive(Default)]
struct Unreliable(AtomicUsize);

impl Deduplication for Unreliable {
    fn is_known<'a>(&'a self, _: &'a [u8]) -> Known<'a, bool> {
        let fails = self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        Box::pin(ready(if fails { Err(HandlerError::retriable("no database")) } else { Ok(false) }))
    }

    fn note<'a>(&'a self, _: &'a [u8]) -> Known<'a, ()> {
        Box::pin(ready(Ok(())))
    }
}

#[tokio::test]
async fn a_store_that_fails_fails_the_record_which_is_tried_again() {
    let server = server(1);
    produce_keys(&server, ["a", "b", "c"].map(str::to_owned)).await;
    let done = Done::default();
    let noted = done.clone();
    let process =
        processor(&server).deduplicate(by_key, Unreliable::default()).each_message(move |message| {
            assert_eq!(message.attempt(), 2, "the store failed first");
            noted.note(&message);
            ready(Ok::<_, HandlerError>(()))
        });
    let running = Running::new(process);
    until("all are committed", || committed(&server, 0) == Some(3)).await;
    running.stop().await;
    assert_eq!(done.len(), 3);
}
