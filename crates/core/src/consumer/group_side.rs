//! What a consumer has on top when it has a group: the coordinator, the membership, and committed offsets.

use std::{collections::BTreeMap, time::Duration};

use ottla_protocol::{ErrorCode, Now, Response};

use super::{Consumer, Pending, Subscription};
use crate::{
    backoff::Backoff,
    coordinator::Coordinator,
    event::Event,
    group::{GroupConfig, GroupFailure, GroupNews, MemberState, Membership},
    ids::{OpId, RequestId, TopicPartition},
    lanes::{LaneFailure, Position},
    offsets::{Commits, CommittedFetch, CommittedOffset},
    ops::{OpFailure, Outcome},
    planted::Planted,
};

#[derive(Debug)]
pub(super) struct GroupSide {
    pub(super) coordinator: Coordinator,
    pub(super) membership: Membership,
    pub(super) committed: CommittedFetch,
    pub(super) commits: Commits,
    /// Who asks what is committed, and is not in a request yet: an answer on its way may be older than his question.
    asking: BTreeMap<TopicPartition, Vec<OpId>>,
    asked: BTreeMap<TopicPartition, Vec<OpId>>,
    /// Whether what was delivered before the revocation under way has been handed to the commits.
    final_commit: bool,
}

/// Which part of the group side awaits an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Coordinator,
    Membership,
    Committed,
    Commit,
}

impl GroupSide {
    pub(super) fn new(
        config: GroupConfig,
        auto_commit: Option<Duration>,
        backoff: Backoff,
        seed: u64,
        now: Now,
    ) -> Self {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let id = config.id.clone();
        Self {
            coordinator: Coordinator::new(id.clone(), backoff, seeds.u64(..), now),
            committed: CommittedFetch::new(id.clone(), backoff, seeds.u64(..)),
            commits: Commits::new(id, auto_commit, backoff, seeds.u64(..), now),
            membership: Membership::new(config, backoff, seeds.u64(..), now),
            asking: BTreeMap::new(),
            asked: BTreeMap::new(),
            final_commit: false,
        }
    }

    pub(super) fn ask_committed(&mut self, at: TopicPartition, op: OpId) {
        self.committed.ask(at.clone());
        self.asking.entry(at).or_default().push(op);
    }
}

#[cfg(feature = "planted")]
impl GroupSide {
    pub(super) fn plant(&mut self, plot: crate::planted::Plot) {
        (self.commits.plot, self.membership.plot) = (plot, plot);
    }
}

impl<F: Clone> Consumer<F> {
    pub(super) fn step_group(&mut self, now: Now) {
        self.check_poll_interval(now);
        if self.group.as_ref().is_some_and(|group| group.membership.is_outdated(&self.metadata)) {
            let news = self.group.as_mut().map(|group| group.membership.begin_rebalance(now));
            self.handle_group_news(news.unwrap_or(GroupNews::None), now);
        }
        self.step_revocation(now);
        if self.group.as_mut().is_some_and(|group| group.commits.take_due(now)) && self.closing.is_none() {
            let offsets = self.uncommitted(false);
            if let Some(group) = &mut self.group {
                group.commits.request(offsets, None);
            }
        }
        let Some(group) = &mut self.group else { return };
        let GroupSide { coordinator, membership, committed, commits, asking, asked, .. } = group;
        let (metadata, connections) = (&mut self.metadata, &mut self.connections);
        let mut sent: Vec<(RequestId, Asked)> = Vec::new();
        let needed = membership.state() != MemberState::Out || !commits.is_idle() || committed.is_waiting();
        if needed {
            sent.extend(coordinator.poll_send(metadata, connections, now).map(|id| (id, Asked::Coordinator)));
        }
        let members = membership.poll_send(coordinator, metadata, connections, now);
        sent.extend(members.into_iter().map(|id| (id, Asked::Membership)));
        let fetch = committed.poll_send(coordinator, metadata, connections, now);
        if let Some(id) = fetch {
            for (at, ops) in std::mem::take(asking) {
                asked.entry(at).or_default().extend(ops);
            }
            sent.push((id, Asked::Committed));
        }
        let committer = membership.committer();
        let commit = commits.poll_send(&committer, coordinator, metadata, connections, now);
        sent.extend(commit.map(|id| (id, Asked::Commit)));
        self.pending.extend(sent.into_iter().map(|(id, asked)| (id, Pending::Group(asked))));
    }

    /// A user who stays away too long gives up his partitions, so that others can read them.
    fn check_poll_interval(&mut self, now: Now) {
        let Some(interval) = self.poll_interval().filter(|_| !self.reader.parked && self.closing.is_none())
        else {
            return;
        };
        if self.reader.last_poll + interval <= now.mono {
            self.failure = Some(GroupFailure::MaxPollExceeded(interval));
            self.lose_all(ErrorCode::UnknownMemberId);
            if let Some(group) = &mut self.group {
                group.membership.leave(now);
            }
        }
    }

    /// How long the user may stay away; `None` where there is no membership to lose.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        let membership = &self.group.as_ref()?.membership;
        let member =
            !matches!(membership.state(), MemberState::Out | MemberState::Leaving | MemberState::Failed);
        member.then_some(membership.config().max_poll_interval)
    }

    /// Joins again with the subscription that stands.
    pub(super) fn rejoin(&mut self, now: Now) {
        self.changed();
        self.reader.touch(now);
        if let (Some(group), Subscription::Topics(topics)) = (&mut self.group, &self.subscription) {
            group.membership.subscribe(topics.clone(), now);
        }
    }

    /// Gives up what is being revoked, as soon as no reader holds it: first what was delivered is committed.
    fn step_revocation(&mut self, now: Now) {
        let Some(group) = &mut self.group else { return };
        let MemberState::Revoking { deadline, .. } = group.membership.state() else { return };
        let leaps = self.lanes.plot.has(Planted::JoinsWithoutQuiescence);
        let (late, quiescent) = (deadline <= now.mono, leaps || self.lanes.is_quiescent());
        if quiescent && !group.final_commit {
            group.final_commit = true;
            if group.commits.is_auto() && !group.commits.plot.has(Planted::NoCommitOnRevocation) {
                let offsets = self.uncommitted(true);
                if let Some(group) = &mut self.group {
                    group.commits.request(offsets, None);
                }
            }
        }
        let Some(group) = &mut self.group else { return };
        let done = quiescent && group.commits.is_idle();
        if done || late {
            group.final_commit = false;
            group.membership.revoked(now);
            match done {
                true => {
                    let revoked = self.give_up_all();
                    self.events.push(Event::Revoked(revoked));
                    self.wake = true;
                }
                false => self.lose_all(ErrorCode::RebalanceInProgress),
            }
        }
    }

    pub(super) fn handle_group_news(&mut self, news: GroupNews, now: Now) {
        match news {
            GroupNews::None => return,
            GroupNews::Assigned(partitions) => {
                self.abandon_commits(ErrorCode::IllegalGeneration);
                if let Some(group) = &self.group {
                    let (generation_id, member_id) =
                        (group.membership.generation_id(), group.membership.member_id().to_owned());
                    self.events.push(Event::Joined { generation_id, member_id });
                }
                for at in &partitions {
                    self.lanes.assign(at, Position::Committed, now.mono);
                }
                self.events.push(Event::Assigned(partitions));
            }
            GroupNews::Rebalance => {
                let parts: Vec<_> = self.lanes.assigned().map(|(part, _)| part).collect();
                for part in parts {
                    self.lanes.begin_revoking(part);
                }
                let state = self.group.as_ref().map(|group| group.membership.state());
                if let Some(MemberState::Revoking { since, deadline }) =
                    state.filter(|_| !self.lanes.is_quiescent())
                {
                    self.events.push(Event::RevocationWaiting { since, deadline });
                }
            }
            GroupNews::Lost => self.lose_all(ErrorCode::UnknownMemberId),
            GroupNews::Failed(error) => {
                self.lose_all(error);
                self.failure = Some(GroupFailure::Refused(error));
            }
        }
        self.wake = true;
    }

    /// Unassigns everything, and tells what that was.
    pub(super) fn give_up_all(&mut self) -> Vec<TopicPartition> {
        let (parts, names): (Vec<_>, Vec<_>) =
            self.lanes.assigned().map(|(part, lane)| (part, lane.at.clone())).unzip();
        for part in parts {
            self.lanes.unassign(part);
        }
        names
    }

    /// What waits to be committed is of a generation that is over: its partitions may be another member's by now.
    pub(super) fn abandon_commits(&mut self, error: ErrorCode) {
        if let Some(group) = &mut self.group {
            group.final_commit = false;
            for op in group.commits.discard() {
                self.ops.fail(op, OpFailure::NotMember(error));
            }
        }
    }

    /// Everything is gone, and nothing of it may be committed any more.
    fn lose_all(&mut self, error: ErrorCode) {
        self.abandon_commits(error);
        let lost = self.give_up_all();
        if !lost.is_empty() {
            self.events.push(Event::Lost(lost));
        }
        self.wake = true;
    }

    /// An answer that concerns the group.
    pub(super) fn handle_group_response(&mut self, id: RequestId, response: Response, now: Now) {
        let Some(group) = &mut self.group else { return };
        let GroupSide { coordinator, membership, committed, commits, .. } = group;
        let news = match response {
            Response::FindCoordinator(response) => {
                match coordinator.handle_response(response, &mut self.metadata, now) {
                    Some(error) => GroupNews::Failed(error),
                    None => GroupNews::None,
                }
            }
            Response::JoinGroup(response) => membership.handle_join(id, response, coordinator, now),
            Response::SyncGroup(response) => membership.handle_sync(id, response, coordinator, now),
            Response::Heartbeat(response) => membership.handle_heartbeat(id, response, coordinator, now),
            Response::LeaveGroup(_) => {
                membership.handle_leave(id, now);
                self.wake = true;
                GroupNews::None
            }
            Response::OffsetFetch(response) => {
                match committed.handle_response(response, coordinator, now) {
                    Ok(found) => self.handle_committed(found, now),
                    Err(error) => self.committed_refused(error, now),
                }
                GroupNews::None
            }
            Response::OffsetCommit(response) => match commits.handle_response(id, response, coordinator, now)
            {
                Some(news) => self.handle_commit_news(news, now),
                None => GroupNews::None,
            },
            _ => GroupNews::None,
        };
        self.handle_group_news(news, now);
    }

    fn handle_commit_news(&mut self, news: crate::offsets::CommitNews, now: Now) -> GroupNews {
        self.wake = true;
        match news.result {
            Ok(offsets) => {
                for (at, committed) in offsets {
                    let part = self.lanes.find(&at);
                    if let Some(lane) = part.and_then(|part| self.lanes.get_mut(part)) {
                        lane.committed = Some(committed.offset);
                    }
                }
                for op in news.ops {
                    self.ops.part(op, |_| ());
                }
                GroupNews::None
            }
            Err((error, at)) => {
                let membership = matches!(
                    error,
                    ErrorCode::UnknownMemberId
                        | ErrorCode::IllegalGeneration
                        | ErrorCode::RebalanceInProgress
                );
                for op in news.ops {
                    let failure = match membership {
                        true => OpFailure::NotMember(error),
                        false => OpFailure::Broker(error, at.clone()),
                    };
                    self.ops.fail(op, failure);
                }
                match (&mut self.group, error) {
                    (Some(group), ErrorCode::RebalanceInProgress) => group.membership.begin_rebalance(now),
                    (Some(group), _) if membership && group.membership.state().beats() => {
                        group.membership.lost(error, now)
                    }
                    _ => GroupNews::None,
                }
            }
        }
    }

    fn handle_committed(&mut self, found: BTreeMap<TopicPartition, Option<CommittedOffset>>, now: Now) {
        self.wake = true;
        for (at, offset) in found {
            let ops = self.group.as_mut().and_then(|group| group.asked.remove(&at)).unwrap_or_default();
            for op in ops {
                self.ops.part(op, |so_far| {
                    if let Outcome::Committed(offsets) = so_far {
                        offsets.insert(at.clone(), offset.clone());
                    }
                });
            }
            let Some((part, lane)) = self.lanes.assigned_at(&at) else { continue };
            if lane.position != Position::Committed {
                continue;
            }
            let committed = offset.map(|committed| committed.offset);
            let position = match (committed, self.reset.at(now)) {
                (Some(_), _) => Position::Known,
                (None, Some(to)) => Position::Reset(to),
                (None, None) => Position::Failed(LaneFailure::NoOffset),
            };
            self.lanes.place(part, position, committed, now.mono);
            if let Some(lane) = self.lanes.get_mut(part) {
                lane.committed = committed;
            }
        }
    }

    fn committed_refused(&mut self, error: ErrorCode, now: Now) {
        let ops = self.group.as_mut().map(|group| std::mem::take(&mut group.asked)).unwrap_or_default();
        for op in ops.into_values().flatten() {
            self.ops.fail(op, OpFailure::Broker(error, None));
        }
        let waiting = self.lanes.assigned().filter(|(_, lane)| lane.position == Position::Committed);
        for part in waiting.map(|(part, _)| part).collect::<Vec<_>>() {
            self.lanes.place(part, Position::Failed(LaneFailure::Broker(error)), None, now.mono);
        }
        self.wake = true;
    }

    /// A request that concerns the group stays without an answer.
    pub(super) fn group_unanswered(&mut self, id: RequestId, asked: Asked, now: Now) {
        let Some(group) = &mut self.group else { return };
        match asked {
            Asked::Coordinator => group.coordinator.handle_unanswered(now),
            Asked::Membership => group.membership.handle_unanswered(id, now),
            Asked::Committed => group.committed.handle_unanswered(now),
            Asked::Commit => group.commits.handle_unanswered(id, now),
        }
        if !matches!(asked, Asked::Coordinator) {
            // It may have moved: looked up again rather than waited for.
            group.coordinator.forget(now);
        }
    }
}
