//! One clear line, and the right status.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use ottla_broker::{Config, Server};
use ottla_protocol::{
    ApiKey, Request, RequestHeader, Response, ResponseHeader,
    messages::{JoinGroupRequest, JoinGroupRequestProtocol, SyncGroupRequest, SyncGroupRequestAssignment},
};

use crate::support::{Broker, Process, numbers, ottla, run, until};

#[test]
fn an_unknown_property_suggests_the_nearest_and_a_known_one_is_told_apart() {
    for verb in [&["consume", "t"][..], &["produce", "t"], &["topics", "list"], &["lag"]] {
        let refused = run(&[verb, &["-X", "bootstrap.server=a:1"]].concat()).failed(2);
        assert_eq!(
            refused, "ottla: `bootstrap.server`: unknown property (did you mean `bootstrap.servers`?)",
            "{verb:?}"
        );
        let refused = run(&[verb, &["-X", "security.providers=x"]].concat()).failed(2);
        assert!(refused.contains("`security.providers`: known to Kafka, not supported yet"), "{refused}");
    }
    let refused = run(&["topics", "list", "-X", "group.id=g"]).failed(2);
    assert!(refused.contains("it is a consumer's"), "{refused}");
    let renamed = run(&["consume", "t", "-X", "metadata.broker.list=a:1"]).failed(2);
    assert!(renamed.contains("Kafka's name is `bootstrap.servers`"), "{renamed}");
}

#[test]
fn wrong_values_and_files_are_wrong_usage() {
    for (args, says) in [
        (&["consume", "t", "-X", "session.timeout.ms=soon"][..], "`soon`"),
        (&["consume", "t", "-X", "nonsense"], "key=value"),
        (&["consume", "t", "-X", "allow.auto.create.topics=true"], "ottla topics create"),
        (&["consume", "t", "-b", "nowhere"], "host:port"),
        (&["consume", "t", "--config", "no/such.properties"], "no/such.properties"),
        (&["produce", "t", "-H", "x"], "KEY=VALUE"),
        (&["produce", "t", "-K", ""], "-K"),
        (&["produce", "t", "-z", "rar"], "rar"),
    ] {
        let refused = run(args).failed(2);
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn wrong_usage_is_one_line_too() {
    for args in [
        &["consume"][..],
        &["consume", "t", "--foo"],
        &["consme", "t"],
        &["consume", "t", "-G", "g", "-o", "5"],
        &["consume", "t", "-G", "g", "-o", "-5"],
        &["consume", "t", "-G", "g", "-o", "s@5"],
        &["consume", "t", "-G", "g", "-o", "e@5"],
        &["consume", "t", "-G", "g", "-o", "stored"],
        &["consume", "t", "-G", "g", "-p", "1"],
        &["consume", "t", "-o", "first"],
        &["consume", "t", "-o", "stored"],
        &["consume", "t", "-f", "%z"],
        &["consume", "ord.*"],
        &["topics", "create", "t", "3"],
        &["consume", "t", "-c", "many"],
        &["consume", "(", "--regex"],
        &["demo", "--records", "0"],
        &["process", "t", "--exec", "cat"],
        &["process", "t", "-G", "g"],
        &["process", "t", "-G", "g", "--exec", "cat", "--order", "none"],
        &["process", "t", "-G", "g", "--exec", "cat", "--concurrency", "0"],
        &["process", "t", "-G", "g", "--exec", "cat", "--retry-topic", "5"],
        &["process", "t", "-G", "g", "--exec", "cat", "--retry-topic", "5s", "--retry-topic", "5000ms"],
        &["process", "t", "-G", "g", "--exec", "cat", "--dead-letter", "t"],
        &["process", "t", "-G", "g", "--exec", "cat", "--to", "t"],
        &["process", "t", "-G", "g", "--exec", "cat", "--exactly-once"],
        &["process", "t", "-G", "g", "--exec", "cat", "--to", "u", "--transactional-id", "x"],
        &["process", "ord.*", "-G", "g", "--exec", "cat"],
        &["dlq", "list", "t:0:1"],
        &["dlq", "show", "t:x"],
        &["dlq", "replay", "t", "--to", "t"],
    ] {
        run(args).failed(2);
    }
}

#[test]
fn a_broker_that_cannot_be_reached_is_named_with_how_long_it_was_tried() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let servers = format!("127.0.0.1:{port}");
    for verb in [&["consume", "t"][..], &["produce", "t"], &["topics", "list"], &["groups", "list"], &["lag"]]
    {
        let args = [verb, &["-b", &servers, "-X", "default.api.timeout.ms=700"]].concat();
        let refused = run(&args).failed(1);
        assert!(
            refused.contains(&servers) && refused.contains("refused") && refused.contains("for 700"),
            "{refused}"
        );
    }
}

#[test]
fn a_topic_that_is_not_there_is_told_and_an_error_once_it_might_have_come() {
    let broker = Broker::start(&["t:2"]);
    let begun = Instant::now();
    let commands = [
        &["consume", "nope"][..],
        &["consume", "nope", "-G", "g"],
        &["consume", "t", "nope"],
        &["produce", "nope"],
    ];
    for command in commands.map(|args| broker.start_command(args)) {
        let done = command.wait();
        assert!(done.stderr.contains("waiting: no broker knows of topic `nope` yet"), "{done:?}");
        let refused = done.failed(1);
        assert!(refused.contains("topic `nope`: no such topic"), "{refused}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(15), "a slow cluster tells late of what was just created");
    for args in [["consume", "t", "-p", "2"], ["produce", "t", "-p", "2"]] {
        let refused = broker.run(&args).failed(1);
        assert!(refused.contains("t-2") && refused.contains("there are 2"), "{refused}");
    }
    assert_eq!(broker.run(&["topics", "list"]).ok().lines().count(), 2, "none was created");
}

#[test]
fn reading_creates_no_topic_though_the_broker_would() {
    let config = Config { auto_create: true, ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let bootstrap = server.bootstrap();
    let start = |args: &[&str]| Process::start(&mut ottla(&[args, &["-b", &bootstrap]].concat()));
    for command in [&["consume", "nope"][..], &["consume", "nope", "-G", "g"]].map(start) {
        let refused = command.wait().failed(1);
        assert!(refused.contains("topic `nope`: no such topic"), "{refused}");
    }
    assert!(server.with_cluster(|cluster| cluster.topics().all(|(name, _)| name != "nope")));
}

#[test]
fn a_topic_deleted_while_it_is_read_ends_the_reading() {
    let broker = Broker::start(&["t:2", "u:1"]);
    broker.produce(&["t"], &numbers(0..5)).ok();
    let readers = [&[][..], &["-G", "g", "-o", "beginning"]].map(|group| {
        let mut reader = broker.start_command(&[&["consume", "t", "u"], group].concat());
        crate::support::Lines::of(&mut reader).take(5);
        reader
    });
    broker.run(&["topics", "delete", "t"]).ok();
    for reader in readers {
        let refused = reader.wait().failed(1);
        assert!(refused.contains("topic `t`"), "{refused}");
    }
}

#[test]
fn a_habit_of_another_tool_is_answered_with_the_verbs_help() {
    let done = run(&["process", "-t", "x"]);
    assert!(done.stderr.contains("topics are named without a flag"), "{done:?}");
    assert!(done.stderr.contains("Usage: ottla process"), "{done:?}");
    assert!(!done.stderr.contains("as a value"), "{done:?}");
    for (letter, verb) in [
        (&["-C", "-t", "x"][..], "`ottla consume "),
        (&["-P", "-t", "x"], "`ottla produce "),
        (&["-L"], "`ottla topics describe`"),
        (&["-Q", "-t", "x:0:1"], "`ottla topics offsets "),
        (&["-G", "g", "x"], "`ottla consume TOPIC -G "),
    ] {
        let refused = run(letter).failed(2);
        assert!(refused.contains(verb), "{refused}");
    }
    let pattern = run(&["consume", "ord.*"]).failed(2);
    assert!(pattern.contains("--regex"), "{pattern}");
    let broken = run(&["consume", "ord(", "--regex"]).failed(2);
    assert!(broken.contains("ord(") && !broken.contains("(?:"), "{broken}");
    let count = run(&["topics", "create", "x", "3"]).failed(2);
    assert!(count.contains("ottla topics create x -p 3"), "{count}");
    let help = run(&["--help"]).ok();
    let is_there = |verb: &str| help.lines().any(|line| line.starts_with(&format!("  {verb} ")));
    assert!(is_there("top") && is_there("serve"), "{help}");
}

#[test]
fn the_properties_are_listed_with_their_defaults() {
    let listed = run(&["consume", "t", "-X", "list"]).ok();
    let poll = listed.lines().find(|line| line.starts_with("max.poll.records")).unwrap();
    assert!(poll.ends_with("500"), "{poll}");
    assert!(!run(&["produce", "t", "-X", "list"]).ok().contains("max.poll.records"));
}

#[test]
fn a_group_by_property_alone_is_told() {
    let broker = Broker::start(&["t:1"]);
    let done = broker.run(&["consume", "t", "-e", "-X", "group.id=g"]);
    assert!(done.stderr.contains("-G g reads as its member"), "{done:?}");
}

#[test]
fn a_port_that_speaks_something_else_is_named_with_what_was_heard() {
    for (answer, closes, says) in [
        (&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], true, "HTTP"),
        (&[0x15, 3, 3, 0, 2, 2, 10], true, "TLS"),
        (&[0x7f, 0xff, 0xff, 0xff], false, "2147483647"),
        (&[], false, "no answer"),
        (&[], true, "closed"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let servers = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream: TcpStream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer);
                kept.extend((!closes).then_some(stream));
            }
        });
        for verb in [&["consume", "t"][..], &["topics", "list"]] {
            let timeouts = ["-X", "default.api.timeout.ms=1000", "-X", "request.timeout.ms=600"];
            let refused = run(&[verb, &["-b", &servers], &timeouts].concat()).failed(1);
            assert!(refused.contains(&servers) && refused.contains(says), "{says}: {refused}");
        }
    }
}

#[test]
fn a_group_of_another_kind_is_told() {
    let broker = Broker::start(&["t:1"]);
    let _member = ConnectWorker::join(&broker, "g");
    let refused = broker.run(&["consume", "t", "-G", "g"]).failed(1);
    assert!(refused.contains("group `g`") && refused.contains("use another group"), "{refused}");
}

/// A member whose protocol type is not `consumer`.
struct ConnectWorker {
    stream: TcpStream,
}

impl ConnectWorker {
    fn join(broker: &Broker, group: &str) -> Self {
        let mut worker = Self { stream: TcpStream::connect(&broker.servers).unwrap() };
        let join = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "connect".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "sessioned".to_owned(), metadata: vec![1] }],
            ..Default::default()
        };
        let Response::JoinGroup(joined) = worker.ask(ApiKey::JoinGroup, 3, join.into()) else { panic!() };
        assert!(joined.error_code.is_ok(), "{joined:?}");
        let sync = SyncGroupRequest {
            group_id: group.to_owned(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: joined.member_id,
                assignment: vec![1],
            }],
            ..Default::default()
        };
        let Response::SyncGroup(synced) = worker.ask(ApiKey::SyncGroup, 2, sync.into()) else { panic!() };
        assert!(synced.error_code.is_ok(), "{synced:?}");
        until("the group", || broker.run(&["groups", "list"]).ok().contains("connect").then_some(()));
        worker
    }

    fn ask(&mut self, key: ApiKey, version: i16, request: Request) -> Response {
        let header = RequestHeader { key, version, correlation_id: 1, client_id: None };
        self.stream.write_all(&header.encode(&request)).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        ResponseHeader::decode(key, version, &frame).unwrap().1
    }
}
