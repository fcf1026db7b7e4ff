//! Partitions change hands. Those that go are let go by their readers and committed, the listener is told, and they
//! are given up. Then new ones are taken over, and the listener is told of those.
//!
//! ```text
//! Letting ──────────> Committing ──────────> Telling ──────────> Taking ──────────> done
//!    │  no reader holds it   │  it is committed   │ on_revoked returned │ on_assigned returned
//!    └──────────────── the deadline passed: lost ──┘
//! ```

use std::{collections::BTreeSet, fmt, ops::ControlFlow, time::Instant};

use ottla_protocol::{ErrorCode, Now};

use super::{callbacks::Callbacks, commits, ops::Ops, rebalances::Rebalances};
use crate::{
    Callback,
    deadline::Earliest,
    event::{Event, Events},
    group::{GroupNews, Membership},
    ids::{PartIdx, TopicPartition},
    lanes::Lanes,
    log::{self, Listed},
    offsets::Commits,
    planted::Planted,
};

/// The handover that is under way, if one is. A step that ends it returns what follows for the member.
#[derive(Debug, Default)]
pub(super) struct Handover {
    under_way: Option<UnderWay>,
    pub(super) rebalances: Rebalances,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    /// When the partitions that are to go are lost instead.
    deadline: Instant,
    stage: Stage,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Letting,
    Committing,
    Telling,
    Taking { revoked_some: bool },
}

#[derive(Debug)]
enum Then {
    /// The member joins again.
    Join,
    /// The member is to own these and no others.
    Take(Vec<TopicPartition>),
}

/// All that partitions pass through when they change hands.
pub(super) struct Hands<'a, F> {
    pub(super) lanes: &'a mut Lanes<F>,
    pub(super) membership: &'a mut Membership,
    pub(super) commits: &'a mut Commits,
    pub(super) callbacks: &'a mut Callbacks,
    pub(super) ops: &'a mut Ops,
    pub(super) events: &'a mut Events,
    /// Users who wait have to look again.
    pub(super) wake: &'a mut bool,
    pub(super) now: Now,
}

impl Handover {
    /// Whether no partition is changing hands.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Whether the handover is still giving partitions up, and takes none over yet.
    pub(super) fn is_revoking(&self) -> bool {
        self.under_way.as_ref().is_some_and(UnderWay::is_revoking)
    }

    /// Whether the handover goes on only when what is given up is committed.
    pub(super) fn awaits_commit(&self) -> bool {
        let stage = self.under_way.as_ref().map(|under_way| under_way.stage);
        matches!(stage, Some(Stage::Committing | Stage::Telling))
    }

    /// Since when partitions have been changing hands.
    pub(super) fn since(&self) -> Option<Instant> {
        Some(self.under_way.as_ref()?.since)
    }

    pub(super) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.under_way.as_ref().map(|under_way| under_way.deadline));
    }

    /// The handover ends here: something else takes all partitions away.
    pub(super) fn end(&mut self) {
        self.under_way = None;
    }

    /// Gives up all partitions, or those that are not of the topics in `keep`; then the member joins again.
    pub(super) fn give_up<F>(
        &mut self,
        keep: Option<BTreeSet<String>>,
        hands: &mut Hands<'_, F>,
    ) -> Option<GroupNews> {
        let goes = |at: &TopicPartition| keep.as_ref().is_none_or(|keep| !keep.contains(&at.topic));
        self.begin(goes, Then::Join, hands)
    }

    /// Gives up the partitions that are not among these, and then takes over the new ones.
    pub(super) fn take_over<F>(
        &mut self,
        partitions: Vec<TopicPartition>,
        hands: &mut Hands<'_, F>,
    ) -> Option<GroupNews> {
        if !hands.membership.keeps_partitions() {
            commits::abandon(hands.commits, hands.ops, ErrorCode::IllegalGeneration);
        }
        let stays: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        self.begin(|at| !stays.contains(at), Then::Take(partitions), hands)
    }

    fn begin<F>(
        &mut self,
        goes: impl Fn(&TopicPartition) -> bool,
        then: Then,
        hands: &mut Hands<'_, F>,
    ) -> Option<GroupNews> {
        let going = hands.lanes.assigned().filter(|(_, lane)| goes(&lane.at));
        let going: Vec<PartIdx> = going.map(|(part, _)| part).collect();
        for part in &going {
            hands.lanes.begin_revoking(*part);
        }
        let now = hands.now;
        self.rebalances.begins(now);
        let deadline = now.mono + hands.membership.config().rebalance_timeout();
        // An eager member tells its listener that it gives partitions up even where it has none, as Java's does.
        let nothing = going.is_empty() && matches!(then, Then::Take(_));
        let stage = if nothing { Stage::Telling } else { Stage::Letting };
        self.under_way = Some(UnderWay { since: now.mono, deadline, stage, then });
        hands.commit_last_at(Stage::Letting);
        let news = self.step(hands);
        if self.is_revoking() && hands.lanes.has_revoking() {
            let held = hands.lanes.held_up();
            let within = deadline.saturating_duration_since(now.mono);
            tracing::info!(target: log::GROUP, held = %Listed(held.iter()), ?within, "revocation waiting");
            let deadline = now.after(within).wall;
            hands.events.push(Event::RevocationWaiting { deadline, held }, now);
        }
        news
    }

    /// Carries the handover on as far as it can go now.
    pub(super) fn step<F>(&mut self, hands: &mut Hands<'_, F>) -> Option<GroupNews> {
        loop {
            if let ControlFlow::Break(news) = self.advance(hands) {
                return news;
            }
        }
    }

    fn advance<F>(&mut self, hands: &mut Hands<'_, F>) -> ControlFlow<Option<GroupNews>> {
        const WAITS: ControlFlow<Option<GroupNews>> = ControlFlow::Break(None);
        let Some(under_way) = &mut self.under_way else { return WAITS };
        let late = under_way.deadline <= hands.now.mono && under_way.is_revoking();
        match under_way.stage {
            _ if late => self.lose_revoking(hands),
            Stage::Letting => {
                if !hands.is_let_go() || !hands.callbacks.is_idle() {
                    return WAITS;
                }
                under_way.stage = Stage::Committing;
                hands.commit_last_at(Stage::Committing);
            }
            Stage::Committing => {
                if hands.commits.are_revoking(hands.lanes) {
                    return WAITS;
                }
                under_way.stage = Stage::Telling;
                let going = hands.lanes.revoking().map(|(_, lane)| (*lane.at).clone()).collect();
                hands.tell(Callback::Revoked(going));
            }
            Stage::Telling => {
                let going = hands.lanes.has_revoking();
                if !hands.callbacks.is_idle() || hands.commits.are_revoking(hands.lanes) {
                    return WAITS;
                }
                if matches!(under_way.then, Then::Take(_)) && hands.membership.may_not_take_more() {
                    return WAITS;
                }
                let tells = going || matches!(under_way.then, Then::Join);
                let revoked = hands.lanes.unassign_revoking();
                let revoked_some = !revoked.is_empty();
                if tells {
                    tell_revoked(&revoked, "rebalance");
                    hands.events.push(Event::Revoked(revoked), hands.now);
                    *hands.wake = true;
                }
                self.after_revocation(revoked_some, hands);
            }
            Stage::Taking { revoked_some } => {
                if !hands.callbacks.is_idle() {
                    return WAITS;
                }
                self.under_way = None;
                self.rebalances.ends(hands.now);
                hands.lanes.open_announced();
                *hands.wake = true;
                return ControlFlow::Break(Some(hands.membership.handed_over(revoked_some, hands.now)));
            }
        }
        ControlFlow::Continue(())
    }

    fn after_revocation<F>(&mut self, revoked_some: bool, hands: &mut Hands<'_, F>) {
        let Some(under_way) = &mut self.under_way else { return };
        let Then::Take(partitions) = &mut under_way.then else {
            self.under_way = None;
            hands.membership.given_up(hands.now);
            return;
        };
        let mut added = std::mem::take(partitions);
        under_way.stage = Stage::Taking { revoked_some };
        if hands.lanes.plot.has(Planted::RebalanceResumes) {
            hands.lanes.resume_all();
        }
        added.retain(|at| hands.lanes.assigned_at(at).is_none());
        for at in &added {
            hands.lanes.assign(at, hands.callbacks.is_listening(), hands.now.mono);
        }
        hands.tell(Callback::Assigned(added.clone()));
        let partitions = Listed(added.iter());
        tracing::info!(target: log::GROUP, %partitions, total = hands.lanes.assigned().count(), "assigned");
        hands.events.push(Event::Assigned(added), hands.now);
        *hands.wake = true;
        if revoked_some {
            hands.membership.revoked(hands.now);
        }
    }

    /// The time is over: the coordinator gives partitions to others although they were not given up, so they are lost.
    fn lose_revoking<F>(&mut self, hands: &mut Hands<'_, F>) {
        commits::abandon(hands.commits, hands.ops, ErrorCode::RebalanceInProgress);
        let lost = hands.lanes.unassign_revoking();
        let revoked_some = !lost.is_empty();
        self.rebalances.lost += lost.len() as u64;
        hands.tell_lost(lost, &"not given up in time");
        self.after_revocation(revoked_some, hands);
    }

    /// All partitions are gone, and nothing of them may be committed any more.
    pub(super) fn lose_all<F>(&mut self, error: ErrorCode, why: &dyn fmt::Display, hands: &mut Hands<'_, F>) {
        commits::abandon(hands.commits, hands.ops, error);
        self.end();
        let lost = hands.lanes.unassign_all();
        self.rebalances.lost += lost.len() as u64;
        hands.tell_lost(lost, why);
    }
}

impl UnderWay {
    fn is_revoking(&self) -> bool {
        !matches!(self.stage, Stage::Taking { .. })
    }
}

impl<F> Hands<'_, F> {
    /// Whether no reader holds anything of what is to go.
    fn is_let_go(&self) -> bool {
        self.lanes.is_quiescent() || self.lanes.plot.has(Planted::JoinsWithoutQuiescence)
    }

    /// With auto commit, what was done of the partitions that go is committed when nothing of them is in hand any more.
    fn commit_last_at(&mut self, stage: Stage) {
        let last = match self.commits.plot.has(Planted::LastCommitComesFirst) {
            true => Stage::Letting,
            false => Stage::Committing,
        };
        if stage == last && self.commits.is_auto() {
            self.commit_revoking();
        }
    }

    fn commit_revoking(&mut self) {
        if !self.commits.plot.has(Planted::NoCommitOnRevocation) {
            self.commits.request(self.lanes.uncommitted_revoking(), None, self.lanes);
        }
    }

    fn tell(&mut self, callback: Callback) {
        self.callbacks.tell(callback, self.lanes.fence());
    }

    fn tell_lost(&mut self, lost: Vec<TopicPartition>, why: &dyn fmt::Display) {
        *self.wake = true;
        if lost.is_empty() {
            return;
        }
        tracing::warn!(target: log::GROUP, partitions = %Listed(lost.iter()), %why, "lost");
        self.tell(Callback::Lost(lost.clone()));
        self.events.push(Event::Lost(lost), self.now);
    }
}

/// Tells the log. An eager member may give up an empty list, which is not told.
pub(super) fn tell_revoked(partitions: &[TopicPartition], why: &str) {
    if !partitions.is_empty() {
        let partitions = Listed(partitions.iter());
        tracing::info!(target: log::GROUP, %partitions, why, "revoked");
    }
}
