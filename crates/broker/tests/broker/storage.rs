//! What the next process finds in the data directory of one that ended.

use std::{collections::BTreeMap, io};

use ottla_broker::{Cluster, Config, ConnId, TopicSpec};
use ottla_protocol::{ErrorCode, messages::*};

use crate::common::{
    World, config,
    consumer::Consumer,
    group::{Member, commit, stable},
    kept::{Dir, Seen, seen},
    millis, produce, produced, sequenced,
    transaction::{FLOWS, Flow, NOBODY, Producer},
};

const NONE: ErrorCode = ErrorCode::None;

fn world() -> (World, ConnId) {
    let mut world = World::new(config(&[("t", 2)]));
    let conn = world.connect(1);
    (world, conn)
}

fn restart(world: &mut World) -> ConnId {
    world.restart();
    world.connect(1)
}

/// The id of a topic, as clients are told.
fn id_of(world: &mut World, conn: ConnId, topic: &str) -> ottla_protocol::TopicId {
    let topics = Some(vec![MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() }]);
    world.ask(conn, 12, MetadataRequest { topics, ..Default::default() }).topics[0].topic_id
}

/// A bit of everything, with what is to be seen after each step, by how long the journal was then.
fn history() -> (World, Vec<(usize, Seen)>) {
    let (mut world, conn) = world();
    let mut history = Vec::new();
    let mut told = |world: &World| history.push((world.dir().bytes().len(), seen(&world.cluster, 0)));
    told(&world);
    world.ask(conn, 9, produce("t", 0, sequenced(3, 900, 0, 0)));
    told(&world);
    world.append("t", 1, 2);
    told(&world);
    assert_eq!(commit(&mut world, conn, "", -1, 2), NONE);
    told(&world);
    let producer = world.producer(conn, "tx");
    told(&world);
    assert_eq!(world.write(conn, 12, producer, "t", 1, 0), NONE);
    told(&world);
    assert_eq!(world.commit_in(conn, 5, producer, "g", NOBODY, ("t", 1), 1), NONE);
    told(&world);
    let producer = world.finish(conn, Flow::V2, producer, false);
    told(&world);
    assert_eq!(world.write(conn, 12, producer, "t", 0, 0), NONE);
    told(&world);
    world.cluster.delete_records("t", 0, 2, world.now).unwrap();
    told(&world);
    world.cluster.move_leader("t", 1, 1, world.now);
    told(&world);
    world.cluster.create_topic(&TopicSpec::new("u", 1)).unwrap();
    world.cluster.create_partitions("u", 3).unwrap();
    told(&world);
    assert!(world.cluster.delete_topic("u"));
    told(&world);
    let topics = vec![WriteTxnMarkersTopic { name: "t".into(), partition_indexes: vec![0] }];
    let Producer { id: producer_id, epoch: producer_epoch, .. } = producer;
    let marker = WriteTxnMarkersMarker { producer_id, producer_epoch, topics, ..Default::default() };
    let written = world.ask(conn, 1, WriteTxnMarkersRequest { markers: vec![marker] });
    assert_eq!(written.markers[0].topics[0].partitions[0].error_code, NONE);
    told(&world);
    let deleted = world.ask(conn, 2, DeleteGroupsRequest { groups_names: vec!["g".into()] });
    assert_eq!(deleted.results[0].error_code, NONE);
    told(&world);
    (world, history)
}

/// Of a group the journal has what was committed: it knows nothing of one that only had members.
#[test]
fn a_group_that_committed_nothing_is_deleted_and_the_next_process_begins() {
    let (mut world, conn) = world();
    let member = Member::new(&mut world);
    let [member] = stable(&mut world, [member]);
    assert_eq!(member.leave(&mut world), NONE);
    let partitions = vec![OffsetDeletePartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteTopic { name: "t".into(), partitions }];
    let forgotten = world.ask(conn, 0, OffsetDeleteRequest { group_id: "g".into(), topics });
    assert_eq!(forgotten.topics[0].partitions[0].error_code, NONE);
    let deleted = world.ask(conn, 2, DeleteGroupsRequest { groups_names: vec!["g".into()] });
    assert_eq!(deleted.results[0].error_code, NONE);
    restart(&mut world);
}

#[test]
fn a_journal_that_is_cut_at_any_byte_opens_to_what_was_before() {
    let (world, history) = history();
    let journal = world.dir().bytes();
    let mut reached = 0;
    for cut in 0..=journal.len() {
        let dir = Dir::with(&journal[..cut]);
        let config = Config { data_dir: Some(dir.path()), ..Config::default() };
        let again = seen(&Cluster::open(config, world.now).unwrap(), 1);
        // A step is one entry or several; what is told of it is told at its end.
        let before = history.iter().rposition(|(length, _)| *length <= cut);
        match before {
            Some(at) if history[at].0 == cut => {
                assert_eq!(again, history[at].1, "cut at {cut}");
                reached += 1;
            }
            _ => {}
        }
        // Opened once more it is what it was, and nothing is left of the cut.
        let config = Config { data_dir: Some(dir.path()), ..Config::default() };
        assert_eq!(seen(&Cluster::open(config, world.now).unwrap(), 2), again, "cut at {cut}");
    }
    assert_eq!(reached, history.len());
}

#[test]
fn a_flipped_byte_is_an_error_that_names_the_file_and_the_offset() {
    let (world, _) = history();
    let journal = world.dir().bytes();
    let dir = Dir::with(&journal);
    for at in 0..journal.len() {
        let mut flipped = journal.clone();
        flipped[at] ^= 0x10;
        std::fs::write(dir.journal(), &flipped).unwrap();
        let config = Config { data_dir: Some(dir.path()), ..Config::default() };
        let error = Cluster::open(config, world.now).expect_err("damage");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let told = error.to_string();
        let begun = format!("{}: damaged at offset ", dir.journal().display());
        let offset = told.strip_prefix(&begun).unwrap_or_else(|| panic!("{told}"));
        let offset: usize = offset.split(':').next().unwrap().parse().unwrap();
        assert!(offset <= at, "byte {at} is in the entry at {offset}");
        assert_eq!(dir.bytes(), flipped, "a file that is damaged is left as it is");
    }
}

#[test]
fn a_second_process_is_told_that_the_directory_is_in_use_until_the_first_has_ended() {
    let (mut world, _) = world();
    let dir = world.dir().path();
    let config = || Config { data_dir: Some(dir.clone()), ..Config::default() };
    let error = Cluster::open(config(), world.now).expect_err("in use");
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
    world.restart();
}

#[test]
fn a_batch_that_is_sent_again_to_the_next_process_is_a_duplicate() {
    let (mut world, conn) = world();
    let batch = sequenced(3, 900, 0, 0);
    world.append("t", 0, 5);
    assert_eq!(produced(&world.ask(conn, 9, produce("t", 0, batch.clone()))), (NONE, 5));
    let conn = restart(&mut world);
    assert_eq!(produced(&world.ask(conn, 9, produce("t", 0, batch))), (NONE, 5));
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(8));
    let gap = produced(&world.ask(conn, 9, produce("t", 0, sequenced(1, 900, 0, 4)))).0;
    assert_eq!(gap, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(produced(&world.ask(conn, 9, produce("t", 0, sequenced(1, 900, 0, 3)))), (NONE, 8));
}

#[test]
fn producer_ids_are_given_out_once() {
    let (mut world, conn) = world();
    let ask = |world: &mut World, conn| {
        world.ask(
            conn,
            4,
            InitProducerIdRequest { producer_id: -1, producer_epoch: -1, ..Default::default() },
        )
    };
    let first = ask(&mut world, conn).producer_id;
    let transactional = world.producer(conn, "tx").id;
    let conn = restart(&mut world);
    let second = ask(&mut world, conn).producer_id;
    assert!(first < transactional && transactional < second, "{first} {transactional} {second}");
    assert_eq!(world.producer(conn, "tx").epoch, 1, "the epoch goes on");
}

#[test]
fn a_topic_keeps_its_id_and_one_that_is_made_anew_gets_another() {
    let (mut world, conn) = world();
    let first = id_of(&mut world, conn, "t");
    let conn = restart(&mut world);
    assert_eq!(id_of(&mut world, conn, "t"), first);
    let mut ids = vec![first];
    for _ in 0..3 {
        assert!(world.cluster.delete_topic("t"));
        let conn = restart(&mut world);
        ids.push(id_of(&mut world, conn, "t"));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "a configured topic that was deleted is created with the next process");
}

#[test]
fn a_transaction_that_was_open_goes_on_in_the_next_process() {
    for flow in FLOWS {
        for committed in [true, false] {
            let (mut world, conn) = world();
            let producer = world.producer(conn, "tx");
            world.transact(conn, flow, producer, "t", 0, 0);
            if flow == Flow::V1 {
                assert_eq!(world.add_offsets(conn, 3, producer, "g"), NONE);
            }
            assert_eq!(world.commit_in(conn, flow.commit(), producer, "g", NOBODY, ("t", 1), 7), NONE);
            let conn = restart(&mut world);
            assert_eq!(world.cluster.last_stable_offset("t", 0), Some(0), "it is open");
            assert_eq!(world.cluster.committed("g"), BTreeMap::new(), "and its offsets do not count");
            assert_eq!(world.write(conn, flow.produce(), producer, "t", 0, 1), NONE);
            world.finish(conn, flow, producer, committed);
            assert_eq!(world.cluster.last_stable_offset("t", 0), Some(3));
            let offsets: Vec<i64> = world.cluster.committed("g").into_values().collect();
            assert_eq!(offsets, if committed { vec![7] } else { vec![] });
        }
    }
}

#[test]
fn an_end_that_was_decided_is_written_once_to_each_partition_by_the_next_process() {
    let config = Config { transaction_marker_delay: millis(100), ..config(&[("t", 8)]) };
    // The delays are drawn: some markers are written when the process ends, some are not.
    let mut partly = 0;
    for passed in 0..10 {
        let mut world = World::new(config.clone());
        let conn = world.connect(1);
        let mut producer = world.producer(conn, "tx");
        (0..8).for_each(|partition| world.transact(conn, Flow::V2, producer, "t", partition, 0));
        producer = world.finish(conn, Flow::V2, producer, true);
        world.pass(millis(passed * 10));
        let stable =
            |world: &World| (0..8).filter(|at| world.cluster.last_stable_offset("t", *at) == Some(2)).count();
        partly += usize::from((1..8).contains(&stable(&world)));
        let conn = restart(&mut world);
        assert_eq!(stable(&world), 8, "after {passed}0 ms");
        assert!((0..8).all(|at| world.cluster.log_end_offset("t", at) == Some(2)), "one marker each");
        assert_eq!(world.cluster.transaction("tx").unwrap().state, "CompleteCommit");
        assert_eq!(world.write(conn, 12, producer, "t", 0, 0), NONE);
    }
    assert!(partly > 0);
}

#[test]
fn an_end_that_was_decided_is_completed_where_its_topic_is_gone() {
    let config = Config { transaction_marker_delay: millis(100), ..config(&[("t", 1), ("u", 1)]) };
    let mut world = World::new(config);
    let conn = world.connect(1);
    let producer = world.producer(conn, "tx");
    world.transact(conn, Flow::V2, producer, "u", 0, 0);
    let producer = world.finish(conn, Flow::V2, producer, true);
    assert!(world.cluster.delete_topic("u"));
    let conn = restart(&mut world);
    assert_eq!(world.write(conn, 12, producer, "t", 0, 0), NONE);
}

#[test]
fn the_time_of_a_transaction_goes_on_while_nobody_serves_it() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "tx");
    world.transact(conn, Flow::V2, producer, "t", 0, 0);
    world.pass(millis(50_000));
    world.restart();
    assert_eq!(world.cluster.transaction("tx").unwrap().state, "Ongoing");
    world.pass(millis(10_000));
    assert_eq!(world.cluster.transaction("tx").unwrap().state, "CompleteAbort");
    let conn = restart(&mut world);
    assert_eq!(world.write(conn, 12, producer, "t", 0, 1), ErrorCode::InvalidProducerEpoch, "it is fenced");
}

#[test]
fn a_member_of_the_process_before_commits_nothing_whatever_its_epoch() {
    let (mut world, _) = world();
    let heartbeats = 5;
    let mut before = Consumer::new(&mut world, "m");
    before.join(&mut world).unwrap();
    for _ in 0..heartbeats {
        // Each change of its wishes begins an epoch.
        before.topics = Some(vec!["t".to_owned(), format!("other-{}", before.epoch)]);
        let full = before.full();
        before.send(&mut world, full).unwrap();
    }
    world.restart();
    // The same member, by its id, in the next process: it joins, and reaches no epoch that it had before.
    let mut after = Consumer::new(&mut world, "m");
    after.join(&mut world).unwrap();
    for _ in 0..2 * heartbeats {
        assert!(after.epoch > before.epoch, "{} after {}", after.epoch, before.epoch);
        let stale = commit(&mut world, after.conn, "m", before.epoch, 1);
        assert_eq!(stale, ErrorCode::StaleMemberEpoch);
        after.topics = Some(vec!["t".to_owned(), format!("other-{}", after.epoch)]);
        let full = after.full();
        after.send(&mut world, full).unwrap();
    }
    assert_eq!(commit(&mut world, after.conn, "m", after.epoch, 1), NONE);
}

#[test]
fn each_process_begins_a_leader_epoch_in_which_what_was_written_before_ends_where_it_did() {
    let (mut world, _) = world();
    world.append("t", 0, 4);
    let conn = restart(&mut world);
    assert_eq!(world.cluster.leader("t", 0), Some((1, 1)));
    world.append("t", 0, 2);
    let ask = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderEpochTopic {
            topic: "t".into(),
            partitions: vec![OffsetForLeaderEpochPartition {
                partition: 0,
                current_leader_epoch: -1,
                leader_epoch: 0,
            }],
        }],
    };
    let told = world.ask(conn, 4, ask);
    assert_eq!(told.topics[0].partitions[0].end_offset, 4);
}

#[test]
fn what_fewer_brokers_find_is_led_by_those_that_there_are() {
    let mut world = World::new(Config { brokers: 3, ..config(&[("t", 3)]) });
    (0..3).for_each(|partition| assert_eq!(world.append("t", partition, 1), 0));
    let dir = world.dir().path();
    world.cluster = Cluster::new(Config::default());
    let config = Config { brokers: 1, data_dir: Some(dir), ..Config::default() };
    world.cluster = Cluster::open(config, world.now).unwrap();
    assert!((0..3).all(|partition| world.cluster.leader("t", partition).unwrap().0 == 1));
}

#[test]
fn a_journal_that_has_grown_old_is_rewritten_to_what_it_says() {
    let (mut world, _) = history();
    let conn = world.connect(1);
    let transaction = world.cluster.transaction("tx").unwrap();
    let (id, epoch) = (transaction.producer_id, transaction.producer_epoch);
    let open = Producer { transactional_id: "tx", id, epoch };
    assert_eq!(world.commit_in(conn, 5, open, "g", NOBODY, ("t", 1), 5), NONE);
    let mut offset = 100;
    while world.dir().bytes().len() < 1 << 20 {
        (0..100).for_each(|by| assert_eq!(commit(&mut world, conn, "", -1, offset + by), NONE));
        offset += 100;
    }
    let (large, before) = (world.dir().bytes().len(), seen(&world.cluster, 0));
    world.restart();
    assert_eq!(seen(&world.cluster, 1), before);
    let small = world.dir().bytes().len();
    assert!(small < large / 100, "{large} bytes became {small}");
    let conn = restart(&mut world);
    assert_eq!(seen(&world.cluster, 2), before);
    // What is in no view: sequences, the open transaction and its offset.
    let batch = sequenced(3, 900, 0, 0);
    assert_eq!(produced(&world.ask(conn, 9, produce("t", 0, batch))), (NONE, 0));
    assert_eq!(world.write(conn, 12, open, "t", 0, 1), NONE);
    world.finish(conn, Flow::V2, open, true);
    assert_eq!(world.cluster.committed("g").get(&("t".to_owned(), 1)), Some(&5));
    let aborted =
        world.ask(conn, 12, FetchRequest { isolation_level: 1, ..crate::common::fetch(&[("t", 1, 0)]) });
    let part = crate::common::fetched(&aborted)[0].1.aborted_transactions.clone().unwrap();
    assert_eq!(part.len(), 1, "the aborted transaction is still told");
}
