//! FENCED_INSTANCE_ID: another member came with a static member's `group.instance.id`, or the member itself did.

use super::{membership::join_request, *};

const SESSION: Duration = Duration::from_secs(10);

fn static_config() -> ConsumerConfig {
    let mut config = group_config();
    let group = config.group.as_mut().unwrap();
    group.instance_id = Some("i".to_owned());
    group.session_timeout = SESSION;
    config
}

#[test]
fn a_fenced_instance_ends_for_good_and_says_so_whatever_it_asked() {
    let error = ErrorCode::FencedInstanceId;
    let asks: [fn(&mut World); 3] = [
        |world| {
            let join = world.expect(ApiKey::JoinGroup);
            world.answer(&join, join_refused(ErrorCode::FencedInstanceId));
        },
        |world| world.sync_says(ErrorCode::FencedInstanceId),
        |world| {
            world.join(1, &[0]);
            world.committing_says(ErrorCode::FencedInstanceId);
        },
    ];
    for ask in asks {
        let mut world = World::new(static_config());
        world.subscribe();
        ask(&mut world);
        assert!(world.consumer.explain(world.now).to_string().contains("FENCED_INSTANCE_ID"));
        let told = ReadFailure::Group(GroupFailure::Refused(error));
        assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), Some(told.clone()));
        world.asked.clear();
        world.pass(Duration::from_secs(600));
        assert!(world.asked.is_empty(), "{:?}", world.asked);
        assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), Some(told), "for good");
    }
}

/// A static member that was given its id by broker 1, which then says that it coordinates no more. Broker 2 does.
fn named_by_a_coordinator_of_the_past() -> World {
    let mut world = World::new(static_config());
    world.hosts = vec!["broker", "other"];
    world.subscribe();
    world.coordinator = 2;
    world.sync_says(ErrorCode::NotCoordinator);
    world.pass(Duration::from_secs(3));
    world
}

#[test]
fn a_static_member_whose_id_only_a_coordinator_of_the_past_knows_joins_without_one() {
    let mut world = named_by_a_coordinator_of_the_past();
    let join = world.expect(ApiKey::JoinGroup);
    assert_eq!(join_request(&join).member_id, "me");
    world.answer(&join, join_refused(ErrorCode::FencedInstanceId));
    assert!(!world.has_asked(ApiKey::JoinGroup), "not without a pause");
    world.pass(Duration::from_secs(3));
    let join = world.expect(ApiKey::JoinGroup);
    assert_eq!(join_request(&join).member_id, "");
    world.answer(&join, joined(7));
    let sync = world.expect(ApiKey::SyncGroup);
    world.answer(&sync, assigned(&[0]));
    assert_eq!(world.consumer.assignment(), [at(0)]);
}

/// A static member whose JoinGroup broker 1 answers, though broker 2 is known as the coordinator by then.
fn named_late_by_a_coordinator_of_the_past() -> World {
    let mut world = World::new(static_config());
    world.hosts = vec!["broker", "other"];
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    world.coordinator = 2;
    world.consumer.committed(vec![at(0)], world.now).unwrap();
    world.run();
    let fetch = world.expect(ApiKey::OffsetFetch);
    let error_code = ErrorCode::NotCoordinator;
    let group = OffsetFetchResponseGroup { group_id: "g".to_owned(), error_code, ..Default::default() };
    world.answer(&fetch, OffsetFetchResponse { groups: vec![group], ..Default::default() });
    world.pass(Duration::from_secs(1));
    world.committed(0);
    world.answer(&join, joined(1));
    world
}

#[test]
fn a_static_member_whose_id_only_a_coordinator_of_the_past_knows_is_fenced_by_nothing_that_it_asks() {
    let asks: [fn(&mut World); 2] = [
        |world| world.heartbeat_says(ErrorCode::FencedInstanceId),
        |world| {
            let sync = world.expect(ApiKey::SyncGroup);
            let error_code = ErrorCode::FencedInstanceId;
            world.answer(&sync, SyncGroupResponse { error_code, ..Default::default() });
        },
    ];
    for ask in asks {
        let mut world = named_late_by_a_coordinator_of_the_past();
        ask(&mut world);
        world.pass(Duration::from_secs(1));
        assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), None);
        let join = world.expect(ApiKey::JoinGroup);
        assert_eq!(join_request(&join).member_id, "");
        world.answer(&join, joined(7));
        world.asked.retain(|sent| sent.request.key() != ApiKey::SyncGroup || sent.id > join.id);
        let sync = world.expect(ApiKey::SyncGroup);
        world.answer(&sync, assigned(&[0]));
        assert_eq!(world.consumer.assignment(), [at(0)]);
    }
}

#[test]
fn a_static_member_whose_id_was_taken_is_fenced_for_good_by_any_coordinator() {
    let mut world = named_by_a_coordinator_of_the_past();
    world.enter(7, &[0]);
    world.asked.clear();
    world.coordinator = 1;
    world.heartbeat_says(ErrorCode::NotCoordinator);
    world.pass(Duration::from_secs(3));
    world.heartbeat_says(ErrorCode::FencedInstanceId);
    let fenced = ReadFailure::Group(GroupFailure::Refused(ErrorCode::FencedInstanceId));
    assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), Some(fenced));
}

/// The coordinator comes to the member's first JoinGroup after its second, and tells the member so by this answer.
fn whose_first_join_comes_last(told: fn(&mut World)) -> World {
    let mut world = World::new(static_config());
    world.subscribe();
    let first = world.expect(ApiKey::JoinGroup);
    world.disconnect(&first);
    world.pass(Duration::from_secs(3));
    told(&mut world);
    world.pass(Duration::from_secs(3));
    world
}

#[test]
fn a_static_member_that_is_fenced_by_a_join_of_its_own_that_it_gave_up_joins_once_more() {
    let answers: [fn(&mut World); 3] = [
        |world| world.sync_says(ErrorCode::FencedInstanceId),
        |world| {
            world.join(1, &[0]);
            world.heartbeat_says(ErrorCode::FencedInstanceId);
        },
        |world| {
            world.join(1, &[0]);
            world.committing_says(ErrorCode::FencedInstanceId);
        },
    ];
    for told in answers {
        let mut world = whose_first_join_comes_last(told);
        assert!(world.consumer.assignment().is_empty());
        assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "");
    }
}

#[test]
fn a_static_member_that_gave_up_a_join_is_fenced_for_good_the_second_time_or_after_a_session() {
    let answers: [fn(&mut World); 2] = [
        |world| {
            world.sync_says(ErrorCode::FencedInstanceId);
            world.pass(Duration::from_secs(3));
            world.sync_says(ErrorCode::FencedInstanceId);
        },
        |world| {
            world.join(1, &[0]);
            let given_up = world.now;
            while world.now.mono < given_up.mono + SESSION {
                world.heartbeat_says(ErrorCode::None);
            }
            world.heartbeat_says(ErrorCode::FencedInstanceId);
        },
    ];
    let fenced = ReadFailure::Group(GroupFailure::Refused(ErrorCode::FencedInstanceId));
    for told in answers {
        let mut world = whose_first_join_comes_last(told);
        assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), Some(fenced.clone()));
    }
}
