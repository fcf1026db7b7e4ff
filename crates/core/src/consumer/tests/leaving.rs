//! How a consumer leaves its group: closed, dropped, unsubscribed, or away for too long.

use super::{consumer_protocol, listening, membership::join_request, *};
use crate::Callback;

impl World {
    fn close(&mut self, kind: CloseKind) {
        let deadline = self.now.mono + Duration::from_secs(30);
        self.consumer.close(kind, LeaveGroup::Default, deadline, self.now);
        self.run();
    }
}

#[test]
fn a_closing_consumer_fetches_no_more_and_closes_its_connections_last() {
    let mut world = World::member(group_config(), &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    world.back_from(&slice, 6);
    world.close(CloseKind::Closed);
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(10..20)));
    world.pass(Duration::from_secs(5));
    assert!(world.fetches.is_empty() && world.take().is_none());
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::None);
    let leave = world.expect(ApiKey::LeaveGroup);
    assert_eq!(world.closed, 0);
    world.answer(&leave, LeaveGroupResponse::default());
    assert!(world.consumer.is_closed() && world.closed > 0);
}

#[test]
fn what_is_still_under_way_at_a_closes_deadline_is_abandoned_and_told() {
    let mut world = World::member(group_config(), &[0]);
    let commit = world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    let lookup = world.consumer.offsets(vec![(at(0), SeekTo::End)], world.now);
    world.close(CloseKind::Closed);
    world.pass(Duration::from_secs(29));
    assert_eq!((world.consumer.take_outcome(commit), world.closed), (None, 0));
    world.pass(Duration::from_secs(1));
    assert!(world.consumer.is_closed() && world.closed > 0);
    for op in [commit, lookup] {
        assert_eq!(world.consumer.take_outcome(op), Some(Err(OpFailure::Closed)));
    }
}

#[test]
fn a_dropped_member_leaves_its_group_at_once() {
    let mut world = World::member(group_config(), &[0]);
    world.close(CloseKind::Dropped);
    let Request::LeaveGroup(leave) = world.expect(ApiKey::LeaveGroup).request else { unreachable!() };
    assert_eq!((leave.group_id.as_str(), leave.members[0].member_id.as_str()), ("g", "me"));
}

#[test]
fn who_unsubscribes_leaves_and_comes_back_as_a_new_member() {
    for answered_first in [true, false] {
        let mut world = World::member(group_config(), &[0]);
        world.consumer.unsubscribe(world.now);
        world.run();
        let leave = world.expect(ApiKey::LeaveGroup);
        if answered_first {
            world.answer(&leave, LeaveGroupResponse::default());
        }
        world.subscribe();
        if !answered_first {
            assert!(!world.has_asked(ApiKey::JoinGroup), "not before it has left");
            world.answer(&leave, LeaveGroupResponse::default());
        }
        assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "");
    }
}

#[test]
fn who_unsubscribes_asks_for_no_topics_any_more_until_he_subscribes_again() {
    for answered_first in [true, false] {
        let mut world = World::new(group_config());
        world.consumer.subscribe_pattern("t.*", world.now).unwrap();
        world.run();
        world.join(1, &[0]);
        world.topics.push("t2");
        // After this answer metadata is due.
        let fetch = world.fetches.pop_front().unwrap();
        world.fetched_by(&fetch, 0, ErrorCode::NotLeaderOrFollower, None);
        world.consumer.unsubscribe(world.now);
        world.run();
        let leave = world.expect(ApiKey::LeaveGroup);
        if answered_first {
            world.answer(&leave, LeaveGroupResponse::default());
        }
        world.pass(Duration::from_secs(1));
        assert_eq!(world.consumer.metadata().topics().len(), 0);
        if !answered_first {
            world.answer(&leave, LeaveGroupResponse::default());
        }
        assert!(!world.has_asked(ApiKey::JoinGroup));
        world.consumer.subscribe_pattern("t.*", world.now).unwrap();
        world.run();
        assert_eq!(world.topics_joined_for(), ["t", "t2"]);
    }
}

#[test]
fn a_topic_that_comes_to_match_brings_nobody_back_who_stayed_away() {
    for answered_first in [true, false] {
        let mut config = group_config();
        config.group.as_mut().unwrap().max_poll_interval = Duration::from_secs(2);
        config.metadata.max_age = Duration::from_secs(3);
        let mut world = World::new(config);
        world.consumer.subscribe_pattern("t.*", world.now).unwrap();
        world.run();
        world.join(1, &[0]);
        world.pass(Duration::from_secs(2));
        let leave = world.expect(ApiKey::LeaveGroup);
        if answered_first {
            world.answer(&leave, LeaveGroupResponse::default());
        }
        world.topics.push("t2");
        world.pass(Duration::from_secs(2));
        assert!(world.consumer.metadata().topic("t2").is_some());
        if !answered_first {
            world.answer(&leave, LeaveGroupResponse::default());
        }
        assert!(!world.has_asked(ApiKey::JoinGroup));
        world.consumer.returned(world.reader, world.now);
        assert!(world.consumer.take_failure(&crate::Filter::All, world.now).is_some());
        world.run();
        assert_eq!(world.topics_joined_for(), ["t", "t2"]);
    }
}

#[test]
fn a_member_of_the_consumer_protocol_keeps_its_id_for_life() {
    let mut world = World::in_epoch_one(consumer_protocol::consumer_protocol(), &[0]);
    let id = world.consumer.group_metadata().unwrap().member_id;
    world.consumer.unsubscribe(world.now);
    world.run();
    let leaves = world.heartbeat();
    assert_eq!(
        (consumer_protocol::told(&leaves).member_epoch, &consumer_protocol::told(&leaves).member_id),
        (-1, &id)
    );
    world.answer(&leaves, consumer_protocol::epoch(-1, None));
    world.subscribe();
    let joins = world.heartbeat();
    assert_eq!(
        (consumer_protocol::told(&joins).member_epoch, &consumer_protocol::told(&joins).member_id),
        (0, &id)
    );
}

#[test]
fn a_user_who_stayed_away_is_told_what_he_lost_and_why_and_only_then_joins_again() {
    for instance_id in [None, Some("i".to_owned())] {
        let mut config = listening::listening();
        config.group.as_mut().unwrap().instance_id.clone_from(&instance_id);
        let mut world = World::listener_of(config, &[0]);
        world.pass(Duration::from_secs(3 * 60));
        world.heartbeat_says(ErrorCode::None);
        world.pass(Duration::from_secs(3 * 60));
        assert_eq!(world.has_asked(ApiKey::LeaveGroup), instance_id.is_none(), "a static one is waited for");
        if instance_id.is_none() {
            let leave = world.expect(ApiKey::LeaveGroup);
            world.answer(&leave, LeaveGroupResponse::default());
        }
        world.consumer.returned(world.reader, world.now);
        world.listener_is_told(Callback::Lost(vec![at(0)]));
        assert!(!world.has_asked(ApiKey::JoinGroup));
        let why = world.consumer.take_failure(&crate::Filter::All, world.now);
        let exceeded = GroupFailure::MaxPollExceeded(Duration::from_secs(300));
        assert_eq!(why, Some(ReadFailure::Group(exceeded)));
        world.run();
        let join = world.expect(ApiKey::JoinGroup);
        assert_eq!(join_request(&join).member_id, "");
        assert_eq!(join_request(&join).group_instance_id, instance_id);
        assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), None, "once");
    }
}

#[test]
fn a_static_member_of_the_consumer_protocol_that_stays_away_says_that_it_will_be_back() {
    let mut world = World::in_epoch_one(consumer_protocol::r#static(), &[0]);
    let epoch_told = |world: &mut World| {
        let heartbeat = world.heartbeat();
        let told = consumer_protocol::told(&heartbeat).member_epoch;
        world.answer(&heartbeat, consumer_protocol::epoch(told, None));
        told
    };
    let away = world.now.mono;
    let mut last = 1;
    while last == 1 {
        assert!(world.now.mono - away <= Duration::from_secs(306));
        last = epoch_told(&mut world);
    }
    assert_eq!(last, -2);
    assert_eq!(world.events(), [Event::Lost(vec![at(0)])]);
    world.pass(Duration::from_secs(60));
    assert!(!world.has_asked(ApiKey::ConsumerGroupHeartbeat), "not before the user is back");
}
