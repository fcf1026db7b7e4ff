//! Authentication of connections: each when it is set up and, where a session ends, again while it lives (KIP-368).
//!
//! A connection authenticates anew when something is to be sent after the time for it, and nothing is in flight: a broker
//! answers in order, so whatever waited would wait behind a fetch that is held. A session that has ended meanwhile is no
//! loss, as a broker takes SaslHandshake as the first request after the end.

use std::time::Duration;

use ottla_protocol::{ApiKey, ErrorCode, Now, Request, Response};

use super::{Connections, InFlight, Kind, State, Target, link::Introduction};
use crate::{
    disconnected::{Disconnected, SaslFailure},
    ids::ConnId,
    log,
    machine::Outbound,
    sasl::{Done, Login, Step},
};

/// A broker refuses to be authenticated to twice within this time.
const SOONEST: Duration = Duration::from_millis(1100);

impl Connections {
    /// The broker has told what it speaks: now it is told who the client is, where that is configured.
    pub(super) fn introduce(&mut self, key: (Target, Kind), conn: ConnId, broker: Introduction, now: Now) {
        let Some(sasl) = &self.config.sasl else { return self.established(key, conn, broker, now) };
        let (login, request) = Login::begin(sasl);
        let Some(link) = self.links.get_mut(&key) else { return };
        let since = link.begun().unwrap_or(now.mono);
        link.state = State::Authenticating { conn, since, broker, login, renewing: false };
        self.say(key, conn, request, now);
    }

    /// Authenticates anew, as it is time for that, once nothing is in flight.
    pub(super) fn renew(&mut self, key: (Target, Kind), now: Now) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let State::Ready { conn, broker } = &mut link.state else { return };
        let Some(sasl) = self.config.sasl.as_ref().filter(|_| link.in_flight.is_empty()) else { return };
        let (conn, broker) = (*conn, std::mem::take(broker));
        let (login, request) = Login::begin(sasl);
        link.state = State::Authenticating { conn, since: now.mono, broker, login, renewing: true };
        self.say(key, conn, request, now);
    }

    /// The driver is back from an errand.
    pub fn handle_done(&mut self, conn: ConnId, done: Done, now: Now) {
        self.step(conn, now, |login| login.handle_done(done));
    }

    /// The broker answered what the mechanism said.
    pub(super) fn handle_login(&mut self, conn: ConnId, response: Response, now: Now) {
        self.step(conn, now, |login| login.handle_response(response));
    }

    fn step(&mut self, conn: ConnId, now: Now, step: impl FnOnce(&mut Login) -> Step) {
        let Some(key) = self.key_of(conn) else { return };
        let Some(link) = self.links.get_mut(&key) else { return };
        let State::Authenticating { login, broker, renewing, .. } = &mut link.state else { return };
        let renewing = *renewing;
        match step(login) {
            Step::Send(request) => self.say(key, conn, request, now),
            Step::Run(errand) => self.out.push_back(Outbound::Run { conn, errand }),
            Step::Over(lifetime) => {
                let broker = std::mem::take(broker);
                link.session_began(lifetime, now.mono, &mut self.rng);
                let (address, node, kind) = (&link.address, key.0.node(), key.1);
                tracing::debug!(target: log::CONNECTION, %address, node, ?kind, renewing, "authenticated");
                self.established(key, conn, broker, now);
            }
            // Somebody else has just done it, or the clock is ahead.
            Step::Failed(SaslFailure::NotAskedFor) if renewing => {
                let broker = std::mem::take(broker);
                link.renew_at = Some(now.mono + SOONEST);
                link.state = State::Ready { conn, broker };
            }
            Step::Failed(failure) => {
                self.out.push_back(Outbound::Close { conn });
                let unanswered = self.handle_disconnected(conn, Disconnected::Sasl(failure), now);
                debug_assert!(unanswered.is_empty(), "nothing is in flight while a connection authenticates");
            }
        }
    }

    /// Sends what the connection itself has to say.
    fn say(&mut self, key: (Target, Kind), conn: ConnId, request: Request, now: Now) {
        let id = self.next_request();
        let Some(link) = self.links.get_mut(&key) else { return };
        let asked = request.key();
        let time = now.mono + self.config.request_timeout;
        let deadline = link.begun().map_or(time, |since| time.min(since + self.config.setup_timeout));
        // Every broker that speaks Kafka's SASL at all speaks these: 1 frames what the mechanism says, and tells the session's end.
        let version = match &link.state {
            State::Authenticating { broker, .. } => broker
                .versions_of(asked)
                .and_then(|theirs| asked.versions().newest_common(theirs))
                .filter(|version| *version > 0 || asked != ApiKey::SaslHandshake),
            _ => None,
        };
        let Some(version) = version else {
            self.out.push_back(Outbound::Close { conn });
            let why = Disconnected::Refusing(ErrorCode::UnsupportedVersion);
            self.handle_disconnected(conn, why, now);
            return;
        };
        link.in_flight.push_back(InFlight { id, key: asked, sent: now.mono, deadline });
        self.out.push_back(Outbound::Send { conn, id, version, request });
    }
}
