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
    /// A partition changes its leader within one leader epoch.
    LeaderEpochNotRaised,
    /// What a group committed is not there any more at its new coordinator.
    OffsetsLostByMove,
    /// A partition is given to its next owner before the last one has given it up.
    GivenBeforeRevoked,
    /// A heartbeat of any member epoch is taken.
    EpochNotFenced,
    /// A member joins under an instance id whose member has not left.
    UnreleasedInstanceAdmitted,
    /// A heartbeat of the consumer protocol does not extend the session.
    SessionNotExtended,
    /// An offset commit of an older member epoch is taken, for a partition that is another's now.
    StaleCommitAccepted,
    /// A group of the consumer protocol does not see new topics and partitions.
    TopicsUnseen,
    /// A static member that comes back under the classic protocol leaves its old self in the group.
    ReplacedMemberStays,
    /// Who is in a classic group is not told of a rebalance.
    RebalanceNotTold,
    /// An offset commit of an older member epoch is taken as a whole where the member still has one of its partitions.
    PartlyHeldIsTaken,
    /// A heartbeat of the member epoch before is taken, whatever it says the member has.
    EarlierEpochHasAnything,
    /// A static member of a classic group is out of it after half its session.
    StaticPlaceIsGivenUp,
    /// The last stable offset is the high watermark, whatever transactions are open.
    OpenTransactionsAreStable,
    /// An aborted transaction is not in the list that readers are told.
    AbortedNotListed,
    /// An offset that is committed in a transaction counts before that ends.
    PendingOffsetShown,
    /// The offsets of an aborted transaction count.
    AbortedOffsetsApplied,
    /// A producer's older epoch may go on to write in transactions.
    ZombieNotFenced,
    /// A transaction that is committed is aborted in its partitions with odd numbers.
    PartlyCommitted,
    /// A new producer gets the epoch of the one before.
    EpochNotBumped,
    /// A new producer goes on with the open transaction of the one before.
    OpenTransactionInherited,
    /// In partitions with odd numbers no marker is written.
    MarkerLost,
}

#[cfg(feature = "planted")]
impl Planted {
    /// Every bug of groups and logs.
    pub const ALL: &[Self] = &[
        Self::DuplicateSequenceAppended,
        Self::CommitAcceptedFromOldGeneration,
        Self::OldAssignmentKept,
        Self::SessionKeepsOldPosition,
        Self::LeaderEpochNotRaised,
        Self::OffsetsLostByMove,
        Self::GivenBeforeRevoked,
        Self::EpochNotFenced,
        Self::UnreleasedInstanceAdmitted,
        Self::SessionNotExtended,
        Self::StaleCommitAccepted,
        Self::TopicsUnseen,
        Self::ReplacedMemberStays,
        Self::RebalanceNotTold,
        Self::PartlyHeldIsTaken,
        Self::EarlierEpochHasAnything,
        Self::StaticPlaceIsGivenUp,
    ];

    /// Every bug of transactions, apart from [`Planted::ALL`]: only who reads or writes in transactions can meet them.
    pub const TRANSACTIONAL: &[Self] = &[
        Self::OpenTransactionsAreStable,
        Self::AbortedNotListed,
        Self::PendingOffsetShown,
        Self::AbortedOffsetsApplied,
        Self::ZombieNotFenced,
        Self::PartlyCommitted,
        Self::EpochNotBumped,
        Self::OpenTransactionInherited,
        Self::MarkerLost,
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
