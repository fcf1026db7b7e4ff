//! What consumers and processors tell of themselves in numbers, and to probes.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ottla::{
    Consumer, ErrorCode, HandlerError, OffsetReset, Producer, ProducerRecord, RetryPolicy, StallReason,
    processor::{Message, ProcessorMonitor},
};
use ottla_broker::{Config, Server, TopicSpec};
use tokio::sync::Notify;

use crate::{
    common::{PATIENCE, produce, server},
    processing::{MILLI, Running, consumer, processor, until},
};

async fn reads(consumer: &mut Consumer, records: usize) {
    for _ in 0..records {
        tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_consumer_tells_what_it_has_done_and_what_is_left_without_asking_anybody() {
    let server = server(2);
    produce(&server, 0, 0..30).await;
    produce(&server, 1, 0..10).await;
    let mut consumer = consumer(&server).enable_auto_commit(false).build().await.unwrap();
    let monitor = consumer.monitor();
    reads(&mut consumer, 25).await;
    until("both were fetched", || monitor.stats().partitions.iter().all(|partition| partition.lag.is_some()))
        .await;
    let stats = tokio::task::spawn_blocking(move || monitor.stats()).await.unwrap();
    assert_eq!(stats.partitions.len(), 2);
    assert_eq!(stats.lag(), Some(40 - 24), "the last is in hand: {stats:?}");
    assert_eq!(stats.records.passed, 24, "{stats:?}");
    assert!((25..=40).contains(&stats.records.decoded) && stats.records.batches > 0, "{stats:?}");
    assert_eq!((stats.rebalances.done, stats.rebalances.lost), (1, 0));
    assert!(stats.connections.open > 0 && stats.fetches.answered > 0 && stats.fetches.bytes > 0, "{stats:?}");
    reads(&mut consumer, 15).await;
    consumer.commit().await.unwrap();
    let stats = consumer.stats();
    assert_eq!((stats.commits.done, stats.commits.failed), (2, 0));
    assert_eq!((stats.lag(), stats.lag_max(), stats.buffer.records), (Some(0), Some(0), 0));
    assert_eq!((stats.records.decoded, stats.records.passed), (40, 40));
    assert_eq!(stats.polls.limit, Some(Duration::from_secs(300)));
    assert_eq!(stats.fetches.bytes, consumer.fetched_bytes());
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn how_old_the_record_is_that_is_read_next_is_told_without_asking_anybody() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let server = server(2);
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let write = async |partition, time: SystemTime| {
        let record = ProducerRecord::to("t").partition(partition).timestamp(time).value(b"one");
        producer.send(record).await.unwrap().await.unwrap();
    };
    let began = SystemTime::now();
    for hours in [3, 2] {
        write(0, began - hours * HOUR).await;
    }
    let mut consumer = consumer(&server).enable_auto_commit(false).build().await.unwrap();
    let told =
        |consumer: &Consumer, partition| consumer.time_lag().get(&("t", partition).into()).copied().flatten();
    assert_eq!(told(&consumer, 0), None, "nothing is assigned");
    reads(&mut consumer, 1).await;
    until("both were asked for", || told(&consumer, 1).is_some()).await;
    let next = told(&consumer, 0).unwrap();
    // Both are told to the millisecond.
    let most = 2 * HOUR + began.elapsed().unwrap() + MILLI;
    assert!((2 * HOUR - MILLI..=most).contains(&next), "{next:?}");
    assert_eq!(told(&consumer, 1), Some(Duration::ZERO), "there is nothing");
    let stats = consumer.stats();
    assert!(
        (3 * HOUR..3 * HOUR + PATIENCE).contains(&stats.time_lag_max().unwrap()),
        "one is in hand: {stats:?}"
    );
    reads(&mut consumer, 1).await;
    // Caught up; what is written from now on is as old as the log has been longer, whatever it says itself.
    write(1, began - 400 * 24 * HOUR).await;
    let written = Instant::now();
    until("it was fetched", || consumer.lag()[&("t", 1).into()] == Some(1)).await;
    tokio::time::sleep(50 * MILLI).await;
    let (at_least, told) = (50 * MILLI, told(&consumer, 1).unwrap());
    assert!((at_least..written.elapsed() + PATIENCE).contains(&told), "{told:?}");
    reads(&mut consumer, 1).await;
    assert_eq!(consumer.time_lag().into_values().flatten().max(), Some(Duration::ZERO));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_of_ones_own_counts_and_what_a_poll_returned_is_passed_with_the_next() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let consumer = consumer(&server).build().await.unwrap();
    let mut reader = consumer.reader();
    let mut seen = 0;
    while seen < 10 {
        seen += reader.poll(PATIENCE).await.unwrap().len();
    }
    let before = consumer.stats();
    assert_eq!(before.records.decoded, 10);
    assert!(before.records.passed < 10, "the last are in hand: {before:?}");
    reader.close();
    assert_eq!(consumer.stats().records.passed, 10);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_probe_is_told_who_is_ready_and_who_is_closed() {
    let server = server(1);
    let mut consumer = consumer(&server).build().await.unwrap();
    let monitor = consumer.monitor();
    assert!(monitor.health().is_live());
    let waiting = async {
        until("it is a member", || monitor.health().is_ready()).await;
        assert_eq!(monitor.health().to_string(), "progressing");
    };
    tokio::select! {
        received = consumer.recv() => panic!("{received:?}"),
        () = waiting => {}
    }
    assert!(monitor.explain().group.is_some());
    consumer.close().await.unwrap();
    until("it is not alive", || !monitor.health().is_live()).await;
    assert!(!monitor.health().is_ready());
}

#[tokio::test]
async fn a_position_that_is_stuck_is_no_reason_for_a_restart() {
    let server = server(1);
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let mut consumer = builder.auto_offset_reset(OffsetReset::None).build().await.unwrap();
    assert!(!consumer.health().is_ready(), "it reads nothing");
    consumer.assign([("t", 0)]).unwrap();
    consumer.seek(("t", 0), 1_000).unwrap();
    until("it is out of range", || !consumer.health().stalled.is_empty()).await;
    let health = consumer.health();
    assert!(matches!(&health.stalled[0].why, StallReason::Partition(at, _) if at.partition == 0), "{health}");
    assert!(health.is_live() && health.member && !health.is_ready());
    consumer.close().await.unwrap();
}

/// A processor whose handler fails with one record for good, and holds another until it is told.
fn failing(server: &Server, let_go: Arc<Notify>) -> (Running, ProcessorMonitor) {
    let retries = RetryPolicy::exponential(MILLI..=MILLI).attempts(2);
    let mut processor = processor(server)
        .retries(retries)
        .retry_topics([10 * MILLI])
        .dead_letters(ottla::dead_letters::DeadLetters::new())
        .stalled_after(50 * MILLI);
    let monitor = processor.monitor();
    assert_eq!(monitor.stats(), None);
    assert!(monitor.health().is_live() && !monitor.health().is_ready());
    let process = processor.each_message(move |message: Message| {
        let let_go = let_go.clone();
        async move {
            match message.value() {
                Some(b"3") => Err(HandlerError::from("no luck")),
                Some(b"9") => {
                    let_go.notified().await;
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    });
    (Running::new(process), monitor)
}

#[tokio::test]
async fn a_processor_tells_how_its_handlers_do_and_a_probe_when_they_stall() {
    let server = server(1);
    let let_go = Arc::new(Notify::new());
    let (running, monitor) = failing(&server, let_go.clone());
    produce(&server, 0, 0..10).await;
    let stats = || monitor.stats().unwrap_or_default();
    until("one is a dead letter", || stats().dead_letters == 1).await;
    until("the last is with its handler", || stats().handlers.running == 1 && stats().in_hand == 1).await;
    until("it stalls", || !monitor.health().stalled.is_empty()).await;
    let health = monitor.health();
    assert!(
        matches!(&health.stalled[0].why, StallReason::Handlers { offset: 9, attempts: 1, in_hand: 1, .. }),
        "{health}"
    );
    assert!(health.is_live() && health.member && !health.is_ready(), "{health}");
    let before = stats();
    // Two attempts where it was, and two in the retry topic.
    assert_eq!((before.handlers.done, before.handlers.failed), (8, 4), "{before:?}");
    assert_eq!((before.retries, before.hopeless, before.to_retry_topics), (2, 2, 1), "{before:?}");
    assert_eq!((before.followed, before.too_old, before.handlers.cancelled), (0, 0, 0));
    assert!(before.handlers.longest <= before.handlers.time);
    let_go.notify_one();
    until("it is well again", || monitor.health().is_ready()).await;
    let after = stats();
    assert_eq!(after.handlers.done, 9);
    assert!(after.handlers.longest >= 50 * MILLI, "{after:?}");
    assert!(after.consumer.records.decoded >= 10 && after.consumer.commits.done > 0, "{after:?}");
    running.stop().await;
    assert_eq!((monitor.stats(), monitor.explain()), (None, None));
    assert!(!monitor.health().is_live());
}

#[tokio::test]
async fn a_processor_that_is_dropped_is_not_alive() {
    let server = server(1);
    let mut processor = processor(&server);
    let monitor = processor.monitor();
    let process = processor.each_message(|_| pending::<Result<(), HandlerError>>());
    assert!(monitor.health().is_live());
    drop(process);
    assert!(!monitor.health().is_live());
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told_to_who_asks_what_is_in_the_way() {
    let config = Config { topics: vec![TopicSpec::new("other", 1)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let consumer = consumer(&server).build().await.unwrap();
    until("it is known to be missing", || !consumer.explain().missing_topics.is_empty()).await;
    assert_eq!(consumer.explain().missing_topics, [("t".to_owned(), ErrorCode::UnknownTopicOrPartition)]);
    assert!(consumer.health().is_live());
    consumer.close().await.unwrap();
}
