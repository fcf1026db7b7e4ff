//! A processor of transactions, against the embedded broker.

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ottla::{
    Consumer, HandlerError, IsolationLevel, OffsetReset, Order, Processor, Producer, ProducerBuilder,
    ProducerRecord, RetryPolicy, SendError,
    dead_letters::DeadLetters,
    error::{BuildErrorKind, FatalErrorKind, ProcessErrorKind},
    processor::{EachMessage, Message, Outputs, RecentIds},
};
use ottla_broker::{Config, Fault, Server, TopicSpec};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    common::{PATIENCE, produce},
    processing::{Done, MILLI, Running, committed, consumer, processor, until},
};

fn server(partitions: u32) -> Server {
    let topics = vec![TopicSpec::new("t", partitions), TopicSpec::new("out", 1)];
    Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

fn producer(server: &Server, id: &str) -> ProducerBuilder {
    Producer::builder().bootstrap_servers([server.bootstrap()]).transactional_id(id)
}

/// Copies what it is given.
fn copy(message: &Message, out: &Outputs) -> Result<(), SendError> {
    out.push(ProducerRecord::to("out").value(message.value()))
}

fn copies(processor: Processor, producer: ProducerBuilder) -> EachMessage {
    processor.transactional(producer).each_message(|message, out| ready(copy(&message, &out)))
}

/// How often each value is in a topic, for a reader of what is committed, and of whatever is there.
async fn values(server: &Server, topic: &str, level: IsolationLevel) -> BTreeMap<String, usize> {
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).isolation_level(level);
    let mut consumer = builder.build().await.unwrap();
    consumer.assign([(topic, 0)]).unwrap();
    let mut values = BTreeMap::new();
    let reading = async {
        while consumer.lag().get(&(topic, 0).into()) != Some(&Some(0)) {
            for record in &consumer.poll(50 * MILLI).await.unwrap() {
                let value = String::from_utf8(record.value().unwrap_or_default().to_vec()).unwrap();
                *values.entry(value).or_default() += 1;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reading).await.is_ok(), "the end of {topic}");
    consumer.close().await.unwrap();
    values
}

async fn read(server: &Server, topic: &str) -> BTreeMap<String, usize> {
    values(server, topic, IsolationLevel::ReadCommitted).await
}

fn each_once(values: impl IntoIterator<Item = u32>) -> BTreeMap<String, usize> {
    values.into_iter().map(|value| (value.to_string(), 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_handlers_write_is_committed_with_how_far_was_read() {
    for order in [Order::Partition, Order::Key, Order::Unordered] {
        let server = server(2);
        produce(&server, 0, 0..100).await;
        produce(&server, 1, 100..200).await;
        let process = copies(processor(&server).order(order), producer(&server, "a"));
        let running = Running::new(process);
        until("all is committed", || (0..2).all(|part| committed(&server, part) == Some(100))).await;
        assert_eq!(read(&server, "out").await, each_once(0..200), "{order:?}");
        running.stop().await;
        assert_eq!(read(&server, "out").await, each_once(0..200), "{order:?}");
    }
}

#[tokio::test]
async fn what_an_attempt_wrote_that_failed_is_not_there() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let process = processor(&server).transactional(producer(&server, "a")).each_message(|message, out| {
        let written = copy(&message, &out);
        let fails = message.offset() % 3 == 0 && message.attempt() < 3;
        ready(if fails { Err("not yet".into()) } else { written.map_err(HandlerError::from) })
    });
    let running = Running::new(process);
    until("all is committed", || committed(&server, 0) == Some(10)).await;
    running.stop().await;
    assert_eq!(values(&server, "out", IsolationLevel::ReadUncommitted).await, each_once(0..10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_aborted_is_made_anew_without_a_call_of_a_handler() {
    for (api, error, times) in [
        (ApiKey::TxnOffsetCommit, ErrorCode::UnknownMemberId, 2),
        (ApiKey::TxnOffsetCommit, ErrorCode::IllegalGeneration, 2),
        (ApiKey::EndTxn, ErrorCode::TransactionAbortable, 1),
    ] {
        let server = server(1);
        produce(&server, 0, 0..50).await;
        server.with_cluster(|cluster| cluster.faults().on(api).times(times).then(Fault::Error(error)));
        let done = Done::default();
        let noted = done.clone();
        let process =
            processor(&server).transactional(producer(&server, "a")).each_message(move |message, out| {
                noted.note(&message);
                ready(copy(&message, &out))
            });
        let running = Running::new(process);
        until("all is committed", || committed(&server, 0) == Some(50)).await;
        running.stop().await;
        assert_eq!(read(&server, "out").await, each_once(0..50), "{api:?} {error:?}");
        assert_eq!(done.len(), 50, "{api:?} {error:?}");
        assert_eq!(
            server.with_cluster(|cluster| cluster.faults().happened()),
            u64::from(times),
            "{api:?} {error:?}"
        );
    }
}

#[tokio::test]
async fn a_dead_letter_is_in_the_transaction_that_commits_its_record() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let refused = Fault::Error(ErrorCode::UnknownMemberId);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::TxnOffsetCommit).always().then(refused));
    let process = processor(&server)
        .retries(RetryPolicy::none())
        .dead_letters(DeadLetters::to("dead"))
        .transactional(producer(&server, "a"))
        .each_message(|message, out| {
            let written = copy(&message, &out).map_err(HandlerError::from);
            ready(if message.offset() == 4 { Err("no luck".into()) } else { written })
        });
    let running = Running::new(process);
    let aborted = || server.with_cluster(|cluster| cluster.faults().happened()) >= 2;
    until("transactions are aborted", aborted).await;
    assert_eq!(read(&server, "dead").await, each_once([]));
    server.with_cluster(|cluster| cluster.faults().clear());
    until("all is committed", || committed(&server, 0) == Some(10)).await;
    running.stop().await;
    assert_eq!(read(&server, "dead").await, each_once([4]));
    assert_eq!(read(&server, "out").await, each_once((0..10).filter(|value| *value != 4)));
    assert!(values(&server, "dead", IsolationLevel::ReadUncommitted).await["4"] > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_for_records_of_a_topic_that_is_gone_is_committed_without_its_offset() {
    let topics = ["t", "u", "out"].map(|name| TopicSpec::new(name, 1)).into();
    let server =
        Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap();
    produce(&server, 0, 0..5).await;
    let other = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    other.send(ProducerRecord::to("u").value("100")).await.unwrap().await.unwrap();
    other.close().await.unwrap();
    let done = Done::default();
    let noted = done.clone();
    let process = Processor::new(consumer(&server).subscribe(["t", "u"]))
        .commit_interval(3000 * MILLI)
        .transactional(producer(&server, "a"))
        .each_message(move |message, out| {
            noted.note(&message);
            ready(copy(&message, &out))
        });
    let running = Running::new(process);
    until("all are handled", || done.len() == 6).await;
    let offsets = || server.with_cluster(|cluster| cluster.committed("g"));
    assert!(offsets().is_empty(), "nothing is committed before it is gone");
    assert!(server.with_cluster(|cluster| cluster.delete_topic("t")));
    let of_other = ("u".to_owned(), 0);
    until("the rest is committed", || offsets().get(&of_other) == Some(&1)).await;
    assert_eq!(offsets().keys().collect::<Vec<_>>(), [&of_other]);
    assert_eq!(read(&server, "out").await, each_once((0..5).chain([100])));
    running.stop().await;
    assert_eq!((read(&server, "out").await, done.len()), (each_once((0..5).chain([100])), 6));
}

#[tokio::test]
async fn a_record_goes_through_a_retry_topic_once() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let process = processor(&server)
        .retries(RetryPolicy::none())
        .retry_topics([20 * MILLI])
        .transactional(producer(&server, "a"))
        .each_message(|message, out| {
            let written = copy(&message, &out).map_err(HandlerError::from);
            ready(if message.topic() == "t" { Err("not yet".into()) } else { written })
        });
    let running = Running::new(process);
    let retried =
        || server.with_cluster(|cluster| cluster.committed("g").get(&("t-retry-20".to_owned(), 0)).copied());
    // Markers of transactions have offsets, too.
    until("all are retried", || retried().is_some_and(|offset| offset >= 3)).await;
    running.stop().await;
    assert_eq!(read(&server, "out").await, each_once(0..3));
    assert_eq!(committed(&server, 0), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_commits_what_is_written_and_a_drop_leaves_it_to_the_next() {
    let server = server(1);
    produce(&server, 0, 0..20).await;
    let process = |id| copies(processor(&server).commit_interval(PATIENCE), producer(&server, id));
    let done = Arc::new(AtomicUsize::new(0));
    let counted = done.clone();
    let dropped = processor(&server).commit_interval(PATIENCE).transactional(producer(&server, "a"));
    let dropped = dropped.each_message(move |message, out| {
        counted.fetch_add(1, Ordering::Relaxed);
        ready(copy(&message, &out))
    });
    let running = tokio::spawn(dropped.run());
    until("all are handled", || done.load(Ordering::Relaxed) == 20).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!((read(&server, "out").await, committed(&server, 0)), (each_once([]), None));
    let running = Running::new(process("a"));
    produce(&server, 0, 20..30).await;
    tokio::time::sleep(100 * MILLI).await;
    running.stop().await;
    let count = committed(&server, 0).unwrap_or_default();
    assert_eq!(read(&server, "out").await, each_once(0..count as u32));
    let running = Running::new(copies(processor(&server), producer(&server, "a")));
    until("all is committed", || committed(&server, 0) == Some(30)).await;
    running.stop().await;
    assert_eq!(read(&server, "out").await, each_once(0..30));
}

/// As of a transaction that a process has left open: its offsets are told when it is over, which may take longer than a call waits.
#[tokio::test]
async fn what_was_made_beyond_a_gap_is_not_made_again_where_offsets_are_told_late() {
    let server = server(1);
    produce(&server, 0, 0..2).await;
    let stuck = processor(&server).order(Order::Unordered).concurrency(2);
    let stuck = stuck.transactional(producer(&server, "a")).each_message(async |message, out| {
        if message.offset() == 0 {
            std::future::pending::<()>().await;
        }
        copy(&message, &out)
    });
    let running = tokio::spawn(stuck.run());
    until("the second is committed beside the first", || committed(&server, 0) == Some(0)).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let late = Fault::Error(ErrorCode::UnstableOffsetCommit);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetFetch).times(5).then(late));
    let hasty = consumer(&server).default_api_timeout(300 * MILLI);
    let running = Running::new(copies(Processor::new(hasty), producer(&server, "a")));
    until("all is committed", || committed(&server, 0) == Some(2)).await;
    running.stop().await;
    assert_eq!(read(&server, "out").await, each_once(0..2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_each_output_is_there_once() {
    let server = server(4);
    for partition in 0..4 {
        let first = 1000 * partition as u32;
        produce(&server, partition, first..first + 300).await;
    }
    let slowly = |id: &str| {
        let processor = processor(&server).order(Order::Unordered).concurrency(8);
        Running::new(processor.transactional(producer(&server, id)).each_message(async |message, out| {
            tokio::time::sleep(MILLI).await;
            copy(&message, &out)
        }))
    };
    let first = slowly("a");
    until("some is committed", || (0..4).any(|part| committed(&server, part) > Some(0))).await;
    let second = slowly("b");
    tokio::time::sleep(200 * MILLI).await;
    first.stop().await;
    let third = slowly("c");
    until("all is committed", || (0..4).all(|part| committed(&server, part) == Some(300))).await;
    second.stop().await;
    third.stop().await;
    let all = (0..4).flat_map(|partition| 1000 * partition..1000 * partition + 300);
    assert_eq!(read(&server, "out").await, each_once(all));
}

#[tokio::test]
async fn a_newer_producer_with_its_id_ends_it_and_nothing_is_there_twice() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let first = Running::new(copies(processor(&server), producer(&server, "a")));
    until("all is committed", || committed(&server, 0) == Some(10)).await;
    let newer = producer(&server, "a").build_transactional().await.unwrap();
    produce(&server, 0, 10..20).await;
    let error = first.error().await;
    assert_eq!(error.kind(), ProcessErrorKind::Transaction, "{error:#}");
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    assert!(
        matches!(source, Some(ottla::TransactionError::Fatal(fatal)) if fatal.kind() == FatalErrorKind::Fenced),
        "{error:#}"
    );
    newer.close().await.unwrap();
    assert_eq!(committed(&server, 0), Some(10));
    let running = Running::new(copies(processor(&server), producer(&server, "a")));
    until("all is committed", || committed(&server, 0) == Some(20)).await;
    running.stop().await;
    assert_eq!(read(&server, "out").await, each_once(0..20));
}

#[tokio::test]
async fn what_a_batch_has_written_belongs_to_the_records_that_it_resolves_next() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let process = processor(&server).transactional(producer(&server, "a")).each_batch(async |batch, out| {
        for record in &batch {
            out.push(ProducerRecord::to("out").value(record.value()))?;
            if record.offset() == 6 && batch.attempt() < 3 {
                return Err(HandlerError::retriable("not yet"));
            }
            // The others wait for the next that is resolved.
            if record.offset() % 2 == 1 {
                batch.resolve_offset(record.offset());
            }
        }
        Ok(())
    });
    let running = Running::of(|stopped| process.run_until(stopped));
    until("all is committed", || committed(&server, 0) == Some(10)).await;
    running.stop().await;
    assert_eq!(values(&server, "out", IsolationLevel::ReadUncommitted).await, each_once(0..10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_that_is_written_is_committed_before_it_is_due() {
    let server = server(1);
    produce(&server, 0, 0..100).await;
    let process = processor(&server).commit_interval(Duration::from_secs(3600)).in_flight(1000, 4000);
    let process = process.transactional(producer(&server, "a"));
    let done = Done::default();
    let noted = done.clone();
    let running = Running::new(process.each_message_blocking(move |message, out| {
        noted.note(&message);
        out.push(ProducerRecord::to("out").value(message.value()).header("filler", vec![0; 500]))
    }));
    until("most is committed", || done.len() == 100 && committed(&server, 0) > Some(80)).await;
    running.stop().await;
    let count = committed(&server, 0).unwrap();
    assert_eq!(read(&server, "out").await, each_once(0..count as u32));
}

#[tokio::test]
async fn an_output_that_is_too_large_fails_its_record_and_one_that_is_refused_ends_it() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let process = processor(&server)
        .retries(RetryPolicy::none())
        .dead_letters(DeadLetters::to("dead"))
        .transactional(producer(&server, "a").max_request_size(2000).unknown_topic_grace(10 * MILLI))
        .each_message(|message, out| {
            let (topic, size) = match message.offset() {
                0 => ("out", 5000),
                1 => ("out", 1),
                _ => ("nowhere", 1),
            };
            ready(out.push(ProducerRecord::to(topic).value(vec![b'x'; size])))
        });
    let error = Running::new(process).error().await;
    assert_eq!(error.kind(), ProcessErrorKind::Transaction, "{error:#}");
    assert_eq!(error.context().topic.as_deref(), Some("nowhere"), "{error:#}");
    // It is in one transaction with the others, unless they were committed before.
    let (out, dead) = (read(&server, "out").await, read(&server, "dead").await);
    match committed(&server, 0) {
        Some(2) => assert_eq!((out.len(), dead.len()), (1, 1)),
        committed => assert_eq!((out.len() + dead.len()) as i64, committed.unwrap_or(0)),
    }
}

#[tokio::test]
async fn what_is_known_of_records_is_in_no_transaction_and_is_refused() {
    let server = server(1);
    let process = processor(&server).deduplicate(|_| None, RecentIds::new(1));
    let error = Running::new(copies(process, producer(&server, "a"))).error().await;
    let source =
        std::error::Error::source(&error).and_then(|source| source.downcast_ref::<ottla::BuildError>());
    assert_eq!(source.map(ottla::BuildError::kind), Some(BuildErrorKind::InvalidValue), "{error:#}");
}
