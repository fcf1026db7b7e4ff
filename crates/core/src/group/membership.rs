//! A consumer's place in its group, whichever protocol the group speaks.

use std::{collections::BTreeSet, fmt, time::Instant};

use ottla_protocol::{ErrorCode, Now, Response};

use super::{
    ClassicState, ConsumerState, GroupConfig, GroupMetadata, GroupNews, GroupProtocol, LeaveGroup,
    classic::ClassicMember,
    consumer::ConsumerMember,
    interest::{Committer, Interest, Owned, Standing},
};
use crate::{
    backoff::{Attempts, Backoff},
    coordinator::{Coordinator, ToCoordinator},
    deadline::Earliest,
    ids::RequestId,
    metadata::{Metadata, Wanted},
};

/// A member's state, as its group's protocol names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MembershipState {
    /// In the classic protocol.
    Classic(ClassicState),
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

#[derive(Debug)]
pub(crate) enum Membership {
    Classic(ClassicMember),
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
            GroupProtocol::Classic => Self::Classic(ClassicMember::new(config, backoff, seed, now)),
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
                ClassicState::Out => Standing::Out,
                ClassicState::Joining | ClassicState::Assigning | ClassicState::Syncing => Standing::Joining,
                ClassicState::Reconciling | ClassicState::Stable | ClassicState::Revoking => Standing::Member,
                ClassicState::Leaving => Standing::Leaving,
                ClassicState::Failed => Standing::Failed,
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

    /// Whether the member wants the same topics until it is told something, by the user or by an answer, or until its
    /// state changes.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(
            self.state(),
            MembershipState::Classic(ClassicState::Out | ClassicState::Stable)
                | MembershipState::Consumer(ConsumerState::Out | ConsumerState::Stable)
        )
    }

    /// Whether the member is in the group or on its way in: only then can a user who stays away lose the membership.
    pub(crate) fn is_in(&self) -> bool {
        matches!(self.standing(), Standing::Joining | Standing::Member)
    }

    /// Whether the member keeps its partitions while the group rebalances.
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

    /// The attempts to come into the group, and the last error on the way in or while a member.
    pub(crate) fn attempts(&self) -> &Attempts {
        either!(self, member => &member.attempts)
    }

    /// When the member came into its present state.
    pub(crate) fn since(&self) -> Instant {
        either!(self, member => member.since)
    }

    /// The name in which offsets are committed; `None` while it is open whether the member belongs to the next
    /// generation.
    pub(crate) fn committer(&self) -> Option<Committer> {
        either!(self, member => member.committer())
    }

    /// The member in whose name committed offsets are asked for; `None` outside the group, and under the classic
    /// protocol, where anybody may ask.
    pub(crate) fn reader(&self) -> Option<Committer> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(member) => member.committer().filter(|committer| committer.generation_id > 0),
        }
    }

    /// Whether a commit that was refused with `error` may be made again, in the name that the member has by then.
    pub(crate) fn commits_again(&self, error: ErrorCode, sent_as: &Committer) -> bool {
        either!(self, member => member.commits_again(error, sent_as))
    }

    /// The topics subscribed to; with a pattern, the topics that match it; `None` where the coordinator alone knows
    /// which topics match.
    pub(crate) fn topics(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Classic(member) => Some(&member.interest.topics),
            Self::Consumer(member) => member.topics(),
        }
    }

    /// How many topics of the assignment have no name yet: the consumer protocol assigns by topic id.
    pub(crate) fn nameless(&self) -> usize {
        match self {
            Self::Classic(_) => 0,
            Self::Consumer(member) => member.nameless(),
        }
    }

    /// Whether the coordinator may have given the member's partitions to others, and the member has not heard of it yet: so where
    /// no heartbeat was answered for an interval, as after a time in which the process stood still.
    pub(crate) fn is_in_doubt(&self, now: Instant) -> bool {
        self.is_in() && either!(self, member => member.is_in_doubt(now))
    }

    /// Whether an assignment waits for the answer to a heartbeat before its partitions may be taken over.
    pub(crate) fn awaits_answer(&self) -> bool {
        matches!(self, Self::Consumer(member) if member.awaits_answer())
    }

    /// Whether no partition may be taken over now, as a heartbeat that lists the owned partitions is on its way.
    pub(crate) fn may_not_take_more(&self) -> bool {
        matches!(self, Self::Consumer(member) if member.may_not_take_more())
    }

    /// How many members the group has; `None` where this member was not told. Only the leader of a classic group is.
    pub(crate) fn size(&self) -> Option<usize> {
        match self {
            Self::Classic(member) => member.size(),
            Self::Consumer(_) => None,
        }
    }

    /// The topics that metadata must cover.
    pub(crate) fn wanted(&self) -> Wanted {
        either!(self, member => member.wanted())
    }

    pub(crate) fn subscribe(&mut self, interest: Interest, now: Now) -> GroupNews {
        either!(self, member => member.subscribe(interest, now))
    }

    /// Joins again although nothing calls for it; `None` under the consumer protocol, where the coordinator alone
    /// decides.
    pub(crate) fn enforce_rebalance(&mut self, reason: &str, now: Now) -> Option<GroupNews> {
        match self {
            Self::Classic(member) => Some(member.enforce_rebalance(reason, now)),
            Self::Consumer(_) => None,
        }
    }

    /// The partitions that [`GroupNews::GiveUp`] named are given up.
    pub(crate) fn given_up(&mut self, now: Now) {
        if let Self::Classic(member) = self {
            member.given_up(now);
        }
    }

    /// The partitions that the assignment takes away are given up. The coordinator, which waits for that, is told
    /// at once; otherwise it would also wait for the listener, which has yet to hear of the new partitions and may
    /// take long.
    pub(crate) fn revoked(&mut self, now: Now) {
        if let Self::Consumer(member) = self {
            member.carried_out(now);
        }
    }

    /// The member owns the partitions of [`GroupNews::Assigned`] and no others. `revoked_some` says whether it gave
    /// up any for that.
    pub(crate) fn handed_over(&mut self, revoked_some: bool, now: Now) -> GroupNews {
        match self {
            Self::Classic(member) => member.handed_over(revoked_some, now),
            Self::Consumer(member) => {
                member.handed_over(now);
                GroupNews::None
            }
        }
    }

    /// Leaves the group, and wants no topic any more.
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

    /// Compares the subscription and the assignment with the metadata, and tells what follows for the partitions.
    pub(crate) fn look(&mut self, metadata: &mut Metadata, owned: Owned<'_>, now: Now) -> GroupNews {
        match self {
            Self::Classic(member) => member.look(metadata, now),
            Self::Consumer(member) => member.look(metadata, owned),
        }
    }

    /// Sends the requests that are due. `may_join` is false until the user has been told which partitions are lost:
    /// the member does not join before that.
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

    /// Whether this is the heartbeat that waits for its answer, and says something of the generation that the member is in.
    pub(crate) fn is_heartbeat(&self, id: RequestId) -> bool {
        either!(self, member => member.is_heartbeat(id))
    }

    /// What the coordinator says against the membership, or against answering, where this answers the heartbeat under way. A rebalance
    /// is nothing of that kind.
    pub(crate) fn refused_heartbeat(&self, id: RequestId, response: &Response) -> Option<ErrorCode> {
        let error = match response {
            Response::Heartbeat(response) => response.error_code,
            Response::ConsumerGroupHeartbeat(response) => response.error_code,
            _ => return None,
        };
        let is_refusal = !error.is_ok() && error != ErrorCode::RebalanceInProgress;
        (is_refusal && self.is_heartbeat(id)).then_some(error)
    }

    pub(crate) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        either!(self, member => member.handle_unanswered(id, now));
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        either!(self, member => member.deadlines(earliest));
    }
}
