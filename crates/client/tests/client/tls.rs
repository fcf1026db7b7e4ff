//! Connections over TLS to an embedded broker: with whom they come about, and what is told where they do not.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla::{
    Admin, Consumer, Disconnected, OffsetReset, Producer, ProducerRecord, TlsFailure,
    error::{BuildErrorKind, RecvErrorKind},
};
use ottla_broker::{ClientAuth, Config, Server, Tls, TopicSpec};

use crate::certificates::{Ca, Folder, Identity};
use crate::common::PATIENCE;

type Properties = BTreeMap<&'static str, String>;

/// What a refusal may take at the most.
const AT_ONCE: Duration = Duration::from_secs(2);
const VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

fn start(tls: Tls) -> Server {
    let topics = vec![TopicSpec::new("t", 1)];
    let config = Config { topics, tls: Some(tls), ..Config::default() };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

fn mutual(ca: &Ca) -> Server {
    start(ca.tls().client_auth(ClientAuth::Required { ca: ca.pem.clone().into() }))
}

/// Of a client that trusts this authority.
fn trusting(server: &Server, ca: &Ca) -> Properties {
    BTreeMap::from([
        ("bootstrap.servers", server.bootstrap()),
        ("security.protocol", "SSL".to_owned()),
        ("ssl.truststore.certificates", ca.pem.clone()),
    ])
}

fn with(mut properties: Properties, more: &[(&'static str, &str)]) -> Properties {
    properties.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
    properties
}

fn showing(properties: Properties, identity: &Identity) -> Properties {
    let Identity { certificate, key } = identity;
    with(properties, &[("ssl.keystore.certificate.chain", certificate), ("ssl.keystore.key", key)])
}

async fn is_served(properties: &Properties) {
    let admin = Admin::builder().properties(properties).unwrap().build().await.unwrap();
    assert!(admin.list_topics().await.unwrap().contains_key("t"));
    admin.close().await;
}

/// Both the build of a client and a call of a consumer that was built without a broker are refused at once, with this text, and
/// `explain` tells why. The reason.
async fn refused(properties: &Properties, about: &str) -> Disconnected {
    let begun = Instant::now();
    let error = Admin::builder().properties(properties).unwrap().build().await.unwrap_err();
    let text = error.to_string();
    assert!(begun.elapsed() < AT_ONCE, "{:?}: {text}", begun.elapsed());
    assert_eq!(error.kind(), BuildErrorKind::Connection, "{text}");
    assert!(text.contains(about) && text.contains(&properties["bootstrap.servers"]), "{text}");
    let lazy = Consumer::builder().properties(properties).unwrap().wait_for_broker(false);
    let mut consumer = lazy.group_id("g").subscribe(["t"]).build().await.unwrap();
    let begun = Instant::now();
    let error = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap_err();
    assert!(begun.elapsed() < AT_ONCE, "{:?}: {error}", begun.elapsed());
    assert!(error.kind() == RecvErrorKind::Connection && error.to_string().contains(about), "{error}");
    let (address, why) = consumer.explain().unreachable.expect("it is explained");
    assert_eq!(address, properties["bootstrap.servers"]);
    consumer.close().await.ok();
    why
}

async fn refused_by_tls(properties: &Properties, about: &str) -> TlsFailure {
    match refused(properties, about).await {
        Disconnected::Tls(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn records_are_written_and_read_in_a_group_under_either_version() {
    let ca = Ca::new("ca");
    let server = start(ca.tls());
    for version in VERSIONS {
        let properties = with(trusting(&server, &ca), &[("ssl.enabled.protocols", version)]);
        let producer = Producer::builder().properties(&properties).unwrap().build().await.unwrap();
        let large = version.as_bytes().repeat(10_000);
        let record = ProducerRecord::to("t").partition(0).value(large.clone());
        let at = producer.send(record).await.unwrap().await.unwrap().offset;
        let reader = Consumer::builder().properties(&properties).unwrap().group_id(version);
        let reader = reader.auto_offset_reset(OffsetReset::Earliest).subscribe(["t"]);
        let mut consumer = reader.build().await.unwrap();
        let read = async {
            loop {
                let record = consumer.recv().await.unwrap().unwrap();
                if Some(record.offset()) == at {
                    return record.value().map(<[u8]>::to_vec);
                }
            }
        };
        assert_eq!(tokio::time::timeout(PATIENCE, read).await.unwrap(), Some(large));
        consumer.close().await.unwrap();
        producer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_broker_that_cannot_be_believed_is_told_by_why() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let past = ca.sign_for("broker", "127.0.0.1", |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    let future = ca.sign_for("broker", "127.0.0.1", |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2400, 1, 1), rcgen::date_time_ymd(2401, 1, 1));
    });
    let elsewhere = ca.sign_for("broker", "broker.example", |_| ());
    let server = start(ca.tls());
    for version in VERSIONS {
        let version = [("ssl.enabled.protocols", version)];
        let properties = || with(trusting(&server, &ca), &version);
        is_served(&properties()).await;
        server.set_tls(&other.tls()).unwrap();
        let failure = refused_by_tls(&properties(), "signed by nobody who is trusted").await;
        assert!(matches!(failure, TlsFailure::UnknownAuthority(_)), "{failure:?}");
        server.set_tls(&Identity::self_signed().tls()).unwrap();
        let failure = refused_by_tls(&properties(), "signed by nobody who is trusted").await;
        assert!(matches!(failure, TlsFailure::UnknownAuthority(_)), "{failure:?}");
        server.set_tls(&past.clone().tls()).unwrap();
        let failure = refused_by_tls(&properties(), "expired").await;
        assert!(matches!(failure, TlsFailure::Expired(_)), "{failure:?}");
        server.set_tls(&future.clone().tls()).unwrap();
        let failure = refused_by_tls(&properties(), "not valid yet").await;
        assert!(matches!(failure, TlsFailure::NotYetValid(_)), "{failure:?}");
        server.set_tls(&elsewhere.clone().tls()).unwrap();
        let failure = refused_by_tls(&properties(), "another host").await;
        assert!(matches!(failure, TlsFailure::WrongHost(_)), "{failure:?}");
        server.set_tls(&ca.tls()).unwrap();
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_believed_where_names_are_not_compared_and_no_other() {
    const KEY: &str = "ssl.endpoint.identification.algorithm";
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let server = start(ca.sign_for("broker", "broker.example", |_| ()).tls());
    for off in ["", "none"] {
        is_served(&with(trusting(&server, &ca), &[(KEY, off)])).await;
    }
    let stranger = with(trusting(&server, &other), &[(KEY, "")]);
    refused_by_tls(&stranger, "signed by nobody who is trusted").await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_broker_that_requires_one() {
    let (ca, folder) = (Ca::new("ca"), Folder::new());
    let server = mutual(&ca);
    let carol = ca.sign("carol");
    let both = folder.write("both.pem", carol.both());
    let certificate = folder.write("carol.crt", &carol.certificate);
    let key = folder.write("carol.key", &carol.key);
    let authority = folder.write("ca.pem", &ca.pem);
    for version in VERSIONS {
        let properties = with(trusting(&server, &ca), &[("ssl.enabled.protocols", version)]);
        is_served(&showing(properties.clone(), &carol)).await;
        is_served(&with(properties.clone(), &[("ssl.keystore.location", &both)])).await;
        let librdkafkas = [("ssl.certificate.location", certificate.as_str()), ("ssl.key.location", &key)];
        let mut properties = with(properties, &librdkafkas);
        properties.remove("ssl.truststore.certificates");
        is_served(&with(properties.clone(), &[("ssl.ca.location", &authority)])).await;
        is_served(&with(properties, &[("ssl.truststore.location", &authority)])).await;
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_or_refused_is_told_under_either_version() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let server = mutual(&ca);
    let past = ca.sign_for("carol", "127.0.0.1", |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    for version in VERSIONS {
        let properties = with(trusting(&server, &ca), &[("ssl.enabled.protocols", version)]);
        let failure = refused_by_tls(&properties, "asks for a client certificate").await;
        assert_eq!(failure, TlsFailure::CertificateRequired);
        for identity in [&other.sign("carol"), &past] {
            let properties = showing(properties.clone(), identity);
            let failure = refused_by_tls(&properties, "refuses the client certificate").await;
            assert!(matches!(failure, TlsFailure::CertificateRefused(_)), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn a_port_of_the_other_kind_is_told() {
    let ca = Ca::new("ca");
    let (secured, plain) = (start(ca.tls()), crate::common::server(1));
    let why = refused(&with(trusting(&secured, &ca), &[("security.protocol", "PLAINTEXT")]), "TLS").await;
    assert!(matches!(why, Disconnected::NotKafka(_)), "{why:?}");
    let failure = refused_by_tls(&trusting(&plain, &ca), "check the port, and security.protocol").await;
    assert!(matches!(failure, TlsFailure::Closed | TlsFailure::NotTls(_)), "{failure:?}");
}

#[tokio::test]
async fn a_server_of_another_protocol_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            drop(stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
            // Until the client has had enough of it.
            while stream.readable().await.is_ok() && stream.try_read(&mut [0; 512]).is_ok_and(|n| n > 0) {}
        }
    });
    let server = crate::common::server(1);
    let properties = with(trusting(&server, &Ca::new("ca")), &[("bootstrap.servers", &address)]);
    let failure = refused_by_tls(&properties, "no TLS is spoken there").await;
    assert!(matches!(failure, TlsFailure::NotTls(_)), "{failure:?}");
    serving.abort();
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_setup_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = crate::common::server(1);
    let more = [
        ("bootstrap.servers", address.as_str()),
        ("socket.connection.setup.timeout.ms", "300"),
        ("default.api.timeout.ms", "1500"),
    ];
    let properties = with(trusting(&server, &Ca::new("ca")), &more);
    let begun = Instant::now();
    let error = Admin::builder().properties(properties).unwrap().build().await.unwrap_err();
    assert!(begun.elapsed() < AT_ONCE * 2, "{:?}", begun.elapsed());
    assert_eq!(error.kind(), BuildErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("no connection in time"), "{error}");
    // It was tried more than once.
    for _ in 0..2 {
        tokio::time::timeout(AT_ONCE, listener.accept()).await.expect("another try").unwrap();
    }
}

#[tokio::test]
async fn a_version_or_a_cipher_suite_that_is_not_common_is_told() {
    let ca = Ca::new("ca");
    let server = start(ca.tls());
    let one = with(trusting(&server, &ca), &[("ssl.cipher.suites", "TLS_AES_256_GCM_SHA384")]);
    is_served(&one).await;
    for (key, value, about) in [
        ("ssl.enabled.protocols", "TLSv1.1", "TLSv1.2, TLSv1.3"),
        (
            "ssl.cipher.suites",
            "TLS_AES_256_GCM_SHA384,TLS_RSA_WITH_RC4_128_MD5",
            "`TLS_RSA_WITH_RC4_128_MD5`",
        ),
        ("ssl.endpoint.identification.algorithm", "ldap", "https"),
        ("enable.ssl.certificate.verification", "false", "ssl.truststore.location"),
    ] {
        let builder = Admin::builder().properties(with(trusting(&server, &ca), &[(key, value)]));
        let error = match builder {
            Ok(builder) => builder.build().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.context().property.as_deref(), Some(key), "{error}");
        assert!(error.to_string().contains(about), "{error}");
    }
}
