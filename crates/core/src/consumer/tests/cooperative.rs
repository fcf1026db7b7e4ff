//! Classic groups whose members keep their partitions while they join again (KIP-429); static members; patterns.

use super::*;
use crate::{
    CooperativeStickyAssignor, Event, RoundRobinAssignor, StickyAssignor,
    group::{Assignment, Member, embedded},
};

pub(super) fn cooperative() -> ConsumerConfig {
    offering(vec![Box::new(CooperativeStickyAssignor)])
}

fn offering(assignors: Vec<Box<dyn crate::Assignor>>) -> ConsumerConfig {
    let mut config = group_config();
    config.group.as_mut().unwrap().assignors = assignors;
    config
}

fn r#static() -> ConsumerConfig {
    let mut config = group_config();
    config.group.as_mut().unwrap().instance_id = Some("i".to_owned());
    config
}

fn wishes(sent: &Sent) -> embedded::Subscription {
    let Request::JoinGroup(request) = &sent.request else { panic!("{sent:?}") };
    embedded::Subscription::decode(&request.protocols[0].metadata).unwrap()
}

#[test]
fn a_cooperative_member_reads_on_while_it_joins_again() {
    let mut world = World::member(cooperative(), &[0, 1]);
    world.fetched(0, 0..10);
    world.events();
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let join = world.expect(ApiKey::JoinGroup);
    assert_eq!((wishes(&join).owned, wishes(&join).generation_id), (vec![at(0), at(1)], 1));
    assert_eq!(world.consumer.assignment(), [at(0), at(1)]);
    assert!(world.take().is_some(), "records that are buffered are handed out");
    assert!(!world.fetches.is_empty(), "and more are fetched");
    assert!(world.events().is_empty());
}

#[test]
fn what_goes_to_another_is_revoked_first_and_then_the_group_is_joined_again() {
    let mut world = World::member(cooperative(), &[0, 1]);
    world.fetched(0, 0..10);
    world.fetched(1, 0..10);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.events();
    world.enter(2, &[0]);
    let [joined, revoked, assigned] = &world.events()[..] else { panic!("three events") };
    assert!(matches!(joined, Event::Joined { generation_id: 2, .. }));
    assert_eq!((revoked, assigned), (&Event::Revoked(vec![at(1)]), &Event::Assigned(vec![])));
    assert_eq!(world.consumer.assignment(), [at(0)]);
    assert_eq!(wishes(&world.expect(ApiKey::JoinGroup)).owned, [at(0)], "its new owner waits for that");
}

#[test]
fn a_pause_lasts_as_long_as_the_partition_is_kept() {
    for (config, kept) in [(cooperative(), vec![at(0)]), (group_config(), vec![])] {
        let mut world = World::member(config, &[0, 1]);
        world.consumer.set_paused(&at(0), true, world.now);
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        world.enter(2, &[0, 1]);
        assert_eq!(world.consumer.assignment(), [at(0), at(1)]);
        assert_eq!(world.consumer.paused(), kept, "an eager member gives up all and gets it anew");
    }
}

#[test]
fn nothing_revoked_means_no_further_rebalance() {
    let mut world = World::member(cooperative(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.events();
    world.enter(2, &[0, 1]);
    assert_eq!(world.events()[1..], [Event::Assigned(vec![at(1)])]);
    assert!(!world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_revoked_partition_waits_for_its_reader_and_the_others_flow() {
    let mut world = World::member(cooperative(), &[0, 1]);
    world.fetched(1, 0..10);
    let slice = world.take().unwrap();
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(2, &[0]);
    assert_eq!(world.consumer.assignment(), [at(0), at(1)], "a record of the second is in the user's hands");
    assert!(!world.has_asked(ApiKey::JoinGroup));
    world.back_from(&slice, 7);
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&commit), [(1, 7)]);
    world.commit_says(&commit, ErrorCode::None);
    assert_eq!(world.consumer.assignment(), [at(0)]);
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_commit_that_a_new_generation_overtook_is_made_again_in_its_name() {
    let mut world = World::member(cooperative(), &[0]);
    let op = world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(2, &[0]);
    world.commit_says(&commit, ErrorCode::IllegalGeneration);
    assert_eq!(world.consumer.take_outcome(op), None);
    world.pass(Duration::from_secs(1));
    let commit = world.expect(ApiKey::OffsetCommit);
    let Request::OffsetCommit(request) = &commit.request else { unreachable!() };
    assert_eq!(request.generation_id_or_member_epoch, 2);
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.is_committed(op));
    assert_eq!(world.consumer.assignment(), [at(0)]);
}

#[test]
fn a_commit_that_is_refused_before_the_next_generation_is_known_loses_nothing() {
    let mut world = World::member(cooperative(), &[0]);
    world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.events();
    world.commit_says(&commit, ErrorCode::IllegalGeneration);
    assert_eq!((world.events(), world.consumer.assignment()), (vec![], vec![at(0)]));
}

#[test]
fn nothing_is_committed_between_two_generations() {
    let mut world = World::member(cooperative(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let join = world.expect(ApiKey::JoinGroup);
    world.answer(&join, joined(2));
    world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    world.run();
    assert!(!world.has_asked(ApiKey::OffsetCommit), "the coordinator would refuse it");
    let sync = world.expect(ApiKey::SyncGroup);
    world.answer(&sync, assigned(&[0]));
    assert!(world.has_asked(ApiKey::OffsetCommit));
}

#[test]
fn a_cooperative_member_of_an_old_generation_loses_everything() {
    let mut world = World::member(cooperative(), &[0]);
    world.events();
    world.heartbeat_says(ErrorCode::IllegalGeneration);
    assert_eq!(
        world.events(),
        [Event::HeartbeatFailed { error: Some(ErrorCode::IllegalGeneration) }, Event::Lost(vec![at(0)])]
    );
    let join = world.expect(ApiKey::JoinGroup);
    assert_eq!((wishes(&join).owned, wishes(&join).generation_id), (vec![], 1));
}

#[test]
fn a_member_that_joins_again_and_is_told_to_be_none_loses_what_it_kept() {
    let mut world = World::member(cooperative(), &[0]);
    world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.events();
    world.commit_says(&commit, ErrorCode::UnknownMemberId);
    assert_eq!(world.events(), [Event::Lost(vec![at(0)])]);
}

#[test]
fn a_member_that_joins_again_and_is_told_to_be_fenced_hands_out_nothing_more() {
    let mut world = World::member(cooperative(), &[0]);
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    world.consumer.enforce_rebalance("asked for", world.now).unwrap();
    world.run();
    assert!(world.has_asked(ApiKey::JoinGroup));
    world.answer(
        &heartbeat,
        HeartbeatResponse { error_code: ErrorCode::FencedInstanceId, ..Default::default() },
    );
    assert!(world.consumer.assignment().is_empty(), "another has its partitions");
    let fenced = crate::GroupFailure::Refused(ErrorCode::FencedInstanceId);
    let failure = world.consumer.take_failure(&crate::Filter::All, world.now);
    assert_eq!(failure, Some(ReadFailure::Group(fenced)));
}

#[test]
fn a_group_is_cooperative_only_when_all_assignors_on_offer_are() {
    let mut world = World::member(
        offering(vec![Box::new(RoundRobinAssignor), Box::new(CooperativeStickyAssignor)]),
        &[0],
    );
    world.events();
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    assert_eq!(world.events(), [Event::Revoked(vec![at(0)])]);
    assert!(wishes(&world.expect(ApiKey::JoinGroup)).owned.is_empty());
}

#[test]
fn a_sticky_member_tells_what_it_had_though_it_gave_it_up() {
    let mut world = World::member(offering(vec![Box::new(StickyAssignor)]), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let last = crate::group::LastAssignment { partitions: vec![at(0)], generation_id: 1 };
    let wishes = wishes(&world.expect(ApiKey::JoinGroup));
    assert_eq!(wishes.user_data, crate::Assignor::user_data(&StickyAssignor, &last));
}

#[test]
fn a_leader_gives_nobody_what_another_still_owns() {
    let mut world = World::new(cooperative());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let subscription = |owned: Vec<TopicPartition>| embedded::Subscription {
        topics: vec!["t".to_owned()],
        owned,
        generation_id: 1,
        ..Default::default()
    };
    let member = |id: &str, owned| JoinGroupResponseMember {
        member_id: id.to_owned(),
        metadata: subscription(owned).encode(),
        ..Default::default()
    };
    let members = vec![member("me", vec![]), member("other", vec![at(0), at(1)])];
    let protocol_name = Some("cooperative-sticky".to_owned());
    world.answer(&join, JoinGroupResponse { leader: "me".to_owned(), members, protocol_name, ..joined(2) });
    let sync = world.expect(ApiKey::SyncGroup);
    let given = |id: &str| shared_out(&sync).into_iter().find(|(to, _)| *to == id).unwrap().1.len();
    assert_eq!((given("me"), given("other")), (0, 1), "the other gives one up first");
}

#[test]
fn a_cooperative_member_gives_up_the_topics_that_it_no_longer_wants_before_it_joins_again() {
    let mut world = World::member(cooperative(), &[0]);
    world.events();
    world.consumer.subscribe(["other".to_owned()], world.now).unwrap();
    world.run();
    assert_eq!(world.events(), [Event::Revoked(vec![at(0)])]);
    let wishes = wishes(&world.expect(ApiKey::JoinGroup));
    assert_eq!((wishes.topics, wishes.owned), (vec!["other".to_owned()], vec![]));
}

#[test]
fn enforce_rebalance_joins_again_and_says_why() {
    let mut world = World::member(cooperative(), &[0]);
    world.consumer.enforce_rebalance("a test", world.now).unwrap();
    world.run();
    let join = world.expect(ApiKey::JoinGroup);
    let Request::JoinGroup(request) = &join.request else { unreachable!() };
    assert_eq!(request.reason.as_deref(), Some("a test"));
    assert_eq!(
        World::new(group_config()).consumer.enforce_rebalance("", world.now),
        Err(SubscriptionError::NotMember)
    );
}

#[test]
fn a_member_whose_generation_ended_before_it_could_join_the_next_loses_what_it_had() {
    let mut world = World::member(cooperative(), &[0, 1]);
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    world.consumer.enforce_rebalance("a test", world.now).unwrap();
    world.run();
    let join = world.expect(ApiKey::JoinGroup);
    world.refusing = true;
    world.consumer.handle_disconnected(join.conn, Disconnected::Closed, world.now);
    world.run();
    world.events();
    let error_code = ErrorCode::IllegalGeneration;
    world.answer(&heartbeat, HeartbeatResponse { error_code, ..Default::default() });
    assert_eq!(
        world.events(),
        [Event::HeartbeatFailed { error: Some(error_code) }, Event::Lost(vec![at(0), at(1)])]
    );
}

#[test]
fn a_leader_without_a_partition_says_how_many_members_there_are() {
    let world = shares_out_what_a_static_member_has();
    let said = world.consumer.explain(world.now).to_string();
    assert!(said.contains("no partition assigned: 2 members, 2 partitions"), "{said}");
}

#[test]
fn an_eager_member_that_joins_again_tells_its_generation_or_nothing_would_differ() {
    let mut world = World::member(group_config(), &[0]);
    world.consumer.enforce_rebalance("a test", world.now).unwrap();
    world.run();
    let again = wishes(&world.expect(ApiKey::JoinGroup));
    assert_eq!((again.owned, again.generation_id), (vec![], 1));
}

#[test]
fn a_static_member_names_itself_everywhere() {
    let mut world = World::member(r#static(), &[0]);
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    let Request::Heartbeat(request) = &heartbeat.request else { unreachable!() };
    assert_eq!(request.group_instance_id.as_deref(), Some("i"));
    world.consumer.commit(Some([(at(0), 1.into())].into()), world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    let Request::OffsetCommit(request) = &commit.request else { unreachable!() };
    assert_eq!(request.group_instance_id.as_deref(), Some("i"));
}

#[test]
fn a_static_member_does_not_leave_on_close_unless_told_to() {
    for (leave, leaves) in
        [(LeaveGroup::Default, false), (LeaveGroup::Remain, false), (LeaveGroup::Leave, true)]
    {
        let mut world = World::member(r#static(), &[0]);
        let deadline = world.now.mono + Duration::from_secs(30);
        world.consumer.close(CloseKind::Closed, leave, deadline, world.now);
        world.run();
        assert_eq!(world.has_asked(ApiKey::LeaveGroup), leaves, "{leave:?}");
        assert_eq!(world.consumer.is_closed(), !leaves, "{leave:?}");
    }
}

#[test]
fn a_dynamic_member_that_is_to_remain_says_nothing() {
    let mut world = World::member(group_config(), &[0]);
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Remain, deadline, world.now);
    world.run();
    assert!(world.consumer.is_closed() && !world.has_asked(ApiKey::LeaveGroup));
}

#[test]
fn a_static_member_that_was_left_out_of_a_generation_commits_nothing_of_what_it_had() {
    for (generation_id, left_out) in [(2, false), (3, true)] {
        let mut config = r#static();
        config.group.as_mut().unwrap().assignors = vec![Box::new(CooperativeStickyAssignor)];
        let mut world = World::member(config, &[0, 1]);
        world.fetched(1, 0..10);
        let slice = world.take().unwrap();
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        world.events();
        world.enter(generation_id, &[0]);
        world.back_from(&slice, 4);
        let gone = vec![if left_out { Event::Lost(vec![at(0), at(1)]) } else { Event::Revoked(vec![at(1)]) }];
        let told = |event: &Event| matches!(event, Event::Lost(_) | Event::Revoked(_));
        assert_eq!(world.has_asked(ApiKey::OffsetCommit), !left_out, "another may have read on");
        assert_eq!(world.has_asked(ApiKey::OffsetFetch), left_out, "and committed that");
        if !left_out {
            let commit = world.expect(ApiKey::OffsetCommit);
            world.commit_says(&commit, ErrorCode::None);
        }
        assert_eq!(world.events().into_iter().filter(told).collect::<Vec<_>>(), gone);
        assert_eq!(world.consumer.assignment(), [at(0)]);
        let member = world.consumer.member_for(&[at(0)]);
        assert_eq!(member.map(|member| member.generation_id), Some(generation_id));
        assert_eq!(world.consumer.member_for(&[at(0), at(1)]), None, "in nobody's name");
    }
}

#[test]
fn a_fenced_static_member_fails_for_good_and_says_so() {
    let mut world = World::member(r#static(), &[0]);
    world.heartbeat_says(ErrorCode::FencedInstanceId);
    let failure = world.consumer.take_failure(&crate::Filter::All, world.now);
    let refused = crate::GroupFailure::Refused(ErrorCode::FencedInstanceId);
    assert_eq!(failure, Some(ReadFailure::Group(refused)));
    assert!(world.consumer.assignment().is_empty());
    world.pass(Duration::from_secs(60));
    assert!(!world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_static_member_that_stays_away_lets_its_session_expire() {
    let mut world = World::member(r#static(), &[0]);
    world.pass(Duration::from_secs(3 * 60));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    world.answer(&heartbeat, HeartbeatResponse::default());
    world.pass(Duration::from_secs(3 * 60));
    assert!(!world.has_asked(ApiKey::LeaveGroup));
    world.asked.clear();
    world.pass(Duration::from_secs(60));
    assert!(world.asked.is_empty(), "no heartbeat, and no leave: {:?}", world.asked);
}

/// A static leader that comes back into a group whose partitions are assigned already.
fn back_as_leader(partitions: i32) -> World {
    let mut world = World::new(r#static());
    world.partitions = partitions;
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let Request::JoinGroup(request) = &join.request else { unreachable!() };
    let metadata = request.protocols[0].metadata.clone();
    let members =
        vec![JoinGroupResponseMember { member_id: "me".to_owned(), metadata, ..Default::default() }];
    let response = JoinGroupResponse { leader: "me".to_owned(), skip_assignment: true, members, ..joined(4) };
    world.answer(&join, response);
    let sync = world.expect(ApiKey::SyncGroup);
    assert!(shared_out(&sync).is_empty());
    world.answer(&sync, assigned(&[0, 1]));
    world
}

/// The answer to DescribeGroups, with the partitions of each member.
fn described(group_state: &str, members: &[&[i32]]) -> DescribeGroupsResponse {
    let member = |partitions: &&[i32]| DescribeGroupsDescribedGroupMember {
        member_assignment: assigned(partitions).assignment,
        ..Default::default()
    };
    let members = members.iter().map(member).collect();
    let group =
        DescribeGroupsDescribedGroup { group_state: group_state.to_owned(), members, ..Default::default() };
    DescribeGroupsResponse { groups: vec![group], ..Default::default() }
}

#[test]
fn a_returning_static_leader_shares_nothing_out_until_the_topics_change() {
    let mut world = back_as_leader(3);
    let asked = world.expect(ApiKey::DescribeGroups);
    world.answer(&asked, described("Stable", &[&[0, 1], &[2]]));
    assert!(!world.has_asked(ApiKey::JoinGroup), "nothing has changed");
    world.partitions = 4;
    world.pass(Duration::from_secs(5 * 60));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_returning_static_leader_sees_partitions_that_were_added_while_it_was_away() {
    let mut world = back_as_leader(3);
    let asked = world.expect(ApiKey::DescribeGroups);
    world.answer(&asked, described("CompletingRebalance", &[&[], &[]]));
    assert!(!world.has_asked(ApiKey::DescribeGroups), "not at once");
    world.pass(Duration::from_secs(1));
    let asked = world.expect(ApiKey::DescribeGroups);
    world.answer(&asked, described("Stable", &[&[0], &[1]]));
    assert!(world.has_asked(ApiKey::JoinGroup), "the topic has a third partition");
}

#[test]
fn a_returning_static_leader_that_may_not_see_the_group_waits_for_the_next_change() {
    let mut world = back_as_leader(3);
    let asked = world.expect(ApiKey::DescribeGroups);
    let mut refused = described("", &[]);
    refused.groups[0].error_code = ErrorCode::GroupAuthorizationFailed;
    world.answer(&asked, refused);
    assert!(!world.has_asked(ApiKey::JoinGroup));
    world.partitions = 4;
    world.pass(Duration::from_secs(5 * 60));
    assert!(!world.has_asked(ApiKey::DescribeGroups) && world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_static_member_that_comes_back_with_fewer_topics_reads_no_others_and_joins_again() {
    let mut world = World::new(r#static());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    world.answer(&join, joined(4));
    let sync = world.expect(ApiKey::SyncGroup);
    let partitions = vec![at(0), TopicPartition::new("before", 0)];
    let assignment = Assignment { partitions, user_data: None }.encode();
    world.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
    let Some(Event::Assigned(partitions)) = world.events().into_iter().nth(1) else { panic!("assigned") };
    assert_eq!(partitions, [at(0)]);
    assert_eq!(wishes(&world.expect(ApiKey::JoinGroup)).generation_id, 4);
}

#[test]
fn a_static_member_that_comes_back_with_more_topics_sees_that_nobody_has_them() {
    let mut world = World::new(r#static());
    world.subscribe();
    world.join(4, &[]);
    let asked = world.expect(ApiKey::DescribeGroups);
    world.answer(&asked, described("Stable", &[&[], &[]]));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_static_member_that_comes_back_looks_once_and_leaves_the_rest_to_the_leader() {
    let mut world = World::new(r#static());
    world.subscribe();
    world.join(4, &[]);
    let asked = world.expect(ApiKey::DescribeGroups);
    world.answer(&asked, described("Stable", &[&[], &[0, 1]]));
    world.partitions = 3;
    world.pass(Duration::from_secs(5 * 60));
    assert!(!world.has_asked(ApiKey::JoinGroup) && !world.has_asked(ApiKey::DescribeGroups));
}

/// A leader that owns nothing yet assigns the partitions of a static member, half of which are to move.
fn shares_out_what_a_static_member_has() -> World {
    let mut world = World::new(cooperative());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let own = wishes(&join);
    let others = embedded::Subscription { owned: vec![at(0), at(1)], generation_id: 3, ..own.clone() };
    let members = vec![
        JoinGroupResponseMember { member_id: "me".to_owned(), metadata: own.encode(), ..Default::default() },
        JoinGroupResponseMember {
            member_id: "other".to_owned(),
            group_instance_id: Some("i".to_owned()),
            metadata: others.encode(),
        },
    ];
    let protocol_name = Some("cooperative-sticky".to_owned());
    world.answer(&join, JoinGroupResponse { leader: "me".to_owned(), protocol_name, members, ..joined(4) });
    let sync = world.expect(ApiKey::SyncGroup);
    let given = shared_out(&sync).into_iter().map(|(_, given)| given.len());
    assert_eq!(given.sum::<usize>(), 1, "one is withheld");
    world.answer(&sync, assigned(&[]));
    world
}

#[test]
fn what_a_static_member_gave_up_is_shared_out_though_it_came_back_without_it() {
    let mut world = shares_out_what_a_static_member_has();
    let beat = |world: &mut World, seconds: u64| {
        for _ in 0..seconds {
            world.pass(Duration::from_secs(1));
            if world.asked.iter().any(|sent| sent.request.key() == ApiKey::Heartbeat) {
                let heartbeat = world.expect(ApiKey::Heartbeat);
                world.answer(&heartbeat, HeartbeatResponse::default());
            }
        }
    };
    beat(&mut world, 44);
    assert!(!world.has_asked(ApiKey::JoinGroup), "who gives up joins again himself, as a rule");
    beat(&mut world, 2);
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_pattern_is_matched_against_all_topics_and_joins_with_those_that_match() {
    let mut world = World::new(group_config());
    world.consumer.subscribe_pattern("t|x.*", world.now).unwrap();
    world.run();
    assert_eq!(wishes(&world.expect(ApiKey::JoinGroup)).topics, ["t"]);
    assert!(matches!(
        world.consumer.subscribe_pattern("(", world.now),
        Err(SubscriptionError::InvalidPattern(_))
    ));
}

#[test]
fn a_member_by_pattern_that_was_away_too_long_joins_again_with_the_topics_that_it_knows() {
    let mut world = World::new(group_config());
    world.consumer.subscribe_pattern("t", world.now).unwrap();
    world.run();
    world.join(1, &[0]);
    world.pass(Duration::from_secs(3 * 60));
    while let Some(heartbeat) = world.asked.pop_front() {
        world.answer(&heartbeat, HeartbeatResponse::default());
    }
    world.pass(Duration::from_secs(3 * 60));
    let leave = world.expect(ApiKey::LeaveGroup);
    world.answer(&leave, LeaveGroupResponse::default());
    assert!(world.consumer.take_failure(&crate::Filter::All, world.now).is_some());
    world.run();
    assert_eq!(wishes(&world.expect(ApiKey::JoinGroup)).topics, ["t"]);
}

/// An assignor of a user's own, which gives everything to the first member.
#[derive(Debug)]
struct Greedy;

impl crate::Assignor for Greedy {
    fn name(&self) -> &str {
        "greedy"
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<crate::group::PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        let all = topics.iter().flat_map(|(topic, partitions)| {
            (0..partitions.len()).map(|number| TopicPartition::new(topic.clone(), number as i32))
        });
        let assignment = Assignment { partitions: all.collect(), user_data: None };
        members.iter().take(1).map(|member| (member.id.clone(), assignment.clone())).collect()
    }
}

#[test]
fn a_users_own_assignor_shares_out() {
    let mut world = World::new(offering(vec![Box::new(Greedy)]));
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let metadata = wishes(&join).encode();
    let members =
        vec![JoinGroupResponseMember { member_id: "me".to_owned(), metadata, ..Default::default() }];
    let protocol_name = Some("greedy".to_owned());
    world.answer(&join, JoinGroupResponse { leader: "me".to_owned(), members, protocol_name, ..joined(1) });
    let sync = world.expect(ApiKey::SyncGroup);
    assert_eq!(shared_out(&sync)[0].1, [at(0), at(1)]);
}
