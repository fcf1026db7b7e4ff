//! Several readers of one consumer.

use super::{committing::by_hand, *};
use crate::{
    Filter, ReaderId,
    lanes::{Admission, Slice},
};

impl World {
    fn second_reader(&mut self) -> ReaderId {
        self.consumer.open_reader(self.now).0
    }

    /// The user of this reader comes back into a call and takes a slice.
    fn taken_by(&mut self, reader: ReaderId) -> Option<Slice<Frame>> {
        self.consumer.returned(reader, self.now);
        let taken = self.consumer.take(reader, &Filter::All);
        self.run();
        taken.map(|(slice, _)| slice)
    }

    /// The user of this reader comes back from all of a slice.
    fn spent_by(&mut self, reader: ReaderId, slice: &Slice<Frame>) {
        self.consumer.returned(reader, self.now);
        self.consumer.report(slice.part, slice.epoch, slice.next, true, false);
        self.run();
    }
}

/// A member with two partitions, with records of the first fetched, and two readers.
fn with_two(config: ConsumerConfig) -> (World, ReaderId, ReaderId) {
    let mut world = World::member(config, &[0, 1]);
    world.fetched(0, 0..5);
    world.fetched(0, 5..9);
    let (first, second) = (world.reader, world.second_reader());
    (world, first, second)
}

/// The user of the first reader is back from its slice, offsets 0 to 5 of partition 0. The user of the second
/// reader has records of partition 1, up to 3, in hand.
fn with_some_in_hand(config: ConsumerConfig) -> World {
    let (mut world, first, second) = with_two(config);
    world.fetched(1, 0..5);
    let (of_first, of_second) = (world.taken_by(first).unwrap(), world.taken_by(second).unwrap());
    world.consumer.report(of_second.part, of_second.epoch, 3, false, true);
    world.spent_by(first, &of_first);
    world
}

#[test]
fn a_partition_is_with_one_reader_until_its_user_is_back() {
    let (mut world, first, second) = with_two(group_config());
    let slice = world.taken_by(first).unwrap();
    assert!(world.taken_by(second).is_none(), "more of it is there, for the first one only");
    world.fetched(1, 0..5);
    assert_eq!(world.taken_by(second).unwrap().part.0, 1, "others flow");
    world.spent_by(first, &slice);
    assert_eq!(world.taken_by(second).unwrap().start, 5, "the second goes on where the first was");
}

/// The user moves the position of partition 0 to 7 while that of the second reader has records of it in hand.
fn moved_in_hand() -> (World, ReaderId, Slice<Frame>) {
    let (mut world, _, second) = with_two(by_hand());
    let slice = world.taken_by(second).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(7), world.now);
    world.run();
    (world, second, slice)
}

#[test]
fn a_partition_whose_position_is_moved_is_with_its_reader_until_the_user_is_back() {
    for drops in [false, true] {
        let (mut world, second, slice) = moved_in_hand();
        world.fetched(0, 9..12);
        world.fetched(0, 7..9);
        assert!(world.taken_by(world.reader).is_none(), "the second has records of before in hand");
        match drops {
            false => world.spent_by(second, &slice),
            true => world.consumer.close_reader(second, world.now),
        }
        assert_eq!(world.taken_by(world.reader).unwrap().start, 7);
    }
}

#[test]
fn a_revocation_waits_for_a_reader_that_has_records_of_before_the_position_was_moved() {
    let (mut world, second, slice) = moved_in_hand();
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    assert_eq!(world.consumer.lanes.held_up(), [at(0)]);
    world.spent_by(second, &slice);
    assert!(world.consumer.lanes.held_up().is_empty());
}

#[test]
fn a_reader_may_have_several_slices_of_a_partition() {
    let (mut world, first, _) = with_two(group_config());
    assert_eq!(world.taken_by(first).unwrap().start, 0);
    assert_eq!(world.taken_by(first).unwrap().start, 5);
}

#[test]
fn a_revocation_waits_for_each_reader_that_has_records() {
    let (mut world, first, second) = with_two(group_config());
    world.fetched(1, 0..5);
    let taken = [(first, world.taken_by(first).unwrap()), (second, world.taken_by(second).unwrap())];
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    for (reader, slice) in &taken {
        assert!(!world.has_asked(ApiKey::OffsetCommit));
        assert_eq!(world.consumer.admission(slice.part, slice.epoch), Admission::Over);
        world.spent_by(*reader, slice);
    }
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 5), (1, 5)]);
}

#[test]
fn a_commit_leaves_out_what_another_reader_has_in_hand() {
    let mut world = with_some_in_hand(by_hand());
    world.consumer.commit(None, world.now).unwrap();
    world.run();
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 5), (1, 0)]);
}

#[test]
fn a_close_commits_nothing_that_another_reader_has_in_hand() {
    let mut world = with_some_in_hand(group_config());
    let deadline = world.now.mono + Duration::from_secs(5);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 5)]);
}

#[test]
fn what_a_dropped_reader_had_goes_to_the_others_from_where_its_user_was_back() {
    let (mut world, first, second) = with_two(by_hand());
    let slice = world.taken_by(second).unwrap();
    world.consumer.report(slice.part, slice.epoch, 2, true, true);
    world.consumer.report(slice.part, slice.epoch, 4, false, true);
    world.consumer.close_reader(second, world.now);
    world.run();
    assert_eq!(world.consumer.admission(slice.part, slice.epoch), Admission::Over);
    while let Some(fetch) = world.fetches.pop_front() {
        world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(2..5)));
    }
    assert_eq!(world.taken_by(first).unwrap().start, 2);
}

#[test]
fn a_member_is_away_when_a_reader_with_records_is_or_all_are() {
    for (takes, idles, lost) in [(true, false, true), (false, true, true), (false, false, false)] {
        let mut config = group_config();
        config.group.as_mut().unwrap().max_poll_interval = Duration::from_secs(10);
        let (mut world, first, second) = with_two(config);
        if takes {
            world.taken_by(second).unwrap();
        }
        if !idles {
            world.consumer.park(first);
        }
        world.events();
        world.pass(Duration::from_secs(11));
        let is_lost = world.events().contains(&Event::Lost(vec![at(0), at(1)]));
        assert_eq!(is_lost, lost, "the second has records: {takes}; the first is away: {idles}");
    }
}
