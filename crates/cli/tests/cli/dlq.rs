//! `ottla dlq`.

use crate::{
    group::committed,
    support::{Broker, Done, rows, until},
};

/// Each of these records becomes a dead letter in `t-dlt`: its value is what its handler said.
fn fail(broker: &Broker, group: &str) {
    let exec = r#"read -r v; echo "no $v" >&2; echo more >&2; exit 65"#;
    let args =
        ["process", "t", "-G", group, "--exec", exec, "--dead-letter", "t-dlt", "--order", "partition"];
    let running = broker.start_command(&args);
    until("all are given up", || {
        let is_there = broker.run(&["groups", "list"]).ok().contains(&format!("{group} "));
        let partitions = if is_there { committed(broker, group) } else { Vec::new() };
        let is_done = partitions.iter().all(|(current, end)| *current.max(&0) == *end);
        (!partitions.is_empty() && is_done).then_some(())
    });
    running.terminate();
    running.wait().ok();
}

fn with_letters() -> Broker {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "0", "-K", ":", "-H", "own=1"], "k:a\nk:b\n").ok();
    broker.produce(&["t", "-p", "1"], "a\n").ok();
    fail(&broker, "g");
    broker
}

/// All that is in `t`, by partition and offset.
fn all(broker: &Broker, topic: &str) -> Vec<String> {
    let out = broker.run(&["consume", topic, "-e", "-f", "%p %o %k %s %h\n"]).ok();
    let mut lines: Vec<String> = out.lines().map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

fn sent(done: Done) -> Vec<(i64, String, i64)> {
    let row = |row: &serde_json::Value| {
        let partition = row["partition"].as_i64().unwrap();
        (partition, row["to"].as_str().unwrap().to_owned(), row["records"].as_i64().unwrap())
    };
    rows(&done.ok()).iter().map(row).collect()
}

#[test]
fn dead_letters_are_counted_by_where_they_come_from_and_why() {
    let broker = with_letters();
    broker.produce(&["t-dlt", "-p", "1"], "no letter\n").ok();
    let listed = rows(&broker.run(&["dlq", "list", "t-dlt", "--output", "json"]).ok());
    let row = |topic: Option<&str>, partition: Option<i32>, reason: &str| serde_json::json!({ "origin_topic": topic, "origin_partition": partition, "records": 1, "reason": reason });
    let expected = [
        row(None, None, "no dead letter"),
        row(Some("t"), Some(0), "exit status 65: no a"),
        row(Some("t"), Some(0), "exit status 65: no b"),
        row(Some("t"), Some(1), "exit status 65: no a"),
    ];
    assert_eq!(listed, expected);
    assert_eq!(rows(&broker.run(&["dlq", "list", "t-dlt:1", "--output", "json"]).ok()).len(), 2);
    assert!(broker.run(&["dlq", "list", "nope"]).failed(1).contains("topic `nope`"));
}

#[test]
fn a_dead_letter_is_shown_with_why_it_failed() {
    let broker = with_letters();
    let shown = rows(&broker.run(&["dlq", "show", "t-dlt:0:1", "-J"]).ok());
    let [letter] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!((&letter["origin_topic"], &letter["origin_offset"]), (&"t".into(), &1.into()));
    assert_eq!((&letter["group"], &letter["attempts"]), (&"g".into(), &1.into()));
    assert_eq!((&letter["key"], &letter["payload"]), (&"k".into(), &"b".into()));
    assert_eq!(letter["headers"], serde_json::json!(["own", "1"]));
    assert_eq!(letter["message"], "exit status 65: no b\nmore");
    assert_eq!(letter["trace"], serde_json::Value::Null, "this profile has none");
    let text = broker.run(&["dlq", "show", "t-dlt:0"]).ok();
    for part in
        ["t-dlt-0 offset 0\n", "from      t-0 offset 0\n", "error     exit status 65: no a\n", "more\n"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(rows(&broker.run(&["dlq", "show", "t-dlt", "-J", "-c", "2"]).ok()).len(), 2);
    assert!(broker.run(&["dlq", "show", "t-dlt:0:9"]).failed(1).contains("no such offset 9"));
}

#[test]
fn a_replay_sends_nothing_before_it_is_told_to_and_each_letter_once() {
    let broker = with_letters();
    let before = all(&broker, "t");
    let expected = [(0, "t".to_owned(), 2), (1, "t".to_owned(), 1)];
    let replay = ["dlq", "replay", "t-dlt", "--output", "json"];
    let dry = broker.run(&replay);
    assert!(dry.stderr.contains("a dry run"), "{dry:?}");
    assert_eq!(sent(dry), expected);
    assert_eq!(all(&broker, "t"), before);
    let execute = [&replay[..], &["--execute"]].concat();
    assert_eq!(sent(broker.run(&execute)), expected);
    let after = ["0 0 k a own=1", "0 1 k b own=1", "0 2 k a own=1", "0 3 k b own=1", "1 0  a ", "1 1  a "];
    assert_eq!(all(&broker, "t"), after, "key, value and own headers, in their partitions");
    assert_eq!(sent(broker.run(&execute)), [], "all of it was sent");
    assert_eq!(sent(broker.run(&[&execute[..], &["-G", "another"]].concat())), expected);
}

#[test]
fn one_letter_is_sent_as_often_as_it_is_named_and_to_where_it_is_told() {
    let broker = with_letters();
    let args = ["dlq", "replay", "t-dlt:0:1", "--to", "fixed", "--execute"];
    broker.run(&["topics", "create", "fixed", "-p", "1"]).ok();
    broker.run(&args).ok();
    broker.run(&args).ok();
    assert_eq!(all(&broker, "fixed"), ["0 0 k b own=1", "0 1 k b own=1"]);
}

#[test]
fn what_cannot_be_sent_ends_the_replay_and_is_sent_by_the_next() {
    let broker = with_letters();
    let replay = ["dlq", "replay", "t-dlt:0", "--to", "later", "--execute"];
    let refused = broker.run(&replay);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    let last = refused.stderr.lines().last().unwrap();
    assert!(last.contains("t-dlt-0 offset 0: not sent") && last.contains("topic `later`"), "{last}");
    broker.run(&["topics", "create", "later", "-p", "1"]).ok();
    broker.run(&replay).ok();
    assert_eq!(all(&broker, "later"), ["0 0 k a own=1", "0 1 k b own=1"]);
}

#[test]
fn what_is_no_letter_is_told_and_left_out() {
    let broker = Broker::start(&["t-dlt:1"]);
    broker.produce(&["t-dlt"], "x\n").ok();
    let done = broker.run(&["dlq", "replay", "t-dlt", "--execute"]);
    assert!(done.stderr.contains("t-dlt-0 offset 0: no dead letter; left out"), "{done:?}");
    assert_eq!(done.ok().lines().count(), 1, "the table is empty");
}

#[test]
fn springs_and_connects_letters_are_read_too() {
    let broker = Broker::start(&["t:1", "t-dlt:1"]);
    let connect = ["-H", "__connect.errors.topic=t", "-H", "__connect.errors.partition=0"];
    let more = ["-H", "__connect.errors.offset=7", "-H", "__connect.errors.exception.message=bad"];
    broker.produce(&[&["t-dlt", "-H", "own=1"][..], &connect, &more].concat(), "one\n").ok();
    // Of Spring's a partition and an offset are no text: these do not read, and hide nothing.
    let spring = ["-H", "kafka_dlt-original-topic=t", "-H", "kafka_dlt-exception-message=worse"];
    broker
        .produce(&[&["t-dlt"][..], &spring, &["-H", "kafka_dlt-original-partition=x"]].concat(), "two\n")
        .ok();
    let shown = rows(&broker.run(&["dlq", "show", "t-dlt", "-J"]).ok());
    let told = |at: usize| (shown[at]["profile"].as_str().unwrap(), shown[at]["message"].as_str().unwrap());
    assert_eq!([told(0), told(1)], [("connect", "bad"), ("spring", "worse")]);
    assert_eq!(shown[1]["origin_partition"], serde_json::Value::Null);
    broker.run(&["dlq", "replay", "t-dlt", "--execute"]).ok();
    assert_eq!(all(&broker, "t"), ["0 0  one own=1", "0 1  two "]);
}
