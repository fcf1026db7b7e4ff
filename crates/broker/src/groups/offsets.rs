//! Committed offsets: who may commit what, and who may ask.

use ottla_protocol::ErrorCode;

use super::{ClassicGroup, ConsumerGroup, Group, Side, Turn, classic::State};
use crate::{VersionSet, planted::Planted};

/// From this version on OffsetCommit knows member epochs.
pub(crate) const KNOWS_EPOCHS: i16 = 9;

/// What was committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// Who commits, and for which partitions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    pub(crate) version: i16,
    pub(crate) member_id: &'a str,
    pub(crate) group_instance_id: Option<&'a str>,
    /// Or its member epoch.
    pub(crate) generation_id: i32,
    pub(crate) partitions: &'a [(&'a str, i32)],
}

impl Group {
    /// Whether an offset commit is taken.
    pub(crate) fn check_commit(
        &mut self,
        committer: Committer<'_>,
        turn: &Turn<'_>,
    ) -> Result<(), ErrorCode> {
        match &mut self.side {
            Side::Classic(group) => group.check_commit(committer, turn),
            Side::Consumer(group) => group.check_commit(committer, turn),
        }
    }

    /// Whether a member, if one it is, may be told what was committed.
    pub(crate) fn check_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), ErrorCode> {
        let Side::Consumer(group) = &self.side else { return Ok(()) };
        let id = match member_id {
            None if member_epoch < 0 => return Ok(()),
            id => id.unwrap_or_default(),
        };
        let member = group.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        match &member.classic {
            _ if member.epoch == member_epoch => Ok(()),
            None => Err(ErrorCode::StaleMemberEpoch),
            Some(_) => Err(ErrorCode::IllegalGeneration),
        }
    }
}

impl ClassicGroup {
    /// A commit is a sign of life too.
    fn check_commit(&mut self, committer: Committer<'_>, turn: &Turn<'_>) -> Result<(), ErrorCode> {
        let Committer { member_id, group_instance_id, generation_id, .. } = committer;
        if generation_id < 0 && self.state() == State::Empty {
            // One who is in no group and only keeps offsets, or an administrator.
            return Ok(());
        }
        if generation_id < 0 && member_id.is_empty() && group_instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(member_id, group_instance_id)?;
        if generation_id != self.generation_id
            && !turn.rules.plot.has(Planted::CommitAcceptedFromOldGeneration)
        {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state() == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.touch(member_id, turn.now);
        Ok(())
    }
}

impl ConsumerGroup {
    /// An older epoch will do for a partition that the member holds since then (KIP-1251).
    fn check_commit(&self, committer: Committer<'_>, turn: &Turn<'_>) -> Result<(), ErrorCode> {
        let epoch = committer.generation_id;
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(committer.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let stale = match &member.classic {
            None if committer.version < KNOWS_EPOCHS => return Err(ErrorCode::UnsupportedVersion),
            None => ErrorCode::StaleMemberEpoch,
            Some(_) => ErrorCode::IllegalGeneration,
        };
        let relaxed = turn.rules.versions == VersionSet::Kafka4_3;
        let holds = epoch < member.epoch && relaxed && self.holds_since(committer, turn);
        if epoch == member.epoch || holds || turn.rules.plot.has(Planted::StaleCommitAccepted) {
            return Ok(());
        }
        Err(stale)
    }

    /// Whether the member has held all that it commits since the epoch that it tells.
    fn holds_since(&self, committer: Committer<'_>, turn: &Turn<'_>) -> bool {
        let member = self.members.get(committer.member_id);
        let held = |(name, index): &(&str, i32)| {
            let at = turn.topics.find(name).map(|topic| (topic.id, *index));
            let since = at.and_then(|at| member?.held_since(&at));
            since.is_some_and(|since| committer.generation_id >= since)
        };
        match turn.rules.plot.has(Planted::PartlyHeldIsTaken) {
            true => committer.partitions.iter().any(held),
            false => committer.partitions.iter().all(held),
        }
    }
}
