//! OffsetForLeaderEpoch.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod common;

use common::{World, config};
use ottla_broker::Config;
use ottla_protocol::{
    ErrorCode,
    messages::{OffsetForLeaderEpochPartition, OffsetForLeaderEpochRequest, OffsetForLeaderEpochTopic},
};

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
