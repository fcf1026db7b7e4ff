//! Clients that authenticate to an embedded broker, and what they are told when that fails.

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use ottla::{
    Admin, Consumer, ConsumerBuilder, GroupProtocol, OAuthToken, OAuthTokenError, OffsetReset, Producer,
    ProducerRecord,
    error::{AdminErrorKind, BuildErrorKind, RecvErrorKind, SendErrorKind},
};
use ottla_broker::{Config, Fault, Sasl, SaslMechanism, Server, TopicSpec};
use ottla_protocol::ApiKey;

use crate::common::PATIENCE;

/// What a refusal may take at the most.
const AT_ONCE: Duration = Duration::from_secs(2);
const BEARER: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                      unsecuredLoginStringClaim_sub=\"alice\" unsecuredLoginLifetimeSeconds=\"3\";";

fn secured(sasl: Sasl) -> Server {
    let topics = vec![TopicSpec::new("t", 2)];
    let config = Config { topics, sasl: Some(sasl), ..Config::default() };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

fn with_alice() -> Sasl {
    Sasl::new(SaslMechanism::ALL.iter().copied()).user("alice", "open sesame")
}

/// The properties of a client that authenticates as alice.
fn alice<'a>(server: &Server, mechanism: &'a str, password: &'a str) -> BTreeMap<&'static str, String> {
    let jaas = match mechanism {
        "OAUTHBEARER" => BEARER.to_owned(),
        _ => {
            let module =
                if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
            let class = format!("org.apache.kafka.common.security.{module}");
            format!("{class} required username=\"alice\" password=\"{password}\";")
        }
    };
    BTreeMap::from([
        ("bootstrap.servers", server.bootstrap()),
        ("security.protocol", "SASL_PLAINTEXT".to_owned()),
        ("sasl.mechanism", mechanism.to_owned()),
        ("sasl.jaas.config", jaas),
    ])
}

/// The properties of a client whose program provides its tokens.
fn with_tokens(server: &Server) -> BTreeMap<&'static str, String> {
    let mut properties = alice(server, "OAUTHBEARER", "");
    properties.remove("sasl.jaas.config");
    properties
}

/// Provides tokens of alice's that are good for two seconds. How many there were.
fn brief_tokens()
-> (Arc<AtomicUsize>, impl Fn() -> Ready<Result<OAuthToken, OAuthTokenError>> + Clone + Send + Sync + 'static)
{
    let fetched = Arc::new(AtomicUsize::new(0));
    let counted = fetched.clone();
    let provider = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let end = SystemTime::now() + Duration::from_secs(2);
        ready(Ok(OAuthToken::new(unsigned("alice", end)).expires_at(end)))
    };
    (fetched, provider)
}

fn reader(properties: &BTreeMap<&'static str, String>) -> ConsumerBuilder {
    Consumer::builder()
        .properties(properties)
        .unwrap()
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"])
}

async fn send(producer: &Producer, value: u32) {
    let record = ProducerRecord::to("t").partition(0).value(value.to_string().into_bytes());
    producer.send(record).await.unwrap().await.unwrap();
}

/// Reads the records with these numbers.
async fn read(consumer: &mut Consumer, values: std::ops::Range<u32>) {
    for value in values {
        let record = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        assert_eq!(record.value(), Some(value.to_string().as_bytes()));
    }
}

#[tokio::test]
async fn every_mechanism_writes_reads_in_groups_of_both_protocols_and_administers() {
    for mechanism in SaslMechanism::ALL.iter().copied() {
        let server = secured(with_alice());
        let properties = alice(&server, mechanism.name(), "open sesame");
        let producer = Producer::builder().properties(&properties).unwrap().build().await.unwrap();
        for value in 0..5 {
            send(&producer, value).await;
        }
        for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let group = format!("{protocol:?}");
            let reader = reader(&properties).group_id(group).group_protocol(protocol);
            let mut consumer = reader.build().await.unwrap();
            read(&mut consumer, 0..5).await;
            consumer.close().await.unwrap();
        }
        let admin = Admin::builder().properties(&properties).unwrap().build().await.unwrap();
        assert!(admin.list_topics().await.unwrap().contains_key("t"), "{mechanism}");
        admin.close().await;
        producer.close().await.unwrap();
    }
}

/// What each kind of client is told when it is built, which takes less than two seconds.
async fn refused(properties: &BTreeMap<&'static str, String>, about: &str) {
    let begun = Instant::now();
    let error = reader(properties).build().await.unwrap_err();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let address = properties["bootstrap.servers"].split(',').next().unwrap();
    let text = error.to_string();
    assert_eq!(error.kind(), BuildErrorKind::Connection, "{text}");
    assert!(text.contains(about) && text.contains(address) && !text.contains("sesame"), "{text}");
    assert!(!error.is_retriable());
    let producer = Producer::builder().properties(properties).unwrap().build().await.unwrap_err();
    let admin = Admin::builder().properties(properties).unwrap().build().await.unwrap_err();
    for (kind, text) in [(producer.kind(), producer.to_string()), (admin.kind(), admin.to_string())] {
        assert!(kind == BuildErrorKind::Connection && text.contains(about), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_by_every_mechanism() {
    let server = secured(with_alice());
    for (mechanism, about) in [
        ("PLAIN", "Invalid username or password"),
        ("SCRAM-SHA-256", "invalid credentials with SASL mechanism SCRAM-SHA-256"),
        ("SCRAM-SHA-512", "invalid credentials with SASL mechanism SCRAM-SHA-512"),
    ] {
        refused(&alice(&server, mechanism, "close sesame"), about).await;
    }
}

#[tokio::test]
async fn a_mechanism_that_is_not_enabled_is_told_with_those_that_are() {
    let server = secured(Sasl::new([SaslMechanism::ScramSha512]).user("alice", "open sesame"));
    let about = "the broker does not have PLAIN on this listener; it has SCRAM-SHA-512";
    refused(&alice(&server, "PLAIN", "open sesame"), about).await;
}

#[tokio::test]
async fn a_client_that_authenticates_where_nobody_asks_for_it_is_told() {
    let server = crate::common::server(1);
    let about = "asks for no authentication on this listener";
    refused(&alice(&server, "PLAIN", "open sesame"), about).await;
}

#[tokio::test]
async fn a_client_that_does_not_authenticate_where_it_must_is_told() {
    let server = secured(with_alice());
    let properties = BTreeMap::from([("bootstrap.servers", server.bootstrap())]);
    refused(&properties, "this may be a listener for SASL").await;
}

#[tokio::test]
async fn a_client_that_is_built_without_a_broker_tells_the_refusal_in_its_first_call() {
    let server = secured(with_alice());
    let properties = alice(&server, "PLAIN", "close sesame");
    let mut consumer = reader(&properties).wait_for_broker(false).build().await.unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        let error = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), RecvErrorKind::Connection, "{error}");
        assert!(error.to_string().contains("Invalid username or password"), "{error}");
    }
    assert!(begun.elapsed() < AT_ONCE * 3);
    tokio::time::timeout(AT_ONCE, consumer.close()).await.unwrap().ok();
    let producer =
        Producer::builder().properties(&properties).unwrap().wait_for_broker(false).build().await.unwrap();
    let record = ProducerRecord::to("t").value(b"v".to_vec());
    let error = tokio::time::timeout(AT_ONCE, producer.send(record)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Connection, "{error}");
    let admin =
        Admin::builder().properties(&properties).unwrap().wait_for_broker(false).build().await.unwrap();
    let error = tokio::time::timeout(AT_ONCE, admin.list_topics()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), AdminErrorKind::Connection, "{error}");
}

#[tokio::test]
async fn sessions_are_renewed_under_a_member_that_reads_and_nothing_is_lost_or_told() {
    for mechanism in SaslMechanism::ALL.iter().copied() {
        let mut sasl = with_alice();
        sasl.connections_max_reauth = Some(Duration::from_millis(1200));
        let server = secured(sasl);
        let properties = alice(&server, mechanism.name(), "open sesame");
        let producer = Producer::builder().properties(&properties).unwrap().build().await.unwrap();
        let mut consumer = reader(&properties).build().await.unwrap();
        let begun = Instant::now();
        let mut value = 0;
        while begun.elapsed() < Duration::from_secs(5) {
            send(&producer, value).await;
            read(&mut consumer, value..value + 1).await;
            value += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let generation = consumer.group_metadata().unwrap().generation_id;
        assert_eq!(generation, 1, "{mechanism}: no rebalance");
        consumer.close().await.unwrap();
        producer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_password_that_changes_is_told_to_a_reader_who_goes_on_once_it_is_right_again() {
    let mut sasl = with_alice();
    sasl.connections_max_reauth = Some(Duration::from_millis(500));
    let server = secured(sasl);
    let properties = alice(&server, "SCRAM-SHA-256", "open sesame");
    let producer = Producer::builder().properties(&properties).unwrap().build().await.unwrap();
    send(&producer, 0).await;
    let mut consumer = reader(&properties).build().await.unwrap();
    read(&mut consumer, 0..1).await;
    server.with_cluster(|cluster| cluster.set_password("alice", "another"));
    let error = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), RecvErrorKind::Connection, "{error}");
    assert!(!error.is_final(), "it may be right again");
    server.with_cluster(|cluster| cluster.set_password("alice", "open sesame"));
    let second = Producer::builder().properties(&properties).unwrap().build().await.unwrap();
    send(&second, 1).await;
    let record = loop {
        match tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap() {
            Ok(Some(record)) => break record.value().map(<[u8]>::to_vec),
            Ok(None) => panic!("closed"),
            Err(error) => assert_eq!(error.kind(), RecvErrorKind::Connection, "{error}"),
        }
    };
    assert!(record == Some(b"1".to_vec()) || record == Some(b"0".to_vec()), "{record:?}");
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_connections_and_again_before_its_end() {
    let server = secured(with_alice());
    let (fetched, provider) = brief_tokens();
    let properties = with_tokens(&server);
    let writer = Producer::builder().properties(&properties).unwrap().oauth_token_provider(provider.clone());
    let producer = writer.build().await.unwrap();
    let mut consumer = reader(&properties).oauth_token_provider(provider).build().await.unwrap();
    let begun = Instant::now();
    let mut value = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        send(&producer, value).await;
        read(&mut consumer, value..value + 1).await;
        value += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fetched = fetched.load(Ordering::Relaxed);
    // Two clients, whose tokens live for two seconds; each has several connections.
    assert!((4..=14).contains(&fetched), "{fetched}");
}

/// Its user calls nothing while its tokens end one after the other: they are fetched all the same, and what it calls next meets no
/// refusal.
#[tokio::test]
async fn the_tokens_of_a_client_that_reads_little_are_fetched_in_time() {
    let server = secured(with_alice());
    let (fetched, provider) = brief_tokens();
    let properties = with_tokens(&server);
    let mut consumer = reader(&properties).oauth_token_provider(provider.clone()).build().await.unwrap();
    let writer = Producer::builder().properties(&properties).unwrap().oauth_token_provider(provider);
    let producer = writer.build().await.unwrap();
    send(&producer, 0).await;
    read(&mut consumer, 0..1).await;
    let before = fetched.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let meanwhile = fetched.load(Ordering::Relaxed) - before;
    assert!(meanwhile >= 2, "{meanwhile} tokens, while a member and its heartbeats go on");
    send(&producer, 1).await;
    read(&mut consumer, 1..2).await;
    assert_eq!(consumer.group_metadata().unwrap().generation_id, 1, "no rebalance");
}

/// A broker that closes in the middle of it, as one does to a connection that was idle for too long, has refused nobody.
#[tokio::test]
async fn a_connection_that_ends_while_it_authenticates_is_no_wrong_password() {
    for mechanism in SaslMechanism::ALL.iter().copied() {
        let server = secured(with_alice());
        let closes = |cluster: &mut ottla_broker::Cluster| {
            cluster.faults().on(ApiKey::SaslAuthenticate).times(2).then(Fault::Disconnect);
        };
        server.with_cluster(closes);
        let properties = alice(&server, mechanism.name(), "open sesame");
        let producer = Producer::builder().properties(&properties).unwrap().build().await.unwrap();
        send(&producer, 0).await;
        let mut consumer = reader(&properties).build().await.unwrap();
        read(&mut consumer, 0..1).await;
        server.with_cluster(|cluster| assert!(cluster.faults().is_empty(), "{mechanism}: both happened"));
    }
}

/// A token that nobody has signed.
fn unsigned(name: &str, end: SystemTime) -> String {
    let encode = |text: String| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
    let seconds =
        |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as f64 / 1000.0;
    let now = SystemTime::now();
    let claims = format!(r#"{{"sub":"{name}","iat":{:.3},"exp":{:.3}}}"#, seconds(now), seconds(end));
    format!("{}.{}.", encode(r#"{"alg":"none"}"#.to_owned()), encode(claims))
}

#[tokio::test]
async fn a_provider_that_refuses_is_told_at_once_and_one_that_is_away_is_waited_for() {
    let server = secured(with_alice());
    let properties = with_tokens(&server);
    let refuses = || async { Err(OAuthTokenError::Refused("invalid_client".to_owned())) };
    let begun = Instant::now();
    let error = reader(&properties).oauth_token_provider(refuses).build().await.unwrap_err();
    assert!(
        error.kind() == BuildErrorKind::Connection && error.to_string().contains("invalid_client"),
        "{error}"
    );
    assert!(begun.elapsed() < AT_ONCE);

    let away = || async { Err(OAuthTokenError::Unavailable("503 of the provider".to_owned())) };
    let (told, hears) = std::sync::mpsc::channel();
    let patient = reader(&properties).oauth_token_provider(away).default_api_timeout(Duration::from_secs(3));
    let patient = patient.on_wait(move |why| told.send(why.to_owned()).unwrap());
    let error = patient.build().await.unwrap_err();
    assert!(error.kind() == BuildErrorKind::Unreachable && error.is_retriable(), "{error}");
    assert!(error.to_string().contains("503 of the provider"), "{error}");
    assert!(hears.try_recv().unwrap().contains("503 of the provider"));

    let silent = || std::future::pending();
    let (told, hears) = std::sync::mpsc::channel();
    let patient =
        reader(&properties).oauth_token_provider(silent).default_api_timeout(Duration::from_secs(3));
    let patient = patient.on_wait(move |why| told.send(why.to_owned()).unwrap());
    let error = patient.build().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Unreachable, "{error}");
    let why = hears.try_recv().unwrap();
    assert!(why.contains("waiting for a token of the provider"), "{why}");
}
