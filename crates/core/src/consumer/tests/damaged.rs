//! Batches of which a fetch finds already, by their headers, that they cannot be read.

use super::*;
use crate::{Filter, LaneFailure};

fn started() -> World {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    world.fetches.truncate(1);
    world
}

/// A batch of which the header says that it is of another format.
fn unreadable(offsets: std::ops::Range<i64>) -> Vec<u8> {
    let mut batch = batch(offsets);
    batch[16] = 9;
    batch
}

/// Answers the fetch under way with these bytes, and says at which offset it began.
fn brings(world: &mut World, bytes: Vec<u8>) -> i64 {
    if world.fetches.is_empty() {
        world.pass(Duration::from_secs(2));
    }
    let fetch = world.fetches.pop_front().expect("a fetch is under way");
    let Request::Fetch(request) = &fetch.request else { panic!("{fetch:?}") };
    let mut asked = request.topics.iter().flat_map(|topic| &topic.partitions).map(|asked| asked.fetch_offset);
    let offset = asked.next_back().unwrap_or(-1);
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(bytes));
    offset
}

/// The user reads the slice that waits to the end, and comes back.
fn read(world: &mut World) -> std::ops::Range<i64> {
    let slice = world.take().expect("a slice waits");
    world.back_from(&slice, slice.next);
    slice.start..slice.next
}

fn failure(world: &mut World) -> Option<String> {
    match world.consumer.take_failure(&Filter::All, world.now) {
        Some(ReadFailure::Lane(_, LaneFailure::Corrupt { offset, error })) => {
            Some(format!("{offset}: {error}"))
        }
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn damage_that_a_fetch_ahead_finds_is_told_once_what_came_before_is_read() {
    let mut world = started();
    assert_eq!(brings(&mut world, batch(0..5)), 0);
    assert_eq!(brings(&mut world, unreadable(5..9)), 5);
    assert_eq!(failure(&mut world), None);
    assert!(world.fetches.is_empty(), "not asked for again without a pause");
    assert_eq!(read(&mut world), 0..5, "it is not dropped");
    assert_eq!(world.consumer.position(&at(0)), Some(5));
    for _ in 0..2 {
        assert_eq!(failure(&mut world), None);
        brings(&mut world, unreadable(5..9));
    }
    let told = failure(&mut world).unwrap();
    assert!(told.starts_with("5: ") && told.contains("magic"), "{told}");
}

#[test]
fn what_comes_before_damage_in_one_response_is_read_first() {
    let mut world = started();
    brings(&mut world, [batch(0..3), batch(3..5), unreadable(5..9)].concat());
    assert_eq!(read(&mut world), 0..5);
    assert_eq!(brings(&mut world, Vec::new()), 5, "and the next fetch begins at it");
}

#[test]
fn batches_that_end_before_the_position_are_told_and_not_fetched_without_end() {
    let mut world = started();
    brings(&mut world, batch(0..5));
    assert_eq!(read(&mut world), 0..5);
    for _ in 0..2 {
        assert_eq!(failure(&mut world), None);
        brings(&mut world, batch(0..5));
    }
    let told = failure(&mut world).unwrap();
    assert!(told.starts_with("5: ") && told.contains("end before the offset that was asked for"), "{told}");
    world.pass(Duration::from_secs(1));
    assert!(world.fetches.is_empty(), "until a seek");
}

#[test]
fn batches_whose_offsets_go_back_move_no_position_back() {
    let mut world = started();
    brings(&mut world, [batch(0..5), batch(2..4)].concat());
    assert_eq!(read(&mut world), 0..5);
    assert_eq!(world.consumer.position(&at(0)), Some(5));
}
