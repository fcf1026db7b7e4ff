//! Members of groups whose coordinator assigns the partitions (KIP-848).

use super::*;
use crate::{Callback, Event, GroupProtocol, LeaveGroup};

pub(super) fn consumer_protocol() -> ConsumerConfig {
    let mut config = group_config();
    config.group.as_mut().unwrap().protocol = GroupProtocol::Consumer;
    config
}

pub(super) fn r#static() -> ConsumerConfig {
    let mut config = consumer_protocol();
    config.group.as_mut().unwrap().instance_id = Some("i".to_owned());
    config
}

pub(super) fn told(sent: &Sent) -> &ConsumerGroupHeartbeatRequest {
    match &sent.request {
        Request::ConsumerGroupHeartbeat(request) => request,
        other => panic!("{other:?}"),
    }
}

fn topics(partitions: &[i32]) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
    let topic =
        ConsumerGroupHeartbeatTopicPartitions { topic_id: TopicId([1; 16]), partitions: partitions.to_vec() };
    if partitions.is_empty() { Vec::new() } else { vec![topic] }
}

pub(super) fn epoch(member_epoch: i32, partitions: Option<&[i32]>) -> ConsumerGroupHeartbeatResponse {
    let assignment = |partitions| ConsumerGroupHeartbeatAssignment { topic_partitions: topics(partitions) };
    ConsumerGroupHeartbeatResponse {
        member_epoch,
        heartbeat_interval_ms: 5000,
        assignment: partitions.map(assignment),
        ..Default::default()
    }
}

pub(super) fn refused(error_code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse { error_code, ..Default::default() }
}

impl World {
    pub(super) fn heartbeat(&mut self) -> Sent {
        if !self.has_asked(ApiKey::ConsumerGroupHeartbeat) {
            self.pass(Duration::from_secs(5));
        }
        self.expect(ApiKey::ConsumerGroupHeartbeat)
    }

    /// A member of epoch 1 that has told the coordinator that it owns these partitions.
    pub(super) fn in_epoch_one(config: ConsumerConfig, partitions: &[i32]) -> Self {
        let mut world = Self::new(config);
        world.subscribe();
        let joins = world.heartbeat();
        world.answer(&joins, epoch(1, Some(partitions)));
        if !partitions.is_empty() {
            world.committed(0);
        }
        let acknowledges = world.heartbeat();
        world.answer(&acknowledges, epoch(1, None));
        world.events();
        world
    }
}

#[test]
fn a_member_comes_in_with_an_id_of_its_own_and_epoch_zero_and_says_everything() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    let told = told(&joins);
    assert_eq!((told.member_epoch, told.member_id.len()), (0, 22));
    assert_eq!(told.subscribed_topic_names, Some(vec!["t".to_owned()]));
    assert_eq!((told.rebalance_timeout_ms, &told.topic_partitions), (300_000, &Some(vec![])));
}

#[test]
fn an_assignment_is_carried_out_and_acknowledged_at_once() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, epoch(1, Some(&[0, 1])));
    assert_eq!(world.consumer.assignment(), [at(0), at(1)]);
    let acknowledges = world.expect(ApiKey::ConsumerGroupHeartbeat);
    let told = told(&acknowledges);
    assert_eq!((told.member_epoch, &told.topic_partitions), (1, &Some(topics(&[0, 1]))));
    assert_eq!((told.rebalance_timeout_ms, &told.subscribed_topic_names), (-1, &None), "only what changed");
    let events = world.events();
    assert!(matches!(events[0], Event::Joined { generation_id: 1, .. }));
    assert_eq!(events[1..], [Event::Assigned(vec![at(0), at(1)])]);
}

#[test]
fn heartbeats_come_five_times_as_often_after_a_new_epoch_and_then_at_the_coordinators_interval() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    let mut sent = Vec::new();
    for _ in 0..300 {
        world.pass(Duration::from_millis(100));
        if world.has_asked(ApiKey::ConsumerGroupHeartbeat) {
            let heartbeat = world.expect(ApiKey::ConsumerGroupHeartbeat);
            assert_eq!((told(&heartbeat).member_epoch, &told(&heartbeat).topic_partitions), (1, &None));
            sent.push(world.now.mono);
            world.answer(&heartbeat, epoch(1, None));
        }
    }
    let gaps: Vec<_> = sent.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert_eq!(gaps, [vec![1000; 9], vec![5000; 4]].concat());
}

#[test]
fn what_is_taken_away_is_committed_and_acknowledged_while_the_rest_flows() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0, 1]);
    world.fetched(1, 0..10);
    let slice = world.take().unwrap();
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, epoch(1, Some(&[0])));
    let heartbeat = world.heartbeat();
    assert_eq!(told(&heartbeat).topic_partitions, None, "a record is in the user's hands");
    world.answer(&heartbeat, epoch(1, None));
    assert!(world.consumer.explain(world.now).to_string().contains("come back from t-1"));
    world.back_from(&slice, 4);
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&commit), [(1, 4)]);
    let Request::OffsetCommit(request) = &commit.request else { unreachable!() };
    assert_eq!(request.generation_id_or_member_epoch, 1);
    world.commit_says(&commit, ErrorCode::None);
    assert_eq!(told(&world.expect(ApiKey::ConsumerGroupHeartbeat)).topic_partitions, Some(topics(&[0])));
    let events = world.events();
    assert!(matches!(&events[0], Event::RevocationWaiting { held, .. } if *held == [at(1)]));
    assert_eq!(events[1..], [Event::Revoked(vec![at(1)]), Event::Assigned(vec![])]);
}

#[test]
fn what_is_given_up_is_acknowledged_before_the_listener_has_heard_of_what_comes() {
    let mut config = consumer_protocol();
    config.listener = true;
    let mut world = World::new(config);
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, epoch(1, Some(&[0, 1])));
    world.listener_is_told(Callback::Assigned(vec![at(0), at(1)]));
    world.committed(0);
    let acknowledges = world.heartbeat();
    world.answer(&acknowledges, epoch(1, None));
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, epoch(1, Some(&[0])));
    let heartbeat = world.heartbeat();
    assert_eq!(told(&heartbeat).topic_partitions, None, "the listener has yet to be told");
    world.answer(&heartbeat, epoch(1, None));
    world.listener_is_told(Callback::Revoked(vec![at(1)]));
    assert_eq!(told(&world.expect(ApiKey::ConsumerGroupHeartbeat)).topic_partitions, Some(topics(&[0])));
    world.listener_is_told(Callback::Assigned(vec![]));
    assert!(!world.has_asked(ApiKey::ConsumerGroupHeartbeat), "once is enough");
}

#[test]
fn what_was_given_and_taken_back_before_it_was_carried_out_is_acknowledged_though_nothing_changed() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    for (target, others) in [(&[1][..], "gives up 0, gets 1"), (&[0], "as before")] {
        let heartbeat = world.heartbeat();
        assert_eq!(told(&heartbeat).topic_partitions, None, "{others}");
        world.answer(&heartbeat, epoch(1, Some(target)));
    }
    world.back_from(&slice, 4);
    while world.has_asked(ApiKey::OffsetCommit) {
        let commit = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&commit, ErrorCode::None);
    }
    assert_eq!(world.consumer.assignment(), [at(0)]);
    assert_eq!(told(&world.heartbeat()).topic_partitions, Some(topics(&[0])));
}

#[test]
fn a_target_that_comes_while_one_is_carried_out_is_next() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0, 1]);
    world.fetched(1, 0..10);
    let slice = world.take().unwrap();
    for target in [&[0][..], &[]] {
        let heartbeat = world.heartbeat();
        world.answer(&heartbeat, epoch(1, Some(target)));
    }
    world.back_from(&slice, 4);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.consumer.assignment().is_empty());
}

#[test]
fn heartbeats_go_on_while_a_revocation_waits() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    world.fetched(0, 0..10);
    world.take().unwrap();
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, epoch(1, Some(&[])));
    for _ in 0..3 {
        let heartbeat = world.heartbeat();
        assert_eq!(told(&heartbeat).topic_partitions, None, "nothing is acknowledged");
        world.answer(&heartbeat, epoch(1, None));
    }
}

#[test]
fn a_fenced_member_loses_everything_and_comes_back_under_the_same_id() {
    for error in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId, ErrorCode::GroupIdNotFound] {
        let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
        let heartbeat = world.heartbeat();
        let id = told(&heartbeat).member_id.clone();
        world.answer(&heartbeat, refused(error));
        assert_eq!(world.events(), [Event::HeartbeatFailed { error: Some(error) }, Event::Lost(vec![at(0)])]);
        let joins = world.expect(ApiKey::ConsumerGroupHeartbeat);
        assert_eq!((told(&joins).member_epoch, &told(&joins).member_id), (0, &id));
        assert_eq!(told(&joins).topic_partitions, Some(vec![]));
    }
}

#[test]
fn an_unanswered_heartbeat_is_followed_by_one_that_says_everything() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    let heartbeat = world.heartbeat();
    world.disconnect(&heartbeat);
    let again = world.heartbeat();
    let told = told(&again);
    assert_eq!((told.member_epoch, &told.topic_partitions), (1, &Some(topics(&[0]))));
    assert_eq!(told.subscribed_topic_names, Some(vec!["t".to_owned()]));
}

#[test]
fn a_commit_under_an_epoch_that_moved_on_is_made_again_under_the_new_one() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    let op = world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, epoch(2, None));
    world.commit_says(&commit, ErrorCode::StaleMemberEpoch);
    world.pass(Duration::from_secs(1));
    let commit = world.expect(ApiKey::OffsetCommit);
    let Request::OffsetCommit(request) = &commit.request else { unreachable!() };
    assert_eq!(request.generation_id_or_member_epoch, 2);
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.is_committed(op));
}

#[test]
fn committed_offsets_are_asked_for_in_the_members_name() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, epoch(3, Some(&[0])));
    let fetch = world.expect(ApiKey::OffsetFetch);
    let Request::OffsetFetch(request) = &fetch.request else { unreachable!() };
    let group = &request.groups[0];
    assert_eq!((group.member_epoch, group.member_id.as_ref()), (3, Some(&told(&joins).member_id)));
}

#[test]
fn a_new_static_member_is_refused_while_the_old_one_has_not_left() {
    let mut world = World::new(r#static());
    world.subscribe();
    let joins = world.heartbeat();
    assert_eq!(told(&joins).instance_id.as_deref(), Some("i"));
    world.answer(&joins, refused(ErrorCode::UnreleasedInstanceId));
    let refused = crate::GroupFailure::Refused(ErrorCode::UnreleasedInstanceId);
    let failure = world.consumer.take_failure(&crate::Filter::All, world.now);
    assert_eq!(failure, Some(ReadFailure::Group(refused)));
}

#[test]
fn a_fenced_static_member_waits_until_its_own_session_is_over() {
    let mut world = World::in_epoch_one(r#static(), &[0]);
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, refused(ErrorCode::FencedMemberEpoch));
    for _ in 0..5 {
        let joins = world.heartbeat();
        assert_eq!(told(&joins).member_epoch, 0);
        world.answer(&joins, refused(ErrorCode::UnreleasedInstanceId));
        assert!(world.consumer.take_failure(&crate::Filter::All, world.now).is_none());
    }
    let joins = world.heartbeat();
    world.answer(&joins, epoch(4, Some(&[0])));
    assert_eq!(world.consumer.assignment(), [at(0)]);
}

#[test]
fn a_static_member_whose_id_another_took_while_it_was_away_is_told_so() {
    let mut world = World::in_epoch_one(r#static(), &[0]);
    world.consumer.unsubscribe(world.now);
    world.run();
    let leaves = world.expect(ApiKey::ConsumerGroupHeartbeat);
    assert_eq!(told(&leaves).member_epoch, -2);
    world.answer(&leaves, epoch(-2, None));
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, refused(ErrorCode::UnreleasedInstanceId));
    let refused = crate::GroupFailure::Refused(ErrorCode::UnreleasedInstanceId);
    let failure = world.consumer.take_failure(&crate::Filter::All, world.now);
    assert_eq!(failure, Some(ReadFailure::Group(refused)), "not tried in silence for ever");
}

#[test]
fn a_static_member_does_not_wait_for_its_own_session_for_ever() {
    let mut world = World::in_epoch_one(r#static(), &[0]);
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, refused(ErrorCode::FencedMemberEpoch));
    let begun = world.now.mono;
    let failure = loop {
        let joins = world.heartbeat();
        world.answer(&joins, refused(ErrorCode::UnreleasedInstanceId));
        if let Some(failure) = world.consumer.take_failure(&crate::Filter::All, world.now) {
            break failure;
        }
    };
    let refused = crate::GroupFailure::Refused(ErrorCode::UnreleasedInstanceId);
    assert_eq!(failure, ReadFailure::Group(refused));
    let waited = world.now.mono - begun;
    assert!((50..=62).contains(&waited.as_secs()), "{waited:?}: the longest session");
}

#[test]
fn a_member_says_by_its_epoch_how_it_goes() {
    let cases = [
        (consumer_protocol(), LeaveGroup::Default, Some(-1)),
        (consumer_protocol(), LeaveGroup::Remain, None),
        (r#static(), LeaveGroup::Default, Some(-2)),
        (r#static(), LeaveGroup::Remain, Some(-2)),
        (r#static(), LeaveGroup::Leave, Some(-1)),
    ];
    for (config, leave, expected) in cases {
        let mut world = World::in_epoch_one(config, &[0]);
        let deadline = world.now.mono + Duration::from_secs(30);
        world.consumer.close(CloseKind::Closed, leave, deadline, world.now);
        world.run();
        let Some(expected) = expected else {
            assert!(world.consumer.is_closed(), "{leave:?}");
            continue;
        };
        let leaves = world.expect(ApiKey::ConsumerGroupHeartbeat);
        assert_eq!(told(&leaves).member_epoch, expected, "{leave:?}");
        world.answer(&leaves, epoch(expected, None));
        assert!(world.consumer.is_closed());
    }
}

#[test]
fn a_user_who_stays_away_too_long_leaves_and_joins_with_the_next_call() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    world.pass(Duration::from_secs(300));
    while let Some(index) =
        world.asked.iter().position(|sent| sent.request.key() == ApiKey::ConsumerGroupHeartbeat)
    {
        let heartbeat = world.asked.remove(index).unwrap();
        let leaves = told(&heartbeat).member_epoch == -1;
        world.answer(&heartbeat, epoch(if leaves { -1 } else { 1 }, None));
        if leaves {
            break;
        }
        world.pass(Duration::from_secs(300));
    }
    let exceeded = world.consumer.take_failure(&crate::Filter::All, world.now);
    assert!(matches!(exceeded, Some(ReadFailure::Group(crate::GroupFailure::MaxPollExceeded(_)))));
    world.run();
    assert_eq!(told(&world.expect(ApiKey::ConsumerGroupHeartbeat)).member_epoch, 0);
}

#[test]
fn a_pattern_goes_to_the_coordinator_and_topics_that_come_by_id_are_named_by_metadata() {
    let mut world = World::new(consumer_protocol());
    world.consumer.subscribe_pattern("t.*", world.now).unwrap();
    world.run();
    let joins = world.heartbeat();
    assert_eq!(told(&joins).subscribed_topic_regex.as_deref(), Some("t.*"));
    assert_eq!(told(&joins).subscribed_topic_names, Some(vec![]));
    world.answer(&joins, epoch(1, Some(&[0])));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.consumer.assignment(), [at(0)]);
}

#[test]
fn what_is_yet_to_be_named_is_not_taken_over_while_the_coordinator_is_told_of_the_rest() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0, 1]);
    let heartbeat = world.heartbeat();
    let mut target = epoch(1, Some(&[0]));
    let late = ConsumerGroupHeartbeatTopicPartitions { topic_id: TopicId([2; 16]), partitions: vec![0] };
    target.assignment.as_mut().unwrap().topic_partitions.push(late);
    world.topics = vec!["t", "late"];
    world.answer(&heartbeat, target);
    assert!(
        world.consumer.metadata().partition(&at(0)).is_some(),
        "an answer about ids tells nothing of the others"
    );
    let acknowledges = world.expect(ApiKey::ConsumerGroupHeartbeat);
    assert_eq!(told(&acknowledges).topic_partitions, Some(topics(&[0])), "one was given up");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.consumer.assignment(), [at(0)], "the coordinator may give it to another meanwhile");
    world.answer(&acknowledges, epoch(1, None));
    assert_eq!(world.consumer.assignment(), [at(0), TopicPartition::new("late", 0)]);
    let everything = told(&world.expect(ApiKey::ConsumerGroupHeartbeat)).topic_partitions.clone();
    assert_eq!(everything.unwrap().len(), 2);
}

#[test]
fn another_subscription_is_told_at_once() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    world.consumer.subscribe(["t".to_owned(), "u".to_owned()], world.now).unwrap();
    world.run();
    let heartbeat = world.expect(ApiKey::ConsumerGroupHeartbeat);
    assert_eq!(told(&heartbeat).subscribed_topic_names, Some(vec!["t".to_owned(), "u".to_owned()]));
    assert_eq!(told(&heartbeat).topic_partitions, None);
}

#[test]
fn only_the_coordinator_has_a_rebalance_begin() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    assert_eq!(world.consumer.enforce_rebalance("", world.now), Err(SubscriptionError::ServerSide));
}

#[test]
fn an_unsupported_assignor_is_told_to_the_user() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, refused(ErrorCode::UnsupportedAssignor));
    assert!(world.consumer.take_failure(&crate::Filter::All, world.now).is_some());
}

#[test]
fn a_heartbeat_that_is_throttled_silences_what_goes_the_same_way() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, ConsumerGroupHeartbeatResponse { throttle_time_ms: 700, ..epoch(1, Some(&[0])) });
    let said = world.consumer.explain(world.now).to_string();
    assert!(said.contains("t-0: throttled by the broker for 700.0ms more"), "{said}");
    world.pass(Duration::from_millis(699));
    assert!(world.asked.is_empty(), "{:?}", world.asked);
    world.pass(Duration::from_millis(1));
    world.committed(0);
}
