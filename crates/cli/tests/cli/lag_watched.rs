//! `ottla lag` over a time, and by the records' own timestamps.

use std::{
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    groups::commit,
    support::{Broker, Lines, numbers, rows, until},
};

/// What 12 looks show, of which each but the last two of the window's can be told apart.
fn watched(broker: &Broker, more: &[&str]) -> Vec<Value> {
    let args = ["lag", "g", "--watch", "--interval", "100ms", "--times", "12", "--output", "json"];
    rows(&broker.run(&[&args, more].concat()).ok())
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_group_whose_commits_stand_is_told_by_who_has_the_partition() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "g", "3");
    let seen = watched(&broker, &[]);
    assert_eq!(seen.len(), 12);
    assert!(seen[..9].iter().all(|row| row["status"].is_null()), "too early to tell: {seen:?}");
    assert!(seen[9..].iter().all(|row| row["status"] == "STOP"), "nobody has it: {seen:?}");
    assert!(seen.windows(2).all(|two| two[0]["at"].as_i64() < two[1]["at"].as_i64()), "{seen:?}");
    let args = ["consume", "t", "-G", "g", "-X", "enable.auto.commit=false"];
    let mut reader = broker.start_command(&args);
    Lines::of(&mut reader).take(7);
    let seen = watched(&broker, &[]);
    assert!(seen[9..].iter().all(|row| row["status"] == "STALL"), "a member has it: {seen:?}");
}

#[test]
fn a_group_that_has_read_all_is_ok_and_no_time_behind() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "g", "10");
    let row = &rows(&broker.run(&["lag", "g", "--output", "json"]).ok())[0];
    assert_eq!((&row["status"], &row["time_lag"]), (&"OK".into(), &0.0.into()));
    assert!(row.get("at").is_none(), "it is for those who look again: {row}");
}

#[test]
fn time_lag_is_the_age_of_the_record_that_is_read_next() {
    let broker = Broker::start(&["t:1"]);
    commit(&broker, "g", "0");
    let args = ["lag", "g", "--watch", "--interval", "200ms", "--output", "json"];
    let mut watch = broker.start_command(&args);
    let lines = Lines::of(&mut watch);
    let look = move || -> Value { serde_json::from_str(&lines.take(1)[0]).unwrap() };
    assert_eq!(look()["time_lag"], 0.0);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let written = now();
    sleep(Duration::from_millis(1_500));
    broker.produce(&["t"], &numbers(3..9)).ok();
    let told = until("a look that saw both", || Some(look()).filter(|row| row["lag"] == 9));
    let (age, truth) =
        (told["time_lag"].as_f64().unwrap(), (told["at"].as_i64().unwrap() - written) as f64 / 1e3);
    assert!(age >= truth - 0.1 && age <= truth + 1.0, "{age} s, not {truth} s");
    commit(&broker, "g", "3");
    let told = until("a look at the commit", || Some(look()).filter(|row| row["lag"] == 6));
    let age = told["time_lag"].as_f64().unwrap();
    assert!(age < truth, "what was read is not counted: {age} s");
    watch.terminate();
    watch.wait().ok();
}

#[test]
fn with_exact_the_records_own_timestamp_counts_also_of_what_is_old() {
    let broker = Broker::start(&["t:2"]);
    let before = now();
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    commit(&broker, "g", "4");
    commit(&broker, "other", "7");
    sleep(Duration::from_millis(1_200));
    let without = rows(&broker.run(&["lag", "--output", "json"]).ok());
    assert!(without.iter().all(|row| row["time_lag"].is_null()), "it was written before the first look");
    let exact = rows(&broker.run(&["lag", "--exact", "--output", "json"]).ok());
    assert_eq!(exact.len(), 2);
    for row in exact {
        let age = row["time_lag"].as_f64().unwrap();
        assert!(age >= 1.2 && age <= (now() - before) as f64 / 1e3, "{row}");
    }
}

#[test]
fn a_watch_goes_on_without_its_broker_says_so_once_and_ends_when_it_is_told_to() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    commit(&broker, "g", "1");
    let args = ["lag", "--watch", "--interval", "50ms", "-X", "default.api.timeout.ms=300"];
    let mut watch = broker.start_command(&args);
    let text = Lines::of(&mut watch).take(3);
    assert!(text[0].starts_with("GROUP") && text[1].starts_with("g ") && text[2].is_empty(), "{text:?}");
    let mut said = watch.stderr_lines();
    drop(broker);
    let complaint = said.find(|line| !line.contains("waiting") && !line.contains("it goes on"));
    assert!(complaint.is_some_and(|line| line.starts_with("ottla: ")));
    sleep(Duration::from_millis(1_500));
    watch.terminate();
    assert_eq!(watch.wait().status, Some(0));
}

#[test]
fn what_belongs_to_a_watch_is_refused_without_one() {
    let broker = Broker::start(&["t:1"]);
    for more in [["--interval", "1s"], ["--times", "3"]] {
        let refused = broker.run(&[&["lag"][..], &more].concat()).failed(2);
        assert!(refused.contains("--watch"), "{refused}");
    }
    broker.run(&["lag", "--watch", "--times", "0"]).failed(2);
    broker.run(&["lag", "--watch", "--interval", "0s"]).failed(2);
}
