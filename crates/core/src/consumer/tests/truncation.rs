//! Logs that are cut below a position (KIP-320).

use super::*;
use crate::{Filter, LaneFailure, Position, Truncated};

/// What is asked in OffsetForLeaderEpoch: partition, the leader's epoch, and the position's.
fn asked(sent: &Sent) -> Vec<(i32, i32, i32)> {
    let Request::OffsetForLeaderEpoch(request) = &sent.request else { panic!("{sent:?}") };
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|p| (p.partition, p.current_leader_epoch, p.leader_epoch)).collect()
}

fn ends(error_code: ErrorCode, leader_epoch: i32, end_offset: i64) -> OffsetForLeaderEpochResponse {
    let end = OffsetForLeaderEpochEndOffset { error_code, partition: 0, leader_epoch, end_offset };
    let topic = OffsetForLeaderEpochTopicResponse { topic: "t".to_owned(), partitions: vec![end] };
    OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() }
}

impl World {
    /// The leader of partition 0 tells where its log ends in the epoch that it is asked for, or in the one before.
    pub(super) fn validates(&mut self, leader_epoch: i32, end_offset: i64) {
        let asked = self.expect(ApiKey::OffsetForLeaderEpoch);
        self.answer(&asked, ends(ErrorCode::None, leader_epoch, end_offset));
    }

    fn is_validating(&self) -> bool {
        self.has_asked(ApiKey::OffsetForLeaderEpoch)
    }

    /// Answers the fetch under way with records of an epoch.
    fn brings(&mut self, epoch: i32, offsets: std::ops::Range<i64>) {
        let fetch = self.fetches.pop_front().unwrap();
        self.fetched_by(&fetch, 0, ErrorCode::None, Some(batch_of(epoch, offsets)));
    }

    /// Another leader takes over, and the one before refuses the fetch under way.
    fn another_leads(&mut self) {
        self.leader_epoch += 1;
        let fetch = self.fetches.pop_front().unwrap();
        self.fetched_by(&fetch, 0, ErrorCode::FencedLeaderEpoch, None);
        self.pass(Duration::from_secs(1));
    }

    /// Of the fetch under way: offset, the leader's epoch, and that of the record before.
    fn fetches_from(&self) -> Option<(i64, i32, i32)> {
        let Request::Fetch(request) = &self.fetches.front()?.request else { unreachable!() };
        let asked = request.topics.first()?.partitions.first()?;
        Some((asked.fetch_offset, asked.current_leader_epoch, asked.last_fetched_epoch))
    }
}

/// A consumer of partition 0 whose user is back from offsets 0 to 9, of epoch 3.
fn read_to_ten(reset: ResetPolicy) -> World {
    let mut world = World::new(ConsumerConfig { reset, ..config() });
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    world.brings(3, 0..10);
    let slice = world.take().unwrap();
    world.back_from(&slice, 10);
    assert_eq!(world.fetches_from(), Some((10, 3, 3)));
    world
}

fn cut_at(diverged_at: Option<Position>) -> Event {
    Event::Truncated(Truncated::new(at(0), Position { offset: 10, leader_epoch: Some(3) }, diverged_at))
}

const AT_SIX: Option<Position> = Some(Position { offset: 6, leader_epoch: Some(2) });

#[test]
fn a_position_is_validated_before_it_is_fetched_from_a_new_leader() {
    let mut world = read_to_ten(ResetPolicy::Earliest);
    world.another_leads();
    assert!(world.fetches.is_empty(), "not before the leader has told");
    let said = world.consumer.explain(world.now).to_string();
    assert!(said.contains("t-0: the leader of epoch 4 validates the position"), "{said}");
    assert_eq!(asked(world.asked.front().unwrap()), [(0, 4, 3)]);
    world.validates(3, 10);
    assert_eq!(world.fetches_from(), Some((10, 4, 3)));
    assert_eq!((world.consumer.position(&at(0)), world.events()), (Some(10), vec![]));
}

#[test]
fn a_log_that_was_cut_below_the_position_is_read_on_where_it_parts_and_that_is_reported() {
    let mut world = read_to_ten(ResetPolicy::Latest);
    world.another_leads();
    world.validates(2, 6);
    assert_eq!(world.consumer.position(&at(0)), Some(6), "whichever the policy, if there is one");
    assert_eq!(world.fetches_from(), Some((6, 4, 2)));
    let events = world.events();
    assert_eq!(events, [cut_at(AT_SIX)]);
    let Event::Truncated(truncated) = &events[0] else { unreachable!() };
    assert_eq!(truncated.offsets, Some(4));
    assert_eq!(
        events[0].to_string(),
        "partition t-0: the log was cut below offset 10, at 6: 4 offsets that were read"
    );
}

#[test]
fn without_a_policy_a_cut_log_is_an_error_until_a_seek() {
    let mut world = read_to_ten(ResetPolicy::None);
    world.another_leads();
    world.validates(2, 6);
    let position = Position { offset: 10, leader_epoch: Some(3) };
    let failure = LaneFailure::Truncated { position, diverged_at: AT_SIX };
    let told = world.consumer.take_failure(&Filter::All, world.now);
    assert_eq!(told, Some(ReadFailure::Lane(at(0), failure)));
    assert_eq!(world.events(), [cut_at(AT_SIX)]);
    world.pass(Duration::from_secs(5));
    assert!(world.fetches.is_empty() && !world.is_validating());
    world.consumer.seek(&at(0), SeekTo::Offset(6), world.now);
    world.run();
    assert_eq!(world.fetches_from(), Some((6, 4, -1)), "nobody has told what is before a sought offset");
}

#[test]
fn where_the_leader_cannot_tell_the_policy_decides() {
    let mut world = read_to_ten(ResetPolicy::Earliest);
    world.another_leads();
    world.validates(-1, -1);
    assert_eq!(world.events(), [cut_at(None)]);
    let lookup = world.expect(ApiKey::ListOffsets);
    world.answer(&lookup, super::reading::ends(2));
    assert_eq!(world.consumer.position(&at(0)), Some(2));
}

#[test]
fn what_a_user_has_in_hand_comes_before_the_position_is_moved() {
    let mut world = read_to_ten(ResetPolicy::Earliest);
    world.brings(3, 10..20);
    let slice = world.take().unwrap();
    world.consumer.report(slice.part, slice.epoch, 15, false, true);
    world.another_leads();
    world.validates(2, 6);
    assert_eq!(world.events(), []);
    world.back_from(&slice, 20);
    world.pass(Duration::from_secs(1));
    world.validates(2, 6);
    assert_eq!(world.consumer.position(&at(0)), Some(6));
    let Some(Event::Truncated(truncated)) = world.events().pop() else { panic!("no report") };
    assert_eq!((truncated.position.offset, truncated.offsets), (20, Some(14)), "all that was handed out");
}

#[test]
fn buffered_records_that_were_cut_off_are_not_handed_out_and_nothing_is_reported() {
    let mut world = read_to_ten(ResetPolicy::Earliest);
    world.brings(3, 10..20);
    world.another_leads();
    world.validates(3, 12);
    assert!(world.take().is_none());
    world.pass(Duration::from_secs(1));
    assert_eq!(asked(world.asked.front().unwrap()), [(0, 4, 3)], "the position before them");
    world.validates(3, 12);
    assert_eq!((world.fetches_from(), world.events()), (Some((10, 4, 3)), vec![]));
}

#[test]
fn a_committed_offset_is_validated_by_the_epoch_beside_it() {
    let mut world = World::new(group_config());
    world.subscribe();
    world.enter(1, &[0]);
    world.committed_fares(|index| OffsetFetchResponsePartitions {
        committed_leader_epoch: 3,
        ..found(index, 10)
    });
    assert!(world.fetches.is_empty());
    world.validates(2, 6);
    assert_eq!(world.fetches_from(), Some((6, 3, 2)));
    assert!(world.events().contains(&cut_at(AT_SIX)));
}

#[test]
fn a_cut_that_the_leader_of_a_fetch_sees_is_looked_into() {
    let mut world = read_to_ten(ResetPolicy::Earliest);
    let diverges = |world: &mut World, epoch, end_offset| {
        let fetch = world.fetches.pop_front().unwrap();
        let partition = FetchPartitionResponse {
            partition_index: 0,
            diverging_epoch: FetchEpochEndOffset { epoch, end_offset },
            ..Default::default()
        };
        let topic = FetchTopicResponse {
            topic_id: TopicId([1; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        let response =
            Response::Fetch(FetchResponse { session_id: 5, responses: vec![topic], ..Default::default() });
        let frame = Frame::default();
        let fetched = Fetched { size: 0, spans: spans(&response, &frame), frame };
        let reply = Reply { id: fetch.id, response, fetched: Some(fetched) };
        world.consumer.handle_reply(fetch.conn, reply, world.now);
        world.pass(Duration::from_secs(1));
    };
    diverges(&mut world, 2, 10);
    assert_eq!(world.fetches_from(), Some((10, 3, 2)), "an epoch in which nothing was written is no cut");
    diverges(&mut world, 1, 6);
    world.validates(1, 6);
    assert_eq!((world.consumer.position(&at(0)), world.fetches_from()), (Some(6), Some((6, 3, 1))));
}

#[test]
fn a_leader_that_cannot_tell_now_is_asked_again() {
    let mut world = read_to_ten(ResetPolicy::Earliest);
    world.another_leads();
    for error in [ErrorCode::NotLeaderOrFollower, ErrorCode::UnknownLeaderEpoch, ErrorCode::FencedLeaderEpoch]
    {
        let asked = world.expect(ApiKey::OffsetForLeaderEpoch);
        world.answer(&asked, ends(error, -1, -1));
        assert!(!world.is_validating(), "after a pause");
        let said = world.consumer.explain(world.now).to_string();
        assert!(said.contains(error.name()), "{said}");
        world.pass(Duration::from_secs(2));
    }
    let asked = world.expect(ApiKey::OffsetForLeaderEpoch);
    world.disconnect(&asked);
    world.pass(Duration::from_secs(2));
    world.validates(3, 10);
    assert_eq!((world.consumer.position(&at(0)), world.events()), (Some(10), vec![]));
}

#[test]
fn an_answer_about_a_position_that_the_user_has_left_counts_for_nothing() {
    let mut world = read_to_ten(ResetPolicy::Earliest);
    world.another_leads();
    world.consumer.seek(&at(0), SeekTo::Offset(8), world.now);
    world.validates(2, 6);
    assert_eq!((world.consumer.position(&at(0)), world.events()), (Some(8), vec![]));
}

#[test]
fn a_broker_that_cannot_be_asked_is_believed() {
    let mut world = World::new(config());
    world.newest = vec![(ApiKey::OffsetForLeaderEpoch, 2)];
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    world.brings(3, 0..10);
    world.another_leads();
    assert_eq!(world.fetches_from(), Some((10, 4, 3)));
}
