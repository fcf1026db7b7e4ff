//! What admin clients see of transactions, and how they end one, on the embedded broker.

use std::time::Duration;

use ottla::{
    Consumer, ErrorCode, IsolationLevel,
    admin::{AbortTransaction, Admin, OffsetSpec, TopicPartition},
    error::AdminErrorKind,
    producer::{Producer, ProducerRecord},
};
use ottla_broker::{Config, Server, TopicSpec};

fn at() -> TopicPartition {
    TopicPartition::new("t", 0)
}

async fn last_stable(admin: &Admin) -> i64 {
    let mut found =
        admin.list_offsets_for(IsolationLevel::ReadCommitted, [(at(), OffsetSpec::Latest)]).await.unwrap();
    found.remove(&at()).unwrap().unwrap().unwrap().offset
}

#[tokio::test]
async fn an_open_transaction_is_listed_described_found_in_its_partition_and_aborted() {
    let topics = vec![TopicSpec::new("t", 1)];
    let config = Config { brokers: 3, topics, ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let admin = Admin::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).transactional_id("id");
    let mut producer = builder.build_transactional().await.unwrap();
    let transaction = producer.begin().await.unwrap();
    transaction.send(ProducerRecord::to("t").value(b"v")).await.unwrap().await.unwrap();

    let listed = admin.list_transactions().await.unwrap();
    assert_eq!((listed.len(), listed["id"].state.as_str()), (1, "Ongoing"));
    let old = admin.list_transactions_open_for(Duration::from_secs(3600)).await.unwrap();
    assert!(old.is_empty(), "{old:?}");
    let described = admin.describe_transactions(["id", "none"]).await.unwrap();
    let open = described["id"].as_ref().unwrap();
    assert_eq!((open.state.as_str(), &open.partitions), ("Ongoing", &vec![at()]));
    assert_eq!((open.producer_id, open.started.is_some()), (listed["id"].producer_id, true));
    let none = described["none"].as_ref().unwrap_err();
    assert_eq!(none.code(), Some(ErrorCode::TransactionalIdNotFound));
    assert!(none.to_string().contains("`none`"), "{none}");

    let nowhere = TopicPartition::new("t", 7);
    let producers = admin.describe_producers([at(), nowhere.clone()]).await.unwrap();
    assert_eq!(producers[&nowhere].as_ref().unwrap_err().kind(), AdminErrorKind::UnknownTopic);
    let [writer] = producers[&at()].as_ref().unwrap().as_slice() else { panic!("{producers:?}") };
    assert_eq!((writer.producer_id, writer.transaction_start), (open.producer_id, Some(0)));
    assert_eq!(last_stable(&admin).await, 0);
    let abort = |epoch: i32| {
        AbortTransaction::new(at(), writer.producer_id, i16::try_from(epoch).unwrap())
            .coordinator_epoch(writer.coordinator_epoch.unwrap_or(0))
    };
    let wrong = admin.abort_transaction(abort(writer.producer_epoch - 1)).await.unwrap_err();
    assert_eq!(wrong.code(), Some(ErrorCode::InvalidProducerEpoch), "{wrong}");
    admin.abort_transaction(abort(writer.producer_epoch)).await.unwrap();
    assert_eq!(last_stable(&admin).await, 2, "behind the marker");
    let producers = admin.describe_producers([at()]).await.unwrap();
    assert_eq!(producers[&at()].as_ref().unwrap()[0].transaction_start, None);
}

#[tokio::test]
async fn offsets_that_a_transaction_under_way_will_commit_are_waited_for_unless_it_is_asked_what_stands_now()
{
    let topics = vec![TopicSpec::new("t", 1)];
    let config = Config { topics, ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let admin = Admin::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    assert!(admin.alter_offsets("g", [(at(), 1)]).await.unwrap()[&at()].is_ok());
    let consumer = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("g");
    let mut consumer = consumer.enable_auto_commit(false).subscribe(["t"]).build().await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while consumer.assignment().is_empty() {
        assert!(std::time::Instant::now() < deadline, "{}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).transactional_id("id");
    let mut producer = builder.build_transactional().await.unwrap();
    let transaction = producer.begin().await.unwrap();
    transaction.send_offsets([(at(), 2)], &consumer.group_metadata().unwrap()).await.unwrap();

    let now = async || {
        let told = admin.committed_offsets_now("g").await.unwrap().remove("g").unwrap().unwrap();
        told[&at()].offset
    };
    assert_eq!(now().await, 1);
    let waits = tokio::time::timeout(Duration::from_millis(300), admin.committed_offsets("g")).await;
    assert!(waits.is_err(), "{waits:?}");
    transaction.commit().await.unwrap();
    assert_eq!(admin.committed_offsets("g").await.unwrap()[&at()].offset, 2);
    assert_eq!(now().await, 2);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn how_far_groups_are_behind_is_told_by_either_isolation() {
    let config = Config { topics: vec![TopicSpec::new("t", 1)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let admin = Admin::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).transactional_id("id");
    let mut producer = builder.build_transactional().await.unwrap();
    let transaction = producer.begin().await.unwrap();
    transaction.send(ProducerRecord::to("t").value(b"v")).await.unwrap().await.unwrap();
    for (group, offset) in [("near", 0), ("far", 25)] {
        admin.alter_offsets(group, [(at(), offset)]).await.unwrap().remove(&at()).unwrap().unwrap();
    }
    for (isolation, near, far) in
        [(IsolationLevel::ReadUncommitted, 1, -24), (IsolationLevel::ReadCommitted, 0, -25)]
    {
        let lags = admin.group_lags(["near", "far", "nobody"], isolation).await.unwrap();
        assert_eq!(
            (lags.lag("near", &at()), lags.lag("far", &at())),
            (Some(near), Some(far)),
            "{isolation:?}"
        );
        assert_eq!((lags.lag("nobody", &at()), lags.lag("never", &at())), (None, None));
        assert!(lags.committed["nobody"].as_ref().unwrap().is_empty());
        assert_eq!(lags.logs[&at()].as_ref().unwrap().start, 0);
    }
    transaction.abort().await.unwrap();
}
