//! `ottla demo`.

use crate::support::run;

fn figures(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn it_loses_nothing_repeats_nothing_and_prints_the_line_of_the_contract() {
    let done = run(&["demo", "--records", "20000", "--output", "json"]);
    let stderr = done.stderr.clone();
    let stdout = done.ok();
    let figures = figures(stdout.lines().last().unwrap());
    let keys =
        ["produced", "consumed", "lost", "duplicates", "rebalances", "seconds", "records_per_second", "lag"];
    let places: Vec<_> = keys.map(|key| stdout.find(&format!("\"{key}\":")).unwrap()).into();
    assert!(places.is_sorted(), "{stdout}");
    assert_eq!((&figures["produced"], &figures["consumed"]), (&20_000.into(), &20_000.into()));
    assert_eq!(
        (&figures["lost"], &figures["duplicates"], &figures["lag"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert!(figures["rebalances"].as_u64().unwrap() >= 2, "{stdout}{stderr}");
    assert!(stderr.contains("lag"), "{stderr}");
}

#[test]
fn a_record_hidden_from_the_check_makes_it_fail() {
    let done = run(&["demo", "--records", "20000", "--inject-loss", "--output", "json"]);
    assert_eq!(done.status, Some(1), "{done:?}");
    let figures = figures(done.stdout.lines().last().unwrap());
    assert_eq!((&figures["consumed"], &figures["lost"]), (&19_999.into(), &1.into()));
    assert!(done.stderr.lines().last().unwrap().starts_with("ottla: 1 of 20000"), "{done:?}");
}

#[test]
fn one_consumer_and_few_records_are_enough() {
    let stdout = run(&["demo", "--records", "3", "--consumers", "1", "--partitions", "2"]).ok();
    assert!(stdout.contains("lost        0"), "{stdout}");
}

#[test]
fn consumers_that_would_have_nothing_to_read_are_refused() {
    let refused = run(&["demo", "--consumers", "5", "--partitions", "4"]).failed(2);
    assert!(refused.contains("--consumers 5"), "{refused}");
}
