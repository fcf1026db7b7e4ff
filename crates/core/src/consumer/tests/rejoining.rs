//! Why a member of a classic group joins again, under which id, and what ends it for good.

use super::{membership::join_request, *};

fn members(join: &Sent) -> Vec<JoinGroupResponseMember> {
    let metadata = join_request(join).protocols[0].metadata.clone();
    vec![JoinGroupResponseMember { member_id: "me".to_owned(), metadata, ..Default::default() }]
}

/// A member that leads generation 1.
fn leader(config: ConsumerConfig) -> World {
    let mut world = World::new(config);
    world.subscribe();
    world.leads(1);
    world
}

impl World {
    /// Answers the JoinGroup under way so that the member leads, and then its SyncGroup.
    fn leads(&mut self, generation_id: i32) {
        let join = self.expect(ApiKey::JoinGroup);
        let members = members(&join);
        let response = JoinGroupResponse { leader: "me".to_owned(), members, ..joined(generation_id) };
        self.answer(&join, response);
        let sync = self.expect(ApiKey::SyncGroup);
        self.answer(&sync, assigned(&[0, 1]));
    }

    pub(super) fn sync_says(&mut self, error_code: ErrorCode) {
        let join = self.expect(ApiKey::JoinGroup);
        self.answer(&join, joined(1));
        let sync = self.expect(ApiKey::SyncGroup);
        self.answer(&sync, SyncGroupResponse { error_code, ..Default::default() });
    }

    /// The user commits, and the coordinator answers with this error.
    pub(super) fn committing_says(&mut self, error_code: ErrorCode) -> OpId {
        let op = self.consumer.commit(Some([(at(0), 5.into())].into()), self.now).unwrap();
        self.run();
        let commit = self.expect(ApiKey::OffsetCommit);
        self.commit_says(&commit, error_code);
        op
    }

    pub(super) fn topics_joined_for(&mut self) -> Vec<String> {
        let join = self.expect(ApiKey::JoinGroup);
        let metadata = &join_request(&join).protocols[0].metadata;
        let topics = crate::group::embedded::Subscription::decode(metadata).unwrap().topics;
        self.answer(&join, joined(1));
        let sync = self.expect(ApiKey::SyncGroup);
        self.answer(&sync, assigned(&[]));
        topics
    }
}

#[test]
fn a_follower_syncs_empty_though_it_led_before() {
    let mut world = leader(group_config());
    world.committed(0);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let join = world.expect(ApiKey::JoinGroup);
    world.answer(&join, joined(2));
    let sync = world.expect(ApiKey::SyncGroup);
    let Request::SyncGroup(request) = &sync.request else { unreachable!() };
    assert_eq!((request.generation_id, &request.assignments), (2, &vec![]));
}

#[test]
fn a_join_is_waited_for_five_seconds_longer_than_the_rebalance_may_take() {
    let mut config = group_config();
    config.group.as_mut().unwrap().rebalance_timeout = Some(Duration::from_secs(60));
    let mut world = World::new(config);
    world.subscribe();
    world.consumer.park(world.reader);
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).rebalance_timeout_ms, 60_000);
    world.pass(Duration::from_secs(64));
    assert!(!world.has_asked(ApiKey::JoinGroup), "the request time-out would cut it short");
    world.pass(Duration::from_secs(3));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_sync_that_nobody_answers_is_waited_for_no_longer_than_any_request() {
    let mut world = World::new(group_config());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    world.answer(&join, joined(1));
    world.expect(ApiKey::SyncGroup);
    world.consumer.park(world.reader);
    let limit = world.consumer.hub.connections.request_timeout();
    world.pass(limit - Duration::from_secs(1));
    assert!(!world.has_asked(ApiKey::JoinGroup));
    world.pass(Duration::from_secs(2));
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "me");
}

#[test]
fn a_member_refused_in_its_join_comes_again_under_its_id_unless_that_is_unknown() {
    for (error, id) in [
        (ErrorCode::UnknownMemberId, ""),
        (ErrorCode::IllegalGeneration, "me"),
        (ErrorCode::RebalanceInProgress, "me"),
    ] {
        let mut world = World::member(group_config(), &[0]);
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        let join = world.expect(ApiKey::JoinGroup);
        world.answer(&join, join_refused(error));
        world.pass(Duration::from_secs(1));
        assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, id, "{error}");
    }
}

#[test]
fn a_member_refused_in_its_sync_comes_again_under_its_id_unless_that_is_unknown() {
    for (error, id) in [(ErrorCode::UnknownMemberId, ""), (ErrorCode::IllegalGeneration, "me")] {
        let mut world = World::new(group_config());
        world.subscribe();
        world.sync_says(error);
        assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, id, "{error}");
        assert_eq!(world.events(), [], "nothing was owned");
    }
}

#[test]
fn a_commit_that_meets_a_rebalance_fails_and_the_member_gives_up_in_order_and_joins_again() {
    let mut world = World::member(group_config(), &[0]);
    world.events();
    let op = world.committing_says(ErrorCode::RebalanceInProgress);
    let refused = OpFailure::NotMember(ErrorCode::RebalanceInProgress);
    assert_eq!(world.consumer.take_outcome(op), Some(Err(refused)));
    assert_eq!(world.events(), [Event::Revoked(vec![at(0)])]);
    assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, "me");
}

#[test]
fn a_commit_of_one_who_is_no_member_loses_the_partitions_and_of_the_unknown_the_id() {
    for (error, id) in [(ErrorCode::UnknownMemberId, ""), (ErrorCode::IllegalGeneration, "me")] {
        let mut world = World::member(group_config(), &[0]);
        world.events();
        world.committing_says(error);
        assert_eq!(world.events(), [Event::Lost(vec![at(0)])]);
        assert_eq!(join_request(&world.expect(ApiKey::JoinGroup)).member_id, id, "{error}");
    }
}

#[test]
fn an_answer_to_what_was_asked_before_another_subscription_is_ignored() {
    let mut world = World::new(group_config());
    world.subscribe();
    let other = |world: &mut World, topic: &str| {
        world.consumer.subscribe(["t".to_owned(), topic.to_owned()], world.now).unwrap();
        world.run();
    };
    let overtaken = world.expect(ApiKey::JoinGroup);
    other(&mut world, "u");
    let join = world.expect(ApiKey::JoinGroup);
    world.answer(&overtaken, joined(1));
    assert!(!world.has_asked(ApiKey::SyncGroup), "the older join");
    world.answer(&join, joined(2));
    let overtaken = world.expect(ApiKey::SyncGroup);
    other(&mut world, "v");
    world.answer(&overtaken, assigned(&[0]));
    assert!(world.consumer.assignment().is_empty(), "the older sync");
    world.join(3, &[1]);
    assert_eq!(world.consumer.assignment(), [at(1)]);
}

#[test]
fn a_leader_whose_topic_has_other_partitions_than_it_shared_out_rejoins() {
    for partitions in [1, 4] {
        let mut world = leader(group_config());
        world.committed(0);
        world.partitions = partitions;
        world.pass(Duration::from_secs(5 * 60));
        assert!(world.has_asked(ApiKey::JoinGroup));
    }
}

#[test]
fn a_leader_rejoins_when_a_topic_that_was_missing_comes_into_being() {
    let mut world = World::new(group_config());
    world.consumer.subscribe(["t".to_owned(), "u".to_owned()], world.now).unwrap();
    world.run();
    world.leads(1);
    world.committed(0);
    world.pass(Duration::from_secs(1));
    assert!(!world.has_asked(ApiKey::JoinGroup));
    world.topics.push("u");
    world.pass(Duration::from_secs(30));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn any_member_rejoins_when_its_pattern_matches_other_topics() {
    let mut world = World::new(group_config());
    world.consumer.subscribe_pattern("t.*", world.now).unwrap();
    world.run();
    assert_eq!(world.topics_joined_for(), ["t"]);
    for (topics, matching) in [(vec!["t", "t2", "x"], vec!["t", "t2"]), (vec!["t", "x"], vec!["t"])] {
        world.topics = topics;
        world.consumer.park(world.reader);
        for _ in 0..10 {
            world.pass(Duration::from_secs(30));
            if world.has_asked(ApiKey::Heartbeat) {
                world.heartbeat_says(ErrorCode::None);
            }
        }
        assert_eq!(world.topics_joined_for(), matching);
    }
}

#[test]
fn fetching_goes_on_as_long_as_the_coordinator_is_out_of_reach() {
    let mut world = World::member(group_config(), &[0]);
    world.refusing = true;
    // Nor can any broker say which one is the coordinator.
    let leader = world.fetches[0].conn;
    for (conn, _) in std::mem::take(&mut world.called).into_iter().filter(|(conn, _)| *conn != leader) {
        world.consumer.handle_disconnected(conn, Disconnected::Closed, world.now);
    }
    world.pass(Duration::from_secs(5));
    let group = world.consumer.explain(world.now).group;
    assert!(matches!(group, Some(GroupReason::CoordinatorUnknown { .. })), "{group:?}");
    for round in 0..10 {
        world.fetched(0, round * 5..round * 5 + 5);
        let slice = world.take().unwrap();
        world.back_from(&slice, slice.next);
        world.pass(Duration::from_secs(5));
    }
    assert!(!world.has_asked(ApiKey::Heartbeat));
    assert_eq!(world.consumer.position(&at(0)), Some(50));
}

#[test]
fn when_no_broker_can_be_reached_those_that_the_user_named_are_tried_again() {
    let mut config = group_config();
    config.seeds = vec![Address { host: "named".to_owned(), port: 9092 }];
    let mut world = World::member(config, &[0]);
    world.refusing = true;
    for (conn, _) in std::mem::take(&mut world.called) {
        world.consumer.handle_disconnected(conn, Disconnected::Closed, world.now);
    }
    world.pass(Duration::from_secs(10));
    assert!(world.called.iter().any(|(_, host)| host == "named"), "{:?}", world.called);
    world.refusing = false;
    world.pass(Duration::from_secs(10));
    world.expect(ApiKey::Heartbeat);
}

#[test]
fn a_join_is_waited_for_no_shorter_than_any_request() {
    let mut config = group_config();
    config.connections.request_timeout = Duration::from_secs(90);
    config.group.as_mut().unwrap().max_poll_interval = Duration::from_secs(10);
    let mut world = World::new(config);
    world.subscribe();
    world.consumer.park(world.reader);
    world.expect(ApiKey::JoinGroup);
    world.pass(Duration::from_secs(89));
    assert!(!world.has_asked(ApiKey::JoinGroup));
    world.pass(Duration::from_secs(3));
    assert!(world.has_asked(ApiKey::JoinGroup));
}
