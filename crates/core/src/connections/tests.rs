//! Connections and metadata against answers given by hand, in a time moved by hand.

use std::collections::BTreeSet;

use ottla_protocol::{
    Timestamp,
    messages::{ApiVersionsApiVersion, ApiVersionsResponse, MetadataResponse, MetadataResponseBroker},
};

use super::*;
use crate::{
    cause::Cause,
    deadline::Earliest,
    ids::NodeId,
    metadata::{Metadata, MetadataConfig, Wanted},
};

/// Two addresses that the user gave, `a` and `b`; metadata tells of node 7.
struct World {
    connections: Connections,
    metadata: Metadata,
    metadata_request: Option<RequestId>,
    now: Now,
    opened: Vec<(ConnId, String)>,
    asked: Vec<(ConnId, RequestId, i16, ApiVersionsRequest)>,
    closed: BTreeSet<ConnId>,
}

impl World {
    fn new() -> Self {
        let now = Now { mono: Instant::now(), wall: Timestamp(0) };
        let seeds = ["a", "b"].map(|host| Address { host: host.to_owned(), port: 1 }).to_vec();
        Self {
            connections: Connections::new(ConnectionConfig::default(), 1),
            metadata: Metadata::new(MetadataConfig::default(), seeds, 1),
            metadata_request: None,
            now,
            opened: Vec::new(),
            asked: Vec::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Does as a machine does at each of its deadlines, until so much time has passed.
    fn pass(&mut self, by: Duration) {
        let end = self.now.after(by);
        loop {
            self.pump();
            let mut earliest = Earliest::after(self.now.mono);
            self.connections.deadlines(&mut earliest);
            self.metadata.deadlines(&mut earliest);
            let Some(at) = earliest.get().filter(|at| *at <= end.mono) else { break };
            self.now = self.now.after(at - self.now.mono);
            self.connections.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn pump(&mut self) {
        let wanted = Wanted::Topics(BTreeSet::new());
        if let Some(id) = self.metadata.poll_send(&wanted, &mut self.connections, self.now) {
            self.metadata_request = Some(id);
        }
        while let Some(outbound) = self.connections.poll_send() {
            match outbound {
                Outbound::Connect { conn, host, .. } => self.opened.push((conn, host)),
                Outbound::Send { conn, id, version, request: Request::ApiVersions(request) } => {
                    self.asked.push((conn, id, version, request));
                }
                Outbound::Send { .. } => {}
                Outbound::Run { .. } => unreachable!("nobody authenticates"),
                Outbound::Close { conn } => _ = self.closed.insert(conn),
            }
        }
    }

    /// The connection opened last stands, and its broker answers with this error.
    fn answer(&mut self, error_code: ErrorCode) -> ApiVersionsRequest {
        let (conn, _) = self.opened.last().expect("no connection").clone();
        self.connections.handle_connected(conn, self.now);
        self.pump();
        self.answer_again(error_code)
    }

    fn answer_again(&mut self, error_code: ErrorCode) -> ApiVersionsRequest {
        let (conn, id, _, request) = self.asked.pop().expect("nothing is asked");
        let api = |key: &ApiKey| ApiVersionsApiVersion {
            api_key: *key as i16,
            min_version: key.versions().min,
            max_version: key.versions().max,
        };
        let api_keys = if error_code.is_ok() { ApiKey::ALL.iter().map(api).collect() } else { Vec::new() };
        let response = ApiVersionsResponse { error_code, api_keys, ..Default::default() };
        let reply: Reply<()> = Reply { id, response: response.into(), fetched: None };
        assert!(self.connections.handle_reply(conn, reply, self.now).is_none());
        self.pump();
        request
    }

    /// A first broker answers, so the cluster is known.
    fn bootstrap(&mut self) {
        self.pump();
        self.answer(ErrorCode::None);
        let broker =
            MetadataResponseBroker { node_id: 7, host: "seven".to_owned(), port: 7, ..Default::default() };
        let cluster_id = Some("c".to_owned());
        let response = MetadataResponse { brokers: vec![broker], cluster_id, ..Default::default() };
        assert!(self.metadata_request.take().is_some(), "metadata is asked for");
        self.metadata.handle_response(response, self.now);
        self.pump();
    }

    fn reach_node(&mut self) {
        let node = NodeId(7);
        assert!(!self.metadata.node_ready(node, Kind::Main, &mut self.connections, self.now));
        self.pump();
    }
}

#[test]
fn an_address_that_hangs_is_not_waited_for_alone() {
    let mut world = World::new();
    world.pass(Duration::from_millis(200));
    assert_eq!(world.opened.len(), 1);
    world.pass(Duration::from_millis(100));
    let hosts: BTreeSet<_> = world.opened.iter().map(|(_, host)| host.as_str()).collect();
    assert_eq!(hosts, ["a", "b"].into(), "the other, beside it");
    world.answer(ErrorCode::None);
    assert!(world.metadata_request.is_some());
}

#[test]
fn a_broker_that_does_not_say_what_it_speaks_is_left_when_the_set_up_is_out_of_time() {
    let mut world = World::new();
    world.pump();
    let (conn, _) = world.opened[0].clone();
    world.pass(Duration::from_secs(4));
    world.connections.handle_connected(conn, world.now);
    world.pass(Duration::from_millis(5900));
    assert!(!world.closed.contains(&conn));
    world.pass(Duration::from_millis(200));
    assert!(world.closed.contains(&conn), "ten seconds after it was begun");
}

#[test]
fn a_broker_is_told_its_id_and_its_clusters_together_or_neither() {
    let mut world = World::new();
    world.pump();
    let request = world.answer(ErrorCode::None);
    assert_eq!((request.cluster_id, request.node_id), (None, -1), "an address that the user gave");
    let mut world = World::new();
    world.bootstrap();
    world.reach_node();
    let request = world.answer(ErrorCode::None);
    assert_eq!((request.cluster_id.as_deref(), request.node_id), (Some("c"), 7));
}

#[test]
fn a_broker_that_is_another_than_was_meant_is_left_and_the_first_addresses_are_asked_alone() {
    for error in [ErrorCode::RebootstrapRequired, ErrorCode::InvalidRequest] {
        let mut world = World::new();
        world.bootstrap();
        world.reach_node();
        let (conn, _) = world.opened.last().unwrap().clone();
        world.answer(error);
        assert!(world.closed.contains(&conn), "{error:?}");
        let status = world.connections.status(Target::Node(NodeId(7)), Kind::Main, world.now.mono);
        assert!(matches!(status, LinkStatus::Retrying { why: Disconnected::Misrouted, .. }), "{status:?}");
        world.pass(Duration::from_secs(2));
        assert!(world.metadata_request.is_some(), "{error:?}: asked of the address that is ready");
        let asked = world.metadata.any_ready(&mut world.connections, world.now);
        assert!(matches!(asked, Some(Target::Seed(_))), "{asked:?}");
        world.reach_node();
        let request = world.answer(error);
        assert_eq!((request.cluster_id.as_deref(), request.node_id), (Some("c"), 7), "it is told again");
    }
}

#[test]
fn when_no_known_broker_is_reached_the_first_addresses_are_asked_again() {
    let mut world = World::new();
    world.bootstrap();
    world.reach_node();
    while let Some((conn, _)) = world.opened.pop() {
        let why = Disconnected::Refused("gone".to_owned());
        _ = world.connections.handle_disconnected(conn, why, world.now);
    }
    world.metadata.request_update();
    world.pass(Duration::from_secs(2));
    let hosts: BTreeSet<_> = world.opened.iter().map(|(_, host)| host.as_str()).collect();
    assert!(hosts.contains("seven") && hosts.iter().any(|host| ["a", "b"].contains(host)), "{hosts:?}");
    let (conn, _) = world.opened.iter().rfind(|(_, host)| host != "seven").unwrap().clone();
    world.opened.push((conn, "one of the first".to_owned()));
    world.metadata_request = None;
    world.answer(ErrorCode::None);
    assert!(world.metadata_request.is_some(), "it tells where the brokers are by now");
}

#[test]
fn a_broker_that_refuses_to_say_what_it_speaks_is_asked_once_a_version_and_then_left() {
    let mut world = World::new();
    world.pump();
    let (conn, _) = world.opened[0].clone();
    world.answer(ErrorCode::UnsupportedVersion);
    assert_eq!(world.asked.last().map(|asked| asked.2), Some(0), "KIP-511");
    world.answer_again(ErrorCode::UnsupportedVersion);
    assert!(world.asked.is_empty() && world.closed.contains(&conn), "not for ever");
}

#[test]
fn a_connection_to_a_broker_that_is_none_any_more_is_closed_and_forgotten_once_nothing_waits_for_it() {
    let mut world = World::new();
    world.bootstrap();
    world.reach_node();
    let (conn, _) = world.opened.last().unwrap().clone();
    world.connections.forget_others(|_| false);
    world.pump();
    assert!(!world.closed.contains(&conn), "it is being set up");
    world.answer(ErrorCode::None);
    world.connections.forget_others(|node| node == NodeId(7));
    world.pump();
    assert!(!world.closed.contains(&conn), "it is one");
    world.connections.forget_others(|_| false);
    world.pump();
    assert!(world.closed.contains(&conn));
    let links: Vec<_> = world.connections.links.keys().map(|(target, _)| *target).collect();
    assert!(links.iter().all(|target| matches!(target, Target::Seed(_))), "{links:?}");
}

#[test]
fn while_one_broker_asks_for_a_pause_another_is_asked() {
    let mut world = World::new();
    world.bootstrap();
    let (seed, _) = world.opened.last().unwrap().clone();
    world.reach_node();
    world.answer(ErrorCode::None);
    _ = world.connections.handle_disconnected(seed, Disconnected::Closed, world.now);
    world.pass(Duration::from_secs(1));
    let link = world.connections.links.get_mut(&(Target::Node(NodeId(7)), Kind::Main)).unwrap();
    link.throttled_until = Some(world.now.mono + Duration::from_secs(60));
    let opened = world.opened.len();
    assert_eq!(world.metadata.any_ready(&mut world.connections, world.now), None);
    world.pump();
    assert!(world.opened.len() > opened, "{:?}", world.opened);
}

#[test]
fn while_a_connection_is_tried_again_why_it_failed_before_is_still_told() {
    let mut world = World::new();
    world.bootstrap();
    world.reach_node();
    let link = |world: &World| {
        let World { metadata, connections, now, .. } = world;
        Cause::of_link(NodeId(7), Kind::Main, metadata, connections, now.mono).map(|cause| cause.to_string())
    };
    let stage = SetupStage::Connecting;
    assert_eq!(link(&world), Some(format!("seven:7: still {stage}")), "the first time");
    let (conn, _) = world.opened.last().unwrap().clone();
    let why = Disconnected::Refused("nobody listens".to_owned());
    _ = world.connections.handle_disconnected(conn, why.clone(), world.now);
    assert_eq!(link(&world), Some(format!("seven:7: {why}")), "between two attempts");
    world.now = world.now.after(Duration::from_secs(1));
    world.reach_node();
    assert_eq!(link(&world), Some(format!("seven:7: still {stage}; before that: {why}")));
    world.answer(ErrorCode::None);
    assert_eq!(link(&world), None, "once it is made");
}
