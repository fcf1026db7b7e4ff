//! Commits without a call of the user's, after so many records.

use super::{committing::reading, *};

fn after_five() -> ConsumerConfig {
    let hour = Some(Duration::from_secs(3600));
    ConsumerConfig { auto_commit: hour, auto_commit_records: Some(5), ..group_config() }
}

#[test]
fn what_the_user_came_back_from_is_committed_as_soon_as_it_is_enough() {
    let (mut world, _slice) = reading(after_five());
    for (position, committed) in [(4, None), (5, Some(5)), (9, None), (10, Some(10))] {
        world.reads_to(position);
        world.run();
        assert_eq!(world.has_asked(ApiKey::OffsetCommit), committed.is_some(), "{position}");
        if let Some(offset) = committed {
            let commit = world.expect(ApiKey::OffsetCommit);
            assert_eq!(World::offsets_committed(&commit), [(0, offset)]);
            world.commit_says(&commit, ErrorCode::None);
        }
    }
}

#[test]
fn records_of_all_partitions_are_counted_together() {
    let mut world = World::member(after_five(), &[0, 1]);
    for (partition, commits) in [(0, false), (1, true)] {
        world.fetched(partition, 0..3);
        let slice = world.take().unwrap();
        world.back_from(&slice, 3);
        assert_eq!(world.has_asked(ApiKey::OffsetCommit), commits);
    }
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 3), (1, 3)]);
}

#[test]
fn a_report_that_makes_it_enough_wakes_the_driver() {
    let (mut world, slice) = reading(after_five());
    world.consumer.take_stir();
    world.consumer.report(slice.part, slice.epoch, 4, true, true);
    assert!(!world.consumer.take_stir());
    world.consumer.report(slice.part, slice.epoch, 5, true, true);
    assert!(world.consumer.take_stir());
}

#[test]
fn a_seek_back_is_no_record() {
    let (mut world, slice) = reading(after_five());
    world.back_from(&slice, 4);
    world.consumer.seek(&at(0), SeekTo::Offset(100), world.now);
    world.run();
    assert!(!world.has_asked(ApiKey::OffsetCommit));
}
