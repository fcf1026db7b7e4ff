//! OffsetForLeaderEpoch.

use ottla_broker::{Config, ConnId};
use ottla_protocol::{
    ErrorCode,
    messages::{
        FetchPartitionResponse, FetchResponse, OffsetForLeaderEpochPartition, OffsetForLeaderEpochRequest,
        OffsetForLeaderEpochTopic,
    },
};

use crate::common::{World, config, fetch};

#[test]
fn an_epoch_ends_where_the_next_begins_and_the_last_at_the_logs_end() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    let leader = world.cluster.leader("t", 0).unwrap().0;
    world.append("t", 0, 3);
    world.cluster.move_leader("t", 0, 3 - leader, world.now);
    world.append("t", 0, 4);
    world.cluster.move_leader("t", 0, leader, world.now);
    let (conn, other) = (world.connect(leader), world.connect(3 - leader));
    for (conn, partition, believed, epoch, expected) in [
        (conn, 0, 2, 0, (ErrorCode::None, 0, 3)),
        (conn, 0, 2, 1, (ErrorCode::None, 1, 7)),
        (conn, 0, -1, 2, (ErrorCode::None, 2, 7)),
        (conn, 0, 2, 3, (ErrorCode::None, -1, -1)),
        (conn, 0, 2, -1, (ErrorCode::None, -1, -1)),
        (conn, 0, 1, 0, (ErrorCode::FencedLeaderEpoch, -1, -1)),
        (conn, 0, 3, 0, (ErrorCode::UnknownLeaderEpoch, -1, -1)),
        (other, 0, 2, 0, (ErrorCode::NotLeaderOrFollower, -1, -1)),
        (conn, 9, 2, 0, (ErrorCode::UnknownTopicOrPartition, -1, -1)),
    ] {
        for version in 2..=4 {
            let asked = OffsetForLeaderEpochPartition {
                partition,
                current_leader_epoch: believed,
                leader_epoch: epoch,
            };
            let topics = vec![OffsetForLeaderEpochTopic { topic: "t".into(), partitions: vec![asked] }];
            let request = OffsetForLeaderEpochRequest { topics, ..Default::default() };
            let answer = world.ask(conn, version, request);
            let end = &answer.topics[0].partitions[0];
            let told = (end.error_code, end.leader_epoch, end.end_offset);
            assert_eq!(told, expected, "epoch {epoch}, version {version}");
        }
    }
}

/// Answers a fetch from an offset, behind a record of an epoch.
fn fetched(world: &mut World, conn: ConnId, offset: i64, last_fetched_epoch: i32) -> FetchPartitionResponse {
    let mut request = fetch(&[("t", 0, offset)]);
    request.topics[0].partitions[0].last_fetched_epoch = last_fetched_epoch;
    let response: FetchResponse = world.ask(conn, 12, request);
    response.responses.into_iter().next().unwrap().partitions.remove(0)
}

#[test]
fn an_unclean_election_loses_what_the_new_leader_has_not_followed() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    let leader = world.cluster.leader("t", 0).unwrap().0;
    for _ in 0..5 {
        world.append("t", 0, 2);
    }
    assert_eq!(world.cluster.elect_unclean("t", 0, 3 - leader, 7, world.now), Some(6), "whole batches");
    assert_eq!(world.cluster.leader("t", 0), Some((3 - leader, 1)));
    world.append("t", 0, 5);
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(11));

    // A client that read to 10 is told where the log parts from what it read; one that read no further than that is served.
    let conn = world.connect(3 - leader);
    for (offset, epoch, expected) in [(10, 0, (0, 6)), (6, 0, (-1, -1)), (11, 1, (-1, -1))] {
        let answer = fetched(&mut world, conn, offset, epoch);
        let told = (answer.diverging_epoch.epoch, answer.diverging_epoch.end_offset);
        assert_eq!((answer.error_code, told), (ErrorCode::None, expected), "offset {offset}");
        assert_eq!(answer.records.is_none_or(|records| records.is_empty()), offset != 6);
    }
    assert_eq!(fetched(&mut world, conn, 6, 5).error_code, ErrorCode::OffsetOutOfRange, "no such epoch yet");
}
