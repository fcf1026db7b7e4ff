//! Rebalance listeners: which steps wait for them, and which do not.

use super::*;
use crate::{Callback, CooperativeStickyAssignor, LeaveGroup};

pub(super) fn listening() -> ConsumerConfig {
    ConsumerConfig { listener: true, ..group_config() }
}

pub(super) fn cooperative() -> ConsumerConfig {
    let mut config = listening();
    config.group.as_mut().unwrap().assignors = vec![Box::new(CooperativeStickyAssignor)];
    config
}

impl World {
    /// The listener is told this callback, and returns.
    pub(super) fn listener_is_told(&mut self, expected: Callback) {
        assert_eq!(self.consumer.take_callback(), Some(expected));
        self.listener_returns();
    }

    pub(super) fn listener_returns(&mut self) {
        self.consumer.callback_done(self.reader, self.now);
        self.run();
    }

    pub(super) fn listener_of(config: ConsumerConfig, owned: &[i32]) -> Self {
        let mut world = Self::new(config);
        world.subscribe();
        let join = world.expect(ApiKey::JoinGroup);
        world.answer(&join, joined(1));
        let sync = world.expect(ApiKey::SyncGroup);
        world.answer(&sync, assigned(owned));
        world.listener_is_told(Callback::Assigned(owned.iter().map(|number| at(*number)).collect()));
        world.committed(0);
        world
    }
}

#[test]
fn nothing_is_read_before_on_assigned_returns_and_a_seek_in_it_stands() {
    let mut world = World::new(listening());
    world.subscribe();
    world.enter(1, &[0]);
    assert_eq!(world.consumer.take_callback(), Some(Callback::Assigned(vec![at(0)])));
    assert!(!world.has_asked(ApiKey::OffsetFetch) && world.fetches.is_empty());
    assert!(world.consumer.explain(world.now).to_string().contains("waiting for the rebalance listener"));
    world.consumer.seek(&at(0), SeekTo::Offset(42), world.now);
    world.listener_returns();
    assert!(!world.has_asked(ApiKey::OffsetFetch), "the position is known");
    assert_eq!(world.consumer.position(&at(0)), Some(42));
    assert!(!world.fetches.is_empty());
}

#[test]
fn the_group_is_joined_again_when_on_revoked_has_returned_and_what_it_committed_is_written() {
    let mut world = World::listener_of(listening(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    take_commits(&mut world);
    assert_eq!(world.consumer.take_callback(), Some(Callback::Revoked(vec![at(0)])));
    world.consumer.commit(Some([(at(0), 9.into())].into()), world.now).unwrap();
    world.pass(Duration::from_secs(10));
    assert!(world.has_asked(ApiKey::Heartbeat), "heartbeats go on");
    world.listener_returns();
    assert!(!world.has_asked(ApiKey::JoinGroup), "its commit is under way");
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&commit), [(0, 9)]);
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn an_eager_member_is_told_that_it_gives_up_even_nothing() {
    let mut world = World::new(listening());
    world.subscribe();
    assert_eq!(world.consumer.take_callback(), None, "nothing was joined yet");
    world.enter(1, &[]);
    world.listener_is_told(Callback::Assigned(vec![]));
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.listener_is_told(Callback::Revoked(vec![]));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_cooperative_member_is_told_of_a_revocation_only_when_there_is_one() {
    let mut world = World::listener_of(cooperative(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    assert_eq!(world.consumer.take_callback(), None);
    world.enter(2, &[0]);
    world.listener_is_told(Callback::Assigned(vec![]));
}

#[test]
fn a_lost_member_joins_again_when_on_lost_has_returned() {
    let mut world = World::listener_of(listening(), &[0]);
    world.heartbeat_says(ErrorCode::UnknownMemberId);
    assert_eq!(world.consumer.take_callback(), Some(Callback::Lost(vec![at(0)])));
    assert!(!world.has_asked(ApiKey::JoinGroup));
    world.listener_returns();
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_close_tells_what_is_revoked_before_it_leaves_and_a_drop_tells_nothing() {
    let mut world = World::listener_of(listening(), &[0]);
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    if world.has_asked(ApiKey::OffsetCommit) {
        let commit = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&commit, ErrorCode::None);
    }
    assert!(!world.has_asked(ApiKey::LeaveGroup));
    world.listener_is_told(Callback::Revoked(vec![at(0)]));
    assert!(world.has_asked(ApiKey::LeaveGroup));

    let mut world = World::listener_of(listening(), &[0]);
    world.consumer.close(CloseKind::Dropped, LeaveGroup::Default, deadline, world.now);
    world.run();
    assert_eq!(world.consumer.take_callback(), None);
}

#[test]
fn a_listener_that_takes_longer_than_the_rebalance_loses_its_partitions() {
    let mut world = World::listener_of(listening(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    take_commits(&mut world);
    assert_eq!(world.consumer.take_callback(), Some(Callback::Revoked(vec![at(0)])));
    world.consumer.park(world.reader);
    world.pass(Duration::from_secs(301));
    assert!(world.consumer.assignment().is_empty());
    world.listener_returns();
    world.listener_is_told(Callback::Lost(vec![at(0)]));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn a_cooperative_member_is_told_what_goes_before_it_has_what_comes() {
    let mut world = World::listener_of(cooperative(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(2, &[1]);
    assert_eq!(world.consumer.take_callback(), Some(Callback::Revoked(vec![at(0)])));
    assert_eq!(world.consumer.assignment(), [at(0)], "not before the listener has returned");
    world.listener_returns();
    assert_eq!(world.consumer.assignment(), [at(1)]);
    assert!(!world.has_asked(ApiKey::JoinGroup), "not before it is told what is new");
    world.listener_is_told(Callback::Assigned(vec![at(1)]));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn nobody_is_told_that_nothing_was_lost() {
    for config in [listening(), cooperative()] {
        let mut world = World::new(config);
        world.subscribe();
        let join = world.expect(ApiKey::JoinGroup);
        world.answer(&join, joined(1));
        let sync = world.expect(ApiKey::SyncGroup);
        world.answer(&sync, assigned(&[]));
        world.listener_is_told(Callback::Assigned(vec![]));
        world.heartbeat_says(ErrorCode::UnknownMemberId);
        assert_eq!(world.consumer.take_callback(), None);
        assert!(world.has_asked(ApiKey::JoinGroup));
    }
}

#[test]
fn on_lost_may_not_commit() {
    let lost_in = |mut world: World| {
        assert_eq!(world.consumer.take_callback(), Some(Callback::Lost(vec![at(0)])));
        let refused = Err(OpFailure::NotMember(ErrorCode::UnknownMemberId));
        let its = [(at(0), 9.into())].into();
        assert_eq!(world.consumer.commit(Some(its), world.now), refused);
        world.listener_returns();
        world.pass(Duration::from_secs(1));
        assert!(!world.has_asked(ApiKey::OffsetCommit), "it may be another member's by now");
        assert!(world.consumer.commit(None, world.now).is_ok(), "nothing is there to be committed");
    };
    for config in [listening, cooperative] {
        for error in [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration] {
            let mut world = World::listener_of(config(), &[0]);
            world.heartbeat_says(error);
            lost_in(world);
        }
    }
    let mut config = listening();
    config.group.as_mut().unwrap().protocol = crate::GroupProtocol::Consumer;
    let mut world = World::new(config);
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, consumer_protocol::epoch(1, Some(&[0])));
    world.listener_is_told(Callback::Assigned(vec![at(0)]));
    world.committed(0);
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, consumer_protocol::refused(ErrorCode::FencedMemberEpoch));
    lost_in(world);
}

#[test]
fn what_a_listener_was_too_slow_to_give_up_may_not_be_committed() {
    let mut world = World::listener_of(cooperative(), &[0, 1]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(2, &[1]);
    assert_eq!(world.consumer.take_callback(), Some(Callback::Revoked(vec![at(0)])));
    world.consumer.park(world.reader);
    world.pass(Duration::from_secs(301));
    let mut commit = |number| world.consumer.commit(Some([(at(number), 9.into())].into()), world.now);
    assert_eq!(commit(0), Err(OpFailure::NotAssigned(at(0))), "it may be another member's by now");
    assert!(commit(1).is_ok());
}

#[test]
fn a_listener_that_is_told_of_an_unsubscription_may_not_commit_in_nobodys_name() {
    let mut world = World::listener_of(listening(), &[0]);
    world.consumer.unsubscribe(world.now);
    world.run();
    assert_eq!(world.consumer.take_callback(), Some(Callback::Revoked(vec![at(0)])));
    let mut commit = || world.consumer.commit(Some([(at(0), 9.into())].into()), world.now);
    assert_eq!(commit(), Err(OpFailure::NotAssigned(at(0))), "the group gives it away");
}

/// The coordinator takes every commit.
fn take_commits(world: &mut World) {
    while world.has_asked(ApiKey::OffsetCommit) {
        let commit = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&commit, ErrorCode::None);
    }
}

/// Answers commits, and lets the listener return from each callback at once, until nothing is left. Returns the
/// callbacks.
fn told_to_the_end(world: &mut World) -> Vec<Callback> {
    let mut told = Vec::new();
    loop {
        take_commits(world);
        let Some(callback) = world.consumer.take_callback() else { return told };
        told.push(callback);
        world.listener_returns();
    }
}

fn close(world: &mut World) {
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
}

#[test]
fn a_close_does_not_tell_again_what_a_rebalance_has_told_as_revoked() {
    for config in [listening(), cooperative()] {
        let mut world = World::listener_of(config, &[0, 1]);
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        if world.has_asked(ApiKey::JoinGroup) {
            world.enter(2, &[1]);
        }
        let Some(Callback::Revoked(first)) = world.consumer.take_callback() else {
            panic!("nothing is revoked")
        };
        close(&mut world);
        world.listener_returns();
        let mut revoked = first;
        for callback in told_to_the_end(&mut world) {
            let Callback::Revoked(more) = callback else { panic!("{callback:?}") };
            revoked.extend(more);
        }
        revoked.sort();
        assert_eq!(revoked, [at(0), at(1)], "each once");
        assert!(world.has_asked(ApiKey::LeaveGroup));
    }
}

#[test]
fn a_close_takes_back_what_was_not_told_as_assigned_yet() {
    let mut world = World::listener_of(cooperative(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(2, &[0, 1]);
    close(&mut world);
    assert_eq!(told_to_the_end(&mut world), [Callback::Revoked(vec![at(0)])]);
    assert!(world.has_asked(ApiKey::LeaveGroup));
}

#[test]
fn an_unsubscription_takes_back_what_was_not_told_as_assigned_yet() {
    let mut world = World::listener_of(cooperative(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.enter(2, &[0, 1]);
    world.consumer.unsubscribe(world.now);
    world.run();
    assert_eq!(told_to_the_end(&mut world), [Callback::Revoked(vec![at(0)])]);
}

#[test]
fn an_unsubscription_does_not_tell_again_what_a_rebalance_has_told_as_revoked() {
    let mut world = World::listener_of(listening(), &[0]);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    take_commits(&mut world);
    assert_eq!(world.consumer.take_callback(), Some(Callback::Revoked(vec![at(0)])));
    world.consumer.unsubscribe(world.now);
    world.listener_returns();
    assert_eq!(told_to_the_end(&mut world), []);
}

#[test]
fn a_rebalance_that_comes_while_a_close_tells_changes_nothing() {
    for config in [listening(), cooperative()] {
        let mut world = World::listener_of(config, &[0]);
        close(&mut world);
        take_commits(&mut world);
        assert_eq!(world.consumer.take_callback(), Some(Callback::Revoked(vec![at(0)])));
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        world.listener_returns();
        assert_eq!(told_to_the_end(&mut world), []);
        assert!(world.has_asked(ApiKey::LeaveGroup));
    }
}
