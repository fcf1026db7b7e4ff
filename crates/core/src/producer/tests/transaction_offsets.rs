//! Offsets as a part of a transaction.

use ottla_protocol::{ApiKey, TopicId, messages::TxnOffsetCommitRequest};

use super::*;
use crate::{group::GroupMetadata, offsets::CommittedOffset};

fn group() -> GroupMetadata {
    GroupMetadata {
        group_id: "g".to_owned(),
        generation_id: 7,
        member_id: "m".to_owned(),
        group_instance_id: None,
    }
}

/// An offset of the topic with this id.
fn of(id: u8) -> CommittedOffset {
    CommittedOffset::new(42).of_topic(TopicId([id; 16]))
}

impl World {
    /// Begins a transaction, and aborts the one that is open.
    fn begin_anew(&mut self) -> TransactionNumber {
        let begun = self.try_begin();
        begun.map_or_else(|| self.begin(), Result::unwrap)
    }

    pub(super) fn send_offsets(&mut self, of: TransactionNumber) -> OffsetsTicket {
        let offsets =
            [(("in", 0).into(), CommittedOffset::new(42)), (("in", 1).into(), CommittedOffset::new(7))];
        let ticket = self.producer.send_offsets(of, offsets, group(), self.now).unwrap();
        self.pass(Duration::from_millis(1));
        ticket
    }

    fn offsets_committed(&self) -> Vec<&TxnOffsetCommitRequest> {
        let asked = self.coordinator.asked.iter();
        asked
            .filter_map(|(_, request)| match request {
                Request::TxnOffsetCommit(asked) => Some(asked),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn offsets_carry_the_members_place_in_its_group() {
    let mut world = World::transactional(2);
    let first = world.begin();
    let ticket = world.send_offsets(first);
    assert_eq!(world.producer.take_offsets(ticket), Some(Ok(())));
    let asked = world.offsets_committed()[0];
    assert_eq!((asked.transactional_id.as_str(), asked.group_id.as_str()), ("x", "g"));
    assert_eq!((asked.generation_id_or_member_epoch, asked.member_id.as_str()), (7, "m"));
    assert_eq!((asked.producer_id, asked.producer_epoch), (ID, 1));
    let offsets: Vec<_> = asked.topics[0].partitions.iter().map(|it| it.committed_offset).collect();
    assert_eq!(offsets, [42, 7]);
    assert_eq!(world.commit(first), Some(Ok(End::Commit)), "offsets alone are a transaction");
    let asked = world.asked();
    assert_eq!(asked, [(ApiKey::FindCoordinator, 6), (ApiKey::TxnOffsetCommit, 5), (ApiKey::EndTxn, 5)]);
}

#[test]
fn offsets_that_were_made_of_records_name_their_topic_by_its_id() {
    for (flow, second, version) in [
        (2, of(2), 6),
        // A request names all topics in the same way.
        (2, CommittedOffset::new(42), 5),
        (1, of(2), 4),
    ] {
        let mut world = World::transactional(flow);
        world.read = [1, 2].map(|id| (format!("in-{id}"), Some(TopicId([id; 16])))).into();
        let first = world.begin();
        let offsets = [(("in-1", 0).into(), of(1)), (("in-2", 0).into(), second)];
        let ticket = world.producer.send_offsets(first, offsets, group(), world.now).unwrap();
        world.pass(Duration::from_millis(1));
        assert_eq!(world.producer.take_offsets(ticket), Some(Ok(())));
        let ids: Vec<_> = world.offsets_committed()[0].topics.iter().map(|topic| topic.topic_id).collect();
        let named = if version >= 6 { [TopicId([1; 16]), TopicId([2; 16])] } else { [TopicId::ZERO; 2] };
        assert_eq!(ids, named);
        let asked = world.asked();
        assert!(asked.contains(&(ApiKey::TxnOffsetCommit, version)), "{asked:?}");
    }
}

/// What became of an offset of topic `in` with id 1 in half a second, as whoever waits for it sees it when woken.
fn offset_of_the_first_topic(world: &mut World) -> Option<Result<(), TransactionFailure>> {
    let first = world.begin_anew();
    let ticket = world.producer.send_offsets(first, [(("in", 0).into(), of(1))], group(), world.now).unwrap();
    (0..500).find_map(|_| {
        world.pass(Duration::from_millis(1));
        let woken = world.producer.take_wake();
        woken.then(|| world.producer.take_offsets(ticket)).flatten()
    })
}

#[test]
fn an_offset_of_a_topic_that_is_gone_fails_the_transaction_at_once() {
    let gone = AbortCause::Gone { group: "g".to_owned(), at: ("in", 0).into() };
    let gone = TransactionFailure::Aborted(gone);
    for (flow, refusal, now_there) in [
        (2, ErrorCode::UnknownTopicId, Some(TopicId([2; 16]))),
        (2, ErrorCode::UnknownTopicId, None),
        // The older coordinator would take it.
        (1, ErrorCode::None, Some(TopicId([2; 16]))),
        (1, ErrorCode::UnknownTopicOrPartition, None),
    ] {
        let mut world = World::transactional(flow);
        world.read = [("in".to_owned(), now_there)].into();
        world.coordinator.refuse(ApiKey::TxnOffsetCommit, [refusal; 1]);
        assert_eq!(offset_of_the_first_topic(&mut world), Some(Err(gone.clone())), "{flow} {now_there:?}");
        assert_eq!(world.producer.doom(), Some(gone.clone()));
        assert_eq!(world.offsets_committed().len(), usize::from(flow == 2));
        let next = world.begin_anew();
        assert_eq!(world.commit(next), Some(Ok(End::Commit)), "the producer goes on");
    }
}

#[test]
fn a_topic_whose_offsets_are_committed_is_not_created_by_asking_for_it() {
    let mut world = World::transactional(1);
    assert!(world.told_of.contains(&(vec!["t".to_owned()], true)), "one that is written to may be");
    world.read = [("in".to_owned(), None)].into();
    assert!(matches!(offset_of_the_first_topic(&mut world), Some(Err(_))));
    let of_it = world.told_of.iter().filter(|(topics, _)| topics.contains(&"in".to_owned()));
    let creates: BTreeSet<bool> = of_it.map(|(_, creates)| *creates).collect();
    assert_eq!(creates, [false].into());
    world.told_of.clear();
    world.pass(Duration::from_secs(600));
    assert!(world.told_of.iter().all(|(topics, _)| topics == &["t"]), "{:?}", world.told_of);
}

#[test]
fn an_offset_of_a_topic_that_is_newer_than_the_metadata_waits_for_that() {
    let mut world = World::transactional(1);
    world.read = [("in".to_owned(), Some(TopicId([9; 16])))].into();
    assert!(matches!(offset_of_the_first_topic(&mut world), Some(Err(TransactionFailure::Aborted(_)))));
    world.read = [("in".to_owned(), Some(TopicId([1; 16])))].into();
    assert_eq!(offset_of_the_first_topic(&mut world), Some(Ok(())));
}

#[test]
fn a_coordinator_that_has_not_heard_of_a_topic_is_asked_again() {
    let mut world = World::transactional(2);
    world.read = [("in".to_owned(), Some(TopicId([1; 16])))].into();
    world.coordinator.refuse(ApiKey::TxnOffsetCommit, [ErrorCode::UnknownTopicId; 2]);
    assert_eq!(offset_of_the_first_topic(&mut world), Some(Ok(())));
    assert_eq!(world.offsets_committed().len(), 3);
}

#[test]
fn in_the_older_flow_the_group_is_added_first() {
    let mut world = World::transactional(1);
    let first = world.begin();
    world.send_offsets(first);
    world.send_offsets(first);
    let asked: Vec<_> =
        world.asked().into_iter().filter(|(key, _)| *key != ApiKey::FindCoordinator).collect();
    let commit = (ApiKey::TxnOffsetCommit, 4);
    assert_eq!(asked, [(ApiKey::AddOffsetsToTxn, 4), commit, commit], "once a transaction");
}

#[test]
fn no_offsets_are_no_request() {
    let mut world = World::transactional(2);
    let first = world.begin();
    let ticket = world.producer.send_offsets(first, [], group(), world.now).unwrap();
    assert_eq!(world.producer.take_offsets(ticket), Some(Ok(())));
    world.pump();
    assert_eq!(world.asked(), []);
}

#[test]
fn a_commit_waits_for_its_offsets() {
    let mut world = World::transactional(2);
    world.coordinator.silent = Some(ApiKey::TxnOffsetCommit);
    let first = world.begin();
    let ticket = world.send_offsets(first);
    assert_eq!(world.commit(first), None);
    assert_eq!(world.producer.take_offsets(ticket), None);
    world.coordinator.silent = None;
    world.pass(Duration::from_secs(40));
    assert_eq!(world.ended(first), Some(Ok(End::Commit)), "the request was lost, and sent again");
    assert_eq!(world.producer.take_offsets(ticket), Some(Ok(())));
}

#[test]
fn a_member_that_the_group_went_on_without_cannot_commit() {
    for error in [ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId, ErrorCode::StaleMemberEpoch] {
        let mut world = World::transactional(2);
        world.coordinator.refuse(ApiKey::TxnOffsetCommit, [error]);
        let first = world.begin();
        let ticket = world.send_offsets(first);
        let refused = AbortCause::Offsets { group: "g".to_owned(), at: None, error };
        let refused = TransactionFailure::Aborted(refused);
        assert_eq!(world.producer.take_offsets(ticket), Some(Err(refused.clone())));
        assert_eq!(world.producer.doom(), Some(refused.clone()));
        assert_eq!(world.commit(first), Some(Err(refused)));
        world.begin();
    }
}

#[test]
fn offsets_wait_for_a_coordinator_that_loads_or_moved() {
    let mut world = World::transactional(2);
    let errors = [
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::NotCoordinator,
        ErrorCode::ConcurrentTransactions,
        ErrorCode::UnknownTopicOrPartition,
    ];
    world.coordinator.refuse(ApiKey::TxnOffsetCommit, errors);
    let first = world.begin();
    let ticket = world.send_offsets(first);
    assert_eq!(world.producer.take_offsets(ticket), None);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.producer.take_offsets(ticket), Some(Ok(())));
    let looked_up = world.asked().iter().filter(|(key, _)| *key == ApiKey::FindCoordinator).count();
    assert_eq!(looked_up, 2, "at first, and when another broker was it");
}

#[test]
fn offsets_that_are_refused_for_a_moment_are_sent_again_within_milliseconds() {
    let mut world = World::transactional(2);
    world.coordinator.refuse(ApiKey::TxnOffsetCommit, [ErrorCode::CoordinatorLoadInProgress]);
    let first = world.begin();
    let ticket = world.send_offsets(first);
    world.pass(Duration::from_millis(5));
    assert_eq!(world.producer.take_offsets(ticket), Some(Ok(())));
}

#[test]
fn offsets_that_nobody_takes_are_given_up() {
    let mut world = World::transactional(2);
    world.coordinator.refuse(ApiKey::TxnOffsetCommit, [ErrorCode::UnknownTopicOrPartition; 1000]);
    let first = world.begin();
    let ticket = world.send_offsets(first);
    world.pass(Duration::from_secs(121));
    let settled = world.producer.take_offsets(ticket);
    let timed_out = |failure: &_| {
        matches!(failure, TransactionFailure::Aborted(AbortCause::OffsetsTimedOut { cause: Some(_), .. }))
    };
    assert!(matches!(&settled, Some(Err(failure)) if timed_out(failure)), "{settled:?}");
    let ended = world.commit(first);
    assert!(matches!(&ended, Some(Err(failure)) if timed_out(failure)), "{ended:?}");
}

#[test]
fn an_offset_of_a_topic_with_a_name_that_none_can_have_fails_the_transaction_at_once() {
    let mut world = World::transactional(2);
    let first = world.begin();
    let offsets = [(("no name", 0).into(), CommittedOffset::new(1))];
    let refused = world.producer.send_offsets(first, offsets, group(), world.now).map_err(|failure| *failure);
    let error = ErrorCode::InvalidTopicException;
    let cause = TransactionFailure::Aborted(AbortCause::Partition { at: ("no name", 0).into(), error });
    assert_eq!(refused, Err(cause.clone()));
    world.pump();
    assert_eq!(world.asked(), []);
    assert_eq!(world.commit(first), Some(Err(cause)));
}
