//! Fetch: what is returned, when, and how much.

use ottla_broker::{Config, TopicSpec};
use ottla_protocol::{
    ErrorCode, TopicId,
    messages::{FetchRequest, FetchResponse, MetadataRequest},
};

use crate::common::{World, base_offsets, batch, config, fetch, fetched, millis};

fn only(response: &FetchResponse) -> &ottla_protocol::messages::FetchPartitionResponse {
    assert_eq!(fetched(response).len(), 1);
    fetched(response)[0].1
}

#[test]
fn whole_batches_from_the_one_that_holds_the_offset() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    for _ in 0..3 {
        world.append("t", 0, 10);
    }
    let response = world.ask(conn, 12, fetch(&[("t", 0, 15)]));
    let part = only(&response);
    assert_eq!(base_offsets(part), [10, 20]);
    assert_eq!((part.high_watermark, part.last_stable_offset, part.log_start_offset), (30, 30, 0));
}

#[test]
fn offsets_and_leader_epoch_are_patched_into_the_stored_batch() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    assert!(world.cluster.move_leader("t", 0, 2, world.now));
    world.append("t", 0, 2);
    world.append("t", 0, 3);
    let log = world.cluster.log("t", 0).unwrap();
    let headers: Vec<_> = ottla_protocol::records::walk_headers(&log).map(Result::unwrap).collect();
    assert_eq!(headers[1].1.base_offset, 2);
    assert_eq!(headers[1].1.partition_leader_epoch, 1);
    headers.iter().for_each(|(range, _)| ottla_protocol::records::check_crc(&log[range.clone()]).unwrap());
}

#[test]
fn only_the_first_batch_of_the_first_partition_may_exceed_the_limits() {
    let mut world = World::new(config(&[("t", 2)]));
    let conn = world.connect(1);
    world.append("t", 0, 100);
    world.append("t", 0, 100);
    world.append("t", 1, 100);
    let request = FetchRequest { max_bytes: 1, ..fetch(&[("t", 0, 0), ("t", 1, 0)]) };
    let response = world.ask(conn, 12, request);
    let parts: Vec<_> = fetched(&response).iter().map(|(_, part)| base_offsets(part)).collect();
    assert_eq!(parts, [vec![0], vec![]]);
}

#[test]
fn the_limit_of_a_partition_cuts_between_batches() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    for _ in 0..5 {
        world.append("t", 0, 10);
    }
    let mut request = fetch(&[("t", 0, 0)]);
    request.topics[0].partitions[0].partition_max_bytes = batch(10).len() as i32 * 3 - 1;
    assert_eq!(base_offsets(only(&world.ask(conn, 12, request))), [0, 10]);
}

#[test]
fn a_fetch_waits_for_min_bytes_or_for_its_time_to_end() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let size = batch(10).len() as i32;
    let request = FetchRequest { min_bytes: size + 1, max_wait_ms: 500, ..fetch(&[("t", 0, 0)]) };
    world.send(conn, 12, request.clone());
    world.append("t", 0, 10);
    assert!(world.reply::<FetchResponse>(conn).is_none(), "not enough yet");
    world.append("t", 0, 10);
    let response = world.reply::<FetchResponse>(conn).expect("enough");
    assert_eq!(base_offsets(only(&response)), [0, 10]);

    let mut later = request;
    later.topics[0].partitions[0].fetch_offset = 20;
    world.send(conn, 12, later);
    world.pass(millis(499));
    assert!(world.reply::<FetchResponse>(conn).is_none());
    world.pass(millis(1));
    assert!(base_offsets(only(&world.reply(conn).expect("its time ended"))).is_empty());
}

#[test]
fn an_offset_beyond_the_end_is_out_of_range_at_once() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.append("t", 0, 1);
    for offset in [2, -1] {
        let request = FetchRequest { min_bytes: 1, max_wait_ms: 500, ..fetch(&[("t", 0, offset)]) };
        assert_eq!(only(&world.ask(conn, 12, request)).error_code, ErrorCode::OffsetOutOfRange);
    }
}

#[test]
fn unknown_topics_and_partitions_are_errors_of_their_own() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let response = world.ask(conn, 12, fetch(&[("t", 7, 0), ("nope", 0, 0)]));
    assert!(fetched(&response).iter().all(|(_, part)| part.error_code == ErrorCode::UnknownTopicOrPartition));
    let mut by_id = fetch(&[("", 0, 0)]);
    by_id.topics[0].topic_id = TopicId([9; 16]);
    assert_eq!(only(&world.ask(conn, 13, by_id)).error_code, ErrorCode::UnknownTopicId);
}

#[test]
fn topics_are_fetched_by_id_from_version_13_on() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.append("t", 0, 1);
    let metadata = world.ask(conn, 12, MetadataRequest { topics: None, ..Default::default() });
    let mut by_id = fetch(&[("", 0, 0)]);
    by_id.topics[0].topic_id = metadata.topics[0].topic_id;
    for version in 13..=18 {
        let response = world.ask(conn, version, by_id.clone());
        assert_eq!(response.responses[0].topic_id, metadata.topics[0].topic_id);
        assert_eq!(base_offsets(only(&response)), [0]);
    }
}

#[test]
fn another_broker_than_the_leader_names_it_from_version_16_on() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    world.cluster.set_address(1, "one".into(), 1111);
    let conn = world.connect(2);
    let metadata = world.ask(conn, 12, MetadataRequest { topics: None, ..Default::default() });
    let mut request = fetch(&[("", 0, 0)]);
    request.topics[0].topic_id = metadata.topics[0].topic_id;
    let response = world.ask(conn, 16, request.clone());
    let part = only(&response);
    assert_eq!(part.error_code, ErrorCode::NotLeaderOrFollower);
    assert_eq!((part.current_leader.leader_id, part.current_leader.leader_epoch), (1, 0));
    assert_eq!((response.node_endpoints[0].host.as_str(), response.node_endpoints[0].port), ("one", 1111));
    assert_eq!(only(&world.ask(conn, 15, request)).current_leader.leader_id, -1);
}

#[test]
fn an_older_leader_epoch_is_fenced_and_a_newer_one_unknown() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    world.cluster.move_leader("t", 0, 2, world.now);
    let conn = world.connect(2);
    let mut code = |epoch| {
        let mut request = fetch(&[("t", 0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        only(&world.ask(conn, 12, request)).error_code
    };
    assert_eq!(code(0), ErrorCode::FencedLeaderEpoch);
    assert_eq!(code(1), ErrorCode::None);
    assert_eq!(code(2), ErrorCode::UnknownLeaderEpoch);
}

#[test]
fn a_waiting_fetch_learns_at_once_that_the_leader_moved() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    let conn = world.connect(1);
    world.send(conn, 12, FetchRequest { min_bytes: 1, max_wait_ms: 5000, ..fetch(&[("t", 0, 0)]) });
    world.cluster.move_leader("t", 0, 2, world.now);
    world.drain();
    assert_eq!(only(&world.reply(conn).expect("at once")).error_code, ErrorCode::NotLeaderOrFollower);
}

#[test]
fn a_waiting_fetch_learns_at_once_that_the_topic_is_gone() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.send(conn, 12, FetchRequest { min_bytes: 1, max_wait_ms: 5000, ..fetch(&[("t", 0, 0)]) });
    world.cluster.delete_topic("t");
    world.settle();
    assert_eq!(only(&world.reply(conn).expect("at once")).error_code, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn what_is_deleted_from_a_log_is_out_of_range() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    for _ in 0..3 {
        world.append("t", 0, 10);
    }
    // Inside the second batch, which stays whole.
    assert_eq!(world.cluster.delete_records("t", 0, 15, world.now), Some(15));
    assert_eq!(world.cluster.log_start_offset("t", 0), Some(15));
    let below = world.ask(conn, 12, fetch(&[("t", 0, 14)]));
    assert_eq!(only(&below).error_code, ErrorCode::OffsetOutOfRange);
    assert_eq!((only(&below).log_start_offset, only(&below).high_watermark), (-1, -1), "not told");
    let part = world.ask(conn, 12, fetch(&[("t", 0, 15)]));
    assert_eq!((base_offsets(only(&part)), only(&part).log_start_offset), (vec![10, 20], 15));
    // Never back, and at most to the end.
    assert_eq!(world.cluster.delete_records("t", 0, 3, world.now), Some(15));
    assert_eq!(world.cluster.delete_records("t", 0, 99, world.now), Some(30));
    assert_eq!(base_offsets(only(&world.ask(conn, 12, fetch(&[("t", 0, 30)])))), [0; 0]);
    assert_eq!(world.append("t", 0, 2), 30);
    assert_eq!(base_offsets(only(&world.ask(conn, 12, fetch(&[("t", 0, 31)])))), [30]);
    assert_eq!(world.cluster.delete_records("t", 1, 0, world.now), None);
}

#[test]
fn a_waiting_fetch_learns_at_once_that_its_offset_is_deleted() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.append("t", 0, 10);
    let waits = FetchRequest { min_bytes: 10_000, max_wait_ms: 5000, ..fetch(&[("t", 0, 5)]) };
    world.send(conn, 12, waits);
    world.cluster.delete_records("t", 0, 5, world.now);
    world.drain();
    assert!(world.reply::<FetchResponse>(conn).is_none(), "its own is there");
    world.cluster.delete_records("t", 0, 6, world.now);
    world.drain();
    assert_eq!(only(&world.reply(conn).expect("at once")).error_code, ErrorCode::OffsetOutOfRange);
}

#[test]
fn read_committed_gets_a_list_of_aborted_transactions_which_is_empty() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.append("t", 0, 1);
    let committed = FetchRequest { isolation_level: 1, ..fetch(&[("t", 0, 0)]) };
    assert_eq!(only(&world.ask(conn, 12, committed)).aborted_transactions, Some(vec![]));
    assert_eq!(only(&world.ask(conn, 12, fetch(&[("t", 0, 0)]))).aborted_transactions, None);
}

#[test]
fn every_version_of_fetch_is_answered() {
    let spec = TopicSpec::new("t", 1);
    let mut world = World::new(Config { topics: vec![spec], ..Config::default() });
    let conn = world.connect(1);
    world.append("t", 0, 1);
    for version in 4..=12 {
        assert_eq!(base_offsets(only(&world.ask(conn, version, fetch(&[("t", 0, 0)])))), [0]);
    }
}
