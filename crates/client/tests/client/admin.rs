//! Admin clients against the embedded broker.

use std::{collections::BTreeMap, time::Duration};

use ottla::{
    Disconnected, ErrorCode,
    admin::{Admin, NewTopic, NodeId, OffsetSpec, TopicPartition},
    error::{AdminErrorKind, BuildErrorKind},
    producer::{Producer, ProducerRecord},
};
use ottla_broker::{Config, Fault, Server, TopicSpec};
use ottla_protocol::{ApiKey, Timestamp};

fn cluster(brokers: u32) -> Server {
    let topics = vec![TopicSpec::new("t", 3)];
    Server::start_on_thread(Config { brokers, topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

async fn admin(server: &Server) -> Admin {
    Admin::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap()
}

fn topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic::new(name).partitions(partitions)
}

#[tokio::test]
async fn the_brokers_of_a_cluster_are_told() {
    let server = cluster(3);
    let cluster = admin(&server).await.describe_cluster().await.unwrap();
    assert_eq!(cluster.nodes.keys().copied().collect::<Vec<_>>(), [NodeId(1), NodeId(2), NodeId(3)]);
    assert!(cluster.controller.is_some());
}

#[tokio::test]
async fn topics_come_grow_and_go() {
    let server = cluster(1);
    let admin = admin(&server).await;
    admin.create_topic(topic("new", 2)).await.unwrap();
    let exists = admin.create_topic(topic("new", 2)).await.unwrap_err();
    assert_eq!(
        (exists.kind(), exists.code()),
        (AdminErrorKind::TopicExists, Some(ErrorCode::TopicAlreadyExists))
    );
    admin.create_partitions("new", 5).await.unwrap();
    let fewer = admin.create_partitions("new", 4).await.unwrap_err();
    assert_eq!(fewer.kind(), AdminErrorKind::InvalidRequest);
    let topics = admin.list_topics().await.unwrap();
    assert_eq!(topics["new"].partitions.len(), 5);
    assert!(topics["new"].partitions.values().all(|partition| partition.leader == Some(NodeId(1))));
    admin.delete_topic("new").await.unwrap();
    let gone = admin.delete_topic("new").await.unwrap_err();
    assert_eq!(gone.kind(), AdminErrorKind::UnknownTopic);
    assert_eq!(gone.to_string().split(": ").next(), Some("topic `new`"));
    let described = admin.describe_topics(["t", "new"]).await.unwrap();
    assert_eq!(described["t"].as_ref().unwrap().partitions.len(), 3);
    assert_eq!(described["new"].as_ref().unwrap_err().kind(), AdminErrorKind::UnknownTopic);
    admin.close().await;
}

#[tokio::test]
async fn topics_that_are_only_validated_are_not_created() {
    let server = cluster(1);
    let admin = admin(&server).await;
    let results = admin.validate_topics([topic("new", 2), topic("t", 2)]).await.unwrap();
    assert!(results["new"].is_ok());
    assert_eq!(results["t"].as_ref().unwrap_err().kind(), AdminErrorKind::TopicExists);
    assert!(!admin.list_topics().await.unwrap().contains_key("new"));
}

#[tokio::test]
async fn the_ends_of_a_log_and_its_first_record_after_a_time_are_found() {
    let server = cluster(2);
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    for n in 0..10 {
        let record = ProducerRecord::to("t").partition(1).value(b"v").timestamp(Timestamp(1_000 + n));
        producer.send(record).await.unwrap().await.unwrap();
    }
    let admin = admin(&server).await;
    let at = |partition| TopicPartition::new("t", partition);
    for (spec, offset) in [
        (OffsetSpec::Earliest, Some(0)),
        (OffsetSpec::Latest, Some(10)),
        (OffsetSpec::Timestamp(Timestamp(1_004)), Some(4)),
        (OffsetSpec::Timestamp(Timestamp(5_000)), None),
        (OffsetSpec::MaxTimestamp, Some(9)),
        (OffsetSpec::EarliestLocal, Some(0)),
        (OffsetSpec::LatestTiered, None),
        (OffsetSpec::EarliestPendingUpload, None),
    ] {
        let found = admin.list_offsets([(at(1), spec)]).await.unwrap();
        assert_eq!(found[&at(1)].as_ref().unwrap().map(|found| found.offset), offset, "{spec:?}");
    }
    let missing = TopicPartition::new("missing", 0);
    let all = [at(0), at(1), at(2), at(3), missing.clone()].map(|at| (at, OffsetSpec::Latest));
    let found = admin.list_offsets(all).await.unwrap();
    let offsets: BTreeMap<_, _> = found
        .iter()
        .filter_map(|(at, found)| Some((at.partition, found.as_ref().ok()?.map(|found| found.offset))))
        .collect();
    assert_eq!(offsets, BTreeMap::from([(0, Some(0)), (1, Some(10)), (2, Some(0))]));
    assert_eq!(found[&at(3)].as_ref().unwrap_err().kind(), AdminErrorKind::UnknownTopic);
    assert_eq!(found[&missing].as_ref().unwrap_err().kind(), AdminErrorKind::UnknownTopic);
}

#[tokio::test]
async fn what_a_broker_speaks_is_told_by_each_of_those_that_are_there() {
    let server = cluster(2);
    let admin = admin(&server).await;
    let told = admin.describe_versions([1, 2, 7].map(NodeId)).await.unwrap();
    let ranges = [1, 2].map(|node| told[&NodeId(node)].as_ref().unwrap().apis[&ApiKey::ListGroups].clone());
    assert_eq!(ranges[0], ranges[1]);
    assert!(*ranges[0].end() >= 4, "{ranges:?}");
    assert_eq!(told[&NodeId(7)].as_ref().unwrap_err().code(), Some(ErrorCode::BrokerNotAvailable));
    // The connection is still of use.
    assert!(admin.list_groups().await.unwrap().is_empty());
}

#[tokio::test]
async fn before_the_first_contact_a_broker_is_waited_for_and_not_taken_for_gone() {
    let server = cluster(2);
    let builder = Admin::builder().bootstrap_servers([server.bootstrap()]).wait_for_broker(false);
    let admin = builder.build().await.unwrap();
    let told = admin.describe_versions([2, 7].map(NodeId)).await.unwrap();
    assert!(told[&NodeId(2)].is_ok(), "{told:?}");
    assert_eq!(told[&NodeId(7)].as_ref().unwrap_err().code(), Some(ErrorCode::BrokerNotAvailable));
}

#[tokio::test]
async fn a_group_that_does_not_exist_has_no_offsets_and_no_members() {
    let server = cluster(3);
    let admin = admin(&server).await;
    assert!(admin.list_groups().await.unwrap().is_empty());
    assert!(admin.committed_offsets("nobody").await.unwrap().is_empty());
    let described = admin.describe_groups(["nobody"]).await.unwrap();
    match &described["nobody"] {
        Ok(group) => assert_eq!((group.state.as_str(), group.members.len()), ("Dead", 0)),
        Err(error) => assert_eq!(error.kind(), AdminErrorKind::UnknownGroup),
    }
    let coordinator = admin.find_coordinator("nobody").await.unwrap();
    let expected = server.with_cluster(|cluster| cluster.coordinator("nobody"));
    assert_eq!(coordinator.node, NodeId(expected));
}

#[tokio::test]
async fn an_error_that_passes_is_not_told() {
    let server = cluster(1);
    let admin = admin(&server).await;
    server.with_cluster(|cluster| {
        let faults = cluster.faults();
        faults.on(ApiKey::ListGroups).then(Fault::Error(ErrorCode::CoordinatorLoadInProgress));
        faults.on(ApiKey::ListGroups).then(Fault::Disconnect);
        faults.on(ApiKey::FindCoordinator).then(Fault::Error(ErrorCode::CoordinatorNotAvailable));
    });
    admin.list_groups().await.unwrap();
    admin.committed_offsets("nobody").await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_silent_is_named_when_the_time_is_over() {
    let server = cluster(1);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::ListGroups).then(Fault::Silence));
    let admin = Admin::builder()
        .bootstrap_servers([server.bootstrap()])
        .default_api_timeout(Duration::from_millis(500))
        .build()
        .await
        .unwrap();
    let error = admin.list_groups().await.unwrap_err();
    assert_eq!(error.kind(), AdminErrorKind::TimedOut);
    assert!(error.to_string().starts_with(&server.bootstrap()), "{error}");
    assert_eq!(error.disconnected(), Some(&Disconnected::TimedOut(ApiKey::ListGroups)));
}

#[tokio::test]
async fn an_unreachable_cluster_is_told_when_the_client_is_built() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let building = Admin::builder()
        .bootstrap_servers([nobody.clone()])
        .default_api_timeout(Duration::from_millis(300))
        .build();
    let error = building.await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Unreachable);
    assert!(error.to_string().contains(&nobody), "{error}");
}

#[tokio::test]
async fn a_group_of_the_consumer_protocol_is_described_like_any_other() {
    let server = cluster(1);
    let admin = admin(&server).await;
    let mut consumer = ottla::Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("modern")
        .group_protocol(ottla::GroupProtocol::Consumer)
        .subscribe(["t"])
        .build()
        .await
        .unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while consumer.assignment().len() < 3 {
        assert!(std::time::Instant::now() < deadline, "{}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    let described = admin.describe_groups(["modern", "none"]).await.unwrap();
    let group = described["modern"].as_ref().unwrap();
    assert_eq!((group.protocol_type.as_str(), group.members.len()), ("consumer", 1));
    assert_eq!(group.members[0].assignment.len(), 3);
    assert_eq!(group.members[0].member_id, consumer.group_metadata().unwrap().member_id);
    assert_eq!(described["none"].as_ref().unwrap_err().code(), Some(ErrorCode::GroupIdNotFound));
    consumer.close().await.unwrap();
    admin.close().await;
}

#[tokio::test]
async fn a_clone_that_is_dropped_changes_nothing_and_a_close_of_one_closes_the_others() {
    let server = cluster(1);
    let admin = admin(&server).await;
    let other = admin.clone();
    drop(admin.clone());
    admin.create_topic(topic("new", 1)).await.unwrap();
    admin.close().await;
    assert_eq!(other.list_topics().await.unwrap_err().kind(), AdminErrorKind::Closed);
    tokio::time::timeout(Duration::from_secs(20), other.close()).await.unwrap();
}
