//! Topics: created, described, widened, deleted.

use ottla_broker::{Config, ConnId};
use ottla_protocol::{
    ErrorCode, TopicId,
    messages::{
        CreatePartitionsRequest, CreatePartitionsTopic, CreateTopicsCreatableReplicaAssignment,
        CreateTopicsCreatableTopic, CreateTopicsRequest, DeleteTopicsDeleteTopicState, DeleteTopicsRequest,
        MetadataRequest, MetadataRequestTopic, MetadataResponseTopic, OffsetCommitRequest,
        OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    },
};

use crate::common::{World, config, fetch, fetched};

fn three() -> (World, ConnId) {
    let mut world = World::new(Config { brokers: 3, ..config(&[("t", 6)]) });
    let conn = world.connect(1);
    (world, conn)
}

fn wanted(name: &str, num_partitions: i32, replication_factor: i16) -> CreateTopicsCreatableTopic {
    CreateTopicsCreatableTopic { name: name.into(), num_partitions, replication_factor, ..Default::default() }
}

fn create(world: &mut World, conn: ConnId, topic: CreateTopicsCreatableTopic) -> ErrorCode {
    let response = world.ask(conn, 7, CreateTopicsRequest { topics: vec![topic], ..Default::default() });
    response.topics[0].error_code
}

fn named(name: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    MetadataRequest { topics: Some(vec![topic]), ..Default::default() }
}

fn describe(world: &mut World, conn: ConnId, name: &str) -> MetadataResponseTopic {
    world.ask(conn, 12, named(name)).topics.remove(0)
}

#[test]
fn leaders_go_round_the_brokers() {
    let (mut world, conn) = three();
    let topic = describe(&mut world, conn, "t");
    let leaders: Vec<i32> = topic.partitions.iter().map(|partition| partition.leader_id).collect();
    assert_eq!(leaders, [1, 2, 3, 1, 2, 3]);
    assert!(topic.partitions.iter().all(|partition| partition.leader_epoch == 0));
}

#[test]
fn metadata_knows_topics_by_name_by_id_and_all_of_them() {
    let (mut world, conn) = three();
    let all = world.ask(conn, 12, MetadataRequest { topics: None, ..Default::default() });
    assert_eq!((all.brokers.len(), all.topics.len(), all.controller_id), (3, 1, 1));
    let by_id = MetadataRequestTopic { topic_id: all.topics[0].topic_id, name: None };
    let by_id = MetadataRequest { topics: Some(vec![by_id]), ..Default::default() };
    assert_eq!(world.ask(conn, 12, by_id).topics[0], all.topics[0]);
    let none = MetadataRequest { topics: Some(vec![]), ..Default::default() };
    assert!(world.ask(conn, 12, none.clone()).topics.is_empty());
    assert_eq!(world.ask(conn, 0, none).topics.len(), 1, "version 0 means all by none");
}

#[test]
fn metadata_of_what_is_not_there_says_so() {
    let (mut world, conn) = three();
    assert_eq!(describe(&mut world, conn, "nope").error_code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(describe(&mut world, conn, "no pe").error_code, ErrorCode::InvalidTopicException);
    let unknown = MetadataRequestTopic { topic_id: TopicId([3; 16]), name: None };
    let unknown = MetadataRequest { topics: Some(vec![unknown]), ..Default::default() };
    let response = world.ask(conn, 12, unknown);
    assert_eq!(
        (response.topics[0].error_code, response.topics[0].topic_id),
        (ErrorCode::UnknownTopicId, TopicId([3; 16]))
    );
}

#[test]
fn metadata_is_answered_in_every_version() {
    let (mut world, conn) = three();
    for version in 0..=13 {
        assert_eq!(world.ask(conn, version, named("t")).topics[0].partitions.len(), 6);
    }
}

#[test]
fn a_topic_comes_into_being_only_where_both_sides_allow_it() {
    for (server, client) in [(true, true), (true, false), (false, true)] {
        let mut world =
            World::new(Config { auto_create: server, default_partitions: 4, ..Config::default() });
        let conn = world.connect(1);
        let request = MetadataRequest { allow_auto_topic_creation: client, ..named("new") };
        let topic = world.ask(conn, 12, request).topics.remove(0);
        let expected =
            if server && client { (ErrorCode::None, 4) } else { (ErrorCode::UnknownTopicOrPartition, 0) };
        assert_eq!((topic.error_code, topic.partitions.len()), expected);
    }
}

#[test]
fn a_topic_is_created_with_defaults_for_minus_one() {
    let (mut world, conn) = three();
    let request = CreateTopicsRequest { topics: vec![wanted("new", -1, -1)], ..Default::default() };
    let result = world.ask(conn, 7, request).topics.remove(0);
    assert_eq!(
        (result.error_code, result.num_partitions, result.replication_factor),
        (ErrorCode::None, 1, 1)
    );
    assert_eq!(describe(&mut world, conn, "new").topic_id, result.topic_id);
}

#[test]
fn what_cannot_be_created_is_refused_with_its_reason() {
    let (mut world, conn) = three();
    for (topic, expected) in [
        (wanted("t", 1, 1), ErrorCode::TopicAlreadyExists),
        (wanted("a", 0, 1), ErrorCode::InvalidPartitions),
        (wanted("a", 1_000_000, 1), ErrorCode::InvalidPartitions),
        (wanted("a", 1, 4), ErrorCode::InvalidReplicationFactor),
        (wanted("a", 1, 0), ErrorCode::InvalidReplicationFactor),
        (wanted("", 1, 1), ErrorCode::InvalidTopicException),
        (wanted("..", 1, 1), ErrorCode::InvalidTopicException),
        (wanted("a/b", 1, 1), ErrorCode::InvalidTopicException),
        (wanted(&"a".repeat(250), 1, 1), ErrorCode::InvalidTopicException),
    ] {
        assert_eq!(create(&mut world, conn, topic), expected);
    }
    assert_eq!(world.cluster.topics().count(), 1);
}

#[test]
fn validate_only_creates_nothing() {
    let (mut world, conn) = three();
    let request =
        CreateTopicsRequest { topics: vec![wanted("new", 2, 1)], validate_only: true, ..Default::default() };
    assert_eq!(world.ask(conn, 7, request).topics[0].error_code, ErrorCode::None);
    assert_eq!(world.cluster.topics().count(), 1);
}

#[test]
fn replicas_can_be_placed_by_hand() {
    let (mut world, conn) = three();
    let place =
        |partition_index, broker_ids| CreateTopicsCreatableReplicaAssignment { partition_index, broker_ids };
    let by_hand = |assignments| CreateTopicsCreatableTopic { assignments, ..wanted("new", -1, -1) };
    assert_eq!(
        create(&mut world, conn, by_hand(vec![place(0, vec![9])])),
        ErrorCode::InvalidReplicaAssignment
    );
    assert_eq!(
        create(&mut world, conn, by_hand(vec![place(1, vec![1])])),
        ErrorCode::InvalidReplicaAssignment
    );
    assert_eq!(
        create(&mut world, conn, by_hand(vec![place(0, vec![3, 1]), place(1, vec![2, 3])])),
        ErrorCode::None
    );
    assert_eq!(world.cluster.leader("new", 0), Some((3, 0)));
    assert_eq!(describe(&mut world, conn, "new").partitions[1].replica_nodes, [2, 3]);
}

#[test]
fn partitions_can_be_added_and_not_taken_away() {
    let (mut world, conn) = three();
    let mut grow = |name: &str, count| {
        let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
        world.ask(conn, 3, CreatePartitionsRequest { topics: vec![topic], ..Default::default() }).results[0]
            .error_code
    };
    assert_eq!(grow("t", 6), ErrorCode::InvalidPartitions);
    assert_eq!(grow("t", 5), ErrorCode::InvalidPartitions);
    assert_eq!(grow("nope", 5), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(grow("t", 8), ErrorCode::None);
    assert_eq!(world.cluster.leader("t", 7), Some((2, 0)));
}

#[test]
fn a_deleted_topic_takes_its_records_and_committed_offsets_along() {
    let mut world = World::new(config(&[("t", 1), ("u", 1)]));
    let conn = world.connect(1);
    world.append("t", 0, 3);
    let partitions = vec![OffsetCommitRequestPartition { committed_offset: 2, ..Default::default() }];
    let topics = vec![OffsetCommitRequestTopic { name: "t".into(), partitions, ..Default::default() }];
    world.ask(conn, 8, OffsetCommitRequest { group_id: "g".into(), topics, ..Default::default() });
    assert_eq!(world.cluster.committed("g").len(), 1);

    let delete = |name: &str| DeleteTopicsRequest { topic_names: vec![name.into()], ..Default::default() };
    assert_eq!(world.ask(conn, 4, delete("t")).responses[0].error_code, ErrorCode::None);
    assert_eq!(world.ask(conn, 4, delete("t")).responses[0].error_code, ErrorCode::UnknownTopicOrPartition);
    assert!(world.cluster.committed("g").is_empty());
    assert_eq!(create(&mut world, conn, wanted("t", 1, 1)), ErrorCode::None);
    let again = world.ask(conn, 12, fetch(&[("t", 0, 0)]));
    assert_eq!(fetched(&again)[0].1.high_watermark, 0);
}

#[test]
fn a_topic_is_deleted_by_its_id_from_version_6_on() {
    let (mut world, conn) = three();
    let topic_id = describe(&mut world, conn, "t").topic_id;
    let mut delete = |topic_id| {
        let topics = vec![DeleteTopicsDeleteTopicState { name: None, topic_id }];
        world.ask(conn, 6, DeleteTopicsRequest { topics, ..Default::default() }).responses.remove(0)
    };
    assert_eq!(delete(TopicId([3; 16])).error_code, ErrorCode::UnknownTopicId);
    assert_eq!(delete(topic_id).name.as_deref(), Some("t"));
}
