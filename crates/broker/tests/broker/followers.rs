//! Fetching from followers (KIP-392).

use ottla_broker::{Config, TopicSpec};
use ottla_protocol::{
    ErrorCode,
    messages::{FetchPartitionResponse, FetchRequest, FetchResponse},
};

use crate::common::{World, base_offsets, config, fetch, fetched};

/// Broker 1 leads a partition of ten records, broker 2 follows, broker 3 has nothing of it.
fn world() -> World {
    let topic = TopicSpec { replication_factor: 2, ..TopicSpec::new("t", 1) };
    let config = Config { brokers: 3, follower_fetching: true, topics: vec![topic], ..config(&[]) };
    let mut world = World::new(config);
    assert_eq!(world.cluster.leader("t", 0), Some((1, 0)));
    world.append("t", 0, 10);
    world
}

fn from(rack: &str, offset: i64) -> FetchRequest {
    FetchRequest { rack_id: rack.to_owned(), ..fetch(&[("t", 0, offset)]) }
}

/// What a broker answers to one who is in this rack.
fn ask(world: &mut World, node: i32, rack: &str, offset: i64) -> FetchPartitionResponse {
    let conn = world.connect(node);
    fetched(&world.ask(conn, 12, from(rack, offset)))[0].1.clone()
}

#[test]
fn a_leader_names_the_follower_in_the_clients_rack_and_sends_no_records() {
    let mut world = world();
    let named = ask(&mut world, 1, "rack-2", 0);
    assert_eq!(
        (named.error_code, named.preferred_read_replica, named.high_watermark),
        (ErrorCode::None, 2, 10)
    );
    assert!(base_offsets(&named).is_empty());
    for elsewhere in ["", "rack-1", "rack-3", "rack-9"] {
        let served = ask(&mut world, 1, elsewhere, 0);
        assert_eq!((served.preferred_read_replica, base_offsets(&served)), (-1, vec![0]), "{elsewhere}");
    }
}

#[test]
fn a_follower_serves_what_it_has_and_names_nobody() {
    let mut world = world();
    let served = ask(&mut world, 2, "rack-2", 0);
    assert_eq!((served.preferred_read_replica, base_offsets(&served)), (-1, vec![0]));
    assert_eq!(ask(&mut world, 3, "rack-3", 0).error_code, ErrorCode::NotLeaderOrFollower);
    let conn = world.connect(2);
    let older = world.ask(conn, 10, from("", 0));
    assert_eq!(fetched(&older)[0].1.error_code, ErrorCode::NotLeaderOrFollower, "who cannot tell a rack");
}

#[test]
fn a_follower_that_has_stopped_is_not_named_and_serves_up_to_where_it_stopped() {
    let mut world = world();
    world.cluster.set_following_stopped(2, true, world.now);
    world.append("t", 0, 5);
    let by_leader = ask(&mut world, 1, "rack-2", 0);
    assert_eq!((by_leader.preferred_read_replica, base_offsets(&by_leader)), (-1, vec![0, 10]));
    let stale = ask(&mut world, 2, "rack-2", 0);
    assert_eq!((base_offsets(&stale), stale.high_watermark, stale.last_stable_offset), (vec![0], 10, 10));
    assert!(base_offsets(&ask(&mut world, 2, "rack-2", 10)).is_empty());
    assert_eq!(ask(&mut world, 2, "rack-2", 11).error_code, ErrorCode::OffsetOutOfRange);
    world.cluster.set_following_stopped(2, false, world.now);
    assert_eq!(ask(&mut world, 1, "rack-2", 0).preferred_read_replica, 2);
    assert_eq!(base_offsets(&ask(&mut world, 2, "rack-2", 10)), [10]);
}

#[test]
fn a_follower_that_is_down_is_not_named() {
    let mut world = world();
    world.cluster.stop_node(2, world.now);
    assert_eq!(ask(&mut world, 1, "rack-2", 0).preferred_read_replica, -1);
    world.cluster.start_node(2, world.now);
    assert_eq!(ask(&mut world, 1, "rack-2", 0).preferred_read_replica, 2);
}

#[test]
fn who_has_the_leader_in_its_rack_since_it_moved_reads_from_that() {
    let mut world = world();
    assert!(world.cluster.move_leader("t", 0, 2, world.now));
    let moved = ask(&mut world, 2, "rack-2", 0);
    assert_eq!((moved.preferred_read_replica, base_offsets(&moved)), (-1, vec![0]));
    assert_eq!(ask(&mut world, 2, "rack-1", 0).preferred_read_replica, 1);
}

#[test]
fn in_a_session_a_follower_is_news_and_is_told_at_once() {
    let mut world = world();
    world.cluster.set_following_stopped(2, true, world.now);
    let conn = world.connect(1);
    let opened = world.ask(conn, 12, FetchRequest { session_epoch: 0, ..from("rack-2", 10) });
    let waits = FetchRequest {
        session_id: opened.session_id,
        session_epoch: 1,
        max_wait_ms: 60_000,
        min_bytes: 1,
        topics: Vec::new(),
        ..from("rack-2", 10)
    };
    world.send(conn, 12, waits);
    assert!(world.replies_are_empty(conn), "it waits for records");
    world.cluster.set_following_stopped(2, false, world.now);
    world.drain();
    let named: FetchResponse = world.reply(conn).expect("an answer");
    assert_eq!(fetched(&named)[0].1.preferred_read_replica, 2);
}

#[test]
fn unless_configured_followers_serve_nobody() {
    let topic = TopicSpec { replication_factor: 2, ..TopicSpec::new("t", 1) };
    let mut world = World::new(Config { brokers: 2, topics: vec![topic], ..config(&[]) });
    assert_eq!(ask(&mut world, 1, "rack-2", 0).preferred_read_replica, -1);
    assert_eq!(ask(&mut world, 2, "rack-2", 0).error_code, ErrorCode::NotLeaderOrFollower);
}
