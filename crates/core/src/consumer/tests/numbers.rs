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

/// How often a joining member asks in a second, when each answer is this.
fn asks(config: ConsumerConfig, key: ApiKey, answer: impl Fn(u32) -> Response) -> u32 {
    let mut world = World::new(config);
    world.subscribe();
    let (end, mut asked) = (world.now.after(Duration::from_secs(1)).mono, 0);
    while world.now.mono < end && asked < 1000 {
        match world.has_asked(key) {
            true => {
                let sent = world.expect(key);
                world.answer(&sent, answer(asked));
                asked += 1;
            }
            false => world.pass(Duration::from_millis(10)),
        }
    }
    asked
}

#[test]
fn who_is_refused_each_time_in_a_way_that_asks_for_another_attempt_makes_it_after_a_pause() {
    let join = |error_code| {
        move |n: u32| {
            let member_id = format!("member {n}");
            JoinGroupResponse { error_code, member_id, ..Default::default() }.into()
        }
    };
    let required = asks(group_config(), ApiKey::JoinGroup, join(ErrorCode::MemberIdRequired));
    assert!((3..20).contains(&required), "{required}");
    let mut world = World::new(group_config());
    world.subscribe();
    let (end, mut generation_id) = (world.now.after(Duration::from_secs(1)).mono, 0);
    while world.now.mono < end && generation_id < 1000 {
        if world.has_asked(ApiKey::JoinGroup) {
            let join = world.expect(ApiKey::JoinGroup);
            generation_id += 1;
            world.answer(&join, joined(generation_id));
            let sync = world.expect(ApiKey::SyncGroup);
            let error_code = ErrorCode::IllegalGeneration;
            world.answer(&sync, SyncGroupResponse { error_code, ..Default::default() });
        } else {
            world.pass(Duration::from_millis(10));
        }
    }
    assert!((3..20).contains(&generation_id), "{generation_id}");
    // In, and out at the first heartbeat.
    let turns = asks(consumer_protocol(), ApiKey::ConsumerGroupHeartbeat, |n| match n % 2 {
        0 => super::consumer_protocol::epoch(7, Some(&[])).into(),
        _ => {
            let error_code = ErrorCode::FencedMemberEpoch;
            ConsumerGroupHeartbeatResponse { error_code, ..Default::default() }.into()
        }
    });
    assert!((6..50).contains(&turns), "{turns}");
    for error_code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let refused = |_| ConsumerGroupHeartbeatResponse { error_code, ..Default::default() }.into();
        let fenced = asks(consumer_protocol(), ApiKey::ConsumerGroupHeartbeat, refused);
        assert!((3..20).contains(&fenced), "{fenced}");
    }
}

#[test]
fn heartbeats_that_are_asked_for_without_a_pause_have_one() {
    let beats = |_| ConsumerGroupHeartbeatResponse { member_epoch: 1, ..Default::default() }.into();
    let sent = asks(consumer_protocol(), ApiKey::ConsumerGroupHeartbeat, beats);
    assert!((10..40).contains(&sent), "{sent}");
}

#[test]
fn an_end_of_a_log_that_is_none_is_asked_for_again_after_a_pause_and_told() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, super::reading::ends(-7));
    assert!(!world.has_asked(ApiKey::ListOffsets), "not at once");
    let told = world.consumer.explain(world.now).to_string();
    assert!(told.contains("UNKNOWN_SERVER_ERROR"), "{told}");
    world.pass(Duration::from_secs(1));
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, super::reading::ends(3));
    assert_eq!(world.consumer.position(&at(0)), Some(3));
}

#[test]
fn who_has_not_answered_for_metadata_is_told_with_the_reason() {
    let mut world = World::new(group_config());
    world.unanswered = 100;
    world.subscribe();
    world.pass(Duration::from_secs(1));
    let told = world.consumer.explain(world.now).unreachable;
    assert_eq!(told, Some(("broker:9092".to_owned(), Disconnected::ClosedAtOnce)));
}

#[test]
fn a_log_that_has_no_position_is_asked_after_pauses() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    let (end, mut asked) = (world.now.after(Duration::from_secs(1)).mono, 0);
    while world.now.mono < end && asked < 1000 {
        if world.has_asked(ApiKey::ListOffsets) {
            let lookup = world.expect(ApiKey::ListOffsets);
            world.answer(&lookup, super::reading::ends(40));
        } else if let Some(fetch) = world.fetches.pop_front() {
            asked += 1;
            world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
        } else {
            world.pass(Duration::from_millis(10));
        }
    }
    assert!((4..40).contains(&asked), "{asked}");
}
