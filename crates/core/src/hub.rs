//! What every client's machine has: connections, the picture of the cluster, the requests that await an answer with what each
//! was sent for, and what its users and its driver have to be told.
//!
//! A machine sends by [`Hub::send`], or notes by [`Hub::expect`] what a part of it has sent, and hears of each request exactly
//! once: answered ([`Hub::handle_reply`]), written where nothing answers it ([`Hub::handle_written`]) or lost ([`Hub::handle_disconnected`], [`Hub::handle_timeout`]). Metadata is asked for
//! and taken in here; no machine sees it pass.

use std::{collections::BTreeMap, time::Instant};

use ottla_protocol::{Now, Request, Response};

use crate::{
    connections::{Address, ConnectionConfig, Connections, Kind, RefusedConnection, Target, Unanswered},
    deadline::Earliest,
    disconnected::Disconnected,
    ids::{ConnId, RequestId},
    machine::{Outbound, Reply},
    metadata::{Metadata, MetadataConfig, Wanted},
    sasl::Done,
};

/// `P` is what a request was sent for.
#[derive(Debug)]
pub(crate) struct Hub<P> {
    pub(crate) connections: Connections,
    pub(crate) metadata: Metadata,
    expected: BTreeMap<RequestId, P>,
    metadata_request: Option<RequestId>,
    /// Users who wait have to look again.
    pub(crate) wake: bool,
    /// A user's call left something for the driver to do.
    pub(crate) stir: bool,
    /// When everything that was due was last done.
    tried: Instant,
}

/// A request that will not be answered.
#[derive(Debug)]
pub(crate) struct Lost<P> {
    pub(crate) id: RequestId,
    pub(crate) purpose: P,
    pub(crate) why: Disconnected,
}

impl<P> Hub<P> {
    /// A client that knows the addresses that the user gave. `rng` decides jitter.
    pub(crate) fn new(
        connections: ConnectionConfig,
        metadata: MetadataConfig,
        seeds: Vec<Address>,
        rng: &mut fastrand::Rng,
        now: Now,
    ) -> Self {
        Self {
            connections: Connections::new(connections, rng.u64(..)),
            metadata: Metadata::new(metadata, seeds, rng.u64(..)),
            expected: BTreeMap::new(),
            metadata_request: None,
            wake: false,
            // A machine that has just been made asks for metadata.
            stir: true,
            tried: now.mono,
        }
    }

    /// A user's call changed something: waiting users have to look again, and the driver has to act.
    pub(crate) fn changed(&mut self) {
        (self.wake, self.stir) = (true, true);
    }

    /// Sends a request to a connection that is ready. It has `request.timeout.ms` to be answered.
    pub(crate) fn send(
        &mut self,
        (target, kind): (Target, Kind),
        version: i16,
        request: impl Into<Request>,
        purpose: P,
        now: Now,
    ) -> RequestId {
        let id = self.connections.send(target, kind, version, request, None, now);
        self.expect(id, purpose);
        id
    }

    /// A part of the machine has sent a request, for this purpose.
    pub(crate) fn expect(&mut self, id: RequestId, purpose: P) {
        self.expected.insert(id, purpose);
    }

    /// What the requests that are not answered yet were sent for.
    pub(crate) fn expected(&self) -> impl Iterator<Item = &P> {
        self.expected.values()
    }

    /// Asks for metadata where that is due.
    pub(crate) fn poll_metadata(&mut self, wanted: &Wanted, now: Now) {
        self.metadata.wants_others();
        self.poll_same_metadata(wanted, now);
    }

    /// Asks for metadata where that is due. The same is wanted as in the call before, unless [`Metadata::wants_others`] said
    /// otherwise.
    pub(crate) fn poll_same_metadata(&mut self, wanted: &Wanted, now: Now) {
        if let Some(id) = self.metadata.poll_send(wanted, &mut self.connections, now) {
            self.metadata_request = Some(id);
        }
    }

    pub(crate) fn handle_connected(&mut self, conn: ConnId, now: Now) {
        self.connections.handle_connected(conn, now);
    }

    pub(crate) fn handle_done(&mut self, conn: ConnId, done: Done, now: Now) {
        self.connections.handle_done(conn, done, now);
    }

    /// The next connection that was refused for good, and that somebody has to be told of. An address that the user gave is
    /// no matter as long as another broker may answer.
    pub(crate) fn take_refusal(&mut self, now: Now) -> Option<(Target, Kind, RefusedConnection)> {
        loop {
            let refusal = self.connections.take_refusal()?;
            if matches!(refusal.0, Target::Node(_)) || self.refusal(now).is_some() {
                return Some(refusal);
            }
        }
    }

    /// Users who wait have to look again where a connection was refused.
    pub(crate) fn wake_for_refusals(&mut self, now: Now) {
        while self.take_refusal(now).is_some() {
            self.wake = true;
        }
    }

    /// Why no broker whatever can be asked: each has refused for good.
    pub(crate) fn refusal(&self, now: Now) -> Option<RefusedConnection> {
        self.metadata.refusal(&self.connections, now)
    }

    pub(crate) fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now) -> Vec<Lost<P>> {
        let unanswered = self.connections.handle_disconnected(conn, why, now);
        self.lost(unanswered, now)
    }

    /// The answer, and what was asked for; `None` where nobody waits for it, or where it was metadata.
    pub(crate) fn handle_reply<F>(
        &mut self,
        conn: ConnId,
        reply: Reply<F>,
        now: Now,
    ) -> Option<(P, Reply<F>)> {
        let reply = self.connections.handle_reply(conn, reply, now)?;
        if self.metadata_request.take_if(|id| *id == reply.id).is_some() {
            if let Response::Metadata(response) = reply.response {
                self.metadata.handle_response(response, now);
                self.connections.forget_others(|node| self.metadata.nodes().contains_key(&node));
                self.wake = true;
            }
            return None;
        }
        Some((self.expected.remove(&reply.id)?, reply))
    }

    /// What a request was sent for that is not answered, and was written.
    pub(crate) fn handle_written(&mut self, conn: ConnId, id: RequestId, now: Now) -> Option<P> {
        self.connections.handle_written(conn, id, now);
        self.expected.remove(&id)
    }

    /// Ends what took too long.
    pub(crate) fn handle_timeout(&mut self, now: Now) -> Vec<Lost<P>> {
        let unanswered = self.connections.handle_timeout(now);
        self.lost(unanswered, now)
    }

    fn lost(&mut self, unanswered: Vec<Unanswered>, now: Now) -> Vec<Lost<P>> {
        let mut lost = Vec::new();
        for Unanswered { id, why } in unanswered {
            if self.metadata_request.take_if(|asked| *asked == id).is_some() {
                self.metadata.handle_lost(why, now);
            } else if let Some(purpose) = self.expected.remove(&id) {
                lost.push(Lost { id, purpose, why });
            }
        }
        lost
    }

    /// The next effect that is there already. Where there is none, the machine does what is due by now.
    pub(crate) fn poll_send(&mut self, now: Now) -> Option<Outbound> {
        self.tried = now.mono;
        self.connections.poll_send()
    }

    /// The deadlines of connections and metadata, to which the machine adds its own.
    pub(crate) fn deadlines(&self) -> Earliest {
        let mut earliest = Earliest::after(self.tried);
        self.connections.deadlines(&mut earliest);
        self.metadata.deadlines(&mut earliest);
        earliest
    }

    /// Closes every connection. Nothing more is awaited.
    pub(crate) fn close(&mut self) {
        self.connections.close_all();
        self.expected.clear();
        self.metadata_request = None;
        self.changed();
    }

    pub(crate) fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.wake)
    }

    pub(crate) fn take_stir(&mut self) -> bool {
        std::mem::take(&mut self.stir)
    }
}
