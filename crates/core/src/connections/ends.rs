//! Where a connection leads, and what for.

use crate::ids::NodeId;

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

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
