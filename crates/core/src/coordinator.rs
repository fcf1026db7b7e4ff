//! The coordinator of a group, or of a transactional id: it is looked up when needed, and forgotten when a broker says
//! that another one is it.

use std::time::{Duration, Instant};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Request, messages::FindCoordinatorRequest, messages::FindCoordinatorResponse,
};

use crate::{
    backoff::{Attempts, Backoff},
    connections::{Address, Connections, Kind, LinkStatus, Target},
    deadline::Earliest,
    ids::{NodeId, RequestId},
    log::{self, refused},
    metadata::Metadata,
    planted::{Planted, Plot},
    words,
};

/// All that it takes to send a request to the coordinator.
pub(crate) struct ToCoordinator<'a> {
    pub(crate) coordinator: &'a mut Coordinator,
    pub(crate) metadata: &'a Metadata,
    pub(crate) connections: &'a mut Connections,
    pub(crate) now: Now,
}

/// What a broker coordinates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coordinated {
    Group(String),
    TransactionalId(String),
}

impl Coordinated {
    /// Its name among those of its kind, and the kind on the wire.
    pub(crate) fn key(&self) -> (&str, i8) {
        match self {
            Self::Group(id) => (id, 0),
            Self::TransactionalId(id) => (id, 1),
        }
    }

    /// Asks which broker it is.
    pub(crate) fn look_up(&self, version: i16) -> FindCoordinatorRequest {
        let (key, key_type) = self.key();
        let key = key.to_owned();
        match version {
            ..BATCHED => FindCoordinatorRequest { key, key_type, ..Default::default() },
            _ => FindCoordinatorRequest { coordinator_keys: vec![key], key_type, ..Default::default() },
        }
    }
}

/// From this version of FindCoordinator on one request asks for several (KIP-699).
pub(crate) const BATCHED: i16 = 4;

/// A broker; or its error, and what is said about it.
pub(crate) type Found = Result<(NodeId, Address), (ErrorCode, Option<String>)>;

/// The broker that the answer names.
pub(crate) fn found(response: FindCoordinatorResponse) -> Found {
    let FindCoordinatorResponse { error_code, error_message, node_id, host, port, coordinators, .. } =
        response;
    match coordinators.into_iter().next() {
        Some(found) => told(found.error_code, found.error_message, found.node_id, found.host, found.port),
        None => told(error_code, error_message, node_id, host, port),
    }
}

/// The brokers that the answer names, by what was asked for.
pub(crate) fn found_each(response: FindCoordinatorResponse) -> impl Iterator<Item = (String, Found)> {
    response.coordinators.into_iter().map(|found| {
        (found.key, told(found.error_code, found.error_message, found.node_id, found.host, found.port))
    })
}

fn told(error: ErrorCode, message: Option<String>, node: i32, host: String, port: i32) -> Found {
    match error {
        ErrorCode::None => match Address::told(host, port) {
            Some(address) => Ok((NodeId(node), address)),
            None => Err((ErrorCode::CoordinatorNotAvailable, None)),
        },
        error => Err((error, message.map(words::heard))),
    }
}

/// A connection over which a request can go, and in which version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    target: Target,
    kind: Kind,
    pub(crate) version: i16,
}

impl ToCoordinator<'_> {
    /// A connection for a request of this API; `None` as long as one is still under way. Fails where the
    /// coordinator speaks no version of the API up to `newest`.
    pub(crate) fn open(&mut self, kind: Kind, key: ApiKey, newest: i16) -> Result<Option<Open>, ErrorCode> {
        let Some(node) = self.coordinator.ready(kind, self.metadata, self.connections, self.now) else {
            return Ok(None);
        };
        let target = Target::Node(node);
        match self.connections.version(target, kind, key, newest) {
            Ok(version) => Ok(Some(Open { target, kind, version })),
            Err(_) => Err(ErrorCode::UnsupportedVersion),
        }
    }

    /// Sends a request. Without a `timeout` it has `request.timeout.ms`.
    pub(crate) fn send(
        &mut self,
        open: Open,
        request: impl Into<Request>,
        timeout: Option<Duration>,
    ) -> RequestId {
        self.connections.send(open.target, open.kind, open.version, request, timeout, self.now)
    }
}

/// The coordinator of one group, or one transactional id.
#[derive(Debug)]
pub(crate) struct Coordinator {
    of: Coordinated,
    node: Option<NodeId>,
    /// The broker that was the coordinator before it was forgotten.
    last: Option<NodeId>,
    in_flight: Option<RequestId>,
    pub(crate) attempts: Attempts,
    /// Since when no coordinator could be reached; `None` once one could. A coordinator that is found and cannot be
    /// reached is as good as unknown.
    unknown_since: Option<Instant>,
    told: Told,
    pub(crate) plot: Plot,
}

/// The last event of the log about the coordinator.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// None: the coordinator has been looked for since then.
    Nothing(Instant),
    Found(NodeId),
    /// This broker was it until then. It is told as found again when it has answered; otherwise a broker that never answers
    /// would be found and lost without end.
    Lost(NodeId, Instant),
}

impl Coordinator {
    pub(crate) fn new(of: Coordinated, backoff: Backoff, seed: u64, now: Now) -> Self {
        Self {
            of,
            node: None,
            last: None,
            in_flight: None,
            attempts: Attempts::new(backoff, fastrand::Rng::with_seed(seed)),
            unknown_since: Some(now.mono),
            told: Told::Nothing(now.mono),
            plot: Plot::default(),
        }
    }

    /// The broker that is the coordinator, where it is known.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Since when the coordinator has not been known.
    pub(crate) fn unknown_since(&self) -> Option<Instant> {
        self.unknown_since.filter(|_| self.node.is_none())
    }

    /// The broker that was the coordinator, where none is known any more.
    pub(crate) fn last(&self) -> Option<NodeId> {
        self.last.filter(|_| self.node.is_none())
    }

    /// The coordinator, if a connection of `kind` to it is ready; otherwise one is under way. If the coordinator is
    /// gone from the cluster, or out of reach, it is looked up again, as another broker may have taken over.
    pub(crate) fn ready(
        &mut self,
        kind: Kind,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<NodeId> {
        let node = self.node?;
        let status = connections.status(Target::Node(node), kind, now.mono);
        if metadata.address(node).is_none() || matches!(status, LinkStatus::Retrying { .. }) {
            self.forget(None, now);
            return None;
        }
        let ready = metadata.node_ready(node, kind, connections, now).then_some(node);
        if ready.is_some() && !matches!(self.told, Told::Found(told) | Told::Lost(told, _) if told == node) {
            self.tell_found(node, metadata, now);
        }
        self.unknown_since = self.unknown_since.filter(|_| ready.is_none());
        ready
    }

    /// The coordinator answered a request.
    pub(crate) fn answered(&mut self, metadata: &Metadata, now: Now) {
        if let (Told::Lost(told, _), Some(node)) = (self.told, self.node)
            && told == node
        {
            self.tell_found(node, metadata, now);
        }
    }

    fn tell_found(&mut self, node: NodeId, metadata: &Metadata, now: Now) {
        let (Told::Nothing(since) | Told::Lost(_, since)) = self.told else { return };
        self.told = Told::Found(node);
        let (node, address) = (node.0, metadata.address(node).map(tracing::field::display));
        let after = now.mono.saturating_duration_since(since);
        let after = format_args!("{after:.1?}");
        match self.of {
            Coordinated::Group(_) => {
                tracing::info!(target: log::GROUP, node, address, %after, "coordinator found");
            }
            Coordinated::TransactionalId(_) => {
                tracing::info!(target: log::PRODUCER, node, address, %after, "coordinator found");
            }
        }
    }

    /// Looks the coordinator up where that is due.
    pub(crate) fn poll_send(
        &mut self,
        metadata: &mut Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let due = self.attempts.is_due(now);
        if self.node.is_some() || self.in_flight.is_some() || !due || !metadata.is_known() {
            return None;
        }
        let target = metadata.any_ready(connections, now)?;
        let version = connections.version(target, Kind::Main, ApiKey::FindCoordinator, i16::MAX).ok()?;
        let request = self.of.look_up(version);
        self.in_flight = Some(connections.send(target, Kind::Main, version, request, None, now));
        self.in_flight
    }

    /// Returns an error that trying again does not mend.
    pub(crate) fn handle_response(
        &mut self,
        response: FindCoordinatorResponse,
        metadata: &mut Metadata,
        now: Now,
    ) -> Option<ErrorCode> {
        self.in_flight = None;
        match found(response) {
            Ok((node, address)) => {
                metadata.learn_node(node, address);
                self.node = Some(node);
                self.attempts.reset();
                None
            }
            Err((error, _)) => {
                if self.attempts.is_news(error) {
                    match self.of {
                        Coordinated::Group(_) => refused!(log::GROUP, ApiKey::FindCoordinator, error),
                        Coordinated::TransactionalId(_) => {
                            refused!(log::PRODUCER, ApiKey::FindCoordinator, error)
                        }
                    }
                }
                self.attempts.failed(error, now);
                (!error.is_retriable()).then_some(error)
            }
        }
    }

    pub(crate) fn handle_unanswered(&mut self, now: Now) {
        self.in_flight = None;
        self.attempts.failed(None, now);
    }

    /// A broker that was taken for the coordinator answered with this error. If the error says that another broker
    /// is the coordinator, it is forgotten.
    pub(crate) fn heard(&mut self, error: ErrorCode, now: Now) {
        if matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
            self.forget(error, now);
        }
    }

    /// Forgets the coordinator: another broker is it, as this error says, or it cannot be reached.
    pub(crate) fn forget(&mut self, error: impl Into<Option<ErrorCode>>, now: Now) {
        if self.plot.has(Planted::OldCoordinatorIsKept) {
            return;
        }
        if self.node.is_some() {
            let error: Option<ErrorCode> = error.into();
            self.tell_lost(error, now);
            self.last = self.node.take();
            self.unknown_since.get_or_insert(now.mono);
            self.attempts.failed(error, now);
        }
    }

    fn tell_lost(&mut self, error: Option<ErrorCode>, now: Now) {
        let Told::Found(node) = self.told else { return };
        self.told = Told::Lost(node, now.mono);
        let why: &dyn std::fmt::Display = match &error {
            Some(error) => error,
            None => &"no answer",
        };
        match self.of {
            Coordinated::Group(_) => {
                tracing::warn!(target: log::GROUP, node = node.0, %why, "coordinator lost");
            }
            Coordinated::TransactionalId(_) => {
                tracing::warn!(target: log::PRODUCER, node = node.0, %why, "coordinator lost");
            }
        }
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        if self.node.is_none() && self.in_flight.is_none() {
            earliest.consider(self.attempts.next());
        }
    }
}
