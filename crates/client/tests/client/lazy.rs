//! Clients that are built before there is a broker, as Java's are.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use ottla::{
    Admin, Consumer, Disconnected, GroupReason, OffsetReset, Producer, ProducerRecord, admin::Cause,
    error::AdminErrorKind,
};
use ottla_broker::{Config, Server, TopicSpec};

const PATIENCE: Duration = Duration::from_secs(20);

/// Where nobody listens, until a test does.
fn nobody() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

fn server(at: SocketAddr) -> Server {
    let topics = vec![TopicSpec::new("t", 1)];
    Server::start_on_thread(Config { topics, ..Config::default() }, at).unwrap()
}

/// What is asked for, as soon as there is some.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

#[tokio::test]
async fn records_flow_when_a_broker_starts_where_clients_were_built_before_it() {
    let address = nobody();
    let servers = address.to_string();
    let mut consumer = Consumer::builder()
        .bootstrap_servers(&servers)
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe("t")
        .wait_for_broker(false)
        .build()
        .await
        .unwrap();
    let (whom, why) = until(|| consumer.explain().unreachable).await;
    assert_eq!(whom, servers);
    assert!(matches!(why, Disconnected::Refused(_)), "{why}");
    let group = consumer.explain().group;
    assert!(matches!(group, Some(GroupReason::CoordinatorUnknown { .. })), "{group:?}");

    let builder = Producer::builder().bootstrap_servers(&servers).wait_for_broker(false);
    let producer = builder.build().await.unwrap();
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(ProducerRecord::to("t").value("0")).await.unwrap().await }
    });
    until(|| producer.explain().into_iter().find(|cause| matches!(cause, Cause::Connection { .. }))).await;

    let _server = server(address);
    tokio::time::timeout(PATIENCE, sending).await.unwrap().unwrap().unwrap();
    let record = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(record.value(), Some(&b"0"[..]));
    consumer.close().await.unwrap();
    producer.close().await.unwrap();
}

#[tokio::test]
async fn an_admin_client_that_was_built_before_its_broker_waits_for_it_in_each_operation() {
    let address = nobody();
    let builder = Admin::builder().bootstrap_servers(address.to_string()).wait_for_broker(false);
    let hasty = builder.clone().default_api_timeout(Duration::from_millis(300)).build().await.unwrap();
    let error = hasty.list_topics().await.unwrap_err();
    assert_eq!(error.kind(), AdminErrorKind::TimedOut);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let admin = builder.build().await.unwrap();
    let listing = tokio::spawn({
        let admin = admin.clone();
        async move { admin.list_topics().await }
    });
    until(|| admin.explain().into_iter().next()).await;
    let _server = server(address);
    let topics = tokio::time::timeout(PATIENCE, listing).await.unwrap().unwrap().unwrap();
    assert!(topics.contains_key("t"));
    admin.close().await;
}

#[tokio::test]
async fn a_connection_is_opened_as_the_program_wants_it() {
    let server = server(nobody());
    let port = server.addresses()[0].port();
    let opened = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let asked = opened.clone();
    // The names are those of another network: a broker's own name has no meaning here.
    let connect = move |host: String, named: u16| {
        asked.lock().unwrap().push((host, named));
        tokio::net::TcpStream::connect(("127.0.0.1", port))
    };
    let producer = Producer::builder().bootstrap_servers(["kafka-0.elsewhere:9092"]).connector(connect);
    let producer = producer.build().await.unwrap();
    producer.send(ProducerRecord::to("t").value(b"v".to_vec())).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    let opened = opened.lock().unwrap();
    assert_eq!(opened[0], ("kafka-0.elsewhere".to_owned(), 9092));
    assert!(opened.iter().any(|(host, named)| host == "127.0.0.1" && *named == port), "{opened:?}");
}

#[tokio::test]
async fn a_connection_that_the_program_cannot_open_is_told_as_any_other() {
    let connect = |_: String, _: u16| async {
        Err::<tokio::net::TcpStream, _>(std::io::Error::other("the tunnel is closed"))
    };
    let builder = Producer::builder().bootstrap_servers(["kafka-0.elsewhere:9092"]).connector(connect);
    let error = builder.default_api_timeout(Duration::from_secs(1)).build().await.unwrap_err();
    assert!(error.to_string().contains("kafka-0.elsewhere:9092: the tunnel is closed"), "{error}");
}
