//! The examples of the guide, on an embedded broker: each shows what its page says.

#[path = "../../examples/guide/catching_up.rs"]
mod catching_up;
#[path = "../../examples/guide/each_batch.rs"]
mod each_batch;
#[path = "../../examples/guide/failover.rs"]
mod failover;
#[path = "../../examples/guide/key_order.rs"]
mod key_order;
#[path = "../../examples/guide/retry_and_dead_letter.rs"]
mod retry_and_dead_letter;
#[path = "../../examples/guide/scaling_out.rs"]
mod scaling_out;
#[path = "../../examples/guide/time_based.rs"]
mod time_based;

use crate::{
    common::PATIENCE,
    place::{Failure, Place},
};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide");

#[test]
fn each_page_of_the_guide_is_in_its_index_and_names_an_example_that_is_there() {
    let read = |name: &str| std::fs::read_to_string(format!("{GUIDE}/{name}")).unwrap();
    let index = read("README.md");
    let mut pages: Vec<String> = std::fs::read_dir(GUIDE)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.retain(|name| name != "README.md");
    assert_eq!(pages.len(), 9);
    for name in pages {
        assert!(index.contains(&format!("]({name})")), "the index has not {name}");
        let page = read(&name);
        let code =
            page.split("](../../crates/client/examples/").nth(1).and_then(|rest| rest.split(')').next());
        let code = code.unwrap_or_else(|| panic!("{name} names no example"));
        assert!(
            std::fs::exists(format!("{GUIDE}/../../crates/client/examples/{code}")).unwrap(),
            "{name}: {code}"
        );
        assert!(!page.contains("{{"), "{name} shows what was printed");
    }
}

/// What an example shows.
async fn shown(example: impl AsyncFnOnce(&Place) -> Result<(), Failure>) -> Vec<String> {
    let place = Place::new(None).unwrap();
    tokio::time::timeout(PATIENCE, example(&place)).await.unwrap().unwrap();
    place.lines()
}

/// The lines that begin so, in order.
fn beginning<'a>(lines: &'a [String], with: &str) -> Vec<&'a str> {
    lines.iter().map(String::as_str).filter(|line| line.starts_with(with)).collect()
}

#[tokio::test]
async fn batches_of_the_example_store_all_and_begin_again_behind_what_is_stored() {
    let lines = shown(each_batch::run).await;
    assert_eq!(beginning(&lines, "  the database is down").len(), 1, "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.starts_with("a batch of") && line.contains("attempt 2")),
        "{lines:#?}"
    );
    let stored = beginning(&lines, "  stored ").join(", ").replace("  stored ", "");
    assert_eq!(stored, (0..10).map(|n| format!("{n} kWh")).collect::<Vec<_>>().join(", "));
}

#[tokio::test]
async fn a_payment_of_the_example_is_paid_at_once_in_place_or_later_or_is_a_dead_letter() {
    let lines = shown(retry_and_dead_letter::run).await;
    let expected = [
        "paid 12 in attempt 1 from payments",
        "paid 13 in attempt 2 from payments",
        "paid 14 in attempt 1 from payments-retry-300",
        "payments-0, offset 3, went to payments-dlt",
        "dead: offset 3 of payments, after 1 attempts: invalid digit found in string",
    ];
    assert!(expected.iter().all(|line| lines.iter().any(|it| it == line)), "{lines:#?}");
    assert_eq!(beginning(&lines, "dead: offset 4 of payments, after ").len(), 1, "{lines:#?}");
}

#[tokio::test]
async fn a_slow_customer_of_the_example_holds_up_only_herself() {
    let lines = shown(key_order::run).await;
    for customer in ["alice", "bob", "carol"] {
        let orders: Vec<&str> =
            beginning(&lines, customer).iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(orders, ["1st", "2nd", "3rd"], "{lines:#?}");
    }
    assert!(!lines[0].starts_with("alice"), "{lines:#?}");
}

#[tokio::test]
async fn a_reminder_of_the_example_comes_when_its_time_has_come_and_an_old_one_not_at_all() {
    let lines = shown(time_based::run).await;
    for meal in ["breakfast", "lunch", "supper"] {
        assert_eq!(
            lines.iter().filter(|line| line.starts_with(meal) && line.contains("late")).count(),
            1,
            "{lines:#?}"
        );
    }
    assert_eq!(beginning(&lines, "1 too old, at offset 1").len(), 1, "{lines:#?}");
    assert!(
        lines.iter().filter(|line| line.contains("late")).all(|line| line.ends_with("attempt 1")),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn a_second_member_of_the_example_takes_half_and_nothing_is_handled_twice() {
    let lines = shown(scaling_out::run).await;
    assert_eq!(lines[0], "alone: one handled 400 records of the partitions {0, 1, 2, 3}");
    assert_eq!(lines.last().unwrap(), "0 were handled twice", "{lines:#?}");
    assert_eq!(beginning(&lines, "together: two handled ").len(), 1, "{lines:#?}");
}

#[tokio::test]
async fn of_a_member_of_the_example_that_is_gone_another_handles_what_was_not_done() {
    let lines = shown(failover::run).await;
    assert_eq!(lines[0], "the first did {0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11}, and is gone");
    // And what was done since the last commit, where there was any.
    let again = lines[1].strip_prefix("the second did {").unwrap().trim_end_matches('}');
    let again: Vec<i64> = again.split(", ").map(|offset| offset.parse().unwrap()).collect();
    assert!(again.contains(&3) && again.len() < 12, "{lines:#?}");
}

#[tokio::test]
async fn the_example_catches_up_with_many_handlers_at_once() {
    let lines = shown(catching_up::run).await;
    let behind: Vec<u32> =
        lines.iter().filter_map(|line| line.strip_suffix(" behind")?.parse().ok()).collect();
    assert_eq!((behind.first(), behind.last()), (Some(&4000), Some(&0)), "{lines:#?}");
    assert!(behind.is_sorted_by(|before, after| before >= after), "{lines:#?}");
    let last = lines.last().unwrap();
    assert!(last.contains(" handlers at once; one would have taken 20.0s"), "{last}");
}
