//! What a record costs in memory beside its bytes. Allocations are counted on the thread that sends.

use std::time::Duration;

use ottla::producer::{Producer, ProducerRecord};
use ottla_broker::{Config, Server, TopicSpec};

#[test]
fn a_record_whose_delivery_nobody_waits_for_costs_no_allocation() {
    let topics = vec![TopicSpec::new("t", 3)];
    let server =
        Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).batch_size(1 << 20);
    let producer = runtime.block_on(builder.linger(Duration::from_secs(60)).build()).unwrap();
    // The topic is known, and each partition has a batch, from here on.
    for partition in 0..3 {
        let record = ProducerRecord::to("t").partition(partition).value("first");
        drop(runtime.block_on(producer.send(record)).unwrap());
    }
    let keys: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let waiting = allocation_counter::measure(|| {
        runtime.block_on(async {
            for key in &keys {
                drop(producer.send(ProducerRecord::to("t").key(key).value("0123456789")).await.unwrap());
            }
        });
    });
    let at_once = allocation_counter::measure(|| {
        for key in &keys {
            drop(producer.try_send(ProducerRecord::to("t").key(key).value("0123456789")).unwrap());
        }
    });
    // Batches grow: that is all.
    assert!(waiting.count_total < 100 && at_once.count_total < 100, "{waiting:?} {at_once:?}");
    runtime.block_on(producer.close()).unwrap();
}

#[test]
fn a_batch_costs_a_few_allocations_and_its_records_none_awaited_or_not() {
    const RECORDS: usize = 20_000;
    /// How many records of ten bytes there are at least in a batch of 16 KiB.
    const BATCH: usize = 700;
    /// What a batch is made of: its bytes, its outcome, its place among others.
    const MOST: u64 = 16;
    let topics = vec![TopicSpec::new("t", 1)];
    let server =
        Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Batches are full however slow the machine is.
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).linger(Duration::from_secs(60));
    let producer = runtime.block_on(builder.batch_size(16 << 10).build()).unwrap();
    let record = || ProducerRecord::to("t").value("0123456789");
    runtime.block_on(async {
        drop(producer.send(record()).await.unwrap());
        producer.flush().await.unwrap();
    });
    let dropped = allocation_counter::measure(|| {
        for _ in 0..RECORDS {
            drop(producer.try_send(record()).unwrap());
        }
    });
    let mut deliveries = Vec::with_capacity(RECORDS);
    let kept = allocation_counter::measure(|| {
        for _ in 0..RECORDS {
            deliveries.push(producer.try_send(record()).unwrap());
        }
    });
    let awaited = allocation_counter::measure(|| {
        runtime.block_on(async {
            producer.flush().await.unwrap();
            for delivery in deliveries {
                delivery.await.unwrap();
            }
        });
    });
    let most = (RECORDS / BATCH + 2) as u64 * MOST;
    for counted in [dropped, kept, awaited] {
        assert!(counted.count_total <= most, "{counted:?}, where {most} are the most");
    }
    runtime.block_on(producer.close()).unwrap();
}
