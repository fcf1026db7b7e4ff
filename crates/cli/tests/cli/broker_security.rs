//! `ottla broker` with authentication, authorization and TLS.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use ottla_protocol::{ErrorCode, Request, RequestHeader, Response, ResponseHeader, messages::*};
use rcgen::{CertificateParams, KeyPair};

use crate::support::{Broker, DEADLINE, File, run};

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(&broker.servers).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, version: i16, request: impl Into<Request>) -> io::Result<Response> {
    let request = request.into();
    let header = RequestHeader { key: request.key(), version, correlation_id: 1, client_id: None };
    stream.write_all(&header.encode(&request))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(ResponseHeader::decode(header.key, version, &frame).unwrap().1)
}

fn authenticate(stream: &mut TcpStream, words: &str) -> SaslAuthenticateResponse {
    ask(stream, 1, SaslHandshakeRequest { mechanism: "PLAIN".to_owned() }).unwrap();
    match ask(stream, 2, SaslAuthenticateRequest { auth_bytes: words.into() }).unwrap() {
        Response::SaslAuthenticate(told) => told,
        other => panic!("{other:?}"),
    }
}

fn topics(stream: &mut TcpStream) -> io::Result<Vec<String>> {
    match ask(stream, 9, MetadataRequest::default())? {
        Response::Metadata(told) => Ok(told.topics.into_iter().filter_map(|topic| topic.name).collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn users_of_a_file_authenticate_and_may_do_what_they_are_allowed() {
    let users = File::new("users", "# who\nalice:open:sesame\r\n\nadmin:root\n");
    let broker = Broker::with(&[
        "--topic",
        "a:1",
        "--topic",
        "b:1",
        "--sasl-mechanism",
        "PLAIN,SCRAM-SHA-512",
        "--users",
        users.path(),
        "--max-reauth-ms",
        "60000",
        "--acl",
        "User:alice:READ:topic:a",
        "--super-user",
        "User:admin",
    ]);
    assert!(topics(&mut connect(&broker)).is_err(), "nothing is served before authentication");
    for (words, seen) in [("\0alice\0open:sesame", &["a"][..]), ("\0admin\0root", &["a", "b"])] {
        let mut stream = connect(&broker);
        let told = authenticate(&mut stream, words);
        assert_eq!((told.error_code, told.session_lifetime_ms), (ErrorCode::None, 60_000));
        assert_eq!(topics(&mut stream).unwrap(), seen);
    }
    let told = authenticate(&mut connect(&broker), "\0alice\0wrong");
    assert_eq!(told.error_code, ErrorCode::SaslAuthenticationFailed);
    assert_eq!(broker.stop().complaints(), Vec::<&str>::new());
}

#[test]
fn a_password_as_a_word_is_taken_with_a_warning_that_does_not_repeat_it() {
    let broker = Broker::with(&["--sasl-mechanism", "PLAIN", "--user", "alice:open-sesame"]);
    assert!(authenticate(&mut connect(&broker), "\0alice\0open-sesame").error_code.is_ok());
    let done = broker.stop();
    assert!(done.stderr.contains("--user alice: others") && done.stderr.contains("--users FILE"), "{done:?}");
    assert!(!done.stderr.contains("open-sesame"), "{done:?}");
}

#[test]
fn tls_is_spoken_with_the_files_that_are_given() {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let certificate = File::new("cert.pem", &certificate.pem());
    let key = File::new("key.pem", &key.serialize_pem());
    let files = ["--tls-cert", certificate.path(), "--tls-key", key.path()];
    let broker = Broker::with(&files);
    let mut stream = connect(&broker);
    stream.write_all(b"plain text").unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    assert_eq!(told, [0x15, 3, 3, 0, 2, 2, 80], "an alert of TLS");

    let swapped = ["--tls-cert", key.path(), "--tls-key", certificate.path()];
    let start = |args: &[&str]| run(&[&["broker", "--listen", "127.0.0.1:0"], args].concat()).failed(2);
    assert!(start(&swapped).contains("the server's certificate: no certificate in PEM"));
    let remote = ["--listen", "0.0.0.0:0", "--tls-client-ca", certificate.path()];
    let refused = run(&[&["broker"], &files[..], &remote].concat()).failed(2);
    assert!(
        refused.contains("--allow-remote") && !refused.contains("nobody has to authenticate"),
        "{refused}"
    );
}

#[test]
fn an_address_that_others_reach_is_warned_of_as_long_as_nobody_has_to_authenticate() {
    let warns = "nobody has to authenticate";
    let start = |args: &[&str]| run(&[&["broker", "--listen", "0.0.0.0:0"], args].concat()).failed(2);
    assert!(start(&[]).contains(warns));
    // Anybody can write an unsecured token.
    assert!(start(&["--sasl-mechanism", "OAUTHBEARER"]).contains(warns));
    let users = File::new("remote-users", "alice:open sesame\n");
    let refused = start(&["--sasl-mechanism", "SCRAM-SHA-256", "--users", users.path()]);
    assert!(!refused.contains(warns) && refused.contains("--allow-remote"), "{refused}");
}

#[test]
fn flags_that_do_not_fit_together_are_refused_with_what_to_say() {
    let users = File::new("bad-users", "alice:open sesame\nbob\n");
    for (args, says) in [
        (&["--sasl-mechanism", "GSSAPI"][..], "SCRAM-SHA-256"),
        (&["--sasl-mechanism", "PLAIN"], "--users FILE"),
        (&["--users", "u"], "--sasl-mechanism"),
        (&["--sasl-mechanism", "PLAIN", "--users", "/nowhere/u"], "/nowhere/u"),
        (&["--sasl-mechanism", "PLAIN", "--users", users.path()], "line 2: expected NAME:PASSWORD"),
        (&["--sasl-mechanism", "PLAIN", "--user", "secret-word"], "expected NAME:PASSWORD"),
        (&["--sasl-mechanism", "OAUTHBEARER", "--user", "a:b"], "tokens"),
        (&["--tls-cert", "c"], "--tls-key"),
        (&["--tls-client-auth", "required"], "--tls-client-ca"),
        (&["--tls-cert", "/nowhere/c", "--tls-key", "k"], "/nowhere/c"),
        (&["--acl", "alice:READ:topic:a"], "User:alice:READ:topic:orders"),
        (&["--super-user", "admin"], "User:admin"),
    ] {
        let done = run(&[&["broker", "--listen", "127.0.0.1:0"], args].concat());
        assert!(!done.stderr.contains("open sesame") && !done.stderr.contains("secret-word"), "{done:?}");
        assert_eq!(done.status, Some(2), "{done:?}");
        assert!(done.stderr.contains(says), "{args:?}: {done:?}");
    }
}
