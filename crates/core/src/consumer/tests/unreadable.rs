//! Positions that cannot be read from: the log has lost its beginning, or the topic is another.

use super::{
    consumer_protocol::consumer_protocol,
    reading::{asked_for, ends},
    *,
};
use crate::{DeletedUnread, Filter, LaneFailure, Recreated};

/// A consumer of partition 0, at offset 7 of a log that begins at 40.
fn behind_the_start(reset: ResetPolicy) -> World {
    let mut world = World::new(ConsumerConfig { reset, ..config() });
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(7), world.now);
    world.run();
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    let lookup = world.expect(ApiKey::ListOffsets);
    assert_eq!(asked_for(&lookup), -2, "where it begins");
    world.answer(&lookup, ends(40));
    world
}

#[test]
fn records_that_were_deleted_unread_are_told_and_counted_whatever_the_policy() {
    let now = 1_000_000;
    for (reset, then, from) in [
        (ResetPolicy::Earliest, None, Some(40)),
        (ResetPolicy::Latest, Some(-1), Some(90)),
        (ResetPolicy::ByDuration(Duration::from_secs(1)), Some(now - 1000), Some(90)),
        (ResetPolicy::None, None, None),
    ] {
        let mut world = behind_the_start(reset);
        if let Some(then) = then {
            let lookup = world.expect(ApiKey::ListOffsets);
            assert_eq!(asked_for(&lookup), then);
            world.answer(&lookup, ends(90));
        }
        assert_eq!(world.consumer.position(&at(0)), from, "{reset:?}");
        let events = world.events();
        let [Event::DeletedUnread(DeletedUnread { position, log_start, offsets, .. })] = events.as_slice()
        else {
            panic!("{events:?}")
        };
        assert_eq!((*position, *log_start, *offsets), (7, 40, 33));
        assert_eq!(world.consumer.deleted_unread(), 33);
        let failure = LaneFailure::OutOfRange { offset: 7, log_start: 40 };
        let told = from.is_none().then_some(ReadFailure::Lane(at(0), failure));
        assert_eq!(world.consumer.take_failure(&Filter::All, world.now), told);
    }
}

#[test]
fn a_position_behind_the_logs_end_has_lost_nothing() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(70), world.now);
    world.run();
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(40));
    assert_eq!(world.consumer.position(&at(0)), Some(40));
    assert_eq!((world.events(), world.consumer.deleted_unread()), (vec![], 0));
}

/// The topic is deleted, and made anew under its name.
fn made_anew(world: &mut World) {
    world.topics = vec!["another", "t"];
    world.refresh();
}

fn read_five(world: &mut World) {
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    world.back_from(&slice, 5);
    world.events();
}

fn anew(position: i64) -> Event {
    Event::Recreated(Recreated { at: at(0), position: Some(position) })
}

/// The topic and offset of the fetch that was sent last.
fn fetches_from(world: &World) -> Option<(TopicId, i64)> {
    let Request::Fetch(request) = &world.fetches.back()?.request else { unreachable!() };
    let topic = request.topics.first()?;
    Some((topic.topic_id, topic.partitions.first()?.fetch_offset))
}

#[test]
fn a_topic_made_anew_is_not_read_at_the_old_offset_whoever_assigns_it() {
    let alone = || {
        let mut world = World::new(config());
        world.consumer.assign([at(0)], world.now).unwrap();
        world.run();
        let lookup = world.expect(ApiKey::ListOffsets);
        world.answer(&lookup, ends(0));
        world
    };
    let classic = || World::member(group_config(), &[0]);
    let of_coordinator = || World::in_epoch_one(consumer_protocol(), &[0]);
    for begin in [alone as fn() -> World, classic, of_coordinator] {
        let mut world = begin();
        read_five(&mut world);
        made_anew(&mut world);
        assert_eq!(world.events(), [anew(5)]);
        assert_eq!(world.consumer.position(&at(0)), None);
        let lookup = world.expect(ApiKey::ListOffsets);
        assert_eq!(asked_for(&lookup), -2, "the policy decides");
        world.answer(&lookup, ends(2));
        assert_eq!(world.consumer.position(&at(0)), Some(2));
        world.fetched(0, 5..9);
        assert!(world.take().is_none(), "what was fetched of the other is dropped");
        assert_eq!(fetches_from(&world), Some((TopicId([2; 16]), 2)));
    }
}

#[test]
fn under_the_consumer_protocol_an_assignment_of_the_new_id_begins_anew() {
    let mut world = World::in_epoch_one(ConsumerConfig { auto_commit: None, ..consumer_protocol() }, &[0]);
    read_five(&mut world);
    let heartbeat = world.heartbeat();
    let mut target = super::consumer_protocol::epoch(2, Some(&[0]));
    target.assignment.as_mut().unwrap().topic_partitions[0].topic_id = TopicId([2; 16]);
    world.topics = vec!["another", "t"];
    world.answer(&heartbeat, target);
    assert_eq!(world.consumer.assignment(), [], "no name is known of it yet");
    let gives_up = world.expect(ApiKey::ConsumerGroupHeartbeat);
    world.answer(&gives_up, super::consumer_protocol::epoch(2, None));
    world.pass(Duration::from_secs(1));
    assert_eq!((world.consumer.assignment(), world.consumer.position(&at(0))), (vec![at(0)], None));
    world.committed(-1);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(0));
    assert_eq!(world.consumer.position(&at(0)), Some(0));
}

#[test]
fn without_a_policy_a_topic_made_anew_is_an_error_until_a_seek() {
    let mut world = World::new(ConsumerConfig { reset: ResetPolicy::None, ..config() });
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    read_five(&mut world);
    made_anew(&mut world);
    let told = world.consumer.take_failure(&Filter::All, world.now);
    assert_eq!(told, Some(ReadFailure::Lane(at(0), LaneFailure::Recreated { offset: 5 })));
    world.consumer.seek(&at(0), SeekTo::Offset(1), world.now);
    world.fetched(0, 5..9);
    assert_eq!(fetches_from(&world), Some((TopicId([2; 16]), 1)));
}

#[test]
fn a_record_in_hand_of_the_topic_that_is_gone_comes_before_the_new_one() {
    let mut world = World::member(group_config(), &[0]);
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    world.events();
    made_anew(&mut world);
    assert_eq!(world.events(), []);
    let said = world.consumer.explain(world.now).to_string();
    assert!(said.contains("t-0: the topic was deleted and made anew"), "{said}");
    world.back_from(&slice, 5);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.events(), [anew(5)]);
}

#[test]
fn a_broker_that_still_tells_of_the_topic_that_is_gone_moves_nothing_back() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(0));
    read_five(&mut world);
    made_anew(&mut world);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(0));
    world.events();
    world.topics = vec!["t"];
    world.refresh();
    world.fetches.clear();
    assert_eq!((world.consumer.position(&at(0)), world.events()), (Some(0), vec![]));
    made_anew(&mut world);
    assert_eq!((world.consumer.position(&at(0)), world.events()), (Some(0), vec![]));
}

#[test]
fn an_offset_that_was_being_looked_up_in_the_topic_that_is_gone_is_looked_up_anew() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    let old = world.expect(ApiKey::ListOffsets);
    made_anew(&mut world);
    world.answer(&old, ends(5));
    assert_eq!(world.consumer.position(&at(0)), None);
    world.pass(Duration::from_secs(1));
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(0));
    assert_eq!(world.consumer.position(&at(0)), Some(0));
}
