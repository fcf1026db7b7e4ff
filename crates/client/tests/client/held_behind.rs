//! What keeps who reads retry topics with held records from it, and whom it does not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ottla::{HandlerError, Order, Processor, Producer, ProducerRecord, RetryOrder, RetryPolicy};
use ottla_broker::{Config, Fault, Server, TopicSpec};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    giving_up::{committed_of, end_of},
    processing::{MILLI, Running, consumer, produce_keys, until},
};

fn server(topics: impl IntoIterator<Item = (&'static str, u32)>) -> Server {
    let topics = topics.into_iter().map(|(name, partitions)| TopicSpec::new(name, partitions)).collect();
    Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

fn held(server: &Server) -> Processor {
    Processor::new(consumer(server).metadata_max_age(200 * MILLI))
        .commit_interval(20 * MILLI)
        .order(Order::Key)
        .retries(RetryPolicy::none())
        .retry_topics([50 * MILLI])
        .retry_order(RetryOrder::Held)
}

/// The topics, partitions and offsets of those that are handled, in their order.
type Handled = Arc<Mutex<Vec<(String, i32, i64)>>>;

/// In its topic each record fails, and in its retry topic none.
fn running(processor: Processor) -> (Running, Handled) {
    let handled = Handled::default();
    let noted = handled.clone();
    let process = processor.each_message(move |message| {
        let at = (message.topic().to_owned(), message.partition(), message.offset());
        let fails = message.topic() == "t";
        noted.lock().unwrap().push(at);
        async move { if fails { Err(HandlerError::from("not yet")) } else { Ok(()) } }
    });
    (Running::new(process), handled)
}

async fn produce(server: &Server, topic: &str, partition: i32, count: usize) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    for _ in 0..count {
        // Each is a batch.
        let record = ProducerRecord::to(topic).partition(partition).key("a").value("");
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_without_one_behind_it_waits_and_those_of_others_are_read() {
    let server = server([("t", 1), ("t-retry-50", 1)]);
    let (running, handled) = running(held(&server));
    let is_handled = |topic: &str, partition: i32| {
        let handled = handled.lock().unwrap();
        handled.iter().any(|(at, number, _)| (at.as_str(), *number) == (topic, partition))
    };
    produce(&server, "t", 0, 1).await;
    until("it is retried", || is_handled("t-retry-50", 0)).await;
    server.with_cluster(|cluster| cluster.create_partitions("t", 2)).unwrap();
    produce(&server, "t", 1, 1).await;
    // Long enough for the new one to be assigned.
    tokio::time::sleep(Duration::from_secs(2)).await;
    produce(&server, "t", 0, 1).await;
    until("others are retried", || committed_of(&server, "t-retry-50") == 2).await;
    assert!(!is_handled("t", 1), "nothing of it begins as long as nothing can follow it");
    server.with_cluster(|cluster| cluster.create_partitions("t-retry-50", 2)).unwrap();
    until("it goes on", || is_handled("t-retry-50", 1)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unclean_election_cuts_off_before_it_was_read_is_not_waited_for() {
    let server = server([("t", 1), ("t-retry-50", 1)]);
    produce(&server, "t-retry-50", 0, 3).await;
    let refused = Fault::Error(ErrorCode::NotLeaderOrFollower);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Fetch).always().then(refused));
    let (running, handled) = running(held(&server));
    // Long enough for it to have asked where the partition ends.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(handled.lock().unwrap().len(), 0);
    let now = server.now();
    server.with_cluster(|cluster| {
        assert_eq!(cluster.elect_unclean("t-retry-50", 0, 1, 1, now), Some(1));
        cluster.faults().clear();
    });
    produce_keys(&server, ["b".to_owned()]).await;
    until("all are done", || committed_of(&server, "t") == 1 && committed_of(&server, "t-retry-50") == 2)
        .await;
    running.stop().await;
    let retry = |offset| ("t-retry-50".to_owned(), 0, offset);
    let mut handled = handled.lock().unwrap().clone();
    handled.sort_unstable();
    assert_eq!(handled, [("t".to_owned(), 0, 0), retry(0), retry(1)]);
    assert_eq!(end_of(&server, "t-dlt"), 0);
}
