//! What the tests of consumers have in common: an embedded broker with one topic, and records in it.

use std::{ops::Range, time::Duration};

use ottla::{Producer, ProducerRecord};
use ottla_broker::{Config, Server, TopicSpec};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn server(partitions: u32) -> Server {
    let topics = vec![TopicSpec::new("t", partitions)];
    Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

pub(crate) async fn produce(server: &Server, partition: i32, values: Range<u32>) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let mut deliveries = Vec::new();
    for value in values {
        let record = ProducerRecord::to("t").partition(partition).value(value.to_string().into_bytes());
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
}
