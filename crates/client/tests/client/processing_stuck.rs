//! Handlers that are slow, hang or never yield, and records that are stuck, against the embedded broker.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ottla::{
    HandlerError, OnHopeless, Order, Processor, Producer, ProducerRecord, Rebalance, RebalanceListener,
    RetryPolicy, TopicPartition,
};
use ottla_broker::Fault;
use ottla_protocol::ApiKey;

use crate::{
    common::{PATIENCE, produce, server},
    processing::{Done, MILLI, Running, committed, consumer, processor, until},
};

/// Counts when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_handler_that_does_not_end_in_time_is_dropped_and_its_record_is_not_committed() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let (done, dropped) = (Done::default(), Arc::new(AtomicUsize::new(0)));
    let shared = (done.clone(), dropped.clone());
    let process = processor(&server).drain(50 * MILLI).each_message(move |message| {
        let (done, dropped) = shared.clone();
        async move {
            done.note(&message);
            if message.offset() == 1 {
                let _dropped = Dropped(dropped);
                pending::<()>().await;
            }
            Ok::<_, HandlerError>(())
        }
    });
    let running = Running::new(process);
    until("it hangs", || done.len() == 2).await;
    running.stop().await;
    assert_eq!((dropped.load(Ordering::Relaxed), committed(&server, 0)), (1, Some(1)));
}

#[tokio::test]
async fn a_slow_handler_is_no_member_that_stays_away() {
    #[derive(Clone, Default)]
    struct Lost(Arc<Mutex<Vec<Vec<TopicPartition>>>>);
    impl RebalanceListener for Lost {
        async fn on_revoked(&self, _: &Rebalance, partitions: &[TopicPartition]) {
            self.0.lock().unwrap().push(partitions.to_vec());
        }
    }
    let server = server(1);
    produce(&server, 0, 0..2).await;
    let (done, lost) = (Done::default(), Lost::default());
    let noted = done.clone();
    let builder = consumer(&server).max_poll_interval(300 * MILLI).rebalance_listener(lost.clone());
    let process = Processor::new(builder).each_message(move |message| {
        let done = noted.clone();
        async move {
            tokio::time::sleep(1000 * MILLI).await;
            done.note(&message);
            Ok::<_, HandlerError>(())
        }
    });
    let running = Running::new(process);
    until("both are handled", || done.len() == 2).await;
    assert_eq!(lost.0.lock().unwrap().len(), 0, "a rebalance");
    running.stop().await;
    assert_eq!(done.all(), [(0, 0), (0, 1)]);
    assert_eq!(
        *lost.0.lock().unwrap(),
        [[TopicPartition::new("t", 0)]],
        "the program's own listener is told"
    );
    assert_eq!(committed(&server, 0), Some(2));
}

#[tokio::test]
async fn a_record_that_is_stuck_keeps_no_room_from_others_however_little_the_consumer_may_buffer() {
    const SMALL: usize = 64 << 10;
    const RECORDS: usize = 500;
    let server = server(1);
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let value = vec![b'x'; 1000];
    let mut deliveries = Vec::new();
    for _ in 0..RECORDS {
        let record = ProducerRecord::to("t").key("a key").value(&value[..]).header("a header", "of it");
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
    let builder =
        consumer(&server).buffer_memory(SMALL).fetch_max_bytes(SMALL).max_partition_fetch_bytes(SMALL);
    let hour = Duration::from_secs(3600);
    let (done, wrong) = (Done::default(), Arc::new(AtomicUsize::new(0)));
    let (noted, seen) = (done.clone(), wrong.clone());
    let process = Processor::new(builder)
        .order(Order::Unordered)
        .retries(RetryPolicy::exponential(hour..=hour))
        .drain(MILLI)
        .each_message(move |message| {
            let (done, wrong) = (noted.clone(), seen.clone());
            async move {
                let headers: Vec<_> = message.headers().filter_map(Result::ok).collect();
                let is_whole = message.key() == Some(b"a key")
                    && message.value() == Some(&[b'x'; 1000])
                    && headers.len() == 1
                    && headers.iter().all(|it| it.key == b"a header" && it.value == Some(b"of it"));
                wrong.fetch_add(usize::from(!is_whole), Ordering::Relaxed);
                match message.offset() {
                    0 => pending().await,
                    1 => Err(HandlerError::retriable("not now")),
                    _ => {
                        done.note(&message);
                        Ok(())
                    }
                }
            }
        });
    let running = Running::new(process);
    until("all others are handled", || done.len() == RECORDS - 2).await;
    running.stop().await;
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "records that are not as they were written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_yields_keeps_its_own_place_and_no_other_and_its_record_fails_when_it_ends() {
    let server = server(2);
    produce(&server, 0, 0..1).await;
    produce(&server, 1, 0..50).await;
    let (done, release) = (Done::default(), Arc::new(AtomicUsize::new(0)));
    let (noted, held) = (done.clone(), release.clone());
    let process =
        processor(&server).concurrency(2).handler_timeout(20 * MILLI).each_message(move |message| {
            let (done, held) = (noted.clone(), held.clone());
            async move {
                // It ends in any case: a runtime waits for what does not yield.
                let begun = Instant::now();
                while message.partition() == 0
                    && held.load(Ordering::Relaxed) == 0
                    && begun.elapsed() < PATIENCE
                {
                    std::thread::sleep(MILLI);
                }
                done.note(&message);
                Ok::<_, HandlerError>(())
            }
        });
    let running = Running::new(process);
    until("all others are handled", || done.len() == 50 && committed(&server, 1) == Some(50)).await;
    assert_eq!(committed(&server, 0), None);
    release.store(1, Ordering::Relaxed);
    until("it is done", || committed(&server, 0) == Some(1)).await;
    running.stop().await;
}

#[tokio::test]
async fn a_handler_that_hangs_is_dropped_in_time_while_a_stop_waits_for_a_commit() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    produce(&server, 0, 1..2).await;
    let slow = Fault::Delay(Duration::from_secs(3));
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetCommit).times(1).then(slow));
    let (hangs, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, noted) = (hangs.clone(), dropped.clone());
    let process = processor(&server)
        .order(Order::Unordered)
        .retries(RetryPolicy::none())
        .on_hopeless(OnHopeless::Skip)
        .handler_timeout(500 * MILLI)
        .each_message(move |message| {
            let (counted, noted) = (counted.clone(), noted.clone());
            async move {
                if message.offset() == 1 {
                    let _dropped = Dropped(noted);
                    counted.fetch_add(1, Ordering::Relaxed);
                    pending::<()>().await;
                }
                Ok::<_, HandlerError>(())
            }
        });
    let running = Running::new(process);
    let is_committing = || server.with_cluster(|cluster| cluster.faults().is_empty());
    until("it hangs while a commit is under way", || hangs.load(Ordering::Relaxed) == 1 && is_committing())
        .await;
    let begun = Instant::now();
    let stopping = tokio::spawn(running.stop());
    until("it is dropped", || dropped.load(Ordering::Relaxed) == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    stopping.await.unwrap();
}
