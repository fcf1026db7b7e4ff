//! Static members (KIP-345, KIP-814): who comes back takes its place, and fences the one before.

use ottla_protocol::{
    ErrorCode,
    messages::{LeaveGroupMemberIdentity, LeaveGroupRequest},
};

use crate::common::{
    World, config,
    group::{Member, settle, stable, view},
    millis,
};

fn world() -> World {
    World::new(config(&[("t", 2)]))
}

#[test]
fn a_static_member_joins_without_asking_for_an_id() {
    let mut world = world();
    let mut member = Member::fixed(&mut world, "one");
    member.join(&mut world);
    assert!(member.joined(&mut world).unwrap().member_id.starts_with("one-"));
}

#[test]
fn a_static_member_that_comes_back_keeps_its_assignment_without_a_rebalance() {
    let mut world = world();
    let members = [Member::fixed(&mut world, "one"), Member::fixed(&mut world, "two")];
    let [leader, gone] = stable(&mut world, members);
    let mut back = Member::fixed(&mut world, "two");
    back.join(&mut world);
    let told = back.joined(&mut world).unwrap();
    assert_eq!((told.generation_id, told.skip_assignment), (2, false));
    assert_ne!(back.id, gone.id);
    back.sync(&mut world, &[]);
    assert_eq!(back.synced(&mut world), Some(Ok("1".into())));
    assert_eq!(leader.heartbeat(&mut world), ErrorCode::None);
    assert_eq!(gone.heartbeat(&mut world), ErrorCode::FencedInstanceId);
    assert_eq!(gone.commit(&mut world, 1), ErrorCode::UnknownMemberId, "it forgot to say its instance");
}

#[test]
fn a_leader_that_comes_back_need_not_assign() {
    let mut world = world();
    let member = Member::fixed(&mut world, "one");
    let [gone] = stable(&mut world, [member]);
    let mut back = Member::fixed(&mut world, "one");
    back.join(&mut world);
    let told = back.joined(&mut world).unwrap();
    assert_eq!((told.skip_assignment, told.members.len(), &told.leader), (true, 1, &back.id));
    // A version that cannot be told so must not think that it leads.
    let older = Member::fixed(&mut world, "one");
    let told = world.ask(older.conn, 8, older.request());
    assert_eq!((told.skip_assignment, told.members.len(), &told.leader), (false, 0, &back.id));
    assert_ne!(told.leader, gone.id);
}

#[test]
fn a_join_that_waits_is_fenced_by_the_next_with_its_instance() {
    let mut world = world();
    let member = Member::new(&mut world);
    let [mut dynamic] = stable(&mut world, [member]);
    let (mut first, mut second) = (Member::fixed(&mut world, "one"), Member::fixed(&mut world, "one"));
    first.join(&mut world);
    second.join(&mut world);
    assert_eq!(first.joined(&mut world).unwrap().error_code, ErrorCode::FencedInstanceId);
    dynamic.join(&mut world);
    assert_eq!(dynamic.joined(&mut world).unwrap().members.len(), 2);
    assert_eq!(second.joined(&mut world).unwrap().error_code, ErrorCode::None);
}

#[test]
fn a_static_member_that_is_away_stays_for_one_more_generation() {
    let mut world = world();
    let members =
        [Member::new(&mut world), Member { rebalance_ms: 1000, ..Member::fixed(&mut world, "one") }];
    let [mut here, away] = stable(&mut world, members);
    (here.rebalance_ms, here.session_ms) = (1000, 30_000);
    here.join(&mut world);
    world.pass(millis(1000));
    assert_eq!(here.joined(&mut world).unwrap().members.len(), 2, "the one away is still a member");
    here.sync(&mut world, &[(&here.id, "mine"), (&away.id, "its")]);
    assert_eq!(here.synced(&mut world), Some(Ok("mine".into())));
    world.pass(millis(1000));
    assert_eq!(away.heartbeat(&mut world), ErrorCode::UnknownMemberId, "it did not ask for its assignment");
    assert_eq!(view(&world).members.len(), 1);
}

#[test]
fn a_static_member_can_be_removed_by_its_instance_alone() {
    let mut world = world();
    let members = [Member::fixed(&mut world, "one"), Member::fixed(&mut world, "two")];
    let [first, _second] = stable(&mut world, members);
    let by = |instance: &str| LeaveGroupMemberIdentity {
        group_instance_id: Some(instance.into()),
        ..Default::default()
    };
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![by("two"), by("three")],
        ..Default::default()
    };
    let left = world.ask(first.conn, 5, request);
    let codes: Vec<_> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(first.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_static_member_that_comes_back_with_another_protocol_starts_a_rebalance() {
    let mut world = world();
    let both = vec![("range", ""), ("sticky", "")];
    let first = Member { protocols: both.clone(), ..Member::new(&mut world) };
    let second = Member { protocols: both, ..Member::fixed(&mut world, "one") };
    let [mut first, _] = stable(&mut world, [first, second]);
    let mut back = Member { protocols: vec![("sticky", "")], ..Member::fixed(&mut world, "one") };
    back.join(&mut world);
    assert_eq!(first.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    first.join(&mut world);
    assert_eq!(first.joined(&mut world).unwrap().protocol_name.as_deref(), Some("sticky"));
    assert!(back.joined(&mut world).is_some());
    settle(&mut world, &[first, back]);
}
