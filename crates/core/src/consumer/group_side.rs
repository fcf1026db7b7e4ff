//! The part of a consumer that only a consumer with a group has: the coordinator, the membership, and committed offsets.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{ErrorCode, Now, Response};

use super::{Consumer, OpFailure, Outcome, Pending, callbacks::Callbacks, handover::Handover};
use crate::{
    backoff::Backoff,
    coordinator::{Coordinator, ToCoordinator},
    event::Event,
    group::{GroupConfig, GroupFailure, GroupNews, LeaveGroup, Membership, Standing},
    ids::{OpId, RequestId, TopicPartition},
    lanes::{FetchState, LaneFailure, Search},
    log::{self, Listed},
    offsets::{Commits, CommittedFetch, CommittedNews, Position, ResetTo},
    planted::Planted,
};

#[derive(Debug)]
pub(super) struct GroupSide {
    pub(super) coordinator: Coordinator,
    pub(super) membership: Membership,
    pub(super) committed: CommittedFetch,
    pub(super) commits: Commits,
    /// Operations that ask for a partition's committed offset and are in no request yet. An answer that is on its
    /// way may be older than their question, and counts for the operations in `asked` alone.
    asking: BTreeMap<TopicPartition, Vec<OpId>>,
    asked: BTreeMap<TopicPartition, Vec<OpId>>,
    pub(super) handover: Option<Handover>,
    pub(super) callbacks: Callbacks,
    /// The generation, or member epoch, that the user was told last.
    pub(super) told_generation: i32,
    /// Since when the member has been on its way in.
    joining_since: Option<Instant>,
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
        listening: bool,
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
            handover: None,
            callbacks: Callbacks::new(listening),
            told_generation: -1,
            joining_since: None,
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
        (self.commits.plot, self.coordinator.plot, self.callbacks.plot) = (plot, plot, plot);
        self.committed.plot = plot;
        self.membership.plant(plot);
    }
}

impl<F: Clone> Consumer<F> {
    pub(super) fn step_group(&mut self, now: Now) {
        self.check_poll_interval(now);
        self.step_handover(now);
        self.look_at_cluster(now);
        if self.group.as_mut().is_some_and(|group| group.commits.take_due(now)) && self.closing.is_none() {
            let ahead = self.lanes.plot.has(Planted::AutoCommitRunsAhead);
            let mut offsets = self.uncommitted(|lane| if ahead { lane.delivered } else { lane.acked });
            offsets.retain(|at, _| !self.hub.metadata.lacks(at));
            if let Some(group) = &mut self.group {
                group.commits.request(offsets, None);
            }
        }
    }

    /// Compares the membership with the newest metadata, where no partition is changing hands.
    fn look_at_cluster(&mut self, now: Now) {
        let Some(group) = self.group.as_mut().filter(|group| group.handover.is_none()) else { return };
        let lanes = &self.lanes;
        let news = group.membership.look(&mut self.hub.metadata, &|| lanes.assignment(), now);
        self.handle_group_news(news, now);
    }

    pub(super) fn send_to_coordinator(&mut self, now: Now) -> GroupNews {
        let Some(group) = &mut self.group else { return GroupNews::None };
        let GroupSide { coordinator, membership, committed, commits, asking, asked, .. } = group;
        let (metadata, connections) = (&mut self.hub.metadata, &mut self.hub.connections);
        let mut sent: Vec<(RequestId, Asked)> = Vec::new();
        let needed = membership.standing() != Standing::Out || !commits.is_idle() || committed.is_waiting();
        if needed {
            sent.extend(coordinator.poll_send(metadata, connections, now).map(|id| (id, Asked::Coordinator)));
        }
        let to = &mut ToCoordinator { coordinator, metadata, connections, now };
        let lanes = &self.lanes;
        let may_join = group.callbacks.is_idle() && group.handover.is_none();
        let (members, news) = membership.poll_send(to, &|| lanes.assignment(), may_join);
        sent.extend(members.into_iter().map(|id| (id, Asked::Membership)));
        if let Ok(Some(id)) = committed.poll_send(membership.reader(), to) {
            for (at, ops) in std::mem::take(asking) {
                asked.entry(at).or_default().extend(ops);
            }
            sent.push((id, Asked::Committed));
        }
        if let Ok(Some(id)) = commits.poll_send(membership.committer(), to) {
            sent.push((id, Asked::Commit));
        }
        sent.into_iter().for_each(|(id, asked)| self.hub.expect(id, Pending::Group(asked)));
        news
    }

    /// Tells the user of each new generation or member epoch, and how long the member took to come in.
    pub(super) fn tell_joined(&mut self, now: Now) {
        let Some(group) = &mut self.group else { return };
        match group.membership.standing() {
            Standing::Joining => _ = group.joining_since.get_or_insert(now.mono),
            Standing::Member if group.membership.generation_id() != group.told_generation => {
                let generation_id = group.membership.generation_id();
                group.told_generation = generation_id;
                let since = group.joining_since.take().unwrap_or(now.mono);
                let took = now.mono.saturating_duration_since(since);
                let member_id = group.membership.member_id().to_owned();
                let (member, taken) = (&member_id, format_args!("{took:.1?}"));
                tracing::info!(target: log::GROUP, member, generation = generation_id, took = %taken, "joined");
                self.events.push(Event::Joined { generation_id, member_id, took }, now);
            }
            _ => group.joining_since = None,
        }
    }

    /// If the user stays away too long, the member leaves and its partitions are lost, so that others can read them.
    fn check_poll_interval(&mut self, now: Now) {
        let overdue = self.overdue_at().filter(|at| *at <= now.mono && self.closing.is_none());
        if let Some(interval) = self.poll_interval().filter(|_| overdue.is_some()) {
            let failure = GroupFailure::MaxPollExceeded(interval);
            tracing::warn!(target: log::GROUP, why = %failure, "poll overdue");
            self.failure = Some(failure);
            self.lose_all(ErrorCode::UnknownMemberId, &"poll overdue", now);
            if let Some(group) = &mut self.group {
                group.membership.leave(LeaveGroup::Default, now);
            }
        }
    }

    /// Joins again with the present subscription.
    pub(super) fn rejoin(&mut self, now: Now) {
        self.changed();
        self.readers.touch_own(now);
        if let (Some(group), Some(interest)) = (&mut self.group, self.subscription.interest()) {
            group.membership.subscribe(interest, now);
        }
    }

    /// An answer that concerns the group.
    pub(super) fn handle_group_response(&mut self, id: RequestId, response: Response, now: Now) {
        let Some(group) = &mut self.group else { return };
        let GroupSide { coordinator, membership, committed, commits, .. } = group;
        let of_coordinator = !matches!(response, Response::FindCoordinator(_));
        let news = match response {
            Response::FindCoordinator(response) => {
                match coordinator.handle_response(response, &mut self.hub.metadata, now) {
                    Some(error) => GroupNews::Failed(error),
                    None => GroupNews::None,
                }
            }
            Response::OffsetFetch(response) => {
                let found = committed.handle_response(response, coordinator, now);
                self.handle_committed(found, now);
                GroupNews::None
            }
            Response::OffsetCommit(response) => {
                let metadata = &mut self.hub.metadata;
                let again = |error, by: &_| membership.commits_again(error, by);
                let settled = commits.handle_response(id, response, coordinator, again, metadata, now);
                self.settle_commits(settled, now)
            }
            response => {
                self.hub.wake = true;
                membership.handle_response(id, response, coordinator, now)
            }
        };
        if let Some(group) = self.group.as_mut().filter(|_| of_coordinator) {
            group.coordinator.answered(&self.hub.metadata, now);
        }
        self.handle_group_news(news, now);
    }

    fn handle_committed(&mut self, found: CommittedNews, now: Now) {
        self.hub.wake = true;
        let (mut unset, wanted) = (Vec::new(), tracing::enabled!(target: log::OFFSETS, tracing::Level::INFO));
        for (at, found) in found {
            let ops = self.group.as_mut().and_then(|group| group.asked.remove(&at)).unwrap_or_default();
            for op in ops {
                match &found {
                    Ok(offset) => self.ops.part(op, |so_far| {
                        if let Outcome::Committed(offsets) = so_far {
                            offsets.insert(at.clone(), offset.clone());
                        }
                    }),
                    Err(error) => self.ops.fail(op, OpFailure::Broker(*error, Some(at.clone()))),
                }
            }
            let Some((part, lane)) = self.lanes.assigned_at(&at) else { continue };
            // A partition that went and came back has been asked for again. This answer may be older than what
            // others have committed, so it does not count.
            let again = self.group.as_ref().is_some_and(|group| group.committed.asks_again(&at));
            if lane.state != FetchState::AwaitsCommitted || !lane.looking || again {
                continue;
            }
            let (state, committed) = match (found, self.reset.at(self.lanes.plot, now)) {
                (Err(error), _) => (FetchState::Failed(LaneFailure::Broker(error)), None),
                (Ok(Some(committed)), _) => (FetchState::Fetching, Some(committed)),
                (Ok(None), Some(_)) if self.lanes.plot.has(Planted::NewPartitionsFromEnd) => {
                    (FetchState::AwaitsReset(Search::For(ResetTo::Latest)), None)
                }
                (Ok(None), Some(to)) => (FetchState::AwaitsReset(Search::For(to)), None),
                (Ok(None), None) => (FetchState::Failed(LaneFailure::NoOffset), None),
            };
            let position = committed
                .map(|committed| Position { offset: committed.offset, leader_epoch: committed.leader_epoch });
            if let Some(Position { offset, .. }) = position {
                tracing::debug!(target: log::OFFSETS, partition = %at, offset, why = "committed", "position");
            }
            unset.extend(Some(at).filter(|_| wanted && matches!(state, FetchState::AwaitsReset(_))));
            self.lanes.place(part, state, position, now.mono);
            if let Some(lane) = self.lanes.get_mut(part) {
                lane.committed = position.map(|position| position.offset);
            }
        }
        if !unset.is_empty() {
            let (to, partitions) = (self.reset, Listed(unset.iter()));
            tracing::info!(target: log::OFFSETS, %partitions, ?to, why = "no committed offset", "reset");
        }
    }

    /// A request that concerns the group will not be answered.
    pub(super) fn group_unanswered(&mut self, id: RequestId, asked: Asked, now: Now) {
        let Some(group) = &mut self.group else { return };
        match asked {
            Asked::Coordinator => group.coordinator.handle_unanswered(now),
            Asked::Membership => group.membership.handle_unanswered(id, now),
            Asked::Committed => group.committed.handle_unanswered(now),
            Asked::Commit => group.commits.handle_unanswered(id, now),
        }
        if !matches!(asked, Asked::Coordinator) {
            // The coordinator may have moved, so it is looked up again rather than waited for.
            group.coordinator.forget(None, now);
        }
    }
}
