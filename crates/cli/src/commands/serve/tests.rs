//! Real sockets, and a board that nobody fills: bounds, refusals, and events.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use super::{
    board::Board,
    http::{self, Hosts, Patience},
    routes::{PATHS, Routes, WRITES},
};
use crate::{
    history::seeds::{replay, seeds},
    signals::Stop,
};

/// How long anything may take here.
const DEADLINE: Duration = Duration::from_secs(30);

/// A server, with a runtime of its own.
struct Served {
    address: SocketAddr,
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    runtime: Runtime,
}

impl Served {
    fn start(patience: Patience) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, requested) = Stop::by_hand();
        let board = Arc::new(Board::new(Duration::from_secs(5), None));
        let hosts = Hosts::new(&["lag.example.com".to_owned()], false).unwrap();
        let routes = Arc::new(Routes::new(board.clone(), hosts, None, requested.clone()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(http::serve(listener, None, routes, patience, requested));
        Self { address, board, stop, runtime }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// What comes back for these bytes: an answer, or what there is before the connection ends.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // It may have had enough before all is sent.
        _ = stream.write_all(bytes);
        self.answer(&mut stream)
    }

    /// The same where nothing follows these bytes.
    fn cut(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        _ = stream.write_all(bytes);
        _ = stream.shutdown(Shutdown::Write);
        self.answer(&mut stream)
    }

    fn answer(&self, stream: &mut TcpStream) -> String {
        let (mut answer, mut buffer) = (Vec::new(), [0; 16 * 1_024]);
        loop {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => answer.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no end: {answer:?}"),
                _ => break,
            }
            let text = String::from_utf8_lossy(&answer);
            let length = header(&text, "content-length").and_then(|length| length.parse().ok());
            if text.split_once("\r\n\r\n").is_some_and(|(_, body)| Some(body.len()) == length) {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer to a GET with these headers.
    fn get(&self, path: &str, headers: &str) -> String {
        self.raw(
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n", self.address)
                .as_bytes(),
        )
    }

    fn readers(&self) -> usize {
        self.board.events.readers()
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_so() {
            assert!(Instant::now() < end, "not seen: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn before_the_first_look_it_is_alive_and_not_ready_and_the_page_is_there() {
    let served = Served::start(Patience::default());
    assert_eq!(status(&served.get("/healthz", "")), 200);
    let ready = served.get("/readyz", "");
    assert!(status(&ready) == 503 && ready.contains("the first look is not over"), "{ready}");
    assert_eq!(status(&served.get("/api/groups", "")), 503);
    served.board.looks.failed("no broker answers".to_owned());
    assert!(served.get("/readyz", "").ends_with("no broker answers\n"));
    let page = served.get("/", "");
    assert_eq!(status(&page), 200);
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(header(&page, name), Some(value));
    }
    assert_eq!(header(&page, "access-control-allow-origin"), None);
}

#[test]
fn each_path_of_the_documentation_is_answered_and_no_other() {
    let served = Served::start(Patience::default());
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/serve.md")).unwrap();
    for path in PATHS {
        assert!(page.contains(&format!("| `{path}` |")), "{path} is not in docs/serve.md");
        if path != "/api/events" {
            let got = status(&served.get(&path.replace("NAME", "a%2Fb"), ""));
            assert!([200, 503].contains(&got), "{path}: {got}");
        }
    }
    for path in WRITES {
        assert!(page.contains(&format!("| `POST {path}` |")), "{path} is not in docs/serve.md");
        assert_eq!(status(&served.get(&path.replace("NAME", "a"), "")), 404, "{path}: it is not allowed");
    }
    for path in [
        "/api",
        "/api/",
        "/api/groups/",
        "/api/groups/a/b",
        "/index.html",
        "/../etc/passwd",
        "//",
        "/metrics/",
    ] {
        let got = status(&served.get(path, ""));
        assert!([404, 503].contains(&got), "{path}: {got}");
    }
    assert_eq!(status(&served.get("/api/groups/%ff", "")), 400);
    assert_eq!(status(&served.get("/healthz?anything", "")), 200);
}

#[test]
fn a_request_to_another_name_is_refused_before_it_is_looked_at() {
    let served = Served::start(Patience::default());
    let ask = |request: &str| status(&served.raw(request.as_bytes()));
    let port = served.address.port();
    assert_eq!(ask(&format!("GET /healthz HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n")), 200);
    assert_eq!(ask("GET /healthz HTTP/1.1\r\nhost: lag.example.com\r\n\r\n"), 200);
    for host in [
        "evil.example",
        "lag.example.com.evil.example",
        "127.0.0.1",
        "",
        "127.0.0.1:1",
        "a b",
        "@",
        "user@lag.example.com",
    ] {
        let got = ask(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        assert!([400, 421].contains(&got), "{host}: {got}");
    }
    assert_eq!(ask("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(ask("GET / HTTP/1.0\r\n\r\n"), 400);
    assert_eq!(ask("GET / HTTP/1.1\r\nhost: lag.example.com\r\nhost: evil.example\r\n\r\n"), 400);
    assert_eq!(ask("GET http://evil.example/ HTTP/1.1\r\nhost: lag.example.com\r\n\r\n"), 421);
    assert_eq!(ask("GET http://lag.example.com/healthz HTTP/1.1\r\nhost: lag.example.com\r\n\r\n"), 200);
}

#[test]
fn it_only_shows_and_takes_nothing() {
    let served = Served::start(Patience::default());
    let host = format!("host: {}", served.address);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let refused = served.raw(format!("{method} /healthz HTTP/1.1\r\n{host}\r\n\r\n").as_bytes());
        assert_eq!((status(&refused), header(&refused, "allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let head = served.raw(format!("HEAD /readyz HTTP/1.1\r\n{host}\r\nconnection: close\r\n\r\n").as_bytes());
    assert!(status(&head) == 503 && head.ends_with("\r\n\r\n"), "{head}");
    for body in
        ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    {
        let refused = served.raw(format!("GET /healthz HTTP/1.1\r\n{host}\r\n{body}").as_bytes());
        assert_eq!((status(&refused), header(&refused, "connection")), (413, Some("close")), "{refused}");
    }
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let served = Served::start(Patience::default());
    for (what, more) in [
        ("a header", format!("x: {}\r\n", "x".repeat(9_000))),
        ("a megabyte", format!("x: {}\r\n", "x".repeat(1_000_000))),
        ("headers", (0..100).map(|n| format!("x{n}: y\r\n")).collect()),
    ] {
        let refused = served.get("/healthz", &more);
        assert!(refused.is_empty() || status(&refused) == 431, "{what}: {refused}");
    }
    let refused = served.get(&format!("/{}", "x".repeat(70_000)), "");
    assert!(refused.is_empty() || [414, 431].contains(&status(&refused)), "{refused}");
    assert_eq!(status(&served.get("/healthz", "")), 200);
}

/// Noise, and requests of which a part is changed, missing, or there twice.
#[test]
fn ten_thousand_bad_requests_are_refused_and_the_next_good_one_is_answered() {
    let served = Served::start(Patience::default());
    for seed in seeds(1) {
        thread::scope(|scope| {
            for part in 0..8 {
                let served = &served;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed * 8 + part);
                    for _ in 0..1_250 {
                        let kind = rng.usize(0..8);
                        let bytes = bad(&mut rng, kind, served.address);
                        let answer = if kind < 3 { served.cut(&bytes) } else { served.raw(&bytes) };
                        // Where something is left unread, the end of the connection may be all that is seen.
                        let is_silent = answer.is_empty() && [0, 1, 2, 7].contains(&kind);
                        let text = String::from_utf8_lossy(&bytes);
                        assert!(
                            is_silent || (400..=431).contains(&status(&answer)),
                            "{text:?}: {answer}; {}",
                            replay(seed)
                        );
                    }
                });
            }
        });
    }
    assert_eq!(status(&served.get("/healthz", "")), 200);
    assert_eq!(served.readers(), 0);
}

fn bad(rng: &mut fastrand::Rng, kind: usize, address: SocketAddr) -> Vec<u8> {
    let good = format!("GET /api/groups/a HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n\r\n").into_bytes();
    let at = rng.usize(1..good.len());
    match kind {
        0 => (0..rng.usize(1..600)).map(|_| rng.u8(..)).collect(),
        1 => good[..at].to_vec(),
        2 => good[at..].to_vec(),
        3 => [&b"GET / HTTP/1.1\r\nhost: evil.example\r\n"[..], b"\r\n"].concat(),
        4 => [&good[..17], b"\0\x0b\xff", &good[17..]].concat(),
        5 => [&good[..good.len() - 2], b"content-length: -1\r\n\r\n"].concat(),
        6 => [&good[..good.len() - 2], b"transfer-encoding: chunked, gzip\r\ncontent-length: 3\r\n\r\nabc"]
            .concat(),
        _ => {
            [b"POST", &good[3..good.len() - 2], b"content-length: 99999999999\r\n\r\n", &vec![b'x'; at * 50]]
                .concat()
        }
    }
}

#[test]
fn who_says_nothing_or_not_all_is_not_waited_for() {
    let served = Served::start(Patience { head: Duration::from_millis(300), ..Patience::default() });
    for begun in [
        "",
        "GET / HT",
        "GET /healthz HTTP/1.1\r\nhost: x\r\n",
        "GET /healthz HTTP/1.1\r\nhost: HOST\r\n\r\n",
    ] {
        let mut stream = served.connect();
        stream.write_all(begun.replace("HOST", &served.address.to_string()).as_bytes()).unwrap();
        let asked = Instant::now();
        let mut answer = String::new();
        _ = stream.read_to_string(&mut answer);
        assert!(asked.elapsed() < Duration::from_secs(10), "{begun:?}");
        assert_eq!(answer.starts_with("HTTP/1.1 200"), begun.ends_with("\r\n\r\n"), "{begun:?}: {answer}");
    }
}

#[test]
fn more_connections_than_there_may_be_wait_for_their_turn() {
    let served = Served::start(Patience { head: Duration::from_secs(1), ..Patience::default() });
    let silent: Vec<TcpStream> = (0..200).map(|_| served.connect()).collect();
    assert_eq!(status(&served.get("/healthz", "")), 200, "those that say nothing are gone after a second");
    drop(silent);
}

#[test]
fn events_come_to_who_reads_and_who_comes_back_misses_none() {
    let served = Served::start(Patience::default());
    let events = &served.board.events;
    events.tell("status", &json!({"n": 1, "group": "a\nb"}));
    let read = |stream: &mut TcpStream, until: &str| {
        let (mut text, mut buffer) = (String::new(), [0; 1_024]);
        while !text.contains(until) {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "{text}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        text
    };
    let open = |seen: &str| {
        let mut stream = served.connect();
        write!(stream, "GET /api/events HTTP/1.1\r\nhost: {}\r\n{seen}\r\n", served.address).unwrap();
        stream
    };
    let mut reader = open("");
    let text = read(&mut reader, "\"n\":1");
    assert_eq!(header(&text, "content-type"), Some("text/event-stream; charset=utf-8"));
    let id = |text: &str| {
        text.lines().rev().find_map(|line| line.strip_prefix("id: ").map(str::to_owned)).unwrap()
    };
    let (start, first) =
        id(&text).split_once('-').map(|(start, number)| (start.to_owned(), number.to_owned())).unwrap();
    assert_eq!(first, "1");
    assert!(text.contains("\nevent: status\ndata: {\"group\":\"a\\nb\",\"n\":1}\n\n"), "{text}");
    events.tell("status", &json!({"n": 2}));
    let text = read(&mut reader, "\"n\":2");
    assert!(!text.contains("\"n\":1"));
    drop(reader);
    events.tell("status", &json!({"n": 3}));
    let text = read(&mut open(&format!("last-event-id: {start}-2\r\n")), "\"n\":3");
    assert!(!text.contains("\"n\":2"), "{text}");
    for other in ["1-2", "1-99", "2", "", "-"] {
        let text = read(&mut open(&format!("last-event-id: {other}\r\n")), "\"n\":3");
        assert!(text.contains("\"n\":1"), "of a server that was started anew all is told: {text}");
    }
    served.until("nobody reads any more", || {
        events.tell("status", &json!({}));
        served.readers() == 0
    });
}

#[test]
fn a_reader_that_does_not_keep_up_is_let_go_and_others_are_not() {
    let served = Served::start(Patience { answer: Duration::from_millis(500), ..Patience::default() });
    let events = &served.board.events;
    let request = format!("GET /api/events HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
    let mut slow = served.connect();
    slow.write_all(request.as_bytes()).unwrap();
    let mut good = served.connect();
    good.write_all(request.as_bytes()).unwrap();
    served.until("both read", || served.readers() == 2);
    let text = json!({"text": "x".repeat(4_000)});
    let mut buffer = vec![0; 64 * 1_024];
    // More than sockets hold, each piece read before the next is told.
    let (mut told, mut read) = (0, 0);
    served.until("the slow one is gone", || {
        for _ in 0..50 {
            events.tell("status", &text);
            told += 4_000;
        }
        while read < told {
            let count = good.read(&mut buffer).unwrap();
            assert!(count > 0, "the good one was let go");
            read += count;
        }
        served.readers() == 1
    });
    assert_eq!(events.dropped(), 1);
    assert!(served.get("/metrics", "").contains("\nottla_event_readers_dropped_total 1\n"));
}

#[test]
fn there_are_no_more_readers_than_may_be_and_all_end_when_it_stops() {
    let served = Served::start(Patience::default());
    let request = format!("GET /api/events HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
    let mut readers: Vec<TcpStream> = (0..64).map(|_| served.connect()).collect();
    readers.iter_mut().for_each(|reader| reader.write_all(request.as_bytes()).unwrap());
    served.until("all read", || served.readers() == 64);
    let refused = served.get("/api/events", "");
    assert_eq!((status(&refused), header(&refused, "retry-after")), (503, Some("1")));
    assert_eq!(status(&served.get("/healthz", "")), 200, "there is room for others");
    let silent = served.connect();
    served.stop.send_replace(true);
    for mut stream in readers.into_iter().chain([silent]) {
        let mut rest = String::new();
        _ = stream.read_to_string(&mut rest);
    }
    served.until("all readers are gone", || served.readers() == 0);
    served.until("nobody is let in", || TcpStream::connect(served.address).is_err());
    served.runtime.shutdown_timeout(DEADLINE);
}
