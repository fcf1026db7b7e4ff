//! `ottla serve --allow-writes`: who may move offsets, and what is moved.

use std::{
    fs,
    io::{BufRead, ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ottla_broker::{Config, Server, TopicSpec};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};

use crate::{
    groups::commit,
    serve::Served,
    support::{Broker, DEADLINE, File, Lines, Process, numbers, ottla, rows, until},
};

const TOKEN: &str = "open-sesame-of-the-tests";

/// Where a page, or a script, writes.
struct Writer<'a> {
    served: &'a Served,
    /// What is sent beside host and length.
    headers: String,
}

impl<'a> Writer<'a> {
    fn new(served: &'a Served) -> Self {
        Self {
            served,
            headers: format!("authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"),
        }
    }

    fn with(served: &'a Served, headers: &str) -> Self {
        Self { served, headers: headers.to_owned() }
    }

    /// The status of the answer, and its body.
    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let address = &self.served.address;
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (headers, length) = (&self.headers, body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
        );
        // It may have had enough before all is sent.
        _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        answer(&mut stream)
    }

    /// A write that is sent as far as this, and whose answer nobody reads yet.
    fn begin(&self, path: &str, length: usize, body: &str) -> TcpStream {
        let (address, headers) = (&self.served.address, &self.headers);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        stream
    }

    fn plan(&self, group: &str, asked: &Value) -> (u16, Value) {
        self.post(&format!("/api/groups/{group}/reset-plan"), &asked.to_string())
    }

    fn reset(&self, group: &str, plan: &Value) -> (u16, Value) {
        let confirmation = json!({"confirmation": plan["confirmation"]});
        self.post(&format!("/api/groups/{group}/reset"), &confirmation.to_string())
    }
}

fn answer(stream: &mut impl Read) -> (u16, Value) {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no end: {answer:?}"),
            _ => break,
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(!head.to_lowercase().contains("set-cookie"), "{head}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

/// It serves, and takes the token of the tests.
fn serve(servers: &str, token: &File) -> Served {
    serve_groups(servers, token, &[])
}

fn serve_groups(servers: &str, token: &File, groups: &[&str]) -> Served {
    let mut command = ottla(&["serve", "-b", servers, "--listen", "127.0.0.1:0", "--interval", "100ms"]);
    fs::set_permissions(token.path(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Served::of(Process::start(command.args(["--allow-writes", "--token-file", token.path()]).args(groups)))
}

fn token(name: &str) -> File {
    File::new(name, &format!("{TOKEN}\n"))
}

fn committed(broker: &Broker, group: &str) -> Vec<Value> {
    let table = broker.run(&["lag", group, "--output", "json"]).ok();
    rows(&table).iter().map(|row| row["current_offset"].clone()).collect()
}

#[test]
fn a_group_is_moved_by_a_plan_and_its_confirmation_as_the_command_moves_it() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    broker.produce(&["t", "-p", "1"], &numbers(0..20)).ok();
    let file = token("writes");
    let served = serve(&broker.servers, &file);
    let writer = Writer::new(&served);
    for (asked, flags) in [
        (json!({"to": "to-earliest"}), &["--all-topics", "--to-earliest"][..]),
        (json!({"to": "to-latest"}), &["--all-topics", "--to-latest"]),
        (json!({"to": "to-current", "topics": ["t"]}), &["-t", "t", "--to-current"]),
        (json!({"to": "to-offset", "value": 7}), &["--all-topics", "--to-offset", "7"]),
        (json!({"to": "shift-by", "value": "-2"}), &["--all-topics", "--shift-by", "-2"]),
        (json!({"to": "to-offset", "value": 99, "topics": ["t:1"]}), &["-t", "t:1", "--to-offset", "99"]),
        (
            json!({"to": "to-datetime", "value": "2020-01-01T00:00:00.000"}),
            &["--all-topics", "--to-datetime", "2020-01-01T00:00:00.000"],
        ),
        (json!({"to": "by-duration", "value": "P1D"}), &["--all-topics", "--by-duration", "P1D"]),
    ] {
        for at in ["4", "5"] {
            commit(&broker, "g", at);
        }
        let reset = [&["groups", "reset-offsets", "-G", "g", "--output", "json"][..], flags].concat();
        let expected = rows(&broker.run(&reset).ok());
        let (status, plan) = writer.plan("g", &asked);
        assert_eq!((status, plan["rows"].as_array()), (200, Some(&expected)), "{asked}: {plan}");
        assert_eq!(committed(&broker, "g")[0], 5, "a plan changes nothing");
        let (status, done) = writer.reset("g", &plan);
        assert_eq!((status, &done["errors"]), (200, &json!([])), "{asked}: {done}");
        assert_eq!(done["moved"], plan["rows"]);
        let now = committed(&broker, "g");
        for row in &expected {
            let partition = row["partition"].as_u64().unwrap() as usize;
            assert_eq!(now[partition], row["new_offset"], "{asked}");
        }
    }
    // From a file, also of a group that is not there yet.
    let asked = json!({"to": "from-file", "value": "t,0,3\nt,1,4\n"});
    let (_, plan) = writer.plan("new", &asked);
    assert_eq!(writer.reset("new", &plan).0, 200);
    assert_eq!(committed(&broker, "new"), [3, 4]);
    served.process.terminate();
    let done = served.process.wait();
    let told = done.complaints().join("\n");
    for part in [
        "127.0.0.1:",
        "a plan, which changes nothing: group `g`, to-earliest: t-0 from 5 to 0",
        "done: group `g`: t-0 from 5 to 0",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(TOKEN) && !done.stdout.contains(TOKEN), "{done:?}");
    assert!(!told.contains("t,0,3"), "{told}");
}

#[test]
fn who_has_no_token_or_comes_from_another_page_moves_nothing() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "g", "5");
    let file = token("refused");
    let served = serve(&broker.servers, &file);
    let (auth, json_type) =
        (format!("authorization: Bearer {TOKEN}\r\n"), "content-type: application/json\r\n");
    let asked = r#"{"to":"to-earliest"}"#;
    for (status, headers) in [
        (401, json_type.to_owned()),
        (401, format!("authorization: Bearer {TOKEN}x\r\n{json_type}")),
        (401, format!("authorization: Basic {TOKEN}\r\n{json_type}")),
        (401, format!("cookie: token={TOKEN}\r\n{json_type}")),
        (415, auth.clone()),
        (415, format!("{auth}content-type: text/plain\r\n")),
        (403, format!("{auth}{json_type}origin: http://evil.example\r\n")),
        (403, format!("{auth}{json_type}origin: null\r\n")),
        (403, format!("{auth}{json_type}sec-fetch-site: cross-site\r\n")),
        (
            200,
            format!("{auth}{json_type}origin: http://{}\r\nsec-fetch-site: same-origin\r\n", served.address),
        ),
    ] {
        let got = Writer::with(&served, &headers).post("/api/groups/g/reset-plan", asked);
        assert_eq!(got.0, status, "{headers}: {}", got.1);
    }
    let path = format!("/api/groups/g/reset-plan?token={TOKEN}");
    assert_eq!(Writer::with(&served, json_type).post(&path, asked).0, 401, "no token stands in an address");
    let writer = Writer::new(&served);
    assert_eq!(writer.post("/api/groups", asked).0, 405);
    assert_eq!(writer.post("/healthz", asked).0, 405);
    assert_eq!(served.get("/api/groups/g/reset", "").0, 405);
    for bad in
        ["", "{", "[]", r#"{"to":"sideways"}"#, r#"{"to":"to-offset"}"#, r#"{"to":"to-earliest","value":1}"#]
    {
        assert_eq!(writer.post("/api/groups/g/reset-plan", bad).0, 400, "{bad}");
    }
    let large = format!(r#"{{"to":"from-file","value":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(writer.post("/api/groups/g/reset-plan", &large).0, 413);
    assert_eq!(committed(&broker, "g"), [5]);
    assert_eq!(served.json("/api/status")["writes"], true);
    served.process.terminate();
    let done = served.process.wait();
    let told = done.complaints().join("\n");
    assert!(
        told.contains("refused: a wrong token") && told.contains("refused: a page of another site"),
        "{told}"
    );
    assert!(!told.contains(TOKEN), "{told}");
}

#[test]
fn who_tries_a_token_and_goes_away_at_once_is_told_and_leaves_the_next_to_wait() {
    let broker = Broker::start(&["t:1"]);
    let file = token("hurried");
    let mut served = serve(&broker.servers, &file);
    let lines = Lines::of_stderr(&mut served.process);
    let headers = "authorization: Bearer not-the-one\r\ncontent-type: application/json\r\n";
    let stranger = Writer::with(&served, headers);
    let begun = Instant::now();
    for _ in 0..4 {
        let _stream = stranger.begin("/api/groups/g/reset-plan", 0, "");
        // It has been compared by then.
        lines.with("refused: a wrong token");
    }
    assert_eq!(stranger.plan("g", &json!({})).0, 401);
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    served.process.terminate();
    assert_eq!(lines.rest().iter().filter(|line| line.contains("refused")).count(), 1);
}

/// There are two: the other one has a write whose body does not come.
#[test]
fn a_reset_keeps_its_seat_though_who_asked_goes_away() {
    let config = Config { topics: vec![TopicSpec::new("t", 1)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let file = token("seats");
    let mut served = serve(&server.bootstrap(), &file);
    let lines = Lines::of_stderr(&mut served.process);
    let writer = Writer::new(&served);
    let (status, plan) = writer.plan("g", &json!({"to": "to-latest", "topics": ["t"]}));
    assert_eq!(status, 200, "{plan}");
    server.with_cluster(|cluster| {
        cluster.faults().on(ottla_broker::ApiKey::OffsetCommit).always().then(ottla_broker::Fault::Silence);
    });
    let confirmation = json!({"confirmation": plan["confirmation"]}).to_string();
    let stream = writer.begin("/api/groups/g/reset", confirmation.len(), &confirmation);
    lines.with("begins: group ");
    drop(stream);
    // Long enough to be noticed.
    thread::sleep(Duration::from_millis(300));
    // A body is asked for by who has a seat.
    let waits = Writer::with(&served, &format!("{}expect: 100-continue\r\n", writer.headers));
    let _held = until("a seat is taken", || {
        let (mut stream, mut told) = (waits.begin("/api/groups/g/reset-plan", 9, ""), [0; 12]);
        stream.read_exact(&mut told).unwrap();
        (told == *b"HTTP/1.1 100").then_some(stream)
    });
    assert_eq!(writer.post("/api/groups/g/reset-plan", "").0, 503);
}

#[test]
fn where_groups_are_named_no_other_is_moved() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    ["named", "other"].iter().for_each(|group| commit(&broker, group, "5"));
    let file = token("named");
    let served = serve_groups(&broker.servers, &file, &["named"]);
    let writer = Writer::new(&served);
    let earliest = json!({"to": "to-earliest"});
    let (status, why) = writer.plan("other", &earliest);
    assert!(status == 403 && why["error"].as_str().unwrap().contains("group `other` is not among"), "{why}");
    let (status, plan) = writer.plan("named", &earliest);
    assert_eq!(status, 200, "{plan}");
    assert_eq!(writer.reset("other", &plan).0, 403);
    assert_eq!(writer.reset("named", &plan).0, 200);
    assert_eq!((committed(&broker, "named"), committed(&broker, "other")), (vec![0.into()], vec![5.into()]));
}

#[test]
fn a_plan_that_is_not_so_any_more_moves_nothing() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    commit(&broker, "g", "5");
    commit(&broker, "other", "5");
    let file = token("stale");
    let served = serve(&broker.servers, &file);
    let writer = Writer::new(&served);
    let earliest = json!({"to": "to-earliest"});
    let plan = |writer: &Writer<'_>| writer.plan("g", &earliest).1;

    for wrong in [json!("x"), json!(""), json!(null)] {
        let (status, why) = writer.reset("g", &json!({ "confirmation": wrong }));
        assert!(status == 409 || status == 400 && wrong.is_null(), "{why}");
    }
    let planned = plan(&writer);
    assert_eq!(writer.reset("other", &planned).0, 409, "a confirmation is of one group");
    commit(&broker, "g", "6");
    let (status, why) = writer.reset("g", &planned);
    assert!(status == 409 && why["error"].as_str().unwrap().contains("the commit was 5 and is 6"), "{why}");
    assert_eq!(committed(&broker, "g"), [6]);

    let planned = plan(&writer);
    assert_eq!(writer.reset("g", &planned).0, 200);
    assert_eq!(writer.reset("g", &planned).0, 409, "once");

    let planned = plan(&writer);
    let mut reader = broker.start_command(&[
        "consume",
        "t",
        "-G",
        "g",
        "-o",
        "beginning",
        "-X",
        "enable.auto.commit=false",
    ]);
    Lines::of(&mut reader).take(10);
    for (status, why) in [writer.reset("g", &planned), writer.plan("g", &earliest)] {
        let why = why["error"].as_str().unwrap_or_default();
        assert!(
            status == 409 && why.contains("it is Stable, with members: ") && why.contains("127.0.0.1"),
            "{why}"
        );
    }
    reader.terminate();
    reader.wait().ok();
    assert_eq!(committed(&broker, "g")[0], 0);
}

#[test]
fn a_name_with_markup_is_moved_and_told_harmlessly() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    let name = "\"><img src=x>\u{1b}[2J\n\u{202e}/?#%";
    commit(&broker, name, "4");
    let file = token("markup");
    let served = serve(&broker.servers, &file);
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let writer = Writer::new(&served);
    let (status, plan) = writer.plan(&encoded, &json!({"to": "to-latest"}));
    assert_eq!((status, &plan["rows"][0]["group"]), (200, &name.into()), "{plan}");
    assert_eq!(writer.reset(&encoded, &plan).0, 200);
    assert_eq!(writer.plan("%ff", &json!({"to": "to-latest"})).0, 400);
    until("it is seen", || (served.group(name)["lag"] == 0).then_some(()));
    served.process.terminate();
    let told = served.process.wait().stderr;
    assert!(
        told.contains("<img src=x>\\u{1b}[2J") && !told.contains('\u{1b}') && !told.contains('\u{202e}'),
        "{told}"
    );
}

#[test]
fn who_goes_away_while_a_reset_is_carried_out_leaves_it_whole() {
    let config = Config { topics: vec![TopicSpec::new("t", 1)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let bootstrap = server.bootstrap();
    let reset =
        ["groups", "reset-offsets", "-G", "g", "-t", "t", "--to-earliest", "--execute", "-b", &bootstrap];
    Process::start(&mut ottla(&reset)).wait().ok();
    let file = token("away");
    let mut served = serve(&bootstrap, &file);
    let lines = Lines::of_stderr(&mut served.process);
    let writer = Writer::new(&served);
    let (_, plan) = writer.plan("g", &json!({"to": "to-latest", "topics": ["t"]}));
    // The coordinator takes its time.
    server.with_cluster(|cluster| {
        let late = ottla_broker::Fault::Delay(Duration::from_millis(500));
        cluster.faults().on(ottla_broker::ApiKey::OffsetCommit).always().then(late);
    });
    let body = json!({"confirmation": plan["confirmation"]}).to_string();
    let stream = writer.begin("/api/groups/g/reset", body.len(), &body);
    lines.with("begins: group ");
    drop(stream);
    served.process.terminate();
    lines.with("done: group `g`: t-0 from 0 to 0");
}

#[test]
fn what_would_not_be_safe_is_refused_before_anything_is_served() {
    let broker = Broker::start(&["t:1"]);
    let run = |args: &[&str]| broker.run(&[&["serve"][..], args].concat());
    let told = run(&["--listen", "0.0.0.0:0", "--allow-writes"]).failed(2);
    assert!(told.contains("not a loopback address") && told.contains("--tls-cert"), "{told}");
    run(&["--token-file", "x"]).failed(2);
    run(&["--tls-cert", "x"]).failed(2);
    let short = File::new("short-token", "sesame\n");
    let told = run(&["--allow-writes", "--token-file", short.path()]).failed(2);
    assert!(told.contains(short.path()) && !told.contains("sesame"), "{told}");
    let told = run(&["--allow-writes", "--token-file", "/nowhere/token"]).failed(2);
    assert!(told.contains("/nowhere/token"), "{told}");
    let told = run(&["--tls-cert", short.path(), "--tls-key", short.path()]).failed(2);
    assert!(told.contains("--tls-cert") && told.contains("no certificate"), "{told}");
}

#[test]
fn without_a_file_a_token_is_drawn_and_printed_once() {
    let broker = Broker::start(&["t:1"]);
    commit(&broker, "g", "0");
    let mut process = Process::start(
        broker.command(&["serve", "--listen", "127.0.0.1:0", "--interval", "1s"]).arg("--allow-writes"),
    );
    let mut lines = process.stdout().lines().map_while(Result::ok);
    let address = lines.next().unwrap().replace("ready http://", "").replace('/', "");
    let token = lines.next().unwrap().strip_prefix("token ").unwrap().to_owned();
    assert!(token.len() >= 40, "{token}");
    let served = Served { address, process };
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let (status, plan) = Writer::with(&served, &headers).plan("g", &json!({"to": "to-current"}));
    assert_eq!(status, 200, "{plan}");
    served.process.terminate();
    let done = served.process.wait();
    assert_eq!(lines.next(), None);
    assert!(!done.stderr.contains(&token), "{done:?}");
}

#[test]
fn over_tls_it_writes_beyond_loopback_and_who_speaks_none_is_let_go() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    commit(&broker, "g", "5");
    let made = rcgen::generate_simple_self_signed(["lag.example.com".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let (cert_file, key_file, file) =
        (File::new("serve-cert", &cert), File::new("serve-key", &key), token("tls"));
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let other = File::new("serve-other-key", &other);
    let told = broker.run(&["serve", "--tls-cert", cert_file.path(), "--tls-key", other.path()]).failed(2);
    assert!(told.contains("is the key that of this certificate?"), "{told}");
    let mut command = broker.command(&["serve", "--listen", "0.0.0.0:0", "--interval", "100ms"]);
    command.args(["--allow-writes", "--token-file", file.path(), "--host", "lag.example.com"]);
    let mut process =
        Process::start(command.args(["--tls-cert", cert_file.path(), "--tls-key", key_file.path()]));
    let mut line = String::new();
    process.stdout().read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("ready https://").and_then(|rest| rest.strip_suffix('/'));
    let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();

    let mut plain = TcpStream::connect(&address).unwrap();
    plain.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(plain, "GET /healthz HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let ask = |request: &str| {
        let name = ServerName::try_from("lag.example.com").unwrap();
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream);
        tls.write_all(request.as_bytes()).unwrap();
        answer(&mut tls)
    };
    let (status, _) = ask("GET /api/status HTTP/1.0\r\nhost: lag.example.com\r\n\r\n");
    assert_eq!(status, 200);
    let post = |step: &str, body: &Value| {
        let body = body.to_string();
        ask(&format!(
            "POST /api/groups/g/{step} HTTP/1.1\r\nhost: lag.example.com\r\norigin: https://lag.example.com\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let (status, plan) = post("reset-plan", &json!({"to": "to-earliest"}));
    assert_eq!(status, 200, "{plan}");
    let (status, done) = post("reset", &json!({"confirmation": plan["confirmation"]}));
    assert_eq!((status, committed(&broker, "g")), (200, vec![0.into()]), "{done}");
    process.terminate();
    let told = process.wait().stderr;
    assert!(
        told.contains("not a loopback address") && told.contains("others on this machine can read it"),
        "{told}"
    );
}
