//! How a connection comes about: by TCP to the broker's own address, or as the user's program opens it; then by TLS.

use std::{fmt, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use ottla_core::Disconnected;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};

/// How connections are opened and secured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    /// The user's own way, if there is one.
    pub(crate) connector: Option<Connector>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<super::tls::Tls>>,
}

impl Opening {
    /// Whether TLS is spoken.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self, reason = "as with TLS"))]
    pub(super) fn is_secured(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// What bytes go through.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

type Opened = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + Send>>;

/// Opens connections as the user's program does.
#[derive(Clone)]
pub(crate) struct Connector(Arc<dyn Fn(String, u16) -> Opened + Send + Sync>);

impl Connector {
    pub(crate) fn new<C, R, S>(connect: C) -> Self
    where
        C: Fn(String, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self(Arc::new(move |host, port| {
            let opening = connect(host, port);
            Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn Transport>) })
        }))
    }

    pub(super) async fn open(&self, host: &str, port: u16) -> Result<Box<dyn Transport>, Disconnected> {
        let opened = (self.0)(host.to_owned(), port).await;
        opened.map_err(|error| Disconnected::Refused(format!("{host}:{port}: {error}")))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// Connects by TCP, to each address that the name resolves to.
pub(super) async fn connect(
    host: &str,
    port: u16,
    setup_timeout: Duration,
) -> Result<TcpStream, Disconnected> {
    let unresolved = |why: &dyn std::fmt::Display| Disconnected::Unresolved(format!("{host}: {why}"));
    let addresses: Vec<_> = lookup_host((host, port)).await.map_err(|error| unresolved(&error))?.collect();
    if addresses.is_empty() {
        return Err(unresolved(&"no address"));
    }
    // One address that swallows packets must not use up the time of the others.
    let each = setup_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut failures = Vec::new();
    for address in addresses {
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            // A loopback port that nobody listens on may be connected to itself.
            Ok(Ok(stream)) if stream.local_addr().ok() == Some(address) => {
                failures.push(format!("{address}: nobody listens"));
            }
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|error| Disconnected::Failed(error.to_string()))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_) => failures.push(format!("{address}: no answer in {each:?}")),
        }
    }
    Err(Disconnected::Refused(failures.join("; ")))
}
