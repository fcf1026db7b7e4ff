//! What `ottla serve` makes of brokers that refuse a part, and of requests without end: what it knows is still shown, what it does
//! not know is told, and nothing grows.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use ottla_broker::{ApiKey, Config, ErrorCode, Fault, Server, TopicSpec};
use serde_json::Value;

use crate::{
    serve::{Served, next},
    support::{DEADLINE, Process, numbers, ottla, until},
};

/// A broker with ten records in each partition of `t`, and groups `g` and `other` that have committed 4 in both.
fn server() -> Server {
    let config = Config { topics: vec![TopicSpec::new("t", 2)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    for partition in ["0", "1"] {
        let mut produce = ottla(&["produce", "t", "-p", partition, "-b", &server.bootstrap()]);
        let mut produce = Process::start(produce.stdin(std::process::Stdio::piped()));
        produce.feed(numbers(0..10).as_bytes());
        produce.wait().ok();
    }
    for group in ["g", "other"] {
        commit(&server, group, "4");
    }
    server
}

fn commit(server: &Server, group: &str, offset: &str) {
    let args = ["groups", "reset-offsets", "-G", group, "-t", "t", "--to-offset", offset, "--execute"];
    Process::start(ottla(&args).args(["-b", &server.bootstrap()])).wait().ok();
}

fn serve(server: &Server) -> Served {
    let args = ["serve", "--listen", "127.0.0.1:0", "--interval", "100ms", "-b", &server.bootstrap()];
    Served::of(Process::start(ottla(&args).args(["-X", "default.api.timeout.ms=500"]))).ready()
}

fn always(server: &Server, api: ApiKey, fault: Fault) {
    server.with_cluster(|cluster| cluster.faults().on(api).always().then(fault));
}

/// A note, or the failure of the last look, with all of these in it.
fn told(served: &Served, parts: &[&str]) {
    until(&format!("{parts:?} is told"), || {
        let status = served.json("/api/status");
        let notes = status["notes"].as_array().into_iter().flatten().chain([&status["error"]]);
        let mut texts = notes.filter_map(Value::as_str);
        texts.any(|text| parts.iter().all(|part| text.contains(part))).then_some(())
    });
}

fn status_of(served: &Served, group: &str) -> Value {
    served.group(group)["status"].clone()
}

#[test]
fn a_coordinator_that_is_loading_is_told_and_its_groups_are_as_they_were_when_it_has_loaded() {
    let server = server();
    let served = serve(&server);
    until("nobody commits", || (status_of(&served, "g") == "STOP").then_some(()));
    always(&server, ApiKey::OffsetFetch, Fault::Error(ErrorCode::CoordinatorLoadInProgress));
    told(&served, &["COORDINATOR_LOAD_IN_PROGRESS"]);
    server.with_cluster(|cluster| cluster.faults().clear());
    // What could not be seen says nothing about the group, so that nothing has to be seen ten times again.
    let looks = |served: &Served| served.json("/api/status")["looks"].as_u64().unwrap();
    until("its lag is known again", || {
        let group = served.group("g");
        if group["lag"].is_null() {
            return None;
        }
        assert_eq!(group["status"], "STOP", "{group}");
        Some(())
    });
    let before = looks(&served);
    until("it goes on", || (looks(&served) > before + 3).then_some(()));
    assert_eq!(status_of(&served, "g"), "STOP");
}

#[test]
fn a_group_that_is_deleted_while_it_is_described_is_gone_and_hides_no_other() {
    let server = server();
    let served = serve(&server);
    let events = served.events();
    // The first who asks is told so, and the others are there.
    always(&server, ApiKey::DescribeGroups, Fault::Error(ErrorCode::GroupIdNotFound));
    always(&server, ApiKey::ConsumerGroupDescribe, Fault::Error(ErrorCode::GroupIdNotFound));
    told(&served, &["`g`", "deleted meanwhile"]);
    next(&events, "it is gone", |kind, it| kind == "group" && it["group"] == "g" && it["change"] == "gone");
    assert_eq!(served.get("/api/groups/g", "").0, 404);
    assert_eq!(served.get("/readyz", "").0, 200);
    server.with_cluster(|cluster| cluster.faults().clear());
    next(&events, "it is back", |kind, it| {
        kind == "group" && it["group"] == "g" && it["change"] == "appeared"
    });
    assert_eq!(served.group("g")["lag"], 12);
}

#[test]
fn a_partition_without_a_leader_is_told_and_hides_no_other() {
    let server = server();
    let served = serve(&server);
    server.with_cluster(|cluster| assert!(cluster.depose_leader("t", 1, server.now())));
    told(&served, &["t-1", "no leader"]);
    let rows = served.json("/api/groups/g")["partition_list"].clone();
    let of = |partition: usize, key: &str| rows[partition][key].clone();
    assert_eq!((of(0, "lag"), of(1, "lag")), (6.into(), Value::Null), "{rows}");
    assert_eq!((of(1, "current_offset"), of(1, "status")), (4.into(), "ERR".into()), "{rows}");
    assert_eq!(status_of(&served, "g"), "ERR", "a group has the status of its worst partition");
    let (_, metrics) = served.get("/metrics", "");
    assert!(metrics.contains("kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 6\n"));
    assert!(!metrics.contains("kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"1\"}"));
}

#[test]
fn who_may_not_look_is_told_which_permission_he_lacks() {
    let server = server();
    let served = serve(&server);
    for (api, fault, parts) in [
        (
            ApiKey::ListOffsets,
            Fault::ErrorInSome(ErrorCode::TopicAuthorizationFailed),
            &["TOPIC_AUTHORIZATION_FAILED", "DESCRIBE", "`t`"][..],
        ),
        (
            ApiKey::OffsetFetch,
            Fault::Error(ErrorCode::GroupAuthorizationFailed),
            &["GROUP_AUTHORIZATION_FAILED", "DESCRIBE", "`g`"],
        ),
        (
            ApiKey::DescribeGroups,
            Fault::Error(ErrorCode::GroupAuthorizationFailed),
            &["GROUP_AUTHORIZATION_FAILED", "DESCRIBE", "`g`"],
        ),
    ] {
        always(&server, api, fault);
        told(&served, parts);
        assert_eq!(served.get("/healthz", "").0, 200);
        server.with_cluster(|cluster| cluster.faults().clear());
        until("all is seen again", || {
            (served.json("/api/status")["notes"] == Value::Array(Vec::new())).then_some(())
        });
    }
    assert_eq!(served.group("g")["lag"], 12);
}

/// Heads that are too large, bodies that nobody wants, readers that read nothing, and all at once.
#[test]
fn what_is_thrown_at_it_does_not_have_it_grow() {
    const BOUND: u64 = 64 * 1_024 * 1_024;
    let server = server();
    let served = serve(&server);
    let address = &served.address;
    let silent: Vec<TcpStream> = ["/api/events", "/metrics"]
        .iter()
        .cycle()
        .take(40)
        .map(|path| {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let junk = "x".repeat(64 * 1_024);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..2_500 {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.set_read_timeout(Some(DEADLINE)).unwrap();
                    let head = match n % 4 {
                        0 => format!("GET /{junk} HTTP/1.1\r\nhost: {address}\r\n\r\n"),
                        1 => format!("GET / HTTP/1.1\r\nhost: {address}\r\nx: {junk}\r\n\r\n"),
                        2 => format!(
                            "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-length: 999999\r\n\r\n{junk}"
                        ),
                        _ => junk.clone(),
                    };
                    // It may have had enough before all is sent.
                    _ = stream.write_all(head.as_bytes());
                    _ = stream.shutdown(Shutdown::Write);
                    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
                        let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                        assert!(!is_late, "nobody closes what is wrong");
                    }
                }
            });
        }
    });
    assert_eq!(served.get("/healthz", "").0, 200);
    assert_eq!(served.group("g")["lag"], 12);
    let peak = served.process.peak_memory();
    assert!(peak < BOUND, "{peak} bytes at the most");
    drop(silent);
}
