//! Metrics that are pushed to a broker which asks for them (KIP-714).

use std::time::{Duration, Instant};

use ottla::{Compression, Consumer, error::ClientInstanceIdErrorKind};
use ottla_broker::{ClientMetrics, Config, PushedMetrics, Server, TopicSpec};

use crate::{common::PATIENCE, processing::until};

async fn asking(client_metrics: ClientMetrics) -> Server {
    let client_metrics = Some(client_metrics);
    let config = Config { topics: vec![TopicSpec::new("t", 1)], client_metrics, ..Config::default() };
    Server::start(config, ([127, 0, 0, 1], 0)).await.unwrap()
}

fn soon() -> ClientMetrics {
    ClientMetrics { interval: Duration::from_millis(100), ..ClientMetrics::default() }
}

async fn consumer(server: &Server) -> Consumer {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("billing")
        .subscribe("t")
        .build()
        .await
        .unwrap()
}

fn pushed(server: &Server) -> Vec<PushedMetrics> {
    server.with_cluster(|cluster| cluster.pushed_metrics().cloned().collect())
}

fn has(push: &PushedMetrics, text: &str) -> bool {
    push.metrics.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_consumer_pushes_what_a_broker_asks_for_follows_a_change_and_tells_its_end() {
    let server = asking(soon()).await;
    let consumer = consumer(&server).await;
    let id = consumer.client_instance_id(PATIENCE).await.unwrap();
    let lag = "org.apache.kafka.consumer.fetch.manager.fetch.total";
    until("a push", || pushed(&server).iter().any(|push| has(push, lag) && has(push, "billing"))).await;
    let first = pushed(&server).remove(0);
    assert_eq!((first.client_instance_id, first.terminating, first.codec), (id, false, Compression::Zstd));
    let other = ClientMetrics {
        metrics: vec!["org.apache.kafka.consumer.coordinator.".to_owned()],
        codecs: vec![Compression::Gzip],
        ..soon()
    };
    server.with_cluster(|cluster| cluster.ask_for_metrics(other));
    until("a push of the other kind", || {
        pushed(&server).last().is_some_and(|push| push.codec == Compression::Gzip)
    })
    .await;
    let last = pushed(&server).pop().unwrap();
    assert!(has(&last, "org.apache.kafka.consumer.coordinator.rebalance.total") && !has(&last, lag));
    assert_eq!(consumer.client_instance_id(Duration::ZERO).await.unwrap(), id, "it stays the same");
    consumer.close().await.unwrap();
    let last = pushed(&server).pop().unwrap();
    assert_eq!((last.terminating, last.client_instance_id), (true, id));
}

#[tokio::test]
async fn the_clients_id_is_not_there_where_nothing_is_pushed_or_nobody_asks() {
    let server = asking(soon()).await;
    let silent = Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .enable_metrics_push(false)
        .build()
        .await
        .unwrap();
    let error = silent.client_instance_id(PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ClientInstanceIdErrorKind::Disabled);
    let without = Server::start(Config::default(), ([127, 0, 0, 1], 0)).await.unwrap();
    let unasked = Consumer::builder().bootstrap_servers([without.bootstrap()]).build().await.unwrap();
    let begun = Instant::now();
    let error = unasked.client_instance_id(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind(), ClientInstanceIdErrorKind::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert!(pushed(&server).is_empty());
}
