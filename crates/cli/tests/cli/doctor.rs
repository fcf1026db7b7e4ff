//! `ottla doctor`: what it tells, in which form, and how it ends. That it names causes is shown by the conformance suite, fault by
//! fault.

use std::{net::TcpListener, time::Duration};

use ottla_broker::{ApiKey, Config, Fault, Server, TopicSpec};
use serde_json::Value;

use crate::{
    groups::commit,
    support::{Broker, Done, Process, numbers, ottla, rows, until},
};

const KEYS: [&str; 11] = [
    "severity",
    "finding",
    "group",
    "topic",
    "partition",
    "member",
    "broker",
    "address",
    "seen",
    "do",
    "millis",
];

pub(crate) fn findings(done: &Done) -> Vec<Value> {
    let rows = rows(&done.stdout);
    for row in &rows {
        assert!(KEYS.iter().all(|key| row.get(key).is_some()), "{row}");
        let is_bad = ["warning", "error"].contains(&row["severity"].as_str().unwrap());
        assert!(!is_bad || row["do"].is_string(), "each says what to do: {row}");
    }
    rows
}

pub(crate) fn found<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["finding"] == name).unwrap_or_else(|| panic!("no {name}: {rows:#?}"))
}

#[test]
fn where_all_is_well_each_check_says_so_and_the_status_is_0() {
    let broker = Broker::with(&["--brokers", "2", "--topic", "t:2"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    broker.run(&["groups", "reset-offsets", "-G", "g", "-t", "t", "--to-latest", "--execute"]).ok();
    let args = ["doctor", "--looks", "2", "--interval", "10ms"];
    let done = broker.run(&[&args[..], &["--output", "json"]].concat());
    assert_eq!((done.status, done.complaints().len()), (Some(0), 0), "{done:?}");
    let rows = findings(&done);
    for name in ["bootstrap", "broker", "versions", "features", "clock-unknown", "topics", "group"] {
        let severity = found(&rows, name)["severity"].as_str().unwrap();
        assert!(["ok", "info"].contains(&severity), "{name}: {rows:#?}");
    }
    assert_eq!(found(&rows, "group")["group"], "g");
    assert!(found(&rows, "bootstrap")["millis"].as_f64().unwrap() > 0.0);
    assert_eq!(rows.iter().filter(|row| row["finding"] == "broker").count(), 2);
    let text = broker.run(&args).ok();
    // A busy machine may make an answer a slow one, and that has a second line.
    let told = |line: &&str| !line.contains("slow: ") && !line.contains("-> ");
    let others = rows.iter().filter(|row| row["finding"] != "slow").count();
    assert_eq!(text.lines().filter(told).count(), others, "{text}");
    assert!(
        text.contains("ok       group: group `g`: Empty, classic, 0 members, 2 partitions, lag 0"),
        "{text}"
    );
}

#[test]
fn an_error_is_the_status_1_and_one_line_that_repeats_the_first_with_what_to_do() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "other", "10");
    let args = ["doctor", "--looks", "1"];
    broker.run(&args).ok();
    let named = broker.run(&[&args[..], &["-G", "nobody", "-G", "other"]].concat());
    let text = named.stdout.clone();
    assert!(
        text.contains("error    group-missing: group `nobody`: there is no such group\n         -> check"),
        "{text}"
    );
    let told = named.failed(1);
    assert!(told.starts_with("ottla: 1 error; the first: group-missing: group `nobody`: "), "{told}");
    assert!(told.contains("`ottla groups list`"), "{told}");
}

#[test]
fn a_group_that_nobody_reads_for_is_an_error_where_it_was_named() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "g", "4");
    let args = ["doctor", "--looks", "1", "--output", "json"];
    let all = broker.run(&args);
    assert_eq!(all.status, Some(0), "{all:?}");
    let warned = findings(&all);
    assert_eq!(found(&warned, "no-members")["severity"], "warning");
    assert_eq!(found(&warned, "no-members")["partition"], 0);
    let named = broker.run(&[&args[..], &["-G", "g"]].concat());
    assert_eq!(found(&findings(&named), "no-members")["severity"], "error");
    named.failed(1);
}

#[test]
fn one_address_of_several_that_is_dead_is_a_warning_and_the_rest_is_looked_at() {
    let broker = Broker::start(&["t:1"]);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let servers = format!("{dead},{}", broker.servers);
    let args = ["doctor", "-b", &servers, "--looks", "1", "--output", "json"];
    let done = Process::start(&mut ottla(&args)).wait();
    assert_eq!(done.status, Some(0), "{done:?}");
    let rows = findings(&done);
    let unreachable = found(&rows, "unreachable");
    assert_eq!(
        (&unreachable["severity"], unreachable["address"].as_str()),
        (&"warning".into(), Some(dead.as_str()))
    );
    found(&rows, "topics");
    let none = Process::start(&mut ottla(&["doctor", "-b", &dead, "--output", "json"])).wait();
    let rows = findings(&none);
    assert_eq!(found(&rows, "unreachable")["severity"], "error");
    found(&rows, "not-asked");
    none.failed(1);
}

#[test]
fn what_takes_a_while_says_so_and_tells_what_it_has_seen_when_it_is_stopped() {
    let config = Config { topics: vec![TopicSpec::new("t", 1)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let servers = server.bootstrap();
    let commit = ["groups", "reset-offsets", "-G", "g", "-t", "t:0", "--to-offset", "0", "--execute"];
    Process::start(ottla(&commit).env("OTTLA_BOOTSTRAP_SERVERS", &servers)).wait().ok();
    // Each look asks once: a fault that changes nothing counts them.
    server.with_cluster(|cluster| {
        cluster.faults().on(ApiKey::OffsetFetch).always().then(Fault::Delay(Duration::ZERO));
    });
    let args = ["doctor", "-b", &servers, "--looks", "1000", "--interval", "50ms"];
    let mut doctor = Process::start(&mut ottla(&args));
    // Nobody can write to a pipe that is not read any more.
    let mut lines = doctor.stderr_lines();
    // On a busy machine it may have waited for something else before.
    let said = lines.find(|line| line.starts_with("ottla: waiting: 1000 looks")).unwrap();
    assert!(said.contains("--looks 1"), "{said}");
    until("three looks", || (server.with_cluster(|cluster| cluster.faults().happened()) >= 3).then_some(()));
    doctor.terminate();
    let rest: Vec<String> = lines.collect();
    let done = doctor.wait();
    assert_eq!(done.status, Some(1), "{rest:?}");
    let last = rest.last().unwrap();
    assert!(last.starts_with("ottla: stopped after ") && last.contains("of 1000 looks"), "{rest:?}");
    assert!(last.ends_with("topics, transactions"), "{last}");
    assert!(done.stdout.contains("ok       group: group `g`: Empty, classic"), "{}", done.stdout);
    assert!(done.stdout.contains("info     not-asked: stopped after "), "{}", done.stdout);
}

#[test]
fn wrong_usage_is_told_before_anything_is_tried() {
    for args in [
        &["doctor", "--looks", "0"][..],
        &["doctor", "--interval", "soon"],
        &["doctor", "-X", "no.such.property=1"],
        &["doctor", "-b", "nothing"],
        &["doctor", "-X", "security.protocol=SSL", "-X", "ssl.truststore.location=/nowhere/at/all"],
    ] {
        let refused = Process::start(&mut ottla(args)).wait();
        assert_eq!((refused.status, refused.stdout.as_str()), (Some(2), ""), "{args:?}: {refused:?}");
    }
}

#[test]
fn nothing_is_written_however_much_is_looked_at() {
    let topics = vec![TopicSpec::new("t", 2)];
    let config = Config { brokers: 2, topics, ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let servers = server.bootstrap();
    let commit =
        ["groups", "reset-offsets", "-b", &servers, "-G", "g", "-t", "t", "--to-earliest", "--execute"];
    Process::start(&mut ottla(&commit)).wait().ok();
    let is = || {
        server.with_cluster(|cluster| {
            let topics: Vec<(String, usize)> =
                cluster.topics().map(|(name, partitions)| (name.to_owned(), partitions)).collect();
            let ends: Vec<_> = (0..2).map(|partition| cluster.log_end_offset("t", partition)).collect();
            let groups: Vec<String> = cluster.groups().map(str::to_owned).collect();
            (topics, ends, groups, cluster.committed("g"))
        })
    };
    let before = is();
    let args = ["doctor", "-b", &servers, "-G", "g", "-G", "nobody", "--looks", "2", "--interval", "10ms"];
    let done = Process::start(&mut ottla(&args)).wait();
    assert!(done.stdout.contains("nobody"), "{done:?}");
    assert_eq!(is(), before);
}
