//! `ottla topics`, `groups` and `lag`.

use serde_json::{Value, json};

use crate::support::{Broker, Lines, numbers, rows};

#[test]
fn a_topic_is_created_grown_described_and_deleted() {
    let broker = Broker::start(&[]);
    broker.run(&["topics", "create", "t", "-p", "2"]).ok();
    let listed = rows(&broker.run(&["topics", "list", "--output", "json"]).ok());
    assert_eq!(listed, [json!({"topic": "t", "partitions": 2, "replication_factor": 1})]);
    broker.run(&["topics", "add-partitions", "t", "-p", "3"]).ok();
    let described = rows(&broker.run(&["topics", "describe", "t", "--output", "json"]).ok());
    assert_eq!(described.len(), 3);
    let first = json!({"topic": "t", "partition": 0, "leader": 1, "leader_epoch": 0, "replicas": [1], "isr": [1],
        "topic_id": described[0]["topic_id"], "elr": null, "last_known_elr": null, "configs": null});
    assert_eq!(described[0], first);
    let text = broker.run(&["topics", "describe", "t"]).ok();
    let titles: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
    let expected = [
        "TOPIC",
        "PARTITION",
        "LEADER",
        "LEADER-EPOCH",
        "REPLICAS",
        "ISR",
        "TOPIC-ID",
        "ELR",
        "LAST-KNOWN-ELR",
        "CONFIGS",
    ];
    assert_eq!(titles, expected, "new ones follow those that scripts know");
    broker.run(&["topics", "delete", "t"]).ok();
    assert_eq!(broker.run(&["topics", "list"]).ok(), "TOPIC  PARTITIONS  REPLICATION-FACTOR\n");
}

#[test]
fn what_cannot_be_done_to_a_topic_is_told() {
    let broker = Broker::start(&["t:2"]);
    for (args, says) in [
        (&["topics", "create", "t"][..], "exists"),
        (&["topics", "create", "a/b"], "a/b"),
        (&["topics", "add-partitions", "t", "-p", "2"], "t"),
        (&["topics", "describe", "nope"], "no such topic"),
        (&["topics", "delete", "nope"], "no such topic"),
    ] {
        let refused = broker.run(args).failed(1);
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn lag_shows_every_column_and_null_for_what_is_unknown() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    let mut reader = broker.start_command(&["consume", "t", "-G", "g", "-o", "beginning"]);
    Lines::of(&mut reader).take(10);
    let during = rows(&broker.run(&["lag", "-G", "g", "--output", "json"]).ok());
    assert!(during.iter().all(|row| row["member"].is_string() && row["host"].is_string()), "{during:?}");
    reader.terminate();
    reader.wait().ok();
    broker.produce(&["t", "-p", "0"], &numbers(10..13)).ok();
    let after = rows(&broker.run(&["lag", "--output", "json"]).ok());
    let expected = json!({"group": "g", "topic": "t", "partition": 0, "current_offset": 10, "log_end_offset": 13,
        "lag": 3, "time_lag": null, "status": null, "member": null, "host": null, "client": null,
        "log_start_offset": 0, "note": null, "group_state": "Empty"});
    assert_eq!(after[0], expected);
    let titles = |args: &[&str]| {
        let text = broker.run(args).ok();
        text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let expected = "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG TIME-LAG STATUS MEMBER HOST \
                    CLIENT LOG-START-OFFSET NOTE GROUP-STATE";
    assert_eq!(titles(&["lag", "-G", "g"]), expected);
    assert_eq!(titles(&["lag", "-G", "g", "--verbose"]), format!("{expected} LEADER-EPOCH"));
}

#[test]
fn groups_are_listed_and_described_member_by_member() {
    let broker = Broker::with(&["--brokers", "2", "--topic", "t:2"]);
    let mut reader =
        broker.start_command(&["consume", "t", "-G", "g", "-o", "beginning", "-X", "client.id=me"]);
    broker.produce(&["t"], "a\n").ok();
    Lines::of(&mut reader).take(1);
    let listed = rows(&broker.run(&["groups", "list", "--output", "json"]).ok());
    assert_eq!((&listed[0]["group"], &listed[0]["protocol_type"]), (&"g".into(), &"consumer".into()));
    let described = rows(&broker.run(&["groups", "describe", "-G", "g", "--output", "json"]).ok());
    let row = &described[0];
    assert_eq!(
        (&row["state"], &row["client"], &row["assignor"]),
        (&"Stable".into(), &"me".into(), &"range".into())
    );
    assert_eq!((&row["partitions"], &row["instance"]), (&json!(["t-0", "t-1"]), &Value::Null));
    assert_eq!((&row["partition_count"], &row["type"]), (&json!(2), &"classic".into()));
    let address = row["coordinator_address"].as_str().unwrap();
    assert!(broker.servers.split(',').any(|server| server == address), "{address}");
}

#[test]
fn a_group_that_is_not_there_is_told() {
    let broker = Broker::start(&[]);
    for args in [["lag", "-G", "none"], ["groups", "describe", "none"]].map(|args| args.to_vec()) {
        let refused = broker.run(&args).failed(1);
        assert!(refused.contains("group `none`: no such group"), "{refused}");
    }
}

#[test]
fn the_oldest_records_are_deleted_once_it_is_to_be_executed() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    let delete =
        |more: &[&str]| broker.run(&[&["topics", "delete-records", "--output", "json"], more].concat());
    let row = |begin: i64, new: i64| {
        json!({"topic": "t", "partition": 0, "log_start_offset": begin, "log_end_offset": 10, "records": new - begin,
            "new_log_start_offset": new})
    };
    let dry = delete(&["t:0", "--before", "4"]);
    assert!(dry.complaints()[0].contains("--execute"), "{dry:?}");
    assert_eq!(rows(&dry.ok()), [row(0, 4)]);
    assert_eq!(rows(&delete(&["t:0", "--before", "4", "--execute"]).ok()), [row(0, 4)]);
    let left = broker.run(&["consume", "t", "-e"]).ok();
    assert_eq!(left, numbers(4..10));
    assert_eq!(rows(&delete(&["t:0", "--before", "2", "--execute"]).ok()), [row(4, 4)], "it is gone already");
    let refused = delete(&["t", "--before", "11", "--execute"]);
    assert!(refused.complaints().iter().all(|line| line.contains("nothing is deleted")), "{refused:?}");
    assert_eq!((refused.status, broker.run(&["consume", "t", "-e"]).ok()), (Some(1), numbers(4..10)));
    assert_eq!(rows(&delete(&["t", "--all", "--execute"]).ok()).len(), 2);
    assert_eq!(broker.run(&["consume", "t", "-e"]).ok(), "");
    delete(&["t"]).failed(2);
    delete(&["t", "--all", "--before", "3"]).failed(2);
    delete(&["t:x", "--all"]).failed(2);
    assert!(delete(&["t:7", "--all"]).failed(1).contains("t-7"));
    assert!(delete(&["none", "--all"]).failed(1).contains("no such topic"));
}
