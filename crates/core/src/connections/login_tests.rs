//! One connection that authenticates, and is refused, against answers given by hand.

use ottla_protocol::{
    Secret, Timestamp,
    messages::{
        ApiVersionsApiVersion, ApiVersionsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
        SaslAuthenticateResponse, SaslHandshakeResponse,
    },
};

use super::*;
use crate::{disconnected::SaslFailure, ids::NodeId, sasl::Credentials};

const NODE: Target = Target::Node(NodeId(1));

struct World {
    connections: Connections,
    now: Now,
    address: Address,
    kind: Kind,
    opened: Vec<ConnId>,
    asked: Vec<(ConnId, RequestId, Request)>,
    closed: Vec<ConnId>,
}

impl World {
    fn new() -> Self {
        let (username, password) = ("alice".to_owned(), Secret::from("secret"));
        let sasl = SaslConfig { credentials: Credentials::Plain { username, password }, nonce: String::new };
        Self::with(Some(sasl))
    }

    fn with(sasl: Option<SaslConfig>) -> Self {
        Self {
            connections: Connections::new(ConnectionConfig { sasl, ..Default::default() }, 1),
            now: Now { mono: Instant::now(), wall: Timestamp(0) },
            address: Address { host: "a".to_owned(), port: 1 },
            kind: Kind::Main,
            opened: Vec::new(),
            asked: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Something is to be sent. Whether it can be.
    fn is_ready(&mut self) -> bool {
        let ready = self.connections.ready(NODE, self.kind, &self.address, self.now);
        while let Some(outbound) = self.connections.poll_send() {
            match outbound {
                Outbound::Connect { conn, .. } => {
                    self.opened.push(conn);
                    self.connections.handle_connected(conn, self.now);
                }
                Outbound::Send { conn, id, request, .. } => self.asked.push((conn, id, request)),
                Outbound::Close { conn } => self.closed.push(conn),
                Outbound::Run { .. } => unreachable!("PLAIN needs nothing to be run"),
            }
        }
        ready
    }

    /// The last request is answered.
    fn answer(&mut self, response: impl Into<Response>) {
        let (conn, id, _) = self.asked.pop().expect("nothing is asked");
        let reply: Reply<()> = Reply { id, response: response.into(), fetched: None };
        self.connections.handle_reply(conn, reply, self.now);
        self.is_ready();
    }

    fn asked(&self) -> Option<ApiKey> {
        self.asked.last().map(|(_, _, request)| request.key())
    }

    fn connect(&mut self) {
        self.is_ready();
        assert_eq!(self.asked(), Some(ApiKey::ApiVersions));
        let api = |key: &ApiKey| ApiVersionsApiVersion {
            api_key: *key as i16,
            min_version: key.versions().min,
            max_version: key.versions().max,
        };
        let api_keys = ApiKey::ALL.iter().map(api).collect();
        self.answer(ApiVersionsResponse { api_keys, ..Default::default() });
    }

    fn handshake(&mut self) {
        assert_eq!(self.asked(), Some(ApiKey::SaslHandshake));
        self.answer(SaslHandshakeResponse::default());
    }

    fn authenticate(&mut self, session_lifetime_ms: i64) {
        self.handshake();
        assert_eq!(self.asked(), Some(ApiKey::SaslAuthenticate));
        self.answer(SaslAuthenticateResponse { session_lifetime_ms, ..Default::default() });
    }

    fn refuse(&mut self) {
        let error_code = ErrorCode::SaslAuthenticationFailed;
        let error_message = Some("Authentication failed: Invalid username or password".to_owned());
        self.answer(SaslAuthenticateResponse { error_code, error_message, ..Default::default() });
    }

    fn ask(&mut self) {
        assert!(self.is_ready());
        let request = FindCoordinatorRequest::default();
        self.connections.send(NODE, self.kind, 4, request, None, self.now);
        self.is_ready();
    }

    fn status(&self) -> LinkStatus {
        self.connections.status(NODE, self.kind, self.now.mono)
    }

    fn pass(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.connections.handle_timeout(self.now);
    }

    /// The broker closes the connection.
    fn end(&mut self) {
        let conn = *self.opened.last().unwrap();
        self.asked.clear();
        self.connections.handle_disconnected(conn, Disconnected::Closed, self.now);
    }
}

#[test]
fn a_connection_can_be_used_once_the_broker_knows_the_client() {
    let mut world = World::new();
    world.connect();
    assert!(!world.is_ready());
    world.authenticate(0);
    assert!(world.is_ready());
    world.pass(Duration::from_secs(500));
    assert!(world.is_ready(), "a session without an end");
}

#[test]
fn a_session_is_renewed_before_its_end_on_the_same_connection() {
    let mut world = World::new();
    world.connect();
    world.authenticate(10_000);
    world.pass(Duration::from_millis(8400));
    assert!(world.is_ready(), "too early");
    world.pass(Duration::from_millis(1200));
    assert!(!world.is_ready(), "nothing is sent in between");
    world.authenticate(10_000);
    assert!(world.is_ready());
    assert_eq!((world.opened.len(), world.closed.len()), (1, 0));
}

#[test]
fn a_session_is_renewed_behind_what_is_in_flight_even_when_it_has_ended_by_then() {
    let mut world = World::new();
    world.connect();
    world.authenticate(1000);
    world.ask();
    world.pass(Duration::from_secs(2));
    assert!(!world.is_ready());
    assert_eq!(world.asked(), Some(ApiKey::FindCoordinator), "it would wait behind this");
    world.answer(FindCoordinatorResponse::default());
    world.authenticate(1000);
    assert!(world.is_ready());
}

#[test]
fn nothing_waits_behind_a_join_that_may_outlast_the_session() {
    let mut world = World::new();
    world.kind = Kind::Join;
    world.connect();
    world.authenticate(10_000);
    world.ask();
    assert!(!world.is_ready(), "the session may be over when it is read");
    world.answer(FindCoordinatorResponse::default());
    assert!(world.is_ready());
    let mut endless = World::new();
    endless.kind = Kind::Join;
    endless.connect();
    endless.authenticate(0);
    endless.ask();
    assert!(endless.is_ready());
}

#[test]
fn a_broker_that_was_authenticated_to_a_moment_ago_is_no_failure() {
    let mut world = World::new();
    world.connect();
    world.authenticate(1000);
    world.pass(Duration::from_secs(1));
    world.is_ready();
    world.answer(SaslHandshakeResponse { error_code: ErrorCode::IllegalSaslState, ..Default::default() });
    assert!(world.is_ready());
    world.pass(Duration::from_secs(2));
    assert!(!world.is_ready());
    world.authenticate(1000);
    assert!(world.is_ready() && world.closed.is_empty());
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again_before_that() {
    let mut world = World::new();
    world.connect();
    world.handshake();
    world.refuse();
    let LinkStatus::Refused { why } = world.status() else { panic!("{:?}", world.status()) };
    assert!(why.to_string().contains("Invalid username or password"), "{why}");
    assert_eq!(world.closed.len(), 1);
    world.pass(Duration::from_secs(100));
    assert!(!world.is_ready());
    assert_eq!(world.opened.len(), 1, "an account may be locked for it");
    let (target, _, refused) = world.connections.take_refusal().expect("somebody is to be told");
    assert_eq!((target, refused.address), (NODE, world.address.clone()));
    world.connections.forgive(world.now);
    world.pass(Duration::from_secs(1));
    world.connect();
    assert_eq!(world.opened.len(), 2, "once told, it is tried again");
}

#[test]
fn a_session_that_cannot_be_renewed_is_a_refusal() {
    let mut world = World::new();
    world.connect();
    world.authenticate(1000);
    world.pass(Duration::from_secs(1));
    world.is_ready();
    world.handshake();
    world.refuse();
    assert!(matches!(world.status(), LinkStatus::Refused { .. }), "{:?}", world.status());
}

#[test]
fn a_broker_that_goes_while_a_client_authenticates_is_tried_again() {
    let mut world = World::new();
    for attempt in 0..5 {
        world.connect();
        world.handshake();
        world.end();
        let LinkStatus::Retrying { why, .. } = world.status() else {
            panic!("{attempt}: {:?}", world.status())
        };
        assert_eq!(why, Disconnected::Sasl(SaslFailure::Closed));
        world.pass(Duration::from_secs(2));
    }
}

#[test]
fn a_listener_that_closes_at_the_first_request_three_times_wants_something_else() {
    let mut world = World::with(None);
    for _ in 0..3 {
        assert!(!matches!(world.status(), LinkStatus::Refused { .. }));
        world.pass(Duration::from_secs(2));
        world.connect();
        world.ask();
        world.end();
    }
    let LinkStatus::Refused { why } = world.status() else { panic!("{:?}", world.status()) };
    assert_eq!(why, Disconnected::ClosedAtOnce);
}

#[test]
fn a_client_that_has_reached_the_cluster_keeps_trying_whatever_is_closed_too_early() {
    let mut world = World::with(None);
    world.connect();
    world.ask();
    world.answer(FindCoordinatorResponse::default());
    world.end();
    for _ in 0..9 {
        world.pass(Duration::from_secs(2));
        world.connect();
        world.ask();
        world.end();
    }
    assert!(matches!(world.status(), LinkStatus::Retrying { why: Disconnected::ClosedAtOnce, .. }));
}

#[test]
fn a_broker_that_lets_a_client_wait_while_it_authenticates_is_left() {
    let mut world = World::new();
    world.connect();
    world.pass(Duration::from_secs(11));
    assert!(matches!(world.status(), LinkStatus::Retrying { .. }), "{:?}", world.status());
}
