//! What probes are told.

use super::{
    committing::{by_hand, reading},
    *,
};

const SECOND: Duration = Duration::from_secs(1);

impl World {
    fn health(&mut self) -> Health {
        self.consumer.health(self.now)
    }

    /// A probe asks every ten seconds for so long, while the coordinator answers; what it is told in the end.
    fn probed_for(&mut self, time: Duration) -> Health {
        let mut health = self.health();
        for _ in 0..time.as_secs() / 10 {
            self.pass(10 * SECOND);
            self.heartbeats();
            health = self.health();
        }
        health
    }

    /// Heartbeats and fetches are answered, once a second.
    fn lives_for(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(SECOND);
            self.heartbeats();
            if let Some(fetch) = self.fetches.pop_front() {
                self.fetched_by(&fetch, 0, ErrorCode::None, None);
            }
        }
    }

    /// Answers heartbeats that are due.
    fn heartbeats(&mut self) {
        while self.has_asked(ApiKey::Heartbeat) {
            let heartbeat = self.expect(ApiKey::Heartbeat);
            self.answer(&heartbeat, HeartbeatResponse::default());
        }
    }
}

#[track_caller]
fn stalls(health: &Health, texts: &[&str]) {
    let said: Vec<String> = health.stalled.iter().map(ToString::to_string).collect();
    let is_there = said.iter().any(|said| texts.iter().all(|text| said.contains(text)));
    assert!(is_there, "{texts:?} are in none of {said:?}");
    assert!(!health.is_ready() && !health.is_progressing());
}

#[test]
fn who_reads_nothing_is_alive_and_not_ready() {
    let mut world = World::new(config());
    let health = world.health();
    assert!(health.is_live() && !health.member && !health.is_ready());
    assert_eq!(health.to_string(), "no member");
    world.consumer.assign([at(0)], world.now).unwrap();
    assert!(world.health().is_ready(), "{:?}", world.health());
}

#[test]
fn a_member_that_reads_or_has_nothing_to_read_is_ready_however_long() {
    let mut world = World::member(by_hand(), &[0]);
    assert!(world.health().is_ready());
    world.consumer.park(world.reader);
    for _ in 0..20 {
        world.lives_for(10);
        let health = world.health();
        assert!(health.is_ready() && health.is_live(), "{health}");
        assert_eq!(health.to_string(), "progressing");
    }
}

#[test]
fn who_joins_is_no_member_and_stalled_when_it_takes_long() {
    let mut world = World::new(group_config());
    world.subscribe();
    let health = world.health();
    assert!(!health.member && health.stalled.is_empty(), "{health}");
    let health = world.probed_for(30 * SECOND);
    assert!(health.is_live() && !health.member);
    stalls(&health, &["group: Joining for 30"]);
    world.join(1, &[0]);
    assert!(world.health().is_ready());
}

#[test]
fn a_rebalance_that_begins_after_another_is_a_new_one() {
    let mut world = World::member(by_hand(), &[0]);
    let mut generation = 1;
    world.consumer.park(world.reader);
    for _ in 0..10 {
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        let health = world.health();
        assert!(!health.member && health.stalled.is_empty(), "{health}");
        generation += 1;
        world.join(generation, &[0]);
        // Nobody asks in between.
        world.pass(9 * SECOND);
        world.heartbeats();
    }
}

#[test]
fn a_leader_that_is_out_of_reach_is_a_stall_after_half_a_minute_of_looks_and_forgotten_when_it_is_back() {
    let mut world = World::member(by_hand(), &[0]);
    world.consumer.park(world.reader);
    world.lives_for(100);
    let fetch = world.fetches.pop_front().unwrap();
    world.refusing = true;
    world.disconnect(&fetch);
    assert!(world.health().stalled.is_empty(), "it was reached until now");
    let health = world.probed_for(30 * SECOND);
    assert!(health.is_live(), "no new process would reach it");
    stalls(&health, &["t-0: broker 1: "]);
    world.refusing = false;
    world.lives_for(5);
    assert!(world.health().is_ready(), "{}", world.health());
    world.refusing = true;
    let fetch = world.fetches.pop_front().unwrap();
    world.disconnect(&fetch);
    assert!(world.health().stalled.is_empty(), "it begins anew");
}

#[test]
fn what_was_seen_long_ago_may_have_passed_and_come_again() {
    let mut world = World::member(by_hand(), &[0]);
    world.consumer.park(world.reader);
    for _ in 0..3 {
        // Whoever asks every hour meets a broken connection each time.
        let fetch = world.fetches.pop_front().unwrap();
        world.refusing = true;
        world.disconnect(&fetch);
        assert!(world.health().stalled.is_empty(), "{}", world.health());
        world.refusing = false;
        world.lives_for(61);
    }
}

#[test]
fn what_is_stuck_for_good_is_told_at_once() {
    let mut world = World::new(ConsumerConfig { reset: ResetPolicy::None, ..group_config() });
    world.subscribe();
    world.enter(1, &[0]);
    world.committed(-1);
    let health = world.health();
    stalls(&health, &["t-0: stuck until a seek: no committed offset"]);
    assert!(health.is_live(), "a new process would find the same");
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    assert!(world.health().is_ready(), "{}", world.health());
}

#[test]
fn a_user_who_does_not_come_back_in_time_is_no_live_one_until_he_does() {
    let (mut world, _slice) = reading(by_hand());
    world.lives_for(299);
    let health = world.health();
    assert!(health.is_live() && health.is_ready(), "a handler may take its time: {health}");
    world.lives_for(2);
    let health = world.health();
    assert!(!health.is_live() && health.alive && !health.member, "{health}");
    stalls(&health, &["group: "]);
    world.consumer.returned(world.reader, world.now);
    assert!(world.consumer.take_failure(&crate::Filter::All, world.now).is_some());
    assert!(world.health().is_live());
}

#[test]
fn a_group_that_refuses_for_good_is_told_at_once_and_is_no_reason_for_a_restart() {
    let mut world = World::new(group_config());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let error_code = ErrorCode::InconsistentGroupProtocol;
    world.answer(&join, JoinGroupResponse { error_code, ..Default::default() });
    let health = world.health();
    stalls(&health, &["group: ", "INCONSISTENT_GROUP_PROTOCOL"]);
    assert!(health.is_live() && !health.member);
}

#[test]
fn commits_that_do_not_come_about_are_a_stall_and_those_that_follow_each_other_are_not() {
    let mut world = World::member(by_hand(), &[0]);
    world.consumer.park(world.reader);
    let commit = |world: &mut World, offset: i64| {
        world.consumer.commit(Some([(at(0), offset.into())].into()), world.now).unwrap();
        world.run();
    };
    let is_stalled =
        |health: &Health| health.stalled.iter().any(|stall| matches!(stall.why, StallReason::Commit(_)));
    for offset in 0..5 {
        // There is one under way whenever a probe asks.
        commit(&mut world, offset);
        let sent = world.expect(ApiKey::OffsetCommit);
        assert!(!is_stalled(&world.health()), "{}", world.health());
        world.commit_says(&sent, ErrorCode::None);
        world.lives_for(10);
    }
    commit(&mut world, 9);
    for second in 0..40 {
        while world.has_asked(ApiKey::OffsetCommit) {
            let sent = world.expect(ApiKey::OffsetCommit);
            world.commit_says(&sent, ErrorCode::CoordinatorLoadInProgress);
        }
        assert_eq!(is_stalled(&world.health()), second >= 30, "{second}: {}", world.health());
        world.lives_for(1);
    }
}

#[test]
fn a_topic_that_is_not_there_is_a_stall() {
    let mut world = World::new(group_config());
    world.topics = vec![];
    world.subscribe();
    world.join(1, &[]);
    assert!(world.health().is_ready(), "it may be about to be made: {}", world.health());
    stalls(&world.probed_for(30 * SECOND), &["t: UNKNOWN_TOPIC_OR_PARTITION"]);
}

#[test]
fn records_that_are_kept_starve_the_others_and_those_in_hand_do_not() {
    let fetch = FetchConfig { budget: 1, ..FetchConfig::default() };
    let mut world = World::member(ConsumerConfig { fetch, ..by_hand() }, &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    let health = world.probed_for(60 * SECOND);
    assert!(health.is_ready(), "{health}");
    world.back_from(&slice, 10);
    // What the response was in is not released.
    world.consumer.park(world.reader);
    stalls(&world.probed_for(30 * SECOND), &["t-0: ", "bytes are used by records not taken or still kept"]);
}

#[test]
fn who_closes_is_not_ready_and_who_is_closed_not_alive() {
    let mut world = World::member(by_hand(), &[0]);
    let deadline = world.now.mono + 30 * SECOND;
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    let health = world.health();
    assert!(health.is_live() && !health.is_ready(), "{health}");
    let leave = world.expect(ApiKey::LeaveGroup);
    world.answer(&leave, LeaveGroupResponse::default());
    let health = world.health();
    assert!(!health.is_live() && !health.is_ready(), "{health}");
    assert_eq!(health.to_string(), "not alive: closed, or its thread is gone");
}
