//! Classic groups: joining, generations, and how members are lost.

use ottla_broker::Config;
use ottla_protocol::{ErrorCode, messages::*};

use crate::common::{
    World, config,
    group::{Member, settle, stable, view},
    millis,
};

fn world() -> World {
    World::new(config(&[("t", 2)]))
}

#[test]
fn a_dynamic_member_needs_an_id_from_version_4_on() {
    let mut world = world();
    let member = Member::new(&mut world);
    let refused = world.ask(member.conn, 4, member.request());
    assert_eq!(refused.error_code, ErrorCode::MemberIdRequired);
    assert!(refused.member_id.starts_with("test-"));
    assert!(view(&world).members.is_empty());
    let older = Member::new(&mut world);
    let joined = world.ask(older.conn, 3, older.request());
    assert_eq!((joined.error_code, joined.generation_id), (ErrorCode::None, 1));
}

#[test]
fn the_first_member_leads_and_is_told_of_all() {
    let mut world = world();
    let mut member = Member::new(&mut world);
    member.join(&mut world);
    let joined = member.joined(&mut world).unwrap();
    assert_eq!((joined.generation_id, &joined.leader), (1, &member.id));
    assert_eq!(joined.members[0].metadata, b"topics");
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(view(&world).state, "CompletingRebalance");
    settle(&mut world, &[member]);
}

#[test]
fn every_version_of_join_and_sync_is_answered() {
    for version in 0..=9 {
        let mut world = world();
        let mut member = Member::new(&mut world);
        if version >= 4 {
            member.id = world.ask(member.conn, version, member.request()).member_id;
        }
        let joined = world.ask(member.conn, version, member.request());
        assert_eq!((joined.error_code, joined.members.len()), (ErrorCode::None, 1), "version {version}");
        let assignment =
            SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: vec![1] };
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: joined.member_id,
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: vec![assignment],
            ..Default::default()
        };
        assert_eq!(world.ask(member.conn, version.min(5), request).assignment, [1]);
    }
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let mut world = world();
    let first = Member::new(&mut world);
    let [mut first] = stable(&mut world, [first]);
    let mut second = Member::new(&mut world);
    second.join(&mut world);
    assert!(second.joined(&mut world).is_none(), "held until the first has joined");
    assert_eq!(first.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    first.join(&mut world);
    assert_eq!(first.joined(&mut world).unwrap().members.len(), 2);
    let told = second.joined(&mut world).unwrap();
    assert_eq!((told.generation_id, told.members.len(), told.leader), (2, 0, first.id.clone()));
    settle(&mut world, &[first, second]);
}

#[test]
fn a_follower_waits_for_the_leaders_assignment() {
    let mut world = world();
    let members = [Member::new(&mut world), Member::new(&mut world)];
    let [mut leader, mut follower] = stable(&mut world, members);
    leader.join(&mut world);
    assert_eq!(follower.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    follower.join(&mut world);
    assert!(leader.joined(&mut world).is_some() && follower.joined(&mut world).is_some());
    follower.sync(&mut world, &[]);
    assert!(follower.synced(&mut world).is_none());
    leader.sync(&mut world, &[(&follower.id, "yours")]);
    assert_eq!(follower.synced(&mut world), Some(Ok("yours".into())));
    assert_eq!(leader.synced(&mut world), Some(Ok(String::new())), "who is left out gets nothing");
}

#[test]
fn who_does_not_join_in_time_is_out() {
    let mut world = world();
    let slow = Member { rebalance_ms: 3000, session_ms: 30_000, ..Member::new(&mut world) };
    let [slow] = stable(&mut world, [slow]);
    let mut quick = Member { rebalance_ms: 5000, ..Member::new(&mut world) };
    quick.join(&mut world);
    world.pass(millis(4999));
    assert!(quick.joined(&mut world).is_none(), "the longest rebalance time-out of all counts");
    world.pass(millis(1));
    let joined = quick.joined(&mut world).unwrap();
    assert_eq!((joined.leader, joined.members.len()), (quick.id.clone(), 1));
    assert_eq!(slow.heartbeat(&mut world), ErrorCode::UnknownMemberId);
}

#[test]
fn a_member_that_is_silent_for_its_session_is_out() {
    let mut world = world();
    let members = [Member::new(&mut world), Member::new(&mut world)];
    let [mut alive, silent] = stable(&mut world, members);
    world.pass(millis(9_000));
    assert_eq!(alive.heartbeat(&mut world), ErrorCode::None);
    world.pass(millis(1_000));
    assert_eq!(alive.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    assert_eq!(silent.heartbeat(&mut world), ErrorCode::UnknownMemberId);
    alive.join(&mut world);
    assert_eq!(alive.joined(&mut world).unwrap().members.len(), 1);
}

#[test]
fn a_member_that_waits_for_others_needs_no_heartbeat() {
    let mut world = world();
    let slow = Member { session_ms: 30_000, ..Member::new(&mut world) };
    let members = [slow, Member::new(&mut world)];
    let [mut slow, mut waiting] = stable(&mut world, members);
    waiting.protocols = vec![("range", "other topics")];
    waiting.join(&mut world);
    world.pass(millis(29_000));
    slow.join(&mut world);
    assert_eq!(waiting.joined(&mut world).unwrap().error_code, ErrorCode::None);
}

#[test]
fn who_does_not_ask_for_its_assignment_is_out() {
    let mut world = world();
    let members = [Member::new(&mut world), Member::new(&mut world)];
    let [mut leader, mut follower] = stable(&mut world, members);
    (leader.rebalance_ms, follower.rebalance_ms) = (3000, 3000);
    leader.join(&mut world);
    follower.join(&mut world);
    assert!(leader.joined(&mut world).is_some() && follower.joined(&mut world).is_some());
    leader.sync(&mut world, &[(&leader.id, "all")]);
    assert!(leader.synced(&mut world).is_some());
    world.pass(millis(3000));
    assert_eq!(leader.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    assert_eq!(follower.heartbeat(&mut world), ErrorCode::UnknownMemberId);
}

#[test]
fn a_member_that_leaves_makes_the_others_join_again() {
    let mut world = world();
    let members = [Member::new(&mut world), Member::new(&mut world)];
    let [first, mut second] = stable(&mut world, members);
    assert_eq!(first.leave(&mut world), ErrorCode::None);
    assert_eq!(first.leave(&mut world), ErrorCode::UnknownMemberId);
    assert_eq!(second.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    second.join(&mut world);
    assert_eq!(second.joined(&mut world).unwrap().leader, second.id);
    assert_eq!(second.leave(&mut world), ErrorCode::None);
    assert_eq!((view(&world).state, view(&world).leader), ("Empty", None));
}

#[test]
fn a_rebalance_waits_for_those_that_were_given_an_id_until_they_leave_or_expire() {
    for leaves in [true, false] {
        let mut world = world();
        let member = Member::new(&mut world);
        let [mut member] = stable(&mut world, [member]);
        let mut pending = Member::new(&mut world);
        pending.id = world.ask(pending.conn, 9, pending.request()).member_id;
        member.join(&mut world);
        assert!(member.joined(&mut world).is_none());
        if leaves {
            assert_eq!(pending.leave(&mut world), ErrorCode::None);
        } else {
            world.pass(millis(10_000));
        }
        assert!(member.joined(&mut world).is_some());
        pending.join(&mut world);
        assert_eq!(pending.joined(&mut world).unwrap().error_code, ErrorCode::UnknownMemberId);
    }
}

#[test]
fn a_follower_that_joins_unchanged_is_told_the_current_generation() {
    let mut world = world();
    let members = [Member::new(&mut world), Member::new(&mut world)];
    let [leader, mut follower] = stable(&mut world, members);
    follower.join(&mut world);
    let told = follower.joined(&mut world).unwrap();
    assert_eq!((told.error_code, told.generation_id, told.leader), (ErrorCode::None, 2, leader.id.clone()));
    assert_eq!(leader.heartbeat(&mut world), ErrorCode::None, "no rebalance");
    follower.protocols = vec![("range", "other topics")];
    follower.join(&mut world);
    assert_eq!(leader.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_leader_that_joins_unchanged_wants_a_rebalance() {
    let mut world = world();
    let members = [Member::new(&mut world), Member::new(&mut world)];
    let [mut leader, follower] = stable(&mut world, members);
    leader.join(&mut world);
    assert_eq!(follower.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_sync_that_waits_learns_of_the_next_rebalance() {
    let mut world = world();
    let members = [Member::new(&mut world), Member::new(&mut world)];
    let [mut leader, mut follower] = stable(&mut world, members);
    leader.join(&mut world);
    follower.join(&mut world);
    assert!(leader.joined(&mut world).is_some() && follower.joined(&mut world).is_some());
    follower.sync(&mut world, &[]);
    assert_eq!(leader.leave(&mut world), ErrorCode::None);
    assert_eq!(follower.synced(&mut world), Some(Err(ErrorCode::RebalanceInProgress)));
}

#[test]
fn requests_of_another_generation_are_refused() {
    let mut world = world();
    let member = Member::new(&mut world);
    let [mut member] = stable(&mut world, [member]);
    member.generation = 0;
    assert_eq!(member.heartbeat(&mut world), ErrorCode::IllegalGeneration);
    member.sync(&mut world, &[]);
    assert_eq!(member.synced(&mut world), Some(Err(ErrorCode::IllegalGeneration)));
}

#[test]
fn members_agree_on_the_protocol_that_all_support_and_most_prefer() {
    let mut world = world();
    let protocols = [
        vec![("a", ""), ("b", ""), ("c", "")],
        vec![("c", ""), ("b", "")],
        vec![("x", ""), ("b", ""), ("c", "")],
    ];
    let members = protocols.map(|protocols| Member { protocols, ..Member::new(&mut world) });
    stable(&mut world, members);
    assert_eq!(view(&world).protocol.as_deref(), Some("b"));
    let stranger = Member { protocols: vec![("x", "")], ..Member::new(&mut world) };
    assert_eq!(
        world.ask(stranger.conn, 9, stranger.request()).error_code,
        ErrorCode::InconsistentGroupProtocol
    );
    let mut other_type = stranger.request();
    other_type.protocol_type = "connect".into();
    assert_eq!(world.ask(stranger.conn, 9, other_type).error_code, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn what_cannot_be_joined_says_why() {
    let mut world = World::new(Config { brokers: 2, group_max_size: 1, ..config(&[("t", 1)]) });
    let coordinator = world.cluster.coordinator("g");
    let mut ask = |node, change: &dyn Fn(&mut JoinGroupRequest)| {
        let conn = world.connect(node);
        let mut request = Member::new(&mut world).request();
        change(&mut request);
        world.ask(conn, 3, request).error_code
    };
    assert_eq!(ask(3 - coordinator, &|_| {}), ErrorCode::NotCoordinator);
    assert_eq!(ask(coordinator, &|r| r.session_timeout_ms = 5_999), ErrorCode::InvalidSessionTimeout);
    assert_eq!(ask(coordinator, &|r| r.session_timeout_ms = i32::MAX), ErrorCode::InvalidSessionTimeout);
    assert_eq!(ask(coordinator, &|r| r.group_id.clear()), ErrorCode::InvalidGroupId);
    assert_eq!(ask(coordinator, &|r| r.protocols.clear()), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(ask(coordinator, &|r| r.member_id = "unknown".into()), ErrorCode::UnknownMemberId);
    assert_eq!(ask(coordinator, &|_| {}), ErrorCode::None);
    assert_eq!(ask(coordinator, &|_| {}), ErrorCode::GroupMaxSizeReached);
}

#[test]
fn an_empty_group_waits_for_more_members_and_longer_while_they_come() {
    let delay = millis(3000);
    let mut world = World::new(Config { group_initial_rebalance_delay: delay, ..config(&[("t", 1)]) });
    let (mut first, mut second) = (Member::new(&mut world), Member::new(&mut world));
    first.join(&mut world);
    world.pass(millis(2000));
    second.join(&mut world);
    world.pass(millis(3999));
    assert!(first.joined(&mut world).is_none(), "put off once more by the second");
    world.pass(millis(1));
    assert_eq!(first.joined(&mut world).unwrap().members.len(), 2);
    assert!(second.joined(&mut world).is_some());
}

#[test]
fn groups_are_listed_and_described() {
    let mut world = world();
    let member = Member::new(&mut world);
    let [member] = stable(&mut world, [member]);
    let mut list = |states: &[&str], types: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let request = ListGroupsRequest { states_filter: owned(states), types_filter: owned(types) };
        world.ask(member.conn, 5, request).groups.len()
    };
    assert_eq!(
        [list(&[], &[]), list(&["stable"], &["classic"]), list(&["Empty"], &[]), list(&[], &["consumer"])],
        [1, 1, 0, 0]
    );

    let request = DescribeGroupsRequest { groups: vec!["g".into(), "nope".into()], ..Default::default() };
    let groups = world.ask(member.conn, 6, request.clone()).groups;
    assert_eq!((groups[0].group_state.as_str(), groups[0].protocol_data.as_str()), ("Stable", "range"));
    let described = &groups[0].members[0];
    assert_eq!((&described.member_id, described.client_id.as_str()), (&member.id, "test"));
    assert_eq!(
        (described.member_metadata.as_slice(), described.member_assignment.as_slice()),
        (&b"topics"[..], &b"0"[..])
    );
    assert_eq!(groups[1].error_code, ErrorCode::GroupIdNotFound);
    let older = world.ask(member.conn, 5, request).groups;
    assert_eq!((older[1].error_code, older[1].group_state.as_str()), (ErrorCode::None, "Dead"));
}

#[test]
fn a_join_survives_the_loss_of_its_connection() {
    let mut world = world();
    let member = Member::new(&mut world);
    let [mut member] = stable(&mut world, [member]);
    let mut lost = Member::new(&mut world);
    lost.join(&mut world);
    world.cluster.handle_disconnect(lost.conn, world.now);
    member.join(&mut world);
    assert_eq!(member.joined(&mut world).unwrap().members.len(), 2);
    lost.conn = world.connect(1);
    lost.join(&mut world);
    assert_eq!(lost.joined(&mut world).unwrap().generation_id, 2, "it is told what it missed");
}

#[cfg(feature = "planted")]
#[test]
fn the_planted_bug_keeps_old_assignments() {
    let mut world = world();
    world.plant(ottla_broker::Planted::OldAssignmentKept);
    let member = Member::new(&mut world);
    let [mut member] = stable(&mut world, [member]);
    member.join(&mut world);
    member.joined(&mut world);
    member.sync(&mut world, &[(&member.id, "new")]);
    assert_eq!(member.synced(&mut world), Some(Ok("0".into())));
}
