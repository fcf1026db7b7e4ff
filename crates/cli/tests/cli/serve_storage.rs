//! `ottla serve --data-dir`: what it finds again, and what it makes of a folder that cannot be had.

use std::{fs, process::Command, time::Duration};

use ottla_broker::{ApiKey, Config, Fault, Server, TopicSpec};
use serde_json::Value;

use crate::{
    groups::commit,
    serve::Served,
    support::{Broker, Dir, Lines, Process, numbers, ottla, until},
};

const FLAGS: [&str; 4] = ["--interval", "100ms", "--listen", "127.0.0.1:0"];

fn serve(broker: &Broker, dir: &Dir, more: &[&str]) -> Served {
    let flags = if more.is_empty() { &FLAGS[..] } else { &FLAGS[2..] };
    let mut command = broker.command(&["serve", "--data-dir", dir.path()]);
    Served::of(Process::start(command.args(flags).args(more))).ready()
}

fn stop(served: Served) -> Vec<Value> {
    let points = points(&served);
    served.process.terminate();
    let done = served.process.wait();
    assert!(done.complaints().is_empty(), "{done:?}");
    done.ok();
    points
}

fn points(served: &Served) -> Vec<Value> {
    served.json("/api/groups/g/history")["points"].as_array().unwrap().clone()
}

#[test]
fn the_next_process_has_the_chart_with_a_gap_and_knows_time_lag_and_status_at_once() {
    let broker = Broker::start(&["t:1"]);
    let dir = Dir::new("serve-restart");
    broker.produce(&["t"], &numbers(0..3)).ok();
    commit(&broker, "g", "3");
    let served = serve(&broker, &dir, &[]);
    broker.produce(&["t"], &numbers(3..10)).ok();
    until("nobody commits", || (served.group("g")["status"] == "STOP").then_some(()));
    let age = served.group("g")["time_lag"].as_f64().expect("written while it looked");
    let events = served.events();
    let before = stop(served);
    assert!(events.iter().any(|(kind, it)| kind == "status" && it["to"] == "STOP"));

    broker.produce(&["t"], &numbers(10..20)).ok();
    let served = serve(&broker, &dir, &[]);
    let group = served.group("g");
    assert_eq!((&group["status"], &group["lag"]), (&"STOP".into(), &17.into()), "{group}");
    assert!(group["time_lag"].as_f64().unwrap() > age, "{group}, {age} before");
    let told = until("it has told what was", || served.events().try_recv().ok());
    assert_eq!((told.0.as_str(), &told.1["to"]), ("status", &"STOP".into()), "{told:?}");
    let after = points(&served);
    assert!(after.starts_with(&before), "{before:?} is not how {after:?} begins");
    // It may have looked once more between its last answer and its end.
    let gap = after[before.len()..].iter().position(|point| point["lag"].is_null()).expect("a gap");
    let [gap, next] = &after[before.len() + gap..][..2] else { panic!("{after:?}") };
    assert_eq!((&gap["time_lag"], &next["lag"]), (&Value::Null, &17.0.into()), "{after:?}");
    let storage = served.json("/api/status")["storage"].clone();
    assert!(storage["bytes"].as_u64().unwrap() > 0 && storage["error"].is_null(), "{storage}");
    let (_, metrics) = served.get("/metrics", "");
    assert!(metrics.contains("\nottla_history_bytes "), "{metrics}");
}

#[test]
fn a_gap_counts_as_no_look() {
    let broker = Broker::start(&["t:1"]);
    let dir = Dir::new("serve-gap");
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "g", "3");
    let served = serve(&broker, &dir, &[]);
    until("nobody commits", || (served.group("g")["status"] == "STOP").then_some(()));
    stop(served);
    // Looks that are further apart are others.
    let served = serve(&broker, &dir, &["--interval", "2s"]);
    assert_eq!(served.group("g")["status"], Value::Null);
    assert_eq!(served.group("g")["lag"], 7);
}

#[test]
fn what_was_killed_in_the_middle_of_it_is_found_as_it_was_written_last() {
    let broker = Broker::start(&["t:1"]);
    let dir = Dir::new("serve-killed");
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "g", "3");
    let served = serve(&broker, &dir, &[]);
    // It shows a look before it has written it.
    until("it is written", || served.json("/api/status")["storage"]["at"].is_i64().then_some(()));
    let first = points(&served)[0].clone();
    drop(served);
    let served = serve(&broker, &dir, &[]);
    assert_eq!(points(&served)[0], first);
}

#[test]
fn a_folder_that_cannot_be_had_is_told_before_anything_is_served() {
    let broker = Broker::start(&["t:1"]);
    let dir = Dir::new("serve-refused");
    commit(&broker, "g", "0");
    let run = |dir: &str| broker.run(&[&["serve", "--data-dir", dir][..], &FLAGS].concat());
    let served = serve(&broker, &dir, &[]);
    let told = run(dir.path()).failed(1);
    assert!(told.contains(dir.path()) && told.contains("another process has it open"), "{told}");
    stop(served);
    let none = format!("{}/history.redb", dir.path());
    assert!(run(&none).failed(1).contains("can be written"));
    broker.run(&["serve", "--keep", "1d"]).failed(2);
    broker.run(&["serve", "--data-dir", dir.path(), "--keep", "32d"]).failed(2);
}

#[test]
fn a_file_that_is_damaged_is_put_aside_and_told() {
    let broker = Broker::start(&["t:1"]);
    let dir = Dir::new("serve-damaged");
    commit(&broker, "g", "0");
    stop(serve(&broker, &dir, &[]));
    let file = dir.0.join("history.redb");
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&file, &bytes).unwrap();
    let mut command = broker.command(&["serve", "--data-dir", dir.path()]);
    let mut process = Process::start(command.args(FLAGS));
    let told = process.stderr_lines().next().unwrap();
    assert!(told.contains("is damaged") && told.contains("history.redb.damaged"), "{told}");
    Served::of(process).ready();
    assert_eq!(fs::read(dir.0.join("history.redb.damaged")).unwrap().len(), bytes.len());
}

/// Another cluster, with a topic of the same name.
fn another() -> Server {
    let config = Config { topics: vec![TopicSpec::new("t", 1)], seed: 99, ..Config::default() };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

#[test]
fn what_is_of_another_cluster_is_neither_told_nor_written_over() {
    let (broker, dir) = (Broker::start(&["t:1"]), Dir::new("serve-foreign"));
    commit(&broker, "g", "0");
    let before = stop(serve(&broker, &dir, &[]));
    let server = another();
    let mut command = ottla(&["serve", "-b", &server.bootstrap(), "--data-dir", dir.path()]);
    let mut process = Process::start(command.args(FLAGS));
    let mut lines = process.stderr_lines();
    let other = Served::of(process).ready();
    let told = lines.next().unwrap();
    assert!(told.contains("of cluster ") && told.contains("give it a folder of its own"), "{told}");
    assert_eq!(other.json("/api/status")["storage"]["error"].as_str(), told.strip_prefix("ottla: "));
    other.process.terminate();
    other.process.wait().ok();
    let served = serve(&broker, &dir, &[]);
    assert!(points(&served).starts_with(&before));
}

/// Which cluster it is is asked for until that is told. Before, what is of another would be taken for its own.
#[test]
fn of_a_cluster_that_does_not_tell_which_it_is_nothing_is_read_or_written_before_it_does() {
    let (broker, dir) = (Broker::start(&["t:1"]), Dir::new("serve-untold"));
    commit(&broker, "g", "0");
    let before = stop(serve(&broker, &dir, &[]));
    let server = another();
    let late = Fault::Delay(Duration::from_secs(4));
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Metadata).always().then(late));
    let mut command = ottla(&["serve", "-b", &server.bootstrap(), "--data-dir", dir.path()]);
    let mut process = Process::start(command.args(FLAGS));
    let lines = Lines::of_stderr(&mut process);
    let other = Served::of(process).ready();
    let error = other.json("/api/status")["storage"]["error"].clone();
    assert!(error.as_str().is_some_and(|error| error.contains("does not tell which it is")), "{error}");
    lines.with("does not tell which it is");
    assert_eq!(other.get("/api/groups/g/history", "").0, 404, "that of another cluster");
    server.with_cluster(|cluster| cluster.faults().clear());
    lines.with("give it a folder of its own");
    assert_eq!(other.get("/api/groups/g/history", "").0, 404);
    other.process.terminate();
    other.process.wait().ok();
    let served = serve(&broker, &dir, &[]);
    assert!(points(&served).starts_with(&before));
}

/// A file that may not grow, as on a full disk: it serves on, tells so once, and keeps what it can again.
#[test]
fn a_disk_that_is_full_is_told_once_and_it_goes_on_in_memory() {
    let broker = Broker::start(&["t:1"]);
    let dir = Dir::new("serve-full");
    commit(&broker, "g", "0");
    stop(serve(&broker, &dir, &[]));
    let before = fs::metadata(dir.0.join("history.redb")).unwrap().len();
    let names: Vec<String> = (0..200).map(|n| format!("group-with-a-name-{n}")).collect();
    let mut reset = vec!["groups", "reset-offsets", "-t", "t:0", "--to-latest", "--execute"];
    names.iter().for_each(|name| reset.extend(["-G", name]));
    broker.run(&reset).ok();
    // In blocks of 512 bytes: no more than there is.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", before.div_ceil(512));
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_ottla"), "serve", "-b", &broker.servers]);
    let inherited = ottla(&[]);
    for (name, value) in inherited.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped()).args(["--data-dir", dir.path()]).args(FLAGS);
    let served = Served::of(Process::start(&mut command)).ready();
    let error = until("it is told", || {
        let storage = served.json("/api/status")["storage"].clone();
        storage["error"].as_str().map(str::to_owned)
    });
    assert!(error.contains(dir.path()) && error.contains("disk"), "{error}");
    assert_eq!(served.get("/readyz", "").0, 200);
    assert_eq!(served.json("/api/groups")["groups"].as_array().unwrap().len(), 201);
    served.process.terminate();
    let done = served.process.wait();
    assert_eq!(done.complaints().len(), 1, "{done:?}");
    let served = serve(&broker, &dir, &[]);
    assert!(points(&served).len() > 2, "what was kept before it was full");
}
