//! The phases of a lane, and which may follow which.

/// ```text
///       assigned, with a listener             it has answered
/// Free ───────────────────────────> Announcing ──────────────> Owned
///  ^ │                                  │                      ^  │
///  │ └──────────── assigned, without a listener ───────────────┘  │
///  │                                    │ rebalance               │ rebalance
///  │    let go, committed and told      v                         │
///  └───────────────────────────────  Revoking <───────────────────┘
///
/// Free: also from anywhere, when the partition is lost, unassigned, or the consumer closes.
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LanePhase {
    /// Not this consumer's.
    Free,
    /// Assigned, and not read before the user's listener has answered: the listener may still move the position.
    Announcing,
    /// Read.
    Owned,
    /// To be given up once its reader has let it go.
    Revoking,
}

impl LanePhase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Free, Self::Announcing, Self::Owned, Self::Revoking];

    /// Whether this phase may follow `before`.
    pub fn may_follow(self, before: Self) -> bool {
        use LanePhase::*;
        match self {
            Free => before != Free,
            Announcing => before == Free,
            Owned => matches!(before, Free | Announcing),
            Revoking => matches!(before, Announcing | Owned),
        }
    }

    /// Whether the partition is this consumer's.
    pub fn is_assigned(self) -> bool {
        self != Self::Free
    }
}
