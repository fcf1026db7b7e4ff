//! A member that has not heard for long whether it still is one: others may have read on in its partitions, and what they had read may be
//! deleted.

use super::{
    consumer_protocol::{consumer_protocol, epoch, refused},
    cooperative::cooperative,
    reading::ends,
    *,
};
use crate::{DeletedUnread, ReadFailure, Reason};

/// Longer than an interval of either protocol, and shorter than a fetch may take.
const STILL: Duration = Duration::from_secs(20);

/// A way to be a member, and to hear whether one still is.
struct Protocol {
    member: fn(ResetPolicy) -> World,
    confirm: fn(&mut World),
    throw_out: fn(&mut World),
}

const PROTOCOLS: [Protocol; 2] = [
    Protocol {
        member: |reset| World::member(ConsumerConfig { reset, ..group_config() }, &[0]),
        confirm: |world| world.heartbeat_says(ErrorCode::None),
        throw_out: |world| world.heartbeat_says(ErrorCode::UnknownMemberId),
    },
    Protocol {
        member: |reset| World::in_epoch_one(ConsumerConfig { reset, ..consumer_protocol() }, &[0]),
        confirm: |world| {
            let heartbeat = world.heartbeat();
            world.answer(&heartbeat, epoch(1, None));
        },
        throw_out: |world| {
            let heartbeat = world.heartbeat();
            world.answer(&heartbeat, refused(ErrorCode::FencedMemberEpoch));
        },
    },
];

/// The process stands still; then all that it waits for is there at once.
fn stand_still(world: &mut World) {
    world.now = world.now.after(STILL);
}

/// The log has lost the position: the answer to the fetch that is under way.
fn is_out_of_range(world: &mut World) {
    let fetch = world.fetches.pop_front().expect("a fetch is under way");
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
}

fn reason(world: &World) -> Reason {
    world.consumer.explain(world.now).partitions[0].1.clone()
}

fn deleted(world: &mut World) -> Vec<u64> {
    let counts = world.events().into_iter().filter_map(|event| match event {
        Event::DeletedUnread(DeletedUnread { offsets, .. }) => Some(offsets),
        _ => None,
    });
    counts.collect()
}

#[test]
fn who_was_thrown_out_while_it_stood_still_tells_of_nothing_that_others_have_read() {
    for reset in [ResetPolicy::Earliest, ResetPolicy::None] {
        for Protocol { member, throw_out, .. } in PROTOCOLS {
            let mut world = member(reset);
            stand_still(&mut world);
            is_out_of_range(&mut world);
            assert!(!world.has_asked(ApiKey::ListOffsets));
            assert!(matches!(reason(&world), Reason::AwaitingHeartbeat { .. }));
            throw_out(&mut world);
            assert_eq!((deleted(&mut world), world.consumer.deleted_unread()), (vec![], 0));
            assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), None);
            assert!(world.consumer.assignment().is_empty());
        }
    }
}

#[test]
fn who_is_still_a_member_tells_what_was_deleted_as_soon_as_that_is_confirmed() {
    for Protocol { member, confirm, .. } in PROTOCOLS {
        let mut world = member(ResetPolicy::Earliest);
        stand_still(&mut world);
        is_out_of_range(&mut world);
        confirm(&mut world);
        let lookup = world.expect(ApiKey::ListOffsets);
        assert!(matches!(reason(&world), Reason::LookingUpOffset { .. }));
        world.answer(&lookup, ends(40));
        assert_eq!((deleted(&mut world), world.consumer.position(&at(0))), (vec![40], Some(40)));
    }
}

#[test]
fn without_a_policy_the_failure_waits_for_the_same() {
    for Protocol { member, confirm, .. } in PROTOCOLS {
        let mut world = member(ResetPolicy::None);
        stand_still(&mut world);
        is_out_of_range(&mut world);
        confirm(&mut world);
        let lookup = world.expect(ApiKey::ListOffsets);
        world.answer(&lookup, ends(40));
        let failure = world.consumer.take_failure(&crate::Filter::All, world.now);
        assert!(matches!(failure, Some(ReadFailure::Lane(..))), "{failure:?}");
    }
}

#[test]
fn where_a_log_begins_is_asked_again_where_the_answer_lay_there_while_the_process_stood_still() {
    for Protocol { member, confirm, .. } in PROTOCOLS {
        let mut world = member(ResetPolicy::Earliest);
        is_out_of_range(&mut world);
        let lookup = world.expect(ApiKey::ListOffsets);
        stand_still(&mut world);
        world.answer(&lookup, ends(40));
        assert!(deleted(&mut world).is_empty() && !world.has_asked(ApiKey::ListOffsets));
        confirm(&mut world);
        let lookup = world.expect(ApiKey::ListOffsets);
        world.answer(&lookup, ends(50));
        assert_eq!(deleted(&mut world), [50]);
    }
}

#[test]
fn an_answer_that_lay_there_while_the_process_stood_still_confirms_nothing() {
    let mut world = World::member(group_config(), &[0]);
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    stand_still(&mut world);
    world.answer(&heartbeat, HeartbeatResponse::default());
    is_out_of_range(&mut world);
    assert!(matches!(reason(&world), Reason::AwaitingHeartbeat { .. }));
    world.heartbeat_says(ErrorCode::None);
    assert!(world.has_asked(ApiKey::ListOffsets));
}

#[test]
fn a_member_whose_heartbeats_are_answered_is_in_no_doubt() {
    for Protocol { member, confirm, .. } in PROTOCOLS {
        let mut world = member(ResetPolicy::Earliest);
        for _ in 0..5 {
            confirm(&mut world);
        }
        is_out_of_range(&mut world);
        assert!(world.has_asked(ApiKey::ListOffsets));
    }
}

/// A member that keeps partition 0 while its group rebalances, and the JoinGroup that waits for the others.
fn in_a_rebalance() -> (World, Sent) {
    let mut world = World::member(cooperative(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let join = world.expect(ApiKey::JoinGroup);
    (world, join)
}

#[test]
fn a_member_whose_group_takes_long_to_rebalance_is_in_no_doubt() {
    let (mut world, _) = in_a_rebalance();
    world.pass(STILL);
    is_out_of_range(&mut world);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(40));
    assert_eq!(deleted(&mut world), [40]);
}

#[test]
fn who_stood_still_while_its_group_rebalanced_waits_for_its_assignment() {
    let (mut world, join) = in_a_rebalance();
    stand_still(&mut world);
    world.answer(&join, joined(2));
    is_out_of_range(&mut world);
    assert!(!world.has_asked(ApiKey::ListOffsets));
    let sync = world.expect(ApiKey::SyncGroup);
    world.answer(&sync, assigned(&[0]));
    assert!(world.has_asked(ApiKey::ListOffsets));
}

#[test]
fn what_the_user_assigned_is_nobody_elses() {
    let mut world = World::new(group_config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    world.committed(0);
    stand_still(&mut world);
    is_out_of_range(&mut world);
    assert!(world.has_asked(ApiKey::ListOffsets));
}
