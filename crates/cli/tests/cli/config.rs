//! Where properties come from: `-X`, `--config` and `OTTLA_CONFIG`, with files that were written for other tools.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ottla_broker::{Authorizer, Config, Sasl, SaslMechanism, Server, TopicSpec};

use crate::support::{Broker, Done, File, Process, ottla, run};

const PASSWORD: &str = "open-sesame";

/// A broker at which alice authenticates.
fn server() -> Server {
    let mut sasl = Sasl::new([SaslMechanism::Plain, SaslMechanism::ScramSha512]).user("alice", PASSWORD);
    sasl.failed_authentication_delay = Duration::ZERO;
    let config = Config { sasl: Some(sasl), ..Config::default() };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

/// A broker at which alice may authenticate and do nothing.
fn forbidding() -> Server {
    let config = Config {
        sasl: Some(Sasl::new([SaslMechanism::ScramSha512]).user("alice", PASSWORD)),
        authorizer: Some(Authorizer::default()),
        topics: vec![TopicSpec::new("t", 1)],
        ..Config::default()
    };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

/// As Java's tools read it.
fn javas(server: &Server, password: &str) -> String {
    let (servers, text) = (server.bootstrap(), "org.apache.kafka.common.serialization.StringDeserializer");
    format!(
        "# for kafka-console-consumer --consumer.config\n\
         bootstrap.servers = {servers}\n\
         security.protocol=SASL_PLAINTEXT\n\
         sasl.mechanism=SCRAM-SHA-512\n\
         sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  \
         username=\"alice\" password=\"{password}\";\n\
         key.deserializer={text}\nvalue.deserializer={text}\n\
         client.dns.lookup=resolve_canonical_bootstrap_servers_only\n\
         metric.reporters=org.example.Reporter\nsend.buffer.bytes=131072\nauto.commit.interval.ms=1000\n"
    )
}

/// As kcat reads it.
fn kcats(server: &Server) -> String {
    let servers = server.bootstrap();
    format!(
        "# kcat -F\nbootstrap.servers={servers}\nsecurity.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\n\
         sasl.username=alice\nsasl.password={PASSWORD}\n\
         statistics.interval.ms=1000\nlog.connection.close=false\nsocket.keepalive.enable=true\n\
         api.version.request=true\nqueue.buffering.max.ms=5\nfetch.wait.max.ms=100\n"
    )
}

/// With a file behind.
fn with(args: &[&str], file: &File) -> Command {
    ottla(&[args, &["--config", file.path()]].concat())
}

fn done(mut command: Command) -> Done {
    Process::start(&mut command).wait()
}

fn unused(done: &Done) -> Vec<&str> {
    done.stderr.lines().filter(|line| line.contains("of no use here")).collect()
}

fn does_all(file: &File) {
    let run = |args: &[&str]| done(with(args, file));
    run(&["topics", "create", "t", "-p", "2"]).ok();
    assert!(run(&["topics", "list"]).ok().contains('t'));
    let mut produce = with(&["produce", "t"], file);
    let mut produce = Process::start(produce.stdin(Stdio::piped()));
    produce.feed(b"a\n");
    produce.wait().ok();
    assert_eq!(run(&["consume", "t", "-G", "group", "-o", "beginning", "-e"]).ok(), "a\n");
    assert!(run(&["groups", "list"]).ok().contains("group"));
    assert!(run(&["lag", "group"]).ok().contains("group"));
}

#[test]
fn a_file_for_javas_tools_works_unchanged_and_what_changes_nothing_is_told_in_one_line() {
    let server = server();
    let file = File::new("java.properties", &javas(&server, PASSWORD));
    does_all(&file);
    let consumed = done(with(&["consume", "t", "-e"], &file));
    let names = "`client.dns.lookup`, `key.deserializer`, `metric.reporters`, `send.buffer.bytes`, `value.deserializer`";
    assert_eq!(unused(&consumed), [format!("ottla: of no use here, of the file: {names}")], "{consumed:?}");
    let listed = done(with(&["topics", "list"], &file));
    let [line] = unused(&listed)[..] else { panic!("{listed:?}") };
    assert!(line.contains("`auto.commit.interval.ms`"), "another client's: {line}");
}

#[test]
fn a_file_for_kcat_works_unchanged_and_what_changes_nothing_is_told_in_one_line() {
    let server = server();
    let file = File::new("kcat.conf", &kcats(&server));
    does_all(&file);
    let consumed = done(with(&["consume", "t", "-e"], &file));
    let names = "`api.version.request`, `fetch.wait.max.ms`, `log.connection.close`, `queue.buffering.max.ms`, \
                 `socket.keepalive.enable`, `statistics.interval.ms`";
    assert_eq!(unused(&consumed), [format!("ottla: of no use here, of the file: {names}")], "{consumed:?}");
}

#[test]
fn a_name_that_nobody_knows_or_that_would_change_what_is_done_is_an_error_in_a_file_too() {
    for (line, says) in [
        ("bootstrap.server=a:1", "did you mean `bootstrap.servers`?"),
        ("statistics.intervall.ms=1", "unknown property"),
        ("metadata.broker.list=a:1", "Kafka's name is `bootstrap.servers`"),
        ("isolation.level=serializable", "read_uncommitted or read_committed"),
        ("ssl.engine.factory.class=x", "not supported yet"),
        ("sasl.kerberos.service.name=kafka", "not supported yet"),
        ("interceptor.classes=x", "not supported yet"),
        ("enable.auto.offset.store=false", "unknown property"),
        ("enable.ssl.certificate.verification=false", "ssl.truststore.location"),
        ("fetch.min.bytes=many", "`many`"),
    ] {
        let file = File::new("refused.properties", line);
        let refused = done(with(&["consume", "t"], &file)).failed(2);
        assert!(refused.contains(says), "{line}: {refused}");
    }
    for line in
        ["enable.idempotence=perhaps", "transactional.id=x", "message.timeout.ms=1", "retries=-1", "acks=2"]
    {
        let file = File::new("refused-producer.properties", line);
        let key = line.split('=').next().unwrap();
        let refused = done(with(&["produce", "t"], &file)).failed(2);
        assert!(refused.contains(&format!("`{key}`")), "{refused}");
    }
}

#[test]
fn a_name_that_would_be_told_in_a_file_is_an_error_by_a_flag() {
    let file = File::new("flag.properties", "linger.ms=5\nstatistics.interval.ms=5\n");
    for (pair, says) in [
        ("linger.ms=7", "it is a producer's"),
        ("statistics.interval.ms=7", "unknown property"),
        ("key.deserializer=x", "not supported yet"),
    ] {
        let refused = done(with(&["consume", "t", "-X", pair], &file));
        assert!(refused.status == Some(2) && refused.stderr.contains(says), "{refused:?}");
    }
}

#[test]
fn a_flag_wins_over_the_file_that_is_named_by_a_flag_and_that_over_the_environments() {
    let (broker, dead) = (Broker::start(&["t:1"]), "bootstrap.servers=127.0.0.1:1\n");
    let alive = format!("bootstrap.servers={}\n", broker.servers);
    let pair = format!("bootstrap.servers={}", broker.servers);
    let file = |name: &str, text: &str| File::new(name, &format!("{text}default.api.timeout.ms=300\n"));
    let (alive, dead) = (file("alive.properties", &alive), file("dead.properties", dead));
    for (config, environment, flags, status) in [
        (Some(&alive), Some(&dead), &[][..], 0),
        (Some(&dead), Some(&alive), &[], 1),
        (None, Some(&dead), &[], 1),
        (Some(&dead), Some(&dead), &["-X", &pair], 0),
        (None, Some(&dead), &["-X", &pair], 0),
        (None, None, &[], 0),
    ] {
        // The environment's servers count less than any file's.
        let mut command = broker.command(&["topics", "list"]);
        command.args(flags);
        config.into_iter().for_each(|file| _ = command.args(["--config", file.path()]));
        environment.into_iter().for_each(|file| _ = command.env("OTTLA_CONFIG", file.path()));
        let done = done(command);
        assert_eq!(done.status, Some(status), "{done:?}");
    }
    let mut alone = ottla(&["topics", "list"]);
    alone.env("OTTLA_CONFIG", alive.path());
    done(alone).ok();
    let mut missing = ottla(&["topics", "list"]);
    missing.env("OTTLA_CONFIG", "no/such.properties");
    let refused = done(missing).failed(2);
    assert!(refused.contains("OTTLA_CONFIG") && refused.contains("no/such.properties"), "{refused}");
}

#[test]
fn nothing_of_the_environments_file_is_used_beside_a_flags() {
    let server = server();
    let secured = File::new("secured.properties", &javas(&server, PASSWORD));
    let plain = File::new("plain.properties", &format!("bootstrap.servers={}\n", server.bootstrap()));
    let mut command = with(&["topics", "list", "-X", "default.api.timeout.ms=500"], &plain);
    command.env("OTTLA_CONFIG", secured.path());
    let done = done(command);
    assert_eq!(done.status, Some(1), "no password of another file is sent: {done:?}");
}

#[test]
fn a_password_by_a_flag_is_taken_with_one_warning_that_does_not_repeat_it() {
    let server = server();
    let (servers, password) = (server.bootstrap(), format!("sasl.password={PASSWORD}"));
    let flags = ["-b", &servers, "-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=PLAIN"];
    let user = ["-X", "sasl.username=alice", "-X", &password, "-X", "ssl.key.password=hush-hush"];
    let jaas = format!(
        "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=alice password={PASSWORD};"
    );
    for (secrets, names) in
        [(&user[..], "-X sasl.password, ssl.key.password: "), (&["-X", &jaas], "-X sasl.jaas.config: ")]
    {
        let done = run(&[&["topics", "list"], &flags[..], secrets].concat());
        let warnings: Vec<&str> =
            done.stderr.lines().filter(|line| line.contains("others on this")).collect();
        assert!(matches!(&warnings[..], [one] if one.contains(names)), "{done:?}");
        assert!(!done.stderr.contains(PASSWORD) && !done.stderr.contains("hush-hush"), "{done:?}");
        done.ok();
    }
    let file = File::new("hidden.properties", &javas(&server, PASSWORD));
    assert!(!done(with(&["topics", "list"], &file)).stderr.contains("others on this"));
}

#[test]
fn a_wrong_password_ends_every_verb_at_once_with_one_line_and_status_1() {
    let server = server();
    let text = javas(&server, "not-the-password");
    let text: Vec<&str> = text.lines().filter(|line| !is_unused(line)).collect();
    let file = File::new("wrong.properties", &text.join("\n"));
    for args in [
        &["consume", "t"][..],
        &["consume", "t", "-G", "g"],
        &["produce", "t"],
        &["topics", "list"],
        &["groups", "list"],
        &["lag"],
    ] {
        let begun = Instant::now();
        let done = done(with(args, &file));
        assert!(begun.elapsed() < Duration::from_secs(5), "it is not tried again: {done:?}");
        assert!(!done.stderr.contains("not-the-password"), "{done:?}");
        let refused = done.failed(1);
        assert!(
            refused.contains(&server.bootstrap()) && refused.contains("invalid credentials"),
            "{refused}"
        );
    }
}

#[test]
fn what_is_forbidden_ends_with_one_line_that_names_it_and_status_1() {
    let server = forbidding();
    let text = javas(&server, PASSWORD);
    let text: Vec<&str> = text.lines().filter(|line| !is_unused(line)).collect();
    let file = File::new("forbidden.properties", &text.join("\n"));
    for (args, says) in [
        (&["consume", "t"][..], "`t`"),
        (&["produce", "t"], "`t`"),
        (&["topics", "create", "u"], "`u`"),
        (&["lag", "g"], "`g`"),
    ] {
        let refused = done(with(args, &file)).failed(1);
        assert!(refused.contains("not authorized") && refused.contains(says), "{args:?}: {refused}");
    }
}

fn is_unused(line: &str) -> bool {
    ["key.", "value.", "client.dns", "metric.", "send.", "auto.commit"]
        .iter()
        .any(|key| line.starts_with(key))
}
