//! What clients are told whose principal may not do what they ask for, by an embedded broker with access lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla::{
    Admin, Consumer, ConsumerBuilder, GroupProtocol, OffsetReset, Producer, ProducerRecord,
    admin::{NewTopic, OffsetSpec},
    error::{AclOperation, AdminErrorKind, CommitErrorKind, RecvErrorKind, Resource, SendErrorKind},
};
use ottla_broker::{Authorizer, Config, Sasl, SaslMechanism, Server, TopicSpec};

const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster on which alice may do this, and admin everything. It has the topics `open`, `shut` and `seen`.
fn server(allowed: &[&str]) -> Server {
    let topics = ["open", "shut", "seen"].map(|name| TopicSpec::new(name, 1)).to_vec();
    let sasl = Sasl::new([SaslMechanism::Plain]).user("alice", "a").user("admin", "b");
    let authorizer = Authorizer {
        acls: allowed.iter().map(|acl| acl.parse().unwrap()).collect(),
        super_users: vec!["User:admin".to_owned()],
        ..Authorizer::default()
    };
    let config = Config { topics, sasl: Some(sasl), authorizer: Some(authorizer), ..Config::default() };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

fn grant(server: &Server, acl: &str) {
    let acl = acl.parse().unwrap();
    server.with_cluster(|cluster| cluster.authorizer().as_mut().unwrap().acls.push(acl));
}

fn properties(server: &Server, user: &str) -> BTreeMap<&'static str, String> {
    let password = if user == "alice" { "a" } else { "b" };
    BTreeMap::from([
        ("bootstrap.servers", server.bootstrap()),
        ("security.protocol", "SASL_PLAINTEXT".to_owned()),
        ("sasl.mechanism", "PLAIN".to_owned()),
        ("sasl.username", user.to_owned()),
        ("sasl.password", password.to_owned()),
    ])
}

fn alice(server: &Server) -> ConsumerBuilder {
    let builder = Consumer::builder().properties(properties(server, "alice")).unwrap();
    builder.group_id("g").auto_offset_reset(OffsetReset::Earliest)
}

/// Admin writes these values, one into each topic.
async fn write(server: &Server, topics: &[&str]) {
    let producer =
        Producer::builder().properties(properties(server, "admin")).unwrap().build().await.unwrap();
    for topic in topics {
        producer.send(ProducerRecord::to(*topic).value(b"v".to_vec())).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
}

/// Receives until everything of `wanted` came: topics of records, or topics that were said to be forbidden.
async fn receive(consumer: &mut Consumer, wanted: &[&str]) {
    let mut missing: BTreeSet<String> = wanted.iter().map(|topic| (*topic).to_owned()).collect();
    let begun = Instant::now();
    while !missing.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{missing:?} never came");
        match tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap() {
            Ok(Some(record)) => _ = missing.remove(record.topic()),
            Ok(None) => panic!("closed"),
            Err(error) => {
                assert_eq!(error.kind(), RecvErrorKind::NotAuthorized, "{error}");
                let permission = error.missing_permission().unwrap();
                assert_eq!(permission.operation, AclOperation::Read, "{error}");
                let Resource::Topic(Some(topic)) = permission.resource else { panic!("{error}") };
                missing.remove(&format!("no {topic}"));
            }
        }
    }
}

const READER: [&str; 3] =
    ["User:alice:READ:topic:open", "User:alice:READ:group:g", "User:alice:DESCRIBE:topic:seen"];

#[tokio::test]
async fn a_topic_that_may_not_be_read_is_told_and_the_others_flow() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(&READER);
        write(&server, &["open", "shut", "seen"]).await;
        let reader = alice(&server).group_protocol(protocol).subscribe(["open", "shut", "seen"]);
        let mut consumer = reader.build().await.unwrap();
        receive(&mut consumer, &["open", "no shut", "no seen"]).await;
        for topic in ["shut", "seen"] {
            grant(&server, &format!("User:alice:READ:topic:{topic}"));
        }
        receive(&mut consumer, &["shut", "seen"]).await;
        consumer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_assigned_by_hand_that_may_not_be_read_is_told_and_the_others_flow() {
    let server = server(&READER);
    write(&server, &["open", "shut", "seen"]).await;
    let mut consumer = alice(&server).build().await.unwrap();
    consumer.assign([("open", 0), ("shut", 0), ("seen", 0)]).unwrap();
    receive(&mut consumer, &["open", "no shut", "no seen"]).await;
}

#[tokio::test]
async fn a_group_that_may_not_be_joined_is_told_at_once() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(&["User:alice:READ:topic:open"]);
        let reader = alice(&server).group_protocol(protocol).subscribe(["open"]);
        let mut consumer = reader.build().await.unwrap();
        let begun = Instant::now();
        let error = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(error.kind(), RecvErrorKind::NotAuthorized, "{error}");
        assert!(error.to_string().contains("READ on group `g` is missing"), "{error}");
        tokio::time::timeout(Duration::from_secs(5), consumer.close()).await.unwrap().ok();
    }
}

#[tokio::test]
async fn offsets_that_may_not_be_committed_are_told_by_their_topic() {
    let server = server(&READER);
    let mut consumer = alice(&server).build().await.unwrap();
    consumer.assign([("open", 0), ("seen", 0)]).unwrap();
    let committed = consumer.commit_offsets([(("seen", 0), 0)]).await;
    let error = committed.unwrap_err();
    assert_eq!(error.kind(), CommitErrorKind::NotAuthorized, "{error}");
    assert!(error.to_string().contains("READ on topic `seen` is missing"), "{error}");
}

#[tokio::test]
async fn records_that_may_not_be_written_are_told_by_their_topic_and_others_are_written() {
    let server = server(&["User:alice:WRITE:topic:open", "User:alice:DESCRIBE:topic:seen"]);
    let properties = properties(&server, "alice");
    let producer = Producer::builder().properties(properties).unwrap().build().await.unwrap();
    for topic in ["seen", "shut"] {
        let begun = Instant::now();
        let record = ProducerRecord::to(topic).value(b"v".to_vec());
        let error = match producer.send(record).await {
            Ok(delivery) => delivery.await.unwrap_err(),
            Err(error) => error,
        };
        assert!(begun.elapsed() < Duration::from_secs(2), "{topic}: {:?}", begun.elapsed());
        assert_eq!(error.kind(), SendErrorKind::NotAuthorized, "{error}");
        assert!(error.to_string().contains(&format!("WRITE on topic `{topic}` is missing")), "{error}");
    }
    let record = ProducerRecord::to("open").value(b"v".to_vec());
    producer.send(record).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn an_administrator_is_told_which_operation_is_missing() {
    let server = server(&["User:alice:DESCRIBE:topic:seen"]);
    let admin = Admin::builder().properties(properties(&server, "alice")).unwrap().build().await.unwrap();
    let told = |error: ottla::AdminError, missing: &str| {
        assert_eq!(error.kind(), AdminErrorKind::NotAuthorized, "{error}");
        assert!(error.to_string().contains(missing), "{error}");
    };
    let created = admin.create_topic(NewTopic::new("new").partitions(1)).await;
    told(created.unwrap_err(), "CREATE on topic `new` is missing");
    told(admin.delete_topic("seen").await.unwrap_err(), "DELETE on topic `seen` is missing");
    told(admin.create_partitions("seen", 2).await.unwrap_err(), "ALTER on topic `seen` is missing");
    let group = admin.committed_offsets("g").await;
    told(group.unwrap_err(), "DESCRIBE on group `g` is missing");
    let listed = admin.list_offsets([(("shut", 0), OffsetSpec::Latest)]).await.unwrap();
    told(listed.into_values().next().unwrap().unwrap_err(), "DESCRIBE on topic `shut` is missing");
    let described = admin.describe_topics(["shut"]).await.unwrap();
    told(described.into_values().next().unwrap().unwrap_err(), "DESCRIBE on topic `shut` is missing");
    let groups = admin.describe_groups(["g"]).await.unwrap();
    told(groups.into_values().next().unwrap().unwrap_err(), "DESCRIBE on group `g` is missing");
}
