//! A topic is deleted and made anew under its name: no offset of the old one is committed to the new one.

use super::{
    committing::{by_hand, reading},
    *,
};

const OLD: TopicId = TopicId([1; 16]);
const NEW: TopicId = TopicId([9; 16]);

/// The topic is made anew, and metadata tells.
fn made_anew(world: &mut World) {
    world.first_id = 9;
    world.consumer.hub.metadata.request_update();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.consumer.metadata().id_of("t"), Some(NEW));
}

/// A coordinator that is named topics by their names alone: Kafka 3.9's.
fn older(mut world: World) -> World {
    world.newest.extend([(ApiKey::OffsetCommit, 9), (ApiKey::OffsetFetch, 9)]);
    world
}

/// A member of generation 1 of an older coordinator, that has taken records 0 to 10 of partition 0.
fn reading_of_older(config: ConsumerConfig) -> (World, crate::lanes::Slice<Frame>) {
    let mut world = older(World::new(config));
    world.subscribe();
    world.join(1, &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    (world, slice)
}

fn commits(world: &mut World, offset: i64) -> OpId {
    let op = world.consumer.commit(Some(BTreeMap::from([(at(0), offset.into())])), world.now).unwrap();
    world.run();
    op
}

fn gone() -> Option<Result<Outcome, OpFailure>> {
    Some(Err(OpFailure::Gone(at(0))))
}

#[test]
fn an_offset_of_a_deleted_topic_is_committed_to_that_topic_which_the_coordinator_refuses() {
    let (mut world, _slice) = reading(by_hand());
    made_anew(&mut world);
    let op = commits(&mut world, 10);
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::topic_committed(&commit).1, OLD);
    world.commit_says(&commit, ErrorCode::UnknownTopicId);
    world.run();
    assert_eq!(world.consumer.take_outcome(op), gone());
}

#[test]
fn what_was_handed_out_of_a_deleted_topic_is_no_position_in_the_one_made_anew() {
    let (mut world, _slice) = reading(by_hand());
    let of_old = CommittedOffset::new(4).of_topic(OLD);
    assert!(world.consumer.go_back(&at(0), &of_old, world.now));
    assert_eq!(world.consumer.position(&at(0)), Some(4));
    made_anew(&mut world);
    assert!(!world.consumer.go_back(&at(0), &of_old, world.now));
    assert_ne!(world.consumer.position(&at(0)), Some(4));
}

#[test]
fn a_topic_that_metadata_still_takes_for_the_old_one_is_given_up_when_it_knows_better() {
    let (mut world, _slice) = reading(by_hand());
    let op = commits(&mut world, 10);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.first_id = 9;
    world.commit_says(&commit, ErrorCode::UnknownTopicId);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.consumer.take_outcome(op), gone());
}

#[test]
fn a_coordinator_that_has_not_heard_of_the_topic_yet_is_asked_again() {
    let (mut world, _slice) = reading(by_hand());
    let op = commits(&mut world, 10);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::UnknownTopicId);
    world.pass(Duration::from_secs(2));
    let again = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::topic_committed(&again).1, OLD, "metadata knows it all the while");
    world.commit_says(&again, ErrorCode::None);
    assert!(world.is_committed(op));
}

#[test]
fn an_older_coordinator_is_not_sent_an_offset_of_a_deleted_topic() {
    let (mut world, _slice) = reading_of_older(by_hand());
    let op = commits(&mut world, 5);
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::topic_committed(&commit), ("t", TopicId::ZERO));
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.is_committed(op));
    made_anew(&mut world);
    let op = commits(&mut world, 10);
    assert!(!world.has_asked(ApiKey::OffsetCommit));
    assert_eq!(world.consumer.take_outcome(op), gone());
}

#[test]
fn neither_a_close_nor_a_revocation_waits_for_a_commit_that_is_not_sent() {
    for closes in [true, false] {
        let (mut world, slice) = reading_of_older(group_config());
        world.back_from(&slice, 10);
        made_anew(&mut world);
        match closes {
            true => {
                let deadline = world.now.mono + Duration::from_secs(30);
                world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
                world.run();
                assert!(world.has_asked(ApiKey::LeaveGroup));
            }
            false => {
                world.heartbeat_says(ErrorCode::RebalanceInProgress);
                assert!(world.has_asked(ApiKey::JoinGroup));
            }
        }
        assert!(!world.has_asked(ApiKey::OffsetCommit));
    }
}

#[test]
fn auto_commit_leaves_a_topic_out_that_was_made_anew() {
    let (mut world, slice) = reading(group_config());
    world.back_from(&slice, 10);
    made_anew(&mut world);
    world.pass(Duration::from_secs(20));
    assert!(!world.has_asked(ApiKey::OffsetCommit));
}

#[test]
fn what_is_sought_after_the_topic_was_made_anew_is_of_the_new_one() {
    let (mut world, _slice) = reading(by_hand());
    made_anew(&mut world);
    world.consumer.seek(&at(0), SeekTo::Offset(3), world.now);
    commits(&mut world, 3);
    assert_eq!(World::topic_committed(&world.expect(ApiKey::OffsetCommit)).1, NEW);
}

#[test]
fn a_committed_offset_is_asked_for_again_where_the_topic_was_made_anew_meanwhile() {
    for is_older in [false, true] {
        let mut world = World::new(group_config());
        if is_older {
            world = older(world);
        }
        world.subscribe();
        world.enter(1, &[0]);
        let asked = world.expect(ApiKey::OffsetFetch);
        let Request::OffsetFetch(request) = &asked.request else { unreachable!() };
        assert_eq!(request.groups[0].topics.as_ref().unwrap()[0].topic_id, OLD);
        world.asked.push_back(asked);
        made_anew(&mut world);
        world.committed(350);
        assert_eq!(world.consumer.position(&at(0)), None, "that is of the old one");
        world.pass(Duration::from_secs(2));
        world.committed(7);
        assert_eq!(world.consumer.position(&at(0)), Some(7));
    }
}

#[test]
fn a_topic_whose_id_nobody_has_told_is_committed_by_its_name() {
    let mut world = World::new(by_hand());
    world.first_id = 0;
    world.subscribe();
    world.join(1, &[0]);
    let op = commits(&mut world, 5);
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::topic_committed(&commit), ("t", TopicId::ZERO));
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.is_committed(op));
}

#[test]
fn a_record_of_the_old_topic_is_not_committed_though_the_new_one_is_read_by_now() {
    for is_older in [false, true] {
        let (mut world, _) = if is_older { reading_of_older(by_hand()) } else { reading(by_hand()) };
        made_anew(&mut world);
        world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
        let of_record = CommittedOffset::new(10).of_topic(OLD);
        let op = world.consumer.commit(Some(BTreeMap::from([(at(0), of_record)])), world.now).unwrap();
        world.run();
        if !is_older {
            let commit = world.expect(ApiKey::OffsetCommit);
            assert_eq!(World::topic_committed(&commit).1, OLD);
            world.commit_says(&commit, ErrorCode::UnknownTopicId);
        }
        assert!(!world.has_asked(ApiKey::OffsetCommit));
        assert_eq!(world.consumer.take_outcome(op), gone());
        assert_eq!(world.consumer.lanes.assigned_at(&at(0)).unwrap().1.acked, Some(0), "of the new one");
    }
}

#[test]
fn records_are_of_the_topic_that_was_asked_for() {
    let (_, slice) = reading(by_hand());
    assert_eq!(slice.topic_id, OLD);
}

#[test]
fn the_topic_that_an_offset_is_of_counts_for_no_comparison() {
    assert_eq!(CommittedOffset::new(3).of_topic(OLD), CommittedOffset::new(3));
}
