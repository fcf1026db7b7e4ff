//! One connection: requests in, replies out, until either side ends it.

use std::{io, pin::pin, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::{Notify, mpsc},
};

use super::{Handle, REPLIES, Shared, now};
use crate::{ConnId, connections::MAX_QUEUED, security::ANONYMOUS};

/// What is accepted, with the handshake of TLS where the server speaks it.
pub(super) async fn serve(shared: Arc<Shared>, node: i32, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(feature = "tls")]
    if let Some(acceptor) = shared.acceptor() {
        match super::tls::accept(acceptor, stream).await {
            Ok((stream, principal)) => {
                let (read, write) = tokio::io::split(stream);
                converse(shared, node, principal.as_deref().unwrap_or(ANONYMOUS), read, write).await;
            }
            Err(error) => tracing::debug!(node, %error, "TLS handshake failed"),
        }
        return;
    }
    let (read, write) = stream.into_split();
    converse(shared, node, ANONYMOUS, read, write).await;
}

/// One connection, until either side ends it.
async fn converse(
    shared: Arc<Shared>,
    node: i32,
    principal: &str,
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
) {
    let (replies, to_send) = mpsc::channel(REPLIES);
    let progress = Arc::new(Notify::new());
    let weak_replies = replies.downgrade();
    let conn = {
        let mut state = shared.lock();
        let conn = state.cluster.handle_connect_as(node, principal, now());
        state.connections.insert(conn, Handle { replies, progress: Arc::clone(&progress) });
        // A stopped broker closes at once.
        state.flush();
        conn
    };
    let _connected = Connected { shared: &shared, conn };
    let mut sending = pin!(send(write, to_send));
    let ended = tokio::select! {
        ended = receive(&shared, conn, read, weak_replies, &progress) => match ended {
            // The cluster closed it: what was answered before still goes out.
            Ok(()) => sending.await,
            failed => failed,
        },
        ended = &mut sending => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(node, ?conn, %error, "connection ended");
    }
}

/// Tells the cluster of the disconnect, also when the task is aborted.
struct Connected<'a> {
    shared: &'a Shared,
    conn: ConnId,
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.shared.lock().connections.remove(&self.conn);
        self.shared.with_cluster(|cluster| cluster.handle_disconnect(self.conn, now()));
    }
}

async fn receive(
    shared: &Shared,
    conn: ConnId,
    read: impl AsyncRead + Unpin,
    replies: mpsc::WeakSender<Vec<u8>>,
    progress: &Notify,
) -> io::Result<()> {
    let mut read = BufReader::with_capacity(64 * 1024, read);
    loop {
        let length = read.read_u32().await? as usize;
        if length > shared.lock().cluster.request_limit(conn) {
            tracing::debug!(?conn, length, "closed: a request that is too large");
            shared.with_cluster(|cluster| cluster.handle_oversized(conn, now()));
            // The cluster closes it, now or after a delay.
            return std::future::pending().await;
        }
        let frame = read_frame(&mut read, length).await?;
        // A client that does not read its replies, or sends more than is served, is not read from either.
        while shared.lock().cluster.queued(conn) >= MAX_QUEUED {
            progress.notified().await;
        }
        let Some(replies) = replies.upgrade() else { return Ok(()) };
        if replies.reserve_many(REPLIES / 2).await.is_err() {
            return Ok(());
        }
        shared.with_cluster(|cluster| cluster.handle_frame(conn, frame, now()));
    }
}

async fn send(mut write: impl AsyncWrite + Unpin, mut replies: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(frame) = replies.recv().await {
        write.write_all(&frame).await?;
        write.flush().await?;
    }
    write.shutdown().await
}

async fn read_frame(read: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Vec<u8>> {
    // Grown as bytes come in, for a length is only a claim.
    let mut frame = Vec::with_capacity(length.min(64 * 1024));
    read.take(length as u64).read_to_end(&mut frame).await?;
    if frame.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}
