//! Authorization of transactions, and of the APIs around them.

use ottla_broker::{Authorizer, Config, ConnId, ErrorCode};
use ottla_protocol::messages::*;

use crate::common::{
    World, config,
    transaction::{NOBODY, Producer},
};

const NONE: ErrorCode = ErrorCode::None;
const TOPIC: ErrorCode = ErrorCode::TopicAuthorizationFailed;
const GROUP: ErrorCode = ErrorCode::GroupAuthorizationFailed;
const ID: ErrorCode = ErrorCode::TransactionalIdAuthorizationFailed;

/// A topic `t`, what alice may do, a connection of hers, and a producer that an administrator made.
fn world(acls: &[&str]) -> (World, ConnId, Producer) {
    let acls = acls.iter().map(|acl| format!("User:alice:{acl}").parse().unwrap()).collect();
    let authorizer = Authorizer { acls, super_users: vec!["User:admin".into()], ..Default::default() };
    let mut world = World::new(Config { authorizer: Some(authorizer), ..config(&[("t", 1), ("shut", 1)]) });
    let admin = world.connect_with("User:admin");
    let producer = world.producer(admin, "tx");
    let conn = world.connect_with("User:alice");
    (world, conn, producer)
}

const ALL: [&str; 3] = ["WRITE:transactional-id:tx", "ALL:topic:t", "ALL:group:g"];

#[test]
fn a_transaction_needs_write_on_its_id() {
    let (mut world, conn, producer) = world(&ALL);
    world.add(conn, 3, producer, &[("t", 0)]);
    assert_eq!(world.write(conn, 11, producer, "t", 0, 0), NONE);
    assert_eq!(world.add_offsets(conn, 4, producer, "g"), NONE);
    assert_eq!(world.commit_in(conn, 4, producer, "g", NOBODY, ("t", 0), 5), NONE);
    assert_eq!(world.end(conn, 5, producer, true).0, NONE);
    assert_eq!(world.init(conn, 5, "tx", None).map(|it| it.epoch), Ok(2));
    let (mut world, conn, producer) = self::world(&["DESCRIBE:transactional-id:tx", ALL[1], ALL[2]]);
    assert_eq!(world.init(conn, 5, "tx", None), Err(ID));
    assert_eq!(world.add(conn, 3, producer, &[("t", 0)]), [ID]);
    assert_eq!(world.write(conn, 12, producer, "t", 0, 0), ID);
    assert_eq!(world.add_offsets(conn, 4, producer, "g"), ID);
    assert_eq!(world.commit_in(conn, 5, producer, "g", NOBODY, ("t", 0), 5), ID);
    assert_eq!(world.end(conn, 5, producer, false).0, ID);
}

#[test]
fn a_transaction_needs_what_its_writes_need() {
    let (mut world, conn, producer) = world(&[ALL[0], "DESCRIBE:group:g", "WRITE:topic:t"]);
    let added = world.add(conn, 3, producer, &[("t", 0), ("shut", 0)]);
    assert_eq!(added, [ErrorCode::OperationNotAttempted, TOPIC]);
    assert_eq!(world.write(conn, 12, producer, "shut", 0, 0), TOPIC);
    assert_eq!(world.add_offsets(conn, 4, producer, "g"), GROUP);
    assert_eq!(world.commit_in(conn, 5, producer, "g", NOBODY, ("t", 0), 5), GROUP);
    let (mut world, conn, producer) = self::world(&[ALL[0], "READ:group:g", "WRITE:topic:t"]);
    assert_eq!(world.commit_in(conn, 5, producer, "g", NOBODY, ("t", 0), 5), TOPIC, "WRITE is not READ");
}

#[test]
fn what_brokers_ask_each_other_needs_cluster_action() {
    let request = AddPartitionsToTxnRequest::default();
    let (mut world, conn, _) = world(&ALL);
    let told = world.ask(conn, 4, request.clone()).error_code;
    assert_eq!(told, ErrorCode::ClusterAuthorizationFailed);
    let (mut world, conn, _) = self::world(&["CLUSTER_ACTION:cluster"]);
    assert_eq!(world.ask(conn, 4, request).error_code, NONE);
}

#[test]
fn a_transactional_id_is_found_and_described_by_who_may_describe_it() {
    for (acls, code) in [(&["DESCRIBE:transactional-id:tx"][..], NONE), (&["ALL:topic:t"], ID)] {
        let (mut world, conn, _) = world(acls);
        let find = FindCoordinatorRequest { key_type: 1, key: "tx".into(), ..Default::default() };
        assert_eq!(world.ask(conn, 3, find).error_code, code);
        let describe = DescribeTransactionsRequest { transactional_ids: vec!["tx".into()] };
        assert_eq!(world.ask(conn, 0, describe).transaction_states[0].error_code, code);
        let listed =
            world.ask(conn, 1, ListTransactionsRequest { duration_filter: -1, ..Default::default() });
        assert_eq!(listed.transaction_states.len(), usize::from(code.is_ok()));
    }
}

#[test]
fn records_offsets_and_epochs_are_for_who_may() {
    for (acl, deletes, describes, epochs) in [
        ("DELETE:topic:t", NONE, TOPIC, NONE),
        ("READ:topic:t", TOPIC, NONE, NONE),
        ("DESCRIBE:topic:t", TOPIC, TOPIC, NONE),
        ("ALL:topic:shut", TOPIC, TOPIC, TOPIC),
    ] {
        let (mut world, conn, _) = world(&[acl]);
        let partitions = vec![DeleteRecordsPartition::default()];
        let topics = vec![DeleteRecordsTopic { name: "t".into(), partitions }];
        let deleted = world.ask(conn, 2, DeleteRecordsRequest { topics, timeout_ms: 0 });
        assert_eq!(deleted.topics[0].partitions[0].error_code, deletes, "{acl}");
        let topics = vec![DescribeProducersTopic { name: "t".into(), partition_indexes: vec![0] }];
        let described = world.ask(conn, 0, DescribeProducersRequest { topics });
        assert_eq!(described.topics[0].partitions[0].error_code, describes, "{acl}");
        let partitions = vec![OffsetForLeaderEpochPartition::default()];
        let topics = vec![OffsetForLeaderEpochTopic { topic: "t".into(), partitions }];
        let ended = world.ask(conn, 4, OffsetForLeaderEpochRequest { topics, ..Default::default() });
        assert_eq!(ended.topics[0].partitions[0].error_code, epochs, "{acl}");
    }
}

#[test]
fn offsets_are_deleted_by_who_may_delete_the_group_and_read_the_topic() {
    for (acls, expected) in [
        (&["READ:group:g", "READ:topic:t"][..], (GROUP, None)),
        (&["ALL:group:g", "DESCRIBE:topic:t"], (NONE, Some(TOPIC))),
        (&["ALL:group:g", "READ:topic:t"], (NONE, Some(NONE))),
    ] {
        let (mut world, conn, _) = world(acls);
        let admin = world.connect_with("User:admin");
        crate::common::group::commit(&mut world, admin, "", -1, 3);
        let partitions = vec![OffsetDeletePartition { partition_index: 0 }];
        let topics = vec![OffsetDeleteTopic { name: "t".into(), partitions }];
        let told = world.ask(conn, 0, OffsetDeleteRequest { group_id: "g".into(), topics });
        let partition = told.topics.first().map(|topic| topic.partitions[0].error_code);
        assert_eq!((told.error_code, partition), expected);
    }
}

#[test]
fn groups_are_deleted_and_markers_written_by_who_may() {
    let cluster = ErrorCode::ClusterAuthorizationFailed;
    for (acls, deletes, marks) in [
        (&["READ:group:g"][..], GROUP, cluster),
        (&["DELETE:group:g", "ALTER:cluster"], NONE, NONE),
        (&["CLUSTER_ACTION:cluster"], GROUP, NONE),
    ] {
        let (mut world, conn, producer) = world(acls);
        let admin = world.connect_with("User:admin");
        crate::common::group::commit(&mut world, admin, "", -1, 3);
        let told = world.ask(conn, 2, DeleteGroupsRequest { groups_names: vec!["g".into()] });
        assert_eq!(told.results[0].error_code, deletes, "{acls:?}");
        let topics = vec![WriteTxnMarkersTopic { name: "t".into(), partition_indexes: vec![0] }];
        let marker = WriteTxnMarkersMarker { producer_id: producer.id, topics, ..Default::default() };
        let told = world.ask(conn, 1, WriteTxnMarkersRequest { markers: vec![marker] });
        assert_eq!(told.markers[0].topics[0].partitions[0].error_code, marks, "{acls:?}");
    }
}
