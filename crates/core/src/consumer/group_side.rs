//! The part of a consumer that only a consumer with a group has: the coordinator, the membership, committed offsets,
//! and what changes hands in the group's name.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{Now, Response};

use super::{
    callbacks::Callbacks,
    handover::Handover,
    ops::{OpFailure, Ops, Outcome},
};
use crate::{
    backoff::Backoff,
    coordinator::{Coordinated, Coordinator, ToCoordinator},
    deadline::Earliest,
    event::{Event, Events},
    group::{GroupConfig, GroupNews, Membership, Standing},
    hub::Hub,
    ids::{OpId, RequestId, TopicPartition},
    lanes::{FetchState, LaneFailure, Lanes, Search},
    log::{self, Listed},
    metadata::Metadata,
    offsets::{AutoCommit, Commits, CommittedFetch, CommittedNews, Position, ResetPolicy, ResetTo, Settled},
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
    pub(super) handover: Handover,
    pub(super) callbacks: Callbacks,
    pub(super) arrival: Arrival,
}

/// What the user was told of the member's way into the group.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The generation, or member epoch, that the user was told last.
    told_generation: i32,
    /// Since when the member has been on its way in.
    since: Option<Instant>,
}

/// What an answer brought, for others than the group side.
#[derive(Debug)]
pub(super) enum Brought {
    News(GroupNews),
    Committed(CommittedNews),
    Settled(Vec<Settled>),
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
        auto_commit: Option<AutoCommit>,
        listening: bool,
        backoff: Backoff,
        seed: u64,
        now: Now,
    ) -> Self {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let id = config.id.clone();
        Self {
            coordinator: Coordinator::new(Coordinated::Group(id.clone()), backoff, seeds.u64(..), now),
            committed: CommittedFetch::new(id.clone(), backoff, seeds.u64(..)),
            commits: Commits::new(id, auto_commit, backoff, seeds.u64(..)),
            membership: Membership::new(config, backoff, seeds.u64(..), now),
            asking: BTreeMap::new(),
            asked: BTreeMap::new(),
            handover: Handover::default(),
            callbacks: Callbacks::new(listening),
            arrival: Arrival { told_generation: -1, since: None },
        }
    }

    /// Whether nothing waits to be committed, and the listener has been told everything and has answered.
    pub(super) fn is_settled(&self) -> bool {
        self.commits.is_idle() && self.callbacks.is_idle()
    }

    /// How long the user may stay away; `None` where there is no membership to lose.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        self.membership.is_in().then_some(self.membership.config().max_poll_interval)
    }

    pub(super) fn deadlines(&self, earliest: &mut Earliest) {
        self.coordinator.deadlines(earliest);
        self.membership.deadlines(earliest);
        self.committed.deadlines(earliest);
        self.commits.deadlines(earliest);
        self.handover.deadlines(earliest);
    }

    pub(super) fn ask_committed(&mut self, at: TopicPartition, op: OpId) {
        self.committed.ask(at.clone());
        self.asking.entry(at).or_default().push(op);
    }

    /// Sends the requests that are due. Commits that are not sent, as their topics are gone, are added to `gone`.
    pub(super) fn poll_send<P, F>(
        &mut self,
        hub: &mut Hub<P>,
        lanes: &Lanes<F>,
        gone: &mut Vec<Settled>,
        now: Now,
    ) -> (Vec<(RequestId, Asked)>, GroupNews) {
        let Self { coordinator, membership, committed, commits, asking, asked, .. } = self;
        let (metadata, connections) = (&mut hub.metadata, &mut hub.connections);
        let mut sent: Vec<(RequestId, Asked)> = Vec::new();
        let needed = membership.standing() != Standing::Out || !commits.is_idle() || committed.is_waiting();
        if needed {
            sent.extend(coordinator.poll_send(metadata, connections, now).map(|id| (id, Asked::Coordinator)));
        }
        let to = &mut ToCoordinator { coordinator, metadata, connections, now };
        let may_join = self.callbacks.is_idle() && self.handover.is_idle();
        let (members, news) = membership.poll_send(to, &|| lanes.assignment(), may_join);
        sent.extend(members.into_iter().map(|id| (id, Asked::Membership)));
        if let Ok(Some(id)) = committed.poll_send(membership.reader(), to) {
            for (at, ops) in std::mem::take(asking) {
                asked.entry(at).or_default().extend(ops);
            }
            sent.push((id, Asked::Committed));
        }
        if let Ok(Some(id)) = commits.poll_send(membership.committer(), to, gone) {
            sent.push((id, Asked::Commit));
        }
        (sent, news)
    }

    /// Takes an answer that concerns the group.
    pub(super) fn handle_response(
        &mut self,
        id: RequestId,
        response: Response,
        metadata: &mut Metadata,
        now: Now,
    ) -> Brought {
        let Self { coordinator, membership, committed, commits, .. } = self;
        match response {
            Response::FindCoordinator(response) => {
                let failed = coordinator.handle_response(response, metadata, now);
                Brought::News(failed.map_or(GroupNews::None, GroupNews::Failed))
            }
            Response::OffsetFetch(response) => {
                Brought::Committed(committed.handle_response(response, coordinator, metadata, now))
            }
            Response::OffsetCommit(response) => {
                let again = |error, by: &_| membership.commits_again(error, by);
                Brought::Settled(commits.handle_response(id, response, coordinator, again, metadata, now))
            }
            response => Brought::News(membership.handle_response(id, response, coordinator, now)),
        }
    }

    /// Takes committed offsets: they are told to the users who asked, and lanes that wait for them begin there.
    pub(super) fn take_committed<F>(
        &mut self,
        found: CommittedNews,
        lanes: &mut Lanes<F>,
        ops: &mut Ops,
        reset: ResetPolicy,
        metadata: &Metadata,
        now: Now,
    ) {
        let (mut unset, wanted) = (Vec::new(), tracing::enabled!(target: log::OFFSETS, tracing::Level::INFO));
        for (at, found) in found {
            for op in self.asked.remove(&at).unwrap_or_default() {
                match &found {
                    Ok(offset) => ops.part(op, |so_far| {
                        if let Outcome::Committed(offsets) = so_far {
                            offsets.insert(at.clone(), offset.clone());
                        }
                    }),
                    Err(error) => ops.fail(op, OpFailure::Broker(*error, Some(at.clone()))),
                }
            }
            let Some((part, lane)) = lanes.assigned_at(&at) else { continue };
            // A partition that went and came back has been asked for again. This answer may be older than what
            // others have committed, so it does not count.
            let again = self.committed.asks_again(&at);
            if lane.state != FetchState::AwaitsCommitted || !lane.looking || again {
                continue;
            }
            let (state, committed) = match (found, reset.at(lanes.plot, now)) {
                (Err(error), _) => (FetchState::failed(LaneFailure::Broker(error)), None),
                (Ok(Some(committed)), _) => (FetchState::Fetching, Some(committed)),
                (Ok(None), Some(_)) if lanes.plot.has(Planted::NewPartitionsFromEnd) => {
                    (FetchState::AwaitsReset(Search::For(ResetTo::Latest)), None)
                }
                (Ok(None), Some(to)) => (FetchState::AwaitsReset(Search::For(to)), None),
                (Ok(None), None) => (FetchState::failed(LaneFailure::NoOffset), None),
            };
            let position = committed
                .map(|committed| Position { offset: committed.offset, leader_epoch: committed.leader_epoch });
            if let Some(Position { offset, .. }) = position {
                tracing::debug!(target: log::OFFSETS, partition = %at, offset, why = "committed", "position");
            }
            unset.extend(Some(at).filter(|_| wanted && matches!(state, FetchState::AwaitsReset(_))));
            lanes.place(part, state, position, now.mono);
            lanes.bind(part, metadata);
            lanes.change(part, |lane| {
                (lane.committed, lane.validated_in) = (position.map(|position| position.offset), None);
            });
        }
        if !unset.is_empty() {
            let (to, partitions) = (reset, Listed(unset.iter()));
            tracing::info!(target: log::OFFSETS, %partitions, ?to, why = "no committed offset", "reset");
        }
    }

    /// A request that concerns the group will not be answered.
    pub(super) fn handle_unanswered(&mut self, id: RequestId, asked: Asked, now: Now) {
        match asked {
            Asked::Coordinator => self.coordinator.handle_unanswered(now),
            Asked::Membership => self.membership.handle_unanswered(id, now),
            Asked::Committed => self.committed.handle_unanswered(now),
            Asked::Commit => self.commits.handle_unanswered(id, now),
        }
        if !matches!(asked, Asked::Coordinator) {
            // The coordinator may have moved, so it is looked up again rather than waited for.
            self.coordinator.forget(None, now);
        }
    }
}

impl Arrival {
    /// The next generation is told whatever its number.
    pub(super) fn forget(&mut self) {
        self.told_generation = -1;
    }

    /// Tells the user of each new generation or member epoch, and how long the member took to come in.
    pub(super) fn tell(&mut self, membership: &Membership, events: &mut Events, now: Now) {
        match membership.standing() {
            Standing::Joining => _ = self.since.get_or_insert(now.mono),
            Standing::Member if membership.generation_id() != self.told_generation => {
                let generation_id = membership.generation_id();
                self.told_generation = generation_id;
                let since = self.since.take().unwrap_or(now.mono);
                let took = now.mono.saturating_duration_since(since);
                let member_id = membership.member_id().to_owned();
                let (member, taken) = (&member_id, format_args!("{took:.1?}"));
                tracing::info!(target: log::GROUP, member, generation = generation_id, took = %taken, "joined");
                events.push(Event::Joined { generation_id, member_id, took }, now);
            }
            _ => self.since = None,
        }
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
