//! The states of a member under the consumer protocol (KIP-848), and which may follow which.

/// ```text
///    subscribe             answered                  handed over                  told
/// Out ──────> Joining ───────────────> Reconciling ─────────────> Acknowledging ──────> Stable
///  ^            ^                       ^  ^  ^                        │                  │
///  │            │ lost is told          │  │  └─ not all of it known ──┘                  │
///  │            │                       │  └────────── another assignment ────────────────┘
///  │          Fenced <── the coordinator does not know this member, or not in this epoch
///  │ answered, or nothing to answer
///  └──────────────────── Leaving <── close, unsubscribe, poll overdue, from anywhere
///
/// Fenced: from Joining, Reconciling, Acknowledging and Stable.
/// Failed: from anywhere, when the coordinator refuses for good.
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ConsumerState {
    /// Not a member.
    Out,
    /// A heartbeat of epoch 0 is to be sent, or on its way.
    Joining,
    /// An assignment is being carried out: partitions that are not in it are given up, and new ones are taken over.
    Reconciling,
    /// The assignment is carried out, and a heartbeat that says so is due at once.
    Acknowledging,
    /// A member with an assignment.
    Stable,
    /// The coordinator does not know the member, or not in this epoch. The member joins again as soon as the user
    /// has been told which partitions are lost.
    Fenced,
    /// The last heartbeat is to be sent, or on its way.
    Leaving,
    /// The coordinator refuses this member for good.
    Failed,
}

impl ConsumerState {
    /// Every state.
    #[doc(hidden)]
    pub const ALL: &[Self] = &[
        Self::Out,
        Self::Joining,
        Self::Reconciling,
        Self::Acknowledging,
        Self::Stable,
        Self::Fenced,
        Self::Leaving,
        Self::Failed,
    ];

    /// Whether this state may follow `before`.
    #[doc(hidden)]
    pub fn may_follow(self, before: Self) -> bool {
        use ConsumerState::*;
        match self {
            Out => before == Leaving,
            Joining => matches!(before, Out | Fenced),
            Reconciling => matches!(before, Joining | Acknowledging | Stable),
            Acknowledging => before == Reconciling,
            Stable => before == Acknowledging,
            Fenced => matches!(before, Joining | Reconciling | Acknowledging | Stable),
            Leaving => !matches!(before, Out | Leaving | Failed),
            Failed => !matches!(before, Out | Failed),
        }
    }

    /// Whether the member has an epoch that the coordinator knows.
    pub(super) fn is_member(self) -> bool {
        matches!(self, Self::Reconciling | Self::Acknowledging | Self::Stable)
    }
}
