//! The example `service`, as it is, against the embedded broker.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

#[expect(dead_code, reason = "its `main`, and what only that calls")]
#[path = "../examples/service.rs"]
mod service;

use std::{ops::Range, time::Duration};

use ottla::{ApiKey, Consumer, Producer, ProducerRecord};
use ottla_broker::{Config, Fault, Server, TopicSpec};
use tokio::{sync::oneshot, task::JoinHandle};

use service::{Failure, Settings, Tally};

const PATIENCE: Duration = Duration::from_secs(20);
const GROUP: &str = "billing";

fn server() -> Server {
    let topics = vec![TopicSpec::new("orders", 3), TopicSpec::new("invoices", 2)];
    Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

/// Writes values, each under a key of its own.
async fn write(server: &Server, values: impl IntoIterator<Item = (String, String)>) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let mut deliveries = Vec::new();
    for (key, value) in values {
        let record = ProducerRecord::to("orders").key(key.into_bytes()).value(value.into_bytes());
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
}

fn orders(ids: Range<u64>) -> impl Iterator<Item = (String, String)> {
    ids.map(|id| (id.to_string(), format!(r#"{{"id":{id},"cents":{}}}"#, id * 100)))
}

/// The orders that there are invoices of, as often as there are, in order.
async fn invoiced(server: &Server) -> Vec<u64> {
    let mut consumer = Consumer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let partitions = [("invoices", 0), ("invoices", 1)];
    let count = consumer.end_offsets(partitions).await.unwrap().values().sum::<i64>();
    consumer.assign(partitions).unwrap();
    consumer.seek_to_beginning(partitions).unwrap();
    let mut invoiced = Vec::new();
    while (invoiced.len() as i64) < count {
        let records = consumer.poll(PATIENCE).await.unwrap();
        assert!(!records.is_empty(), "{} of {count}: {}", invoiced.len(), consumer.explain());
        for record in &records {
            let invoice: serde_json::Value = serde_json::from_slice(record.value().unwrap()).unwrap();
            let order = invoice.get("order").unwrap().as_u64().unwrap();
            assert_eq!(invoice.get("cents").unwrap().as_u64(), Some(order * 100));
            assert_eq!(record.key(), Some(order.to_string().as_bytes()));
            invoiced.push(order);
        }
    }
    consumer.close().await.unwrap();
    invoiced.sort_unstable();
    invoiced
}

/// How many records the group has committed, of all partitions.
fn committed(server: &Server) -> i64 {
    server.with_cluster(|cluster| cluster.committed(GROUP).values().sum())
}

fn members(server: &Server) -> usize {
    server.with_cluster(|cluster| cluster.group(GROUP).map_or(0, |group| group.members.len()))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

/// The service in a task of its own.
struct Running {
    stop: oneshot::Sender<()>,
    service: JoinHandle<Result<Tally, Failure>>,
}

impl Running {
    fn start(server: &Server) -> Self {
        let settings = Settings {
            bootstrap_servers: server.bootstrap(),
            group: GROUP.to_owned(),
            orders: "orders".to_owned(),
            invoices: "invoices".to_owned(),
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { stopped.await.unwrap_or_default() };
        let service = tokio::spawn(async move { service::run(&settings, stopped).await });
        Self { stop, service }
    }

    async fn stop(self) -> Tally {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.service).await.unwrap().unwrap().unwrap()
    }
}

#[tokio::test]
async fn every_order_is_forwarded_and_committed_and_what_is_none_is_skipped() {
    let server = server();
    let broken = ["", "not an order", r#"{"id":1}"#].map(|value| ("x".to_owned(), value.to_owned()));
    write(&server, orders(0..300).chain(broken)).await;
    let running = Running::start(&server);
    until("all is committed", || committed(&server) == 303).await;
    assert_eq!(running.stop().await, Tally { forwarded: 300, skipped: 3 });
    assert_eq!(invoiced(&server).await, Vec::from_iter(0..300));
    assert_eq!(members(&server), 0, "it has left the group");
}

#[tokio::test]
async fn a_service_that_waits_for_orders_ends_at_once_when_told() {
    let server = server();
    let running = Running::start(&server);
    until("it is a member", || members(&server) == 1).await;
    assert_eq!(running.stop().await, Tally::default());
    assert_eq!(members(&server), 0);
}

#[tokio::test]
async fn a_service_that_is_stopped_among_its_orders_goes_on_where_it_was() {
    let server = server();
    write(&server, orders(0..3_000)).await;
    let first = Running::start(&server);
    until("something is committed", || committed(&server) > 0).await;
    let first = first.stop().await;
    assert_eq!(committed(&server), first.forwarded as i64, "what was forwarded is committed, and no more");
    write(&server, orders(3_000..3_500)).await;
    let second = Running::start(&server);
    until("all is committed", || committed(&server) == 3_500).await;
    let second = second.stop().await;
    assert_eq!(first.forwarded + second.forwarded, 3_500);
    assert_eq!(invoiced(&server).await, Vec::from_iter(0..3_500), "each once");
}

#[tokio::test]
async fn what_is_not_acknowledged_when_a_service_is_killed_is_forwarded_by_the_next() {
    let server = server();
    write(&server, orders(0..500)).await;
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Produce).always().then(Fault::Silence));
    let killed = Running::start(&server);
    until("an invoice is sent", || server.with_cluster(|cluster| cluster.faults().happened()) > 0).await;
    killed.service.abort();
    assert!(killed.service.await.unwrap_err().is_cancelled());
    until("it is out of the group", || members(&server) == 0).await;
    assert_eq!((committed(&server), invoiced(&server).await), (0, Vec::new()));
    server.with_cluster(|cluster| cluster.faults().clear());
    let next = Running::start(&server);
    until("all is committed", || committed(&server) == 500).await;
    assert_eq!(next.stop().await, Tally { forwarded: 500, skipped: 0 });
    assert_eq!(invoiced(&server).await, Vec::from_iter(0..500));
}
