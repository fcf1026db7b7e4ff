//! Offsets: those of logs, and those that groups have committed.

use super::*;

#[test]
fn the_offsets_of_a_group_are_told_and_partitions_without_one_left_out() {
    let mut world = World::new();
    let op = world.start(CommittedOffsets { groups: BTreeSet::from(["g".to_owned()]), require_stable: true });
    world.find_coordinator(2);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let Request::OffsetFetch(request) = &asked.request else { panic!() };
    assert_eq!((request.groups[0].topics.as_ref(), request.require_stable), (None, true));
    let partition = |partition_index, committed_offset| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset,
        ..Default::default()
    };
    let topic = OffsetFetchResponseTopics {
        name: "t".to_owned(),
        partitions: vec![partition(0, 5), partition(1, -1)],
        ..Default::default()
    };
    let group = OffsetFetchResponseGroup { topics: vec![topic], ..Default::default() };
    world.answer(&asked, OffsetFetchResponse { groups: vec![group], ..Default::default() });
    let offsets = world.outcome(&op).remove("g").unwrap().unwrap();
    assert_eq!(offsets.into_iter().map(|(at, o)| (at, o.offset)).collect::<Vec<_>>(), [(("t", 0).into(), 5)]);
}

#[test]
fn offsets_are_asked_of_each_leader_and_only_what_failed_is_asked_again() {
    let mut world = World::new();
    let at = |topic: &str, partition| TopicPartition::new(topic, partition);
    let partitions = [at("t", 0), at("t", 1), at("t", 7), at("missing", 0)];
    let partitions = partitions.into_iter().map(|at| (at, OffsetSpec::Latest)).collect();
    let op = world.start(ListOffsets { partitions, isolation: IsolationLevel::ReadUncommitted });
    let answer = |partition_index, error_code, offset| {
        let partition =
            ListOffsetsPartitionResponse { partition_index, error_code, offset, ..Default::default() };
        let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![partition] };
        ListOffsetsResponse { topics: vec![topic], ..Default::default() }
    };
    let (first, second) = (world.take(), world.take());
    assert_eq!((first.port, second.port), (1, 2));
    world.answer(&first, answer(0, ErrorCode::None, 40));
    world.answer(&second, answer(1, ErrorCode::NotLeaderOrFollower, -1));
    world.pass(Duration::from_secs(1));
    let again = world.take();
    assert!(world.asked.is_empty());
    world.answer(&again, answer(1, ErrorCode::None, 50));
    let offsets = world.outcome(&op);
    let found = offsets.into_values().map(|found| found.map(|found| found.unwrap().offset));
    let found: Vec<_> = found.collect();
    let unknown =
        || Err(Failure::Refused(Refusal { error: ErrorCode::UnknownTopicOrPartition, message: None }));
    assert_eq!(found, [unknown(), Ok(40), Ok(50), unknown()], "in the order of names");
}

#[test]
fn a_partition_whose_leader_does_not_answer_or_is_not_there_fails_by_itself() {
    let mut world = World::new();
    let at = |topic: &str, partition| TopicPartition::new(topic, partition);
    let partitions = [at("t", 0), at("t", 1), at("leaderless", 0)];
    let partitions = partitions.into_iter().map(|at| (at, OffsetSpec::Latest)).collect();
    let op = world.start(ListOffsets { partitions, isolation: IsolationLevel::ReadUncommitted });
    let first = world.take();
    let partition = ListOffsetsPartitionResponse { partition_index: 0, offset: 40, ..Default::default() };
    let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![partition] };
    world.answer(&first, ListOffsetsResponse { topics: vec![topic], ..Default::default() });
    world.pass(Duration::from_secs(61));
    let offsets = world.outcome(&op);
    let told: Vec<_> = offsets.values().map(|found| found.as_ref().map_err(ToString::to_string)).collect();
    assert!(told[0].as_ref().unwrap_err().ends_with("leaderless-0 has no leader"), "{told:?}");
    assert_eq!(told[1].as_ref().unwrap().unwrap().offset, 40);
    assert!(told[2].as_ref().unwrap_err().contains("no answer to ListOffsets"), "{told:?}");
}

#[test]
fn offsets_that_a_group_with_members_refuses_are_told_by_partition() {
    let mut world = World::new();
    let offsets: BTreeMap<TopicPartition, CommittedOffset> =
        [(("t", 0).into(), 5.into()), (("t", 1).into(), 6.into()), (("nope", 0).into(), 7.into())].into();
    let op = world.start(AlterOffsets { group: "g".to_owned(), offsets });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let partition =
        |partition_index, error_code| OffsetCommitResponsePartition { partition_index, error_code };
    let topic = |name: &str, partitions| OffsetCommitResponseTopic {
        name: name.to_owned(),
        partitions,
        ..Default::default()
    };
    let asked = world.take();
    let t = vec![partition(0, ErrorCode::None), partition(1, ErrorCode::NotCoordinator)];
    let nope = vec![partition(0, ErrorCode::UnknownTopicOrPartition)];
    let topics = vec![topic("t", t), topic("nope", nope)];
    world.answer(&asked, OffsetCommitResponse { topics, ..Default::default() });
    world.pass(Duration::from_secs(1));
    world.find_coordinator(2);
    let asked = world.take();
    let Request::OffsetCommit(request) = &asked.request else { panic!("{:?}", asked.request) };
    assert_eq!((request.generation_id_or_member_epoch, request.topics.len()), (-1, 1));
    assert_eq!(request.topics[0].partitions.len(), 1, "only what failed is committed again");
    let topics = vec![topic("t", vec![partition(1, ErrorCode::UnknownMemberId)])];
    world.answer(&asked, OffsetCommitResponse { topics, ..Default::default() });
    let altered = world.outcome(&op);
    let told: Vec<_> =
        altered.into_values().map(|result| result.map_err(|failure| failure.to_string())).collect();
    let refused = |error: ErrorCode| Err(error.to_string());
    assert_eq!(
        told,
        [refused(ErrorCode::UnknownTopicOrPartition), Ok(()), refused(ErrorCode::UnknownMemberId)]
    );
}

#[test]
fn an_offset_of_a_topic_that_is_not_there_fails_at_once_and_what_may_pass_is_deleted_again() {
    let mut world = World::new();
    let partitions: BTreeSet<TopicPartition> =
        [("t", 0).into(), ("t", 1).into(), ("t", 2).into(), ("nope", 0).into()].into();
    let op = world.start(DeleteOffsets { group: "g".to_owned(), partitions });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let told = |partition_index, error_code| OffsetDeletePartitionResponse { partition_index, error_code };
    let answer = |topics: Vec<(&str, Vec<OffsetDeletePartitionResponse>)>| {
        let topic =
            |(name, partitions): (&str, _)| OffsetDeleteTopicResponse { name: name.to_owned(), partitions };
        OffsetDeleteResponse { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    };
    let asked = world.take();
    let t = vec![
        told(0, ErrorCode::None),
        told(1, ErrorCode::CoordinatorLoadInProgress),
        told(2, ErrorCode::GroupSubscribedToTopic),
    ];
    let nope = vec![told(0, ErrorCode::UnknownTopicOrPartition)];
    world.answer(&asked, answer(vec![("t", t), ("nope", nope)]));
    world.pass(Duration::from_secs(1));
    world.find_coordinator(1);
    let asked = world.take();
    let Request::OffsetDelete(request) = &asked.request else { panic!("{:?}", asked.request) };
    let again: Vec<_> =
        request.topics.iter().map(|topic| (topic.name.as_str(), &topic.partitions[..])).collect();
    assert_eq!(again, [("t", &[OffsetDeletePartition { partition_index: 1 }][..])]);
    world.answer(&asked, answer(vec![("t", vec![told(1, ErrorCode::None)])]));
    let deleted = world.outcome(&op);
    let refused = |error| Err(Failure::Refused(Refusal { error, message: None }));
    let expected = [
        refused(ErrorCode::UnknownTopicOrPartition),
        Ok(()),
        Ok(()),
        refused(ErrorCode::GroupSubscribedToTopic),
    ];
    assert_eq!(deleted.into_values().collect::<Vec<_>>(), expected, "in the order of names");
}

#[test]
fn what_was_deleted_before_the_time_was_up_is_told_and_the_rest_fails_by_itself() {
    let mut world = World::new();
    let partitions: BTreeSet<TopicPartition> = [("t", 0).into(), ("t", 1).into()].into();
    let op = world.start(DeleteOffsets { group: "g".to_owned(), partitions });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let told = |partition_index, error_code| OffsetDeletePartitionResponse { partition_index, error_code };
    let partitions = vec![told(0, ErrorCode::None), told(1, ErrorCode::CoordinatorLoadInProgress)];
    let topics = vec![OffsetDeleteTopicResponse { name: "t".to_owned(), partitions }];
    world.answer(&asked, OffsetDeleteResponse { topics, ..Default::default() });
    world.pass(Duration::from_secs(61));
    let deleted = world.outcome(&op);
    assert_eq!(deleted[&("t", 0).into()], Ok(()));
    assert!(matches!(deleted[&("t", 1).into()], Err(Failure::TimedOut { .. })), "{deleted:?}");
}

#[test]
fn a_group_that_is_not_there_is_the_failure_of_the_whole_deletion() {
    let mut world = World::new();
    let partitions: BTreeSet<TopicPartition> = [("t", 0).into(), ("t", 1).into()].into();
    let op = world.start(DeleteOffsets { group: "g".to_owned(), partitions });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let error_code = ErrorCode::GroupIdNotFound;
    world.answer(&asked, OffsetDeleteResponse { error_code, ..Default::default() });
    let failure = world.admin.take_result(&op).unwrap().unwrap_err();
    assert!(failure.is(ErrorCode::GroupIdNotFound), "{failure}");
}
