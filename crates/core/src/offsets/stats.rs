//! What came of commits, in numbers.

use std::time::Duration;

/// Commits. Each partition of a commit counts by itself: the coordinator takes it, or not, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CommitStats {
    /// How many requests were answered, whatever the answer.
    pub requests: u64,
    /// How long the answers took, together.
    pub latency: Duration,
    /// How many offsets were committed.
    pub done: u64,
    /// How many offsets were not, and are not tried again: refused, of a topic that is gone, or of a partition that was lost before. One
    /// that a newer offset of its partition took the place of while it waited counts neither here nor there.
    pub failed: u64,
}
