//! Serves a [`Cluster`] over TCP: one listener a broker, one task a connection, one task for the deadlines.
//!
//! All that decides is in the cluster, behind one lock that is held for one call. Clocks are read here and nowhere else.

mod connection;
mod listen;
#[cfg(feature = "tls")]
mod subject;
#[cfg(feature = "tls")]
mod tls;

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use ottla_protocol::{Now, Timestamp};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
    task::{JoinHandle, JoinSet},
};

pub use listen::Listen;
#[cfg(feature = "tls")]
pub use tls::{ClientAuth, Tls};

use crate::{Cluster, Config, ConnId, Output, connections::MAX_QUEUED};

/// Replies that may wait for a slow client: room for each request that the cluster holds, twice, so that half of it
/// can be waited for.
const REPLIES: usize = 2 * (MAX_QUEUED + 1);

/// A cluster that is being served. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    bootstrap: String,
    stop: watch::Sender<bool>,
    host: Host,
}

/// What runs a server's tasks.
#[derive(Debug)]
enum Host {
    Runtime(Option<JoinHandle<()>>),
    Thread(Option<std::thread::JoinHandle<()>>),
}

struct Shared {
    state: Mutex<State>,
    deadlines: Notify,
    #[cfg(feature = "tls")]
    tls: Option<Mutex<tokio_rustls::TlsAcceptor>>,
}

#[derive(Debug)]
struct State {
    cluster: Cluster,
    connections: HashMap<ConnId, Handle>,
}

/// The cluster's way to a connection's task.
#[derive(Debug)]
struct Handle {
    replies: mpsc::Sender<Vec<u8>>,
    /// Told when a reply went out, so that the next request may be read.
    progress: Arc<Notify>,
}

impl Server {
    /// Starts in the current runtime.
    ///
    /// # Errors
    ///
    /// An address that is not loopback's (see [`Listen`]), a port that is taken, or too few ports after the one given: each
    /// broker takes one. Certificates or a key that cannot be read, or do not belong together. A data directory that
    /// [`Cluster::open`] cannot open.
    pub async fn start(config: Config, listen: impl Into<Listen>) -> io::Result<Self> {
        let listen = listen.into();
        listen.check()?;
        #[cfg(feature = "tls")]
        let (config, tls) = {
            let mut config = config;
            let tls = config.tls.take().map(|tls| tls.acceptor()).transpose()?;
            (config, tls.map(Mutex::new))
        };
        let mut cluster = Cluster::open(config, now())?;
        let mut listeners = Vec::new();
        for (index, node) in cluster.nodes().collect::<Vec<_>>().into_iter().enumerate() {
            let mut address = listen.address();
            if address.port() != 0 {
                let port = u16::try_from(index).ok().and_then(|index| address.port().checked_add(index));
                address.set_port(port.ok_or_else(|| io::Error::other("not enough ports after the first"))?);
            }
            let listener = TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            cluster.set_address(node, listen.advertised(bound), bound.port());
            listeners.push((node, listener, bound));
        }
        let addresses: Vec<SocketAddr> = listeners.iter().map(|(.., bound)| *bound).collect();
        let bootstrap: Vec<String> =
            addresses.iter().map(|bound| format!("{}:{}", listen.advertised(*bound), bound.port())).collect();
        let state = Mutex::new(State { cluster, connections: HashMap::new() });
        let shared = Arc::new(Shared {
            state,
            deadlines: Notify::new(),
            #[cfg(feature = "tls")]
            tls,
        });
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(Arc::clone(&shared), listeners, stopped));
        let host = Host::Runtime(Some(serving));
        Ok(Self { shared, addresses, bootstrap: bootstrap.join(","), stop, host })
    }

    /// Starts on a thread of its own, for those who have no runtime or must not depend on theirs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and where the system gives no thread.
    pub fn start_on_thread(config: Config, listen: impl Into<Listen>) -> io::Result<Self> {
        let listen = listen.into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            runtime.block_on(async {
                let mut server = Self::start(config, listen).await;
                let serving = server.as_mut().ok().and_then(|server| match &mut server.host {
                    Host::Runtime(serving) => serving.take(),
                    Host::Thread(_) => None,
                });
                let _ = started.send(server);
                if let Some(serving) = serving {
                    let _ = serving.await;
                }
            });
        };
        let thread = std::thread::Builder::new().name("ottla-broker".to_owned()).spawn(run)?;
        let mut server = start.recv().map_err(|_| io::Error::other("the broker's thread ended"))??;
        server.host = Host::Thread(Some(thread));
        Ok(server)
    }

    /// Where the brokers listen, in the order of their node ids.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// The brokers as `bootstrap.servers` wants them.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Looks at the cluster, or scripts its faults. It serves nobody meanwhile.
    pub fn with_cluster<T>(&self, see: impl FnOnce(&mut Cluster) -> T) -> T {
        self.shared.with_cluster(see)
    }

    /// Has other certificates, for connections that come from now on; those that are open go on.
    ///
    /// # Errors
    ///
    /// Certificates or a key that cannot be read, or do not belong together, and a server that was started without TLS.
    /// Nothing is changed then.
    #[cfg(feature = "tls")]
    pub fn set_tls(&self, tls: &Tls) -> io::Result<()> {
        let serving =
            self.shared.tls.as_ref().ok_or_else(|| io::Error::other("the server was started without TLS"))?;
        *serving.lock().unwrap_or_else(PoisonError::into_inner) = tls.acceptor()?;
        Ok(())
    }

    /// The time as the brokers see it, for those who call the cluster's methods.
    pub fn now(&self) -> Now {
        now()
    }

    /// Stops: closes every connection and ends every task.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        match &mut self.host {
            Host::Runtime(serving) => {
                if let Some(serving) = serving.take() {
                    let _ = serving.await;
                }
            }
            Host::Thread(thread) => {
                if let Some(thread) = thread.take() {
                    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Host::Thread(thread) = &mut self.host
            && let Some(thread) = thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "tls")]
    fn acceptor(&self) -> Option<tokio_rustls::TlsAcceptor> {
        Some(self.tls.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Calls the cluster, then does what it wants done.
    fn with_cluster<T>(&self, call: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut state = self.lock();
        let deadline = state.cluster.poll_timeout();
        let result = call(&mut state.cluster);
        state.flush();
        if state.cluster.poll_timeout() != deadline {
            self.deadlines.notify_one();
        }
        result
    }
}

impl State {
    fn flush(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Reply { conn, frame } => {
                    let Some(handle) = self.connections.get(&conn) else { continue };
                    // There is room, as no request is read without; a client that breaks that rule loses its
                    // connection with the sender.
                    if handle.replies.try_send(frame).is_err() {
                        self.connections.remove(&conn);
                    } else {
                        handle.progress.notify_one();
                    }
                }
                Output::Close { conn } => drop(self.connections.remove(&conn)),
            }
        }
    }
}

fn now() -> Now {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { mono: Instant::now(), wall: Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)) }
}

/// Runs until `stopped`, and leaves no task behind.
async fn serve(
    shared: Arc<Shared>,
    listeners: Vec<(i32, TcpListener, SocketAddr)>,
    stopped: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    for (node, listener, _) in listeners {
        tasks.spawn(accept(Arc::clone(&shared), node, listener, stopped.clone()));
    }
    tasks.spawn(keep_deadlines(shared, stopped));
    while tasks.join_next().await.is_some() {}
}

/// Until the server is stopped, or gone.
async fn until(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn keep_deadlines(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        let deadline = shared.lock().cluster.poll_timeout();
        let passed = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = passed => shared.with_cluster(|cluster| cluster.handle_timeout(now())),
            () = shared.deadlines.notified() => {}
            () = until(&mut stopped) => return,
        }
    }
}

async fn accept(shared: Arc<Shared>, node: i32, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection::serve(Arc::clone(&shared), node, stream))),
                Err(error) => {
                    tracing::warn!(node, %error, "connection not accepted");
                    // Out of file descriptors, most likely: the next attempt would fail at once.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = until(&mut stopped) => break,
        }
    }
    connections.shutdown().await;
}
