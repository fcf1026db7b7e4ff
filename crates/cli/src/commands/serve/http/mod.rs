//! The connections, within bounds: how many there are, how large a request may be, and how long each side may keep the other
//! waiting.

mod body;
mod hosts;
mod io;

use std::{convert::Infallible, io::ErrorKind, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::io::{Clock, Socket};
pub(super) use self::{
    body::{Answer, Body, answer},
    hosts::Hosts,
};
use super::routes::{Ends, Routes};
use crate::signals::Stop;

/// How many connections there are at once. Further ones wait for their turn.
const CONNECTIONS: usize = 128;
/// How large the head of a request may be, and how many headers it may have.
const HEAD: usize = 8 * 1024;
const HEADERS: usize = 64;
/// How much is read ahead, and how much of an answer is written ahead.
const AHEAD: usize = 16 * 1024;
/// How long connections have to end when all stops.
const CLOSING: Duration = Duration::from_secs(2);

/// How long one side may keep the other waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until the head of a request has come, the silence before it included.
    pub(super) head: Duration,
    /// Until something of an answer is taken.
    pub(super) answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), answer: Duration::from_secs(20) }
    }
}

/// Takes connections until it is to stop, and ends when all of them have.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Arc<Routes>,
    patience: Patience,
    mut stop: Stop,
) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let seat = seats.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, seat))
        };
        tokio::select! {
            () = stop.requested() => break,
            Some(_) = connections.join_next() => {}
            accepted = next => match accepted {
                Some((Ok((stream, _)), seat)) => {
                    let (tls, routes, stop) = (tls.clone(), routes.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, tls, routes, patience, stop).await;
                        drop(seat);
                    });
                }
                // One that was gone before it was taken.
                Some((Err(error), _)) if error.kind() == ErrorKind::ConnectionAborted => {}
                // Files may have run out, which passes when a connection ends.
                Some((Err(_), _)) => sleep(Duration::from_millis(100)).await,
                None => break,
            },
        }
    }
    drop(listener);
    _ = timeout(CLOSING, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    routes: Arc<Routes>,
    patience: Patience,
    mut stop: Stop,
) {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let ends = Ends { local: canonical(local), peer: canonical(peer) };
    _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return requests(stream, ends, routes, patience, stop).await };
    // Who speaks no TLS, or stops in the middle of it, is not waited for longer than the head of a request.
    let secured = timeout(patience.head, tls.accept(stream));
    tokio::select! {
        secured = secured => if let Ok(Ok(stream)) = secured {
            requests(stream, ends, routes, patience, stop).await;
        },
        () = stop.requested() => {}
    }
}

async fn requests<S>(stream: S, ends: Ends, routes: Arc<Routes>, patience: Patience, mut stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.answer(request, ends).await) }
    });
    let mut protocol = http1::Builder::new();
    protocol
        .timer(Clock)
        .header_read_timeout(patience.head)
        .max_headers(HEADERS)
        .max_header_size(HEAD)
        .max_buf_size(AHEAD)
        .half_close(false);
    let mut connection = pin!(protocol.serve_connection(Socket::new(stream, patience.answer), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.requested() => {}
    }
    connection.as_mut().graceful_shutdown();
    _ = connection.await;
}

/// An IPv4 address as such, also where the socket is one of IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
