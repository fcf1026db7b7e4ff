//! Bugs on purpose, switched on at run time behind the feature `planted`: the simulation must catch each of them.

/// A bug that [`Consumer::plant`](crate::Consumer) switches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "exported only with the feature"))]
#[non_exhaustive]
pub enum Planted {
    /// A seek leaves the lane's epoch as it is: what was fetched for the old position still counts.
    SeekKeepsEpoch,
    /// What a lane has buffered is handed out while the lane is being given up.
    RevokingLaneIsRead,
    /// Of two commits that wait, the one with the larger offset wins.
    LargestCommitWins,
    /// A commit that is tried again takes the place of a newer one.
    RetriedCommitWins,
    /// What was to be committed before partitions were lost is committed afterwards.
    CommitsSurviveLoss,
    /// On a revocation nothing is committed unasked.
    NoCommitOnRevocation,
    /// A fetch session goes on behind a lost connection, as if the broker had seen the request.
    SessionSurvivesDisconnect,
    /// A fetch session keeps partitions that are not wanted any more.
    NothingIsForgotten,
    /// The answer to a heartbeat counts, whatever the generation in which it was sent.
    StaleHeartbeatCounts,
    /// A rebalance does not wait for readers.
    JoinsWithoutQuiescence,
    /// A member whose id is not known keeps it.
    UnknownMemberKeepsId,
    /// A heartbeat's answer that the group rebalances is ignored.
    RebalanceIsIgnored,
    /// A commit under an epoch that has moved on is given up.
    StaleEpochFails,
}

#[cfg(feature = "planted")]
impl Planted {
    /// Every bug.
    pub const ALL: &[Self] = &[
        Self::SeekKeepsEpoch,
        Self::RevokingLaneIsRead,
        Self::LargestCommitWins,
        Self::RetriedCommitWins,
        Self::CommitsSurviveLoss,
        Self::NoCommitOnRevocation,
        Self::SessionSurvivesDisconnect,
        Self::NothingIsForgotten,
        Self::StaleHeartbeatCounts,
        Self::JoinsWithoutQuiescence,
        Self::UnknownMemberKeepsId,
        Self::RebalanceIsIgnored,
        Self::StaleEpochFails,
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
