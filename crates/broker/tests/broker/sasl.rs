//! SASL: what a broker answers to each that may go wrong, as observed of Kafka 4.4.0.

use ottla_broker::{Config, ErrorCode, Fault, Sasl, SaslMechanism};
use ottla_protocol::{ApiKey, Timestamp, messages::*};

use crate::common::{
    World, answered, config, millis,
    sasl::{Scram, bearer, plain, token},
};

fn sasl() -> Sasl {
    Sasl::new(SaslMechanism::ALL.iter().copied()).user("alice", "open sesame").user("bob", "hunter2")
}

fn world() -> World {
    World::new(Config { sasl: Some(sasl()), ..config(&[("t", 1)]) })
}

fn versions() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "x".into(),
        client_software_version: "1".into(),
        ..Default::default()
    }
}

const LIST: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

#[test]
fn versions_are_told_before_authentication_once_with_success() {
    for version in [0, 4] {
        let mut world = world();
        let conn = world.connect(1);
        assert_eq!(world.ask(conn, version, versions()).api_keys.len(), answered().len());
        world.send(conn, version, versions());
        assert!(world.is_closed(conn), "the second one closes");
    }
}

#[test]
fn versions_may_be_asked_again_after_a_refusal() {
    let mut world = world();
    let conn = world.connect(1);
    let nameless = ApiVersionsRequest::default();
    assert_eq!(world.ask(conn, 3, nameless).error_code, ErrorCode::InvalidRequest);
    let unknown = [&18i16.to_be_bytes()[..], &99i16.to_be_bytes(), &7i32.to_be_bytes(), &[255, 255]].concat();
    world.cluster.handle_frame(conn, unknown, world.now);
    let Some(ottla_broker::Output::Reply { frame, .. }) = world.cluster.poll_output() else {
        panic!("a reply")
    };
    assert_eq!(frame[4..10], [0, 0, 0, 7, 0, 35]);
    assert!(world.ask(conn, 4, versions()).error_code.is_ok());
    assert!(world.handshake(conn, "PLAIN").error_code.is_ok());
}

#[test]
fn anything_else_before_authentication_closes_at_once_without_a_word() {
    for asks_versions in [false, true] {
        for api in answered().iter().filter(|api| !matches!(api, ApiKey::ApiVersions | ApiKey::SaslHandshake))
        {
            let mut world = world();
            let conn = world.connect(1);
            if asks_versions {
                world.ask(conn, 3, versions());
            }
            // Not even an error that a script forces is told.
            world.cluster.faults().on(*api).then(Fault::Error(ErrorCode::UnknownServerError));
            world.send_request(conn, api.versions().max.min(9), crate::common::example(*api));
            assert!(world.is_closed(conn), "{api:?}");
            assert!(world.replies_are_empty(conn), "{api:?}");
        }
    }
}

#[test]
fn a_large_frame_before_authentication_closes_after_the_delay_and_is_served_after_it() {
    let mut world = world();
    let conn = world.connect(1);
    world.cluster.handle_frame(conn, vec![0; 524_289], world.now);
    world.drain();
    assert!(world.told_late::<MetadataResponse>(conn).is_none());
    let conn = world.connect_as("alice", "open sesame");
    let topics = vec![MetadataRequestTopic { name: Some("x".repeat(249)), ..Default::default() }; 3000];
    let asked = world.ask(conn, 9, MetadataRequest { topics: Some(topics), ..Default::default() });
    assert_eq!(asked.topics.len(), 3000);
}

#[test]
fn bare_tokens_and_handshakes_of_version_2_close_at_once() {
    let raw =
        [&17i16.to_be_bytes()[..], &2i16.to_be_bytes(), &7i32.to_be_bytes(), &[255, 255, 0, 1, 0]].concat();
    for frame in [b"\0alice\0open sesame".to_vec(), raw] {
        let mut world = world();
        let conn = world.connect(1);
        world.cluster.handle_frame(conn, frame, world.now);
        world.drain();
        assert!(world.is_closed(conn));
    }
}

#[test]
fn a_bare_token_after_a_handshake_of_version_0_closes() {
    let mut world = world();
    let conn = world.connect(1);
    assert!(world.ask(conn, 0, SaslHandshakeRequest { mechanism: "PLAIN".into() }).error_code.is_ok());
    world.cluster.handle_frame(conn, b"\0alice\0open sesame".to_vec(), world.now);
    world.drain();
    assert!(world.is_closed(conn));
}

#[test]
fn a_mechanism_that_is_not_enabled_is_told_with_those_that_are() {
    for version in 0..=1 {
        let mut world = world();
        let conn = world.connect(1);
        world.send(conn, version, SaslHandshakeRequest { mechanism: "GSSAPI".into() });
        let told: SaslHandshakeResponse = world.told_late(conn).unwrap();
        assert_eq!(told.error_code, ErrorCode::UnsupportedSaslMechanism);
        assert_eq!(told.mechanisms, LIST);
    }
}

#[test]
fn without_sasl_both_are_refused_and_the_connection_goes_on() {
    let mut world = World::new(config(&[]));
    let conn = world.connect(1);
    let told = world.handshake(conn, "PLAIN");
    assert_eq!((told.error_code, told.mechanisms.len()), (ErrorCode::IllegalSaslState, 0));
    let told = world.authenticate(conn, plain("alice", "open sesame"));
    assert_eq!(told.error_code, ErrorCode::IllegalSaslState);
    assert!(world.ask(conn, 9, MetadataRequest::default()).error_code.is_ok());
}

#[test]
fn plain_has_a_text_for_each_refusal() {
    let wrong = "Authentication failed: Invalid username or password";
    let other = "Authentication failed: Client requested an authorization id that is different from username";
    for (message, text) in [
        ("\0alice\0wrong", wrong),
        ("\0nobody\0open sesame", wrong),
        ("\0alice\0", "Authentication failed: password not specified"),
        ("\0\0open sesame", "Authentication failed: username not specified"),
        ("alice\0open sesame", "Invalid SASL/PLAIN response: expected 3 tokens, got 2"),
        ("", "Invalid SASL/PLAIN response: expected 3 tokens, got 1"),
        ("a\0b\0c\0d\0e", "Invalid SASL/PLAIN response: expected 3 tokens, got 4"),
        ("bob\0alice\0open sesame", other),
        ("bob\0alice\0wrong", wrong),
    ] {
        let mut world = world();
        let conn = world.connect(1);
        let told = world.handshake(conn, "PLAIN");
        assert_eq!((told.error_code, told.mechanisms), (ErrorCode::None, LIST.map(str::to_owned).to_vec()));
        assert_eq!(world.refused(conn, message), text);
    }
}

#[test]
fn plain_lets_in_whom_it_knows() {
    for message in ["\0alice\0open sesame", "alice\0alice\0open sesame"] {
        let mut world = world();
        let conn = world.connect(1);
        world.handshake(conn, "PLAIN");
        let told = world.authenticate(conn, message);
        assert_eq!((told.error_code, told.session_lifetime_ms), (ErrorCode::None, 0));
        assert!(told.auth_bytes.is_empty());
        assert_eq!(world.ask(conn, 9, MetadataRequest::default()).topics.len(), 1);
    }
}

const INVALID: &str =
    "Authentication failed during authentication due to invalid credentials with SASL mechanism ";

/// Says the first message and the last one.
fn scram(world: &mut World, conn: ottla_broker::ConnId, client: &Scram) -> (String, String) {
    let told = world.authenticate(conn, client.first());
    assert!(told.error_code.is_ok(), "{told:?}");
    client.last(told.auth_bytes.expose())
}

#[test]
fn scram_proves_both_sides_to_each_other() {
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let mut world = world();
        let conn = world.connect(1);
        world.handshake(conn, mechanism.name());
        let (last, expected) = scram(&mut world, conn, &Scram::new(mechanism, "alice", "open sesame"));
        let told = world.authenticate(conn, last);
        assert_eq!((told.error_code, told.auth_bytes.expose_text()), (ErrorCode::None, Some(&*expected)));
        assert!(world.ask(conn, 9, MetadataRequest::default()).error_code.is_ok());
    }
}

#[test]
fn scram_refuses_a_wrong_password_at_the_last_message() {
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let mut world = world();
        let conn = world.connect(1);
        world.handshake(conn, mechanism.name());
        let (last, _) = scram(&mut world, conn, &Scram::new(mechanism, "alice", "wrong"));
        assert_eq!(world.refused(conn, last), format!("{INVALID}{mechanism}"));
    }
}

#[test]
fn scram_refuses_what_is_wrong_with_the_first_message_at_once() {
    let other = "Authentication failed: Client requested an authorization id that is different from username";
    let invalid = format!("{INVALID}SCRAM-SHA-256");
    for (message, text) in [
        ("n,,n=nobody,r=abc", &*invalid),
        ("n,,n=alice,r=abc,tokenauth=true", &invalid),
        ("p=tls-unique,,n=alice,r=abc", &invalid),
        ("n,,n=alice", &invalid),
        ("", &invalid),
        ("n,a=bob,n=alice,r=abc", other),
    ] {
        let mut world = world();
        let conn = world.connect(1);
        world.handshake(conn, "SCRAM-SHA-256");
        assert_eq!(world.refused(conn, message), text, "{message}");
    }
}

#[test]
fn a_nonce_is_not_the_same_twice_and_an_old_proof_is_refused() {
    let mut world = world();
    let client = Scram::new(SaslMechanism::ScramSha256, "alice", "open sesame");
    let (first, second) = (world.connect(1), world.connect(1));
    world.handshake(first, "SCRAM-SHA-256");
    world.handshake(second, "SCRAM-SHA-256");
    let (proof, _) = scram(&mut world, first, &client);
    let (other, _) = scram(&mut world, second, &client);
    assert_ne!(proof, other);
    assert_eq!(world.refused(second, proof), format!("{INVALID}SCRAM-SHA-256"));
}

/// The time of the tests is 1,700,000,000 s.
fn of_zoe(rest: &str) -> String {
    bearer(&token(&format!(r#"{{"sub":"zoe"{rest}}}"#)))
}

#[test]
fn a_token_lets_its_subject_in_for_as_long_as_it_holds() {
    let mut world = world();
    let conn = world.connect(1);
    world.handshake(conn, "OAUTHBEARER");
    let told = world.authenticate(conn, of_zoe(r#","iat":1699999999,"exp":1700000030"#));
    assert_eq!((told.error_code, told.session_lifetime_ms), (ErrorCode::None, 30_000));
    world.pass(millis(30_000));
    assert!(world.ask(conn, 9, MetadataRequest::default()).error_code.is_ok());
    world.pass(millis(1));
    world.send(conn, 9, MetadataRequest::default());
    assert!(world.is_closed(conn) && world.replies_are_empty(conn));
}

#[test]
fn a_token_that_is_not_taken_is_told_in_two_steps() {
    let status = r#"{"status":"invalid_token"}"#;
    for message in [
        of_zoe(r#","exp":1699999999"#),
        of_zoe(r#","exp":1700000000"#),
        of_zoe(r#","iat":1700000010,"exp":1700000030"#),
        of_zoe(""),
        bearer(&token(r#"{"exp":1700000030}"#)),
        bearer("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ6b2UifQ.c2lnbmF0dXJl"),
        bearer("opaque"),
    ] {
        let mut world = world();
        let conn = world.connect(1);
        world.handshake(conn, "OAUTHBEARER");
        let told = world.authenticate(conn, message.clone());
        assert_eq!(
            (told.error_code, told.auth_bytes.expose_text()),
            (ErrorCode::None, Some(status)),
            "{message}"
        );
        assert_eq!(world.refused(conn, "\x01"), status);
    }
}

#[test]
fn anything_else_than_the_one_byte_after_invalid_token_is_invalid() {
    for message in ["\x01\x01", "x"] {
        let mut world = world();
        let conn = world.connect(1);
        world.handshake(conn, "OAUTHBEARER");
        world.authenticate(conn, bearer("opaque"));
        assert_eq!(world.refused(conn, message), format!("{INVALID}OAUTHBEARER"));
    }
}

#[test]
fn a_message_that_is_not_of_the_form_is_invalid() {
    let good = token(r#"{"sub":"zoe","exp":1700000030}"#);
    for message in [
        "\x01".to_owned(),
        format!("n,,\x01auth=Basic {good}\x01\x01"),
        format!("n,,\x01auth=Bearer {good}\x01"),
        format!("n,,\x01auth=Bearer {good}\x01auth=x y\x01\x01"),
        format!("n,,\x01auth=Bearer {good}\x01k1=v\x01\x01"),
        "n,,\x01k=v\x01\x01".to_owned(),
    ] {
        let mut world = world();
        let conn = world.connect(1);
        world.handshake(conn, "OAUTHBEARER");
        assert_eq!(world.refused(conn, &*message), format!("{INVALID}OAUTHBEARER"), "{message}");
    }
}

#[test]
fn a_token_of_another_than_the_authorization_id_is_refused() {
    let good = token(r#"{"sub":"zoe","exp":1700000030}"#);
    let mut world = world();
    let conn = world.connect(1);
    world.handshake(conn, "OAUTHBEARER");
    let told = world.refused(conn, format!("n,a=other,\x01auth=Bearer {good}\x01\x01"));
    assert!(
        told.ends_with("authorization id (other) that is different from the token's principal name (zoe)")
    );
    let conn = world.connect(1);
    world.handshake(conn, "OAUTHBEARER");
    let extended = format!("n,a=zoe,\x01auth=bearer  {good}\x01traceId=1 2\x01\x01");
    assert!(world.authenticate(conn, extended).error_code.is_ok());
}

#[test]
fn other_requests_within_an_exchange_are_out_of_place() {
    let mut world = world();
    let conn = world.connect(1);
    world.handshake(conn, "PLAIN");
    world.send(conn, 3, versions());
    let told: ApiVersionsResponse = world.told_late(conn).unwrap();
    assert_eq!((told.error_code, told.api_keys.len()), (ErrorCode::IllegalSaslState, 0));
    let conn = world.connect(1);
    world.handshake(conn, "PLAIN");
    world.send(conn, 4, MetadataRequest::default());
    let told: MetadataResponse = world.told_late(conn).unwrap();
    assert_eq!((told.brokers.len(), told.topics.len()), (0, 0));
}

#[test]
fn nothing_is_served_while_a_refusal_is_late() {
    let mut world = world();
    let conn = world.connect(1);
    world.handshake(conn, "PLAIN");
    world.send(conn, 2, SaslAuthenticateRequest { auth_bytes: plain("alice", "wrong").into() });
    world.send(conn, 2, SaslAuthenticateRequest { auth_bytes: plain("alice", "open sesame").into() });
    let told: SaslAuthenticateResponse = world.told_late(conn).unwrap();
    assert_eq!(told.error_code, ErrorCode::SaslAuthenticationFailed);
    assert!(world.replies_are_empty(conn));
}

#[test]
fn the_delay_is_what_is_configured() {
    let sasl = Sasl { failed_authentication_delay: millis(1500), ..sasl() };
    let mut world = World::new(Config { sasl: Some(sasl), ..Config::default() });
    let conn = world.connect(1);
    world.send(conn, 1, SaslHandshakeRequest { mechanism: "X".into() });
    world.pass(millis(1499));
    assert!(!world.is_closed(conn));
    world.pass(millis(1));
    assert!(world.is_closed(conn));
}

#[test]
fn faults_of_the_two_apis_happen_and_leave_the_exchange_where_it_was() {
    let mut world = world();
    let conn = world.connect(1);
    let forced = |api, code, world: &mut World| world.cluster.faults().on(api).then(Fault::Error(code));
    forced(ApiKey::SaslHandshake, ErrorCode::UnknownServerError, &mut world);
    assert_eq!(world.handshake(conn, "PLAIN").error_code, ErrorCode::UnknownServerError);
    assert!(world.handshake(conn, "PLAIN").error_code.is_ok());
    forced(ApiKey::SaslAuthenticate, ErrorCode::SaslAuthenticationFailed, &mut world);
    let told = world.authenticate(conn, plain("alice", "open sesame"));
    assert_eq!(told.error_code, ErrorCode::SaslAuthenticationFailed);
    world.cluster.faults().on(ApiKey::SaslAuthenticate).then(Fault::Delay(millis(500)));
    world.send(conn, 2, SaslAuthenticateRequest { auth_bytes: plain("alice", "open sesame").into() });
    world.pass(millis(500));
    let told: SaslAuthenticateResponse = world.reply(conn).unwrap();
    assert!(told.error_code.is_ok());
    let conn = world.connect(1);
    world.cluster.faults().on(ApiKey::SaslHandshake).then(Fault::Disconnect);
    world.send(conn, 1, SaslHandshakeRequest { mechanism: "PLAIN".into() });
    assert!(world.is_closed(conn));
}

#[test]
fn another_password_holds_for_new_connections_and_live_ones_go_on() {
    let mut world = world();
    let live = world.connect_as("alice", "open sesame");
    world.cluster.set_password("alice", "changed");
    world.cluster.set_password("carol", "new");
    world.connect_as("alice", "changed");
    world.connect_as("carol", "new");
    assert!(world.cluster.remove_user("bob") && !world.cluster.remove_user("bob"));
    for (user, password) in [("alice", "open sesame"), ("bob", "hunter2")] {
        let conn = world.connect(1);
        world.handshake(conn, "PLAIN");
        world.refused(conn, plain(user, password));
    }
    let conn = world.connect(1);
    world.handshake(conn, "SCRAM-SHA-512");
    let client = Scram::new(SaslMechanism::ScramSha512, "alice", "changed");
    let (last, _) = scram(&mut world, conn, &client);
    assert!(world.authenticate(conn, last).error_code.is_ok());
    assert!(world.ask(live, 9, MetadataRequest::default()).error_code.is_ok());
}

#[test]
fn no_message_is_a_panic_or_lets_anybody_in() {
    let mut rng = fastrand::Rng::with_seed(7);
    let client = Scram::new(SaslMechanism::ScramSha256, "alice", "open sesame");
    for round in 0..2000 {
        let mut world =
            World::new(Config { sasl: Some(Sasl { scram_iterations: 1, ..sasl() }), ..config(&[]) });
        let conn = world.connect(1);
        let mechanism = LIST[round % 4];
        world.handshake(conn, mechanism);
        let mut message = match mechanism {
            "PLAIN" => plain("alice", "open sesame"),
            "OAUTHBEARER" => of_zoe(r#","exp":1700000030"#),
            _ => client.first(),
        }
        .into_bytes();
        let at = rng.usize(..message.len());
        match rng.u8(..3) {
            0 => message[at] = message[at].wrapping_add(rng.u8(1..)),
            1 => message.truncate(at),
            _ => message = (0..at).map(|_| rng.u8(..)).collect(),
        }
        world.send(conn, 2, SaslAuthenticateRequest { auth_bytes: message.clone().into() });
        world.pass(millis(100));
        if let Some(told) = world.reply::<SaslAuthenticateResponse>(conn) {
            // An extension of OAUTHBEARER's, or a part of SCRAM's nonce, may be anything.
            let goes_on = mechanism != "PLAIN" && told.error_code.is_ok();
            assert!(goes_on || world.is_closed(conn), "seed 7, round {round}: {message:?}: {told:?}");
        }
    }
}

#[test]
fn no_password_is_shown() {
    let mut world = world();
    let conn = world.connect_as("alice", "open sesame");
    let half = world.connect(1);
    world.handshake(half, "SCRAM-SHA-256");
    world.authenticate(half, "n,,n=bob,r=abc");
    let shown = format!("{:?} {conn:?} {:?}", world.cluster, sasl());
    assert!(shown.contains("alice") && !shown.contains("open sesame") && !shown.contains("hunter2"));
    assert_eq!(world.now.wall, Timestamp(1_700_000_000_000));
}
