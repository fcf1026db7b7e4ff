//! The command: a run against the embedded broker, with kills, and what it answers.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use ottla_broker::{ApiKey, Config, Fault, Planted, Server};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ottla-check-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::create_dir_all(&self.0).unwrap();
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn check(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ottla-check")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const CLEAN: &str = r#"{"process":"w","at":1,"op":"send","partition":0,"value":"a","outcome":"ok","offset":0}
{"process":"w","at":2,"op":"send","partition":0,"value":"b","outcome":"ok","offset":1}
"#;
const LOSS: &str = r#"{"process":"r","at":3,"op":"assign","partitions":[{"partition":0}]}
{"process":"r","at":4,"op":"poll","records":[{"partition":0,"offset":0,"value":"a"}]}
{"process":"r","at":5,"op":"final","partition":0,"from":0,"to":2}
"#;

#[test]
fn a_run_with_kills_against_the_embedded_broker_is_clean_and_can_be_judged_again() {
    let config =
        Config { group_min_session_timeout: std::time::Duration::from_millis(500), ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    server.with_cluster(answers_get_lost);
    let dir = Dir::new("run");
    let path = dir.0.display().to_string();
    let bootstrap = server.bootstrap();
    let run =
        ["run", "-b", &bootstrap, "--dir", &path, "--for", "5s", "--processes", "3", "--partitions", "4"];
    let kill = ["--kill", "--kill-every", "700ms", "--seed", "7", "--output", "json"];
    let fast = ["-X", "session.timeout.ms=1000", "-X", "heartbeat.interval.ms=200"];
    let output = check(&[&run[..], &kill, &fast].concat());
    assert!(output.status.success(), "{}\n{}", stderr(&output), String::from_utf8_lossy(&output.stdout));
    assert!(stderr(&output).contains("seed 7"), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| report["counts"][name].as_u64().unwrap();
    // A run in which little happens shows little.
    assert!(count("acknowledged") > 100 && count("handed_out") > 100, "{report}");
    assert!(count("commits") > 3 && count("crashes") > 0 && count("assignments") > 3, "{report}");
    assert_eq!((count("final_reads"), count("unread")), (4, 0), "{report}");

    let mut files: Vec<String> =
        std::fs::read_dir(&dir.0).unwrap().map(|file| file.unwrap().path().display().to_string()).collect();
    files.sort();
    let judge: Vec<&str> = ["judge"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let again = check(&judge);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));

    // Without one of the records that its last read was handed, a loss shows.
    let path = dir.0.join("final.jsonl");
    let read = std::fs::read_to_string(&path).unwrap();
    let without_one = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(records) = line.get_mut("records").and_then(serde_json::Value::as_array_mut) {
            records.retain(|record| record["partition"] != 0 || record["offset"] != 1);
        }
        format!("{line}\n")
    };
    std::fs::write(&path, read.lines().map(without_one).collect::<String>()).unwrap();
    let lost = check(&judge);
    assert_eq!(lost.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&lost.stdout).ends_with("1 anomalies: 1 lost\n"), "{lost:?}");
}

/// What is done is asked for again, as nobody is told that it is done.
fn answers_get_lost(cluster: &mut ottla_broker::Cluster) {
    for (api, times) in [(ApiKey::Produce, 20), (ApiKey::OffsetCommit, 3)] {
        cluster.faults().on(api).after(5).times(times).then(Fault::ApplyThenDisconnect);
    }
}

#[test]
fn a_broker_that_appends_what_is_sent_again_is_caught_by_a_run() {
    let server = Server::start_on_thread(Config::default(), ([127, 0, 0, 1], 0)).unwrap();
    server.with_cluster(|cluster| {
        cluster.plant(Planted::DuplicateSequenceAppended);
        answers_get_lost(cluster);
    });
    let dir = Dir::new("planted");
    let (path, bootstrap) = (dir.0.display().to_string(), server.bootstrap());
    let output = check(&["run", "-b", &bootstrap, "--dir", &path, "--for", "2s", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["totals"]["duplicate"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_run_in_transactions_with_kills_against_the_embedded_broker_is_clean() {
    let config =
        Config { group_min_session_timeout: std::time::Duration::from_millis(500), ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    server.with_cluster(|cluster| {
        answers_get_lost(cluster);
        cluster.faults().on(ApiKey::EndTxn).after(5).times(3).then(Fault::ApplyThenDisconnect);
    });
    let dir = Dir::new("transactions");
    let (path, bootstrap) = (dir.0.display().to_string(), server.bootstrap());
    let run = ["run", "-b", &bootstrap, "--dir", &path, "--for", "5s", "--transactions", "--partitions", "2"];
    let kill = ["--kill", "--kill-every", "700ms", "--seed", "7", "--output", "json"];
    let fast = ["-X", "session.timeout.ms=1000", "-X", "heartbeat.interval.ms=200"];
    let output = check(&[&run[..], &kill, &fast].concat());
    assert!(output.status.success(), "{}\n{}", stderr(&output), String::from_utf8_lossy(&output.stdout));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| report["counts"][name].as_u64().unwrap();
    assert!(count("transactions") > 20 && count("acknowledged") > 100, "{report}");
    assert!(count("handed_out") > 100 && count("crashes") > 0, "{report}");
}

#[test]
fn a_broker_that_shows_what_is_aborted_is_caught_by_a_run_in_transactions() {
    for planted in [Planted::AbortedNotListed, Planted::OpenTransactionsAreStable] {
        let server = Server::start_on_thread(Config::default(), ([127, 0, 0, 1], 0)).unwrap();
        server.with_cluster(|cluster| cluster.plant(planted));
        let dir = Dir::new("planted-transactions");
        let (path, bootstrap) = (dir.0.display().to_string(), server.bootstrap());
        let run =
            ["run", "-b", &bootstrap, "--dir", &path, "--for", "3s", "--transactions", "--output", "json"];
        let output = check(&run);
        assert_eq!(output.status.code(), Some(1), "{planted:?}: {output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let totals = &report["totals"];
        let total = |kind: &str| totals[kind].as_u64().unwrap_or(0);
        assert!(total("aborted-read") + total("dirty-read") > 0, "{planted:?}: {report}");
    }
}

#[test]
fn the_status_tells_a_clean_history_from_anomalies_and_from_bad_input() {
    let dir = Dir::new("judge");
    let (clean, loss) = (dir.file("clean", CLEAN), dir.file("loss", LOSS));
    let output = check(&["judge", &clean]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("clean\n"));
    let output = check(&["judge", &clean, &loss]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.starts_with("lost: partition 0: `b` was acknowledged at offset 1"), "{told}");
    let output = check(&["judge", "--output", "json", &clean, &loss]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["totals"]["lost"], 1);
    assert_eq!(report["anomalies"][0]["evidence"][0]["line"], 2);

    let bad = dir.file("bad", "{\"process\":\"w\"}\n");
    for files in [&[bad.as_str()][..], &["/nowhere"], &[&dir.file("empty", "")], &[]] {
        let args: Vec<&str> = ["judge"].into_iter().chain(files.iter().copied()).collect();
        assert_eq!(check(&args).status.code(), Some(2), "{files:?}");
    }
    assert!(stderr(&check(&["judge", &bad])).contains("bad:1: `at` is missing"));
}

#[test]
fn a_run_refuses_what_it_cannot_judge() {
    let server = Server::start_on_thread(Config::default(), ([127, 0, 0, 1], 0)).unwrap();
    let dir = Dir::new("refused");
    dir.file("x", "");
    let (path, bootstrap) = (dir.0.display().to_string(), server.bootstrap());
    let output = check(&["run", "-b", &bootstrap, "--dir", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is not empty"), "{output:?}");
    let fresh = format!("{path}/fresh");
    let output = check(&["run", "-b", &bootstrap, "--dir", &fresh, "-X", "sesion.timeout.ms=1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`sesion.timeout.ms`: unknown property"), "{output:?}");
}
