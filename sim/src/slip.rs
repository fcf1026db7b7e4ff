//! Slips of whoever drives a processor's machine: bugs of `processing`'s own workers, which its judge must see, too.

/// A slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slip {
    /// What is to be committed of partitions that are given up is not.
    NothingIsCommittedOnRevocation,
    /// Partitions are given up before their handlers have ended.
    DrainIsNotAwaited,
    /// The machine is not told of partitions that are lost.
    LossIsNotTold,
    /// Handlers are not told to end.
    CancelIsNotTold,
    /// The machine is not told what is committed of a partition that is assigned.
    AssignedWithoutItsText,
    /// A commit that failed counts as done.
    FailedCommitCounts,
    /// The machine is looked at when its time has come, and not when it stirs.
    StirIsIgnored,
    /// Partitions that are to be resumed stay paused.
    ResumeIsForgotten,
    /// Offsets are committed beside the transaction, and not in it.
    OffsetsAreInNoTransaction,
    /// A dead letter is written before its record counts as done, so in another transaction.
    LetterIsWrittenAhead,
    /// What an attempt has written counts though it failed.
    FailedAttemptIsWritten,
    /// A transaction that was aborted counts as committed.
    AbortCountsAsCommit,
}

impl Slip {
    /// Every slip.
    pub const ALL: &[Self] = &[
        Self::NothingIsCommittedOnRevocation,
        Self::DrainIsNotAwaited,
        Self::LossIsNotTold,
        Self::CancelIsNotTold,
        Self::AssignedWithoutItsText,
        Self::FailedCommitCounts,
        Self::StirIsIgnored,
        Self::ResumeIsForgotten,
        Self::OffsetsAreInNoTransaction,
        Self::LetterIsWrittenAhead,
        Self::FailedAttemptIsWritten,
        Self::AbortCountsAsCommit,
    ];
}
