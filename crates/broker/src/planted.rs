//! Bugs on purpose, switched on at run time behind the feature `planted`: the simulation must catch each of them.

/// A bug that `Cluster::plant` switches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "exported only with the feature"))]
#[non_exhaustive]
pub enum Planted {
    /// A batch that an idempotent producer sends again is appended again.
    DuplicateSequenceAppended,
    /// An offset commit of an older generation is taken.
    CommitAcceptedFromOldGeneration,
    /// A member that has an assignment keeps it, whatever the leader gives it in the next generation.
    OldAssignmentKept,
    /// A fetch session goes on reading from where a partition was when it was added.
    SessionKeepsOldPosition,
}

#[cfg(feature = "planted")]
impl Planted {
    /// Every bug.
    pub const ALL: &[Self] = &[
        Self::DuplicateSequenceAppended,
        Self::CommitAcceptedFromOldGeneration,
        Self::OldAssignmentKept,
        Self::SessionKeepsOldPosition,
    ];
}

/// Which bug is switched on, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plot(pub(crate) Option<Planted>);

impl Plot {
    /// Whether this bug is on. Never, without the feature.
    pub(crate) fn has(self, bug: Planted) -> bool {
        cfg!(feature = "planted") && self.0 == Some(bug)
    }
}
