//! `ottla cluster`, `topics describe`, `topics configs` and `topics offsets`.

use serde_json::{Value, json};

use crate::support::{Broker, numbers, rows};

#[test]
fn a_cluster_is_its_brokers() {
    let broker = Broker::with(&["--brokers", "3"]);
    let told = rows(&broker.run(&["cluster", "--output", "json"]).ok());
    let addresses: Vec<_> = told.iter().map(|row| row["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, broker.servers.split(',').collect::<Vec<_>>());
    assert_eq!(told.iter().filter(|row| row["controller"] == true).count(), 1, "{told:?}");
    assert!(told.iter().all(|row| row["cluster_id"] == told[0]["cluster_id"] && row["rack"].is_string()));
    assert!(told[0]["cluster_id"].is_string());
    let features = told[0]["features"].as_array().unwrap();
    assert!(features.contains(&json!("transaction.version=2")), "{features:?}");
    let text = broker.run(&["cluster"]).ok();
    let titles: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(titles, ["BROKER", "ADDRESS", "RACK", "CONTROLLER", "CLUSTER-ID", "FEATURES"]);
}

#[test]
fn what_a_broker_does_not_know_of_topics_is_unknown_and_no_failure() {
    let broker = Broker::start(&["t:1"]);
    let done = broker.run(&["topics", "describe", "t", "--output", "json"]);
    assert!(done.complaints().is_empty(), "{done:?}");
    let row = rows(&done.ok()).remove(0);
    // As Kafka's tools write it: 16 bytes in base64 for URLs.
    let id = row["topic_id"].as_str().unwrap();
    assert!(id.len() == 22 && id.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)), "{id}");
    for unknown in ["elr", "last_known_elr", "configs"] {
        assert_eq!(row[unknown], Value::Null, "{row}");
    }
    let refused = broker.run(&["topics", "configs", "t"]).failed(1);
    assert!(refused.contains("DescribeConfigs"), "{refused}");
}

#[test]
fn offsets_are_those_of_a_time_or_of_the_logs_ends() {
    let broker = Broker::start(&["t:2", "u:1"]);
    broker.produce(&["t", "-p", "1"], &numbers(0..3)).ok();
    let stamps = broker.run(&["consume", "t", "-p", "1", "-e", "-f", "%T "]).ok();
    let stamps: Vec<i64> = stamps.split_whitespace().map(|stamp| stamp.parse().unwrap()).collect();
    let of = |args: &[&str]| {
        let done = broker.run(&[&["topics", "offsets", "--output", "json"], args].concat());
        let row = |row: &Value| (row["topic"].clone(), row["partition"].clone(), row["offset"].clone());
        rows(&done.ok()).iter().map(row).collect::<Vec<_>>()
    };
    let row =
        |topic: &str, partition: i32, offset: Option<i64>| (json!(topic), json!(partition), json!(offset));
    let ends = [row("t", 0, Some(0)), row("t", 1, Some(3)), row("u", 0, Some(0))];
    assert_eq!(of(&[]), ends);
    assert_eq!(of(&["t:1"]), ends[1..2]);
    assert_eq!(of(&["-t", "t", "--time", "earliest"]), [row("t", 0, Some(0)), row("t", 1, Some(0))]);
    assert_eq!(of(&["t", "--time", "-2"]), of(&["t", "--time", "earliest"]));
    let first = stamps[0].to_string();
    assert_eq!(of(&["t", "--time", &first]), [row("t", 0, None), row("t", 1, Some(0))]);
    // As kcat -Q has it.
    let late = format!("t:1:{}", stamps[2] + 1);
    assert_eq!(of(&["-t", &format!("t:1:{first}"), "-t", &late]), [row("t", 1, Some(0)), row("t", 1, None)]);
    assert_eq!(of(&["t:0,1:-1", "u:0:-2"]), ends);
    for wrong in ["t:1:soon", "t:x", "t:1:-9"] {
        broker.run(&["topics", "offsets", wrong]).failed(2);
    }
    broker.run(&["topics", "offsets", "t", "--time", "soon"]).failed(2);
    let refused = broker.run(&["topics", "offsets", "t:7"]).failed(1);
    assert!(refused.contains("t-7"), "{refused}");
}
