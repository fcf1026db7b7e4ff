//! Of which broker a partition's records are fetched (KIP-392): of its leader, or of a follower that the leader has named as
//! nearer to a consumer that tells its rack.

use std::time::{Duration, Instant};

use ottla_protocol::Now;

use super::Lanes;
use crate::ids::{NodeId, PartIdx};

/// How long the leader is fetched from, without a word of the rack, before it may name a follower again.
const ALONE: Duration = Duration::from_millis(500);

/// ```text
///                  the leader names a follower
/// Leader ─────────────────────────────────────────> Follower
///   ^  ^  metadata.max.age.ms, or another leader       │  │
///   │  └───────────────────────────────────────────────┘  │ no connection, no answer, or an error:
///   │                   a moment later                    v OFFSET_OUT_OF_RANGE among them
///   └──────────────────────────────────────────────── LeaderAlone
/// ```
///
/// A leader names a follower again for as long as it takes it for in sync, whether or not the consumer can reach it. So it is
/// not told the rack for a moment, and sends the records itself; what it says of the position, it says of its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// The leader, which may name a follower.
    #[default]
    Leader,
    /// The leader, which may not.
    LeaderAlone { until: Instant },
    /// This follower, as long as the leader is the one that has named it, and for `metadata.max.age.ms`.
    Follower { node: NodeId, leader_epoch: i32, until: Instant },
}

impl Source {
    /// The follower that is fetched from, where the partition is led in this epoch.
    pub(crate) fn follower(self, leader_epoch: i32, now: Now) -> Option<NodeId> {
        match self {
            Self::Follower { node, leader_epoch: named, until } => {
                (named == leader_epoch && until > now.mono).then_some(node)
            }
            _ => None,
        }
    }

    /// Whether the leader is not told the rack.
    pub(crate) fn is_alone(self, now: Now) -> bool {
        matches!(self, Self::LeaderAlone { until } if until > now.mono)
    }

    /// When it is over by itself.
    pub(crate) fn ends(self) -> Option<Instant> {
        match self {
            Self::Leader => None,
            Self::LeaderAlone { until } | Self::Follower { until, .. } => Some(until),
        }
    }

    fn is_of(self, broker: NodeId) -> bool {
        matches!(self, Self::Follower { node, .. } if node == broker)
    }
}

impl<F> Lanes<F> {
    /// The leader of this epoch names a follower.
    pub(crate) fn follow(&mut self, part: PartIdx, node: NodeId, leader_epoch: i32, until: Instant) {
        self.change(part, |lane| lane.source = Source::Follower { node, leader_epoch, until });
    }

    /// Whether the lane's records are fetched from this follower.
    pub(crate) fn follows(&self, part: PartIdx, node: NodeId) -> bool {
        self.get(part).is_some_and(|lane| lane.source.is_of(node))
    }

    /// The lane is fetched from its leader again, where it is from this follower.
    pub(crate) fn leave_follower(&mut self, part: PartIdx, node: NodeId, now: Now) {
        if self.follows(part, node) {
            self.change(part, |lane| lane.source = Source::LeaderAlone { until: now.mono + ALONE });
        }
    }
}
