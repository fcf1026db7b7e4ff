//! Where a connection leads, and what for.

use crate::{ids::NodeId, words::is_name};

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Heartbeats, commits, metadata, offsets: answered at once.
    Main,
    /// Fetches: held until there is data, and long.
    Fetch,
    /// JoinGroup and SyncGroup: held until the whole group has joined.
    Join,
    /// Produce.
    Produce,
    /// PushTelemetry: held until a plug-in of the broker's has returned.
    Telemetry,
}

/// The broker that a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// One of the addresses that the user gave.
    Seed(usize),
    /// A broker that metadata named.
    Node(NodeId),
}

impl Target {
    /// The broker's id, where it is known whom it leads to.
    pub(super) fn node(self) -> Option<i32> {
        match self {
            Self::Seed(_) => None,
            Self::Node(node) => Some(node.0),
        }
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Address {
    /// A host name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// As a broker tells it; `None` where nothing can be there.
    pub(crate) fn told(host: String, port: i32) -> Option<Self> {
        let port = u16::try_from(port).ok()?;
        is_name(&host).then_some(Self { host, port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An address of IPv6 has colons of its own.
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_bootstrap_servers_has_it() {
        for (host, expected) in [("a.b", "a.b:1"), ("10.0.0.1", "10.0.0.1:1"), ("::1", "[::1]:1")] {
            assert_eq!(Address { host: host.to_owned(), port: 1 }.to_string(), expected);
        }
    }
}
