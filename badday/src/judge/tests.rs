//! Each violation is noticed, beside what is nearly the same and legal.

mod untimely;

use super::*;
use crate::line::{Id, Value};

const ORDERS: Role = Role::Audit(Topic::Orders);
const LEDGER: Role = Role::Audit(Topic::Ledger);
const MEMBER: Role = Role::Member(Topic::Orders, 0);
const PROCESSOR: Role = Role::Member(Topic::Orders, 1);
const OUTCOME: Role = Role::Outcome(Topic::Ledger, 0);

/// A judge, and a time that is moved by hand.
struct Bench {
    judge: Judge,
    now: Instant,
}

fn value(number: u64) -> Value {
    Value { id: Id { writer: 1, life: 1, number }, partition: 0, key: 3 }
}

fn got(offset: i64, number: u64) -> Told {
    Told::Got { partition: 0, offset, value: value(number) }
}

fn acked(number: u64, offset: i64) -> Told {
    Told::Acked { value: value(number), offset: Some(offset) }
}

fn began(offset: i64, key: u64) -> Told {
    Told::Began { partition: 0, offset, key, attempt: 1 }
}

fn handled(offset: i64, key: u64) -> Told {
    Told::Handled { partition: 0, offset, key, done: true }
}

const TICK: Told = Told::Tick { tasks: 0, deleted: 0 };

impl Bench {
    fn new() -> Self {
        let orders = Log::new("orders", false, 1, &[("readers", Kind::Group), ("handlers", Kind::Processor)]);
        let exactly = [("transformer", Kind::ExactlyOnce { ordered: true })];
        let judge = Judge::new(orders, Log::new("ledger", true, 1, &exactly));
        let mut bench = Self { judge, now: Instant::now() };
        for (role, actor) in [(MEMBER, "a"), (MEMBER, "b"), (PROCESSOR, "p")] {
            bench.judge.started(role, actor, bench.now);
        }
        // Else each that is silent here is a stall, too.
        bench.judge.writers_end();
        bench
    }

    fn told(&mut self, role: Role, actor: &str, lines: impl IntoIterator<Item = Told>) -> &mut Self {
        for told in lines {
            self.judge.told(role, actor, &told, self.now);
        }
        self
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.judge.look(self.now);
        }
        self
    }

    fn committed(&mut self, offset: i64) -> &mut Self {
        self.judge.committed(Topic::Orders, 0, &[(0, offset)], self.now);
        self
    }

    /// So many that all of an actor's events have been told.
    fn ticks(&mut self, role: Role, actor: &str) -> &mut Self {
        self.told(role, actor, [TICK; 10])
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.judge.violations.kept.iter().map(|violation| violation.kind).collect()
    }

    /// What there is in the end, besides what nobody has had.
    fn closed(&mut self) -> Vec<&'static str> {
        self.judge.close(self.now);
        self.kinds()
    }
}

fn assigned() -> Told {
    Told::Assigned(vec![0])
}

#[test]
fn what_all_have_had_and_committed_is_forgotten_and_no_violation() {
    let mut bench = Bench::new();
    bench.told(MEMBER, "a", [assigned(), got(0, 0), got(1, 1)]);
    bench.told(Role::Writer, "w", [acked(0, 0), acked(1, 1)]).told(ORDERS, "audit", [got(0, 0), got(1, 1)]);
    bench.told(PROCESSOR, "p", [assigned(), began(0, 1), handled(0, 1), began(1, 1), handled(1, 1)]);
    bench.committed(2).after(1);
    assert_eq!(bench.judge.open(), 2, "the processor has not committed");
    bench.judge.committed(Topic::Orders, 1, &[(0, 2)], bench.now);
    bench.after(200);
    assert_eq!((bench.judge.open(), bench.judge.orders.done_with()), (0, vec![2]));
    assert_eq!(bench.closed(), Vec::<&str>::new());
}

#[test]
fn an_acknowledged_record_that_the_log_goes_past_is_lost_whoever_is_heard_first() {
    let mut bench = Bench::new();
    bench.told(Role::Writer, "w", [acked(0, 0)]).told(ORDERS, "audit", [got(1, 1)]);
    assert_eq!(bench.kinds(), ["lost"]);
    let mut bench = Bench::new();
    bench.told(ORDERS, "audit", [got(1, 1)]).told(Role::Writer, "w", [acked(0, 0)]);
    assert_eq!(bench.kinds(), ["lost"]);
    let mut bench = Bench::new();
    let unknown = Told::Acked { value: value(0), offset: None };
    bench.told(ORDERS, "audit", [got(1, 1)]).told(Role::Writer, "w", [unknown]);
    assert_eq!(bench.kinds(), ["lost"], "without its offset, too");
    let mut bench = Bench::new();
    bench.told(Role::Writer, "w", [acked(0, 5)]);
    assert_eq!(bench.closed(), ["lost"], "at the log's end");
    let mut bench = Bench::new();
    let failed = Told::Failed { value: value(0), why: "not acknowledged".to_owned() };
    bench.told(Role::Writer, "w", [failed]).told(ORDERS, "audit", [got(0, 1)]);
    assert_eq!(bench.kinds(), Vec::<&str>::new(), "one that may be there need not be");
}

#[test]
fn what_is_twice_or_in_another_order_in_a_log_is_noticed() {
    for (numbers, kind) in [([0, 1, 1], "doubled"), ([0, 2, 1], "reordered")] {
        let mut bench = Bench::new();
        bench.told(ORDERS, "audit", (0..).zip(numbers).map(|(offset, number)| got(offset, number)));
        assert_eq!(bench.kinds(), [kind]);
    }
    let mut bench = Bench::new();
    bench.told(ORDERS, "audit", [got(0, 0), got(0, 0)]);
    assert_eq!(bench.kinds(), ["repeated"]);
    let mut bench = Bench::new();
    bench.told(ORDERS, "audit", [got(0, 0)]).told(MEMBER, "a", [assigned(), got(0, 1)]);
    assert_eq!(bench.kinds(), ["another record"]);
}

#[test]
fn what_is_committed_and_was_never_handed_out_is_lost_to_its_group() {
    let mut bench = Bench::new();
    bench.told(ORDERS, "audit", [got(0, 0), got(1, 1)]).told(MEMBER, "a", [assigned(), got(1, 1)]);
    bench.committed(2).after(3);
    assert_eq!(bench.kinds(), Vec::<&str>::new(), "it may be told yet");
    bench.after(3);
    assert_eq!(bench.kinds(), ["lost"]);
}

#[test]
fn a_member_hands_out_in_order_what_it_is_assigned() {
    let mut bench = Bench::new();
    bench.told(MEMBER, "a", [assigned(), got(1, 1), got(0, 0)]);
    assert_eq!(bench.kinds(), ["reordered"]);
    let mut bench = Bench::new();
    bench.told(MEMBER, "a", [assigned(), got(1, 1), assigned(), got(0, 0)]);
    assert_eq!(bench.kinds(), Vec::<&str>::new(), "assigned anew");
    bench.told(MEMBER, "a", [Told::Lost(vec![0]), got(2, 2)]);
    assert_eq!(bench.kinds(), ["not assigned"]);
}

#[test]
fn a_repetition_of_what_was_committed_before_an_assignment_is_noticed_and_of_what_was_not_is_legal() {
    let mut bench = Bench::new();
    bench.told(MEMBER, "a", [assigned(), got(0, 0), got(1, 1), got(2, 2)]).committed(2);
    // The commit may have come behind the other's question, as it has ticked but once since.
    bench.told(MEMBER, "b", [TICK, assigned(), got(0, 0)]);
    assert_eq!(bench.kinds(), Vec::<&str>::new());
    bench.told(MEMBER, "b", [TICK, TICK, TICK, assigned(), got(2, 2)]);
    assert_eq!(bench.kinds(), Vec::<&str>::new(), "not committed");
    bench.told(MEMBER, "b", [assigned(), got(1, 1)]);
    assert_eq!(bench.kinds(), ["repeated"]);
}

#[test]
fn a_committed_offset_does_not_fall() {
    let mut bench = Bench::new();
    bench.committed(5).committed(5).committed(4);
    assert_eq!(bench.kinds(), ["committed offset fell"]);
}

#[test]
fn a_partition_that_stands_still_in_calm_is_a_stall_and_beside_a_fault_is_none() {
    let mut bench = Bench::new();
    bench.told(ORDERS, "audit", [got(0, 0)]).told(MEMBER, "a", [assigned()]).after(STEADY.as_secs() - 1);
    assert_eq!(bench.kinds(), Vec::<&str>::new());
    bench.told(MEMBER, "a", [Told::Why("orders-0: no leader".to_owned())]).after(30);
    assert_eq!(bench.kinds(), ["stalled"; 2], "of both followers, once each");
    let said = &bench
        .judge
        .violations
        .kept
        .iter()
        .find(|violation| violation.text.contains("readers"))
        .unwrap()
        .text;
    assert!(said.contains("a: orders-0: no leader"), "{said}");
    let mut bench = Bench::new();
    let shade = bench.judge.shades.begin(Scope::All, "broker killed", bench.now);
    bench.told(ORDERS, "audit", [got(0, 0)]).after(60);
    bench.judge.shades.end(shade, bench.now, Duration::from_secs(15));
    bench.after(24);
    assert_eq!(bench.kinds(), Vec::<&str>::new());
    bench.after(10);
    assert_eq!(bench.kinds(), ["stalled"; 2]);
}

#[test]
fn a_fault_of_others_shades_nobody_and_one_that_never_ends_not_for_ever() {
    let mut bench = Bench::new();
    bench.judge.shades.begin(Scope::These(vec!["others".to_owned()]), "others killed", bench.now);
    bench.told(ORDERS, "audit", [got(0, 0)]).after(STEADY.as_secs() + 2);
    assert!(bench.kinds().contains(&"stalled"));
    let mut bench = Bench::new();
    bench.judge.shades.begin(Scope::All, "for ever", bench.now);
    bench.told(ORDERS, "audit", [got(0, 0)]).after(LONGEST.as_secs() + 2);
    assert!(bench.kinds().contains(&"stalled"));
}

#[test]
fn two_of_a_key_at_once_and_an_earlier_one_later_are_noticed_among_handlers() {
    let mut bench = Bench::new();
    bench.told(PROCESSOR, "p", [assigned(), began(0, 1), began(1, 2), began(2, 1)]);
    assert_eq!(bench.kinds(), ["reordered"]);
    let mut bench = Bench::new();
    bench.told(PROCESSOR, "p", [assigned()]).after(20);
    bench.told(PROCESSOR, "p", [began(2, 1), handled(2, 1)]).after(20);
    bench.told(PROCESSOR, "p", [began(0, 1), handled(0, 1)]).ticks(PROCESSOR, "p");
    assert!(bench.kinds().contains(&"reordered"));
    let mut bench = Bench::new();
    bench.told(PROCESSOR, "p", [assigned(), began(2, 1), handled(2, 1)]).after(20);
    bench.told(PROCESSOR, "p", [began(0, 1), handled(0, 1)]).after(1);
    bench.told(PROCESSOR, "p", [assigned()]).ticks(PROCESSOR, "p");
    assert!(!bench.kinds().contains(&"reordered"), "it was assigned anew, and its events are late");
}

#[test]
fn an_output_of_each_input_is_there_once_and_in_order() {
    let input = |bench: &mut Bench| {
        let ended = Told::Ended { transaction: 0, end: End::Committed, records: 3 };
        bench.told(LEDGER, "audit", [got(0, 0), got(1, 1), got(2, 2)]);
        bench.told(Role::Ledger, "ledger-1.1", [ended]);
    };
    let mut bench = Bench::new();
    input(&mut bench);
    bench.told(OUTCOME, "out", [got(0, 0), got(2, 1), got(4, 2)]).after(60);
    assert_eq!((bench.closed(), bench.judge.open()), (vec![], 0));
    let mut bench = Bench::new();
    input(&mut bench);
    bench.told(OUTCOME, "out", [got(0, 0), got(2, 1), got(3, 1)]);
    assert_eq!(bench.kinds(), ["doubled"]);
    let mut bench = Bench::new();
    input(&mut bench);
    bench.told(OUTCOME, "out", [got(0, 0), got(2, 2), got(3, 1)]);
    assert_eq!(bench.kinds(), ["reordered"]);
    let mut bench = Bench::new();
    input(&mut bench);
    bench.told(OUTCOME, "out", [got(0, 0), got(2, 1), got(4, 2)]).after(60);
    bench.told(OUTCOME, "out", [got(6, 0)]).after(60);
    assert_eq!(bench.kinds(), ["of nothing"], "doubled when all was forgotten");
    let mut bench = Bench::new();
    input(&mut bench);
    bench.told(OUTCOME, "out", [got(0, 0), got(2, 1)]);
    assert_eq!(bench.closed(), ["lost"]);
    let mut bench = Bench::new();
    bench.told(OUTCOME, "out", [got(0, 0), got(2, 1), got(4, 2)]);
    input(&mut bench);
    bench.after(1);
    assert_eq!((bench.closed(), bench.judge.open()), (vec![], 0), "heard of before its input");
}

#[test]
fn a_transaction_is_read_in_whole_or_not_at_all() {
    let ended = |end| Told::Ended { transaction: 0, end, records: 3 };
    let read = |count| (0..count).map(|at| got(at, at as u64)).collect::<Vec<_>>();
    for (end, count, kinds) in [
        (Some(End::Committed), 3, vec![]),
        (Some(End::Committed), 2, vec!["torn"]),
        (Some(End::Committed), 0, vec!["lost"]),
        (Some(End::Aborted), 0, vec![]),
        (Some(End::Aborted), 1, vec!["aborted"]),
        (Some(End::Unknown), 0, vec![]),
        (Some(End::Unknown), 3, vec![]),
        (Some(End::Unknown), 2, vec!["torn"]),
        (None, 2, vec!["torn"]),
    ] {
        for reads_first in [true, false] {
            let mut bench = Bench::new();
            let ends: Vec<Told> = end.map(ended).into_iter().collect();
            if reads_first {
                bench.told(LEDGER, "audit", read(count)).told(Role::Ledger, "ledger-1.1", ends);
            } else {
                bench.told(Role::Ledger, "ledger-1.1", ends).told(LEDGER, "audit", read(count));
            }
            let shade = bench.judge.shades.begin(Scope::These(vec!["transformer".to_owned()]), "", bench.now);
            bench.after(40);
            bench.judge.shades.end(shade, bench.now, Duration::ZERO);
            assert_eq!(bench.kinds(), kinds, "{end:?} {count} {reads_first}");
        }
    }
}

#[test]
fn what_is_deleted_unread_and_who_gets_on_no_more_are_noticed() {
    let mut bench = Bench::new();
    bench.told(MEMBER, "a", [Told::Tick { tasks: 1, deleted: 2 }]);
    assert_eq!(bench.kinds(), ["deleted unread"]);
    let mut bench = Bench::new();
    bench.judge.is_written = false;
    bench.told(Role::Side, "side-reader", [got(0, 0)]).after(2 * STEADY.as_secs() + 9);
    assert_eq!(bench.kinds(), ["stalled"]);
}
