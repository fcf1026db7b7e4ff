//! What is told again, or before what it is about, or never.

use super::*;

/// Dead letters of the processor.
const DEAD: Role = Role::Outcome(Topic::Orders, 1);

fn ended(end: End) -> Told {
    Told::Ended { transaction: 0, end, records: 3 }
}

#[test]
fn what_is_read_again_of_a_transaction_that_is_over_is_noticed_however_late() {
    let whole = || [got(0, 0), got(1, 1), got(2, 2)];
    let mut bench = Bench::new();
    bench.told(LEDGER, "audit", whole()).told(Role::Ledger, "ledger-1.1", [ended(End::Committed)]);
    bench.told(LEDGER, "audit", [got(4, 0), got(5, 1), got(6, 2)]);
    assert_eq!(bench.kinds(), ["doubled"; 3]);
    for (end, kind) in [(None, "doubled"), (Some(End::Unknown), "doubled"), (Some(End::Aborted), "aborted")] {
        let mut bench = Bench::new();
        if end != Some(End::Aborted) {
            bench.told(LEDGER, "audit", whole()).told(OUTCOME, "out", whole());
        }
        bench.told(Role::Ledger, "ledger-1.1", end.map(ended)).after(60);
        assert_eq!(bench.kinds(), Vec::<&str>::new(), "{end:?}");
        bench.told(LEDGER, "audit", [got(4, 0)]);
        assert_eq!(bench.kinds(), [kind], "{end:?}");
    }
}

#[test]
fn what_was_acknowledged_without_an_offset_is_lost_where_the_log_goes_past_it_or_ends() {
    let unknown = || Told::Acked { value: value(0), offset: None };
    let mut bench = Bench::new();
    bench.told(Role::Writer, "w", [unknown()]).told(ORDERS, "audit", [got(0, 1)]);
    assert_eq!(bench.kinds(), ["lost"]);
    let mut bench = Bench::new();
    bench.told(Role::Writer, "w", [unknown()]);
    assert_eq!((bench.judge.open(), bench.closed()), (1, vec!["lost"]));
    let mut bench = Bench::new();
    bench.told(Role::Writer, "w", [unknown()]).told(ORDERS, "audit", [got(0, 0)]);
    bench.told(Role::Writer, "w", [unknown()]).told(ORDERS, "audit", [got(1, 1)]);
    assert_eq!((bench.judge.open(), bench.kinds()), (2, vec![]), "it is there");
}

#[test]
fn what_was_acknowledged_where_all_are_done_with_another_is_lost() {
    let mut bench = Bench::new();
    bench.told(ORDERS, "audit", [got(0, 0)]).told(MEMBER, "a", [assigned(), got(0, 0)]);
    bench.told(PROCESSOR, "p", [assigned(), began(0, 1), handled(0, 1)]).committed(1);
    bench.judge.committed(Topic::Orders, 1, &[(0, 1)], bench.now);
    bench.after(1);
    assert_eq!((bench.judge.open(), bench.judge.orders.done_with()), (0, vec![1]));
    bench.told(Role::Writer, "w", [acked(0, 0)]);
    assert_eq!(bench.kinds(), Vec::<&str>::new());
    bench.told(Role::Writer, "w", [acked(1, 0)]);
    assert_eq!(bench.kinds(), ["lost"]);
}

#[test]
fn what_was_deleted_unread_counts_once_and_from_an_actors_start() {
    let deleted = |deleted| Told::Tick { tasks: 1, deleted };
    let mut bench = Bench::new();
    bench.told(MEMBER, "a", [deleted(2), deleted(2), deleted(5)]);
    bench.judge.started(MEMBER, "a", bench.now);
    bench.told(MEMBER, "a", [deleted(0), deleted(1)]).told(Role::Side, "side-reader", [deleted(9)]);
    let texts: Vec<&str> = bench.judge.violations.kept.iter().map(|kept| kept.text.as_str()).collect();
    let said = |count| format!("a: {count} records were deleted before it had read them");
    assert_eq!(texts, [said(2), said(3), said(1)]);
}

#[test]
fn many_violations_of_a_kind_hide_no_other_kind() {
    let mut bench = Bench::new();
    bench.committed(5);
    for _ in 0..KEPT + 10 {
        bench.committed(4);
    }
    bench.told(ORDERS, "audit", [got(0, 0), got(0, 0)]);
    assert_eq!(bench.kinds().len() as u64, KEPT + 1);
    assert_eq!(bench.kinds().last(), Some(&"repeated"));
    assert_eq!(bench.judge.violations.counts["committed offset fell"], KEPT + 10);
}

#[test]
fn a_handler_that_begins_earlier_is_judged_once_its_actor_has_gone_on_for_long_enough_to_tell_why() {
    let earlier = || {
        let mut bench = Bench::new();
        bench.told(PROCESSOR, "p", [assigned()]).after(20);
        bench.told(PROCESSOR, "p", [began(2, 1), handled(2, 1)]).after(20);
        bench.told(PROCESSOR, "p", [began(0, 1), handled(0, 1)]);
        bench
    };
    let mut bench = earlier();
    // It is killed before it tells of the assignment.
    bench.after(1);
    bench.judge.started(PROCESSOR, "p", bench.now);
    bench.ticks(PROCESSOR, "p").after(20).ticks(PROCESSOR, "p");
    assert!(!bench.kinds().contains(&"reordered"), "{:?}", bench.kinds());
    let mut bench = earlier();
    // It is stopped before it does.
    bench.after(14).told(PROCESSOR, "p", [TICK, assigned()]).ticks(PROCESSOR, "p");
    assert!(!bench.kinds().contains(&"reordered"), "{:?}", bench.kinds());
    let mut bench = earlier();
    bench.ticks(PROCESSOR, "p");
    assert!(bench.kinds().contains(&"reordered"), "{:?}", bench.kinds());
}

#[test]
fn outcomes_that_are_read_before_their_inputs_are_judged_in_the_order_of_their_reading() {
    let (first, second) = (|| [got(0, 0)], || [got(1, 1)]);
    let mut bench = Bench::new();
    bench.told(OUTCOME, "out", [got(0, 1), got(2, 0)]).told(LEDGER, "audit", first());
    bench.told(LEDGER, "audit", second());
    assert_eq!(bench.kinds(), ["reordered"], "both are early");
    let mut bench = Bench::new();
    bench.told(LEDGER, "audit", first()).told(OUTCOME, "out", [got(0, 1), got(2, 0)]);
    bench.told(LEDGER, "audit", second());
    assert_eq!(bench.kinds(), ["reordered"], "one is, and the other was read behind it");
    let mut bench = Bench::new();
    bench.told(LEDGER, "audit", first()).told(OUTCOME, "out", [got(0, 0), got(2, 1)]);
    bench.told(LEDGER, "audit", second());
    assert_eq!(bench.kinds(), Vec::<&str>::new());
    let mut bench = Bench::new();
    bench.told(OUTCOME, "out", [got(0, 0), got(2, 0)]).told(LEDGER, "audit", first());
    assert_eq!(bench.kinds(), ["doubled"]);
}

#[test]
fn an_outcome_of_nothing_does_not_keep_those_behind_it_from_being_judged() {
    let mut bench = Bench::new();
    bench.told(OUTCOME, "out", [got(0, 9), got(2, 1), got(4, 0)]);
    bench.told(LEDGER, "audit", [got(0, 0), got(1, 1)]).after(1);
    assert_eq!(bench.kinds(), Vec::<&str>::new());
    bench.after(60);
    assert!(bench.kinds().starts_with(&["of nothing", "reordered"]), "{:?}", bench.kinds());
}

#[test]
fn a_dead_letter_may_be_read_before_its_record_and_again_long_after_it_and_not_of_nothing() {
    let mut bench = Bench::new();
    bench.told(DEAD, "dead", [got(0, 0)]).told(ORDERS, "audit", [got(0, 0)]);
    bench.told(MEMBER, "a", [assigned(), got(0, 0)]).committed(1);
    bench.judge.committed(Topic::Orders, 1, &[(0, 1)], bench.now);
    bench.after(100);
    assert_eq!((bench.kinds(), bench.judge.open()), (vec![], 0));
    bench.told(DEAD, "dead", [got(1, 0)]);
    assert_eq!((bench.kinds(), bench.judge.open()), (vec![], 0));
    bench.told(DEAD, "dead", [got(2, 7)]).after(60);
    assert_eq!(bench.kinds(), ["of nothing"]);
}

#[test]
fn the_same_records_again_and_again_are_a_stall() {
    for (role, who) in [(MEMBER, "readers: "), (PROCESSOR, "handlers: "), (DEAD, "handlers: ")] {
        let mut bench = Bench::new();
        bench.told(ORDERS, "audit", [got(0, 0), got(1, 1)]);
        for at in 0..12 {
            let again = match role {
                MEMBER => vec![assigned(), got(0, 0)],
                PROCESSOR => vec![handled(0, 1)],
                _ => vec![got(at, 0)],
            };
            bench.told(role, "a", again).after(1);
        }
        let mut kept = bench.judge.violations.kept.iter();
        assert!(kept.any(|kept| kept.kind == "stalled" && kept.text.starts_with(who)), "{role:?}");
    }
}

#[test]
fn who_never_gets_on_is_noticed_from_his_first_start_however_often_he_begins() {
    for (role, actor, told) in [
        (Role::Writer, "writer-a-0", Some(acked(0, 0))),
        (Role::Ledger, "ledger-a-2", Some(ended(End::Committed))),
        (ORDERS, "audit-orders", Some(got(0, 0))),
        (Role::Side, "side-reader", None),
    ] {
        let named = |life: u32| {
            if actor.ends_with(char::is_numeric) { format!("{actor}.{life}") } else { actor.to_owned() }
        };
        let mut bench = Bench::new();
        bench.judge.is_written = false;
        for life in 0..6 {
            bench.judge.started(role, &named(life), bench.now);
            // What fails is no success.
            let fails =
                [End::Unknown, End::Aborted].map(|end| Told::Ended { transaction: 9, end, records: 1 });
            bench.told(role, &named(life), fails).after(2);
        }
        assert_eq!(bench.kinds(), ["stalled"], "{actor}");
        let Some(told) = told else { continue };
        let mut bench = Bench::new();
        bench.judge.is_written = false;
        bench.judge.started(role, &named(0), bench.now);
        bench.after(6).told(role, &named(0), [told]).after(6);
        assert_eq!(bench.kinds(), Vec::<&str>::new(), "{actor}");
    }
}

#[test]
fn time_is_no_calm_before_it_is_known_whether_the_machine_was_starved() {
    let mut bench = Bench::new();
    bench.judge.shades.watched(bench.now);
    bench.told(ORDERS, "audit", [got(0, 0)]).after(30);
    assert_eq!(bench.kinds(), Vec::<&str>::new());
    bench.judge.shades.watched(bench.now);
    bench.after(1);
    assert_eq!(bench.kinds(), ["stalled"; 2]);
}

#[test]
fn a_fault_of_the_side_shades_its_reader() {
    let mut bench = Bench::new();
    bench.judge.is_written = false;
    bench.judge.started(Role::Side, "side-reader", bench.now);
    bench.judge.shades.begin(Scope::These(vec!["side".to_owned()]), "side made anew", bench.now);
    bench.after(30);
    assert_eq!(bench.kinds(), Vec::<&str>::new());
}
