//! Where a server listens.

use std::{io, net::SocketAddr};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On this loopback address; any other is refused. The first broker takes its port, the others the ports after it;
    /// with port 0 each takes a free one.
    Loopback(SocketAddr),
    /// On this address, whoever can reach it. Who may do what is for [`Config`](crate::Config) to say: by default everybody may
    /// do everything.
    Anywhere {
        /// The address, and the ports as above.
        address: SocketAddr,
        /// The host that clients are told to connect to.
        advertised_host: String,
    },
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Loopback(address)
    }
}

impl From<([u8; 4], u16)> for Listen {
    fn from(address: ([u8; 4], u16)) -> Self {
        Self::Loopback(address.into())
    }
}

impl Listen {
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Loopback(address) | Self::Anywhere { address, .. } => *address,
        }
    }

    pub(super) fn check(&self) -> io::Result<()> {
        match self {
            Self::Loopback(address) if !address.ip().is_loopback() => {
                let message =
                    format!("{address} is no loopback address, and `Listen::Anywhere` was not asked for");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
            _ => Ok(()),
        }
    }

    /// What clients are told of a broker that listens at `bound`.
    pub(super) fn advertised(&self, bound: SocketAddr) -> String {
        match self {
            Self::Loopback(_) => bound.ip().to_string(),
            Self::Anywhere { advertised_host, .. } => advertised_host.clone(),
        }
    }
}
