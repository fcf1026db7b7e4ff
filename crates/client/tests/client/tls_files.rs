//! What a client goes by under TLS: certificates and keys in every form, what is told of those that cannot be used, and what
//! becomes of files that change while it lives.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ottla::{
    Admin, BuildError,
    error::{BuildErrorKind, Fault},
};
use ottla_broker::{Authorizer, ClientAuth, Config, Server, Tls, TopicSpec};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rustls::{
    HandshakeKind, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::certificates::{Ca, Folder, Identity};
use crate::common::PATIENCE;

type Properties = BTreeMap<&'static str, String>;

const CHAIN: &str = "ssl.keystore.certificate.chain";
const KEY: &str = "ssl.keystore.key";
const KEYSTORE: &str = "ssl.keystore.location";
const TRUSTSTORE: &str = "ssl.truststore.location";
const KEY_PASSWORD: &str = "ssl.key.password";
const STORE_PASSWORD: &str = "ssl.keystore.password";

/// A key that openssl 3.0 has encrypted with `-v1 PBE-SHA1-3DES`, as Java 17 can read it.
const FOR_JAVA: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGxMBwGCiqGSIb3DQEMAQMwDgQI6WKFQ6QS9qoCAggABIGQMMDK16NngWo60TeA
mfNEMtKMbhVYTCZaoU8cnUJP006F/wY/IrP0avDVISvRGIZCo3zRdwcI1AFjCXEe
MQ9wrT304sJn7ALBxSe4n4uSa/J2FRhZIp2wX5dPVqTP7mfpFGbp/Or4l/ZE0pGe
w3hZYF9EQ0S8U8JXIunO7MaZMXww51Fbg8owuf6ru8zBMB4l
-----END ENCRYPTED PRIVATE KEY-----
";
/// The same with `-v1 PBE-MD5-DES`, which is PBES1 proper.
const IN_PBES1: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGwMBsGCSqGSIb3DQEFAzAOBAhvj+0BONMAFAICCAAEgZC9FfXQfEHDQWISmqCZ
0x3rCi2jsbhOJY+Ebi2HmMl9NCjSSG7BuD37V+cG5Vtae9WZPOeQZlZ2CqRqJxw9
kYYylb++4vg3jYyuaaiG8XwSTCzngnOlcyb0a1rzgf0FYUGdZiNS4u9lDiTC5Qb4
xdfxA2AIy1VVcALK6w/0ZUAuEBkmj6XUJ7Ye4BF5rt7c6Vk=
-----END ENCRYPTED PRIVATE KEY-----
";
/// How openssl encrypted keys before PKCS#8. What stands in it is not looked at.
const OF_OLD: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,00000000000000000000000000000000

AAAA
-----END EC PRIVATE KEY-----
";

/// A broker that requires certificates. Carol may know of the topic `t`, dave of `u`.
fn mutual(ca: &Ca) -> Server {
    let acls = ["User:CN=carol,O=Test:READ:topic:t", "User:CN=dave,O=Test:READ:topic:u"];
    let acls = acls.iter().map(|acl| acl.parse().unwrap()).collect();
    let config = Config {
        topics: vec![TopicSpec::new("t", 1), TopicSpec::new("u", 1)],
        tls: Some(ca.tls().client_auth(ClientAuth::Required { ca: ca.pem.clone().into() })),
        authorizer: Some(Authorizer { acls, ..Authorizer::default() }),
        ..Config::default()
    };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

/// Of a client that trusts this authority.
fn trusting(address: String, ca: &Ca) -> Properties {
    BTreeMap::from([
        ("bootstrap.servers", address),
        ("security.protocol", "SSL".to_owned()),
        ("ssl.truststore.certificates", ca.pem.clone()),
        ("reconnect.backoff.ms", "20".to_owned()),
        ("reconnect.backoff.max.ms", "50".to_owned()),
    ])
}

fn with(properties: &Properties, more: &[(&'static str, &str)]) -> Properties {
    let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
    properties.clone().into_iter().chain(more).collect()
}

async fn client(properties: &Properties) -> Admin {
    Admin::builder().properties(properties).unwrap().build().await.unwrap()
}

/// The topics that this client may know of.
async fn topics(client: &Admin) -> Vec<String> {
    client.list_topics().await.unwrap().into_keys().collect()
}

async fn is_carols(properties: &Properties) {
    let client = client(properties).await;
    assert_eq!(topics(&client).await, ["t"]);
    client.close().await;
}

/// What a client is told that cannot be built, of which property. No broker is asked: nobody listens there.
async fn wrong(ca: &Ca, more: &[(&'static str, &str)], property: &str, about: &str) -> BuildError {
    let properties = with(&trusting("127.0.0.1:1".to_owned(), ca), more);
    let error = Admin::builder().properties(properties).unwrap().build().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::InvalidValue, "{error}");
    assert_eq!(error.kind().fault(), Fault::Caller);
    assert_eq!(error.context().property.as_deref(), Some(property), "{error}");
    assert!(error.to_string().contains(about), "{error}");
    error
}

#[tokio::test]
async fn keys_are_read_plain_and_encrypted_from_files_and_from_texts() {
    let (ca, folder) = (Ca::new("ca"), Folder::new());
    let server = mutual(&ca);
    let properties = trusting(server.bootstrap(), &ca);
    let carol = ca.sign("carol");
    is_carols(&with(&properties, &[(CHAIN, &carol.certificate), (KEY, &carol.key)])).await;
    is_carols(&with(&properties, &[(KEYSTORE, &folder.write("plain.pem", carol.both()))])).await;
    let locked = carol.encrypted("open sesame");
    let password = (KEY_PASSWORD, "open sesame");
    is_carols(&with(&properties, &[(CHAIN, &locked.certificate), (KEY, &locked.key), password])).await;
    let file = folder.write("locked.pem", locked.both());
    is_carols(&with(&properties, &[(KEYSTORE, &file), (KEYSTORE_TYPE, "PEM"), password])).await;
    let (certificate, key) = (folder.write("a.crt", &locked.certificate), folder.write("a.key", &locked.key));
    is_carols(&with(&properties, &[(KEYSTORE, &certificate), ("ssl.key.location", &key), password])).await;
}

const KEYSTORE_TYPE: &str = "ssl.keystore.type";

#[tokio::test]
async fn a_key_that_does_not_open_or_does_not_fit_is_told() {
    let (ca, folder) = (Ca::new("ca"), Folder::new());
    let carol = ca.sign("carol");
    let locked = carol.encrypted("open sesame");
    let both = [(CHAIN, locked.certificate.as_str()), (KEY, locked.key.as_str())];
    wrong(&ca, &both, KEY_PASSWORD, "encrypted: its password is needed").await;
    let with_wrong = [&both[..], &[(KEY_PASSWORD, "close sesame")]].concat();
    let error = wrong(&ca, &with_wrong, KEY_PASSWORD, "it is the wrong one").await;
    assert!(!error.to_string().contains("close sesame"), "{error}");
    let file = folder.write("locked.pem", locked.both());
    let error = wrong(&ca, &[(KEYSTORE, &file)], KEY_PASSWORD, "its password is needed").await;
    assert!(error.to_string().contains(&file), "{error}");
    let unfitting = [(CHAIN, carol.certificate.as_str()), (KEY, &ca.sign("dave").key)];
    wrong(&ca, &unfitting, KEY, "does not fit the certificate").await;
    wrong(&ca, &[(CHAIN, &carol.certificate)], KEY, "no private key for it").await;
    wrong(&ca, &[(KEY, &carol.key)], CHAIN, "no certificate for it").await;
    let file = folder.write("alone.pem", &carol.certificate);
    wrong(&ca, &[(KEYSTORE, &file)], KEYSTORE, "there is no private key in").await;
}

#[tokio::test]
async fn a_key_that_is_encrypted_in_an_old_way_is_told_with_the_command_that_converts_it() {
    let ca = Ca::new("ca");
    let certificate = ca.sign("carol").certificate;
    for key in [FOR_JAVA, IN_PBES1, OF_OLD] {
        let more = [(CHAIN, certificate.as_str()), (KEY, key), (KEY_PASSWORD, "x")];
        wrong(&ca, &more, KEY, "openssl pkcs8 -topk8 -v2 aes-256-cbc").await;
    }
}

#[tokio::test]
async fn a_file_that_is_missing_empty_or_of_another_form_is_told() {
    let (ca, folder) = (Ca::new("ca"), Folder::new());
    let der = CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap();
    let key_store = folder.write("store.jks", [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]);
    let mut trusting = trusting("127.0.0.1:1".to_owned(), &ca);
    trusting.remove("ssl.truststore.certificates");
    for (file, about) in [
        (folder.write("missing.pem", "") + "x", "No such file"),
        (folder.write("empty.pem", ""), "the file is empty"),
        (folder.write("text.pem", "no certificate"), "-----BEGIN CERTIFICATE-----"),
        (folder.write("ca.der", &*der), "openssl x509 -inform der"),
        (folder.write("cut.pem", &ca.pem[..ca.pem.len() / 2]), "damaged PEM"),
        (key_store, "it is damaged"),
    ] {
        for property in [TRUSTSTORE, KEYSTORE] {
            let properties = with(&trusting, &[(property, &file)]);
            let error = Admin::builder().properties(properties).unwrap().build().await.unwrap_err();
            assert_eq!(error.context().property.as_deref(), Some(property), "{error}");
            assert!(error.to_string().contains(about) && error.to_string().contains(&file), "{error}");
        }
    }
    wrong(&ca, &[(KEYSTORE, &folder.write("any", "-")), (KEYSTORE_TYPE, "BKS")], KEYSTORE_TYPE, "PKCS12")
        .await;
}

#[tokio::test]
async fn a_key_in_one_line_is_told_and_not_shown() {
    let ca = Ca::new("ca");
    let carol = ca.sign("carol");
    let line = carol.key.replace('\n', " ");
    let error = wrong(&ca, &[(CHAIN, &carol.certificate), (KEY, &line)], KEY, "damaged PEM").await;
    let body = carol.key.lines().nth(1).unwrap();
    let bytes = format!("{:?}", body.as_bytes());
    for shown in [error.to_string(), format!("{error:?}"), format!("{error:#}")] {
        assert!(!shown.contains(body) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}

fn pkcs12(identity: &Identity, password: &str) -> Vec<u8> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let key = PrivateKey::from_der(key.secret_der()).unwrap();
    let chain = PrivateKeyChain::new("1", key, [Certificate::from_der(&certificate).unwrap()]);
    let mut store = KeyStore::new();
    store.add_entry("carol", KeyStoreEntry::PrivateKeyChain(chain));
    store.writer(password).write().unwrap()
}

#[tokio::test]
async fn a_store_in_pkcs12_is_read_with_its_password_alone() {
    let (ca, folder) = (Ca::new("ca"), Folder::new());
    let server = mutual(&ca);
    let properties = trusting(server.bootstrap(), &ca);
    let file = folder.write("carol.p12", pkcs12(&ca.sign("carol"), "open sesame"));
    for kind in [&[][..], &[(KEYSTORE_TYPE, "PKCS12")], &[(KEYSTORE_TYPE, "JKS")]] {
        let more = [&[(KEYSTORE, file.as_str()), (STORE_PASSWORD, "open sesame")], kind].concat();
        is_carols(&with(&properties, &more)).await;
        for password in [&[][..], &[(STORE_PASSWORD, "close sesame")]] {
            let more = [&[(KEYSTORE, file.as_str())], kind, password].concat();
            let error = wrong(&ca, &more, STORE_PASSWORD, &file).await;
            assert!(!error.to_string().contains("close sesame"), "{error}");
        }
    }
}

/// Ends all connections of the cluster's only node.
fn disconnect(server: &Server) {
    let now = server.now();
    server.with_cluster(|cluster| {
        let node = cluster.nodes().next().unwrap();
        assert!(cluster.stop_node(node, now) && cluster.start_node(node, now));
    });
}

#[tokio::test]
async fn new_connections_go_by_a_file_that_has_changed_unless_it_is_damaged() {
    let (ca, folder) = (Ca::new("ca"), Folder::new());
    let server = mutual(&ca);
    let (carol, dave) = (ca.sign("carol"), ca.sign("dave"));
    let file = folder.write("client.pem", carol.both());
    let client = client(&with(&trusting(server.bootstrap(), &ca), &[(KEYSTORE, &file)])).await;
    assert_eq!(topics(&client).await, ["t"]);
    folder.write("client.pem", dave.both());
    assert_eq!(topics(&client).await, ["t"], "the connection that stands is still hers");
    disconnect(&server);
    assert_eq!(topics(&client).await, ["u"]);
    for damaged in ["", "nothing", &carol.certificate, &format!("{}{}", carol.key, dave.certificate)] {
        folder.write("client.pem", damaged);
        disconnect(&server);
        assert_eq!(topics(&client).await, ["u"], "what was read before stays in use");
    }
    folder.write("client.pem", carol.both());
    disconnect(&server);
    assert_eq!(topics(&client).await, ["t"]);
    client.close().await;
}

#[tokio::test]
async fn authorities_in_a_file_that_has_changed_are_trusted_by_new_connections() {
    let (ca, next, folder) = (Ca::new("ca"), Ca::new("next"), Folder::new());
    let config =
        |tls: Tls| Config { topics: vec![TopicSpec::new("t", 1)], tls: Some(tls), ..Config::default() };
    let server = Server::start_on_thread(config(ca.tls()), ([127, 0, 0, 1], 0)).unwrap();
    let mut properties = trusting(server.bootstrap(), &ca);
    properties.remove("ssl.truststore.certificates");
    let file = folder.write("ca.pem", &ca.pem);
    let client = client(&with(&properties, &[(TRUSTSTORE, &file)])).await;
    assert_eq!(topics(&client).await, ["t"]);
    // Another certificate of the same authority, and then one of the next.
    server.set_tls(&ca.tls()).unwrap();
    disconnect(&server);
    assert_eq!(topics(&client).await, ["t"]);
    folder.write("ca.pem", &next.pem);
    server.set_tls(&next.tls()).unwrap();
    disconnect(&server);
    assert_eq!(topics(&client).await, ["t"]);
    client.close().await;
}

/// How these connections to a server began that says nothing but TLS, and hangs up at the first request.
async fn handshakes(ca: &Ca, version: &str) -> Vec<HandshakeKind> {
    let Identity { certificate, key } = ca.sign("broker");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let properties = with(&trusting(address, ca), &[("ssl.enabled.protocols", version)]);
    let client = Admin::builder().properties(properties).unwrap().wait_for_broker(false);
    let client = client.build().await.unwrap();
    let asking = tokio::spawn(async move { drop(client.list_topics().await) });
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        let (stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        assert!(stream.read(&mut [0; 512]).await.unwrap() > 0, "a request");
        kinds.extend(stream.get_ref().1.handshake_kind());
    }
    asking.abort();
    kinds
}

#[tokio::test]
async fn a_connection_that_is_made_again_resumes_the_session() {
    let ca = Ca::new("ca");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let begun = Instant::now();
        let kinds = handshakes(&ca, version).await;
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed], "{version}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
