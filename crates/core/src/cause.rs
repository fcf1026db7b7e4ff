//! The obstacle that was in the way of an operation when it was last tried. A time-out tells it.

use std::fmt;

use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    connections::{Address, Connections, Kind, LinkStatus, SetupStage, Target},
    disconnected::Disconnected,
    ids::{NodeId, TopicPartition},
    metadata::Metadata,
};

/// The last obstacle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Cause {
    /// A broker answered with an error.
    Broker {
        /// Which broker.
        address: Option<Address>,
        /// Its answer.
        error: ErrorCode,
    },
    /// A connection could not be made, or ended.
    Connection {
        /// The address to connect to.
        address: Address,
        /// Why.
        why: Disconnected,
    },
    /// A connection is being set up and does not come about.
    Connecting {
        /// The address to connect to.
        address: Address,
        /// How far it has come.
        stage: SetupStage,
        /// Why the attempt before it came to nothing, where there was one.
        before: Option<Disconnected>,
    },
    /// The partition has no leader.
    NoLeader(TopicPartition),
    /// The broker does not speak an API, or no version of it that the client speaks.
    Unsupported(ApiKey),
}

impl Cause {
    /// Why nothing can be sent to `node`, where something is known about it.
    pub(crate) fn of_link(
        node: NodeId,
        kind: Kind,
        metadata: &Metadata,
        connections: &Connections,
        now: std::time::Instant,
    ) -> Option<Self> {
        let address = metadata.address(node)?.clone();
        match connections.status(Target::Node(node), kind, now) {
            LinkStatus::Retrying { why, .. } | LinkStatus::Refused { why } => {
                Some(Self::Connection { address, why })
            }
            LinkStatus::Connecting { stage, .. } => {
                let before = connections.failure_so_far(Target::Node(node), kind).cloned();
                Some(Self::Connecting { address, stage, before })
            }
            _ => None,
        }
    }

    /// Why no broker has told metadata, where one has failed.
    pub(crate) fn of_metadata(metadata: &Metadata) -> Option<Self> {
        let (address, why) = metadata.last_failure()?.clone();
        Some(Self::Connection { address, why })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker { address: Some(address), error } => write!(f, "{address} answered {error}"),
            Self::Broker { address: None, error } => write!(f, "the broker answered {error}"),
            Self::Connection { address, why } => write!(f, "{address}: {why}"),
            Self::Connecting { address, stage, before } => {
                write!(f, "{address}: still {stage}")?;
                before.as_ref().map_or(Ok(()), |why| write!(f, "; before that: {why}"))
            }
            Self::NoLeader(at) => write!(f, "{at} has no leader"),
            Self::Unsupported(key) => write!(f, "the broker does not support {key:?}"),
        }
    }
}
