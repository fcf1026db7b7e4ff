//! `ottla consume -G`.

use std::io::Write;

use crate::support::{Broker, Lines, Process, numbers, rows, until};

/// Of each partition what is committed, or -1, and the end.
pub(crate) fn committed(broker: &Broker, group: &str) -> Vec<(i64, i64)> {
    let done = broker.run(&["lag", "-G", group, "--output", "json"]);
    let offset = |row: &serde_json::Value, key: &str| row[key].as_i64().unwrap_or(-1);
    rows(&done.ok())
        .iter()
        .map(|row| (offset(row, "current_offset"), offset(row, "log_end_offset")))
        .collect()
}

#[test]
fn it_commits_what_it_printed_and_goes_on_from_there() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    assert_eq!(broker.run(&["consume", "t", "-G", "g", "-o", "beginning", "-c", "4"]).ok(), numbers(0..4));
    assert_eq!(committed(&broker, "g"), [(4, 10)]);
    assert_eq!(broker.run(&["consume", "t", "-G", "g", "-e"]).ok(), numbers(4..10));
    assert_eq!(committed(&broker, "g"), [(10, 10)]);
}

#[test]
fn without_an_offset_it_begins_at_the_end() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    assert_eq!(broker.run(&["consume", "t", "-G", "g", "-e"]).ok(), "");
}

#[test]
fn sigterm_commits_and_leaves() {
    let broker = Broker::start(&["t:3"]);
    broker.produce(&["t"], &numbers(0..1000)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-X", "auto.commit.interval.ms=600000"];
    let mut reader = broker.start_command(&args);
    let lines = Lines::of(&mut reader);
    assert_eq!(lines.take(1000).len(), 1000);
    reader.terminate();
    assert_eq!(reader.wait().status, Some(0));
    assert!(committed(&broker, "g").iter().all(|(current, end)| current == end));
    let group = rows(&broker.run(&["groups", "describe", "g", "--output", "json"]).ok());
    assert_eq!((&group[0]["state"], &group[0]["member"]), (&"Empty".into(), &serde_json::Value::Null));
}

#[test]
fn it_commits_while_it_reads() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-X", "auto.commit.interval.ms=50"];
    let mut reader = broker.start_command(&args);
    let lines = Lines::of(&mut reader);
    lines.take(10);
    until("the commit", || (committed(&broker, "g") == [(10, 10)]).then_some(()));
    reader.terminate();
    assert_eq!(reader.wait().status, Some(0));
}

#[test]
fn what_a_closed_pipe_did_not_take_is_not_committed() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..300_000)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-X", "auto.commit.interval.ms=600000"];
    let mut reader = broker.start_command(&args);
    drop(reader.stdout());
    assert_eq!(reader.wait().status, Some(0));
    let group = rows(&broker.run(&["groups", "describe", "g", "--output", "json"]).ok());
    assert_eq!(group[0]["member"], serde_json::Value::Null, "it has left");
    assert_eq!(broker.run(&["consume", "t", "-G", "g", "-o", "beginning", "-c", "1"]).ok(), "0\n");
}

#[test]
fn two_share_the_topic_and_nothing_is_read_twice() {
    let broker = Broker::start(&["t:4"]);
    broker.produce(&["t"], &numbers(0..50_000)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-X", "heartbeat.interval.ms=100"];
    let mut one = broker.start_command(&args);
    let of_one = Lines::of(&mut one);
    let mut seen = of_one.take(100);
    let mut two = broker.start_command(&args);
    let of_two = Lines::of(&mut two);
    until("both are members", || {
        let group = rows(&broker.run(&["groups", "describe", "g", "--output", "json"]).ok());
        (group.len() == 2 && group.iter().all(|row| row["partitions"].as_array().unwrap().len() == 2))
            .then_some(())
    });
    // Spread over the partitions, so that each of the two gets some.
    for partition in ["0", "1", "2", "3"] {
        broker.produce(&["t", "-p", partition], "more\n").ok();
    }
    until("lag 0", || committed_all(&broker).then_some(()));
    one.terminate();
    two.terminate();
    assert_eq!((one.wait().status, two.wait().status), (Some(0), Some(0)));
    seen.extend(of_one.rest());
    let of_two = of_two.rest();
    assert!(!of_two.is_empty());
    seen.extend(of_two);
    assert_eq!(seen.len(), 50_004);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 50_001);
}

fn committed_all(broker: &Broker) -> bool {
    committed(broker, "g").iter().all(|(current, end)| current == end)
}

#[test]
fn auto_commit_can_be_switched_off() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-e", "-X", "enable.auto.commit=false"];
    assert_eq!(broker.run(&args).ok(), numbers(0..10));
    assert_eq!(broker.run(&args).ok(), numbers(0..10));
}

#[test]
fn an_idle_member_ends_with_e_too() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..1)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-X", "heartbeat.interval.ms=100"];
    let mut first = broker.start_command(&args);
    Lines::of(&mut first).take(1);
    assert_eq!(broker.run(&[&args[..], &["-e"]].concat()).status, Some(0));
}

#[test]
fn a_commit_that_fails_at_the_end_is_told() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    let args = ["-X", "default.api.timeout.ms=1000", "-X", "auto.commit.interval.ms=600000"];
    let mut reader =
        broker.start_command(&[&["consume", "t", "-G", "g", "-o", "beginning"], &args[..]].concat());
    Lines::of(&mut reader).take(10);
    broker.stop();
    reader.terminate();
    let refused = reader.wait().failed(1);
    assert!(refused.contains("default.api.timeout"), "{refused}");
}

#[test]
fn e_commits_no_further_than_it_printed_while_more_is_written() {
    let broker = Broker::start(&["t:4"]);
    let mut producer = Process::start(
        broker.command(&["produce", "t", "-X", "batch.size=1000"]).stdin(std::process::Stdio::piped()),
    );
    let mut stdin = producer.stdin();
    let writer = std::thread::spawn(move || {
        for chunk in 0..200 {
            stdin.write_all(numbers(chunk * 1000..(chunk + 1) * 1000).as_bytes()).unwrap();
        }
    });
    let mut printed = 0;
    let mut rounds = 0;
    while printed < 200_000 {
        printed += broker.run(&["consume", "t", "-G", "g", "-o", "beginning", "-e"]).ok().lines().count();
        let offsets = committed(&broker, "g").into_iter().map(|(current, _)| current.max(0));
        assert_eq!(offsets.sum::<i64>(), printed as i64);
        rounds += 1;
        assert!(rounds < 1000);
    }
    writer.join().unwrap();
    assert_eq!(producer.wait().status, Some(0));
    assert_eq!(printed, 200_000);
}

#[test]
fn a_group_that_begins_at_the_end_says_what_it_leaves_out() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let done = broker.run(&["consume", "t", "-G", "new", "-e"]);
    assert!(done.stderr.contains("no committed offset for t-0 (at 3)"), "{done:?}");
    assert_eq!(done.ok(), "");
    let again = broker.run(&["consume", "t", "-G", "new", "-e"]);
    assert!(again.complaints().is_empty(), "it has one now: {again:?}");
}

#[test]
fn groups_and_topics_answer_to_one_name_and_lag_to_a_bare_group() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    broker.run(&["consume", "t", "-G", "g", "-e", "-o", "earliest"]).ok();
    assert!(broker.run(&["lag", "g"]).ok().contains("g      t"), "the row of g");
    assert!(broker.run(&["group", "describe", "g"]).ok().contains('g'));
    assert!(broker.run(&["topic", "list"]).ok().contains('t'));
}
