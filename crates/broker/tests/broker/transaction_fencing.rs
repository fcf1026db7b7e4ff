//! Transactions: who is fenced, and what a time-out leaves. The rows are those of what real brokers were seen to answer.

use ottla_broker::ConnId;
use ottla_protocol::ErrorCode;

use crate::common::{
    World, config, millis,
    transaction::{FLOWS, Flow, NOBODY, Producer},
};

const NONE: ErrorCode = ErrorCode::None;
const OLD: ErrorCode = ErrorCode::InvalidProducerEpoch;
const FENCED: ErrorCode = ErrorCode::ProducerFenced;

fn world() -> (World, ConnId) {
    let mut world = World::new(config(&[("t", 2)]));
    let conn = world.connect(1);
    (world, conn)
}

/// A zombie, which wrote to partition 0 once, and the producer that took its place.
fn zombie() -> (World, ConnId, Producer, Producer) {
    let (mut world, conn) = world();
    let zombie = world.producer(conn, "tx");
    world.transact(conn, Flow::V2, zombie, "t", 0, 0);
    let next = world.producer(conn, "tx");
    assert_eq!((zombie.epoch, next.epoch), (0, 2));
    (world, conn, zombie, next)
}

#[test]
fn an_older_epoch_does_not_write_neither_where_it_did_nor_elsewhere() {
    for version in [11, 12] {
        for partition in [0, 1] {
            let (mut world, conn, zombie, _) = zombie();
            assert_eq!(world.write(conn, version, zombie, "t", partition, 1), OLD, "{version} {partition}");
        }
    }
}

#[test]
fn an_older_epoch_commits_no_offsets() {
    for version in 2..=5 {
        let (mut world, conn, zombie, _) = zombie();
        assert_eq!(world.commit_in(conn, version, zombie, "g", NOBODY, ("t", 0), 5), OLD, "{version}");
    }
}

#[test]
fn an_older_epoch_is_fenced_by_the_coordinator_in_the_words_that_each_version_knows() {
    let (mut world, conn, zombie, _) = zombie();
    for (version, code) in [(1, OLD), (2, FENCED), (3, FENCED)] {
        assert_eq!(world.add(conn, version, zombie, &[("t", 0)]), [code], "AddPartitionsToTxn {version}");
    }
    for (version, code) in [(1, OLD), (3, FENCED), (4, FENCED)] {
        assert_eq!(world.add_offsets(conn, version, zombie, "g"), code, "AddOffsetsToTxn {version}");
    }
    for committed in [true, false] {
        for (version, code) in [(1, OLD), (2, FENCED), (3, FENCED), (4, FENCED), (5, FENCED)] {
            assert_eq!(world.end(conn, version, zombie, committed).0, code, "EndTxn {version}");
        }
    }
    for (version, code) in [(3, OLD), (4, FENCED), (5, FENCED)] {
        assert_eq!(world.init(conn, version, "tx", Some(zombie)), Err(code), "InitProducerId {version}");
    }
}

#[test]
fn a_zombie_that_asks_for_its_epoch_again_aborts_the_transaction_that_is_open() {
    for flow in FLOWS {
        let (mut world, conn, zombie, next) = zombie();
        world.transact(conn, flow, next, "t", 0, 0);
        let end = world.cluster.log_end_offset("t", 0).unwrap();
        assert_eq!(world.init(conn, 5, "tx", Some(zombie)), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(world.cluster.log_end_offset("t", 0), Some(end + 1), "the marker");
        assert_eq!(world.init(conn, 5, "tx", Some(zombie)), Err(FENCED));
        assert_eq!(world.write(conn, flow.produce(), next, "t", 0, 1), OLD, "its epoch is passed");
    }
}

#[test]
fn an_epoch_from_the_future_is_as_an_old_one() {
    let (mut world, conn, _, next) = zombie();
    let future = next.in_epoch(9);
    assert_eq!(world.write(conn, 12, future, "t", 1, 0), OLD);
    assert_eq!(world.add(conn, 3, future, &[("t", 0)]), [FENCED]);
    assert_eq!(world.add_offsets(conn, 4, future, "g"), FENCED);
    assert_eq!(world.end(conn, 5, future, true).0, FENCED);
    assert_eq!(world.init(conn, 5, "tx", Some(future)), Err(FENCED));
}

#[test]
fn another_producer_id_or_transactional_id_is_no_mapping() {
    let (mut world, conn, _, next) = zombie();
    let mapping = ErrorCode::InvalidProducerIdMapping;
    let other = Producer { id: next.id + 1000, ..next };
    assert_eq!(world.init(conn, 5, "tx", Some(other)), Err(FENCED));
    for stranger in [other, Producer { transactional_id: "unknown", ..next }] {
        assert_eq!(world.write(conn, 12, stranger, "t", 1, 0), mapping);
        assert_eq!(world.add(conn, 3, stranger, &[("t", 0)]), [mapping]);
        assert_eq!(world.add_offsets(conn, 4, stranger, "g"), mapping);
        assert_eq!(world.end(conn, 5, stranger, true).0, mapping);
        assert_eq!(world.commit_in(conn, 5, stranger, "g", NOBODY, ("t", 0), 5), mapping);
    }
}

/// A producer whose transaction was aborted for its time.
fn timed_out(flow: Flow) -> (World, ConnId, Producer) {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "tx");
    world.transact(conn, flow, producer, "t", 0, 0);
    world.pass(millis(59_999));
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(1));
    world.pass(millis(1));
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(2), "an abort marker");
    (world, conn, producer)
}

#[test]
fn after_a_time_out_nothing_is_written_or_committed_in_the_old_epoch() {
    for flow in FLOWS {
        let (mut world, conn, producer) = timed_out(flow);
        assert_eq!(world.write(conn, flow.produce(), producer, "t", 0, 1), OLD);
        let committed = world.commit_in(conn, flow.commit(), producer, "g", NOBODY, ("t", 0), 5);
        assert_eq!(committed, OLD);
        assert_eq!(world.add(conn, 3, producer, &[("t", 0)]), [FENCED]);
    }
}

#[test]
fn after_a_time_out_the_first_flow_is_fenced_and_the_second_may_abort() {
    for (flow, committed, expected) in [
        (Flow::V1, true, (FENCED, -1)),
        (Flow::V1, false, (FENCED, -1)),
        (Flow::V2, true, (ErrorCode::InvalidTxnState, -1)),
        (Flow::V2, false, (NONE, 1)),
    ] {
        let (mut world, conn, producer) = timed_out(flow);
        assert_eq!(world.end(conn, flow.end(), producer, committed), expected, "{flow:?} {committed}");
    }
}

#[test]
fn after_a_time_out_the_producer_is_told_its_new_epoch_and_goes_on() {
    for flow in FLOWS {
        let (mut world, conn, producer) = timed_out(flow);
        let next = world.init(conn, 5, "tx", Some(producer)).unwrap();
        assert_eq!((next.id, next.epoch), (producer.id, 1));
        world.transact(conn, flow, next, "t", 0, 0);
        world.finish(conn, flow, next, true);
    }
}

#[test]
fn a_transaction_that_is_ended_in_time_is_not_aborted_later() {
    for flow in FLOWS {
        let (mut world, conn) = world();
        let producer = world.producer(conn, "tx");
        world.transact(conn, flow, producer, "t", 0, 0);
        world.finish(conn, flow, producer, true);
        world.pass(millis(120_000));
        assert_eq!(world.cluster.log_end_offset("t", 0), Some(2));
    }
}

#[cfg(feature = "planted")]
#[test]
fn a_planted_bug_lets_a_zombie_write() {
    let (mut world, conn, zombie, _) = zombie();
    world.plant(ottla_broker::Planted::ZombieNotFenced);
    assert_eq!(world.write(conn, 12, zombie, "t", 0, 1), NONE);
}
