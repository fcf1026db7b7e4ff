//! A listener with a thread for each connection, all of which end when it is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::ports;

/// The open connections of a server; to close them is how its threads are ended.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    streams: BTreeMap<u64, Vec<TcpStream>>,
}

impl Connections {
    /// Makes a stream part of a connection, so that it is closed with it.
    pub(crate) fn keep(&self, connection: u64, stream: &TcpStream) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.streams.entry(connection).or_default().push(stream.try_clone()?);
        Ok(())
    }

    /// Closes one connection.
    pub(crate) fn cut(&self, connection: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        close(state.streams.remove(&connection).unwrap_or_default());
    }

    /// Closes all connections; how many there were.
    pub(crate) fn cut_all(&self) -> usize {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = std::mem::take(&mut state.streams);
        let count = streams.len();
        close(streams.into_values().flatten());
        count
    }

    fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.cut_all();
    }

    fn is_closed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed
    }
}

fn close(streams: impl IntoIterator<Item = TcpStream>) {
    for stream in streams {
        // The peer may have closed it already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A running server.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) connections: Arc<Connections>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port; each connection is `handle`d on a thread, and closed when that returns.
    pub(crate) fn start<H>(handle: H) -> io::Result<Self>
    where
        H: Fn(u64, TcpStream, &Connections) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = ports::bound()?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Connections::default());
        let shared = Arc::clone(&connections);
        let acceptor = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                let (shared, handle) = (&shared, &handle);
                for (id, stream) in (0..).zip(listener.incoming().map_while(Result::ok)) {
                    if shared.is_closed() {
                        break;
                    }
                    scope.spawn(move || {
                        // A connection that breaks is what these servers are for.
                        let _ = shared.keep(id, &stream).and_then(|()| handle(id, stream, shared));
                        shared.cut(id);
                    });
                }
            });
        });
        Ok(Self { address, connections, acceptor: Some(acceptor) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.connections.close();
        // Wakes the acceptor, which then sees that it is closed.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}
