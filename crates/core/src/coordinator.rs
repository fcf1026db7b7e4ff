//! Which broker coordinates the group: looked up when needed, forgotten when a broker says that it is another.

use std::time::{Duration, Instant};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Request, messages::FindCoordinatorRequest, messages::FindCoordinatorResponse,
};

use crate::{
    backoff::{Attempts, Backoff},
    connections::{Address, Connections, Kind, LinkStatus, Target},
    deadline::Earliest,
    ids::{NodeId, RequestId},
    metadata::Metadata,
    planted::{Planted, Plot},
};

/// What it takes to send a request to the coordinator.
pub(crate) struct ToCoordinator<'a> {
    pub(crate) coordinator: &'a mut Coordinator,
    pub(crate) metadata: &'a Metadata,
    pub(crate) connections: &'a mut Connections,
    pub(crate) now: Now,
}

/// A connection over which a request can go, and in which version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    target: Target,
    kind: Kind,
    pub(crate) version: i16,
}

impl ToCoordinator<'_> {
    /// `None` until there is a connection: what is needed for it is under way. An error where the coordinator does not
    /// speak the API, in no version up to `newest`.
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

    /// Sends. Without a time-out of its own a request has `request.timeout.ms`.
    pub(crate) fn send(
        &mut self,
        open: Open,
        request: impl Into<Request>,
        timeout: Option<Duration>,
    ) -> RequestId {
        self.connections.send(open.target, open.kind, open.version, request, timeout, self.now)
    }
}

/// The coordinator of one group.
#[derive(Debug)]
pub(crate) struct Coordinator {
    group: String,
    node: Option<NodeId>,
    /// Which broker it was before it was forgotten.
    last: Option<NodeId>,
    in_flight: Option<RequestId>,
    pub(crate) attempts: Attempts,
    /// `None` once it could be reached: one that is found and cannot be reached is as good as unknown.
    unknown_since: Option<Instant>,
    pub(crate) plot: Plot,
}

impl Coordinator {
    pub(crate) fn new(group: String, backoff: Backoff, seed: u64, now: Now) -> Self {
        Self {
            group,
            node: None,
            last: None,
            in_flight: None,
            attempts: Attempts::new(backoff, fastrand::Rng::with_seed(seed)),
            unknown_since: Some(now.mono),
            plot: Plot::default(),
        }
    }

    /// Which broker it is, where it is known.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Since when it has not been known.
    pub(crate) fn unknown_since(&self) -> Option<Instant> {
        self.unknown_since.filter(|_| self.node.is_none())
    }

    /// Which broker it was, where it is not known any more.
    pub(crate) fn last(&self) -> Option<NodeId> {
        self.last.filter(|_| self.node.is_none())
    }

    /// The coordinator where a connection of `kind` to it is ready; otherwise what is needed is under way. One that is
    /// gone from the cluster, or out of reach, is looked up again: another may have taken over.
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
        self.unknown_since = self.unknown_since.filter(|_| ready.is_none());
        ready
    }

    /// Looks it up where that is due.
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
        let request = match version {
            0..4 => FindCoordinatorRequest { key: self.group.clone(), ..Default::default() },
            _ => FindCoordinatorRequest { coordinator_keys: vec![self.group.clone()], ..Default::default() },
        };
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
        let (error, node, host, port) = match response.coordinators.into_iter().next() {
            Some(found) => (found.error_code, found.node_id, found.host, found.port),
            None => (response.error_code, response.node_id, response.host, response.port),
        };
        match (error, u16::try_from(port)) {
            (ErrorCode::None, Ok(port)) => {
                metadata.learn_node(NodeId(node), Address { host, port });
                self.node = Some(NodeId(node));
                self.attempts.reset();
                None
            }
            (error, _) => {
                self.attempts.failed(error, now);
                (!error.is_ok() && !error.is_retriable()).then_some(error)
            }
        }
    }

    pub(crate) fn handle_unanswered(&mut self, now: Now) {
        self.in_flight = None;
        self.attempts.failed(None, now);
    }

    /// An answer of a broker that was taken for it: one of the errors that say it is another is heeded.
    pub(crate) fn heard(&mut self, error: ErrorCode, now: Now) {
        if matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
            self.forget(error, now);
        }
    }

    /// It is another broker, as this answer says, or cannot be reached.
    pub(crate) fn forget(&mut self, error: impl Into<Option<ErrorCode>>, now: Now) {
        if self.plot.has(Planted::OldCoordinatorIsKept) {
            return;
        }
        if self.node.is_some() {
            self.last = self.node.take();
            self.unknown_since.get_or_insert(now.mono);
            self.attempts.failed(error, now);
        }
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        if self.node.is_none() && self.in_flight.is_none() {
            earliest.consider(self.attempts.next());
        }
    }
}
