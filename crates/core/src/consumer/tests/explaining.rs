//! The answers of `explain` to each thing that may wait.

use super::*;
use super::{
    committing::{by_hand, reading},
    consumer_protocol::{consumer_protocol, epoch, told},
};

const LOADING: ErrorCode = ErrorCode::CoordinatorLoadInProgress;

impl World {
    fn said(&self) -> String {
        self.consumer.explain(self.now).to_string()
    }

    #[track_caller]
    fn says(&self, texts: &[&str]) {
        let said = self.said();
        let has_all = |line: &str| texts.iter().all(|text| line.contains(text));
        assert!(said.lines().any(has_all), "{texts:?} are in no line of:\n{said}");
    }
}

/// An assignment of one partition, of a topic that metadata does not know yet.
fn of_a_new_topic() -> ConsumerGroupHeartbeatResponse {
    let mut target = epoch(1, Some(&[0]));
    target.assignment.as_mut().unwrap().topic_partitions[0].topic_id = TopicId([2; 16]);
    target
}

#[test]
fn an_idle_member_does_not_know_the_topics_that_its_coordinator_matches() {
    let mut world = World::new(consumer_protocol());
    world.consumer.subscribe_pattern("t.*", world.now).unwrap();
    world.run();
    let joins = world.heartbeat();
    world.answer(&joins, epoch(1, Some(&[])));
    world
        .says(&["group: no partition assigned: the coordinator, which matches the pattern, has none for it"]);
    let idle = GroupReason::Idle { members: None, partitions: None };
    assert_eq!(world.consumer.explain(world.now).group, Some(idle));
}

#[test]
fn a_member_that_is_assigned_topics_without_names_is_not_idle() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, of_a_new_topic());
    world.pass(Duration::from_secs(1));
    world.says(&["group: 0 partitions, and for 1.0s waiting for the names of 1 topics"]);
    world.topics = vec!["t", "late"];
    world.pass(Duration::from_secs(2));
    assert_eq!(world.consumer.assignment(), [TopicPartition::new("late", 0)]);
}

#[test]
fn what_is_given_up_and_committed_waits_for_the_answer_to_a_heartbeat_that_lists_it() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0, 1]);
    world.fetched(1, 0..10);
    let slice = world.take().unwrap();
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, epoch(1, Some(&[0])));
    let heartbeat = world.heartbeat();
    world.says(&["group: a rebalance has waited", "for the user to come back from t-1"]);
    world.disconnect(&heartbeat);
    let lists = world.heartbeat();
    assert!(told(&lists).topic_partitions.is_some());
    world.back_from(&slice, 4);
    world.says(&["group: a rebalance has waited", "for what was delivered to be committed"]);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::None);
    world.says(&["group: waiting for the answer to a heartbeat for"]);
    world.answer(&lists, epoch(1, None));
    world.says(&["group: member with 1 partitions"]);
}

#[test]
fn commits_of_what_stays_that_follow_each_other_do_not_hold_up_what_is_given_up() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0, 1]);
    let commit = |world: &mut World, offset: i64| {
        let offsets = BTreeMap::from([(TopicPartition::new("t", 0), offset.into())]);
        world.consumer.commit(Some(offsets), world.now).unwrap();
        world.run();
    };
    commit(&mut world, 1);
    let first = world.expect(ApiKey::OffsetCommit);
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, epoch(1, Some(&[0])));
    commit(&mut world, 2);
    world.commit_says(&first, ErrorCode::None);
    let second = world.expect(ApiKey::OffsetCommit);
    commit(&mut world, 3);
    world.commit_says(&second, ErrorCode::None);
    let third = world.expect(ApiKey::OffsetCommit);
    assert_eq!(world.consumer.assignment(), [TopicPartition::new("t", 0)]);
    world.commit_says(&third, ErrorCode::None);
}

#[test]
fn a_topic_whose_name_came_meanwhile_is_taken_over_with_the_answer_to_the_heartbeat() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, of_a_new_topic());
    let acknowledges = world.expect(ApiKey::ConsumerGroupHeartbeat);
    world.topics = vec!["t", "late"];
    world.pass(Duration::from_secs(1));
    world.says(&["group: waiting for the answer to a heartbeat for 1.0s"]);
    world.answer(&acknowledges, epoch(1, None));
    assert_eq!(world.consumer.assignment(), [TopicPartition::new("late", 0)]);
}

#[test]
fn a_partition_that_waits_for_the_next_fetch_is_told_when_the_leader_is_silent() {
    let mut world = World::new(config());
    world.consumer.assign([at(0), at(1)], world.now).unwrap();
    for partition in [0, 1] {
        world.consumer.seek(&at(partition), SeekTo::Offset(0), world.now);
    }
    world.consumer.set_paused(&at(1), true, world.now);
    world.run();
    world.consumer.set_paused(&at(1), false, world.now);
    world.run();
    world.says(&["t-1: goes with the next fetch"]);
    world.pass(Duration::from_secs(3));
    world.says(&["t-1: broker 1 has not answered a fetch for 3.0s"]);
}

#[test]
fn a_leader_that_refused_and_is_silent_since_has_not_answered() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::KafkaStorageError, None);
    world.says(&["t-0: the broker answered KAFKA_STORAGE_ERROR (56); attempt 2 in "]);
    world.pass(Duration::from_secs(5));
    world.says(&["t-0: broker 1 has not answered a fetch for 4.9s"]);
}

#[test]
fn a_commit_that_is_tried_again_names_the_error_and_the_attempt() {
    let (mut world, _slice) = reading(by_hand());
    let op = world.consumer.commit(None, world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.says(&["commit: no answer for 0.0"]);
    world.commit_says(&commit, LOADING);
    world.says(&["commit: tried again after COORDINATOR_LOAD_IN_PROGRESS (14); attempt 2 in "]);
    world.pass(Duration::from_secs(1));
    world.says(&["commit: no answer for", "after COORDINATOR_LOAD_IN_PROGRESS (14); attempt 2 is due"]);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::None);
    assert!(!world.said().contains("commit"), "{}", world.said());
    assert!(world.is_committed(op));
}

#[test]
fn a_commit_that_cannot_be_sent_names_the_coordinator_that_is_gone() {
    let (mut world, _slice) = reading(by_hand());
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    world.refusing = true;
    world.disconnect(&heartbeat);
    world.consumer.commit(None, world.now).unwrap();
    world.run();
    world.says(&["commit: looking for the coordinator for", "; it was broker 1: "]);
}

#[test]
fn a_commit_that_timed_out_names_the_error() {
    let (mut world, _slice) = reading(by_hand());
    let op = world.consumer.commit(None, world.now).unwrap();
    world.run();
    while world.has_asked(ApiKey::OffsetCommit) {
        let commit = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&commit, LOADING);
        world.pass(Duration::from_secs(2));
    }
    let Some(Err(OpFailure::TimedOut(why))) = world.consumer.take_outcome(op) else { panic!("no time-out") };
    assert!(why.contains("COORDINATOR_LOAD_IN_PROGRESS"), "{why}");
}

#[test]
fn a_revocation_that_waits_for_a_commit_names_what_keeps_the_commit() {
    let (mut world, slice) = reading(group_config());
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.back_from(&slice, 4);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, LOADING);
    let waits =
        "for what was delivered to be committed after COORDINATOR_LOAD_IN_PROGRESS (14); attempt 2 in";
    world.says(&["group: a rebalance has waited", waits]);
}

#[test]
fn a_close_that_waits_for_a_commit_names_what_keeps_the_commit() {
    let (mut world, slice) = reading(group_config());
    world.back_from(&slice, 4);
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, crate::LeaveGroup::Default, deadline, world.now);
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.disconnect(&commit);
    world.says(&["commit: tried again after no answer; attempt 2 in "]);
}

#[test]
fn who_joins_says_what_was_answered_and_when_it_tries_again() {
    let mut world = World::new(group_config());
    world.subscribe();
    for attempt in ["attempt 2 in", "attempt 3 in"] {
        let join = world.expect(ApiKey::JoinGroup);
        world.answer(&join, JoinGroupResponse { error_code: LOADING, ..Default::default() });
        world.says(&["group: Joining for", "after COORDINATOR_LOAD_IN_PROGRESS", attempt]);
        world.pass(Duration::from_secs(1));
    }
    world.says(&["group: Joining for", "after COORDINATOR_LOAD_IN_PROGRESS (14); attempt 3 is due"]);
}

#[test]
fn a_member_of_the_consumer_protocol_that_joins_says_the_same() {
    let mut world = World::new(consumer_protocol());
    world.subscribe();
    let joins = world.heartbeat();
    world.answer(&joins, super::consumer_protocol::refused(LOADING));
    world.says(&["group: Joining for", "after COORDINATOR_LOAD_IN_PROGRESS (14); attempt 2 in"]);
}

#[test]
fn a_coordinator_that_is_looked_up_is_told_with_why_and_when_it_is_asked_for_again() {
    let mut world = World::new(group_config());
    world.subscribe();
    let join = world.expect(ApiKey::JoinGroup);
    let error_code = ErrorCode::NotCoordinator;
    world.answer(&join, JoinGroupResponse { error_code, ..Default::default() });
    world.says(&["group: looking for the coordinator for", "after NOT_COORDINATOR (16); attempt 2 in"]);
}

#[test]
fn a_coordinator_that_cannot_be_reached_is_named() {
    let mut world = World::member(group_config(), &[0]);
    world.pass(Duration::from_secs(3));
    let heartbeat = world.expect(ApiKey::Heartbeat);
    world.refusing = true;
    world.disconnect(&heartbeat);
    world.says(&[
        "group: looking for the coordinator for",
        "; it was broker 1: the broker closed the connection",
    ]);
}

#[test]
fn offsets_that_are_asked_for_again_are_told_with_why_and_when() {
    let mut world = World::new(group_config());
    world.subscribe();
    world.enter(1, &[0]);
    let fetch = world.expect(ApiKey::OffsetFetch);
    let group = OffsetFetchResponseGroup { error_code: LOADING, ..Default::default() };
    world.answer(&fetch, OffsetFetchResponse { groups: vec![group], ..Default::default() });
    world.says(&[
        "t-0: waiting for the committed offset for",
        "after COORDINATOR_LOAD_IN_PROGRESS (14); attempt 2 in",
    ]);
    world.pass(Duration::from_secs(1));
    world.committed(-1);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, log_says(ErrorCode::LeaderNotAvailable, -1));
    world.says(&[
        "t-0: waiting for an offset from the log for",
        "after LEADER_NOT_AVAILABLE (5); attempt 2 in",
    ]);
}

fn log_says(error_code: ErrorCode, offset: i64) -> ListOffsetsResponse {
    let partition =
        ListOffsetsPartitionResponse { partition_index: 0, error_code, offset, ..Default::default() };
    let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![partition] };
    ListOffsetsResponse { topics: vec![topic], ..Default::default() }
}

#[test]
fn a_partition_that_began_at_the_end_says_where_that_was() {
    let mut world = World::new(ConsumerConfig { reset: ResetPolicy::Latest, ..group_config() });
    world.subscribe();
    world.enter(1, &[0]);
    world.committed(-1);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, log_says(ErrorCode::None, 7));
    world.pass(Duration::from_secs(2));
    world.says(&["t-0: began 2.0s ago at the end, offset 7"]);
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    assert!(!world.said().contains("began"), "{}", world.said());
}
