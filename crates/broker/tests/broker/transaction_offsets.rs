//! Offsets that are committed in transactions: who may, and when they count. The rows are those of what real brokers were seen
//! to answer.

use ottla_broker::{Config, ConnId};
use ottla_protocol::{
    ErrorCode,
    messages::{
        OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic, OffsetFetchRequest,
        OffsetFetchRequestGroup, OffsetFetchRequestTopics,
    },
};

use crate::common::{
    World, config,
    consumer::{self, Consumer},
    group::{self, commit, stable},
    transaction::{FLOWS, Flow, Member, NOBODY, Producer},
};

const NONE: ErrorCode = ErrorCode::None;
const ILLEGAL: ErrorCode = ErrorCode::IllegalGeneration;
const UNKNOWN: ErrorCode = ErrorCode::UnknownMemberId;

fn world() -> (World, ConnId, Producer) {
    let mut world = World::new(config(&[("t", 2)]));
    let conn = world.connect(1);
    let producer = world.producer(conn, "tx");
    (world, conn, producer)
}

/// A commit for partition 0 of the group `g`, added to the transaction where the flow asks for that.
fn commit_in(
    world: &mut World,
    conn: ConnId,
    flow: Flow,
    producer: Producer,
    member: Member<'_>,
    offset: i64,
) -> ErrorCode {
    if flow == Flow::V1 {
        assert_eq!(world.add_offsets(conn, 3, producer, "g"), NONE);
    }
    world.commit_in(conn, flow.commit(), producer, "g", member, ("t", 0), offset)
}

/// What is told of partitions 0 and 1.
fn fetch(world: &mut World, conn: ConnId, require_stable: bool) -> Vec<(ErrorCode, i64)> {
    let topic =
        OffsetFetchRequestTopics { name: "t".into(), partition_indexes: vec![0, 1], ..Default::default() };
    let group =
        OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
    let answer = world.ask(conn, 8, request);
    let partitions = answer.groups[0].topics[0].partitions.iter();
    partitions.map(|partition| (partition.error_code, partition.committed_offset)).collect()
}

#[test]
fn an_offset_counts_from_the_commit_on_and_not_after_an_abort() {
    for flow in FLOWS {
        for (committed, offset) in [(true, 7), (false, 3)] {
            let (mut world, conn, producer) = world();
            assert_eq!(commit(&mut world, conn, "", -1, 3), NONE);
            assert_eq!(commit_in(&mut world, conn, flow, producer, NOBODY, 7), NONE);
            assert_eq!(world.cluster.committed("g").into_values().collect::<Vec<_>>(), [3]);
            world.finish(conn, flow, producer, committed);
            let now = world.cluster.committed("g").into_values().collect::<Vec<_>>();
            assert_eq!(now, [offset], "{flow:?} {committed}");
        }
    }
}

#[test]
fn who_wants_it_stable_is_told_that_it_is_not_and_others_get_what_was_before() {
    let (mut world, conn, producer) = world();
    commit(&mut world, conn, "", -1, 3);
    assert_eq!(commit_in(&mut world, conn, Flow::V2, producer, NOBODY, 7), NONE);
    let unstable = (ErrorCode::UnstableOffsetCommit, -1);
    assert_eq!(fetch(&mut world, conn, true), [unstable, (NONE, -1)]);
    assert_eq!(fetch(&mut world, conn, false), [(NONE, 3), (NONE, -1)]);
    world.finish(conn, Flow::V2, producer, true);
    assert_eq!(fetch(&mut world, conn, true), [(NONE, 7), (NONE, -1)]);
}

#[test]
fn of_a_plain_commit_and_one_in_a_transaction_the_later_counts() {
    let (mut world, conn, producer) = world();
    assert_eq!(commit_in(&mut world, conn, Flow::V2, producer, NOBODY, 200), NONE);
    assert_eq!(commit(&mut world, conn, "", -1, 7), NONE);
    let after = world.finish(conn, Flow::V2, producer, true);
    assert_eq!(fetch(&mut world, conn, true)[0], (NONE, 7));
    assert_eq!(commit_in(&mut world, conn, Flow::V2, after, NOBODY, 300), NONE);
    world.finish(conn, Flow::V2, after, true);
    assert_eq!(fetch(&mut world, conn, true)[0], (NONE, 300));
}

#[test]
fn a_group_that_was_not_added_takes_no_commit_in_the_first_flow() {
    for (version, code) in [(3, ErrorCode::InvalidTxnState), (4, ErrorCode::TransactionAbortable), (5, NONE)]
    {
        let (mut world, conn, producer) = world();
        assert_eq!(world.commit_in(conn, version, producer, "g", NOBODY, ("t", 0), 7), code, "{version}");
    }
}

#[test]
fn in_a_classic_group_the_metadata_fences() {
    let (mut world, conn, producer) = world();
    let new = group::Member::new(&mut world);
    let [first] = stable(&mut world, [new]);
    let before = first.generation;
    let second = group::Member::new(&mut world);
    let [first, second] = {
        let mut members = [first, second];
        members[1].join(&mut world);
        assert_eq!(members[0].heartbeat(&mut world), ErrorCode::RebalanceInProgress);
        members[0].join(&mut world);
        members.iter_mut().for_each(|member| assert!(member.joined(&mut world).is_some()));
        group::settle(&mut world, &members);
        members
    };
    let now = first.generation;
    assert!(now > before);
    let member = |id, generation| Member { id, instance: None, generation };
    for (what, who, code) in [
        ("current generation and member", member(first.id.as_str(), now), NONE),
        ("another member's partition", member(second.id.as_str(), now), NONE),
        ("the previous one", member(first.id.as_str(), before), ILLEGAL),
        ("a later one", member(first.id.as_str(), now + 1), ILLEGAL),
        ("-1 with the member id", member(first.id.as_str(), -1), ILLEGAL),
        ("an unknown member", member("unknown", now), UNKNOWN),
        ("an empty member", member("", now), UNKNOWN),
        ("an instance that is unknown", Member { instance: Some("x"), ..member(&first.id, now) }, UNKNOWN),
        ("nobody in particular", NOBODY, NONE),
    ] {
        for version in [3, 4, 5] {
            world.add_offsets(conn, 3, producer, "g");
            let told = world.commit_in(conn, version, producer, "g", who, ("t", 0), 5);
            assert_eq!(told, code, "{what}, version {version}");
        }
    }
    assert_eq!(commit(&mut world, conn, "", -1, 5), UNKNOWN, "a plain commit of nobody");
    first.leave(&mut world);
    let gone = commit_in(&mut world, conn, Flow::V2, producer, member(&first.id, now), 5);
    assert_eq!(gone, UNKNOWN, "one that left");
}

#[test]
fn in_a_classic_group_a_static_member_that_was_replaced_is_fenced() {
    let (mut world, conn, producer) = world();
    let new = group::Member::fixed(&mut world, "instance");
    let [member] = stable(&mut world, [new]);
    let who = Member { id: "other", instance: Some("instance"), generation: member.generation };
    let told = commit_in(&mut world, conn, Flow::V2, producer, who, 5);
    assert_eq!(told, ErrorCode::FencedInstanceId);
}

#[test]
fn in_a_group_of_the_consumer_protocol_the_metadata_fences() {
    let (mut world, conn, producer) = world();
    let mut one = Consumer::fixed(&mut world, "one", "instance");
    one.join(&mut world).unwrap();
    one.obey(&mut world).unwrap();
    let before = one.epoch;
    let mut two = Consumer::new(&mut world, "two");
    two.join(&mut world).unwrap();
    consumer::settle(&mut world, &mut [&mut one, &mut two]);
    let now = one.epoch;
    assert!(now > before && one.indexes().len() == 1);
    let (kept, lost) = (one.indexes()[0], two.indexes()[0]);
    let member = |id, generation| Member { id, instance: None, generation };
    for (what, who, partition, code) in [
        ("current epoch and member", member("one", now), kept, NONE),
        ("another member's partition", member("one", now), lost, NONE),
        ("the previous one, own partition", member("one", before), kept, NONE),
        ("the previous one, now another's", member("one", before), lost, ILLEGAL),
        ("a later one", member("one", now + 1), kept, ILLEGAL),
        ("-1 with the member id", member("one", -1), kept, ILLEGAL),
        ("an unknown member", member("unknown", now), kept, UNKNOWN),
        ("an empty member", member("", now), kept, UNKNOWN),
        ("nobody in particular", NOBODY, kept, NONE),
        (
            "wrong id for the instance",
            Member { instance: Some("instance"), ..member("x", now) },
            kept,
            UNKNOWN,
        ),
        ("an instance that is unknown", Member { instance: Some("x"), ..member("one", now) }, kept, NONE),
    ] {
        for version in [3, 4, 5] {
            world.add_offsets(conn, 3, producer, "g");
            let told = world.commit_in(conn, version, producer, "g", who, ("t", partition), 5);
            assert_eq!(told, code, "{what}, version {version}");
        }
    }
    assert_eq!(commit(&mut world, conn, "", -1, 5), UNKNOWN, "a plain commit of nobody");
}

#[test]
fn a_group_that_is_not_there_begins_with_a_commit_of_nobody_and_has_no_generation() {
    let (mut world, conn, producer) = world();
    let generation = Member { generation: 5, ..NOBODY };
    assert_eq!(commit_in(&mut world, conn, Flow::V2, producer, generation, 5), ILLEGAL);
    assert_eq!(commit_in(&mut world, conn, Flow::V2, producer, NOBODY, 5), NONE);
}

#[test]
fn a_partition_that_is_not_there_takes_no_offset() {
    let (mut world, conn, producer) = world();
    for (topic, partition) in [("t", 9), ("unknown", 0)] {
        let told = world.commit_in(conn, 5, producer, "g", NOBODY, (topic, partition), 5);
        assert_eq!(told, ErrorCode::UnknownTopicOrPartition, "{topic}-{partition}");
    }
}

#[test]
fn one_transaction_commits_records_and_offsets_of_several_groups_together() {
    let config = Config { transaction_marker_delay: crate::common::millis(50), ..config(&[("t", 2)]) };
    let mut world = World::new(config);
    let conn = world.connect(1);
    let producer = world.producer(conn, "tx");
    world.transact(conn, Flow::V2, producer, "t", 0, 0);
    for group in ["g", "h"] {
        assert_eq!(world.commit_in(conn, 5, producer, group, NOBODY, ("t", 0), 5), NONE);
    }
    world.finish(conn, Flow::V2, producer, true);
    assert_eq!(fetch(&mut world, conn, true)[0].0, ErrorCode::UnstableOffsetCommit, "not yet");
    world.pass(crate::common::millis(50));
    for group in ["g", "h"] {
        assert_eq!(world.cluster.committed(group).into_values().collect::<Vec<_>>(), [5], "{group}");
    }
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(2));
}

#[test]
fn offsets_of_a_deleted_topic_do_not_come_with_the_commit() {
    let (mut world, conn, producer) = world();
    assert_eq!(commit_in(&mut world, conn, Flow::V2, producer, NOBODY, 5), NONE);
    world.cluster.delete_topic("t");
    world.finish(conn, Flow::V2, producer, true);
    assert!(world.cluster.committed("g").is_empty());
}

fn delete(world: &mut World, conn: ConnId, topic: &str) -> (ErrorCode, Option<ErrorCode>) {
    let partitions = vec![OffsetDeletePartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteTopic { name: topic.to_owned(), partitions }];
    let answer = world.ask(conn, 0, OffsetDeleteRequest { group_id: "g".into(), topics });
    (answer.error_code, answer.topics.first().map(|topic| topic.partitions[0].error_code))
}

#[test]
fn offsets_are_deleted_of_topics_that_no_member_is_subscribed_to() {
    let (mut world, conn, producer) = world();
    assert_eq!(delete(&mut world, conn, "t"), (ErrorCode::GroupIdNotFound, None));
    commit(&mut world, conn, "", -1, 3);
    assert_eq!(commit_in(&mut world, conn, Flow::V2, producer, NOBODY, 7), NONE);
    assert_eq!(delete(&mut world, conn, "unknown").1, Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(delete(&mut world, conn, "t"), (NONE, Some(NONE)));
    world.finish(conn, Flow::V2, producer, true);
    assert!(world.cluster.committed("g").is_empty(), "what is pending goes, too");
    let mut one = Consumer::new(&mut world, "one");
    one.join(&mut world).unwrap();
    assert_eq!(delete(&mut world, conn, "t"), (NONE, Some(ErrorCode::GroupSubscribedToTopic)));
}

#[cfg(feature = "planted")]
mod planted {
    use super::*;
    use ottla_broker::Planted;

    #[test]
    fn planted_bugs_show_offsets_that_do_not_count() {
        for bug in [Planted::PendingOffsetShown, Planted::AbortedOffsetsApplied] {
            let (mut world, conn, producer) = world();
            world.plant(bug);
            assert_eq!(commit_in(&mut world, conn, Flow::V2, producer, NOBODY, 7), NONE);
            let shown = bug == Planted::PendingOffsetShown;
            assert_eq!(fetch(&mut world, conn, false)[0], (NONE, if shown { 7 } else { -1 }));
            world.finish(conn, Flow::V2, producer, false);
            assert_eq!(fetch(&mut world, conn, false)[0], (NONE, 7), "{bug:?}");
        }
    }
}
