use super::*;
use crate::{Filter, LaneFailure, event::CommitGivenUp};

/// A member that has taken records 0 to 10 of partition 0.
pub(super) fn reading(config: ConsumerConfig) -> (World, crate::lanes::Slice<Frame>) {
    let mut world = World::member(config, &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    (world, slice)
}

pub(super) fn by_hand() -> ConsumerConfig {
    ConsumerConfig { auto_commit: None, ..group_config() }
}

#[test]
fn auto_commit_commits_what_the_user_came_back_from() {
    let (mut world, slice) = reading(group_config());
    world.consumer.report(slice.part, slice.epoch, 7, false, true);
    world.reads_to(6);
    world.pass(Duration::from_secs(5));
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 6)]);
}

#[test]
fn auto_commit_has_nothing_to_say_when_nothing_moved() {
    let (mut world, _slice) = reading(group_config());
    world.pass(Duration::from_secs(20));
    assert!(!world.has_asked(ApiKey::OffsetCommit));
}

#[test]
fn a_commit_by_hand_commits_all_that_was_handed_out() {
    let (mut world, slice) = reading(by_hand());
    world.consumer.report(slice.part, slice.epoch, 7, true, true);
    let op = world.consumer.commit(None, world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&commit), [(0, 7)]);
    assert_eq!(world.consumer.take_outcome(op), None);
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.is_committed(op));
}

#[test]
fn the_newest_request_wins_and_not_the_largest_offset() {
    let (mut world, _slice) = reading(by_hand());
    let commit = |world: &mut World, offset: i64| {
        let offsets = BTreeMap::from([(at(0), offset.into())]);
        let op = world.consumer.commit(Some(offsets), world.now).unwrap();
        world.run();
        op
    };
    commit(&mut world, 5);
    let first = world.expect(ApiKey::OffsetCommit);
    let ops = [commit(&mut world, 9), commit(&mut world, 3)];
    assert!(!world.has_asked(ApiKey::OffsetCommit), "one is in flight");
    world.commit_says(&first, ErrorCode::None);
    let second = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&second), [(0, 3)]);
    world.commit_says(&second, ErrorCode::None);
    assert!(ops.into_iter().all(|op| world.is_committed(op)));
}

#[test]
fn a_commit_that_was_not_answered_does_not_overtake_a_newer_one() {
    let (mut world, _slice) = reading(by_hand());
    world.consumer.commit(Some(BTreeMap::from([(at(0), 5.into())])), world.now).unwrap();
    world.run();
    let first = world.expect(ApiKey::OffsetCommit);
    world.consumer.commit(Some(BTreeMap::from([(at(0), 2.into())])), world.now).unwrap();
    world.disconnect(&first);
    world.pass(Duration::from_secs(3));
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 2)]);
}

#[test]
fn a_commit_is_tried_again_while_the_coordinator_moves() {
    let (mut world, _slice) = reading(by_hand());
    let op = world.consumer.commit(Some(BTreeMap::from([(at(0), 5.into())])), world.now).unwrap();
    world.run();
    for error in [ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress, ErrorCode::None] {
        let commit = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&commit, error);
        world.pass(Duration::from_secs(2));
    }
    assert!(world.is_committed(op));
}

#[test]
fn a_commit_of_a_lost_generation_fails_and_is_not_sent() {
    let (mut world, _slice) = reading(by_hand());
    world.consumer.commit(Some(BTreeMap::from([(at(0), 5.into())])), world.now).unwrap();
    world.run();
    let first = world.expect(ApiKey::OffsetCommit);
    let op = world.consumer.commit(Some(BTreeMap::from([(at(0), 6.into())])), world.now).unwrap();
    world.heartbeat_says(ErrorCode::UnknownMemberId);
    assert!(matches!(world.consumer.take_outcome(op), Some(Err(OpFailure::NotMember(_)))));
    world.commit_says(&first, ErrorCode::None);
    assert!(!world.has_asked(ApiKey::OffsetCommit));
}

#[test]
fn a_commit_refused_for_its_generation_loses_the_partitions() {
    let (mut world, _slice) = reading(by_hand());
    let op = world.consumer.commit(None, world.now).unwrap();
    world.run();
    world.events();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::IllegalGeneration);
    let refused = Some(Err(OpFailure::NotMember(ErrorCode::IllegalGeneration)));
    assert_eq!(world.consumer.take_outcome(op), refused);
    assert_eq!(world.events(), [Event::Lost(vec![at(0)])]);
}

#[test]
fn a_commit_that_nobody_answers_times_out_and_says_what_it_waited_for() {
    let (mut world, _slice) = reading(by_hand());
    let op = world.consumer.commit(None, world.now).unwrap();
    world.pass(Duration::from_secs(61));
    assert!(matches!(world.consumer.take_outcome(op), Some(Err(OpFailure::TimedOut(_)))));
}

#[test]
fn a_partition_without_a_committed_offset_begins_where_the_policy_says() {
    let mut world = World::new(group_config());
    world.subscribe();
    world.enter(1, &[0]);
    world.committed(-1);
    let lookup = world.expect(ApiKey::ListOffsets);
    let Request::ListOffsets(request) = &lookup.request else { unreachable!() };
    assert_eq!(request.topics[0].partitions[0].timestamp, -2);
}

#[test]
fn offsets_that_are_still_being_decided_are_asked_for_again() {
    let mut world = World::new(group_config());
    world.subscribe();
    world.enter(1, &[0]);
    let fetch = world.expect(ApiKey::OffsetFetch);
    let Request::OffsetFetch(request) = &fetch.request else { unreachable!() };
    assert!(request.require_stable);
    let unstable =
        OffsetFetchResponsePartitions { error_code: ErrorCode::UnstableOffsetCommit, ..found(0, -1) };
    let topic =
        OffsetFetchResponseTopics { name: "t".to_owned(), partitions: vec![unstable], ..Default::default() };
    let group = OffsetFetchResponseGroup { topics: vec![topic], ..Default::default() };
    world.answer(&fetch, OffsetFetchResponse { groups: vec![group], ..Default::default() });
    assert!(!world.has_asked(ApiKey::ListOffsets), "the policy is not asked yet");
    world.pass(Duration::from_secs(1));
    world.committed(30);
    assert_eq!(world.consumer.position(&at(0)), Some(30));
}

#[test]
fn a_dropped_consumer_commits_only_what_the_user_came_back_from() {
    let (mut world, slice) = reading(group_config());
    world.consumer.report(slice.part, slice.epoch, 3, true, true);
    world.consumer.report(slice.part, slice.epoch, 4, false, true);
    let deadline = world.now.mono + Duration::from_secs(5);
    world.consumer.close(CloseKind::Dropped, LeaveGroup::Default, deadline, world.now);
    world.run();
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 3)]);
}

#[test]
fn nothing_is_committed_of_what_was_lost_at_the_deadline() {
    let mut config = group_config();
    config.group.as_mut().unwrap().max_poll_interval = Duration::from_secs(10);
    let (mut world, slice) = reading(config);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let deadline = world.now.mono + Duration::from_secs(10);
    while world.now.mono < deadline {
        // The user is at work all the time, and does not come back into a call.
        world.reads_to(1);
        world.consumer.report(slice.part, slice.epoch, 4, false, true);
        world.consumer.park(world.reader);
        while world.has_asked(ApiKey::OffsetCommit) {
            let commit = world.expect(ApiKey::OffsetCommit);
            world.commit_says(&commit, ErrorCode::None);
        }
        world.pass(Duration::from_secs(1));
    }
    assert!(world.events().contains(&Event::Lost(vec![at(0)])));
    world.back_from(&slice, 10);
    world.pass(Duration::from_secs(6));
    assert!(!world.has_asked(ApiKey::OffsetCommit));
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn what_others_wrote_beside_an_offset_is_read_without_harm() {
    let strange = ["", "{\"v\":1}", "\u{0}\u{fffd}\u{1f600}", &"x".repeat(4096)];
    let written = strange.iter().map(|text| Some((*text).to_owned())).chain([None]);
    for metadata in written {
        let mut world = World::member(by_hand(), &[]);
        let op = world.consumer.committed(vec![at(0)], world.now).unwrap();
        world.run();
        let fetch = world.expect(ApiKey::OffsetFetch);
        let partition = OffsetFetchResponsePartitions { metadata: metadata.clone(), ..found(0, 30) };
        let topic = OffsetFetchResponseTopics {
            name: "t".to_owned(),
            partitions: vec![partition],
            ..Default::default()
        };
        let group = OffsetFetchResponseGroup { topics: vec![topic], ..Default::default() };
        world.answer(&fetch, OffsetFetchResponse { groups: vec![group], ..Default::default() });
        let committed = CommittedOffset::new(30).with_metadata(metadata.unwrap_or_default());
        let told = Outcome::Committed([(at(0), Some(committed))].into());
        assert_eq!(world.consumer.take_outcome(op), Some(Ok(told)));
    }
}

/// A member that commits by hand and owns partitions 0 and 1, with a commit of 5 and 7 under way.
fn two_committing() -> (World, crate::ids::OpId, Sent) {
    let mut world = World::member(by_hand(), &[0, 1]);
    let op = commits(&mut world, &[(0, 5), (1, 7)]);
    let commit = world.expect(ApiKey::OffsetCommit);
    (world, op, commit)
}

fn commits(world: &mut World, offsets: &[(i32, i64)]) -> crate::ids::OpId {
    let offsets = offsets.iter().map(|(partition, offset)| (at(*partition), (*offset).into())).collect();
    let op = world.consumer.commit(Some(offsets), world.now).unwrap();
    world.run();
    op
}

#[test]
fn partitions_of_one_commit_settle_one_by_one() {
    let (mut world, both, first) = two_committing();
    let other = commits(&mut world, &[(1, 8)]);
    world.commit_fares(&first, &[ErrorCode::None, ErrorCode::OffsetMetadataTooLarge]);
    let refused = OpFailure::Broker(ErrorCode::OffsetMetadataTooLarge, Some(at(1)));
    assert_eq!(world.consumer.take_outcome(both), Some(Err(refused)));
    assert_eq!(world.consumer.lanes.assigned_at(&at(0)).unwrap().1.committed, Some(5), "this one is kept");
    let second = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&second), [(1, 8)]);
    world.commit_says(&second, ErrorCode::None);
    assert!(world.is_committed(other), "it shares no failure");
}

#[test]
fn outcomes_of_commits_are_told_in_the_order_in_which_they_were_asked_for() {
    for is_awaited in [true, false] {
        let (mut world, first, sent) = two_committing();
        world.commit_fares(&sent, &[ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
        let second = commits(&mut world, &[(0, 6)]);
        let sent = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&sent, ErrorCode::None);
        assert_eq!(
            world.consumer.take_outcome(second),
            None,
            "it is committed, and the one before is not yet"
        );
        match is_awaited {
            true => {
                world.pass(Duration::from_secs(2));
                let again = world.expect(ApiKey::OffsetCommit);
                world.commit_says(&again, ErrorCode::None);
                assert!(world.is_committed(first));
            }
            false => {
                world.consumer.take_wake();
                world.consumer.forget_op(first);
                assert!(world.consumer.take_wake(), "who waits for the second looks again");
            }
        }
        assert!(world.is_committed(second));
    }
}

#[test]
fn an_error_that_may_pass_hides_none_that_does_not() {
    let (mut world, op, first) = two_committing();
    world.commit_fares(&first, &[ErrorCode::CoordinatorLoadInProgress, ErrorCode::OffsetMetadataTooLarge]);
    let refused = OpFailure::Broker(ErrorCode::OffsetMetadataTooLarge, Some(at(1)));
    assert_eq!(world.consumer.take_outcome(op), Some(Err(refused)));
    world.pass(Duration::from_secs(2));
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 5)], "and is tried again");
}

#[test]
fn what_was_kept_is_not_sent_again_with_what_was_not() {
    let (mut world, op, first) = two_committing();
    world.commit_fares(&first, &[ErrorCode::None, ErrorCode::CoordinatorLoadInProgress]);
    world.pass(Duration::from_secs(2));
    let second = world.expect(ApiKey::OffsetCommit);
    assert_eq!(World::offsets_committed(&second), [(1, 7)]);
    assert_eq!(world.consumer.take_outcome(op), None);
    world.commit_says(&second, ErrorCode::None);
    assert!(world.is_committed(op));
}

#[test]
fn a_partition_that_an_answer_leaves_out_is_not_taken_as_committed() {
    let (mut world, op, first) = two_committing();
    world.commit_fares(&first, &[ErrorCode::None]);
    world.pass(Duration::from_secs(2));
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(1, 7)]);
    assert_eq!(world.consumer.take_outcome(op), None);
}

#[test]
fn a_commit_to_a_topic_that_a_broker_does_not_know_yet_is_tried_again() {
    let (mut world, op, first) = two_committing();
    world.commit_says(&first, ErrorCode::UnknownTopicOrPartition);
    world.pass(Duration::from_secs(2));
    let second = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&second, ErrorCode::None);
    assert!(world.is_committed(op), "metadata knows it all the while");
}

#[test]
fn a_commit_to_a_topic_that_is_gone_fails_when_metadata_says_so_too() {
    let (mut world, op, first) = two_committing();
    world.topics.clear();
    world.commit_says(&first, ErrorCode::UnknownTopicOrPartition);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.consumer.take_outcome(op), Some(Err(OpFailure::Gone(at(0)))));
    assert!(world.consumer.explain(world.now).commit.is_none(), "nothing waits any more");
}

#[test]
fn a_commit_to_a_topic_that_is_known_to_be_gone_fails_at_once() {
    let (mut world, _op, first) = two_committing();
    world.topics.clear();
    world.commit_says(&first, ErrorCode::UnknownTopicOrPartition);
    world.pass(Duration::from_secs(2));
    let again = commits(&mut world, &[(0, 6)]);
    let second = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&second, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(world.consumer.take_outcome(again), Some(Err(OpFailure::Gone(at(0)))));
}

#[test]
fn others_do_not_wait_for_a_partition_whose_topic_is_not_known() {
    let (mut world, _op, first) = two_committing();
    world.commit_fares(&first, &[ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    commits(&mut world, &[(0, 6)]);
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 6)], "at once");
}

#[test]
fn a_close_leaves_at_once_though_the_topic_is_gone_and_tells_what_is_in_no_commit() {
    let (mut world, slice) = reading(group_config());
    world.back_from(&slice, 10);
    world.events();
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::UnknownTopicOrPartition);
    assert!(world.has_asked(ApiKey::LeaveGroup));
    let error = Some(ErrorCode::UnknownTopicOrPartition);
    assert!(world.events().contains(&Event::CommitGivenUp(CommitGivenUp { at: at(0), offset: 10, error })));
}

#[test]
fn a_revocation_does_not_wait_for_a_topic_that_is_gone() {
    let (mut world, slice) = reading(group_config());
    world.back_from(&slice, 10);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::UnknownTopicOrPartition);
    assert!(world.has_asked(ApiKey::JoinGroup));
}

#[test]
fn auto_commit_does_not_ask_again_and_again_for_a_topic_that_is_gone() {
    let (mut world, slice) = reading(group_config());
    world.back_from(&slice, 10);
    world.topics.clear();
    world.pass(Duration::from_secs(5));
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::UnknownTopicOrPartition);
    world.pass(Duration::from_secs(30));
    assert!(!world.has_asked(ApiKey::OffsetCommit));
    let given_up = |event: &&Event| matches!(event, Event::CommitGivenUp(_));
    assert_eq!(world.events().iter().filter(given_up).count(), 1);
}

#[test]
fn a_close_leaves_before_its_deadline_though_the_coordinator_keeps_no_offset() {
    let (mut world, slice) = reading(group_config());
    world.back_from(&slice, 10);
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    while world.now.mono < deadline && !world.has_asked(ApiKey::LeaveGroup) {
        while world.has_asked(ApiKey::OffsetCommit) {
            let commit = world.expect(ApiKey::OffsetCommit);
            world.commit_says(&commit, ErrorCode::CoordinatorLoadInProgress);
        }
        world.pass(Duration::from_millis(100));
    }
    assert!(world.has_asked(ApiKey::LeaveGroup));
    let error = Some(ErrorCode::CoordinatorLoadInProgress);
    assert!(world.events().contains(&Event::CommitGivenUp(CommitGivenUp { at: at(0), offset: 10, error })));
}

fn refused(partition_index: i32, error_code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions { error_code, ..found(partition_index, -1) }
}

/// A member of partitions 0 and 1, whose committed offsets are asked for.
fn entered() -> World {
    let mut world = World::new(group_config());
    world.subscribe();
    world.enter(1, &[0, 1]);
    world
}

#[test]
fn a_partition_whose_committed_offset_is_refused_fails_alone() {
    let mut world = entered();
    let denied = ErrorCode::TopicAuthorizationFailed;
    world.committed_fares(|index| if index == 0 { refused(0, denied) } else { found(index, 7) });
    assert_eq!(world.consumer.position(&at(1)), Some(7));
    let failure = world.consumer.take_failure(&Filter::All, world.now);
    assert_eq!(failure, Some(ReadFailure::Lane(at(0), LaneFailure::Broker(denied))));
}

#[test]
fn a_partition_whose_committed_offset_may_be_told_later_holds_no_other_up() {
    let mut world = entered();
    let unstable = ErrorCode::UnstableOffsetCommit;
    world.committed_fares(|index| if index == 0 { refused(0, unstable) } else { found(index, 7) });
    assert_eq!((world.consumer.position(&at(0)), world.consumer.position(&at(1))), (None, Some(7)));
    world.pass(Duration::from_secs(2));
    world.committed(3);
    assert_eq!((world.consumer.position(&at(0)), world.consumer.position(&at(1))), (Some(3), Some(7)));
}

/// What a commit says: partition, offset, leader epoch.
fn epochs_committed(sent: &Sent) -> Vec<(i32, i64, i32)> {
    let Request::OffsetCommit(request) = &sent.request else { panic!("{sent:?}") };
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|p| (p.partition_index, p.committed_offset, p.committed_leader_epoch)).collect()
}

fn commit_now(world: &mut World) -> Vec<(i32, i64, i32)> {
    world.consumer.commit(None, world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    let said = epochs_committed(&commit);
    world.commit_says(&commit, ErrorCode::None);
    said
}

#[test]
fn a_commit_tells_the_leader_epoch_of_the_record_before_it() {
    let mut world = World::new(ConsumerConfig { auto_commit: None, ..group_config() });
    world.subscribe();
    world.enter(1, &[0]);
    world.committed_fares(|index| OffsetFetchResponsePartitions {
        committed_leader_epoch: 2,
        ..found(index, 0)
    });
    assert_eq!(commit_now(&mut world), [(0, 0, 2)], "as the coordinator told it");

    world.validates(2, 0);
    let batches = [batch_of(4, 0..3), batch_of(4, 3..5), batch_of(6, 5..9)].concat();
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batches));

    let first = world.take().unwrap();
    assert_eq!((first.start, first.next, first.leader_epoch), (0, 5, Some(4)));
    world.reads_to(5);
    let second = world.take().unwrap();
    assert_eq!((second.start, second.next, second.leader_epoch), (5, 9, Some(6)));
    assert_eq!(commit_now(&mut world), [(0, 5, 4)], "the user is back from the first slice alone");
    world.reads_to(6);
    assert_eq!(commit_now(&mut world), [(0, 6, 6)]);
    world.back_from(&second, 9);
    assert_eq!(commit_now(&mut world), [(0, 9, 6)]);
    world.consumer.seek(&at(0), SeekTo::Offset(3), world.now);
    assert_eq!(commit_now(&mut world), [(0, 3, -1)], "nobody has told what is before a sought offset");
}
