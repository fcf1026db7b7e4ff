//! `ottla serve`: what it shows of a cluster, beside what `ottla lag` prints of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
    sync::mpsc,
    thread,
};

use ottla_broker::{ApiKey, Config, ErrorCode, Fault, Server, TopicSpec};
use serde_json::Value;

use crate::{
    groups::commit,
    support::{Broker, DEADLINE, Lines, Process, numbers, ottla, rows, run, until},
};

/// It serves until the test ends.
pub(crate) struct Served {
    pub(crate) address: String,
    pub(crate) process: Process,
}

impl Served {
    fn start(broker: &Broker, args: &[&str]) -> Self {
        let mut command = broker.command(&["serve", "--listen", "127.0.0.1:0", "--interval", "100ms"]);
        Self::of(Process::start(command.args(args)))
    }

    pub(crate) fn of(mut process: Process) -> Self {
        let mut line = String::new();
        process.stdout().read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready http://").and_then(|rest| rest.strip_suffix('/'));
        Self { address: address.unwrap_or_else(|| panic!("{line:?}")).to_owned(), process }
    }

    fn ask(&self, path: &str, headers: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // In this version the end of the connection is the end of the answer.
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {}\r\n{headers}\r\n", self.address).unwrap();
        BufReader::new(stream)
    }

    /// The status of an answer, and its body.
    pub(crate) fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let mut answer = String::new();
        self.ask(path, headers).read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Once it has looked.
    pub(crate) fn ready(self) -> Self {
        until("it is ready", || (self.get("/readyz", "").0 == 200).then_some(()));
        self
    }

    pub(crate) fn group(&self, name: &str) -> Value {
        let groups = self.json("/api/groups");
        let mut each = groups["groups"].as_array().unwrap().iter();
        each.find(|group| group["group"] == name).unwrap_or_else(|| panic!("{name}: {groups}")).clone()
    }

    /// Events as they come, each with its kind.
    pub(crate) fn events(&self) -> mpsc::Receiver<(String, Value)> {
        let stream = self.ask("/api/events", "");
        let (send, events) = mpsc::channel();
        thread::spawn(move || {
            let mut kind = String::new();
            for line in stream.lines().map_while(Result::ok) {
                if let Some(name) = line.strip_prefix("event: ") {
                    kind = name.to_owned();
                }
                if let Some(data) = line.strip_prefix("data: ")
                    && send.send((kind.clone(), serde_json::from_str(data).unwrap())).is_err()
                {
                    break;
                }
            }
        });
        events
    }
}

/// The first that is so.
pub(crate) fn next(
    events: &mpsc::Receiver<(String, Value)>,
    what: &str,
    is: impl Fn(&str, &Value) -> bool,
) -> Value {
    until(what, || {
        let (kind, data) = events.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("not told: {what}"));
        is(&kind, &data).then_some(data)
    })
}

#[test]
fn rows_are_those_of_lag() {
    let broker = Broker::start(&["t:2", "other:1"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    broker.produce(&["other"], &numbers(0..4)).ok();
    commit(&broker, "behind", "4");
    commit(&broker, "done", "10");
    let mut reader = broker.start_command(&["consume", "other", "-G", "live", "-o", "beginning"]);
    Lines::of(&mut reader).take(4);
    let all = ["groups", "reset-offsets", "-G", "beyond", "-t", "other", "--to-earliest", "--execute"];
    broker.run(&all).ok();
    let served = Served::start(&broker, &[]).ready();
    let same = |mut row: Value| {
        for key in ["at", "time_lag", "status"] {
            row.as_object_mut().unwrap().remove(key);
        }
        row
    };
    until("both say the same", || {
        let printed = rows(&broker.run(&["lag", "--verbose", "--output", "json"]).ok());
        let served = served.json("/api/lag");
        let served: Vec<Value> = served["rows"].as_array().unwrap().iter().cloned().map(same).collect();
        assert!(served.len() >= 4);
        (served == printed.into_iter().map(same).collect::<Vec<_>>()).then_some(())
    });
    let group = served.group("behind");
    assert_eq!(
        (&group["lag"], &group["state"], &group["member_count"]),
        (&6.into(), &"Empty".into(), &0.into())
    );
    assert_eq!(group["time_lag"], Value::Null, "what it reads next was written before the first look");
    assert_eq!(served.group("done")["time_lag"], 0.0);
    let live = served.json("/api/groups/live");
    assert_eq!(live["member_list"].as_array().unwrap().len(), 1, "{live}");
    assert_eq!(live["partition_list"][0]["topic"], "other");
    assert_eq!(live["partition_list"][0]["member"], live["member_list"][0]["member"]);
    let topics = served.json("/api/topics");
    assert_eq!(topics["topics"][1]["topic"], "t", "{topics}");
    assert_eq!(topics["topics"][1]["groups"], serde_json::json!(["behind", "done"]));
    let history = until("a second look", || {
        let history = served.json("/api/groups/behind/history");
        (history["points"].as_array().unwrap().len() > 1).then_some(history)
    });
    assert_eq!(history["points"][0]["lag"], 6.0, "{history}");
    let status = served.json("/api/status");
    assert_eq!(
        (&status["ready"], &status["error"], &status["failures"]),
        (&true.into(), &Value::Null, &0.into())
    );
    served.process.terminate();
    let done = served.process.wait();
    assert!(done.complaints().is_empty(), "{done:?}");
    done.ok();
}

#[test]
fn a_group_that_stalls_and_a_rebalance_are_told_as_they_happen() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    commit(&broker, "g", "3");
    let served = Served::start(&broker, &[]).ready();
    let events = served.events();
    let told = next(&events, "nobody commits", |kind, it| kind == "status" && it["group"] == "g");
    assert_eq!((&told["to"], &told["lag"]), (&"STOP".into(), &7.into()), "{told}");
    assert!(told["reason"].as_str().unwrap().starts_with("t-0: "), "{told}");
    let args = ["consume", "t", "-G", "g", "-X", "enable.auto.commit=false"];
    let mut reader = broker.start_command(&args);
    Lines::of(&mut reader).take(7);
    let is_done = |kind: &str, it: &Value| kind == "rebalance" && it["phase"] == "done" && it["group"] == "g";
    let told = next(&events, "a member joined", |kind, it| is_done(kind, it) && it["moved"] == 2);
    assert_eq!((&told["members_before"], &told["members"]), (&0.into(), &1.into()), "{told}");
    assert_eq!(told["joined"].as_array().unwrap().len(), 1, "{told}");
    let told = next(&events, "it stalls", |kind, it| kind == "status" && it["to"] == "STALL");
    assert_eq!(told["group"], "g");
    let group = served.group("g");
    assert_eq!((&group["status"], &group["member_count"]), (&"STALL".into(), &1.into()), "{group}");
    assert!(group["reason"].as_str().unwrap().contains("a member has the partition"), "{group}");
    reader.terminate();
    reader.wait().ok();
    let told = next(&events, "it left", |kind, it| is_done(kind, it) && it["members"] == 0);
    assert_eq!(told["left"].as_array().unwrap().len(), 1, "{told}");
    let (_, metrics) = served.get("/metrics", "");
    let rebalances =
        metrics.lines().find_map(|line| line.strip_prefix("ottla_group_rebalances_total{group=\"g\"} "));
    assert!(rebalances.unwrap().parse::<u64>().unwrap() >= 2, "{metrics}");
    commit(&broker, "later", "1");
    next(&events, "a group appeared", |kind, it| {
        kind == "group" && it["group"] == "later" && it["change"] == "appeared"
    });
    broker.run(&["groups", "delete", "later"]).ok();
    next(&events, "a group is gone", |kind, it| {
        kind == "group" && it["group"] == "later" && it["change"] == "gone"
    });
}

#[test]
fn any_name_is_shown_as_it_is_and_ends_no_value() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    let name = "\"></script><img src=x onerror=alert(1)>\\\n\r\u{1b}[2J\u{202e}/..?#&%41{}";
    commit(&broker, name, "4");
    let served = Served::start(&broker, &[]).ready();
    assert_eq!(served.group(name)["lag"], 6);
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(served.json(&format!("/api/groups/{encoded}"))["group"], name);
    assert_eq!(served.json(&format!("/api/groups/{encoded}/history"))["group"], name);
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    for accept in ["", "accept: application/openmetrics-text\r\n"] {
        let (_, metrics) = served.get("/metrics", accept);
        let lag = format!(
            "\nkafka_consumergroup_lag{{consumergroup=\"{escaped}\",topic=\"t\",partition=\"0\"}} 6\n"
        );
        assert!(metrics.contains(&lag), "{lag}: {metrics}");
        assert_eq!(metrics.ends_with("# EOF\n"), !accept.is_empty());
        for line in metrics.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line:?}");
        }
    }
    let (_, page) = served.get("/", "");
    assert!(!page.contains("alert(1)"), "the page has no names in it");
}

#[test]
fn only_what_is_named_or_filtered_is_looked_at() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    commit(&broker, "a", "1");
    commit(&broker, "b", "1");
    let names = |served: &Served| -> Vec<String> {
        let groups = served.json("/api/groups");
        groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["group"].as_str().unwrap().to_owned())
            .collect()
    };
    let served = Served::start(&broker, &["b", "-G", "missing"]).ready();
    assert_eq!(names(&served), ["b"]);
    let notes = served.json("/api/status");
    assert!(notes["notes"][0].as_str().unwrap().contains("`missing`: no such group"), "{notes}");
    assert_eq!(served.get("/api/groups/a", "").0, 404);
    let served = Served::start(&broker, &["--state", "stable"]).ready();
    assert_eq!(names(&served), [""; 0]);
}

#[test]
fn it_serves_before_a_broker_answers_and_after_it_is_gone() {
    let served = Served::of(Process::start(
        ottla(&["serve", "-b", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--interval", "100ms"])
            .args(["-X", "default.api.timeout.ms=300"]),
    ));
    assert_eq!(served.get("/healthz", "").0, 200);
    until("it says why", || {
        let (status, why) = served.get("/readyz", "");
        assert_eq!(status, 503);
        why.contains("127.0.0.1:1").then_some(())
    });
    assert_eq!(served.get("/metrics", "").0, 200);
    served.process.terminate();
    assert_eq!(served.process.wait().status, Some(0));

    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    commit(&broker, "g", "1");
    let served = Served::start(&broker, &["-X", "default.api.timeout.ms=300"]).ready();
    broker.kill();
    until("it says why", || (!served.json("/api/status")["error"].is_null()).then_some(()));
    assert_eq!(served.group("g")["lag"], 2, "what was seen is still shown");
}

#[test]
fn a_group_of_which_one_look_is_told_nothing_is_as_it_was() {
    let config = Config { topics: vec![TopicSpec::new("t", 1)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let bootstrap = server.bootstrap();
    let to =
        ["groups", "reset-offsets", "-G", "g", "-t", "t", "--to-earliest", "--execute", "-b", &bootstrap];
    run(&to).ok();
    let mut produce = Process::start(ottla(&["produce", "t", "-b", &bootstrap]).stdin(Stdio::piped()));
    produce.feed(numbers(0..3).as_bytes());
    produce.wait().ok();
    let flags = ["--listen", "127.0.0.1:0", "--interval", "50ms", "-X", "default.api.timeout.ms=2000"];
    let mut command = ottla(&["serve", "-b", &bootstrap]);
    let served = Served::of(Process::start(command.args(flags))).ready();
    let events = served.events();
    until("its status is known", || (served.group("g")["status"] == "STOP").then_some(()));
    let points = |served: &Served| served.json("/api/groups/g/history")["points"].as_array().unwrap().len();
    let before = points(&served);
    for apis in [&[ApiKey::OffsetFetch][..], &[ApiKey::DescribeGroups, ApiKey::ConsumerGroupDescribe]] {
        let refused = || Fault::Error(ErrorCode::GroupAuthorizationFailed);
        server.with_cluster(|cluster| {
            apis.iter().for_each(|api| cluster.faults().on(*api).always().then(refused()))
        });
        let is_noted = || served.json("/api/status")["notes"].to_string().contains("`g`");
        until("it is noted", || is_noted().then_some(()));
        assert_eq!(served.group("g")["status"], "STOP", "{apis:?}");
        server.with_cluster(|cluster| cluster.faults().clear());
        until("it is told again", || (!is_noted()).then_some(()));
        assert_eq!(served.group("g")["status"], "STOP", "{apis:?}");
    }
    assert!(points(&served) >= before);
    let told: Vec<(String, Value)> = events.try_iter().filter(|(kind, _)| kind != "look").collect();
    assert!(told.iter().all(|(kind, it)| kind == "status" && it["to"] == "STOP"), "{told:?}");
}

#[test]
fn wrong_flags_are_wrong_usage_and_a_port_that_is_taken_is_told() {
    for args in
        [&["--listen", "nowhere"][..], &["--host", "http://a"], &["--interval", "0s"], &["-X", "group.id=g"]]
    {
        run(&[&["serve"][..], args].concat()).failed(2);
    }
    let broker = Broker::start(&["t:1"]);
    let served = Served::start(&broker, &[]);
    let taken = broker.run(&["serve", "--listen", &served.address]).failed(1);
    assert!(taken.contains("choose another"), "{taken}");
    let mut open =
        Process::start(broker.command(&["serve", "--listen", "0.0.0.0:0"]).args(["--interval", "1h"]));
    let warned = open.stderr_lines().next().unwrap();
    assert!(warned.contains("not a loopback address"), "{warned}");
    let served = Served::of(open);
    assert!(served.address.starts_with("127.0.0.1:"), "{}", served.address);
    assert_eq!(served.get("/healthz", "").0, 200, "what it prints can be opened");
}
