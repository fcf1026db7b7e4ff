//! The rules of connections: which ones there are, when they are opened, closed and tried again, which versions
//! their brokers speak, and how long an answer may take. The driver only moves bytes.
//!
//! A broker answers one request at a time per connection, so requests that may be held, or whose answers are long,
//! have connections of their own: [`Kind`].
//!
//! ```text
//!          connect              handle_connected         versions known                    known there
//! Closed ─────────> Connecting ─────────────────> Asking ───────────────> Authenticating ─────────────> Ready
//!    ^                  │                            │    without SASL: Ready     │   <────────────        │
//!    │                  │                            │                            │   session ends         │
//!    └──────────────────┴──────────── disconnected, with back-off; idle, without ─┴────────────────────────┘
//! ```

mod ends;
mod link;
mod login;
#[cfg(test)]
mod login_tests;
mod outages;
mod refusals;
mod standing;
mod status;
#[cfg(test)]
mod tests;
mod timeouts;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Request, Response, codec::Versions, messages::ApiVersionsRequest,
};

pub use ends::{Address, Kind, Target};
use link::{InFlight, Introduction, Link, State};
pub use refusals::RefusedConnection;
pub use status::{ConnectionStats, LinkStatus, SetupStage};
pub(crate) use timeouts::HEAD_START;

use crate::{
    backoff::Backoff,
    disconnected::Disconnected,
    ids::{ConnId, RequestId},
    log,
    machine::{Outbound, Reply},
    sasl::SaslConfig,
};

/// Limits of connections. Java's defaults.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `reconnect.backoff.ms` and `reconnect.backoff.max.ms`.
    pub reconnect_backoff: Backoff,
    /// `connections.max.idle.ms`.
    pub max_idle: Duration,
    /// `socket.connection.setup.timeout.ms`: how long a connection may take until it can be used. In Java the time
    /// ends when the connection stands, and the wait for the broker's versions ends after `request.timeout.ms`.
    pub setup_timeout: Duration,
    /// How the client authenticates, if it does.
    pub sasl: Option<SaslConfig>,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            reconnect_backoff: Backoff { first: Duration::from_millis(50), most: Duration::from_secs(1) },
            max_idle: Duration::from_secs(9 * 60),
            setup_timeout: Duration::from_secs(10),
            sasl: None,
        }
    }
}

/// Every connection of a client.
#[derive(Debug)]
pub struct Connections {
    config: ConnectionConfig,
    links: BTreeMap<(Target, Kind), Link>,
    out: VecDeque<Outbound>,
    last_conn: u64,
    last_request: i32,
    /// How many connections came to be of use.
    connected: u64,
    /// A broker's connection broke, or came to nothing.
    broken: bool,
    /// A broker is told this together with its own id, and refuses a connection that was meant for another (KIP-1242).
    cluster_id: Option<String>,
    misrouted: bool,
    outages: Vec<outages::Outage>,
    /// A broker has answered a request of a user's.
    reached: bool,
    refusals: VecDeque<(Target, Kind, RefusedConnection)>,
    rng: fastrand::Rng,
}

/// A request that will not be answered.
#[derive(Debug)]
pub struct Unanswered {
    /// Which.
    pub id: RequestId,
    /// Why.
    pub why: Disconnected,
}

/// The API is not among those that the broker speaks, or no version of it is common to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported(pub ApiKey);

impl Connections {
    /// No connection yet. `seed` decides the jitter.
    pub fn new(config: ConnectionConfig, seed: u64) -> Self {
        Self {
            config,
            links: BTreeMap::new(),
            out: VecDeque::new(),
            last_conn: 0,
            last_request: 0,
            connected: 0,
            broken: false,
            cluster_id: None,
            misrouted: false,
            outages: Vec::new(),
            reached: false,
            refusals: VecDeque::new(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Whether a request can be sent there now. If not, the connection is opened as soon as it may be.
    pub fn ready(&mut self, target: Target, kind: Kind, address: &Address, now: Now) -> bool {
        let fresh = || Link::new(address.clone(), now.mono);
        let link = self.links.entry((target, kind)).or_insert_with(fresh);
        if link.address != *address {
            // The broker has moved. Requests in flight to its old address may still be answered, so only a closed
            // link moves.
            if let State::Closed { .. } = link.state {
                *link = fresh();
            }
        }
        match link.state {
            State::Ready { .. } => {
                let throttled = link.throttled_until.is_some_and(|until| until > now.mono);
                // What waits behind a request that is held may be read when the session is over, and then ends the connection.
                let behind = kind == Kind::Join && link.renew_at.is_some() && !link.in_flight.is_empty();
                let due = link.renew_at.is_some_and(|at| at <= now.mono);
                if due && !throttled && !behind {
                    self.renew((target, kind), now);
                }
                !throttled && !behind && !due
            }
            State::Closed { .. } if link.refused => false,
            State::Closed { retry_at } if retry_at.is_none_or(|at| at <= now.mono) => {
                self.last_conn += 1;
                let conn = ConnId(self.last_conn);
                let Address { host, port } = link.address.clone();
                link.state = State::Connecting { conn, since: now.mono };
                link.last_used = now.mono;
                self.out.push_back(Outbound::Connect { conn, host, port });
                false
            }
            _ => false,
        }
    }

    /// How many there are.
    pub fn stats(&self) -> ConnectionStats {
        let is_open = |link: &&Link| matches!(link.state, State::Ready { .. });
        ConnectionStats { open: self.links.values().filter(is_open).count() as u64, begun: self.last_conn }
    }

    /// How it stands with a connection.
    pub fn status(&self, target: Target, kind: Kind, now: Instant) -> LinkStatus {
        let Some(link) = self.links.get(&(target, kind)) else { return LinkStatus::Unopened };
        match (&link.state, link.throttled_until) {
            (State::Ready { .. }, Some(until)) if until > now => LinkStatus::Throttled { until },
            (State::Ready { .. }, _) => LinkStatus::Ready,
            (State::Connecting { since, .. }, _) => {
                LinkStatus::Connecting { since: *since, stage: SetupStage::Connecting }
            }
            (State::Asking { since, .. }, _) => {
                LinkStatus::Connecting { since: *since, stage: SetupStage::AskingVersions }
            }
            (State::Authenticating { since, login, .. }, _) => {
                let stage =
                    if login.awaits_token() { SetupStage::AwaitingToken } else { SetupStage::Authenticating };
                LinkStatus::Connecting { since: *since, stage }
            }
            (State::Closed { .. }, _)
                if link.refused
                    && let Some(why) = &link.last_failure =>
            {
                LinkStatus::Refused { why: why.clone() }
            }
            (State::Closed { retry_at: Some(at) }, _) => match &link.last_failure {
                Some(why) => LinkStatus::Retrying { at: *at, failures: link.failures, why: why.clone() },
                None => LinkStatus::Unopened,
            },
            (State::Closed { retry_at: None }, _) => LinkStatus::Unopened,
        }
    }

    /// Why a connection that is closed, and may be tried again, came to nothing the last time.
    pub(crate) fn last_failure(&self, target: Target, kind: Kind) -> Option<&Disconnected> {
        let link = self.links.get(&(target, kind))?;
        link.failure_so_far().filter(|_| matches!(link.state, State::Closed { .. }))
    }

    /// Why a connection that is not made yet came to nothing the last time, also while it is tried again.
    pub(crate) fn failure_so_far(&self, target: Target, kind: Kind) -> Option<&Disconnected> {
        self.links.get(&(target, kind))?.failure_so_far()
    }

    /// The newest version of an API that both sides speak there, at most `limit`.
    pub fn version(&self, target: Target, kind: Kind, key: ApiKey, limit: i16) -> Result<i16, Unsupported> {
        let theirs = self.introduction(target, kind).and_then(|broker| broker.versions_of(key));
        let ours = Versions { max: key.versions().max.min(limit), ..key.versions() };
        theirs.and_then(|theirs| ours.newest_common(theirs)).ok_or(Unsupported(key))
    }

    /// The finalized level of `transaction.version`, as the broker there tells it: 0 where it tells none, `None` where
    /// no connection is ready.
    pub(crate) fn transaction_version(&self, target: Target, kind: Kind) -> Option<i16> {
        self.introduction(target, kind).map(|broker| broker.transaction_version)
    }

    fn introduction(&self, target: Target, kind: Kind) -> Option<&Introduction> {
        match self.links.get(&(target, kind)) {
            Some(Link { state: State::Ready { broker, .. }, .. }) => Some(broker),
            _ => None,
        }
    }

    /// How long a request may stay without an answer, unless it says otherwise.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.config.request_timeout
    }

    /// Sends a request to a connection that is ready. The request is answered, or returned as [`Unanswered`],
    /// exactly once.
    pub fn send(
        &mut self,
        target: Target,
        kind: Kind,
        version: i16,
        request: impl Into<Request>,
        timeout: Option<Duration>,
        now: Now,
    ) -> RequestId {
        let request = request.into();
        let id = self.next_request();
        let deadline = now.mono + timeout.unwrap_or(self.config.request_timeout);
        if let Some(link) = self.links.get_mut(&(target, kind))
            && let State::Ready { conn, .. } = link.state
        {
            link.last_used = now.mono;
            link.in_flight.push_back(InFlight { id, key: request.key(), sent: now.mono, deadline });
            self.out.push_back(Outbound::Send { conn, id, version, request });
        } else {
            debug_assert!(false, "sent to a connection that is not ready");
        }
        id
    }

    fn next_request(&mut self) -> RequestId {
        self.last_request = self.last_request.wrapping_add(1) & i32::MAX;
        RequestId(self.last_request)
    }

    /// A connection stands. The broker is asked which versions it speaks.
    pub fn handle_connected(&mut self, conn: ConnId, now: Now) {
        if let Some((target, kind)) = self.key_of(conn) {
            self.ask_versions(target, kind, conn, ApiKey::ApiVersions.versions().max, now);
        }
    }

    fn ask_versions(&mut self, target: Target, kind: Kind, conn: ConnId, version: i16, now: Now) {
        let id = self.next_request();
        let Some(link) = self.links.get_mut(&(target, kind)) else { return };
        // A broker refuses the cluster's id without the node's, and the node's without the cluster's.
        let (cluster_id, node_id) = match (&self.cluster_id, target) {
            (Some(cluster), Target::Node(node)) => (Some(cluster.clone()), node.0),
            _ => (None, -1),
        };
        let request = ApiVersionsRequest {
            client_software_name: "ottla".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_id,
            node_id,
        };
        let since = link.begun().unwrap_or(now.mono);
        link.state = State::Asking { conn, since, version };
        let deadline = (since + self.config.setup_timeout).min(now.mono + self.config.request_timeout);
        link.in_flight.push_back(InFlight { id, key: ApiKey::ApiVersions, sent: now.mono, deadline });
        self.out.push_back(Outbound::Send { conn, id, version, request: request.into() });
    }

    /// A connection ended. Returns the requests that it leaves unanswered.
    pub fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now) -> Vec<Unanswered> {
        let Some(key) = self.key_of(conn) else { return Vec::new() };
        let Some(link) = self.links.get_mut(&key) else { return Vec::new() };
        let why = link.interpret(why);
        let was_ready = matches!(link.state, State::Ready { .. });
        link.failures += 1;
        // Nobody waits for a push, or would be told and try again.
        link.refused = link.is_refusal(&why, self.reached) && key.1 != Kind::Telemetry;
        let wait = self.config.reconnect_backoff.after(link.failures, &mut self.rng);
        link.state = State::Closed { retry_at: Some(now.mono + wait).filter(|_| !link.refused) };
        link.last_failure = Some(why.clone());
        (link.throttled_until, link.renew_at, link.answered) = (None, None, false);
        if link.refused {
            let (address, why) = (link.address.clone(), why.clone());
            self.refusals.push_back((key.0, key.1, RefusedConnection { address, why }));
        }
        self.broken |= matches!(key.0, Target::Node(_));
        let in_flight = std::mem::take(&mut link.in_flight);
        // A connection on which nothing was asked is no loss: brokers close idle connections.
        let closed = matches!(why, Disconnected::Closed | Disconnected::Failed(_));
        let idle = was_ready && closed && in_flight.is_empty();
        link.failed |= !idle;
        let address = link.address.clone();
        let (node, kind, refused) = (key.0.node(), key.1, link.refused);
        if refused {
            tracing::error!(target: log::CONNECTION, %address, node, ?kind, %why, "refused");
        } else if !idle && self.failed(&address, now.mono) {
            tracing::warn!(target: log::CONNECTION, %address, node, ?kind, %why, "disconnected");
        } else if was_ready {
            tracing::debug!(target: log::CONNECTION, %address, node, ?kind, %why, "disconnected");
        }
        in_flight
            .into_iter()
            .filter(InFlight::is_asked_for)
            .map(|request| Unanswered { id: request.id, why: why.clone() })
            .collect()
    }

    /// Whether a connection to a broker broke, or came to nothing, since this was last asked. That broker may be
    /// gone, and its partitions may have other leaders.
    pub fn take_broken(&mut self) -> bool {
        std::mem::take(&mut self.broken)
    }

    /// Takes over the id of the cluster that brokers are known to be of.
    pub(crate) fn learn_cluster(&mut self, id: Option<&str>) {
        if self.cluster_id.as_deref() != id {
            self.cluster_id = id.map(str::to_owned);
        }
    }

    /// Whether another broker than the one meant was reached, since this was last asked. If so, the metadata is not
    /// to be relied on.
    pub(crate) fn take_misrouted(&mut self) -> bool {
        std::mem::take(&mut self.misrouted)
    }

    /// A request was answered. Returns the reply, unless the request was the connection's own (the first ApiVersions), or
    /// nobody waits for it any more.
    pub fn handle_reply<F>(&mut self, conn: ConnId, reply: Reply<F>, now: Now) -> Option<Reply<F>> {
        let (target, kind) = self.key_of(conn)?;
        let link = self.links.get_mut(&(target, kind))?;
        let index = link.in_flight.iter().position(|request| request.id == reply.id)?;
        if let Some(request) = link.in_flight.remove(index) {
            link.answers.add(now.mono.saturating_duration_since(request.sent));
        }
        link.last_used = now.mono;
        if let Ok(throttle @ 1..) = u64::try_from(reply.response.throttle_time_ms()) {
            // The broker does not read from this connection until then (KIP-219). A later answer shortens no pause.
            let until = now.mono + Duration::from_millis(throttle);
            link.throttled_until = link.throttled_until.max(Some(until));
        }
        let response = match reply.response {
            Response::ApiVersions(response) if matches!(link.state, State::Asking { .. }) => response,
            response @ (Response::SaslHandshake(_) | Response::SaslAuthenticate(_)) => {
                self.handle_login(conn, response, now);
                return None;
            }
            _ => {
                (link.answered, self.reached) = (true, true);
                self.answered((target, kind), now.mono);
                return Some(reply);
            }
        };
        let State::Asking { version, .. } = link.state else { return None };
        // KIP-511: a broker that does not know the version answers in version 0, with the versions that it knows.
        let theirs = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions as i16);
        let older = theirs.map_or(0, |api| api.max_version);
        match response.error_code {
            ErrorCode::None => {
                let versions = |api: &ottla_protocol::messages::ApiVersionsApiVersion| {
                    (api.api_key, Versions::between(api.min_version, api.max_version))
                };
                let finalized = |it: &&ottla_protocol::messages::ApiVersionsFinalizedFeatureKey| {
                    it.name == "transaction.version"
                };
                let broker = Introduction {
                    versions: response.api_keys.iter().map(versions).collect(),
                    transaction_version: response
                        .finalized_features
                        .iter()
                        .find(finalized)
                        .map_or(0, |it| it.max_version_level),
                };
                self.introduce((target, kind), conn, broker, now);
            }
            ErrorCode::UnsupportedVersion if older < version => {
                self.ask_versions(target, kind, conn, older, now);
            }
            error => {
                let identified =
                    version >= 5 && self.cluster_id.is_some() && matches!(target, Target::Node(_));
                let misrouted =
                    identified && matches!(error, ErrorCode::RebootstrapRequired | ErrorCode::InvalidRequest);
                self.misrouted |= misrouted;
                let why = if misrouted { Disconnected::Misrouted } else { Disconnected::Refusing(error) };
                self.out.push_back(Outbound::Close { conn });
                let unanswered = self.handle_disconnected(conn, why, now);
                debug_assert!(unanswered.is_empty(), "nothing is sent before a connection is ready");
            }
        }
        None
    }

    /// A request that is not answered was written.
    pub fn handle_written(&mut self, conn: ConnId, id: RequestId, now: Now) {
        if let Some(link) = self.key_of(conn).and_then(|key| self.links.get_mut(&key)) {
            link.in_flight.retain(|request| request.id != id);
            link.last_used = now.mono;
        }
    }

    /// A connection can be used.
    fn established(&mut self, key: (Target, Kind), conn: ConnId, broker: Introduction, now: Now) {
        let Some(link) = self.links.get_mut(&key) else { return };
        if let Some(since) = link.begun() {
            let (address, node, kind) = (&link.address, key.0.node(), key.1);
            let took = now.mono.saturating_duration_since(since);
            let took = format_args!("{took:.1?}");
            tracing::debug!(target: log::CONNECTION, %address, node, ?kind, %took, "connected");
        }
        self.connected += u64::from(link.begun().is_some());
        link.failures = 0;
        link.state = State::Ready { conn, broker };
    }

    /// The next effect.
    pub fn poll_send(&mut self) -> Option<Outbound> {
        self.out.pop_front()
    }

    /// Closes every connection. No answer is awaited any more.
    pub fn close_all(&mut self) {
        for link in std::mem::take(&mut self.links).into_values() {
            if let Some(conn) = link.conn() {
                self.out.push_back(Outbound::Close { conn });
            }
        }
    }

    fn key_of(&self, wanted: ConnId) -> Option<(Target, Kind)> {
        self.links.iter().find(|(_, link)| link.conn() == Some(wanted)).map(|(key, _)| *key)
    }
}
