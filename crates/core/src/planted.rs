//! Bugs on purpose, switched on at run time behind the feature `planted`: the simulation must catch each of them.

/// A bug that [`Consumer::plant`](crate::Consumer) switches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "exported only with the feature"))]
#[non_exhaustive]
pub enum Planted {
    /// A seek leaves the lane's epoch as it is: what was fetched for the old position still counts.
    SeekKeepsEpoch,
    /// What a lane has buffered is handed out while the lane is being given up (KAFKA-20332).
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
    /// The answer to a heartbeat counts, whatever the generation in which it was sent (KAFKA-9823).
    StaleHeartbeatCounts,
    /// A rebalance does not wait for readers.
    JoinsWithoutQuiescence,
    /// A member whose id is not known keeps it.
    UnknownMemberKeepsId,
    /// A heartbeat's answer that the group rebalances is ignored.
    RebalanceIsIgnored,
    /// A commit under an epoch that has moved on is given up (librdkafka #4672).
    StaleEpochFails,
    /// Auto commit commits what was handed out before the user has come back from it (KAFKA-18641).
    AutoCommitRunsAhead,
    /// A partition without a committed offset begins at the log's end, whatever the reset policy says: what was written
    /// between its creation and its assignment is skipped (KAFKA-12261).
    NewPartitionsFromEnd,
    /// A partition that comes back begins where this member left it, not where others have got since (librdkafka #1767).
    ReturningPartitionKeepsPosition,
    /// What the user has paused flows again after a rebalance (reactor-kafka #432).
    RebalanceResumes,
    /// A commit that was refused for want of a membership changes nothing: the member goes on (franz-go #1340).
    RefusedCommitGoesOn,
    /// What is owned in a generation that is over is still claimed in the next (KAFKA-13419).
    LostGenerationIsKept,
    /// A broker that says that it is not the coordinator any more is asked again, and so for ever (librdkafka #1605).
    OldCoordinatorIsKept,
    /// A fenced member comes again and says only what has changed (librdkafka #5541).
    RejoinsWithoutSubscription,
    /// A group that is not found is looked for with the next heartbeat, and so for ever (librdkafka #5541).
    MissingGroupIsIgnored,
    /// A fenced member keeps its partitions (KAFKA-16251 has one that went on beating).
    FencedMemberGoesOn,
    /// A target assignment that comes while one is carried out is forgotten.
    TargetMeanwhileIsForgotten,
    /// A cooperative member that gave something up does not join again: nobody gets it.
    RevokedIsNotShared,
    /// The last commit of what is given up is made before its readers have let go: what they hand out meanwhile is in no
    /// commit (KAFKA-16460).
    LastCommitComesFirst,
    /// A commit to a topic that is gone is asked for again for ever, and holds up whatever waits for commits (KAFKA-16235).
    UnknownTopicHoldsUpCommits,
    /// A listener is told as often as something takes a partition away, whatever it was told before.
    ListenerIsToldTwice,
    /// What a close or an unsubscription finds not yet told as assigned is told all the same.
    AssignedIsNotTakenBack,
    /// Who has subscribed commits as nobody while he is no member.
    CommitsAsNobody,
    /// A member of a classic group beats ten times too rarely.
    BeatsTooRarely,
    /// Who waits for a commit is told of the first partition only.
    CommitAnswersOnePartition,
    /// A member does not leave its group when it is closed.
    ClosesWithoutLeaving,
    /// A producer sends others behind its first batch before a broker knows it (KAFKA-15591).
    FirstBatchIsNotAlone,
    /// A partition whose committed offset cannot be told now has none.
    FailedPartitionHasNoOffset,
    /// Where a log's leader cannot tell an offset now, it is not asked again.
    FailedLookupIsForgotten,
    /// A partition whose offset the coordinator cannot take now counts as committed.
    RefusedPartitionCounts,
    /// What is written beside an offset is lost when the commit is made again.
    RetryLosesMetadata,
    /// Who has waited in a call once is taken to be in it, however long he is away.
    AbsenceIsNotNoticed,
    /// The newest answer about who leads counts, whichever leader epoch it tells (KIP-320).
    OlderLeaderIsTaken,
    /// Who leads a partition now is asked for when `metadata.max.age.ms` is over, and no sooner, whatever brokers tell.
    NewLeaderIsNotAskedFor,
    /// What is fetched of paused partitions keeps the room that others need.
    PausedLanesKeepRoom,
    /// Who leaves before he is in does not say so.
    LeavesSilentlyWhileJoining,
    /// No heartbeats while partitions change hands.
    HandoverHoldsHeartbeats,
    /// Auto commit commits no offset below the one before, also after a seek.
    SeekBackIsNotCommitted,
    /// Whose group rebalances waits for some seconds before he joins again.
    JoinsAfterAPause,
    /// Fetches name partitions in the same order each time: the first are served, and the last starve.
    FirstIsServedFirst,
    /// An offset that is not in the log any more is asked for again, and so for ever.
    OutOfRangeIsAskedAgain,
    /// Where the log has lost its beginning, reading goes on at its end, although the reset policy is the earliest.
    TrimmedPartitionSkipsToEnd,
    /// The reset policies latest and by duration begin where earliest does.
    ResetGoesToTheBeginning,
    /// Without a reset policy reading begins at the log's start all the same, and the user is told nothing.
    NoneResets,
    /// A user who does nothing about a partition that has no offset is not told again.
    NoOffsetIsToldOnce,
    /// A time after the last record leads to the log's start.
    NothingSoLateMeansBeginning,
    /// What comes between the answer that no record is so late and the one that tells the end is skipped.
    NothingSoLateIsAskedOnce,
    /// A commit tells the leader epoch of what was handed out last, however far the user has come.
    NewestLeaderEpochIsCommitted,
    /// What an assignment has in common with the one before begins anew.
    SecondAssignForgetsPositions,
    /// Of several readers each is given whatever is there: one partition is with two.
    PartitionIsWithSeveralReaders,
    /// What a dropped reader had goes to nobody.
    DroppedReaderKeepsPartitions,
    /// Only the consumer's own user can stay away too long.
    OtherReadersMayStayAway,
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
        Self::AutoCommitRunsAhead,
        Self::NewPartitionsFromEnd,
        Self::ReturningPartitionKeepsPosition,
        Self::RebalanceResumes,
        Self::RefusedCommitGoesOn,
        Self::LostGenerationIsKept,
        Self::OldCoordinatorIsKept,
        Self::RejoinsWithoutSubscription,
        Self::MissingGroupIsIgnored,
        Self::FencedMemberGoesOn,
        Self::TargetMeanwhileIsForgotten,
        Self::RevokedIsNotShared,
        Self::LastCommitComesFirst,
        Self::UnknownTopicHoldsUpCommits,
        Self::ListenerIsToldTwice,
        Self::AssignedIsNotTakenBack,
        Self::CommitsAsNobody,
        Self::BeatsTooRarely,
        Self::CommitAnswersOnePartition,
        Self::ClosesWithoutLeaving,
        Self::FirstBatchIsNotAlone,
        Self::FailedPartitionHasNoOffset,
        Self::FailedLookupIsForgotten,
        Self::RefusedPartitionCounts,
        Self::RetryLosesMetadata,
        Self::AbsenceIsNotNoticed,
        Self::OlderLeaderIsTaken,
        Self::NewLeaderIsNotAskedFor,
        Self::PausedLanesKeepRoom,
        Self::LeavesSilentlyWhileJoining,
        Self::HandoverHoldsHeartbeats,
        Self::SeekBackIsNotCommitted,
        Self::JoinsAfterAPause,
        Self::FirstIsServedFirst,
        Self::OutOfRangeIsAskedAgain,
        Self::TrimmedPartitionSkipsToEnd,
        Self::ResetGoesToTheBeginning,
        Self::NoneResets,
        Self::NoOffsetIsToldOnce,
        Self::NothingSoLateMeansBeginning,
        Self::NothingSoLateIsAskedOnce,
        Self::NewestLeaderEpochIsCommitted,
        Self::SecondAssignForgetsPositions,
        Self::PartitionIsWithSeveralReaders,
        Self::DroppedReaderKeepsPartitions,
        Self::OtherReadersMayStayAway,
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
