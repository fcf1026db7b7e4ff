//! Connections that are closed because of who asks, or how much: after the delay of a failed authentication.

use std::time::Duration;

use ottla_protocol::Now;

use super::Credentials;
use crate::{Cluster, ConnId, Output, connections::Doing};

/// Kafka's `socket.request.max.bytes`.
const MAX_REQUEST: usize = 100 * 1024 * 1024;
/// Kafka's `sasl.server.max.receive.size`: the largest request before authentication.
const MAX_UNAUTHENTICATED: usize = 524_288;

impl Cluster {
    /// The largest request of this connection that is read now.
    pub(crate) fn request_limit(&mut self, conn: ConnId) -> usize {
        if self.is_limited(conn) { MAX_UNAUTHENTICATED } else { MAX_REQUEST }
    }

    /// A request is larger than that.
    pub(crate) fn handle_oversized(&mut self, conn: ConnId, now: Now) {
        if self.is_limited(conn) { self.refuse(conn, None, now) } else { self.close(conn) }
    }

    fn is_limited(&mut self, conn: ConnId) -> bool {
        self.connections.find(conn).is_some_and(|connection| connection.session.is_limited())
    }

    /// Closes a connection after the delay of a failed authentication, with this as the last that it is told.
    pub(crate) fn refuse(&mut self, conn: ConnId, frame: Option<Vec<u8>>, now: Now) {
        let delay = self.credentials.as_ref().map_or(Duration::ZERO, Credentials::delay);
        if let Some(connection) = self.connections.find(conn) {
            connection.doing = Doing::Refused(now.mono + delay, frame);
        }
    }

    /// Tells those whose delay has passed, and closes them.
    pub(crate) fn tell_refused(&mut self, now: Now) {
        for (conn, frame) in self.connections.take_refused(now.mono) {
            self.output.extend(frame.map(|frame| Output::Reply { conn, frame }));
            self.close(conn);
        }
    }
}
