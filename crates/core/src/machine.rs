//! The contract between a state machine and what drives it: the world comes in by `handle_*`, effects go out by
//! `poll_*`, and there is one deadline. The driver of the client and the simulation both keep it:
//!
//! 1. feed what arrived, or call `handle_timeout` when the deadline has passed;
//! 2. drain `poll_send`;
//! 3. wait until `poll_timeout`, until something arrives, or until a user's call has stirred the machine.
//!
//! Users call the machine's other methods between turns. Such a call needs a turn only where [`Machine::take_stir`] says
//! so; users who wait look again where [`Machine::take_wake`] says so.

use std::{task::Waker, time::Instant};

use ottla_protocol::{DecodeError, Now, Request, Response};

use crate::{
    connections::{Address, RefusedConnection, SetupStage},
    disconnected::Disconnected,
    fetch::Spans,
    ids::{ConnId, RequestId},
    sasl::{Done, Errand},
};

/// A client's state, moved by what arrives and by the time.
pub trait Machine {
    /// The value that keeps the bytes of a response alive. Its drop tells the driver that they are free again.
    type Frame;
    /// A connection that was asked for stands.
    fn handle_connected(&mut self, conn: ConnId, now: Now);
    /// A connection ended, or could not be made. Not called for one that the machine closed.
    fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now);
    /// A request was answered.
    fn handle_reply(&mut self, conn: ConnId, reply: Reply<Self::Frame>, now: Now);
    /// A request that is [not answered](Request::is_answered) was written as a whole.
    fn handle_written(&mut self, _conn: ConnId, _id: RequestId, _now: Now) {}
    /// An errand is done.
    fn handle_done(&mut self, conn: ConnId, done: Done, now: Now);
    /// The deadline of [`Machine::poll_timeout`] has passed.
    fn handle_timeout(&mut self, now: Now);
    /// The next effect on the world; `None` where there is nothing to do.
    fn poll_send(&mut self, now: Now) -> Option<Outbound>;
    /// When to call [`Machine::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// So many bytes of frames were dropped.
    fn handle_released(&mut self, _bytes: usize) {}
    /// Whether something came about, since the last call, that a user may be waiting for.
    fn take_wake(&mut self) -> bool;
    /// Those who awaited one of the things that [`Machine::take_wake`] spoke of, to be woken when the machine is not locked any
    /// more.
    fn take_wakers(&mut self) -> Vec<Waker> {
        Vec::new()
    }
    /// Nothing will move the machine any more: [`Machine::take_wakers`] tells all who await anything.
    fn handle_driver_gone(&mut self) {}
    /// Whether a user's call, since the last time this was asked, left something for the driver to do: something to be
    /// sent, or an earlier deadline. A call that forgets to say so is acted upon only with the next turn, which may be
    /// minutes away.
    fn take_stir(&mut self) -> bool;
    /// Why no broker can be asked anything: each that is known has refused the connection for good.
    fn refusal(&self, now: Now) -> Option<RefusedConnection>;
    /// An address that the user gave and that is being connected to, and how far that has come.
    fn first_contact(&self, now: Now) -> Option<(Address, SetupStage)>;
    /// Whether everything is done and the driver may end.
    fn is_closed(&self) -> bool;
}

/// An effect on the world.
#[derive(Debug)]
pub enum Outbound {
    /// Open a connection, trying every address that the name resolves to.
    Connect {
        /// The connection's name from here on.
        conn: ConnId,
        /// A host name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// Send a request, and tell [`Machine::handle_written`] if it is one that is not answered. The batches of a Produce request
    /// are [to be compressed](ottla_protocol::messages::ProduceRequest::compress) before, with the machine not locked, and so are the
    /// metrics of a [PushTelemetry](ottla_protocol::messages::PushTelemetryRequest::compress).
    Send {
        /// The connection to send it on.
        conn: ConnId,
        /// Its correlation id.
        id: RequestId,
        /// The version in which to send it.
        version: i16,
        /// The request.
        request: Request,
    },
    /// Do something that takes long, and tell [`Machine::handle_done`].
    Run {
        /// The connection that needs it.
        conn: ConnId,
        /// What.
        errand: Errand,
    },
    /// Close a connection. Nothing more is heard of it.
    Close {
        /// The connection.
        conn: ConnId,
    },
}

/// An answer.
#[derive(Debug)]
pub struct Reply<F> {
    /// The request that it answers.
    pub id: RequestId,
    /// The message.
    pub response: Response,
    /// For Fetch: its bytes, and where the batches end.
    pub fetched: Option<Fetched<F>>,
}

/// The bytes of a Fetch response.
#[derive(Debug)]
pub struct Fetched<F> {
    /// The frame that keeps them alive.
    pub frame: F,
    /// How many bytes there are.
    pub size: usize,
    /// For each partition, in the response's order: its whole batches.
    pub spans: Vec<Result<Spans, DecodeError>>,
}
