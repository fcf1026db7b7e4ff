//! What a consumer counts.

use super::{
    committing::{by_hand, reading},
    consumer_protocol::{consumer_protocol, epoch},
    listening::listening,
    *,
};
use crate::{CommitStats, FetchStats, Reader, ReaderConfig};

const SECOND: Duration = Duration::from_secs(1);

impl World {
    fn stats(&mut self) -> ConsumerStats {
        self.consumer.stats(self.now)
    }
}

fn reader(world: &mut World) -> Reader<Frame> {
    let config = ReaderConfig { check_crcs: true, max_decompressed: 1 << 20 };
    Reader::new(&mut world.consumer, config, world.now)
}

#[test]
fn a_new_consumer_has_done_nothing() {
    let mut world = World::new(config());
    let stats = world.stats();
    assert_eq!(stats.fetches, FetchStats::default());
    assert_eq!((stats.commits, stats.rebalances), (CommitStats::default(), RebalanceStats::default()));
    assert_eq!((stats.connections.open, stats.connections.begun), (0, 0));
    assert_eq!((stats.lag(), stats.lag_max(), stats.partitions.len()), (None, None, 0));
    assert_eq!(stats.polls.limit, None, "without a group nobody waits for the user");
}

#[test]
fn fetches_count_when_they_are_sent_and_their_time_when_they_are_answered() {
    let mut world = World::member(by_hand(), &[0]);
    let before = world.stats().fetches;
    assert_eq!((before.requests, before.answered, before.latency), (1, 0, Duration::ZERO));
    world.now = world.now.after(SECOND);
    world.fetched(0, 0..10);
    let after = world.stats().fetches;
    assert_eq!((after.answered, after.latency), (1, SECOND));
    assert_eq!(after.bytes, batch(0..10).len() as u64);
}

#[test]
fn what_is_fetched_and_not_passed_is_buffered_and_behind() {
    let (mut world, slice) = reading(by_hand());
    world.fetched(0, 10..30);
    world.reads_to(4);
    let stats = world.stats();
    let [partition] = &stats.partitions[..] else { panic!("{stats:?}") };
    assert_eq!((partition.position, partition.high_watermark), (Some(4), Some(1000)));
    assert_eq!((partition.lag, partition.buffered_records), (Some(996), 26));
    assert_eq!(partition.buffered_bytes, batch(10..30).len() as u64, "the other slice is with the reader");
    assert_eq!((stats.lag(), stats.lag_max()), (Some(996), Some(996)));
    assert_eq!((stats.buffer.records, stats.buffer.bytes), (26, partition.buffered_bytes));
    assert!(stats.buffer.used >= stats.buffer.bytes && stats.buffer.budget > stats.buffer.used);
    assert_eq!(stats.records.passed, 4);
    world.back_from(&slice, 10);
    assert_eq!(world.stats().records.passed, 10);
}

#[test]
fn the_largest_lag_is_of_one_partition_and_the_lag_of_all() {
    let mut world = World::member(by_hand(), &[0, 1]);
    assert_eq!(world.stats().lag(), None, "no fetch has told the ends yet");
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    world.back_from(&slice, 10);
    world.fetched(1, 0..2);
    let stats = world.stats();
    assert_eq!((stats.lag(), stats.lag_max()), (Some(990 + 1000), Some(1000)));
}

#[test]
fn records_are_counted_as_their_batches_are_opened_and_stay_counted_when_their_reader_is_gone() {
    let mut world = World::member(by_hand(), &[0]);
    world.consumer.seek(&at(0), SeekTo::Offset(3), world.now);
    // What was asked for before the seek counts for nothing.
    world.fetched(0, 0..10);
    let mut reader = reader(&mut world);
    // The batch begins before the position.
    world.fetched(0, 0..10);
    assert_eq!(world.stats().records.batches, 0);
    assert!(matches!(
        reader.look(&mut world.consumer, &crate::Filter::All, world.now),
        Some(crate::Look::Read)
    ));
    assert_eq!(reader.advance().unwrap().span.offset, 3);
    let records = world.stats().records;
    assert_eq!((records.batches, records.decoded), (1, 7));
    assert!(records.decoded_bytes > 7 * 5, "{records:?}");
    reader.close(&mut world.consumer, world.now);
    drop(reader);
    assert_eq!(world.stats().records, records);
}

#[test]
fn commits_count_by_partition_and_their_time_by_request() {
    let mut world = World::member(by_hand(), &[0, 1]);
    let offsets = || BTreeMap::from([(at(0), 5.into()), (at(1), 7.into())]);
    world.consumer.commit(Some(offsets()), world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.now = world.now.after(SECOND);
    world.commit_fares(&commit, &[ErrorCode::None, ErrorCode::OffsetMetadataTooLarge]);
    let CommitStats { requests, latency, done, failed } = world.stats().commits;
    assert_eq!((requests, latency, done, failed), (1, SECOND, 1, 1));
}

#[test]
fn a_commit_that_is_tried_again_is_not_decided_and_one_of_a_lost_partition_has_failed() {
    let mut world = World::member(by_hand(), &[0]);
    world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    world.run();
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::CoordinatorLoadInProgress);
    let commits = world.stats().commits;
    assert_eq!((commits.requests, commits.done, commits.failed), (1, 0, 0));
    world.heartbeat_says(ErrorCode::UnknownMemberId);
    let stats = world.stats();
    assert_eq!((stats.commits.done, stats.commits.failed), (0, 1));
    assert_eq!((stats.rebalances.lost, stats.rebalances.failed_heartbeats), (1, 1));
}

#[test]
fn a_rebalance_lasts_from_the_first_partition_given_up_to_the_last_taken_over() {
    let mut world = World::new(group_config());
    world.subscribe();
    world.now = world.now.after(SECOND);
    let way = world.stats().rebalances;
    assert_eq!((way.done, way.under_way), (0, Some(SECOND)));
    world.join(1, &[0, 1]);
    let first = world.stats().rebalances;
    assert_eq!((first.done, first.took, first.under_way), (1, SECOND, None));
    // Eager: all is given up, and the group is joined again.
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    world.now = world.now.after(2 * SECOND);
    world.back_from(&slice, 10);
    let commit = world.expect(ApiKey::OffsetCommit);
    world.commit_says(&commit, ErrorCode::None);
    world.now = world.now.after(SECOND);
    world.join(2, &[0]);
    let second = world.stats().rebalances;
    assert_eq!((second.done, second.took, second.longest), (2, 4 * SECOND, 3 * SECOND));
    assert_eq!((second.under_way, second.lost), (None, 0));
}

#[test]
fn a_rebalance_waits_for_the_listener_and_one_that_ends_outside_of_the_group_does_not_count() {
    let mut world = World::new(listening());
    world.subscribe();
    world.enter(1, &[0]);
    world.now = world.now.after(SECOND);
    assert_eq!(world.stats().rebalances.under_way, Some(SECOND));
    world.listener_is_told(Callback::Assigned(vec![at(0)]));
    assert_eq!(world.stats().rebalances.done, 1);
    world.heartbeat_says(ErrorCode::RebalanceInProgress);
    assert!(world.stats().rebalances.under_way.is_some());
    world.consumer.unsubscribe(world.now);
    world.run();
    let after = world.stats().rebalances;
    assert_eq!((after.done, after.under_way), (1, None));
}

#[test]
fn another_assignment_of_the_consumer_protocol_is_a_rebalance() {
    let mut world = World::in_epoch_one(consumer_protocol(), &[0]);
    assert_eq!(world.stats().rebalances.done, 1);
    let heartbeat = world.heartbeat();
    world.answer(&heartbeat, epoch(2, Some(&[0, 1])));
    assert_eq!(world.stats().rebalances.done, 2);
}

#[test]
fn who_polls_late_is_told_how_late_and_who_waits_is_not_away() {
    let mut world = World::member(group_config(), &[0]);
    world.fetched(0, 0..10);
    let slice = world.take().unwrap();
    world.now = world.now.after(40 * SECOND);
    let polls = world.stats().polls;
    assert_eq!((polls.away, polls.longest), (Some(40 * SECOND), 40 * SECOND));
    assert_eq!(polls.limit, Some(300 * SECOND));
    world.now = world.now.after(2 * SECOND);
    world.back_from(&slice, 10);
    assert_eq!(world.stats().polls.longest, 42 * SECOND);
    world.consumer.park(world.reader);
    world.now = world.now.after(100 * SECOND);
    let polls = world.stats().polls;
    assert_eq!((polls.away, polls.longest), (None, 42 * SECOND));
}

#[test]
fn who_comes_on_in_a_slice_is_not_away() {
    let (mut world, slice) = reading(by_hand());
    for position in 1..5 {
        world.now = world.now.after(10 * SECOND);
        world.reads_to(position);
    }
    world.now = world.now.after(10 * SECOND);
    world.slot.as_ref().unwrap().store(10);
    world.back_from(&slice, 10);
    let polls = world.stats().polls;
    assert_eq!((polls.away, polls.longest), (Some(Duration::ZERO), Duration::ZERO));
}

#[test]
fn a_reader_without_records_need_not_call() {
    let (mut world, _slice) = reading(by_hand());
    let (second, ..) = world.consumer.open_reader(world.now);
    world.now = world.now.after(10 * SECOND);
    world.consumer.returned(second, world.now);
    assert_eq!(world.consumer.readers.longest_away, Duration::ZERO);
    assert_eq!(world.stats().polls.longest, 10 * SECOND, "the other has to");
}

#[test]
fn connections_that_can_be_used_are_told_beside_all_that_were_begun() {
    let mut world = World::member(by_hand(), &[0]);
    let stats = world.stats().connections;
    assert_eq!(stats.begun, world.called.len() as u64);
    assert!(stats.open > 0 && stats.open <= stats.begun, "{stats:?}");
    world.refusing = true;
    let fetch = world.fetches.pop_front().unwrap();
    world.disconnect(&fetch);
    world.pass(SECOND);
    let after = world.stats().connections;
    assert!(after.open < stats.open && after.begun > stats.begun, "{stats:?}, {after:?}");
}

#[test]
fn who_has_closed_need_not_come_back() {
    let (mut world, _slice) = reading(by_hand());
    let deadline = world.now.mono + 30 * SECOND;
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.now = world.now.after(100 * SECOND);
    let polls = world.stats().polls;
    assert_eq!((polls.away, polls.longest), (None, Duration::ZERO));
}
