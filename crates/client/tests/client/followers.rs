//! Fetching from followers (KIP-392), against the embedded broker: broker 1 leads, and the consumer is in the rack of broker 2.

use std::time::Duration;

use ottla::{Consumer, OffsetReset, Producer, ProducerRecord, TopicPartition};
use ottla_broker::{Cluster, Config, Now, Server, TopicSpec};

const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    server: Server,
    producer: Producer,
    consumer: Consumer,
    /// Of the next record.
    offset: i64,
}

impl Scene {
    async fn new() -> Self {
        let topic = TopicSpec { replication_factor: 2, ..TopicSpec::new("t", 1) };
        let config = Config { brokers: 2, follower_fetching: true, topics: vec![topic], ..Config::default() };
        let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
        let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
        let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]).client_rack("rack-2");
        let mut consumer = builder.auto_offset_reset(OffsetReset::Earliest).build().await.unwrap();
        consumer.assign([("t", 0)]).unwrap();
        Self { server, producer, consumer, offset: 0 }
    }

    fn cluster(&self, act: impl FnOnce(&mut Cluster, Now)) {
        let now = self.server.now();
        self.server.with_cluster(|cluster| act(cluster, now));
    }

    /// Writes a record, and reads it. Which broker it came from.
    async fn pass_one(&mut self) -> i32 {
        let sent = self.producer.send(ProducerRecord::to("t").partition(0).value("v")).await.unwrap();
        sent.await.unwrap();
        let record = self.consumer.recv().await.unwrap().unwrap();
        assert_eq!(record.offset(), self.offset, "each once, in order");
        self.offset += 1;
        record.broker().0
    }

    /// Passes records until one comes from this broker.
    async fn until_from(&mut self, broker: i32) {
        let passing = async {
            while self.pass_one().await != broker {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, passing).await.is_ok();
        assert!(came, "nothing from broker {broker}: {}", self.consumer.explain());
    }
}

#[tokio::test]
async fn records_come_once_from_a_follower_that_stops_and_starts_and_from_the_leader_meanwhile() {
    let mut scene = Scene::new().await;
    scene.until_from(2).await;
    assert_eq!(scene.consumer.explain().followers, [(TopicPartition::new("t", 0), 2)]);
    scene.cluster(|cluster, now| assert!(cluster.stop_node(2, now)));
    scene.until_from(1).await;
    assert!(scene.consumer.explain().followers.is_empty());
    scene.cluster(|cluster, now| assert!(cluster.start_node(2, now)));
    scene.until_from(2).await;
}

#[tokio::test]
async fn the_leader_sends_the_records_itself_while_the_follower_follows_no_more() {
    let mut scene = Scene::new().await;
    scene.cluster(|cluster, now| cluster.set_following_stopped(2, true, now));
    for _ in 0..50 {
        assert_eq!(tokio::time::timeout(PATIENCE, scene.pass_one()).await.unwrap(), 1);
    }
    scene.cluster(|cluster, now| cluster.set_following_stopped(2, false, now));
    scene.until_from(2).await;
}
