//! SASL: what a broker says to a client, and a client to the embedded broker.

use std::sync::{Mutex, OnceLock};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use ottla_broker::{Cluster, Config, Sasl, SaslMechanism};
use ottla_core::{
    Credentials, SaslConfig, ScramHash,
    fuzzing::{Exchange, LoginStep},
};
use ottla_fuzz::{Input, now, within};
use ottla_protocol::{
    Request, RequestHeader, Response, Secret,
    messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
    },
};
use sha2::Sha256;

const KEY: &[u8] = b"thirty-two bytes of a salted key";

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
}

fn said(bytes: Vec<u8>) -> Response {
    SaslAuthenticateResponse { auth_bytes: bytes.into(), ..Default::default() }.into()
}

/// What a server that knows the password ends an exchange with.
fn proof(first: &str, server_first: &str, last: &str) -> Vec<u8> {
    let bare = first.strip_prefix("n,,").unwrap();
    let without_proof = last.rsplit_once(",p=").unwrap().0;
    let signature =
        mac(&mac(KEY, b"Server Key"), format!("{bare},{server_first},{without_proof}").as_bytes());
    format!("v={}", BASE64.encode(signature)).into_bytes()
}

fn client(input: &mut Input<'_>) {
    let flags = input.byte();
    let username = input.text().unwrap_or("alice").to_owned();
    let credentials = match flags % 4 {
        0 => Credentials::Plain { username, password: Secret::from("secret") },
        1 => Credentials::OAuthBearer,
        _ => Credentials::Scram {
            hash: ScramHash::Sha256,
            username,
            password: Secret::from("secret"),
            delegation_token: flags & 4 != 0,
        },
    };
    let is_scram = flags % 4 > 1;
    let config = SaslConfig { credentials, nonce: || "nonce".to_owned() };
    let mut exchange = Exchange::begin(&config, Secret::from(KEY.to_vec()));
    let mechanisms = vec![config.credentials.mechanism().to_owned()];
    let mut step = exchange.handle(SaslHandshakeResponse { mechanisms, ..Default::default() }.into());
    let (mut first, mut server_first, mut is_proven) = (String::new(), String::new(), false);
    for _ in 0..4 {
        let LoginStep::Said(message) = &step else { break };
        let message = message.expose_text().unwrap_or_default().to_owned();
        let mut answer = input.bytes().to_vec();
        if flags & 8 != 0 {
            // So that more than the first message is reached.
            answer.splice(0..0, *b"r=nonce+,s=c2FsdA==,i=4096,");
        }
        if is_scram && flags & 16 != 0 && message.contains(",p=") && !server_first.is_empty() {
            answer = proof(&first, &server_first, &message);
            is_proven = true;
        }
        if first.is_empty() {
            first = message;
            server_first = String::from_utf8(answer.clone()).unwrap_or_default();
        }
        step = within(16 * answer.len() + 16_384, || exchange.handle(said(answer)));
    }
    match step {
        LoginStep::Over => assert!(is_proven || !is_scram, "a server that has proven nothing is believed"),
        _ => assert!(!is_proven, "a server that has proven all is not believed"),
    }
}

/// Keys are derived once: it takes milliseconds.
fn broker() -> &'static Mutex<Cluster> {
    static BROKER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    BROKER.get_or_init(|| {
        let sasl = Sasl::new([
            SaslMechanism::Plain,
            SaslMechanism::ScramSha256,
            SaslMechanism::ScramSha512,
            SaslMechanism::OAuthBearer,
        ]);
        let sasl = sasl.user("alice", "open sesame");
        Mutex::new(Cluster::new(Config { sasl: Some(sasl), ..Config::default() }))
    })
}

fn server(input: &mut Input<'_>) {
    let mut cluster = broker().lock().unwrap();
    let now = now();
    let conn = cluster.handle_connect(1, now);
    while cluster.poll_output().is_some() {}
    let mechanism = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"][usize::from(input.byte()) % 4];
    let mut asks = vec![Request::from(SaslHandshakeRequest { mechanism: mechanism.to_owned() })];
    while !input.is_over() && asks.len() < 5 {
        asks.push(SaslAuthenticateRequest { auth_bytes: input.bytes().to_vec().into() }.into());
    }
    for request in asks {
        let header = RequestHeader { key: request.key(), version: 1, correlation_id: 1, client_id: None };
        let frame = header.encode(&request)[4..].to_vec();
        within(32 * frame.len() + 32_768, || {
            cluster.handle_frame(conn, frame, now);
            while cluster.poll_output().is_some() {}
        });
    }
    cluster.handle_disconnect(conn, now);
    while cluster.poll_output().is_some() {}
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 2 {
        0 => client(&mut input),
        _ => server(&mut input),
    }
}
