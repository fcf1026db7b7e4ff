//! Connections: one request at a time, the others wait in order, as Kafka's muted sockets have it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_protocol::RequestHeader;

use crate::security::Session;

/// One client's connection to one broker. Never used again after it closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

/// How many requests of one connection may wait behind the one that is served.
pub(crate) const MAX_QUEUED: usize = 64;

/// A request that is being served.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) conn: ConnId,
    pub(crate) node: i32,
    pub(crate) header: RequestHeader,
    /// Who asks, such as `User:alice`.
    pub(crate) principal: Arc<str>,
    /// Whether the connection is closed in place of the answer.
    pub(crate) dropped: bool,
    /// For how long the connection is muted after the answer.
    pub(crate) throttle: Option<Duration>,
}

/// What a connection is doing.
#[derive(Debug)]
pub(crate) enum Doing {
    /// Nothing: the next request may be served.
    Idle,
    /// It waits for this answer.
    Serving(Asked),
    /// A fault holds its request back until then.
    Delayed(Instant, Vec<u8>),
    /// Its client is throttled: nothing is served until then.
    Muted(Instant),
    /// Its client is refused: it is told this then, if anything, and the connection closes.
    Refused(Instant, Option<Vec<u8>>),
    /// A fault swallowed its request: nothing is served any more.
    Silenced,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) node: i32,
    pub(crate) queue: VecDeque<Vec<u8>>,
    pub(crate) doing: Doing,
    pub(crate) session: Session,
    pub(crate) principal: Arc<str>,
}

/// The open connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    opened: u64,
    open: BTreeMap<ConnId, Connection>,
    ready: VecDeque<ConnId>,
}

impl Connections {
    pub(crate) fn open(&mut self, node: i32, session: Session, principal: &str) -> ConnId {
        self.opened += 1;
        let conn = ConnId(self.opened);
        let (queue, doing) = (VecDeque::new(), Doing::Idle);
        self.open.insert(conn, Connection { node, queue, doing, session, principal: principal.into() });
        conn
    }

    pub(crate) fn close(&mut self, conn: ConnId) -> bool {
        self.open.remove(&conn).is_some()
    }

    /// The connections to a broker.
    pub(crate) fn of_node(&self, node: i32) -> Vec<ConnId> {
        self.open.iter().filter(|(_, connection)| connection.node == node).map(|(&conn, _)| conn).collect()
    }

    pub(crate) fn find(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.open.get_mut(&conn)
    }

    /// How many requests wait behind the one that is served.
    pub(crate) fn queued(&self, conn: ConnId) -> usize {
        self.open.get(&conn).map_or(0, |connection| connection.queue.len())
    }

    /// Takes a request in. Returns whether there was room.
    pub(crate) fn enqueue(&mut self, conn: ConnId, frame: Vec<u8>) -> bool {
        let Some(connection) = self.open.get_mut(&conn) else { return true };
        if connection.queue.len() >= MAX_QUEUED {
            return false;
        }
        connection.queue.push_back(frame);
        self.ready.push_back(conn);
        true
    }

    /// Ends what the connection does.
    pub(crate) fn finish(&mut self, conn: ConnId) -> Option<Doing> {
        let connection = self.open.get_mut(&conn)?;
        self.ready.push_back(conn);
        Some(std::mem::replace(&mut connection.doing, Doing::Idle))
    }

    /// The next request that can be served.
    pub(crate) fn next_request(&mut self) -> Option<(ConnId, i32, Vec<u8>)> {
        while let Some(conn) = self.ready.pop_front() {
            let Some(connection) = self.open.get_mut(&conn) else { continue };
            if let Doing::Idle = connection.doing
                && let Some(frame) = connection.queue.pop_front()
            {
                return Some((conn, connection.node, frame));
            }
        }
        None
    }

    /// Serves nothing on this connection until then.
    pub(crate) fn mute(&mut self, conn: ConnId, until: Instant) {
        if let Some(connection) = self.open.get_mut(&conn) {
            connection.doing = Doing::Muted(until);
        }
    }

    /// Serves the connections again whose time of silence has passed.
    pub(crate) fn unmute(&mut self, now: Instant) {
        for (&conn, connection) in &mut self.open {
            if matches!(connection.doing, Doing::Muted(until) if until <= now) {
                connection.doing = Doing::Idle;
                self.ready.push_back(conn);
            }
        }
    }

    /// The requests whose delay has passed.
    pub(crate) fn take_delayed(&mut self, now: Instant) -> Vec<(ConnId, i32, Vec<u8>)> {
        let mut due = Vec::new();
        for (&conn, connection) in &mut self.open {
            if let Doing::Delayed(until, frame) = &mut connection.doing
                && *until <= now
            {
                due.push((*until, conn, connection.node, std::mem::take(frame)));
                connection.doing = Doing::Idle;
            }
        }
        due.sort_by_key(|(until, ..)| *until);
        due.into_iter().map(|(_, conn, node, frame)| (conn, node, frame)).collect()
    }

    /// The connections whose clients are to be told that they are refused.
    pub(crate) fn take_refused(&mut self, now: Instant) -> Vec<(ConnId, Option<Vec<u8>>)> {
        let mut due = Vec::new();
        for (&conn, connection) in &mut self.open {
            if let Doing::Refused(until, frame) = &mut connection.doing
                && *until <= now
            {
                due.push((conn, frame.take()));
            }
        }
        due
    }

    /// When the first delay, or time of silence, passes.
    pub(crate) fn next_delayed(&self) -> Option<Instant> {
        let delays = self.open.values().filter_map(|connection| match &connection.doing {
            Doing::Delayed(until, _) | Doing::Muted(until) | Doing::Refused(until, _) => Some(*until),
            _ => None,
        });
        delays.min()
    }
}
