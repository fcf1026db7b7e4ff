//! SASL again: the end of a session, and who authenticates anew before it (KIP-368), as observed of Kafka 4.4.0.

use std::time::Duration;

use ottla_broker::{Config, ConnId, ErrorCode, Sasl, SaslMechanism};
use ottla_protocol::messages::*;

use crate::common::{
    World, config, fetch, millis,
    sasl::{Scram, bearer, plain, token},
};

const LIFETIME: Duration = Duration::from_secs(4);

fn world() -> World {
    let mechanisms = [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::OAuthBearer];
    let sasl = Sasl {
        connections_max_reauth: Some(LIFETIME),
        ..Sasl::new(mechanisms).user("alice", "open sesame").user("bob", "hunter2")
    };
    World::new(Config { sasl: Some(sasl), ..config(&[("t", 1)]) })
}

fn alice(world: &mut World) -> ConnId {
    world.connect_as("alice", "open sesame")
}

fn is_served(world: &mut World, conn: ConnId) -> bool {
    world.send(conn, 9, MetadataRequest::default());
    world.reply::<MetadataResponse>(conn).is_some()
}

#[test]
fn the_lifetime_is_the_maximum_or_what_is_left_of_the_token() {
    let mut world = world();
    let mut lifetime = |mechanism, message: String| {
        let conn = world.connect(1);
        world.handshake(conn, mechanism);
        world.authenticate(conn, message).session_lifetime_ms
    };
    assert_eq!(lifetime("PLAIN", plain("alice", "open sesame")), 4000);
    assert_eq!(lifetime("OAUTHBEARER", bearer(&token(r#"{"sub":"zoe","exp":1700000001.998}"#))), 1998);
    assert_eq!(lifetime("OAUTHBEARER", bearer(&token(r#"{"sub":"zoe","exp":1700000009}"#))), 4000);
    assert_eq!(lifetime("OAUTHBEARER", bearer(&token(r#"{"sub":"zoe","exp":1e300}"#))), 4000);
    world.cluster.set_connections_max_reauth(Some(millis(250)));
    let conn = world.connect(1);
    world.handshake(conn, "PLAIN");
    assert_eq!(world.authenticate(conn, plain("alice", "open sesame")).session_lifetime_ms, 250);
}

#[test]
fn an_idle_connection_stays_open_past_its_end_until_it_asks() {
    for api_versions in [false, true] {
        let mut world = world();
        let conn = alice(&mut world);
        world.pass(LIFETIME);
        assert!(is_served(&mut world, conn));
        world.pass(millis(3000));
        assert!(!world.is_closed(conn));
        if api_versions {
            world.send(conn, 0, ApiVersionsRequest::default());
        } else {
            world.send(conn, 9, MetadataRequest::default());
        }
        assert!(world.is_closed(conn) && world.replies_are_empty(conn));
    }
}

#[test]
fn a_connection_lives_on_if_it_authenticates_anew_before_its_end_or_after_it() {
    for (wait, versions) in [(3000, false), (3000, true), (7000, false)] {
        let mut world = world();
        let conn = alice(&mut world);
        for _ in 0..5 {
            world.pass(millis(wait));
            if versions {
                assert!(world.ask(conn, 0, ApiVersionsRequest::default()).error_code.is_ok());
            }
            assert!(world.handshake(conn, "PLAIN").error_code.is_ok());
            assert_eq!(world.authenticate(conn, plain("alice", "open sesame")).session_lifetime_ms, 4000);
            assert!(is_served(&mut world, conn));
        }
    }
}

#[test]
fn a_request_across_the_end_is_answered_and_the_next_one_closes() {
    let mut world = world();
    let conn = alice(&mut world);
    world.pass(millis(3000));
    let waits = FetchRequest { max_wait_ms: 3000, min_bytes: 1, ..fetch(&[("t", 0, 0)]) };
    world.send(conn, 12, waits);
    world.pass(millis(3000));
    assert!(world.reply::<FetchResponse>(conn).is_some());
    assert!(!is_served(&mut world, conn) && world.is_closed(conn));
}

#[test]
fn a_handshake_behind_a_waiting_fetch_is_answered_after_it() {
    let mut world = world();
    let conn = alice(&mut world);
    let waits = FetchRequest { max_wait_ms: 2000, min_bytes: 1, ..fetch(&[("t", 0, 0)]) };
    world.send(conn, 12, waits);
    world.send(conn, 1, SaslHandshakeRequest { mechanism: "PLAIN".into() });
    world.pass(millis(1999));
    assert!(world.replies_are_empty(conn));
    world.pass(millis(1));
    assert!(world.reply::<FetchResponse>(conn).is_some());
    assert!(world.reply::<SaslHandshakeResponse>(conn).unwrap().error_code.is_ok());
}

#[test]
fn other_requests_between_the_two_are_out_of_place() {
    let mut world = world();
    let conn = alice(&mut world);
    assert!(world.handshake(conn, "PLAIN").error_code.is_ok());
    world.send(conn, 0, ApiVersionsRequest::default());
    let told: ApiVersionsResponse = world.told_late(conn).unwrap();
    assert_eq!(told.error_code, ErrorCode::IllegalSaslState);
    let conn = alice(&mut world);
    assert!(world.handshake(conn, "PLAIN").error_code.is_ok());
    world.send(conn, 4, MetadataRequest::default());
    assert_eq!(world.told_late::<MetadataResponse>(conn).unwrap().topics.len(), 0);
}

#[test]
fn again_within_a_second_is_refused_and_the_connection_goes_on() {
    let mut world = world();
    let conn = alice(&mut world);
    let renew = |world: &mut World| {
        assert!(world.handshake(conn, "PLAIN").error_code.is_ok());
        assert!(world.authenticate(conn, plain("alice", "open sesame")).error_code.is_ok());
    };
    renew(&mut world);
    world.pass(millis(999));
    let told = world.handshake(conn, "PLAIN");
    assert_eq!((told.error_code, told.mechanisms.len()), (ErrorCode::IllegalSaslState, 0));
    assert!(is_served(&mut world, conn));
    world.pass(millis(1));
    renew(&mut world);
}

#[test]
fn a_session_without_an_end_is_not_authenticated_anew() {
    let mut world = world();
    world.cluster.set_connections_max_reauth(None);
    let conn = alice(&mut world);
    let told = world.handshake(conn, "PLAIN");
    assert_eq!((told.error_code, told.mechanisms.len()), (ErrorCode::IllegalSaslState, 0));
    let told = world.authenticate(conn, plain("alice", "open sesame"));
    let text = "SaslAuthenticate request received after successful authentication";
    assert_eq!((told.error_code, told.error_message.as_deref()), (ErrorCode::IllegalSaslState, Some(text)));
    assert!(is_served(&mut world, conn));
}

#[test]
fn a_wrong_password_or_another_principal_is_refused() {
    let mut world = world();
    for (message, text) in [
        (plain("alice", "wrong"), "Authentication failed: Invalid username or password"),
        (
            plain("bob", "hunter2"),
            "Cannot change principals during re-authentication from User.alice: User.bob",
        ),
    ] {
        let conn = alice(&mut world);
        world.handshake(conn, "PLAIN");
        assert_eq!(world.refused(conn, message), text);
    }
}

#[test]
fn a_user_who_is_gone_is_refused_when_he_authenticates_anew() {
    let mut world = world();
    let client = Scram::new(SaslMechanism::ScramSha256, "alice", "open sesame");
    let conn = world.connect(1);
    world.handshake(conn, "SCRAM-SHA-256");
    let first = world.authenticate(conn, client.first());
    let (last, _) = client.last(first.auth_bytes.expose());
    assert_eq!(world.authenticate(conn, last).session_lifetime_ms, 4000);
    world.cluster.remove_user("alice");
    assert!(is_served(&mut world, conn));
    world.handshake(conn, "SCRAM-SHA-256");
    let text = "Authentication failed during re-authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256";
    assert_eq!(world.refused(conn, client.first()), text);
}

#[test]
fn another_mechanism_closes_with_its_first_message_and_one_that_is_not_enabled_at_once() {
    let mut world = world();
    let conn = alice(&mut world);
    assert!(world.handshake(conn, "SCRAM-SHA-256").error_code.is_ok());
    world.send(conn, 2, SaslAuthenticateRequest { auth_bytes: "n,,n=alice,r=abc".into() });
    assert!(world.told_late::<SaslAuthenticateResponse>(conn).is_none());
    let conn = alice(&mut world);
    world.send(conn, 1, SaslHandshakeRequest { mechanism: "SCRAM-SHA-512".into() });
    assert!(world.is_closed(conn) && world.replies_are_empty(conn));
}
