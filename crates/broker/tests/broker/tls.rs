//! TLS: what only sockets can show, as observed of Kafka 4.4.0.

#![cfg(feature = "tls")]
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_broker::{Authorizer, ClientAuth, Config, ErrorCode, Sasl, SaslMechanism, Server, Tls, TopicSpec};
use ottla_protocol::{ApiKey, Request, RequestHeader, Response, ResponseHeader, messages::*};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An authority of certificates.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, common_name: &str) -> Identity {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Test");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    fn tls(&self) -> Tls {
        let Identity { certificate, key } = self.sign("broker");
        Tls::new(certificate, key)
    }
}

fn start(config: Config) -> Server {
    let config = Config { topics: vec![TopicSpec::new("t", 1), TopicSpec::new("u", 1)], ..config };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

fn with_tls(tls: Tls) -> Config {
    Config { tls: Some(tls), ..Config::default() }
}

fn socket(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn client(version: &'static SupportedProtocolVersion, ca: &Ca, own: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection whose handshake is done, as far as the client can tell.
fn connect(server: &Server, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, socket(server.addresses()[0]));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn ask(stream: &mut (impl Read + Write), version: i16, request: impl Into<Request>) -> io::Result<Response> {
    let request = request.into();
    let key = request.key();
    let header = RequestHeader { key, version, correlation_id: 5, client_id: None };
    stream.write_all(&header.encode(&request))?;
    stream.flush()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(ResponseHeader::decode(key, version, &frame).unwrap().1)
}

/// The topics that whoever asks may know of.
fn topics(stream: &mut (impl Read + Write)) -> io::Result<Vec<String>> {
    let Response::Metadata(told) = ask(stream, 9, MetadataRequest::default())? else { panic!("metadata") };
    Ok(told.topics.into_iter().filter_map(|topic| topic.name).collect())
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[test]
fn a_client_that_trusts_the_authority_is_served_by_either_version() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let server = start(with_tls(ca.tls()));
    for version in BOTH {
        let mut stream = connect(&server, &client(version, &ca, None)).unwrap();
        assert_eq!(topics(&mut stream).unwrap(), ["t", "u"]);
        let error = connect(&server, &client(version, &other, None)).unwrap_err();
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    }
}

#[test]
fn requests_and_replies_larger_than_a_record_pass() {
    let ca = Ca::new("ca");
    let server = start(with_tls(ca.tls()));
    let mut stream = connect(&server, &client(&TLS13, &ca, None)).unwrap();
    let topic = MetadataRequestTopic { name: Some("x".repeat(249)), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic; 5000]), ..Default::default() };
    let Response::Metadata(told) = ask(&mut stream, 9, request).unwrap() else { panic!("metadata") };
    assert_eq!(told.topics.len(), 5000);
}

/// Carol may know of `t`, and who has no name of `u`.
fn mutual(client_auth: ClientAuth, ca: &Ca) -> Server {
    let acls = ["User:CN=carol,O=Test:READ:topic:t", "User:ANONYMOUS:READ:topic:u"];
    let acls = acls.iter().map(|acl| acl.parse().unwrap()).collect();
    let authorizer = Some(Authorizer { acls, ..Default::default() });
    start(Config { authorizer, ..with_tls(ca.tls().client_auth(client_auth)) })
}

fn pem(ca: &Ca) -> Vec<u8> {
    ca.pem.clone().into()
}

#[test]
fn the_subject_of_a_clients_certificate_is_the_principal_of_the_rules() {
    let ca = Ca::new("ca");
    let carol = ca.sign("carol");
    for version in BOTH {
        for client_auth in [ClientAuth::Required { ca: pem(&ca) }, ClientAuth::Requested { ca: pem(&ca) }] {
            let server = mutual(client_auth, &ca);
            let config = client(version, &ca, Some(&carol));
            // The second one is resumed, and is still hers.
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let mut stream = connect(&server, &config).unwrap();
                assert_eq!(topics(&mut stream).unwrap(), ["t"]);
                assert_eq!(stream.conn.handshake_kind(), Some(kind));
            }
        }
        let server = mutual(ClientAuth::None, &ca);
        let mut stream = connect(&server, &client(version, &ca, Some(&carol))).unwrap();
        assert_eq!(topics(&mut stream).unwrap(), ["u"], "a certificate that is not asked for does not count");
    }
}

#[test]
fn who_has_no_certificate_is_anonymous_where_it_is_only_requested() {
    let ca = Ca::new("ca");
    let server = mutual(ClientAuth::Requested { ca: pem(&ca) }, &ca);
    for version in BOTH {
        let mut stream = connect(&server, &client(version, &ca, None)).unwrap();
        assert_eq!(topics(&mut stream).unwrap(), ["u"]);
    }
}

/// The alert, which comes in the handshake of 1.2, and after it in 1.3.
fn refused(
    server: &Server,
    version: &'static SupportedProtocolVersion,
    config: &Arc<ClientConfig>,
) -> AlertDescription {
    let error = match connect(server, config) {
        Err(error) => error,
        Ok(mut stream) => {
            assert_eq!(version.version, TLS13.version, "the handshake fails");
            topics(&mut stream).unwrap_err()
        }
    };
    alert(&error).unwrap_or_else(|| panic!("{error:?}"))
}

#[test]
fn a_certificate_that_is_missing_or_of_another_authority_is_an_alert() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let stranger = other.sign("carol");
    for version in BOTH {
        let server = mutual(ClientAuth::Required { ca: pem(&ca) }, &ca);
        let alert = refused(&server, version, &client(version, &ca, None));
        assert_eq!(alert, AlertDescription::CertificateRequired);
        for client_auth in [ClientAuth::Required { ca: pem(&ca) }, ClientAuth::Requested { ca: pem(&ca) }] {
            let server = mutual(client_auth, &ca);
            let alert = refused(&server, version, &client(version, &ca, Some(&stranger)));
            assert_eq!(alert, AlertDescription::CertificateUnknown);
        }
    }
}

#[test]
fn what_is_no_tls_is_answered_with_an_alert_and_closed() {
    let ca = Ca::new("ca");
    let server = start(with_tls(ca.tls()));
    let header = RequestHeader { key: ApiKey::ApiVersions, version: 0, correlation_id: 5, client_id: None };
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), header.encode(&ApiVersionsRequest::default().into())] {
        let mut stream = socket(server.addresses()[0]);
        stream.write_all(&bytes).unwrap();
        let mut told = Vec::new();
        stream.read_to_end(&mut told).unwrap();
        assert_eq!(told, [0x15, 3, 3, 0, 2, 2, 80]);
    }
    topics(&mut connect(&server, &client(&TLS12, &ca, None)).unwrap()).unwrap();
}

#[test]
fn tls_to_a_plain_port_is_closed_at_once_and_to_one_with_sasl_after_the_delay() {
    let ca = Ca::new("ca");
    for (sasl, delay) in [(None, 0), (Some(Sasl::new([SaslMechanism::Plain])), 100)] {
        let server = start(Config { sasl, ..Config::default() });
        let begun = Instant::now();
        let error = connect(&server, &client(&TLS13, &ca, None)).unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(delay));
        assert!(alert(&error).is_none(), "{error:?}");
    }
}

#[test]
fn behind_tls_who_authenticates_by_sasl_is_who_the_rules_are_for() {
    let ca = Ca::new("ca");
    let authorizer =
        Authorizer { acls: vec!["User:alice:READ:topic:u".parse().unwrap()], ..Default::default() };
    let server = start(Config {
        sasl: Some(Sasl::new([SaslMechanism::Plain]).user("alice", "open sesame")),
        authorizer: Some(authorizer),
        ..with_tls(ca.tls().client_auth(ClientAuth::Required { ca: pem(&ca) }))
    });
    let mut stream = connect(&server, &client(&TLS13, &ca, Some(&ca.sign("carol")))).unwrap();
    ask(&mut stream, 1, SaslHandshakeRequest { mechanism: "PLAIN".into() }).unwrap();
    let auth_bytes = "\0alice\0open sesame".into();
    let told = ask(&mut stream, 2, SaslAuthenticateRequest { auth_bytes }).unwrap();
    assert!(matches!(told, Response::SaslAuthenticate(told) if told.error_code.is_ok()));
    assert_eq!(topics(&mut stream).unwrap(), ["u"]);

    let mut stream = connect(&server, &client(&TLS13, &ca, Some(&ca.sign("carol")))).unwrap();
    ask(&mut stream, 1, SaslHandshakeRequest { mechanism: "PLAIN".into() }).unwrap();
    let begun = Instant::now();
    let auth_bytes = "\0alice\0wrong".into();
    let Response::SaslAuthenticate(told) =
        ask(&mut stream, 2, SaslAuthenticateRequest { auth_bytes }).unwrap()
    else {
        panic!("an answer")
    };
    assert_eq!(told.error_code, ErrorCode::SaslAuthenticationFailed);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "closed with a word of goodbye");
}

#[test]
fn another_certificate_is_for_new_connections() {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    let server = start(with_tls(ca.tls()));
    let mut old = connect(&server, &client(&TLS13, &ca, None)).unwrap();
    topics(&mut old).unwrap();
    server.set_tls(&next.tls()).unwrap();
    assert!(server.set_tls(&Tls::new("", "")).is_err());
    assert!(connect(&server, &client(&TLS13, &ca, None)).is_err());
    topics(&mut connect(&server, &client(&TLS13, &next, None)).unwrap()).unwrap();
    topics(&mut old).unwrap();
    assert!(start(Config::default()).set_tls(&next.tls()).is_err());
}

#[test]
fn certificates_that_cannot_be_used_are_named_and_the_key_is_not_shown() {
    let ca = Ca::new("ca");
    let (one, two) = (ca.sign("one"), ca.sign("two"));
    for (tls, what) in [
        (Tls::new("", one.key.clone()), "the server's certificate: no certificate in PEM"),
        (Tls::new(one.certificate.clone(), "nothing"), "the server's key: no private key in PEM"),
        (Tls::new(one.certificate.clone(), two.key), "the server's certificate and key"),
        (
            Tls::new(one.certificate.clone(), one.key.clone())
                .client_auth(ClientAuth::Required { ca: vec![] }),
            "the clients' authority",
        ),
    ] {
        let error = Server::start_on_thread(with_tls(tls), ([127, 0, 0, 1], 0)).unwrap_err();
        assert!(error.to_string().starts_with(what), "{error}");
    }
    let shown = format!("{:?}", with_tls(Tls::new(one.certificate, one.key.clone())));
    assert!(shown.contains("[hidden]") && !shown.contains(&one.key));
}
