//! What becomes of records that a processor gives up: retry topics and dead letters, against the embedded broker.

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ottla::{
    Consumer, DetachedRecord, HandlerError, OffsetReset, Order, ProcessError, Processor, Producer,
    ProducerRecord, RetryPolicy,
    dead_letters::{DeadLetters, Profile, read},
    error::{BuildErrorKind, ProcessErrorKind},
    processor::Message,
};
use ottla_broker::{Config, Fault, Server, TopicSpec};
use ottla_protocol::{ApiKey, ErrorCode, records::Header};

use crate::{
    common::{PATIENCE, produce, server},
    processing::{Done, MILLI, Running, committed, consumer, processor, produce_keys, until},
};

/// The records of a topic, once there are so many.
async fn records_of(server: &Server, topic: &str, count: usize) -> Vec<DetachedRecord> {
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let mut consumer = builder.auto_offset_reset(OffsetReset::Earliest).build().await.unwrap();
    let partitions = server.with_cluster(|cluster| {
        cluster.topics().find(|(name, _)| *name == topic).map_or(0, |(_, partitions)| partitions)
    });
    consumer.assign((0..partitions as i32).map(|partition| (topic, partition))).unwrap();
    let mut records = Vec::new();
    let reading = async {
        while records.len() < count {
            records.push(consumer.recv().await.unwrap().unwrap().detach());
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reading).await.is_ok(), "{count} records in {topic}");
    consumer.close().await.unwrap();
    records
}

fn own<'a>(record: &'a DetachedRecord) -> impl Iterator<Item = Header<'a>> {
    record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() })
}

pub(crate) fn committed_of(server: &Server, topic: &str) -> i64 {
    let committed = server.with_cluster(|cluster| cluster.committed("g"));
    committed.iter().filter(|((name, _), _)| name == topic).map(|(_, offset)| offset).sum()
}

pub(crate) fn end_of(server: &Server, topic: &str) -> i64 {
    server.with_cluster(|cluster| {
        let partitions =
            cluster.topics().find(|(name, _)| *name == topic).map_or(0, |(_, count)| count as i32);
        (0..partitions).filter_map(|partition| cluster.log_end_offset(topic, partition)).sum()
    })
}

/// Fails with these offsets of the topic itself, wherever they are read.
fn failing(message: &Message, offsets: &[&str]) -> Result<(), HandlerError> {
    let value = std::str::from_utf8(message.value().unwrap_or_default())?;
    if offsets.contains(&value) { Err("the printer is broken".into()) } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_among_the_dead_letters_with_its_own_bytes_and_the_reason_and_counts_as_done() {
    let server = server(2);
    produce(&server, 1, 0..10).await;
    let retries = RetryPolicy::exponential(MILLI..=MILLI).attempts(3);
    let process = processor(&server)
        .retries(retries)
        .dead_letters(DeadLetters::new())
        .each_message(|message| ready(failing(&message, &["4", "7"])));
    let running = Running::new(process);
    until("all are done", || committed(&server, 1) == Some(10)).await;
    running.stop().await;
    let letters = records_of(&server, "t-dlt", 2).await;
    assert_eq!(end_of(&server, "t-dlt"), 2);
    for (letter, offset) in letters.iter().zip([4, 7]) {
        assert_eq!(letter.topic_partition, ("t-dlt", 1).into());
        assert_eq!(letter.value, Some(offset.to_string().into_bytes()));
        let origin = read(own(letter)).unwrap();
        assert_eq!((origin.topic, origin.partition, origin.offset), (Ok("t"), Ok(1), Ok(offset)));
        assert_eq!((origin.group, origin.attempts), (Ok("g"), Ok(3)));
        assert_eq!(origin.message.as_deref(), Ok("the printer is broken"));
    }
}

#[tokio::test]
async fn a_dead_letter_that_is_refused_is_handled_again_and_never_skipped() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let refused = Fault::Error(ErrorCode::TopicAuthorizationFailed);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).times(2).then(refused));
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = handled.clone();
    let process = processor(&server)
        .retries(RetryPolicy::none())
        .dead_letters(DeadLetters::to("parked").profile(Profile::Spring))
        .each_message(move |message| {
            if message.offset() == 1 {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            ready(failing(&message, &["1"]))
        });
    let running = Running::new(process);
    until("it is tried anew", || handled.load(Ordering::Relaxed) == 2).await;
    assert_eq!(committed(&server, 0).unwrap_or(1), 1);
    until("all are done", || committed(&server, 0) == Some(3)).await;
    running.stop().await;
    let letters = records_of(&server, "parked", 1).await;
    let origin = read(own(&letters[0])).unwrap();
    assert_eq!((origin.profile, origin.offset, origin.attempts), (Profile::Spring, Ok(1), Ok(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_goes_from_retry_topic_to_retry_topic_waits_in_each_and_dies_after_the_last() {
    for profile in [Profile::Kip1191, Profile::Spring, Profile::SpringRetry] {
        let server = server(2);
        produce(&server, 1, 0..5).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let process = processor(&server)
            .retries(RetryPolicy::exponential(MILLI..=MILLI).attempts(2))
            .retry_topics([200 * MILLI, 300 * MILLI])
            .dead_letters(DeadLetters::new().profile(profile))
            .each_message(move |message| {
                let failed = failing(&message, &["3"]);
                if failed.is_err() {
                    noted.lock().unwrap().push((
                        message.topic().to_owned(),
                        message.attempt(),
                        Instant::now(),
                    ));
                }
                ready(failed)
            });
        let running = Running::new(process);
        until("all are done", || committed(&server, 1) == Some(5) && end_of(&server, "t-dlt") == 1).await;
        running.stop().await;
        let seen = seen.lock().unwrap().clone();
        let places: Vec<_> = seen.iter().map(|(topic, attempt, _)| (topic.as_str(), *attempt)).collect();
        let hops = ["t", "t-retry-200", "t-retry-300"];
        let each = hops.iter().flat_map(|topic| [(*topic, 1), (*topic, 2)]).collect::<Vec<_>>();
        assert_eq!(places, each, "{profile:?}");
        let wait = |from: usize, to: usize| seen[to].2 - seen[from].2;
        assert!(wait(1, 2) >= 200 * MILLI && wait(3, 4) >= 300 * MILLI, "{profile:?}: {seen:?}");
        let letters = records_of(&server, "t-dlt", 1).await;
        let origin = read(own(&letters[0])).unwrap();
        assert_eq!((origin.topic, origin.partition, origin.offset), (Ok("t"), Ok(1), Ok(3)), "{profile:?}");
        assert_eq!((origin.attempts, letters[0].topic_partition.partition), (Ok(6), 1), "{profile:?}");
        assert_eq!(committed_of(&server, "t-retry-200") + committed_of(&server, "t-retry-300"), 2);
    }
}

#[tokio::test]
async fn a_fatal_failure_goes_past_the_retry_topics_and_a_record_that_recovers_goes_no_further() {
    let server = server(1);
    produce(&server, 0, 0..2).await;
    let done = Done::default();
    let noted = done.clone();
    let process = processor(&server)
        .retries(RetryPolicy::none())
        .retry_topics([20 * MILLI, 30 * MILLI])
        .each_message(move |message| {
            let value = message.value().unwrap_or_default();
            ready(match (message.topic(), value) {
                (_, b"0") => Err(HandlerError::fatal("unreadable")),
                ("t", _) => Err("not yet".into()),
                _ => {
                    noted.note(&message);
                    Ok(())
                }
            })
        });
    let running = Running::new(process);
    until("both are done", || committed_of(&server, "t") == 2 && committed_of(&server, "t-retry-20") == 1)
        .await;
    running.stop().await;
    assert_eq!(
        (end_of(&server, "t-dlt"), end_of(&server, "t-retry-20"), end_of(&server, "t-retry-30")),
        (1, 1, 0)
    );
    assert_eq!(done.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_records_of_a_key_overtake_one_that_waits_in_a_retry_topic() {
    let server = server(1);
    produce_keys(&server, ["a", "a", "b"].map(str::to_owned)).await;
    let done = Done::default();
    let noted = done.clone();
    let process = processor(&server)
        .order(Order::Key)
        .retries(RetryPolicy::none())
        .retry_topics([300 * MILLI])
        .each_message(move |message| {
            let fails = message.topic() == "t" && message.offset() == 0;
            if !fails {
                noted.note(&message);
            }
            ready(if fails { Err("not yet") } else { Ok(()) })
        });
    let running = Running::new(process);
    until("all are done", || done.len() == 3).await;
    running.stop().await;
    let all = done.all();
    assert_eq!(all.last(), Some(&(0, 0)), "{all:?}");
    assert_eq!(all.iter().filter(|(_, offset)| *offset == 1).count(), 1);
}

#[tokio::test]
async fn records_that_wait_in_a_retry_topic_while_the_process_is_killed_are_handled_by_the_next() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let process = || processor(&server).retries(RetryPolicy::none()).retry_topics([500 * MILLI]);
    let running = tokio::spawn(process().each_message(|message| ready(failing(&message, &["1"]))).run());
    until("it waits", || end_of(&server, "t-retry-500") == 1 && committed(&server, 0) == Some(3)).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());

    let done = Done::default();
    let noted = done.clone();
    let running = Running::new(process().each_message(move |message| {
        noted.note(&message);
        ready(Ok::<_, HandlerError>(()))
    }));
    until("it is done", || committed_of(&server, "t-retry-500") == 1).await;
    running.stop().await;
    assert_eq!((done.all(), end_of(&server, "t-dlt")), (vec![(0, 0)], 0));
}

async fn error_of(processor: Processor) -> ProcessError {
    Running::new(processor.each_message(|_| ready(Ok::<_, HandlerError>(())))).error().await
}

#[tokio::test]
async fn a_retry_topic_that_cannot_be_made_ends_it_before_a_record_is_handled_and_is_named() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let refused = Fault::Error(ErrorCode::PolicyViolation);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::CreateTopics).always().then(refused));
    let error = error_of(processor(&server).retry_topics([1000 * MILLI])).await;
    assert_eq!(
        (error.kind(), error.context().topic.as_deref()),
        (ProcessErrorKind::Topic, Some("t-retry-1000"))
    );
    assert_eq!(committed(&server, 0), None);
    let text = format!("{error:#}");
    assert!(text.contains("create it, or have Describe and Create granted"), "{text}");
}

/// Another member makes it at the same time, and the broker that is asked next has not heard of it.
#[tokio::test]
async fn a_topic_that_another_has_just_made_is_waited_for_and_no_reason_to_stop() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let first = Fault::Error(ErrorCode::TopicAlreadyExists);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::CreateTopics).times(1).then(first));
    let process = processor(&server).dead_letters(DeadLetters::default());
    let running = Running::new(process.each_message(|_| ready(Err::<(), _>(HandlerError::fatal("never")))));
    until("it is given up", || committed(&server, 0) == Some(1)).await;
    running.stop().await;
    assert_eq!(end_of(&server, "t-dlt"), 1);
}

#[tokio::test]
async fn two_retry_topics_of_one_delay_and_those_of_a_pattern_are_refused() {
    let server = server(1);
    let twice = processor(&server).retry_topics([MILLI, MILLI]);
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("g");
    let pattern = Processor::new(builder.subscribe_pattern("t.*")).retry_topics([MILLI]);
    for processor in [twice, pattern] {
        let error = error_of(processor).await;
        let source =
            std::error::Error::source(&error).and_then(|source| source.downcast_ref::<ottla::BuildError>());
        assert_eq!(source.map(ottla::BuildError::kind), Some(BuildErrorKind::InvalidValue), "{error:#}");
    }
}

#[tokio::test]
async fn dead_letters_of_a_pattern_find_their_topics_as_they_come() {
    let server = server(3);
    produce(&server, 2, 0..2).await;
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("g");
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).subscribe_pattern("t");
    let process = Processor::new(builder)
        .retries(RetryPolicy::none())
        .commit_interval(20 * MILLI)
        .dead_letters(DeadLetters::new())
        .each_message(|message| ready(failing(&message, &["1"])));
    let running = Running::new(process);
    until("both are done", || committed(&server, 2) == Some(2)).await;
    running.stop().await;
    let topics: BTreeMap<String, usize> = server
        .with_cluster(|cluster| cluster.topics().map(|(name, count)| (name.to_owned(), count)).collect());
    assert_eq!(topics.get("t-dlt"), Some(&3));
}

#[tokio::test]
async fn a_stop_waits_until_a_dead_letter_is_written() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let slowly = Fault::Delay(Duration::from_millis(400));
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).times(1).then(slowly));
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = handled.clone();
    let process = Processor::new(consumer(&server))
        .retries(RetryPolicy::none())
        .dead_letters(DeadLetters::new())
        .each_message(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            ready(Err::<(), _>("no luck"))
        });
    let running = Running::new(process);
    until("it is handled", || handled.load(Ordering::Relaxed) == 1).await;
    running.stop().await;
    assert_eq!((end_of(&server, "t-dlt"), committed(&server, 0)), (1, Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_a_hundred_megabytes_is_handled_and_given_up_as_any_other() {
    let topics = vec![TopicSpec::new("t", 1)];
    let config = Config { topics, max_message_bytes: 128 << 20, ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]);
    let producer = builder.max_request_size(128 << 20).buffer_memory(256 << 20).build().await.unwrap();
    let value = vec![7; 100_000_000];
    for value in [&value[..], b"small"] {
        producer.send(ProducerRecord::to("t").value(value)).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
    let process = processor(&server).retries(RetryPolicy::none()).dead_letters(DeadLetters::new());
    let running = Running::new(process.each_message(|message| {
        ready(if message.value().is_some_and(|value| value.len() > 5) { Err("too much") } else { Ok(()) })
    }));
    until("both are done", || committed(&server, 0) == Some(2)).await;
    running.stop().await;
    let letters = records_of(&server, "t-dlt", 1).await;
    assert!(letters[0].value.as_ref() == Some(&value), "the bytes are the record's");
}

#[tokio::test]
async fn a_broker_whose_disk_is_full_for_a_while_costs_time_and_no_letter() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let full = Fault::Error(ErrorCode::KafkaStorageError);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).times(3).then(full));
    let process = processor(&server).retries(RetryPolicy::none()).dead_letters(DeadLetters::new());
    let running = Running::new(process.each_message(|message| ready(failing(&message, &["1"]))));
    until("all are done", || committed(&server, 0) == Some(3)).await;
    running.stop().await;
    assert_eq!(
        (end_of(&server, "t-dlt"), server.with_cluster(|cluster| cluster.faults().happened())),
        (1, 3)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_keeps_its_partition_though_its_topic_was_missing_when_the_dead_letters_were_made() {
    let config = Config { default_partitions: 8, ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let builder = consumer(&server).metadata_max_age(50 * MILLI);
    let process = Processor::new(builder)
        .commit_interval(20 * MILLI)
        .retries(RetryPolicy::none())
        .dead_letters(DeadLetters::new())
        .each_message(|_| ready(Err::<(), _>("no luck")));
    let running = Running::new(process);
    let made = || server.with_cluster(|cluster| cluster.topics().any(|(name, _)| name == "t-dlt"));
    until("the topic of dead letters is made", made).await;
    server.with_cluster(|cluster| cluster.create_topic(&TopicSpec::new("t", 8)).unwrap());
    for partition in 0..8 {
        produce(&server, partition, 0..1).await;
    }
    until("all are given up", || end_of(&server, "t-dlt") == 8).await;
    running.stop().await;
    let letters = records_of(&server, "t-dlt", 8).await;
    for letter in letters {
        assert_eq!(read(own(&letter)).unwrap().partition, Ok(letter.topic_partition.partition));
    }
}
