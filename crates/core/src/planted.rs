//! Bugs on purpose, switched on at run time behind the feature `planted`: the simulation must catch each of them.

/// A bug that [`Consumer::plant`](crate::Consumer) switches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "exported only with the feature"))]
#[non_exhaustive]
pub enum Planted {
    /// A seek leaves the lane's epoch as it is, so records that were fetched for the old position still count.
    SeekKeepsEpoch,
    /// Records that a lane has buffered are handed out while the lane is being given up (KAFKA-20332).
    RevokingLaneIsRead,
    /// Of two commits that wait, the one with the larger offset wins.
    LargestCommitWins,
    /// A commit that is tried again takes the place of a newer one.
    RetriedCommitWins,
    /// Commits that waited when partitions were lost are sent afterwards.
    CommitsSurviveLoss,
    /// On a revocation auto commit commits nothing.
    NoCommitOnRevocation,
    /// A fetch session goes on behind a lost connection, as if the broker had seen the request.
    SessionSurvivesDisconnect,
    /// A fetch session keeps partitions that are not wanted any more.
    NothingIsForgotten,
    /// The answer to a heartbeat counts, whatever the generation in which it was sent (KAFKA-9823).
    StaleHeartbeatCounts,
    /// A rebalance does not wait for readers.
    JoinsWithoutQuiescence,
    /// A member whose id the coordinator does not know keeps it.
    UnknownMemberKeepsId,
    /// A heartbeat's answer that the group rebalances is ignored.
    RebalanceIsIgnored,
    /// A commit under an epoch that has moved on is given up (librdkafka #4672).
    StaleEpochFails,
    /// Auto commit commits records that were handed out before the user has come back from them (KAFKA-18641).
    AutoCommitRunsAhead,
    /// A partition without a committed offset begins at the log's end, whatever the reset policy says. Records
    /// written between its creation and its assignment are skipped (KAFKA-12261).
    NewPartitionsFromEnd,
    /// A partition that comes back begins where this member left it, and not where others have read to since
    /// (librdkafka #1767).
    ReturningPartitionKeepsPosition,
    /// Partitions that the user has paused flow again after a rebalance (reactor-kafka #432).
    RebalanceResumes,
    /// A commit that was refused for want of a membership changes nothing, and the member goes on (franz-go #1340).
    RefusedCommitGoesOn,
    /// A member still claims partitions of a generation that is over (KAFKA-13419).
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
    /// A cooperative member that gave partitions up does not join again, so nobody gets them.
    RevokedIsNotShared,
    /// The last commit of partitions that are given up is made before their readers have let go. Records that they
    /// hand out meanwhile are in no commit (KAFKA-16460).
    LastCommitComesFirst,
    /// A commit to a topic that is gone is tried again for ever, and holds up everything that waits for commits
    /// (KAFKA-16235).
    UnknownTopicHoldsUpCommits,
    /// A listener is told each time that something takes a partition away, even if it was told before.
    ListenerIsToldTwice,
    /// Partitions that a close or an unsubscription finds not yet told as assigned are told all the same.
    AssignedIsNotTakenBack,
    /// A consumer that has subscribed commits in nobody's name while it is no member.
    CommitsAsNobody,
    /// A member of a classic group beats ten times too rarely.
    BeatsTooRarely,
    /// Only the first partition of a commit counts for the user who waits for it.
    CommitAnswersOnePartition,
    /// A member does not leave its group when it is closed.
    ClosesWithoutLeaving,
    /// A producer sends batches behind its first one before a broker knows the producer (KAFKA-15591).
    FirstBatchIsNotAlone,
    /// A partition whose committed offset cannot be told now counts as one that has none.
    FailedPartitionHasNoOffset,
    /// A leader that cannot tell an offset of its log now is not asked again.
    FailedLookupIsForgotten,
    /// A partition whose offset the coordinator cannot take now counts as committed.
    RefusedPartitionCounts,
    /// The text beside an offset is lost when the commit is made again.
    RetryLosesMetadata,
    /// A user who has waited in a call once is taken to be in it, however long they are away.
    AbsenceIsNotNoticed,
    /// A member without partitions is told to be none.
    IdleIsNoMember,
    /// The newest answer about a leader counts, whichever leader epoch it tells (KIP-320).
    OlderLeaderIsTaken,
    /// Metadata is asked for a partition's leader when `metadata.max.age.ms` is over, and no sooner, whatever
    /// brokers tell.
    NewLeaderIsNotAskedFor,
    /// Records that were fetched of paused partitions keep the room that others need.
    PausedLanesKeepRoom,
    /// A member that leaves while it joins does not say so.
    LeavesSilentlyWhileJoining,
    /// No heartbeats are sent while partitions change hands.
    HandoverHoldsHeartbeats,
    /// Auto commit commits no offset below the one before, also after a seek.
    SeekBackIsNotCommitted,
    /// A member whose group rebalances waits for some seconds before it joins again.
    JoinsAfterAPause,
    /// Fetches name partitions in the same order each time, so the first are served and the last starve.
    FirstIsServedFirst,
    /// An offset that is not in the log any more is asked for again, and so for ever.
    OutOfRangeIsAskedAgain,
    /// Where the log has lost its beginning, reading goes on at its end, although the reset policy is `earliest`.
    TrimmedPartitionSkipsToEnd,
    /// The reset policies latest and by duration begin where earliest does.
    ResetGoesToTheBeginning,
    /// Without a reset policy reading begins at the log's start all the same, and the user is told nothing.
    NoneResets,
    /// A user who does nothing about a partition that has no offset is not told again.
    NoOffsetIsToldOnce,
    /// A time after the last record leads to the log's start.
    NothingSoLateMeansBeginning,
    /// Records that come between the answer that no record is so late and the one that tells the log's end are skipped.
    NothingSoLateIsAskedOnce,
    /// A commit tells the leader epoch of the record that was handed out last, however far the user has come.
    NewestLeaderEpochIsCommitted,
    /// Partitions that an assignment has in common with the one before lose their positions.
    SecondAssignForgetsPositions,
    /// Each of several readers is given any slice that is there, so one partition may be with two.
    PartitionIsWithSeveralReaders,
    /// The partitions of a dropped reader go to nobody.
    DroppedReaderKeepsPartitions,
    /// Only the consumer's own user can stay away too long.
    OtherReadersMayStayAway,
    /// A transaction is committed although records of it are not delivered yet.
    CommitOvertakesRecords,
    /// A transaction is committed although offsets of it are not taken yet.
    CommitOvertakesOffsets,
    /// Records of aborted transactions are handed out to who reads committed ones.
    AbortedIsHandedOut,
    /// Of what a fetch brings only the first batch is held against the list of aborted transactions.
    OnlyTheFirstBatchIsFiltered,
    /// In a fetch session that stands, uncommitted records are asked for, whatever the isolation.
    SessionForgetsIsolation,
    /// A committed offset is taken although a transaction that is to replace it is ending (KIP-447).
    UnstableOffsetsAreTaken,
    /// A position that is not in its leader's log any more stays as it is (KIP-320).
    TruncationIsIgnored,
    /// A batch of one record leaves its sequence number to the next.
    SequenceReused,
    /// A batch that is sent again has another sequence number, so it may be there twice.
    RetriedBatchHasNewSequence,
    /// Offsets of a transaction do not say who commits them, so nobody is fenced (KIP-447).
    OffsetsNameNoMember,
    /// Offsets that the group refuses count as taken.
    RefusedOffsetsCount,
    /// A transaction that failed is ended by a commit.
    FailedTransactionIsCommitted,
    /// The epoch that the end of a transaction has raised is not taken (KIP-890).
    EndKeepsEpoch,
    /// An epoch in which a transaction was ended in the explicit flow is kept where brokers add partitions by themselves from then on.
    EpochOutlivesFlow,
    /// In the explicit flow batches do not wait until their partition is added to the transaction.
    PartitionsAreNotAdded,
    /// A commit whose answer is lost counts as aborted.
    LostEndIsTakenForAbort,
    /// A commit that comes too late, as the transaction's time is over, counts as done.
    TimedOutCounts,
    /// A processor handles records of one key at once.
    KeysAreOverlooked,
    /// A processor commits behind records that handlers are at.
    HandlersArePassed,
    /// The text beside an offset tells records as done that handlers are at.
    HandlersCountAsSaved,
    /// Records that are done by the text beside an offset are handed out again.
    SavedIsHandedOut,
    /// A processor keeps no record back, although what is done does not fit beside an offset any more.
    AllMayBegin,
    /// Records that were kept back stay so.
    HeldStaysHeld,
    /// The bytes of records that are done still count against the room.
    BytesAreKept,
    /// What is done while a commit is under way counts as committed with it.
    CommitCoversLater,
    /// A position that was moved back counts as where the partition went on.
    ResetIsOverlooked,
    /// Where a position was moved back, records before it that are not done are forgotten.
    CutForgetsAll,
    /// A partition counts as drained while records of it are somebody else's.
    GivenAwayIsNotAwaited,
    /// Records of a partition that is being given up are handed out.
    RevokedIsHandedOut,
    /// A partition counts as drained while handlers are at its records.
    DrainedAtOnce,
    /// Handlers of a partition that is gone are not told to end.
    HandlersOutlivePartition,
    /// Nothing is committed of a partition that is given up.
    ReleasedUncommitted,
    /// Partitions that were paused for want of room stay paused.
    NothingIsResumed,
    /// As many records are asked for as there is room for when nothing is in hand.
    RoomIsOverlooked,
    /// A text beside an offset that the broker does not take is sent again, and so for ever.
    RefusedTextIsSentAgain,
    /// A handler may take as long as it likes.
    HandlersHaveNoDeadline,
    /// One more record is handled at once than the concurrency allows.
    OneTooMany,
    /// A handler whose partition is gone keeps its place when it ends.
    GoneKeepsItsSlot,
    /// When a record is done the next of its line is not ready.
    LineIsStuck,
    /// A record that arrives while others of its line are in hand does not wait for them.
    LateComersPass,
    /// A record that is not to be handled before some time is handled at once.
    DueIsOverlooked,
    /// A record that failed is tried again at once.
    RetriesAtOnce,
    /// A record that is given away counts as done before anybody has taken it.
    GivenAwayIsDone,
    /// A record that nobody took over counts as done.
    RefusalCounts,
    /// A record whose time has come to be tried again is not.
    RetriesAreForgotten,
    /// Handlers of a partition that is being given up have as long as they like.
    DrainHasNoEnd,
    /// What is written while a transaction is under way counts as a part of it.
    LateOutputsCountAsTaken,
    /// Partitions are given up while a transaction is under way.
    TransactionIsNotAwaited,
    /// Of partitions that are given up offsets are committed, and not what was written for them.
    GivenUpWithoutOutputs,
    /// What was committed is a part of the next transaction, too.
    CommittedIsWrittenAgain,
    /// A transaction is committed though its partitions were lost since it was begun.
    LostIsCommitted,
    /// What was written for a transaction that was aborted is in no other.
    AbortedIsForgotten,
}

#[cfg(feature = "planted")]
impl Planted {
    /// Every bug of groups and of what they read.
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
        Self::IdleIsNoMember,
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

    /// Every bug of transactions, apart from [`Planted::ALL`]: only who reads or writes in transactions can meet them.
    pub const TRANSACTIONAL: &[Self] = &[
        Self::CommitOvertakesRecords,
        Self::CommitOvertakesOffsets,
        Self::AbortedIsHandedOut,
        Self::OnlyTheFirstBatchIsFiltered,
        Self::SessionForgetsIsolation,
        Self::UnstableOffsetsAreTaken,
        Self::TruncationIsIgnored,
        Self::SequenceReused,
        Self::RetriedBatchHasNewSequence,
        Self::OffsetsNameNoMember,
        Self::RefusedOffsetsCount,
        Self::FailedTransactionIsCommitted,
        Self::EndKeepsEpoch,
        Self::EpochOutlivesFlow,
        Self::PartitionsAreNotAdded,
        Self::LostEndIsTakenForAbort,
        Self::TimedOutCounts,
    ];

    /// Every bug of processing, apart from the others: only who processes can meet them.
    pub const PROCESSING: &[Self] = &[
        Self::KeysAreOverlooked,
        Self::HandlersArePassed,
        Self::HandlersCountAsSaved,
        Self::SavedIsHandedOut,
        Self::AllMayBegin,
        Self::HeldStaysHeld,
        Self::BytesAreKept,
        Self::CommitCoversLater,
        Self::ResetIsOverlooked,
        Self::CutForgetsAll,
        Self::GivenAwayIsNotAwaited,
        Self::RevokedIsHandedOut,
        Self::DrainedAtOnce,
        Self::HandlersOutlivePartition,
        Self::ReleasedUncommitted,
        Self::NothingIsResumed,
        Self::RoomIsOverlooked,
        Self::RefusedTextIsSentAgain,
        Self::HandlersHaveNoDeadline,
        Self::OneTooMany,
        Self::GoneKeepsItsSlot,
        Self::LineIsStuck,
        Self::LateComersPass,
        Self::DueIsOverlooked,
        Self::RetriesAtOnce,
        Self::GivenAwayIsDone,
        Self::RefusalCounts,
        Self::RetriesAreForgotten,
        Self::DrainHasNoEnd,
        Self::LateOutputsCountAsTaken,
        Self::TransactionIsNotAwaited,
        Self::GivenUpWithoutOutputs,
        Self::CommittedIsWrittenAgain,
        Self::LostIsCommitted,
        Self::AbortedIsForgotten,
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
