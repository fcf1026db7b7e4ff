//! Faults of the way to a cluster and of its brokers, injected one after the other: `ottla doctor` names the cause of each.
//! Those of groups are in `doctor_groups.rs`, those that need a real Kafka in `doctor_brokers.rs`.

use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla::{Admin, Consumer, Producer, ProducerRecord};
use ottla_broker::{Authorizer, Config, Fault, Listen, Sasl, SaslMechanism, Server, Tls, TopicSpec};
use ottla_conformance::bad_server::{BadServer, Garbage};
use ottla_conformance::binary;
use ottla_conformance::ports;
use ottla_conformance::process::Process;
use ottla_protocol::ApiKey;
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, equal, holds, poll_until, wait};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("doctor_names_what_is_wrong_with_an_address", addresses),
        Case::alone("doctor_names_what_is_wrong_with_where_brokers_say_they_are", advertised),
        Case::alone("doctor_names_what_is_wrong_with_tls_and_sasl", security),
        Case::alone("doctor_names_what_may_not_be_done", permissions),
        Case::alone("doctor_names_a_broker_that_is_slow_and_a_coordinator_that_says_nothing", brokers),
    ]
}

/// What doctor found, and how it ended.
pub(crate) struct Told {
    status: Option<i32>,
    rows: Vec<Value>,
}

impl Told {
    /// Asks doctor with these arguments.
    pub(crate) fn by(args: &[&str]) -> Result<Self, Failed> {
        Self::of(Command::new(binary::ottla()?), args)
    }

    /// Asks on a machine whose clock differs by so much, such as `-1h`.
    pub(crate) fn by_another_clock(differs: &str, args: &[&str]) -> Result<Self, Failed> {
        let mut command = Command::new("faketime");
        command.args(["--exclude-monotonic", "-f", differs]).arg(binary::ottla()?);
        Self::of(command, args)
    }

    fn of(mut command: Command, args: &[&str]) -> Result<Self, Failed> {
        command.args(["doctor", "--output", "json"]).args(args);
        command.env_remove("OTTLA_BOOTSTRAP_SERVERS").env_remove("OTTLA_CONFIG");
        let output = Process::spawn(&command)?.end(PATIENCE)?;
        let rows = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { status: output.status.code(), rows })
    }

    /// Asks until this cause is named: brokers hear of a quota after the controller that was told it.
    pub(crate) fn until_named(
        fault: &str,
        finding: &str,
        says: &[&str],
        mut ask: impl FnMut() -> Result<Self, Failed>,
    ) -> Result<Self, Failed> {
        let begun = Instant::now();
        loop {
            let told = ask()?;
            match told.names(fault, finding, says) {
                Err(_) if begun.elapsed() < PATIENCE => {}
                named => return named.map(|()| told),
            }
        }
    }

    /// That a cause was named: this finding, with all of these in what was seen or in its places, and what to do where it is bad. What
    /// to do is mostly the same whatever was seen, and so names no cause.
    pub(crate) fn names(&self, fault: &str, finding: &str, says: &[&str]) -> Outcome {
        let is_it = |row: &&Value| {
            let mut told = (*row).clone();
            told["do"].take();
            let text = told.to_string();
            row["finding"] == finding && says.iter().all(|part| text.contains(part))
        };
        let Some(row) = self.rows.iter().find(is_it) else {
            let rows: Vec<String> = self.rows.iter().map(Value::to_string).collect();
            return Err(format!("{fault}: no {finding} with {says:?}:\n{}", rows.join("\n")).into());
        };
        let is_bad = row["severity"] == "error" || row["severity"] == "warning";
        holds(&format!("{fault}: it says what to do: {row}"), !is_bad || row["do"].is_string())?;
        println!("{fault} | {finding} | {}", row["seen"].as_str().unwrap_or_default());
        Ok(())
    }

    /// That no error is told but these: a finding, and a part of what is told with it.
    pub(crate) fn accuses_none_but(&self, fault: &str, culprits: &[(&str, &str)]) -> Outcome {
        let is_one = |row: &&Value| {
            let text = row.to_string();
            culprits.iter().any(|(finding, part)| row["finding"] == *finding && text.contains(part))
        };
        let errors = self.rows.iter().filter(|row| row["severity"] == "error");
        let innocent: Vec<String> = errors.filter(|row| !is_one(row)).map(Value::to_string).collect();
        holds(&format!("{fault}: nobody else is accused:\n{}", innocent.join("\n")), innocent.is_empty())
    }

    /// What to do, where that was chosen by what is wrong.
    pub(crate) fn advises(&self, fault: &str, finding: &str, todo: &str) -> Outcome {
        let is_it = |row: &Value| {
            row["finding"] == finding && row["do"].as_str().is_some_and(|text| text.contains(todo))
        };
        holds(&format!("{fault}: {finding} says to {todo}: {:?}", self.rows), self.rows.iter().any(is_it))
    }

    /// That nothing is wrong, nor may be, but for how long answers take.
    pub(crate) fn is_well(&self) -> Outcome {
        let is_bad = |row: &&Value| row["severity"] == "error" || row["severity"] == "warning";
        let bad: Vec<&Value> =
            self.rows.iter().filter(is_bad).filter(|row| row["finding"] != "slow").collect();
        holds(&format!("nothing is wrong: {bad:#?}"), bad.is_empty())?;
        equal("the status", self.status, Some(0))
    }

    /// How often this was found.
    pub(crate) fn count(&self, finding: &str) -> usize {
        self.rows.iter().filter(|row| row["finding"] == finding).count()
    }

    pub(crate) fn failed(&self) -> Outcome {
        equal("the status", self.status, Some(1))
    }
}

/// Looks once.
fn told(servers: &str, more: &[&str]) -> Result<Told, Failed> {
    Told::by(&[&["-b", servers, "--looks", "1", "--patience", "2s"], more].concat())
}

fn server(config: Config) -> Result<Server, Failed> {
    Ok(Server::start_on_thread(config, ([127, 0, 0, 1], 0))?)
}

fn addresses() -> Outcome {
    let unresolved = told("nowhere.invalid:9092", &[])?;
    unresolved.names("a name that does not resolve", "unresolved", &["nowhere.invalid:9092"])?;
    unresolved.failed()?;
    let nobody = format!("127.0.0.1:{}", ports::free()?);
    let unreachable = told(&nobody, &[])?;
    unreachable.names("a port that nobody listens on", "unreachable", &[&nobody, "refused"])?;
    unreachable.failed()?;
    for (garbage, fault, finding, says) in [
        (Garbage::Silence, "a server that says nothing", "silent", ""),
        (Garbage::Http, "a web server", "not-kafka", "HTTP"),
        (Garbage::HugeLength, "another protocol", "not-kafka", "2147483647"),
        (Garbage::TlsAlert, "a listener for TLS, spoken to plainly", "not-kafka", "TLS"),
        (Garbage::Close, "a server that hangs up", "closed", "SASL"),
    ] {
        let server = BadServer::start(garbage)?;
        let address = server.address().to_string();
        let told = told(&address, &[])?;
        told.names(fault, finding, &[&address, says])?;
        told.failed()?;
    }
    let (one, other) = (server(Config::default())?, server(Config { seed: 1, ..Config::default() })?);
    let both = format!("{},{}", one.bootstrap(), other.bootstrap());
    let told = told(&both, &[])?;
    told.names("addresses of two clusters", "other-cluster", &[&other.bootstrap()])
}

fn advertised() -> Outcome {
    let of = |host: &str| -> Result<(Server, String), Failed> {
        let listen =
            Listen::Anywhere { address: ([127, 0, 0, 1], 0).into(), advertised_host: host.to_owned() };
        let server = Server::start_on_thread(Config::default(), listen)?;
        let address = server.addresses().first().ok_or("no address")?.to_string();
        Ok((server, address))
    };
    let (_server, address) = of("kafka-of-a-compose-file")?;
    let container = told(&address, &[])?;
    let says = ["kafka-of-a-compose-file:", "\"broker\":1", "Docker"];
    container.names("a broker that names its container", "advertised-unresolved", &says)?;
    container.failed()?;

    let two = server(Config { brokers: 2, ..Config::default() })?;
    let first = two.addresses().first().ok_or("no address")?.to_string();
    let port = ports::free()?;
    two.with_cluster(|cluster| cluster.set_address(2, "localhost".to_owned(), port));
    let mapped = told(&first, &[])?;
    let says = ["\"broker\":2", "container", "refused"];
    mapped.names("a broker that names a port that is not mapped", "advertised-unreachable", &says)?;

    let (two, other) = (
        server(Config { brokers: 2, ..Config::default() })?,
        server(Config { seed: 1, ..Config::default() })?,
    );
    let first = two.addresses().first().ok_or("no address")?.to_string();
    let stranger = *other.addresses().first().ok_or("no address")?;
    two.with_cluster(|cluster| cluster.set_address(2, stranger.ip().to_string(), stranger.port()));
    let led_astray = told(&first, &[])?;
    let says = ["\"broker\":2", "another cluster"];
    led_astray.names("a broker that names an address of another cluster", "advertised-other", &says)
}

fn security() -> Outcome {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let tls = Tls::new(made.cert.pem().into_bytes(), made.signing_key.serialize_pem());
    let secured = server(Config { tls: Some(tls), ..Config::default() })?;
    let untrusted = told(&secured.bootstrap(), &["-X", "security.protocol=SSL"])?;
    untrusted.names(
        "a certificate that nobody signed who is trusted",
        "tls",
        &["ssl.truststore.location"],
    )?;
    untrusted.failed()?;
    let plain = server(Config::default())?;
    let not_tls = told(&plain.bootstrap(), &["-X", "security.protocol=SSL"])?;
    not_tls.names("TLS to a listener without it", "tls", &["security.protocol"])?;

    let sasl = Sasl::new([SaslMechanism::Plain]).user("alice", "a");
    let asks = server(Config { sasl: Some(sasl), ..Config::default() })?;
    let login = |mechanism: &str, password: &str| {
        let pairs = [
            "security.protocol=SASL_PLAINTEXT".to_owned(),
            format!("sasl.mechanism={mechanism}"),
            "sasl.username=alice".to_owned(),
            format!("sasl.password={password}"),
        ];
        let args: Vec<&str> = pairs.iter().flat_map(|pair| ["-X", pair.as_str()]).collect();
        told(&asks.bootstrap(), &args)
    };
    let wrong = login("PLAIN", "b")?;
    wrong.names("a wrong password", "sasl", &["refused"])?;
    wrong.advises("a wrong password", "sasl", "check user and password")?;
    wrong.failed()?;
    login("SCRAM-SHA-256", "a")?.names(
        "a mechanism that is not there",
        "sasl",
        &["it has PLAIN", "SCRAM-SHA-256"],
    )?;
    told(&asks.bootstrap(), &[])?.names("no authentication where it is asked for", "closed", &["SASL"])
}

fn permissions() -> Outcome {
    let acls = ["User:ANONYMOUS:DESCRIBE:group:seen", "User:ANONYMOUS:DESCRIBE:topic:open"];
    let authorizer = Authorizer {
        acls: acls.iter().map(|acl| acl.parse()).collect::<Result<_, _>>()?,
        ..Authorizer::default()
    };
    let topics = Vec::from(["open", "shut", "__transaction_state"].map(|name| TopicSpec::new(name, 1)));
    let server = server(Config { authorizer: Some(authorizer), topics, ..Config::default() })?;
    let group = told(&server.bootstrap(), &["-G", "hidden"])?;
    group.names("a group that may not be described", "permission", &["DESCRIBE on group `hidden`"])?;
    group.failed()?;
    // A member reads it, and who looks may not see it.
    let grant = ["User:ANONYMOUS:READ:group:seen", "User:ANONYMOUS:READ:topic:shut"];
    let rights = |acls: &[&str]| -> Result<(), Failed> {
        let acls = acls.iter().map(|acl| acl.parse()).collect::<Result<Vec<_>, _>>()?;
        server.with_cluster(|cluster| cluster.authorizer().as_mut().map(|it| it.acls = acls));
        Ok(())
    };
    rights(&grant)?;
    let _member = wait(async {
        let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("seen");
        let mut member = builder.subscribe(["shut"]).build().await?;
        poll_until(&mut member, "a share", |member| !member.assignment().is_empty()).await?;
        Ok(member)
    })?;
    rights(&acls)?;
    let topic = told(&server.bootstrap(), &["-G", "seen"])?;
    topic.names("a topic that may not be described", "permission", &["DESCRIBE on topic `shut`"])?;

    rights(&[
        "User:ANONYMOUS:ALL:topic:open",
        "User:ANONYMOUS:ALL:transactional-id:*",
        "User:ANONYMOUS:ALL:group:*",
    ])?;
    let _producer = wait(async {
        let admin = Admin::builder().bootstrap_servers([server.bootstrap()]).build().await?;
        admin
            .alter_offsets("reader", [(("open", 0), 0)])
            .await?
            .into_values()
            .collect::<Result<Vec<_>, _>>()?;
        let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).transactional_id("unseen");
        let mut producer = builder.build_transactional().await?;
        let transaction = producer.begin().await?;
        transaction.send(ProducerRecord::to("open").value(b"v".as_slice())).await?.await?;
        // Nobody ends it: dropped, it would be aborted.
        std::mem::forget(transaction);
        Ok(producer)
    })?;
    // To who may not see the transactional id it looks as if its coordinator had forgotten it.
    rights(&["User:ANONYMOUS:READ:topic:open", "User:ANONYMOUS:DESCRIBE:group:reader"])?;
    let args = ["-b", &server.bootstrap(), "-G", "reader", "--looks", "2", "--interval", "100ms"];
    let says = ["\"group\":\"reader\"", "no coordinator", "since offset 0"];
    Told::by(&args)?.names("a transaction of which no coordinator tells", "hanging-transaction", &says)?;

    // A coordinator that is not there is in no list.
    let of_coordinators = "User:ANONYMOUS:DESCRIBE:topic:__transaction_state";
    rights(&["User:ANONYMOUS:READ:topic:open", "User:ANONYMOUS:DESCRIBE:group:reader", of_coordinators])?;
    server.with_cluster(|cluster| cluster.depose_leader("__transaction_state", 0, server.now()));
    let says = ["reader", "cannot be told", "`__transaction_state` has partitions without a leader"];
    Told::by(&args)?.names("a transaction whose coordinator is missing", "open-transaction", &says)
}

fn brokers() -> Outcome {
    let slow = server(Config::default())?;
    let delay = Fault::Delay(Duration::from_millis(1500));
    slow.with_cluster(|cluster| cluster.faults().on(ApiKey::Metadata).always().then(delay));
    told(&slow.bootstrap(), &[])?.names("a broker that is slow", "slow", &["to answer"])?;

    let hung = server(Config::default())?;
    hung.with_cluster(|cluster| cluster.faults().on(ApiKey::DescribeGroups).always().then(Fault::Silence));
    let told = told(&hung.bootstrap(), &["-G", "g", "-X", "default.api.timeout.ms=1500"])?;
    told.names("a coordinator that hangs", "not-answered", &["\"group\":\"g\"", "DescribeGroups"])?;
    // Its connection answers nothing more, whatever is asked; what was asked before is told.
    told.names("what its broker had said before", "versions", &[])?;
    told.failed()
}
