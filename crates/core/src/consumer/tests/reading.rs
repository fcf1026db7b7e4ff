use ottla_protocol::{DecodeError, codec::DecodeErrorKind};

use super::*;
use crate::{Filter, LaneFailure, lanes::Admission};

/// A consumer that reads partitions 0 and 1 without a group.
fn assigned_by_hand() -> World {
    let mut world = World::new(config());
    world.consumer.assign([at(0), at(1)], world.now).unwrap();
    world.run();
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(0));
    world
}

pub(super) fn ends(offset: i64) -> ListOffsetsResponse {
    let partition =
        |partition_index| ListOffsetsPartitionResponse { partition_index, offset, ..Default::default() };
    let topic =
        ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![partition(0), partition(1)] };
    ListOffsetsResponse { topics: vec![topic], ..Default::default() }
}

#[test]
fn records_are_taken_in_order_and_one_fetch_is_always_ahead() {
    let mut world = assigned_by_hand();
    world.fetched(0, 0..5);
    assert_eq!(world.fetches.len(), 1, "while the user has not taken anything yet");
    world.fetched(0, 5..9);
    let first = world.take().unwrap();
    assert_eq!((first.start, first.next), (0, 5));
    world.back_from(&first, 5);
    let second = world.take().unwrap();
    assert_eq!((second.start, second.next), (5, 9));
}

#[test]
fn partitions_take_turns() {
    let mut world = assigned_by_hand();
    world.fetched(0, 0..5);
    world.fetched(0, 5..9);
    world.fetched(1, 0..5);
    let turns: Vec<_> = std::iter::from_fn(|| world.take()).map(|slice| slice.part.0).collect();
    assert_eq!(turns, [0, 1, 0]);
}

#[test]
fn a_reader_of_some_partitions_leaves_the_others() {
    let mut world = assigned_by_hand();
    world.fetched(0, 0..5);
    assert!(world.consumer.take(world.reader, &Filter::Only(vec![at(1)])).is_none());
    assert!(world.consumer.take(world.reader, &Filter::Only(vec![at(0)])).is_some());
}

#[test]
fn a_fetch_under_way_counts_for_nothing_after_a_seek() {
    let mut world = assigned_by_hand();
    assert!(world.consumer.seek(&at(0), SeekTo::Offset(100), world.now));
    world.run();
    world.fetched(0, 0..5);
    assert!(world.take().is_none());
    assert_eq!(world.consumer.fetched_bytes(), world.consumer.wasted_bytes(), "all of it was dropped");
    world.fetched(0, 100..105);
    assert_eq!(world.take().unwrap().start, 100);
}

#[test]
fn what_was_taken_before_a_seek_is_over() {
    let mut world = assigned_by_hand();
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    let fence = world.consumer.lanes.fence().get();
    world.consumer.seek(&at(0), SeekTo::Offset(3), world.now);
    assert_ne!(world.consumer.lanes.fence().get(), fence);
    assert_eq!(world.back_from(&slice, 2), Admission::Over);
    assert_eq!(world.consumer.position(&at(0)), Some(3));
}

#[test]
fn a_paused_partition_keeps_what_it_has() {
    let mut world = assigned_by_hand();
    world.fetched(0, 0..5);
    world.consumer.set_paused(&at(0), true, world.now);
    assert!(world.take().is_none());
    assert_eq!(world.consumer.paused(), [at(0)]);
    world.consumer.set_paused(&at(0), false, world.now);
    assert_eq!(world.take().unwrap().start, 0);
}

#[test]
fn a_damaged_batch_is_fetched_again_once_and_then_told() {
    let mut world = assigned_by_hand();
    let error = DecodeError {
        field: "crc",
        offset: 17,
        kind: DecodeErrorKind::CrcMismatch { expected: 1, actual: 2 },
    };
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    world.consumer.corrupt(slice.part, slice.epoch, 0, error, world.now);
    world.run();
    assert_eq!(world.consumer.take_failure(&Filter::All, world.now), None);
    world.fetches.truncate(1);
    world.fetched(0, 9..10);
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    world.consumer.corrupt(slice.part, slice.epoch, 0, error, world.now);
    world.run();
    let told = Some(ReadFailure::Lane(at(0), LaneFailure::Corrupt { offset: 0, error }));
    assert_eq!(world.consumer.take_failure(&Filter::All, world.now), told);
    assert_eq!(world.consumer.take_failure(&Filter::All, world.now), None, "not without a pause");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.consumer.take_failure(&Filter::All, world.now), told, "as long as it stands");
    world.consumer.seek(&at(0), SeekTo::Offset(5), world.now);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.consumer.take_failure(&Filter::All, world.now), None);
}

#[test]
fn what_was_read_before_a_damaged_batch_is_committed() {
    let mut world = World::member(group_config(), &[0]);
    let error = DecodeError { field: "crc", offset: 17, kind: DecodeErrorKind::UnexpectedNull };
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    world.consumer.corrupt(slice.part, slice.epoch, 3, error, world.now);
    world.run();
    world.fetches.truncate(1);
    world.fetched(0, 9..10);
    world.fetched(0, 3..5);
    let slice = world.take().unwrap();
    world.consumer.corrupt(slice.part, slice.epoch, 3, error, world.now);
    world.run();
    assert!(world.consumer.take_failure(&Filter::All, world.now).is_some());
    world.consumer.commit(None, world.now).unwrap();
    world.run();
    assert_eq!(World::offsets_committed(&world.expect(ApiKey::OffsetCommit)), [(0, 3)]);
}

#[test]
fn an_offset_out_of_range_is_reset_by_policy() {
    let mut world = assigned_by_hand();
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, ends(40));
    assert_eq!(world.consumer.position(&at(0)), Some(40));
}

#[test]
fn without_a_policy_an_offset_out_of_range_is_told() {
    let mut world = World::new(ConsumerConfig { reset: ResetPolicy::None, ..config() });
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    let told = world.consumer.take_failure(&Filter::All, world.now);
    assert_eq!(told, Some(ReadFailure::Lane(at(0), LaneFailure::NoOffset)));
    world.consumer.seek(&at(0), SeekTo::Offset(7), world.now);
    world.run();
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    let lookup = world.expect(ApiKey::ListOffsets);
    assert_eq!(asked_for(&lookup), -2, "where the log begins tells what was lost");
    world.answer(&lookup, ends(40));
    let told = world.consumer.take_failure(&Filter::All, world.now);
    let failure = LaneFailure::OutOfRange { offset: 7, log_start: 40 };
    assert_eq!(told, Some(ReadFailure::Lane(at(0), failure)));
}

#[test]
fn what_is_buffered_is_read_before_an_offset_out_of_range_moves_the_position() {
    let mut world = assigned_by_hand();
    world.fetched(0, 0..5);
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    assert!(!world.has_asked(ApiKey::ListOffsets));
    let slice = world.take().unwrap();
    world.back_from(&slice, 5);
    world.pass(Duration::from_millis(200));
    world.fetched(1, 0..1);
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    assert!(world.has_asked(ApiKey::ListOffsets));
}

#[test]
fn an_offset_out_of_range_moves_nothing_while_the_user_has_what_was_before() {
    let mut world = assigned_by_hand();
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    world.consumer.report(slice.part, slice.epoch, 5, false, true);
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    assert!(!world.has_asked(ApiKey::ListOffsets));
    world.back_from(&slice, 5);
    world.pass(Duration::from_millis(200));
    world.fetched(1, 0..1);
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    assert!(world.has_asked(ApiKey::ListOffsets));
}

/// The offset that the log is asked for in ListOffsets, as a timestamp.
pub(super) fn asked_for(sent: &Sent) -> i64 {
    let Request::ListOffsets(request) = &sent.request else { unreachable!() };
    request.topics[0].partitions[0].timestamp
}

#[test]
fn what_comes_while_no_record_is_late_enough_is_not_skipped() {
    let mut world = assigned_by_hand();
    world.consumer.seek(&at(0), SeekTo::Timestamp(Timestamp(500)), world.now);
    world.run();
    let mut answer = |timestamp, offset| {
        let lookup = world.expect(ApiKey::ListOffsets);
        assert_eq!(asked_for(&lookup), timestamp);
        world.answer(&lookup, ends(offset));
        world.consumer.position(&at(0))
    };
    assert_eq!(answer(500, -1), None);
    // Two records came in between: the second is late enough.
    assert_eq!(answer(-1, 42), None);
    assert_eq!(answer(500, 41), Some(41));
}

#[test]
fn a_time_after_the_last_record_leads_to_the_end() {
    let mut world = assigned_by_hand();
    world.consumer.seek(&at(0), SeekTo::Timestamp(Timestamp(500)), world.now);
    world.run();
    for (timestamp, offset) in [(500, -1), (-1, 42), (500, -1)] {
        let lookup = world.expect(ApiKey::ListOffsets);
        assert_eq!(asked_for(&lookup), timestamp);
        world.answer(&lookup, ends(offset));
    }
    assert_eq!(world.consumer.position(&at(0)), Some(42));
}

#[test]
fn a_partition_that_returns_by_hand_begins_behind_what_is_being_committed() {
    let mut world = World::new(group_config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    world.committed(0);
    world.fetched(0, 0..5);
    let slice = world.take().unwrap();
    world.back_from(&slice, 5);
    world.consumer.commit(None, world.now).unwrap();
    world.consumer.assign([], world.now).unwrap();
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    assert!(!world.has_asked(ApiKey::OffsetFetch));
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::None);
    assert!(world.has_asked(ApiKey::OffsetFetch));
}

#[test]
fn a_topic_that_does_not_exist_waits_with_a_reason() {
    let mut world = World::new(config());
    world.consumer.assign([TopicPartition::new("ghost", 0)], world.now).unwrap();
    world.run();
    assert!(world.consumer.explain(world.now).to_string().contains("ghost-0: the topic is not there"));
}

#[test]
fn a_partition_assigned_without_a_group_cannot_be_committed() {
    let mut world = assigned_by_hand();
    assert_eq!(world.consumer.commit(None, world.now), Err(OpFailure::NoGroup));
    assert_eq!(world.consumer.committed(vec![at(0)], world.now), Err(OpFailure::NoGroup));
}

#[test]
fn subscribing_and_assigning_exclude_each_other() {
    let mut world = assigned_by_hand();
    let refused = world.consumer.subscribe(["t".to_owned()], world.now);
    assert_eq!(refused, Err(SubscriptionError::Assigned));
    let mut world = World::member(group_config(), &[0]);
    assert_eq!(world.consumer.assign([at(0)], world.now), Err(SubscriptionError::Subscribed));
}

#[test]
fn a_name_that_no_topic_can_have_is_refused_by_every_call() {
    let mut world = World::new(group_config());
    let wrong = || TopicPartition::new("no name", 0);
    let by_name = SubscriptionError::InvalidTopic("no name".to_owned());
    let by_partition = OpFailure::InvalidTopic(wrong());
    let now = world.now;
    let topics = ["t", "no name"].map(str::to_owned);
    assert_eq!(world.consumer.subscribe(topics, now), Err(by_name.clone()));
    assert_eq!(world.consumer.assign([at(0), wrong()], now), Err(by_name));
    assert_eq!(world.consumer.subscription(), Subscription::None);
    assert!(!world.consumer.seek(&wrong(), SeekTo::End, now));
    let offsets = [(wrong(), CommittedOffset::new(1))].into();
    assert_eq!(world.consumer.commit(Some(offsets), now), Err(by_partition.clone()));
    assert_eq!(world.consumer.committed(vec![wrong()], now), Err(by_partition.clone()));
    let op = world.consumer.offsets(vec![(wrong(), SeekTo::End)], now);
    assert_eq!(world.consumer.take_outcome(op), Some(Err(by_partition)));
}
