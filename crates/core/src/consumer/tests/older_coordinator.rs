//! Coordinators that know less of the consumer protocol, or refuse it.

use super::{consumer_protocol::*, *};

/// A broker whose heartbeats are of version 0: Kafka 3.9's.
fn of_version_zero(config: ConsumerConfig) -> World {
    let mut world = World::new(config);
    world.newest.push((ApiKey::ConsumerGroupHeartbeat, 0));
    world
}

fn named(member_id: &str, response: ConsumerGroupHeartbeatResponse) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse { member_id: Some(member_id.to_owned()), ..response }
}

#[test]
fn a_coordinator_of_version_zero_makes_the_members_id_which_stays() {
    let mut world = of_version_zero(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    assert_eq!((told(&joins).member_epoch, told(&joins).member_id.as_str()), (0, ""));
    world.answer(&joins, named("made", epoch(1, Some(&[]))));
    let acknowledges = world.heartbeat();
    assert_eq!(told(&acknowledges).member_id, "made");
    world.answer(&acknowledges, refused(ErrorCode::FencedMemberEpoch));
    let joins = world.heartbeat();
    assert_eq!((told(&joins).member_epoch, told(&joins).member_id.as_str()), (0, "made"));
}

#[test]
fn a_coordinator_of_version_zero_is_told_the_topics_that_match_a_pattern() {
    let mut world = of_version_zero(consumer_protocol());
    world.consumer.subscribe_pattern("t.*", world.now).unwrap();
    world.run();
    let joins = world.heartbeat();
    assert_eq!(told(&joins).subscribed_topic_regex, None);
    assert_eq!(told(&joins).subscribed_topic_names, Some(vec!["t".to_owned()]));
    world.answer(&joins, named("made", epoch(1, Some(&[]))));
    world.topics.extend(["t2", "x"]);
    world.consumer.park(world.reader);
    let start = world.now.mono;
    loop {
        assert!(world.now.mono - start <= Duration::from_secs(310), "metadata.max.age passed");
        let heartbeat = world.heartbeat();
        if let Some(names) = &told(&heartbeat).subscribed_topic_names {
            break assert_eq!(*names, ["t", "t2"]);
        }
        world.answer(&heartbeat, epoch(1, None));
    }
}

#[test]
fn another_pattern_holds_up_no_heartbeat_while_a_revocation_waits() {
    let mut world = of_version_zero(consumer_protocol());
    world.consumer.subscribe_pattern("t.*", world.now).unwrap();
    world.run();
    let joins = world.heartbeat();
    world.answer(&joins, named("made", epoch(1, Some(&[0]))));
    world.committed(0);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    let acknowledges = world.heartbeat();
    world.answer(&acknowledges, epoch(1, Some(&[])));
    world.consumer.subscribe_pattern("t", world.now).unwrap();
    world.run();
    for beats in 0.. {
        let heartbeat = world.heartbeat();
        assert_eq!(told(&heartbeat).subscribed_topic_names, None, "a record is in the user's hands");
        world.answer(&heartbeat, epoch(1, None));
        if beats > 3 && !world.has_asked(ApiKey::ConsumerGroupHeartbeat) {
            break;
        }
        assert!(beats < 20, "no pause between them");
    }
    world.back_from(&slice, 10);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::None);
    let start = world.now.mono;
    loop {
        assert!(world.now.mono - start <= Duration::from_secs(310), "metadata.max.age passed");
        let heartbeat = world.heartbeat();
        if let Some(names) = &told(&heartbeat).subscribed_topic_names {
            break assert_eq!(*names, ["t"]);
        }
        world.answer(&heartbeat, epoch(1, None));
    }
}

#[test]
fn a_group_that_stays_at_epoch_zero_while_nothing_matches_is_joined_until_something_does() {
    let mut world = of_version_zero(consumer_protocol());
    world.topics = vec!["x"];
    world.consumer.subscribe_pattern("t.*", world.now).unwrap();
    world.run();
    let joins = world.heartbeat();
    assert_eq!(told(&joins).subscribed_topic_names, Some(vec![]));
    world.answer(&joins, named("made", epoch(0, Some(&[]))));
    let again = world.heartbeat();
    let join = (0, 300_000, Some(vec![]));
    let said = told(&again);
    assert_eq!((said.member_epoch, said.rebalance_timeout_ms, said.subscribed_topic_names.clone()), join);
    assert_eq!(said.topic_partitions, Some(vec![]), "or Kafka takes it for an invalid request");
    world.answer(&again, epoch(0, Some(&[])));
    assert!(world.asked.is_empty(), "the next is due after an interval: {:?}", world.asked);
    world.consumer.unsubscribe(world.now);
    world.run();
    assert_eq!(told(&world.heartbeat()).member_epoch, -1, "the coordinator knows it");
}

#[test]
fn a_pattern_is_not_matched_while_the_question_which_topics_there_are_is_without_an_answer() {
    let mut world = of_version_zero(consumer_protocol());
    // A third would be a refusal.
    world.unanswered = 2;
    world.consumer.subscribe_pattern("t.*", world.now).unwrap();
    world.run();
    assert_eq!(told(&world.heartbeat()).subscribed_topic_names, Some(vec!["t".to_owned()]));
}

#[test]
fn a_member_that_comes_again_says_everything() {
    let mut config = consumer_protocol();
    let group = config.group.as_mut().unwrap();
    (group.rack, group.server_assignor) = (Some("r".to_owned()), Some("range".to_owned()));
    group.rebalance_timeout = Some(Duration::from_secs(60));
    let mut world = World::in_epoch_one(config, &[0]);
    for error in [Some(ErrorCode::FencedMemberEpoch), None] {
        let heartbeat = world.heartbeat();
        assert_eq!((told(&heartbeat).rebalance_timeout_ms, &told(&heartbeat).rack_id), (-1, &None));
        match error {
            Some(error) => world.answer(&heartbeat, refused(error)),
            None => world.disconnect(&heartbeat),
        }
        let again = world.heartbeat();
        let told = told(&again);
        assert_eq!((told.rebalance_timeout_ms, told.rack_id.as_deref()), (60_000, Some("r")), "{error:?}");
        assert_eq!(told.subscribed_topic_names, Some(vec!["t".to_owned()]));
        assert_eq!(told.server_assignor.as_deref(), Some("range"));
        assert_eq!(told.topic_partitions, Some(vec![]));
        world.answer(&again, epoch(2, Some(&[])));
        let acknowledges = world.heartbeat();
        world.answer(&acknowledges, epoch(2, None));
    }
}

#[test]
fn the_interval_between_heartbeats_comes_with_each_answer() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    world.consumer.park(world.reader);
    let mut gaps = Vec::new();
    for millis in [5000, 5000, 5000, 2000, 2000, 7000] {
        world.pass(Duration::from_secs(20));
        let heartbeat = world.expect(ApiKey::ConsumerGroupHeartbeat);
        let answer = ConsumerGroupHeartbeatResponse { heartbeat_interval_ms: millis, ..epoch(1, None) };
        // The interval in the answer counts from when the heartbeat was sent: the next heartbeat is due at once,
        // and the one after it is not.
        world.answer(&heartbeat, answer);
        let heartbeat = world.expect(ApiKey::ConsumerGroupHeartbeat);
        let sent = world.now.mono;
        world.answer(
            &heartbeat,
            ConsumerGroupHeartbeatResponse { heartbeat_interval_ms: millis, ..epoch(1, None) },
        );
        while !world.has_asked(ApiKey::ConsumerGroupHeartbeat) {
            world.pass(Duration::from_millis(100));
        }
        gaps.push((world.now.mono - sent).as_millis());
    }
    assert_eq!(gaps, [5000, 5000, 5000, 2000, 2000, 7000]);
}

#[test]
fn offsets_asked_for_under_an_epoch_that_moved_on_are_asked_for_again_under_the_new_one() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, epoch(3, Some(&[0])));
    let fetch = world.expect(ApiKey::OffsetFetch);
    let acknowledges = world.heartbeat();
    world.answer(&acknowledges, epoch(4, None));
    let stale = OffsetFetchResponseGroup { error_code: ErrorCode::StaleMemberEpoch, ..Default::default() };
    world.answer(&fetch, OffsetFetchResponse { groups: vec![stale], ..Default::default() });
    world.pass(Duration::from_secs(1));
    let fetch = world.expect(ApiKey::OffsetFetch);
    let Request::OffsetFetch(request) = &fetch.request else { unreachable!() };
    assert_eq!(request.groups[0].member_epoch, 4);
    world.asked.push_back(fetch);
    world.committed(9);
    assert_eq!(world.consumer.position(&at(0)), Some(9));
}

#[test]
fn refusals_for_good_are_told_and_not_tried_again() {
    for error in [
        ErrorCode::UnsupportedAssignor,
        ErrorCode::InvalidRegularExpression,
        ErrorCode::GroupMaxSizeReached,
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::InvalidRequest,
        ErrorCode::UnsupportedVersion,
    ] {
        let mut world = World::new(consumer_protocol());
        world.subscribe();
        let joins = world.heartbeat();
        world.answer(&joins, refused(error));
        let told = world.consumer.take_failure(&crate::Filter::All, world.now);
        assert_eq!(told, Some(ReadFailure::Group(GroupFailure::Refused(error))));
        assert!(world.consumer.explain(world.now).to_string().contains(&error.to_string()));
        world.pass(Duration::from_secs(600));
        assert!(world.asked.is_empty(), "{:?}", world.asked);
    }
}
