//! Committed offsets: who may commit what, and who may ask.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;

use super::{ClassicGroup, ConsumerGroup, Group, Side, Turn, classic::State, embedded::Subscription};
use crate::{
    VersionSet,
    planted::{Planted, Plot},
    storage::kept,
};

/// From this version on OffsetCommit knows member epochs.
pub(crate) const KNOWS_EPOCHS: i16 = 9;

/// What was committed for a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    /// The how-manieth of the group's commits it is, those in transactions included.
    pub(crate) written: u64,
}

/// What was committed in transactions that are open: by producer id, then by topic and partition.
pub(crate) type Pending = BTreeMap<i64, BTreeMap<(String, i32), Committed>>;

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
    /// Takes a commit, that of a transaction's producer once that is committed.
    pub(crate) fn commit(
        &mut self,
        at: (String, i32),
        mut committed: Committed,
        producer_id: Option<i64>,
        plot: Plot,
    ) {
        self.commits += 1;
        committed.written = self.commits;
        match producer_id.filter(|_| !plot.has(Planted::PendingOffsetShown)) {
            Some(producer_id) => {
                self.pending.entry(producer_id).or_default().insert(at, committed);
            }
            None => {
                self.offsets.insert(at, committed);
            }
        }
    }

    /// Every commit that is known, in the order of its writing, with its producer's id where it counts only once that one's
    /// transaction is committed.
    pub(crate) fn commits(&self) -> Vec<(Option<i64>, &(String, i32), &Committed)> {
        let pending =
            self.pending.iter().flat_map(|(&id, at)| at.iter().map(move |(at, it)| (Some(id), at, it)));
        let mut commits: Vec<_> = self.offsets.iter().map(|(at, it)| (None, at, it)).chain(pending).collect();
        commits.sort_by_key(|(.., committed)| committed.written);
        commits
    }

    /// Whether there is a commit that counts only if its transaction is committed.
    pub(crate) fn is_pending(&self, at: &(String, i32)) -> bool {
        self.pending.values().any(|pending| pending.contains_key(at))
    }

    /// A producer's transaction ended. What was committed after it stays.
    pub(super) fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        for (at, committed) in self.pending.remove(&producer_id).into_iter().flatten() {
            if commit && self.offsets.get(&at).is_none_or(|known| known.written < committed.written) {
                self.offsets.insert(at, committed);
            }
        }
    }

    /// Forgets what was committed for some partitions, in transactions too.
    pub(crate) fn forget(&mut self, concerned: impl Fn(&(String, i32)) -> bool) {
        self.offsets.retain(|at, _| !concerned(at));
        self.pending.values_mut().for_each(|pending| pending.retain(|at, _| !concerned(at)));
    }

    /// Whether its offsets may be deleted, as far as no member is subscribed.
    pub(crate) fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        let is_consumers = matches!(self.protocol_type(), "" | "consumer");
        if self.is_empty() || is_consumers { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether a member says that it wants the topic by name.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.side {
            Side::Classic(group) => group.members.values().any(|member| {
                let told = member.protocols.iter();
                let mut told = told.filter_map(|(_, metadata)| Subscription::decode(metadata).ok());
                told.any(|subscription| subscription.topics.contains(topic))
            }),
            Side::Consumer(group) => group.members.values().any(|member| member.names.contains(topic)),
        }
    }

    /// Whether a commit in a transaction is taken. Who says nothing of itself may commit, whoever is in the group: the first
    /// versions of the request knew no members (KIP-447).
    pub(crate) fn check_transactional_commit(
        &self,
        committer: Committer<'_>,
        turn: &Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let Committer { member_id, group_instance_id, generation_id, .. } = committer;
        if generation_id < 0 && (self.is_empty() || (member_id.is_empty() && group_instance_id.is_none())) {
            return Ok(());
        }
        match &self.side {
            Side::Classic(group) => {
                group.check_member(member_id, group_instance_id)?;
                let is_current = generation_id == group.generation_id;
                if is_current { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
            }
            Side::Consumer(group) => group.check_epoch(committer, turn),
        }
    }

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
        if member.classic.is_none() && committer.version < KNOWS_EPOCHS {
            return Err(ErrorCode::UnsupportedVersion);
        }
        self.check_epoch(committer, turn)
    }

    /// Whether a member has the epoch that it tells.
    fn check_epoch(&self, committer: Committer<'_>, turn: &Turn<'_>) -> Result<(), ErrorCode> {
        let epoch = committer.generation_id;
        let member = self.members.get(committer.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let stale = match &member.classic {
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

kept!(Committed { offset, leader_epoch, metadata }..Committed::default());
