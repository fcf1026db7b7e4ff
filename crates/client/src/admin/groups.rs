//! Groups: what they are, where they are, and how they are changed.

use std::collections::BTreeMap;

use ottla_core::admin::{self as core, Failure};

use super::{
    Admin, CommittedOffset, Coordinator, Each, GroupDescription, GroupListing, MemberToRemove, ShareOffset,
    TopicPartition, by_partition, failure,
};
use crate::{
    config::Names,
    error::{AclOperation, AdminError, AdminErrorKind, Details as _},
};

impl Admin {
    /// Every group, asked of every broker.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors), and where one broker alone does not answer.
    pub async fn list_groups(&self) -> Result<BTreeMap<String, GroupListing>, AdminError> {
        self.run(core::ListGroups).await
    }

    /// This group, or these, with their members and what is assigned to each. They may be of any [kind](super::GroupKind); those
    /// of one coordinator are asked for together.
    ///
    /// Brokers before 4.0 answer for a group that does not exist with the state `Dead`.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a group by itself [`AdminErrorKind::UnknownGroup`], a refusal,
    /// or [`AdminErrorKind::TimedOut`] where its coordinator does not answer.
    pub async fn describe_groups<Kind>(
        &self,
        groups: impl Names<Kind>,
    ) -> Result<Each<String, GroupDescription>, AdminError> {
        Ok(by_group(self.run(core::DescribeGroups(groups.into_names())).await?, AclOperation::Describe))
    }

    /// Deletes this group, or these, with their offsets: groups of any kind that have no members.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a group by itself [`AdminErrorKind::UnknownGroup`], which is also
    /// told where an attempt whose answer was lost has deleted it, [`AdminErrorKind::Broker`] with NON_EMPTY_GROUP where it has
    /// members, or another refusal.
    pub async fn delete_groups<Kind>(
        &self,
        groups: impl Names<Kind>,
    ) -> Result<Each<String, ()>, AdminError> {
        let groups = groups.into_names().into_iter().collect();
        Ok(by_group(self.run(core::DeleteGroups(groups)).await?, AclOperation::Delete))
    }

    /// Removes members from a group, as if they had left it. One that lives joins anew; to keep it out, stop it.
    ///
    /// A dynamic member is named by its id, a static one by its `group.instance.id` ([`MemberToRemove`]). Members of share and
    /// streams groups cannot be removed.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a member by itself [`AdminErrorKind::Broker`] with UNKNOWN_MEMBER_ID
    /// where the group has none such, or another refusal.
    pub async fn remove_members(
        &self,
        group: impl Into<String>,
        members: impl IntoIterator<Item = MemberToRemove>,
    ) -> Result<Each<MemberToRemove, ()>, AdminError> {
        let (group, members) = (group.into(), members.into_iter().collect());
        let reason = "removed by an administrator".to_owned();
        let removed = self.run(core::RemoveMembers { group: group.clone(), members, reason }).await;
        let removed = removed.map_err(|error| error.group(&group))?;
        let each = |(member, result): (MemberToRemove, Result<(), Failure>)| {
            let refused = |failure| AdminError::from(failure).group(&group).needs(AclOperation::Read);
            (member, result.map_err(refused))
        };
        Ok(removed.into_iter().map(each).collect())
    }

    /// All offsets that a group has committed. A group that does not exist has none. Waits for transactions that are
    /// about to commit offsets (KIP-447).
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors).
    pub async fn committed_offsets(
        &self,
        group: impl Into<String>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, AdminError> {
        let group = group.into();
        let silent = || AdminError::new(AdminErrorKind::Broker).group(&group);
        self.committed_offsets_of(group.as_str()).await?.remove(&group).ok_or_else(silent)?
    }

    /// The same of several groups: those of one coordinator are asked for together, and each has its own result.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a group by itself a refusal, or [`AdminErrorKind::TimedOut`] where
    /// its coordinator does not answer, or a transaction that is about to commit offsets stays open.
    pub async fn committed_offsets_of<Kind>(
        &self,
        groups: impl Names<Kind>,
    ) -> Result<Each<String, BTreeMap<TopicPartition, CommittedOffset>>, AdminError> {
        self.committed(groups.into_names(), true).await
    }

    /// The same as it stands now: what a transaction under way is about to commit is not waited for, and does not count yet. This is
    /// what to look at a group with that commits in transactions one after the other.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a group by itself a refusal, or [`AdminErrorKind::TimedOut`] where
    /// its coordinator does not answer.
    pub async fn committed_offsets_now<Kind>(
        &self,
        groups: impl Names<Kind>,
    ) -> Result<Each<String, BTreeMap<TopicPartition, CommittedOffset>>, AdminError> {
        self.committed(groups.into_names(), false).await
    }

    async fn committed(
        &self,
        groups: Vec<String>,
        require_stable: bool,
    ) -> Result<Each<String, BTreeMap<TopicPartition, CommittedOffset>>, AdminError> {
        let groups = groups.into_iter().collect();
        let committed = self.run(core::CommittedOffsets { groups, require_stable }).await?;
        Ok(by_group(committed, AclOperation::Describe))
    }

    /// Where share groups are in their partitions (KIP-932), each with its own result: they have no committed offsets.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a group by itself [`AdminErrorKind::Unsupported`] before Kafka 4.1,
    /// [`AdminErrorKind::UnknownGroup`], also where it is of another kind, or a refusal; of a partition a refusal.
    pub async fn share_offsets<Kind>(
        &self,
        groups: impl Names<Kind>,
    ) -> Result<Each<String, Each<TopicPartition, ShareOffset>>, AdminError> {
        let told = self.run(core::ShareOffsets(groups.into_names().into_iter().collect())).await?;
        let told = by_group(told, AclOperation::Describe).into_iter();
        let each = |partitions| by_partition(partitions, AclOperation::Describe);
        Ok(told.map(|(group, partitions)| (group, partitions.map(each))).collect())
    }

    /// Commits offsets for a group that has no members; one that is not there is made. An offset may be one that the log does not
    /// have: nobody checks.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a partition by itself [`AdminErrorKind::UnknownTopic`], also where
    /// its topic has no such partition, and for a moment after the topic was created, as a coordinator may hear of it later than
    /// the broker that answered; [`AdminErrorKind::Broker`] with UNKNOWN_MEMBER_ID while the group has members, or another
    /// refusal.
    pub async fn alter_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &self,
        group: impl Into<String>,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<Each<TopicPartition, ()>, AdminError> {
        let group = group.into();
        let offsets = offsets.into_iter().map(|(at, offset)| (at.into(), offset.into())).collect();
        let altered = self.run(core::AlterOffsets { group: group.clone(), offsets }).await;
        let altered = altered.map_err(|error| error.group(&group))?;
        Ok(of_group(&group, altered))
    }

    /// Deletes offsets that a group has committed (KIP-496). What it has not committed counts as deleted.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors), [`AdminErrorKind::UnknownGroup`], or [`AdminErrorKind::Broker`] with
    /// NON_EMPTY_GROUP where the group has members of a kind that tells no subscriptions; of a partition by itself
    /// [`AdminErrorKind::UnknownTopic`], or [`AdminErrorKind::Broker`] with GROUP_SUBSCRIBED_TO_TOPIC while a member is
    /// subscribed to its topic.
    pub async fn delete_offsets<P: Into<TopicPartition>>(
        &self,
        group: impl Into<String>,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<Each<TopicPartition, ()>, AdminError> {
        let (group, partitions) = (group.into(), partitions.into_iter().map(Into::into).collect());
        let operation = core::DeleteOffsets { group: group.clone(), partitions };
        let deleted = self.run(operation).await;
        let deleted = deleted.map_err(|error| error.group(&group).needs(AclOperation::Delete))?;
        Ok(of_group(&group, deleted))
    }

    /// The broker that coordinates a group.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors).
    pub async fn find_coordinator(&self, group: impl Into<String>) -> Result<Coordinator, AdminError> {
        let group = group.into();
        self.run(core::FindCoordinator(group.clone())).await.map_err(|error| error.group(group))
    }
}

/// What became of each of a group's partitions.
fn of_group(group: &str, each: BTreeMap<TopicPartition, Result<(), Failure>>) -> Each<TopicPartition, ()> {
    let told = |(at, result): (TopicPartition, Result<(), Failure>)| {
        let refused = |failure| failure::of_partition(&at, failure).group(group).needs(AclOperation::Read);
        let result = result.map_err(refused);
        (at, result)
    };
    each.into_iter().map(told).collect()
}

/// What became of each group, where what is asked `needs` this of it.
fn by_group<T>(each: BTreeMap<String, Result<T, Failure>>, needs: AclOperation) -> Each<String, T> {
    let told = |(group, result): (String, Result<T, Failure>)| {
        let result = result.map_err(|failure| AdminError::from(failure).group(&group).needs(needs));
        (group, result)
    };
    each.into_iter().map(told).collect()
}
