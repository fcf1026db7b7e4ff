//! The states of a member of a classic group, and which may follow which.

/// ```text
///   subscribe                 joined; leader              shared out
/// Out ──────> Joining ──────────────────────> Assigning ────────────> Syncing
///  ^           ^  ^  │ joined; follower                                 ^ │
///  │           │  │  └──────────────────────────────────────────────────┘ │ assigned
///  │           │  │                                                       v
///  │           │  ├── something was revoked, or rebalance ───────── Reconciling
///  │           │  │                                                       │ handed over
///  │           │  └── given up ──── Revoking <── rebalance, eager ──┐     v
///  │           └───────────────────────────── rebalance, cooperative ── Stable
///  │ answered, or nothing to answer
///  └──────────────────── Leaving <── close, unsubscribe, poll overdue, from anywhere
///
/// Joining: also from anywhere between Assigning and Stable, when the member is lost or the group rebalances again.
/// Failed: from anywhere, when the coordinator refuses for good.
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ClassicState {
    /// Not a member.
    Out,
    /// JoinGroup is to be sent, or on its way.
    Joining,
    /// The member leads, and waits for the metadata that it needs to assign the partitions.
    Assigning,
    /// SyncGroup is to be sent, or on its way.
    Syncing,
    /// The assignment is known: partitions that are not in it are given up, and new ones are taken over.
    Reconciling,
    /// A member with an assignment.
    Stable,
    /// The group rebalances: the member gives up partitions before it joins again.
    Revoking,
    /// LeaveGroup is to be sent, or on its way.
    Leaving,
    /// The coordinator refuses this member for good.
    Failed,
}

impl ClassicState {
    /// Every state.
    #[doc(hidden)]
    pub const ALL: &[Self] = &[
        Self::Out,
        Self::Joining,
        Self::Assigning,
        Self::Syncing,
        Self::Reconciling,
        Self::Stable,
        Self::Revoking,
        Self::Leaving,
        Self::Failed,
    ];

    /// Whether this state may follow `before`.
    #[doc(hidden)]
    pub fn may_follow(self, before: Self) -> bool {
        use ClassicState::*;
        match self {
            Out => matches!(before, Leaving),
            Joining => !matches!(before, Leaving | Failed),
            Assigning => before == Joining,
            Syncing => matches!(before, Joining | Assigning),
            Reconciling => before == Syncing,
            Stable => before == Reconciling,
            Revoking => before == Stable,
            Leaving => !matches!(before, Out | Leaving | Failed),
            Failed => !matches!(before, Out | Failed),
        }
    }

    /// Whether the member sends heartbeats: from the answer to JoinGroup until it joins again, leaves or fails.
    pub(super) fn beats(self) -> bool {
        matches!(self, Self::Assigning | Self::Syncing | Self::Reconciling | Self::Stable | Self::Revoking)
    }
}
