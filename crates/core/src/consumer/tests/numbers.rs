//! Numbers and lists of brokers that no broker of Kafka's tells.

use super::{consumer_protocol::consumer_protocol, *};
use crate::{CooperativeStickyAssignor, DeletedUnread};

#[test]
fn behind_the_last_generation_there_is_no_other() {
    let mut config = group_config();
    let group = config.group.as_mut().unwrap();
    group.instance_id = Some("i".to_owned());
    group.assignors = vec![Box::new(CooperativeStickyAssignor)];
    let mut world = World::new(config);
    world.subscribe();
    world.join(i32::MAX, &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(i32::MAX, &[0]);
    assert_eq!(world.consumer.assignment(), [at(0)]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(i32::MIN, &[0]);
    assert_eq!(world.consumer.assignment(), [at(0)], "nor does one that falls harm");
}

#[test]
fn what_is_assigned_twice_or_cannot_be_is_assigned_once_or_not() {
    let odd = [1, 0, 1, -1, i32::MIN, 0];
    let mut classic = World::new(group_config());
    classic.subscribe();
    classic.enter(1, &odd);
    let mut consumer = World::new(consumer_protocol());
    consumer.subscribe();
    let joins = consumer.heartbeat();
    consumer.answer(&joins, super::consumer_protocol::epoch(1, Some(&odd)));
    for mut world in [classic, consumer] {
        assert_eq!(world.consumer.assignment(), [at(0), at(1)]);
        let told = world.events().into_iter().find(|event| matches!(event, Event::Assigned(_)));
        assert_eq!(told, Some(Event::Assigned(vec![at(0), at(1)])));
    }
}

#[test]
fn a_topic_that_no_topic_can_be_called_is_not_assigned_a_thousand_times() {
    let partitions = (0..1000).map(|n| TopicPartition::new("x".repeat(30_000), n)).collect();
    let bytes = Assignment { partitions, user_data: None }.encode();
    assert_eq!(Assignment::decode(&bytes).unwrap().partitions, []);
}

/// A consumer of these partitions that has gone back to offset 0. What was asked for before counts for nothing, and is answered.
fn go_back(world: &mut World, partitions: &[i32]) {
    let stale = world.fetches.front().is_some();
    for partition in partitions {
        world.consumer.seek(&at(*partition), SeekTo::Offset(0), world.now);
    }
    world.run();
    world.asked.clear();
    if stale {
        world.fetched(0, 0..1);
    }
}

#[test]
fn sums_of_what_brokers_tell_end_at_the_largest_number() {
    let mut world = World::new(config());
    world.consumer.assign([at(0), at(1)], world.now).unwrap();
    for _ in 0..3 {
        go_back(&mut world, &[0, 1]);
        for partition in [0, 1] {
            world.fetched(partition, i64::MAX - 3..i64::MAX - 1);
        }
        assert!(world.consumer.stats(world.now).buffer.records > i64::MAX as u64, "both have as many");
        while let Some(slice) = world.take() {
            world.back_from(&slice, slice.next);
        }
    }
    assert_eq!(world.consumer.stats(world.now).records.passed, u64::MAX);
}

#[test]
fn logs_that_have_lost_all_are_counted_to_the_largest_number() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    for _ in 0..3 {
        go_back(&mut world, &[0]);
        let fetch = world.fetches.pop_front().unwrap();
        world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
        let lookup = world.expect(ApiKey::ListOffsets);
        world.answer(&lookup, super::reading::ends(i64::MAX));
    }
    let lost = |event: &Event| matches!(event, Event::DeletedUnread(DeletedUnread { offsets, .. }) if *offsets == i64::MAX as u64);
    assert_eq!(world.events().iter().filter(|event| lost(event)).count(), 3);
    assert_eq!(world.consumer.deleted_unread(), u64::MAX);
}
