//! The states of a member of a classic group, and which may follow which.

use std::time::Instant;

/// ```text
///   subscribe                 joined; leader              shared out
/// Out ──────> Joining ──────────────────────> Assigning ────────────> Syncing
///  ^            ^  ^ │ joined; follower                                ^ │
///  │            │  │ └─────────────────────────────────────────────────┘ │ assigned
///  │            │  └──── lost, or the group rebalances again ────────┐   v
///  │            └─────── given up ────── Revoking <── rebalance ──── Stable
///  │ answered, or nothing to answer                                    │
///  └──────────────────── Leaving <── close, unsubscribe, poll overdue ─┘
///
/// Failed: from anywhere, when the coordinator refuses for good.
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// Not a member.
    Out,
    /// JoinGroup is to be sent, or on its way.
    Joining,
    /// The leader gathers what it must know to share out.
    Assigning,
    /// SyncGroup is to be sent, or on its way.
    Syncing,
    /// A member with an assignment.
    Stable,
    /// The group rebalances, and partitions are being given up.
    Revoking {
        /// Since when.
        since: Instant,
        /// When they are lost instead.
        deadline: Instant,
    },
    /// LeaveGroup is to be sent, or on its way.
    Leaving,
    /// The coordinator refuses this member for good.
    Failed,
}

impl MemberState {
    /// Whether this state may follow `before`.
    pub fn may_follow(self, before: Self) -> bool {
        use MemberState::*;
        match self {
            Out => matches!(before, Leaving | Joining | Revoking { .. } | Failed),
            Joining => !matches!(before, Leaving | Failed),
            Assigning => before == Joining,
            Syncing => matches!(before, Joining | Assigning),
            Stable => before == Syncing,
            Revoking { .. } => matches!(before, Stable),
            Leaving => !matches!(before, Out | Failed),
            Failed => true,
        }
    }

    /// Whether heartbeats keep the member alive: from its generation's start to the end.
    pub fn beats(self) -> bool {
        matches!(self, Self::Assigning | Self::Syncing | Self::Stable | Self::Revoking { .. })
    }
}
