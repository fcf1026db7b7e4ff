//! The driver: keeps the contract of [`Machine`] with sockets, real time, and the users who share the machine.
//!
//! One thread of its own per client, with a current-thread runtime, so that a handler that blocks the user's runtime
//! costs no heartbeat and a runtime that shuts down does not prevent a clean leave; or a task of the ambient runtime.
//! It never awaits user code nor a full channel. It ends when the machine is closed, whoever still looks on.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use ottla_core::{ConnId, Disconnected, Done, Errand, Machine, Outbound, RequestId, SaslFailure, log};
use ottla_protocol::{Request, RequestHeader, records::Compressor};
use tokio::{
    runtime,
    sync::{mpsc, mpsc::error::TrySendError},
    task::{self, AbortHandle, JoinError, JoinSet},
};

use crate::{
    net::{
        connection::{self, Awaited, Encoded, Limits},
        frame_pool::Frame,
        opening::Opening,
        tokens::TokenSource,
    },
    shared::Shared,
};

/// Requests that may wait to be written on one connection. Machines keep far fewer in flight; a peer that lets so many
/// pile up reads nothing any more.
const SEND_QUEUE: usize = 256;

/// How often buffers of frames are tidied up, at the most. Tests do not wait for it.
const TIDY: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

/// How a driver runs.
#[derive(Debug, Clone)]
pub(crate) struct DriverConfig {
    /// The name of its thread.
    pub(crate) thread: String,
    /// A task of the runtime that is current when it is spawned, in place of a thread.
    pub(crate) ambient: bool,
    /// `client.id`.
    pub(crate) client_id: Option<String>,
    /// What bounds its connections.
    pub(crate) limits: Limits,
    /// How many bytes of buffers are kept.
    pub(crate) frame_pool: usize,
    /// Where tokens come from, if the client authenticates by them.
    pub(crate) tokens: Option<TokenSource>,
    /// How its connections are opened and secured.
    pub(crate) opening: Opening,
    /// The client's span, which says whose the machine's events are.
    pub(crate) span: tracing::Span,
    /// The same span; none for a client whose users call often, where no event comes of a call.
    pub(crate) span_of_calls: tracing::Span,
}

/// Called after each turn, without the lock and on the driver's thread.
pub(crate) type Tell<M> = Box<dyn FnMut(&Shared<M>) + Send>;

/// What goes on beside the turns, in a task of the driver's that ends with it.
pub(crate) type Beside<M> =
    Box<dyn FnOnce(Arc<Shared<M>>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Owns the driver. Dropped, it lets the driver run until its machine is closed: whoever drops it closes the machine.
#[derive(Debug)]
pub(crate) struct Driver<M> {
    shared: Arc<Shared<M>>,
    host: Host,
}

#[derive(Debug)]
enum Host {
    Thread(thread::JoinHandle<()>),
    Task(task::JoinHandle<()>),
}

impl<M: Machine<Frame = Arc<Frame>> + Send + 'static> Driver<M> {
    /// Starts a driver for `machine`. Fails where there is no thread, or no runtime, to be had.
    pub(crate) fn spawn(machine: M, config: DriverConfig) -> io::Result<Self> {
        Self::spawn_with(machine, config, None, None)
    }

    /// As [`spawn`](Self::spawn), with somebody to be told after each turn, and something that goes on beside them.
    pub(crate) fn spawn_with(
        machine: M,
        config: DriverConfig,
        tell: Option<Tell<M>>,
        beside: Option<Beside<M>>,
    ) -> io::Result<Self> {
        let (span, span_of_calls) = (config.span.clone(), config.span_of_calls.clone());
        let shared = Arc::new(Shared::new(machine, config.frame_pool, span, span_of_calls));
        let name = config.thread.clone();
        let ambient = config.ambient;
        let turns = Turns {
            end: EndOnDrop(shared.clone()),
            config,
            links: HashMap::new(),
            tasks: JoinSet::new(),
            errands: JoinSet::new(),
            compressor: Compressor::new(),
            tell,
            beside,
        };
        let host = if ambient {
            let runtime = runtime::Handle::try_current().map_err(io::Error::other)?;
            Host::Task(runtime.spawn(turns.run()))
        } else {
            let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            let run = move || {
                runtime.block_on(turns.run());
                // A name that is being resolved holds a thread of the system's for as long as it likes.
                runtime.shutdown_background();
            };
            Host::Thread(thread::Builder::new().name(name).spawn(run)?)
        };
        Ok(Self { shared, host })
    }

    /// The machine, and who waits for it.
    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }

    /// Waits until the driver has ended, which it does when its machine is closed.
    pub(crate) async fn join(self) {
        self.shared.ended().await;
        match self.host {
            // The thread has nothing left to do; a panic of its own has been told as `Ended`.
            Host::Thread(thread) => drop(thread.join()),
            Host::Task(task) => drop(task.await),
        }
    }
}

/// Tells everybody that the driver is no more, be it by a panic.
struct EndOnDrop<M: Machine>(Arc<Shared<M>>);

impl<M: Machine> Drop for EndOnDrop<M> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Turns<M: Machine> {
    config: DriverConfig,
    links: HashMap<ConnId, Link>,
    tasks: JoinSet<Disconnected>,
    errands: JoinSet<(ConnId, Done)>,
    compressor: Compressor,
    tell: Option<Tell<M>>,
    beside: Option<Beside<M>>,
    /// Last, so that it drops last.
    end: EndOnDrop<M>,
}

/// What a turn leaves.
struct Turn {
    now: Instant,
    /// When the next is due, though nothing comes.
    deadline: Option<Instant>,
    closed: bool,
}

/// What a driver was waiting for.
enum Came {
    /// The end of a connection.
    Ended(Result<(task::Id, Disconnected), JoinError>),
    /// The end of an errand.
    Done(Result<(ConnId, Done), JoinError>),
}

/// The driver's end of a connection.
struct Link {
    queue: mpsc::Sender<Encoded>,
    task: AbortHandle,
}

impl<M: Machine<Frame = Arc<Frame>> + Send + 'static> Turns<M> {
    async fn run(mut self) {
        let shared = self.end.0.clone();
        let mut effects = Vec::new();
        let mut besides = JoinSet::new();
        if let Some(beside) = self.beside.take() {
            besides.spawn(beside(shared.clone()));
        }
        let mut tidy_at = None;
        while !shared.is_poisoned() {
            let Turn { now, deadline, closed } = self.turn(&mut effects);
            for effect in effects.drain(..) {
                self.act(effect);
            }
            if let Some(tell) = &mut self.tell {
                tell(&shared);
            }
            if closed {
                break;
            }
            if tidy_at.is_none_or(|at| at <= now) {
                shared.frames().tidy_up();
                tidy_at = Some(now + TIDY);
            }
            self.wait(&shared, deadline).await;
        }
        self.tasks.shutdown().await;
        self.errands.shutdown().await;
        besides.shutdown().await;
    }

    /// Waits for something to do: a connection that ended, a call that left something, or the time.
    async fn wait(&mut self, shared: &Shared<M>, deadline: Option<Instant>) {
        let (mut stirred, mut due) = (pin!(shared.stirred()), pin!(sleep_until(deadline)));
        let came = poll_fn(|context| {
            if let Poll::Ready(Some(ended)) = self.tasks.poll_join_next_with_id(context) {
                return Poll::Ready(Some(Came::Ended(ended)));
            }
            if let Poll::Ready(Some(done)) = self.errands.poll_join_next(context) {
                return Poll::Ready(Some(Came::Done(done)));
            }
            let awaited = stirred.as_mut().poll(context).is_ready() || due.as_mut().poll(context).is_ready();
            if awaited { Poll::Ready(None) } else { Poll::Pending }
        });
        match came.await {
            Some(Came::Ended(ended)) => self.handle_ended(ended),
            // An errand that panicked: its connection is given up when its time is over.
            Some(Came::Done(Err(_))) | None => {}
            Some(Came::Done(Ok((conn, done)))) => {
                shared.feed(|machine, now| machine.handle_done(conn, done, now));
            }
        }
    }

    /// Under the lock: what time and memory bring in, and all that is to be done.
    fn turn(&self, effects: &mut Vec<Outbound>) -> Turn {
        self.end.0.turn(|machine, released, now| {
            if released > 0 {
                machine.handle_released(released);
            }
            if machine.poll_timeout().is_some_and(|deadline| deadline <= now.mono) {
                machine.handle_timeout(now);
            }
            effects.extend(std::iter::from_fn(|| machine.poll_send(now)));
            // What was stirred by now has been carried out.
            _ = machine.take_stir();
            Turn { now: now.mono, deadline: machine.poll_timeout(), closed: machine.is_closed() }
        })
    }

    fn act(&mut self, effect: Outbound) {
        match effect {
            Outbound::Connect { conn, host, port } => {
                let span = self.end.0.span();
                tracing::trace!(target: log::CONNECTION, parent: span, %conn, host, port, "connecting");
                let (queue, queued) = mpsc::channel(SEND_QUEUE);
                let shared = self.end.0.clone();
                let opening = self.config.opening.clone();
                let run = connection::run(shared, conn, (host, port), queued, self.config.limits, opening);
                self.links.insert(conn, Link { queue, task: self.tasks.spawn(run) });
            }
            Outbound::Send { conn, id, version, request } => self.send(conn, id, version, request),
            Outbound::Run { conn, errand } => self.run_errand(conn, errand),
            Outbound::Close { conn } => {
                tracing::trace!(target: log::CONNECTION, parent: self.end.0.span(), %conn, "closing");
                self.close(conn);
            }
        }
    }

    fn run_errand(&mut self, conn: ConnId, errand: Errand) {
        match errand {
            // Computing holds up the sockets; it has a thread of its own.
            Errand::Derive(derivation) => {
                self.errands.spawn_blocking(move || (conn, Done::Derived(derivation.run())));
            }
            Errand::FetchToken => {
                let (tokens, within) = (self.config.tokens.clone(), self.config.limits.setup_timeout);
                self.errands.spawn(async move {
                    let token = match tokens {
                        Some(tokens) => tokens.token(within).await,
                        None => Err(SaslFailure::NoToken("no provider is configured".to_owned())),
                    };
                    (conn, Done::Token(token))
                });
            }
            _ => debug_assert!(false, "an errand that nobody knows"),
        }
    }

    fn send(&mut self, conn: ConnId, id: RequestId, version: i16, mut request: Request) {
        // No link: the connection has ended, and the machine is told, or was.
        if !self.links.contains_key(&conn) {
            return;
        }
        self.compress(&mut request);
        let Some(link) = self.links.get(&conn) else { return };
        let key = request.key();
        let client_id = self.config.client_id.clone();
        let header = RequestHeader { key, version, correlation_id: id.0, client_id };
        let (awaited, is_answered) = (Awaited { id, key, version }, request.is_answered());
        let encoded = Encoded { awaited, is_answered, frame: header.frame(request) };
        if let Err(TrySendError::Full(_)) = link.queue.try_send(encoded) {
            self.close(conn);
            let why = Disconnected::Failed(format!("{SEND_QUEUE} requests wait to be written"));
            self.end.0.feed(|machine, now| machine.handle_disconnected(conn, why, now));
        }
    }

    /// With the machine not locked: meanwhile others send.
    fn compress(&mut self, request: &mut Request) {
        #[cfg(test)]
        self.end.0.compressing();
        match request {
            Request::Produce(produce) => produce.compress(&mut self.compressor),
            Request::PushTelemetry(push) => push.compress(&mut self.compressor),
            _ => {}
        }
    }

    /// At once: a machine that wants an answer closes after it.
    fn close(&mut self, conn: ConnId) {
        if let Some(link) = self.links.remove(&conn) {
            link.task.abort();
        }
    }

    fn handle_ended(&mut self, ended: Result<(task::Id, Disconnected), task::JoinError>) {
        let (task, why) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Disconnected::Failed(error.to_string())),
        };
        // One that was closed has no link any more, and the machine wants to hear nothing of it.
        let Some(conn) = self.links.iter().find(|(_, link)| link.task.id() == task).map(|(conn, _)| *conn)
        else {
            return;
        };
        self.links.remove(&conn);
        tracing::trace!(target: log::CONNECTION, parent: self.end.0.span(), %conn, %why, "disconnected");
        self.end.0.feed(|machine, now| machine.handle_disconnected(conn, why, now));
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
