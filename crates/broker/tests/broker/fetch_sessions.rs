//! Fetch sessions (KIP-227): each request sends what changed, each response what is new.

use ottla_broker::{Config, ConnId};
use ottla_protocol::{
    ErrorCode,
    messages::{FetchForgottenTopic, FetchRequest, FetchResponse},
};

use crate::common::{World, base_offsets, config, fetch, fetched, millis};

/// Opens a session on these partitions from offset 0.
fn open(world: &mut World, conn: ConnId, partitions: &[i32]) -> FetchResponse {
    let parts: Vec<_> = partitions.iter().map(|index| ("t", *index, 0)).collect();
    world.ask(conn, 12, FetchRequest { session_epoch: 0, ..fetch(&parts) })
}

fn next(id: i32, epoch: i32, parts: &[(&str, i32, i64)]) -> FetchRequest {
    FetchRequest { session_id: id, session_epoch: epoch, ..fetch(parts) }
}

fn indexes(response: &FetchResponse) -> Vec<i32> {
    fetched(response).iter().map(|(_, part)| part.partition_index).collect()
}

#[test]
fn a_session_answers_only_partitions_with_news() {
    let mut world = World::new(config(&[("t", 3)]));
    let conn = world.connect(1);
    let opened = open(&mut world, conn, &[0, 1, 2]);
    assert_eq!(indexes(&opened), [0, 1, 2]);
    let id = opened.session_id;
    assert!(id > 0);

    let nothing = world.ask(conn, 12, next(id, 1, &[]));
    assert_eq!((nothing.session_id, indexes(&nothing)), (id, vec![]));

    world.append("t", 1, 5);
    let news = world.ask(conn, 12, next(id, 2, &[]));
    assert_eq!(indexes(&news), [1]);
    assert_eq!(base_offsets(fetched(&news)[0].1), [0]);
    // Its position has moved; the others are as they were.
    assert_eq!(indexes(&world.ask(conn, 12, next(id, 3, &[("t", 1, 5)]))), [0; 0]);
}

#[test]
fn records_that_were_not_taken_are_sent_again() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0]).session_id;
    world.append("t", 0, 5);
    assert_eq!(indexes(&world.ask(conn, 12, next(id, 1, &[]))), [0]);
    assert_eq!(indexes(&world.ask(conn, 12, next(id, 2, &[]))), [0]);
}

#[test]
fn a_forgotten_partition_is_not_fetched_and_one_added_is() {
    let mut world = World::new(config(&[("t", 3)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0, 1]).session_id;
    for index in 0..3 {
        world.append("t", index, 1);
    }
    let forgotten = FetchForgottenTopic { topic: "t".into(), partitions: vec![0], ..Default::default() };
    let request = FetchRequest { forgotten_topics_data: vec![forgotten], ..next(id, 1, &[("t", 2, 0)]) };
    assert_eq!(indexes(&world.ask(conn, 12, request)), [1, 2]);
}

#[test]
fn an_unknown_session_and_a_wrong_epoch_are_told_apart() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0]).session_id;
    let wrong = world.ask(conn, 12, next(id, 5, &[]));
    assert_eq!((wrong.error_code, wrong.session_id), (ErrorCode::InvalidFetchSessionEpoch, 0));
    let other = id.wrapping_add(1).max(1);
    assert_eq!(world.ask(conn, 12, next(other, 1, &[])).error_code, ErrorCode::FetchSessionIdNotFound);
    // The error changed nothing.
    assert_eq!(world.ask(conn, 12, next(id, 1, &[])).error_code, ErrorCode::None);
}

#[test]
fn a_full_fetch_with_the_old_id_replaces_the_session() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0]).session_id;
    let again = world.ask(conn, 12, next(id, 0, &[("t", 0, 0)]));
    assert_ne!(again.session_id, id);
    assert_eq!(world.ask(conn, 12, next(id, 1, &[])).error_code, ErrorCode::FetchSessionIdNotFound);
}

#[test]
fn a_final_epoch_closes_the_session() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0]).session_id;
    assert_eq!(world.ask(conn, 12, next(id, -1, &[])).session_id, 0);
    assert_eq!(world.ask(conn, 12, next(id, 1, &[])).error_code, ErrorCode::FetchSessionIdNotFound);
}

#[test]
fn a_session_that_names_topics_does_not_go_on_with_ids() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0]).session_id;
    assert_eq!(world.ask(conn, 13, next(id, 1, &[])).error_code, ErrorCode::FetchSessionTopicIdError);
}

#[test]
fn without_room_there_is_no_session_until_an_old_one_may_go() {
    let mut world = World::new(Config { max_fetch_sessions: 1, ..config(&[("t", 1)]) });
    let conn = world.connect(1);
    assert_ne!(open(&mut world, conn, &[0]).session_id, 0);
    assert_eq!(open(&mut world, conn, &[0]).session_id, 0);
    world.pass(millis(121_000));
    assert_ne!(open(&mut world, conn, &[0]).session_id, 0);
}

#[test]
fn partitions_that_returned_records_go_to_the_end_of_the_line() {
    let mut world = World::new(config(&[("t", 2)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0, 1]).session_id;
    for index in 0..2 {
        world.append("t", index, 10);
    }
    let mut read = |epoch| {
        let response = world.ask(conn, 12, FetchRequest { max_bytes: 1, ..next(id, epoch, &[]) });
        fetched(&response).iter().find(|(_, part)| !base_offsets(part).is_empty()).unwrap().1.partition_index
    };
    assert_eq!([read(1), read(2), read(3)], [0, 1, 0]);
}

#[test]
fn an_error_is_told_each_time_and_its_end_too() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0]).session_id;
    world.cluster.move_leader("t", 0, 2, world.now);
    for epoch in 1..=2 {
        let response = world.ask(conn, 12, next(id, epoch, &[]));
        assert_eq!(fetched(&response)[0].1.error_code, ErrorCode::NotLeaderOrFollower);
    }
    world.cluster.move_leader("t", 0, 1, world.now);
    assert_eq!(indexes(&world.ask(conn, 12, next(id, 3, &[]))), [0]);
    assert_eq!(indexes(&world.ask(conn, 12, next(id, 4, &[]))), [0; 0]);
}

#[test]
fn an_incremental_fetch_waits_for_any_partition_of_its_session() {
    let mut world = World::new(config(&[("t", 2)]));
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0, 1]).session_id;
    world.send(conn, 12, FetchRequest { min_bytes: 1, max_wait_ms: 500, ..next(id, 1, &[]) });
    assert!(world.reply::<FetchResponse>(conn).is_none());
    world.append("t", 1, 1);
    assert_eq!(indexes(&world.reply::<FetchResponse>(conn).expect("records")), [1]);
}

#[cfg(feature = "planted")]
#[test]
fn the_planted_bug_reads_from_the_old_position() {
    let mut world = World::new(config(&[("t", 1)]));
    world.plant(ottla_broker::Planted::SessionKeepsOldPosition);
    let conn = world.connect(1);
    let id = open(&mut world, conn, &[0]).session_id;
    world.append("t", 0, 1);
    let response = world.ask(conn, 12, next(id, 1, &[("t", 0, 1)]));
    assert_eq!(base_offsets(fetched(&response)[0].1), [0]);
}
