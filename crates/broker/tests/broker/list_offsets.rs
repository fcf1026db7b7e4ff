//! ListOffsets: the ends of a log, and offsets by time.

use ottla_broker::Config;
use ottla_protocol::{
    ErrorCode,
    messages::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    records::Compression,
};

use crate::common::{World, batch_at, config};

fn find(world: &mut World, node: i32, version: i16, timestamp: i64) -> (ErrorCode, i64, i64) {
    let conn = world.connect(node);
    let partitions = vec![ListOffsetsPartition { timestamp, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions }];
    let response =
        world.ask(conn, version, ListOffsetsRequest { replica_id: -1, topics, ..Default::default() });
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.offset, found.timestamp)
}

/// Timestamps 100, 300, 200 | 150 | 400, 500, in each codec.
fn filled(compression: Compression) -> World {
    let mut world = World::new(config(&[("t", 1)]));
    for timestamps in [&[100, 300, 200][..], &[150], &[400, 500]] {
        world.cluster.append("t", 0, &batch_at(timestamps, compression), world.now).unwrap();
    }
    world
}

#[test]
fn a_timestamp_finds_the_first_record_at_or_after_it() {
    for &compression in Compression::ALL {
        let mut world = filled(compression);
        for (timestamp, expected) in [
            (0, (0, 100)),
            (100, (0, 100)),
            (101, (1, 300)),
            (300, (1, 300)),
            (301, (4, 400)),
            (450, (5, 500)),
            (501, (-1, -1)),
        ] {
            let (code, offset, found) = find(&mut world, 1, 7, timestamp);
            assert_eq!(
                (code, (offset, found)),
                (ErrorCode::None, expected),
                "{compression:?} at {timestamp}"
            );
        }
    }
}

#[test]
fn both_ends_in_every_version() {
    let mut world = filled(Compression::None);
    for version in 1..=11 {
        assert_eq!(find(&mut world, 1, version, -2), (ErrorCode::None, 0, -1));
        assert_eq!(find(&mut world, 1, version, -1), (ErrorCode::None, 6, -1));
    }
}

#[test]
fn the_largest_timestamp_is_found_from_version_7_on() {
    let mut world = filled(Compression::None);
    assert_eq!(find(&mut world, 1, 7, -3), (ErrorCode::None, 5, 500));
    assert_eq!(find(&mut world, 1, 6, -3).0, ErrorCode::UnsupportedVersion);
}

#[test]
fn what_is_deleted_from_a_log_is_not_found() {
    for &compression in Compression::ALL {
        let mut world = filled(compression);
        assert_eq!(world.cluster.delete_records("t", 0, 2, world.now), Some(2));
        assert_eq!(find(&mut world, 1, 7, -2), (ErrorCode::None, 2, -1));
        for (timestamp, expected) in [(0, (2, 200)), (200, (2, 200)), (201, (4, 400)), (501, (-1, -1))] {
            let (code, offset, found) = find(&mut world, 1, 7, timestamp);
            assert_eq!(
                (code, (offset, found)),
                (ErrorCode::None, expected),
                "{compression:?} at {timestamp}"
            );
        }
        world.cluster.delete_records("t", 0, 6, world.now);
        for timestamp in [-2, -1] {
            assert_eq!(find(&mut world, 1, 7, timestamp), (ErrorCode::None, 6, -1));
        }
        assert_eq!(find(&mut world, 1, 7, -3), (ErrorCode::None, -1, -1));
    }
}

#[test]
fn nothing_is_tiered() {
    let mut world = filled(Compression::None);
    assert_eq!(find(&mut world, 1, 9, -5), (ErrorCode::None, -1, -1));
    assert_eq!(find(&mut world, 1, 8, -4), (ErrorCode::None, 0, -1));
}

#[test]
fn only_the_leader_answers() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    assert_eq!(find(&mut world, 2, 7, -1).0, ErrorCode::NotLeaderOrFollower);
    assert_eq!(find(&mut world, 1, 7, -1), (ErrorCode::None, 0, -1));
}
