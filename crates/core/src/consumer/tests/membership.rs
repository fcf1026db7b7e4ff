use super::*;
use crate::group::embedded::Subscription;

pub(super) fn join_request(sent: &Sent) -> &JoinGroupRequest {
    match &sent.request {
        Request::JoinGroup(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dynamic_member_joins_again_with_the_id_that_it_is_given() {
    let mut world = World::new(group_config());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    assert_eq!(join_request(&join).member_id, "");
    world.answer(&join, join_refused(ErrorCode::MemberIdRequired));
    let join = world.expect(ApiKey::JoinGroup);
    assert_eq!(join_request(&join).member_id, "given");
}

#[test]
fn a_follower_syncs_empty_and_reads_what_it_is_assigned() {
    let mut world = World::member(group_config(), &[0, 1]);
    assert_eq!(world.consumer.assignment(), [at(0), at(1)]);
    let joined = Event::Joined { generation_id: 1, member_id: "me".to_owned(), took: Duration::ZERO };
    assert_eq!(world.events(), [joined, Event::Assigned(vec![at(0), at(1)])]);
    assert!(!world.fetches.is_empty());
}

#[test]
fn a_leader_shares_out_among_all_members() {
    let mut world = World::new(group_config());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let metadata = join_request(&join).protocols[0].metadata.clone();
    let member = |id: &str| JoinGroupResponseMember {
        member_id: id.to_owned(),
        metadata: metadata.clone(),
        ..Default::default()
    };
    let members = vec![member("a"), member("me")];
    world.answer(&join, JoinGroupResponse { leader: "me".to_owned(), members, ..joined(1) });
    let sync = world.expect(ApiKey::SyncGroup);
    assert_eq!(shared_out(&sync), [("a", vec![at(0)]), ("me", vec![at(1)])]);
}

#[test]
fn a_leader_shares_out_nothing_before_it_was_told_of_every_topic_of_its_group() {
    let mut world = World::new(group_config());
    world.topics.push("u");
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let metadata = Subscription { topics: vec!["u".to_owned()], ..Default::default() }.encode();
    let other = JoinGroupResponseMember { member_id: "a".to_owned(), metadata, ..Default::default() };
    world.unanswered = 3;
    world.answer(&join, JoinGroupResponse { leader: "me".to_owned(), members: vec![other], ..joined(1) });
    assert!(!world.has_asked(ApiKey::SyncGroup));
    world.pass(Duration::from_secs(5));
    let sync = world.expect(ApiKey::SyncGroup);
    assert_eq!(shared_out(&sync), [("a", vec![TopicPartition::new("u", 0), TopicPartition::new("u", 1)])]);
}

#[test]
fn a_rebalance_gives_up_everything_before_it_joins_again() {
    let mut world = World::member(group_config(), &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    world.back_from(&slice, 10);
    world.events();
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let commit = world.expect(ApiKey::OffsetCommit);
    assert!(!world.has_asked(ApiKey::JoinGroup), "what was delivered is committed first");
    world.commit_says(&commit, ErrorCode::None);
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "me");
    let events = world.events();
    let [Event::RevocationWaiting { held, .. }, Event::Revoked(gone)] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(held.is_empty(), "it waited for the commit alone");
    assert_eq!(*gone, [at(0)]);
    assert!(world.consumer.assignment().is_empty());
}

#[test]
fn a_rebalance_waits_for_the_user_to_come_back_while_heartbeats_go_on() {
    let mut world = World::member(group_config(), &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.pass(Duration::from_secs(30));
    assert!(world.has_asked(ApiKey::Heartbeat));
    assert!(!world.has_asked(ApiKey::JoinGroup), "the user has records in hand");
    assert!(world.consumer.explain(world.now).to_string().contains("come back from t-0"));
    assert_eq!(world.back_from(&slice, 4), crate::lanes::Admission::Over);
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&commit), [(0, 4)]);
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn buffered_records_of_a_partition_being_revoked_are_not_handed_out() {
    let mut world = World::member(group_config(), &[0]);
    world.fetched(0, 0..10);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    assert!(world.take().is_none());
}

#[test]
fn partitions_are_lost_when_the_user_stays_away_until_the_rebalance_is_over() {
    for (may_stay_away, rebalance) in [(10, None), (300, Some(10))] {
        let mut config = group_config();
        let group = config.group.as_mut().unwrap();
        group.max_poll_interval = Duration::from_secs(may_stay_away);
        group.rebalance_timeout = rebalance.map(Duration::from_secs);
        let mut world = World::member(config, &[0]);
        world.fetched(0, 0..10);
        world.take().unwrap();
        world.pass(Duration::from_secs(8));
        world.reads_to(1);
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        world.pass(Duration::from_secs(4));
        world.reads_to(2);
        world.events();
        world.pass(Duration::from_secs(7));
        assert_eq!(world.events(), [Event::Lost(vec![at(0)])]);
        assert!(!world.asked.iter().any(
            |sent| matches!(&sent.request, Request::OffsetCommit(r) if r.generation_id_or_member_epoch < 0)
        ));
    }
}

#[test]
fn an_unknown_member_loses_its_partitions_and_its_id() {
    let mut world = World::member(group_config(), &[0]);
    world.events();
    world.heartbeat_says(ErrorCode::UnknownMemberId);
    assert_eq!(
        world.events(),
        [Event::HeartbeatFailed { error: Some(ErrorCode::UnknownMemberId) }, Event::Lost(vec![at(0)])]
    );
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "");
}

#[test]
fn a_member_of_an_old_generation_loses_its_partitions_and_keeps_its_id() {
    let mut world = World::member(group_config(), &[0]);
    world.events();
    world.heartbeat_says(ErrorCode::IllegalGeneration);
    assert_eq!(
        world.events(),
        [Event::HeartbeatFailed { error: Some(ErrorCode::IllegalGeneration) }, Event::Lost(vec![at(0)])]
    );
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "me");
}

#[test]
fn a_heartbeat_answered_under_an_older_generation_is_ignored() {
    let mut world = World::member(group_config(), &[0]);
    world.pass(Duration::from_secs(3));
    let stale = world.expect(ApiKey::Heartbeat);
    world.consumer.subscribe(["t".to_owned(), "u".to_owned()], world.now).unwrap();
    world.run();
    world.join(2, &[0]);
    world.events();
    world
        .answer(&stale, HeartbeatResponse { error_code: ErrorCode::IllegalGeneration, ..Default::default() });
    assert_eq!(world.events(), []);
    assert_eq!(world.consumer.assignment(), [at(0)]);
}

#[test]
fn a_sync_cut_short_by_another_rebalance_joins_again() {
    let mut world = World::new(group_config());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    world.answer(&join, joined(1));
    let sync = world.expect(ApiKey::SyncGroup);
    let error_code = ErrorCode::RebalanceInProgress;
    world.answer(&sync, SyncGroupResponse { error_code, ..Default::default() });
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "me");
}

#[test]
fn refusals_for_good_are_told_and_not_tried_again() {
    for error in [
        ErrorCode::GroupMaxSizeReached,
        ErrorCode::InconsistentGroupProtocol,
        ErrorCode::InvalidSessionTimeout,
        ErrorCode::GroupAuthorizationFailed,
    ] {
        let mut world = World::new(group_config());
        world.subscribe();
        let join = world.expect(ApiKey::JoinGroup);
        world.answer(&join, join_refused(error));
        world.pass(Duration::from_secs(600));
        assert!(!world.has_asked(ApiKey::JoinGroup));
        let told = world.consumer.take_failure(&crate::Filter::All, world.now);
        assert_eq!(told, Some(ReadFailure::Group(GroupFailure::Refused(error))));
    }
}

#[test]
fn a_coordinator_that_moved_is_looked_up_and_asked_again() {
    let mut world = World::new(group_config());
    world.subscribe();
    for error in
        [ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable]
    {
        let join = world.expect(ApiKey::JoinGroup);
        world.answer(&join, join_refused(error));
        assert!(!world.has_asked(ApiKey::JoinGroup), "not without a pause");
        world.pass(Duration::from_secs(3));
    }
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn fetching_goes_on_while_the_coordinator_is_unreachable() {
    let mut world = World::member(group_config(), &[0]);
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    world.disconnect(&heartbeat);
    world.fetched(0, 0..5);
    assert!(world.take().is_some());
}

#[test]
fn a_user_who_stays_away_is_told_and_joins_again_with_the_next_call() {
    let mut world = World::member(group_config(), &[0]);
    world.events();
    world.consumer.returned(world.reader, world.now);
    world.pass(Duration::from_secs(301));
    // Nobody answers its heartbeats here.
    let mut told = world.events();
    told.retain(|event| *event != Event::HeartbeatFailed { error: None });
    assert_eq!(told, [Event::Lost(vec![at(0)])]);
    let leave = world.expect(ApiKey::LeaveGroup);
    world.answer(&leave, LeaveGroupResponse::default());
    assert!(!world.has_asked(ApiKey::JoinGroup));
    let told = world.consumer.take_failure(&crate::Filter::All, world.now);
    assert!(matches!(told, Some(ReadFailure::Group(GroupFailure::MaxPollExceeded(_)))));
    world.run();
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "");
}

#[test]
fn a_user_who_comes_back_before_the_leave_is_answered_joins_all_the_same() {
    let mut world = World::member(group_config(), &[0]);
    world.pass(Duration::from_secs(301));
    let leave = world.expect(ApiKey::LeaveGroup);
    world.consumer.take_failure(&crate::Filter::All, world.now);
    world.run();
    world.answer(&leave, LeaveGroupResponse::default());
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_user_who_waits_for_records_is_not_away() {
    let mut world = World::member(group_config(), &[0]);
    world.consumer.returned(world.reader, world.now);
    world.consumer.park(world.reader);
    for _ in 0..400 {
        world.pass(Duration::from_secs(1));
        if world.has_asked(ApiKey::Heartbeat) {
            world.heartbeat_says(ErrorCode::None);
        }
    }
    assert!(!world.has_asked(ApiKey::LeaveGroup));
}

#[test]
fn offsets_that_were_asked_for_in_an_earlier_generation_are_asked_for_again() {
    let mut world = World::new(group_config());
    world.subscribe();
    world.enter(1, &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(2, &[0]);
    world.committed(3);
    world.committed(5);
    world.fetched(0, 5..6);
    assert!(world.take().is_some(), "from where others had come meanwhile");
}

#[test]
fn a_member_without_partitions_is_stable_and_says_why() {
    let mut world = World::new(group_config());
    world.subscribe();
    world.join(1, &[]);
    let idle = "no partition assigned: 2 partitions, which others have";
    assert!(world.consumer.explain(world.now).to_string().contains(idle));
    world.heartbeat_says(ErrorCode::None);
    assert!(!world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn closing_commits_what_was_delivered_and_then_leaves() {
    let mut world = World::member(group_config(), &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    world.back_from(&slice, 6);
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&commit), [(0, 6)]);
    assert!(!world.has_asked(ApiKey::LeaveGroup));
    world.commit_says(&commit, ErrorCode::None);
    let leave = world.expect(ApiKey::LeaveGroup);
    assert!(!world.consumer.is_closed());
    world.answer(&leave, LeaveGroupResponse::default());
    assert!(world.consumer.is_closed());
}

#[test]
fn closing_ends_at_its_deadline_whatever_the_broker_does() {
    let mut world = World::member(group_config(), &[0]);
    let deadline = world.now.mono + Duration::from_secs(2);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    world.pass(Duration::from_secs(2));
    assert!(world.consumer.is_closed());
}

#[test]
fn a_coordinator_out_of_reach_is_looked_up_again() {
    let mut world = World::member(group_config(), &[0, 1]);
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    world.answer(&heartbeat, HeartbeatResponse::default());
    world.refusing = true;
    // No request waits for an answer.
    world.disconnect(&heartbeat);
    world.pass(Duration::from_secs(4));
    let group = world.consumer.explain(world.now).group;
    assert!(matches!(group, Some(GroupReason::CoordinatorUnknown { .. })), "{group:?}");
    world.refusing = false;
    world.pass(Duration::from_secs(3));
    world.expect(ApiKey::Heartbeat);
}

#[test]
fn a_coordinator_that_throttles_is_left_alone_until_then_and_the_reason_is_told() {
    let mut world = World::new(group_config());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    world.answer(&join, JoinGroupResponse { throttle_time_ms: 700, ..joined(1) });
    let said = world.consumer.explain(world.now).to_string();
    assert!(said.contains("group: coordinator 1: throttled by the broker for 700.0ms more"), "{said}");
    world.pass(Duration::from_millis(699));
    assert!(!world.has_asked(ApiKey::SyncGroup));
    world.pass(Duration::from_millis(1));
    world.expect(ApiKey::SyncGroup);
}
