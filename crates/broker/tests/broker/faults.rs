//! Faults by script.

use ottla_broker::{Config, Fault};
use ottla_protocol::{ApiKey, ErrorCode, Request, messages::*, records::check_crc};

use crate::common::{
    World, answered, base_offsets, batch, config, example, fetch, fetched, millis, produce, produced,
};

#[test]
fn an_error_is_answered_so_many_times_and_nothing_is_done() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world
        .cluster
        .faults()
        .on(ApiKey::Produce)
        .after(1)
        .times(2)
        .then(Fault::Error(ErrorCode::NotEnoughReplicas));
    let codes: Vec<_> = (0..4).map(|_| produced(&world.ask(conn, 9, produce("t", 0, batch(1)))).0).collect();
    let failed = ErrorCode::NotEnoughReplicas;
    assert_eq!(codes, [ErrorCode::None, failed, failed, ErrorCode::None]);
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(2));
    assert!(world.cluster.faults().is_empty());
}

#[test]
fn a_fault_of_one_broker_is_not_anothers() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 2)]) });
    world.cluster.faults().on(ApiKey::Metadata).at(2).always().then(Fault::Disconnect);
    let (first, second) = (world.connect(1), world.connect(2));
    world.ask(first, 9, MetadataRequest::default());
    world.send(second, 9, MetadataRequest::default());
    assert!(world.is_closed(second) && !world.is_closed(first));
}

#[test]
fn a_delayed_request_is_served_later_and_those_behind_it_wait() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.cluster.faults().on(ApiKey::Produce).then(Fault::Delay(millis(200)));
    world.send(conn, 9, produce("t", 0, batch(1)));
    world.send(conn, 9, MetadataRequest::default());
    world.pass(millis(199));
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(0));
    assert!(world.reply::<ProduceResponse>(conn).is_none());
    world.pass(millis(1));
    assert_eq!(produced(&world.reply(conn).unwrap()), (ErrorCode::None, 0));
    assert!(world.reply::<MetadataResponse>(conn).is_some());
}

#[test]
fn a_silenced_connection_is_never_answered_and_others_are() {
    let mut world = World::new(Config::default());
    let (conn, other) = (world.connect(1), world.connect(1));
    world.cluster.faults().on_any().then(Fault::Silence);
    world.send(conn, 9, MetadataRequest::default());
    world.send(conn, 9, MetadataRequest::default());
    world.pass(millis(100_000));
    assert!(world.reply::<MetadataResponse>(conn).is_none() && !world.is_closed(conn));
    world.ask(other, 9, MetadataRequest::default());
}

#[test]
fn apply_then_disconnect_does_it_and_says_nothing() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.cluster.faults().on(ApiKey::Produce).then(Fault::ApplyThenDisconnect);
    world.send(conn, 9, produce("t", 0, batch(1)));
    assert!(world.is_closed(conn) && world.reply::<ProduceResponse>(conn).is_none());
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(1));
}

#[test]
fn a_throttled_request_is_answered_at_once_and_its_connection_is_muted_until_then() {
    let mut world = World::new(config(&[("t", 1)]));
    let (conn, other) = (world.connect(1), world.connect(1));
    world.cluster.faults().on(ApiKey::Produce).then(Fault::Throttle(millis(200)));
    let answer = world.ask(conn, 9, produce("t", 0, batch(1)));
    assert_eq!((answer.throttle_time_ms, produced(&answer)), (200, (ErrorCode::None, 0)));
    world.send(conn, 9, MetadataRequest::default());
    world.ask(other, 9, MetadataRequest::default());
    world.pass(millis(199));
    assert!(world.reply::<MetadataResponse>(conn).is_none());
    world.pass(millis(1));
    assert_eq!(world.reply::<MetadataResponse>(conn).unwrap().throttle_time_ms, 0);
    world.ask(conn, 9, MetadataRequest::default());
}

#[test]
fn a_throttled_fetch_returns_nothing_and_its_session_goes_on() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.append("t", 0, 1);
    let full = FetchRequest { session_epoch: 0, ..fetch(&[("t", 0, 0)]) };
    let throttled = |world: &mut World, request: FetchRequest| {
        world.cluster.faults().on(ApiKey::Fetch).then(Fault::Throttle(millis(200)));
        let response = world.ask(conn, 12, request);
        world.pass(millis(200));
        (response.throttle_time_ms, response.session_id, fetched(&response).len())
    };
    assert_eq!(throttled(&mut world, full.clone()), (200, 0, 0), "none is opened");
    let session_id = world.ask(conn, 12, full).session_id;
    let next = |session_epoch, parts| FetchRequest { session_id, session_epoch, ..fetch(parts) };
    assert_eq!(throttled(&mut world, next(1, &[])), (200, session_id, 0));
    let again = world.ask(conn, 12, next(2, &[]));
    assert_eq!(base_offsets(fetched(&again)[0].1), [0], "from where it was asked");
}

#[test]
fn a_corrupt_fetch_fails_its_crc_once_and_the_log_is_unharmed() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.cluster.faults().on(ApiKey::Fetch).then(Fault::Corrupt);
    let empty = world.ask(conn, 12, fetch(&[("t", 0, 0)]));
    assert!(base_offsets(fetched(&empty)[0].1).is_empty(), "nothing to corrupt yet");
    world.append("t", 0, 1);
    let mut read = || {
        let response = world.ask(conn, 12, fetch(&[("t", 0, 0)]));
        check_crc(fetched(&response)[0].1.records.as_ref().unwrap().bytes(&[])).is_ok()
    };
    assert_eq!([read(), read()], [false, true]);
}

#[test]
fn an_error_in_some_partitions_leaves_the_others_as_they_are() {
    let mut world = World::new(config(&[("t", 4)]));
    let conn = world.connect(1);
    let code = ErrorCode::NotLeaderOrFollower;
    let odd = |errors: Vec<ErrorCode>| {
        let expected = [ErrorCode::None, code, ErrorCode::None, code];
        assert_eq!(errors, expected);
    };
    for api in
        [ApiKey::Produce, ApiKey::Fetch, ApiKey::ListOffsets, ApiKey::OffsetCommit, ApiKey::OffsetFetch]
    {
        world.cluster.faults().on(api).then(Fault::ErrorInSome(code));
    }
    let partition =
        |index| ListOffsetsPartition { partition_index: index, timestamp: -1, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: (0..4).map(partition).collect() }];
    let ends = world.ask(conn, 7, ListOffsetsRequest { replica_id: -1, topics, ..Default::default() });
    odd(ends.topics[0].partitions.iter().map(|p| p.error_code).collect());

    let partition = |index| OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: 5,
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "t".into(),
        partitions: (0..4).map(partition).collect(),
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let committed = world.ask(conn, 8, commit);
    odd(committed.topics[0].partitions.iter().map(|p| p.error_code).collect());
    let offsets = world.cluster.committed("g");
    assert_eq!(offsets.into_keys().map(|(_, index)| index).collect::<Vec<_>>(), [0, 2]);

    let topics =
        Some(vec![OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0, 1, 2, 3] }]);
    let found = world.ask(conn, 7, OffsetFetchRequest { group_id: "g".into(), topics, ..Default::default() });
    odd(found.topics[0].partitions.iter().map(|p| p.error_code).collect());
    assert_eq!(found.topics[0].partitions[2].committed_offset, 5);

    let fetched_all = world.ask(conn, 12, fetch(&[("t", 0, 0), ("t", 1, 0), ("t", 2, 0), ("t", 3, 0)]));
    odd(fetched(&fetched_all).iter().map(|(_, p)| p.error_code).collect());
}

/// Every API has a place for an error, in every version.
#[test]
fn an_error_makes_a_well_formed_response_of_every_api_in_every_version() {
    let code = ErrorCode::UnknownServerError;
    for api in answered() {
        let versions = ottla_broker::VersionSet::default().spoken(api);
        for version in versions.min..=versions.max {
            let mut world = World::new(config(&[("t", 1)]));
            let conn = world.connect(1);
            world.cluster.faults().on(api).then(Fault::Error(code));
            let text = match example(api) {
                Request::Produce(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::Fetch(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::ListOffsets(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::Metadata(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::OffsetCommit(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::OffsetFetch(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::FindCoordinator(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::JoinGroup(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::Heartbeat(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::LeaveGroup(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::SyncGroup(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::DescribeGroups(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::ListGroups(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::ApiVersions(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::SaslHandshake(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::SaslAuthenticate(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::CreateTopics(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::DeleteTopics(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::InitProducerId(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::CreatePartitions(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::ConsumerGroupHeartbeat(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::ConsumerGroupDescribe(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::DeleteRecords(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::OffsetForLeaderEpoch(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::AddPartitionsToTxn(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::AddOffsetsToTxn(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::EndTxn(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::TxnOffsetCommit(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::OffsetDelete(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::DescribeProducers(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::DescribeTransactions(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::ListTransactions(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::DeleteGroups(r) => format!("{:?}", world.ask(conn, version, r)),
                Request::WriteTxnMarkers(r) => format!("{:?}", world.ask(conn, version, r)),
                other => panic!("no example of {other:?}"),
            };
            assert!(text.contains("UnknownServerError"), "{api:?} {version}: {text}");
        }
    }
}
