//! What a real Kafka 4.3.1 answered to transactional producers, and whether the embedded broker answers the same:
//! `transcripts/transactions_*.txt`.
//!
//! `OTTLA_RECORD=127.0.0.1:9092 cargo test -p ottla-broker --test broker -- transaction_transcripts` records them anew, on a fresh
//! broker of one node with `transaction.abort.timed.out.transaction.cleanup.interval.ms=200`.

mod stage;

use crate::common::{
    World, config,
    transaction::{Flow, Member, NOBODY, Producer},
    transcript::check,
};
use stage::{MOMENT, Stage};

fn world() -> World {
    World::new(config(&[]))
}

#[test]
fn transactions_begin_and_end_in_the_first_flow() {
    check("transactions_v1", world(), |x| {
        let mut stage = Stage::new(x);
        let a = stage.producer("a");
        stage.note("what was not added");
        stage.write(11, a, 0, 0);
        stage.write(10, a, 0, 0);
        stage.end(4, a, true);
        stage.end(4, a, false);
        stage.note("all or none is added");
        stage.add(3, a, &[("t", 0), ("t", 9)]);
        stage.add(3, a, &[("t", 0), ("u", 0)]);
        stage.describe("a");
        stage.add(3, a, &[("t", 0), ("t", 1)]);
        stage.add(3, a, &[("t", 0)]);
        stage.describe("a");
        stage.write(11, a, 0, 0);
        stage.write(10, a, 0, 1);
        stage.write(11, a, 0, 1);
        stage.note("a gap, and one outside the transaction");
        stage.write(11, a, 0, 7);
        stage.note("commits");
        stage.end(4, a, true);
        stage.describe("a");
        stage.end(4, a, true);
        stage.end(4, a, false);
        stage.note("aborts");
        stage.transact(Flow::V1, a, 1, 0);
        stage.transact(Flow::V1, a, 0, 2);
        stage.end(4, a, false);
        stage.end(4, a, false);
        stage.end(4, a, true);
        for committed in [true, false] {
            stage.fetch(0, 0, committed, 1 << 20);
            stage.fetch(1, 0, committed, 1 << 20);
        }
        stage.note("epochs two back, and from the future");
        let b = stage.producer("a");
        let c = stage.init(5, "a", Some(b)).unwrap();
        stage.init(5, "a", Some(b));
        for version in [1, 4] {
            stage.end(version, a, true);
            stage.end(version, c.in_epoch(9), true);
        }
        stage.note("time-outs and ids");
        stage.init_for(5, "b", None, 900_000);
        stage.init_for(5, "b", None, 900_001);
        stage.init_for(5, "b", None, 0);
        stage.init_for(5, "", None, 60_000);
    });
}

#[test]
fn transactions_begin_and_end_in_the_second_flow() {
    check("transactions_v2", world(), |x| {
        let mut stage = Stage::new(x);
        let a = stage.producer("a");
        stage.note("nothing in it");
        stage.end(5, a, true);
        let a1 = stage.end(5, a, false);
        stage.end(5, a, false);
        stage.end(5, a, true);
        stage.note("commits");
        stage.write(12, a1, 0, 0);
        stage.write(12, a1, 0, 0);
        stage.describe("a");
        let a2 = stage.end(5, a1, true);
        stage.end(5, a1, true);
        stage.end(5, a1, false);
        stage.end(5, a2, true);
        stage.note("sequences begin anew");
        stage.write(12, a2, 0, 1);
        stage.write(12, a2, 0, 0);
        stage.describe_producers(0);
        stage.note("aborts");
        let a3 = stage.end(5, a2, false);
        stage.end(5, a2, false);
        stage.end(5, a2, true);
        stage.end(5, a1, true);
        stage.describe_producers(0);
        stage.describe_producers(1);
        stage.note("verified as by a broker");
        stage.add_batched(5, a3, true, 0);
        stage.add_batched(4, a3, true, 0);
        stage.add_batched(4, a3, false, 0);
        stage.add_batched(5, a3, true, 0);
        stage.add_batched(5, a3, true, 1);
        stage.add_batched(5, a2, true, 0);
        let a4 = stage.end(5, a3, true);
        stage.note("an end of the first flow");
        stage.write(12, a4, 1, 0);
        stage.end(4, a4, true);
        stage.end(4, a4, true);
        stage.end(5, a4, true);
        stage.end(5, a4, false);
        stage.fetch(0, 0, true, 1 << 20);
        stage.fetch(1, 0, true, 1 << 20);
    });
}

#[test]
fn zombies_are_fenced_and_time_is_up() {
    check("transactions_fencing", world(), |x| {
        let mut stage = Stage::new(x);
        let old = stage.producer("a");
        stage.transact(Flow::V2, old, 0, 0);
        let new = stage.producer("a");
        for zombie in [old, new.in_epoch(9), Producer { id: new.id + 1000, ..new }] {
            stage.note("another epoch, or id");
            for version in [11, 12] {
                stage.write(version, zombie, 0, 1);
                stage.write(version, zombie, 1, 0);
            }
            for version in 2..=5 {
                stage.commit(version, zombie, NOBODY, 0, 5);
            }
            for version in 1..=3 {
                stage.add(version, zombie, &[("t", 0)]);
            }
            for version in [1, 3, 4] {
                stage.add_offsets(version, zombie);
            }
            for version in 1..=5 {
                stage.end(version, zombie, true);
                stage.end(version, zombie, false);
            }
            for version in 3..=5 {
                stage.init(version, "a", Some(zombie));
            }
        }
        stage.note("an id that is not known");
        let stranger = Producer { transactional_id: "unknown", ..new };
        stage.write(12, stranger, 0, 0);
        stage.write(11, stranger, 0, 0);
        stage.add(3, stranger, &[("t", 0)]);
        stage.add_offsets(4, stranger);
        stage.end(5, stranger, true);
        stage.commit(5, stranger, NOBODY, 0, 5);
        stage.describe("unknown");
        stage.describe("");
        stage.note("a zombie asks for its epoch again over an open transaction");
        stage.transact(Flow::V2, new, 1, 0);
        stage.init(5, "a", Some(old));
        stage.x.pass(MOMENT);
        stage.init(5, "a", Some(old));
        stage.write(12, new, 1, 1);
        for flow in [Flow::V1, Flow::V2] {
            stage.note(&format!("time is up, {flow:?}"));
            let id = if flow == Flow::V1 { "timed-1" } else { "timed-2" };
            let late = stage.init_for(5, id, None, 500).unwrap();
            stage.transact(flow, late, 0, 0);
            stage.x.pass(MOMENT * 3);
            stage.describe(id);
            stage.write(flow.produce(), late, 0, 1);
            stage.commit(flow.commit(), late, NOBODY, 0, 5);
            stage.add(3, late, &[("t", 0)]);
            stage.end(flow.end(), late, true);
            stage.end(flow.end(), late, false);
            let next = stage.init(5, id, Some(late)).unwrap();
            stage.transact(flow, next, 0, 0);
            stage.end(flow.end(), next, true);
        }
    });
}

#[test]
fn readers_of_what_is_committed_stop_at_what_is_open() {
    check("transactions_isolation", world(), |x| {
        let mut stage = Stage::new(x);
        let (a, b) = (stage.producer("a"), stage.producer("b"));
        stage.list_offsets(0, false);
        stage.epoch_end(0, -1, 0);
        stage.plain(0);
        stage.write(12, a, 0, 0);
        stage.write(12, b, 0, 0);
        stage.plain(0);
        stage.write(12, a, 0, 1);
        stage.note("both are open");
        for committed in [true, false] {
            for offset in 0..=6 {
                stage.fetch(0, offset, committed, 1 << 20);
            }
            stage.list_offsets(0, committed);
        }
        stage.describe_producers(0);
        stage.list(&["Ongoing"], Some("[ab].*"));
        stage.note("the later one is aborted, then the earlier one");
        let b = stage.end(5, b, false);
        stage.fetch(0, 0, true, 1 << 20);
        let a = stage.end(5, a, false);
        for offset in 0..=7 {
            stage.fetch(0, offset, true, 1 << 20);
        }
        stage.fetch(0, 0, true, 1);
        stage.note("committed and aborted again");
        stage.write(12, a, 0, 0);
        stage.write(12, b, 0, 0);
        let a = stage.end(5, a, true);
        stage.end(5, b, false);
        for offset in [0, 6, 9, 10, 11] {
            stage.fetch(0, offset, true, 1 << 20);
        }
        stage.list_offsets(0, true);
        stage.describe_producers(0);
        stage.list(&[], Some("[ab].*"));
        stage.list(&["Odd"], None);
        stage.list(&["Ongoing"], None);
        stage.list(&[], Some("("));
        stage.note("records are deleted");
        stage.write(12, a, 0, 0);
        stage.delete_records(0, 2);
        stage.fetch(0, 2, true, 1 << 20);
        stage.delete_records(0, 1);
        stage.delete_records(0, 99);
        stage.delete_records(0, -2);
        stage.delete_records(9, 0);
        stage.delete_records(0, -1);
        stage.fetch(0, 12, true, 1 << 20);
        stage.fetch(0, 11, true, 1 << 20);
        stage.write(12, a, 0, 1);
        stage.fetch(0, 12, true, 1 << 20);
        stage.fetch(0, 12, false, 1 << 20);
        stage.end(5, a, false);
        stage.fetch(0, 12, true, 1 << 20);
        stage.note("leader epochs");
        for (believed, epoch) in [(0, 0), (-1, 0), (0, -1), (0, 1), (1, 0), (0, 5)] {
            stage.epoch_end(0, believed, epoch);
        }
        stage.epoch_end(9, -1, 0);
    });
}

#[test]
fn offsets_are_committed_in_transactions() {
    check("transactions_offsets", world(), |x| {
        let mut stage = Stage::new(x);
        let a = stage.producer("a");
        stage.note("no group");
        stage.committed(true, false);
        stage.delete_offsets("g", "t");
        stage.commit(5, a, Member { generation: 5, ..NOBODY }, 0, 5);
        stage.commit(3, a, NOBODY, 0, 5);
        stage.commit(4, a, NOBODY, 0, 5);
        stage.commit(5, a, NOBODY, 0, 5);
        stage.commit(5, a, NOBODY, 9, 5);
        stage.committed(true, false);
        stage.committed(false, false);
        stage.committed(true, true);
        stage.describe("a");
        stage.note("an end of each kind");
        let a = stage.end(5, a, true);
        stage.committed(true, false);
        stage.committed(true, true);
        stage.add_offsets(4, a);
        stage.commit(4, a, NOBODY, 0, 7);
        stage.commit(4, a, NOBODY, 1, 7);
        stage.committed(true, true);
        stage.committed(false, true);
        let a = stage.end(5, a, false);
        stage.committed(true, false);
        stage.note("the later counts");
        stage.commit(5, a, NOBODY, 0, 200);
        stage.plain_commit(8);
        stage.committed(true, false);
        let a = stage.end(5, a, true);
        stage.committed(true, false);
        stage.commit(5, a, NOBODY, 0, 300);
        stage.note("they are deleted while one is pending");
        stage.delete_offsets("g", "u");
        stage.delete_offsets("g", "t");
        stage.committed(true, false);
        stage.end(5, a, true);
        stage.committed(true, false);
    });
}
