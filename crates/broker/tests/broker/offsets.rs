//! Committed offsets: who may commit, and what is read back.

use ottla_broker::{Config, ConnId, TopicSpec};
use ottla_protocol::{ErrorCode, TopicId, messages::*};

use crate::common::{
    World, config,
    group::{Member, commit, stable},
    millis,
};

fn world() -> World {
    World::new(config(&[("t", 2), ("u", 1)]))
}

fn fetch_single(world: &mut World, conn: ConnId, version: i16) -> OffsetFetchResponse {
    let topics = vec![OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0, 1] }];
    world.ask(
        conn,
        version,
        OffsetFetchRequest { group_id: "g".into(), topics: Some(topics), ..Default::default() },
    )
}

#[test]
fn who_is_in_no_group_commits_while_it_is_empty() {
    let mut world = world();
    let conn = world.connect(1);
    assert_eq!(commit(&mut world, conn, "", -1, 5), ErrorCode::None);
    assert_eq!(world.cluster.committed("g").get(&("t".into(), 0)), Some(&5));
    let member = Member::new(&mut world);
    let [member] = stable(&mut world, [member]);
    assert_eq!(commit(&mut world, conn, "", -1, 6), ErrorCode::UnknownMemberId);
    assert_eq!(member.leave(&mut world), ErrorCode::None);
    assert_eq!(commit(&mut world, conn, "", -1, 4), ErrorCode::None, "back is a direction too");
}

#[test]
fn a_partition_that_is_not_there_takes_no_offset_and_the_others_do() {
    let mut world = world();
    let conn = world.connect(1);
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 5,
        ..Default::default()
    };
    let topic = |name: &str, partitions: &[i32]| OffsetCommitRequestTopic {
        name: name.to_owned(),
        partitions: partitions.iter().copied().map(partition).collect(),
        ..Default::default()
    };
    let topics = vec![topic("t", &[0, 9]), topic("unknown", &[0])];
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics,
        ..Default::default()
    };
    let told = world.ask(conn, 9, request).topics;
    let codes: Vec<_> =
        told.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(codes, [ErrorCode::None, unknown, unknown]);
    assert_eq!(world.cluster.committed("g").len(), 1);
}

#[test]
fn a_member_commits_in_its_generation_only() {
    let mut world = world();
    let member = Member::new(&mut world);
    let [mut member] = stable(&mut world, [member]);
    assert_eq!(member.commit(&mut world, 1), ErrorCode::None);
    assert_eq!(commit(&mut world, member.conn, "stranger", 1, 2), ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut world, member.conn, &member.id, 0, 2), ErrorCode::IllegalGeneration);
    member.join(&mut world);
    assert_eq!(member.joined(&mut world).unwrap().generation_id, 2);
    assert_eq!(member.commit(&mut world, 2), ErrorCode::RebalanceInProgress, "before it is synced");
    assert_eq!(world.cluster.committed("g").get(&("t".into(), 0)), Some(&1));
}

#[test]
fn a_member_may_commit_while_others_join() {
    let mut world = world();
    let member = Member::new(&mut world);
    let [member] = stable(&mut world, [member]);
    let mut second = Member::new(&mut world);
    second.join(&mut world);
    assert_eq!(member.commit(&mut world, 1), ErrorCode::None);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut world = world();
    let member = Member::new(&mut world);
    let [member] = stable(&mut world, [member]);
    for offset in 0..5 {
        world.pass(millis(9_000));
        assert_eq!(member.commit(&mut world, offset), ErrorCode::None);
    }
}

#[test]
fn a_generation_of_a_group_that_is_not_there_is_illegal_and_a_member_epoch_unknown() {
    let mut world = world();
    let conn = world.connect(1);
    assert_eq!(commit(&mut world, conn, "m", 3, 5), ErrorCode::GroupIdNotFound);
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: 3,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answered = world.ask(conn, 8, request);
    assert_eq!(answered.topics[0].partitions[0].error_code, ErrorCode::IllegalGeneration);
}

#[test]
fn metadata_and_leader_epoch_come_back_and_too_much_metadata_does_not_go_in() {
    let mut world = world();
    let conn = world.connect(1);
    let at = |partition_index, length| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 7,
        committed_leader_epoch: 3,
        committed_metadata: Some("m".repeat(length)),
    };
    let topic = |name: &str, partitions| OffsetCommitRequestTopic {
        name: name.into(),
        partitions,
        ..Default::default()
    };
    let topics = vec![topic("t", vec![at(0, 4096), at(1, 4097)]), topic("nope", vec![at(0, 1)])];
    let response =
        world.ask(conn, 8, OffsetCommitRequest { group_id: "g".into(), topics, ..Default::default() });
    let codes: Vec<_> =
        response.topics.iter().flat_map(|topic| &topic.partitions).map(|part| part.error_code).collect();
    assert_eq!(
        codes,
        [ErrorCode::None, ErrorCode::OffsetMetadataTooLarge, ErrorCode::UnknownTopicOrPartition]
    );
    let fetched = fetch_single(&mut world, conn, 7);
    let parts = &fetched.topics[0].partitions;
    assert_eq!((parts[0].committed_offset, parts[0].committed_leader_epoch), (7, 3));
    assert_eq!(parts[0].metadata.as_ref().unwrap().len(), 4096);
    assert_eq!((parts[1].committed_offset, parts[1].error_code), (-1, ErrorCode::None));
}

#[test]
fn every_version_of_both_is_answered() {
    let mut world = world();
    let conn = world.connect(1);
    for version in 2..=9 {
        let partitions =
            vec![OffsetCommitRequestPartition { committed_offset: version.into(), ..Default::default() }];
        let topics = vec![OffsetCommitRequestTopic { name: "t".into(), partitions, ..Default::default() }];
        let request = OffsetCommitRequest { group_id: "g".into(), topics, ..Default::default() };
        assert_eq!(world.ask(conn, version, request).topics[0].partitions[0].error_code, ErrorCode::None);
    }
    for version in 1..=7 {
        assert_eq!(fetch_single(&mut world, conn, version).topics[0].partitions[0].committed_offset, 9);
    }
}

/// By the topic's id, as versions from 10 on have it.
fn commit_by_id(world: &mut World, conn: ConnId, topic_id: TopicId, offset: i64) -> ErrorCode {
    let partitions = vec![OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() }];
    let topics = vec![OffsetCommitRequestTopic { topic_id, partitions, ..Default::default() }];
    let answered =
        world.ask(conn, 10, OffsetCommitRequest { group_id: "g".into(), topics, ..Default::default() });
    assert_eq!(answered.topics[0].topic_id, topic_id);
    answered.topics[0].partitions[0].error_code
}

#[test]
fn an_offset_of_a_deleted_topic_is_not_taken_for_the_one_made_anew() {
    let mut world = world();
    let conn = world.connect(1);
    let again = TopicSpec::new("again", 1);
    let old = world.cluster.create_topic(&again).unwrap();
    assert_eq!(commit_by_id(&mut world, conn, old, 350), ErrorCode::None);
    world.cluster.delete_topic("again");
    let new = world.cluster.create_topic(&again).unwrap();
    assert_eq!(commit_by_id(&mut world, conn, old, 351), ErrorCode::UnknownTopicId);
    assert_eq!(world.cluster.committed("g").get(&("again".into(), 0)), None);
    assert_eq!(commit_by_id(&mut world, conn, new, 1), ErrorCode::None);

    let of =
        |topic_id| OffsetFetchRequestTopics { topic_id, partition_indexes: vec![0], ..Default::default() };
    let mut fetch = |topics| {
        let group = OffsetFetchRequestGroup { group_id: "g".into(), topics, ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let told = |topic: &OffsetFetchResponseTopics| {
            let partition = &topic.partitions[0];
            (topic.topic_id, partition.error_code, partition.committed_offset)
        };
        world.ask(conn, 10, request).groups[0].topics.iter().map(told).collect::<Vec<_>>()
    };
    let (taken, unknown) = ((new, ErrorCode::None, 1), (old, ErrorCode::UnknownTopicId, -1));
    assert_eq!(fetch(Some(vec![of(old), of(new)])), [unknown, taken]);
    assert_eq!(fetch(None), [taken], "all of the group's");
}

#[test]
fn several_groups_and_all_their_topics_in_one_request() {
    let mut world = world();
    let conn = world.connect(1);
    commit(&mut world, conn, "", -1, 5);
    let all =
        |group: &str| OffsetFetchRequestGroup { group_id: group.into(), topics: None, ..Default::default() };
    for version in 8..=9 {
        let request = OffsetFetchRequest { groups: vec![all("g"), all("nobody")], ..Default::default() };
        let response = world.ask(conn, version, request);
        assert_eq!(response.groups[0].topics[0].partitions[0].committed_offset, 5);
        assert_eq!((response.groups[1].error_code, response.groups[1].topics.len()), (ErrorCode::None, 0));
    }
    let all =
        world.ask(conn, 7, OffsetFetchRequest { group_id: "g".into(), topics: None, ..Default::default() });
    assert_eq!(all.topics.len(), 1);
}

#[test]
fn only_the_coordinator_keeps_offsets() {
    let mut world = World::new(Config { brokers: 3, ..config(&[("t", 1)]) });
    let conn = world.connect(1);
    let request = FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
    let node = world.ask(conn, 4, request).coordinators[0].node_id;
    let older = world.ask(conn, 2, FindCoordinatorRequest { key: "g".into(), ..Default::default() });
    assert_eq!((node, older.node_id), (world.cluster.coordinator("g"), node));
    let other = world.connect(node % 3 + 1);
    assert_eq!(commit(&mut world, other, "", -1, 5), ErrorCode::NotCoordinator);
    assert_eq!(fetch_single(&mut world, other, 7).error_code, ErrorCode::NotCoordinator);
    assert_eq!(
        fetch_single(&mut world, other, 1).topics[0].partitions[1].error_code,
        ErrorCode::NotCoordinator
    );
    let here = world.connect(node);
    assert_eq!(commit(&mut world, here, "", -1, 5), ErrorCode::None);
}

#[cfg(feature = "planted")]
#[test]
fn the_planted_bug_takes_commits_of_an_old_generation() {
    let mut world = world();
    world.plant(ottla_broker::Planted::CommitAcceptedFromOldGeneration);
    let member = Member::new(&mut world);
    let [mut member] = stable(&mut world, [member]);
    member.generation = 0;
    assert_eq!(member.commit(&mut world, 2), ErrorCode::None);
}
