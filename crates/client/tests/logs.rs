//! What clients log, against the embedded broker: each line that an operator is promised, and none for what goes on.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers")]

#[expect(dead_code, reason = "some have no use here")]
mod certificates;
mod common;

use std::{
    collections::BTreeSet,
    fmt::{Debug, Write as _},
    sync::{Mutex, Once},
    time::{Duration, Instant},
};

use ottla::{Admin, Consumer, ConsumerBuilder, GroupProtocol, OffsetReset, Producer, ProducerRecord};
use ottla_broker::{Config, Server};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

use certificates::Ca;
use common::{PATIENCE, produce, server};

/// An event, and the client in whose span it was.
#[derive(Debug, Clone)]
struct Line {
    level: Level,
    client_id: String,
    n: String,
    text: String,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// The lines so far of the clients with this id, up to this level.
fn told(client_id: &str, level: Level) -> Vec<Line> {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|line| line.client_id == client_id && line.level <= level).cloned().collect()
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

/// Listens from here on. There is one subscriber for the process, as drivers have threads of their own.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Ear)).unwrap();
    });
}

struct Ear;

#[derive(Default)]
struct Fields {
    text: String,
    client_id: String,
    n: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "client_id" => self.client_id = value.to_owned(),
            name => write!(self.text, " {name}={value}").unwrap(),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.text, "{value:?}").unwrap(),
            "n" => self.n = format!("{value:?}"),
            name => write!(self.text, " {name}={value:?}").unwrap(),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ear {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(target) = event.metadata().target().strip_prefix("ottla::") else { return };
        let level = *event.metadata().level();
        let mut fields = Fields { text: format!("{level} {target}: "), ..Fields::default() };
        event.record(&mut fields);
        let span = context.event_span(event).expect("each event is in its client's span");
        let extensions = span.extensions();
        let whose = extensions.get::<Fields>().unwrap();
        let (client_id, n) = (whose.client_id.clone(), whose.n.clone());
        LINES.lock().unwrap().push(Line { level, client_id, n, text: fields.text });
    }
}

fn member(server: &Server, client_id: &str, protocol: GroupProtocol) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .client_id(client_id)
        .group_id(client_id)
        .group_protocol(protocol)
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"])
}

async fn read(consumer: &mut Consumer, count: usize) {
    let (mut read, deadline) = (0, Instant::now() + PATIENCE);
    while read < count {
        assert!(Instant::now() < deadline, "{read}; {}", consumer.explain());
        read += consumer.poll(Duration::from_millis(50)).await.unwrap().len();
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_members_life_is_logged_line_by_line() {
    listen();
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let mut consumer = member(&server, "life", GroupProtocol::Classic).build().await.unwrap();
    read(&mut consumer, 10).await;
    consumer.close().await.unwrap();
    let expected = [
        "DEBUG group: member state from=Out to=Joining",
        "DEBUG connection: connected address=… kind=Main took=",
        "DEBUG connection: connected address=… node=1 kind=Join took=",
        "INFO group: coordinator found node=1 address=… after=",
        "DEBUG group: member state from=Joining to=Assigning",
        "DEBUG group: member state from=Assigning to=Syncing",
        "DEBUG group: member state from=Syncing to=Reconciling",
        "INFO group: joined member=",
        "INFO group: assigned partitions=t-0 total=1",
        "DEBUG group: member state from=Reconciling to=Stable",
        "DEBUG connection: connected address=… node=1 kind=Main took=",
        "INFO offsets: reset partitions=t-0 to=Earliest why=no committed offset",
        "DEBUG offsets: position partition=t-0 offset=0 why=Earliest",
        "DEBUG connection: connected address=… node=1 kind=Fetch took=",
        "DEBUG group: member state from=Stable to=Leaving",
        "INFO group: left member=",
        "DEBUG group: member state from=Leaving to=Out",
        "INFO group: revoked partitions=t-0 why=close",
    ];
    let told = told("life", Level::DEBUG);
    let told: Vec<_> = told.iter().map(|line| line.text.replace(&server.bootstrap(), "…")).collect();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{expected}\n{told}");
    }
    let joined = told.iter().find(|line| line.contains("joined")).unwrap();
    assert!(joined.contains(" generation=1 "), "{joined}");
    let left = told.iter().find(|line| line.contains("left")).unwrap();
    assert!(left.ends_with(" generation=1 told=true"), "{left}");
}

#[tokio::test]
async fn under_the_consumer_protocol_the_same_is_logged() {
    listen();
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let mut consumer = member(&server, "life-848", GroupProtocol::Consumer).build().await.unwrap();
    read(&mut consumer, 10).await;
    consumer.close().await.unwrap();
    let told = told("life-848", Level::INFO);
    let events: Vec<_> = texts(&told).iter().map(|text| text.split('=').next().unwrap()).collect();
    assert_eq!(
        events,
        [
            "INFO group: coordinator found node",
            "INFO group: joined member",
            "INFO group: assigned partitions",
            "INFO offsets: reset partitions",
            "INFO group: left member",
            "INFO group: revoked partitions",
        ],
        "{told:#?}"
    );
}

#[tokio::test]
async fn a_broker_that_is_down_for_a_while_is_one_line_when_that_begins_and_one_when_it_is_over() {
    listen();
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let builder = member(&server, "outage", GroupProtocol::Classic);
    let mut consumer = builder.heartbeat_interval(Duration::from_millis(100)).build().await.unwrap();
    read(&mut consumer, 1).await;
    let attempts = || {
        let told = told("outage", Level::TRACE);
        told.iter().filter(|line| line.text.starts_with("TRACE connection: connecting")).count()
    };
    let (node, before, now) =
        (server.with_cluster(|cluster| cluster.nodes().next()), attempts(), server.now());
    assert!(server.with_cluster(|cluster| cluster.stop_node(node.unwrap(), now)));
    until("ten attempts in vain", || attempts() >= before + 10).await;
    let now = server.now();
    assert!(server.with_cluster(|cluster| cluster.start_node(node.unwrap(), now)));
    produce(&server, 0, 1..2).await;
    read(&mut consumer, 1).await;
    let of = |target: &str, level| {
        let told = told("outage", level);
        let of_target = told.iter().filter(|line| line.text.contains(target));
        of_target.map(|line| line.text.clone()).collect::<Vec<_>>()
    };
    until("the end of it", || of("connected again", Level::INFO).len() == 1).await;
    let connection = of(" connection: ", Level::INFO);
    let coordinator = of(" coordinator ", Level::INFO);
    assert_eq!(connection.len(), 2, "{connection:#?}");
    assert!(connection[0].starts_with("WARN connection: disconnected address="), "{connection:#?}");
    assert!(connection[1].contains(" after="), "{connection:#?}");
    assert_eq!(coordinator.len(), 3, "{coordinator:#?}");
    assert!(coordinator[1].starts_with("WARN group: coordinator lost node=1 why="), "{coordinator:#?}");
    assert!(coordinator[2].starts_with("INFO group: coordinator found node=1 "), "{coordinator:#?}");
    let of_attempts = of(" connection: ", Level::DEBUG).len();
    assert!(of_attempts < 20, "nothing for each attempt: {:#?}", of(" connection: ", Level::DEBUG));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn ten_thousand_records_add_no_line() {
    const COUNT: u32 = 10_000;
    listen();
    let server = server(1);
    let builder = Producer::builder().bootstrap_servers([server.bootstrap()]).client_id("many");
    let producer = builder.build().await.unwrap();
    let record = || ProducerRecord::to("t").partition(0).value(&b"value"[..]);
    producer.send(record()).await.unwrap().await.unwrap();
    let sends = told("many", Level::TRACE).len();
    assert!(sends > 0, "it is listened to");
    let mut deliveries = Vec::new();
    for _ in 1..COUNT {
        deliveries.push(producer.send(record()).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(told("many", Level::TRACE).len(), sends, "{:#?}", told("many", Level::TRACE));
    let builder = member(&server, "many-read", GroupProtocol::Classic);
    let builder = builder.auto_commit_interval(Duration::from_millis(20)).max_partition_fetch_bytes(1000);
    let mut consumer = builder.max_poll_records(1).build().await.unwrap();
    read(&mut consumer, 1).await;
    let reads = told("many-read", Level::TRACE).len();
    read(&mut consumer, COUNT as usize - 1).await;
    assert_eq!(told("many-read", Level::TRACE).len(), reads, "{:#?}", told("many-read", Level::TRACE));
    consumer.close().await.unwrap();
    producer.close().await.unwrap();
}

#[tokio::test]
async fn what_was_agreed_upon_by_tls_is_logged_and_whether_an_earlier_session_was_taken_up() {
    listen();
    let ca = Ca::new("ca");
    let config = Config { tls: Some(ca.tls()), ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    let tls = [("security.protocol", "SSL"), ("ssl.truststore.certificates", &ca.pem)];
    let admin = Admin::builder().bootstrap_servers([server.bootstrap()]).client_id("tls");
    let admin = admin.properties(tls).unwrap().build().await.unwrap();
    admin.list_groups().await.unwrap();
    admin.close().await;
    let secured: Vec<_> = told("tls", Level::DEBUG)
        .into_iter()
        .filter_map(|line| {
            let (what, how) = line.text.split_once(" conn=")?;
            what.ends_with("secured").then(|| how.split_once(' ').unwrap().1.to_owned())
        })
        .collect();
    let agreed = "host=127.0.0.1 version=TLSv1.3 suite=TLS_AES_256_GCM_SHA384";
    assert_eq!(secured, [format!("{agreed} resumed=false"), format!("{agreed} resumed=true")]);
}

#[tokio::test]
async fn clients_of_the_same_name_are_told_apart() {
    listen();
    let server = server(2);
    let mut consumers = Vec::new();
    for _ in 0..3 {
        consumers.push(member(&server, "twins", GroupProtocol::Consumer).build().await.unwrap());
    }
    until("each is in", || {
        let joined: BTreeSet<_> = told("twins", Level::INFO)
            .into_iter()
            .filter(|line| line.text.contains(" joined "))
            .map(|line| line.n)
            .collect();
        joined.len() == 3
    })
    .await;
    for consumer in consumers {
        consumer.close().await.unwrap();
    }
}
