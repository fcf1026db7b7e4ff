//! How far a seed has come.

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Trouble,
    /// That everything acknowledged is done.
    Draining,
    /// That what is sent now, to every partition, is done: the group is whole, and nothing stands in the way.
    Probing,
    /// That everything done is committed.
    Settling,
    /// That where a partition is put back to is committed, too, and then what came of it.
    Resting,
    Resuming,
    /// That one more member has its share.
    Sharing,
    /// That everybody is closed, and the group empty.
    Closing,
    Over,
}
