//! A consumer's place in its group, whichever protocol the group speaks.

use std::{collections::BTreeSet, fmt};

use ottla_protocol::{ErrorCode, Now, Response};

use super::{
    ConsumerState, GroupConfig, GroupMetadata, GroupNews, GroupProtocol, LeaveGroup, MemberState, Pattern,
    classic::Classic, consumer::ConsumerMember,
};
use crate::{
    backoff::{Attempts, Backoff},
    coordinator::{Coordinator, ToCoordinator},
    deadline::Earliest,
    ids::{RequestId, TopicPartition},
    metadata::{Metadata, Wanted},
    offsets::Committer,
};

/// Where a member stands, by the names of its group's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipState {
    /// In the classic protocol.
    Classic(MemberState),
    /// In the consumer protocol.
    Consumer(ConsumerState),
}

impl fmt::Display for MembershipState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classic(state) => fmt::Debug::fmt(state, f),
            Self::Consumer(state) => fmt::Debug::fmt(state, f),
        }
    }
}

/// The same, as far as the rest of the consumer is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Out,
    /// On the way in, or in again.
    Joining,
    /// In the group, its assignment known.
    Member,
    Leaving,
    Failed,
}

/// What a member wants to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    /// With a pattern: the topics that match it, as far as they are known.
    pub(crate) topics: BTreeSet<String>,
    pub(crate) pattern: Option<Pattern>,
}

impl Interest {
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.pattern.is_none()
    }

    pub(super) fn wants(&self, topic: &str) -> bool {
        self.topics.contains(topic) || self.pattern.as_ref().is_some_and(|pattern| pattern.matches(topic))
    }

    /// The same pattern asked for again still has the topics that were found to match.
    pub(super) fn after(self, before: &Self) -> Self {
        match self.pattern.is_some() && self.pattern == before.pattern {
            true => before.clone(),
            false => self,
        }
    }
}

/// The partitions that a member has now.
pub(crate) type Owned<'a> = &'a dyn Fn() -> Vec<TopicPartition>;

#[derive(Debug)]
pub(crate) enum Membership {
    Classic(Classic),
    Consumer(ConsumerMember),
}

macro_rules! either {
    ($self:ident, $member:ident => $body:expr) => {
        match $self {
            Membership::Classic($member) => $body,
            Membership::Consumer($member) => $body,
        }
    };
}

impl Membership {
    pub(crate) fn new(config: GroupConfig, backoff: Backoff, seed: u64, now: Now) -> Self {
        match config.protocol {
            GroupProtocol::Classic => Self::Classic(Classic::new(config, backoff, seed, now)),
            GroupProtocol::Consumer => Self::Consumer(ConsumerMember::new(config, backoff, seed, now)),
        }
    }

    #[cfg(feature = "planted")]
    pub(crate) fn plant(&mut self, plot: crate::planted::Plot) {
        either!(self, member => member.plot = plot);
    }

    pub(crate) fn config(&self) -> &GroupConfig {
        either!(self, member => &member.config)
    }

    pub(crate) fn state(&self) -> MembershipState {
        match self {
            Self::Classic(member) => MembershipState::Classic(member.state()),
            Self::Consumer(member) => MembershipState::Consumer(member.state()),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.state() {
            MembershipState::Classic(state) => match state {
                MemberState::Out => Standing::Out,
                MemberState::Joining | MemberState::Assigning | MemberState::Syncing => Standing::Joining,
                MemberState::Reconciling | MemberState::Stable | MemberState::Revoking => Standing::Member,
                MemberState::Leaving => Standing::Leaving,
                MemberState::Failed => Standing::Failed,
            },
            MembershipState::Consumer(state) => match state {
                ConsumerState::Out => Standing::Out,
                ConsumerState::Joining | ConsumerState::Fenced => Standing::Joining,
                state if state.is_member() => Standing::Member,
                ConsumerState::Leaving => Standing::Leaving,
                _ => Standing::Failed,
            },
        }
    }

    /// Whether there is a membership that a user who stays away can lose.
    pub(crate) fn is_in(&self) -> bool {
        matches!(self.standing(), Standing::Joining | Standing::Member)
    }

    /// Whether partitions are kept while the group rebalances.
    pub(crate) fn keeps_partitions(&self) -> bool {
        match self {
            Self::Classic(member) => member.is_cooperative(),
            Self::Consumer(_) => true,
        }
    }

    pub(crate) fn metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group_id: self.config().id.clone(),
            generation_id: self.generation_id(),
            member_id: self.member_id().to_owned(),
            group_instance_id: self.config().instance_id.clone(),
        }
    }

    /// The generation, or the member epoch.
    pub(crate) fn generation_id(&self) -> i32 {
        either!(self, member => member.generation_id())
    }

    pub(crate) fn member_id(&self) -> &str {
        either!(self, member => &member.member_id)
    }

    /// At coming in, and staying.
    pub(crate) fn attempts(&self) -> &Attempts {
        either!(self, member => &member.attempts)
    }

    /// Since when it has been in its state.
    pub(crate) fn since(&self) -> std::time::Instant {
        either!(self, member => member.since)
    }

    /// In whose name offsets are committed; `None` while that is being settled.
    pub(crate) fn committer(&self) -> Option<Committer> {
        either!(self, member => member.committer())
    }

    /// In whose name committed offsets are asked for: under the classic protocol anybody may.
    pub(crate) fn reader(&self) -> Option<Committer> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(member) => member.committer().filter(|committer| committer.generation_id > 0),
        }
    }

    /// Whether a commit that was refused may be made again, in the name that the member has by then.
    pub(crate) fn commits_again(&self, error: ErrorCode, sent_as: &Committer) -> bool {
        either!(self, member => member.commits_again(error, sent_as))
    }

    /// The topics subscribed to; by pattern, those that match; `None` where the coordinator alone knows which do.
    pub(crate) fn topics(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Classic(member) => Some(&member.interest.topics),
            Self::Consumer(member) => member.topics(),
        }
    }

    /// How many topics it is assigned partitions of, and knows no names of.
    pub(crate) fn nameless(&self) -> usize {
        match self {
            Self::Classic(_) => 0,
            Self::Consumer(member) => member.nameless(),
        }
    }

    /// Whether part of what it is assigned may be taken over only when a heartbeat is answered.
    pub(crate) fn awaits_answer(&self) -> bool {
        matches!(self, Self::Consumer(member) if member.awaits_answer())
    }

    /// Whether partitions that are assigned may be taken over only later.
    pub(crate) fn may_not_take_more(&self) -> bool {
        matches!(self, Self::Consumer(member) if member.may_not_take_more())
    }

    /// How many members the group has, where this one was told.
    pub(crate) fn size(&self) -> Option<usize> {
        match self {
            Self::Classic(member) => member.size(),
            Self::Consumer(_) => None,
        }
    }

    /// The topics of which metadata must tell.
    pub(crate) fn wanted(&self) -> Wanted {
        either!(self, member => member.wanted())
    }

    pub(crate) fn subscribe(&mut self, interest: Interest, now: Now) -> GroupNews {
        either!(self, member => member.subscribe(interest, now))
    }

    /// Joins again although nothing calls for it; `None` where the coordinator alone decides.
    pub(crate) fn enforce_rebalance(&mut self, reason: &str, now: Now) -> Option<GroupNews> {
        match self {
            Self::Classic(member) => Some(member.enforce_rebalance(reason, now)),
            Self::Consumer(_) => None,
        }
    }

    /// What [`GroupNews::GiveUp`] asked for is done.
    pub(crate) fn given_up(&mut self, now: Now) {
        if let Self::Classic(member) = self {
            member.given_up(now);
        }
    }

    /// What the assignment takes away is given up, and what it brings is being taken over. A coordinator that waits for
    /// that is told at once: the listener has what is new yet to hear of, and that may take long.
    pub(crate) fn revoked(&mut self, now: Now) {
        if let Self::Consumer(member) = self {
            member.carried_out(now);
        }
    }

    /// What [`GroupNews::Assigned`] asked for is done.
    pub(crate) fn handed_over(&mut self, revoked_some: bool, now: Now) -> GroupNews {
        match self {
            Self::Classic(member) => member.handed_over(revoked_some, now),
            Self::Consumer(member) => {
                member.handed_over(now);
                GroupNews::None
            }
        }
    }

    /// Leaves, with no interest left in any topic.
    pub(crate) fn unsubscribe(&mut self, now: Now) {
        either!(self, member => member.interest = Interest::default());
        self.leave(LeaveGroup::Default, now);
    }

    pub(crate) fn leave(&mut self, how: LeaveGroup, now: Now) {
        either!(self, member => member.leave(how, now));
    }

    /// A commit was refused because of the membership.
    pub(crate) fn commit_refused(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        either!(self, member => member.commit_refused(error, now))
    }

    /// What the picture of the cluster means for the member.
    pub(crate) fn look(&mut self, metadata: &mut Metadata, owned: Owned<'_>, now: Now) -> GroupNews {
        match self {
            Self::Classic(member) => member.look(metadata, now),
            Self::Consumer(member) => member.look(metadata, owned),
        }
    }

    /// What is to be sent now. A member does not join before the user knows what he lost (`may_join`).
    pub(crate) fn poll_send(
        &mut self,
        to: &mut ToCoordinator<'_>,
        owned: Owned<'_>,
        may_join: bool,
    ) -> (Vec<RequestId>, GroupNews) {
        match either!(self, member => member.poll_send(to, owned, may_join)) {
            Ok(sent) => (sent, GroupNews::None),
            Err(error) => (Vec::new(), either!(self, member => member.fail(error, to.now))),
        }
    }

    pub(crate) fn handle_response(
        &mut self,
        id: RequestId,
        response: Response,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        match (self, response) {
            (Self::Classic(member), Response::JoinGroup(r)) => member.handle_join(id, r, coordinator, now),
            (Self::Classic(member), Response::SyncGroup(r)) => member.handle_sync(id, r, coordinator, now),
            (Self::Classic(member), Response::Heartbeat(r)) => {
                member.handle_heartbeat(id, r, coordinator, now)
            }
            (Self::Classic(member), Response::LeaveGroup(_)) => {
                member.handle_leave(id, now);
                GroupNews::None
            }
            (Self::Classic(member), Response::DescribeGroups(r)) => {
                member.handle_description(id, r, coordinator, now);
                GroupNews::None
            }
            (Self::Consumer(member), Response::ConsumerGroupHeartbeat(r)) => {
                member.handle_heartbeat(id, r, coordinator, now)
            }
            _ => GroupNews::None,
        }
    }

    pub(crate) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        either!(self, member => member.handle_unanswered(id, now));
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        either!(self, member => member.deadlines(earliest));
    }
}
