//! What a command waits for it says, and it waits for nothing alone that others can do.

use std::{
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use ottla_broker::{Config, Server, TopicSpec};

use crate::support::{Done, Process, numbers, ottla, rows};

/// What two partitions take that are there.
const SOON: Duration = Duration::from_secs(2);

/// Two brokers, a topic `t` with five records in each of its two partitions.
fn server() -> Server {
    let config = Config { brokers: 2, topics: vec![TopicSpec::new("t", 2)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    for partition in ["0", "1"] {
        let mut producer = Process::start(
            ottla(&["produce", "t", "-p", partition, "-b", &server.bootstrap()])
                .stdin(std::process::Stdio::piped()),
        );
        producer.feed(numbers(0..5).as_bytes());
        producer.wait().ok();
    }
    server
}

fn run(server: &Server, args: &[&str]) -> Done {
    let more = ["-b", &server.bootstrap(), "-X", "default.api.timeout.ms=4000"];
    Process::start(&mut ottla(&[args, &more].concat())).wait()
}

#[test]
fn a_partition_without_a_leader_is_named_and_holds_up_no_other() {
    let server = server();
    run(&server, &["consume", "t", "-e", "-G", "g", "-o", "beginning"]).ok();
    server.with_cluster(|cluster| assert!(cluster.depose_leader("t", 1, server.now())));
    thread::scope(|scope| {
        for (args, expected) in [
            (&["-e"][..], numbers(0..5)),
            (&["-e", "-o", "-2"], numbers(3..5)),
            (&["-e", "-o", "1"], numbers(1..5)),
            (&["-e", "-G", "h", "-o", "beginning"], numbers(0..5)),
        ] {
            let server = &server;
            scope.spawn(move || {
                let done = run(server, &[&["consume", "t"], args].concat());
                assert!(done.stderr.contains("waiting: t-1"), "{args:?}: {done:?}");
                assert_eq!(done.stdout, expected, "{args:?}: {done:?}");
                let refused = done.failed(1);
                assert!(refused.contains("t-1") && refused.contains("no leader"), "{args:?}: {refused}");
            });
        }
    });
    let begun = Instant::now();
    let done = run(&server, &["lag", "--output", "json"]);
    assert!(begun.elapsed() < SOON, "{done:?}");
    assert!(done.stderr.contains("partition t-1 has no leader"), "{done:?}");
    let rows = rows(&done.ok());
    let of_g: Vec<_> = rows.iter().filter(|row| row["group"] == "g").collect();
    assert_eq!((&of_g[0]["log_end_offset"], &of_g[0]["lag"]), (&5.into(), &0.into()));
    assert_eq!(
        (&of_g[1]["current_offset"], &of_g[1]["log_end_offset"]),
        (&5.into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_broker_whose_name_does_not_resolve_is_told() {
    let server = server();
    let (named, port) = (server.addresses()[0], server.addresses()[1].port());
    let good = named.to_string();
    server.with_cluster(|cluster| cluster.set_address(2, "no-such-host.invalid".to_owned(), port));
    let run = |args: &[&str]| {
        let more = ["-b", &good, "-X", "default.api.timeout.ms=4000"];
        Process::start(&mut ottla(&[args, &more].concat())).wait()
    };
    let leads = |partition| server.with_cluster(|cluster| cluster.leader("t", partition).unwrap().0);
    let there = usize::from(leads(0) != 1);
    let done = run(&["consume", "t", "-e"]);
    assert!(
        done.stderr.lines().any(|line| line.contains("waiting:") && line.contains("resolve")),
        "{done:?}"
    );
    assert_eq!(done.stdout, numbers(0..5), "those of t-{there}");
    let refused = done.failed(1);
    assert!(
        refused.contains("no-such-host.invalid") && refused.contains(&format!("t-{}", 1 - there)),
        "{refused}"
    );
}

/// Servers that never become a broker: they hang, refuse, reset, speak something else or do not resolve.
fn bad_servers() -> Vec<(&'static str, String)> {
    let listen = |serve: fn(TcpStream) -> Option<TcpStream>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                kept.extend(serve(stream.unwrap()));
            }
        });
        address
    };
    let speaks = |mut stream: TcpStream| {
        use std::io::Write as _;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        None
    };
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    vec![
        ("hung", listen(Some)),
        ("resetting", listen(|_| None)),
        ("refusing", refusing),
        ("not Kafka", listen(speaks)),
        ("not resolving", "no-such-host.invalid:9092".to_owned()),
    ]
}

#[test]
fn one_bad_bootstrap_server_holds_no_command_up() {
    let server = server();
    let good = server.bootstrap();
    for (kind, bad) in bad_servers() {
        for servers in [format!("{bad},{good}"), format!("{good},{bad}")] {
            for args in [&["topics", "list"][..], &["consume", "t", "-e"], &["lag"], &["produce", "t"]] {
                let begun = Instant::now();
                let done = Process::start(&mut ottla(&[args, &["-b", &servers]].concat())).wait();
                let took = begun.elapsed();
                assert!(done.status == Some(0) && took < SOON, "{kind}: {args:?} took {took:?}: {done:?}");
            }
        }
    }
}

#[test]
fn what_is_no_broker_is_told_at_once() {
    let speaks = bad_servers().into_iter().find(|(kind, _)| *kind == "not Kafka").unwrap().1;
    let begun = Instant::now();
    let refused = Process::start(&mut ottla(&["topics", "list", "-b", &speaks])).wait().failed(1);
    assert!(begun.elapsed() < SOON && refused.contains("HTTP"), "{:?}: {refused}", begun.elapsed());
}
