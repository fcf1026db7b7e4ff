//! Partitions change hands. Those that go are let go by their readers and committed, the listener is told, and they
//! are given up. Then new ones are taken over, and the listener is told of those.
//!
//! ```text
//! Letting ──────────> Committing ──────────> Telling ──────────> Taking ──────────> done
//!    │  no reader holds it   │  all is committed  │ on_revoked returned │ on_assigned returned
//!    └──────────────── the deadline passed: lost ──┘
//! ```

use std::{collections::BTreeSet, fmt, time::Instant};

use ottla_protocol::{ErrorCode, Now};

use super::{Callback, Consumer};
use crate::{
    event::Event,
    group::GroupNews,
    ids::{PartIdx, TopicPartition},
    log::{self, Listed},
    planted::Planted,
};

#[derive(Debug)]
pub(super) struct Handover {
    pub(super) since: Instant,
    /// When the partitions that are to go are lost instead.
    pub(super) deadline: Instant,
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

impl Handover {
    /// Whether the handover is still giving partitions up, and takes none over yet.
    pub(super) fn is_revoking(&self) -> bool {
        !matches!(self.stage, Stage::Taking { .. })
    }

    /// Whether the handover goes on only when commits are answered. `going` says whether any partition is to go.
    pub(super) fn awaits_commit(&self, going: bool) -> bool {
        self.stage == Stage::Committing || self.stage == Stage::Telling && going
    }
}

impl<F: Clone> Consumer<F> {
    /// Gives up all partitions, or those that are not of the topics in `keep`; then the member joins again.
    pub(super) fn give_up(&mut self, keep: Option<BTreeSet<String>>, now: Now) {
        let goes = |at: &TopicPartition| keep.as_ref().is_none_or(|keep| !keep.contains(&at.topic));
        self.begin_handover(goes, Then::Join, now);
    }

    /// Gives up the partitions that are not among these, and then takes over the new ones.
    pub(super) fn take_over(&mut self, partitions: Vec<TopicPartition>, now: Now) {
        let stays: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        self.begin_handover(|at| !stays.contains(at), Then::Take(partitions), now);
    }

    fn begin_handover(&mut self, goes: impl Fn(&TopicPartition) -> bool, then: Then, now: Now) {
        let going = self.lanes.assigned().filter(|(_, lane)| goes(&lane.at));
        let going: Vec<PartIdx> = going.map(|(part, _)| part).collect();
        for part in &going {
            self.lanes.begin_revoking(*part);
        }
        let Some(group) = &mut self.group else { return };
        let deadline = now.mono + group.membership.config().rebalance_timeout();
        // An eager member tells its listener that it gives partitions up even where it has none, as Java's does.
        let nothing = going.is_empty() && matches!(then, Then::Take(_));
        let stage = if nothing { Stage::Telling } else { Stage::Letting };
        group.handover = Some(Handover { since: now.mono, deadline, stage, then });
        if group.commits.is_auto() && group.commits.plot.has(Planted::LastCommitComesFirst) {
            self.commit_revoking();
        }
        self.step_handover(now);
        let handover = self.group.as_ref().and_then(|group| group.handover.as_ref());
        if handover.is_some_and(Handover::is_revoking) && self.lanes.has_revoking() {
            let held = self.lanes.held_up();
            let within = deadline.saturating_duration_since(now.mono);
            tracing::info!(target: log::GROUP, held = %Listed(held.iter()), ?within, "revocation waiting");
            let deadline = now.after(within).wall;
            self.events.push(Event::RevocationWaiting { deadline, held }, now);
        }
    }

    /// Carries the handover on as far as it can go now.
    pub(super) fn step_handover(&mut self, now: Now) {
        while self.advance_handover(now) {}
    }

    fn advance_handover(&mut self, now: Now) -> bool {
        let Some(group) = &mut self.group else { return false };
        let Some(handover) = &mut group.handover else { return false };
        let late = handover.deadline <= now.mono && handover.is_revoking();
        let leaps = self.lanes.plot.has(Planted::JoinsWithoutQuiescence);
        match handover.stage {
            _ if late => self.lose_revoking(now),
            Stage::Letting => {
                if !(self.lanes.is_quiescent() || leaps) || !group.callbacks.is_idle() {
                    return false;
                }
                handover.stage = Stage::Committing;
                let plot = group.commits.plot;
                let commits =
                    !plot.has(Planted::NoCommitOnRevocation) && !plot.has(Planted::LastCommitComesFirst);
                if group.commits.is_auto() && commits {
                    self.commit_revoking();
                }
            }
            Stage::Committing => {
                if !group.commits.is_idle() {
                    return false;
                }
                handover.stage = Stage::Telling;
                let going = self.lanes.revoking().map(|(_, lane)| lane.at.clone()).collect();
                self.tell(Callback::Revoked(going));
            }
            Stage::Telling => {
                if !group.callbacks.is_idle() || self.lanes.has_revoking() && !group.commits.is_idle() {
                    return false;
                }
                if matches!(handover.then, Then::Take(_)) && group.membership.may_not_take_more() {
                    return false;
                }
                let tells = self.lanes.has_revoking() || matches!(handover.then, Then::Join);
                let revoked = self.unassign_revoking();
                let revoked_some = !revoked.is_empty();
                if tells {
                    tell_revoked(&revoked, "rebalance");
                    self.events.push(Event::Revoked(revoked), now);
                    self.hub.wake = true;
                }
                self.after_revocation(revoked_some, now);
            }
            Stage::Taking { revoked_some } => {
                if !group.callbacks.is_idle() {
                    return false;
                }
                group.handover = None;
                self.lanes.open_announced();
                self.hub.wake = true;
                if let Some(group) = &mut self.group {
                    let news = group.membership.handed_over(revoked_some, now);
                    self.handle_group_news(news, now);
                }
                return false;
            }
        }
        true
    }

    fn after_revocation(&mut self, revoked_some: bool, now: Now) {
        let Some(group) = &mut self.group else { return };
        let Some(handover) = &mut group.handover else { return };
        let Then::Take(partitions) = &mut handover.then else {
            group.handover = None;
            group.membership.given_up(now);
            return;
        };
        let partitions = std::mem::take(partitions);
        handover.stage = Stage::Taking { revoked_some };
        if self.lanes.plot.has(Planted::RebalanceResumes) {
            self.lanes.assigned_mut().for_each(|(_, lane)| lane.paused = false);
        }
        let mut added = partitions;
        added.retain(|at| self.lanes.assigned_at(at).is_none());
        for at in &added {
            self.lanes.assign(at, group.callbacks.is_listening(), now.mono);
        }
        self.tell(Callback::Assigned(added.clone()));
        let partitions = Listed(added.iter());
        tracing::info!(target: log::GROUP, %partitions, total = self.lanes.assigned().count(), "assigned");
        self.events.push(Event::Assigned(added), now);
        self.hub.wake = true;
        if let Some(group) = self.group.as_mut().filter(|_| revoked_some) {
            group.membership.revoked(now);
        }
    }

    fn unassign_revoking(&mut self) -> Vec<TopicPartition> {
        let (parts, names): (Vec<_>, Vec<_>) =
            self.lanes.revoking().map(|(part, lane)| (part, lane.at.clone())).unzip();
        parts.into_iter().for_each(|part| self.lanes.unassign(part));
        names
    }

    /// Commits all that was delivered of the partitions that go.
    fn commit_revoking(&mut self) {
        let offsets = self.uncommitted_revoking();
        if let Some(group) = &mut self.group {
            group.commits.request(offsets, None);
        }
    }

    /// The time is over: the coordinator gives partitions to others although they were not given up, so they are lost.
    fn lose_revoking(&mut self, now: Now) {
        self.abandon_commits(ErrorCode::RebalanceInProgress);
        let lost = self.unassign_revoking();
        let revoked_some = !lost.is_empty();
        self.tell_lost(lost, &"not given up in time", now);
        self.after_revocation(revoked_some, now);
    }

    /// All partitions are gone, and nothing of them may be committed any more.
    pub(super) fn lose_all(&mut self, error: ErrorCode, why: &dyn fmt::Display, now: Now) {
        self.abandon_commits(error);
        if let Some(group) = &mut self.group {
            (group.handover, group.told_generation) = (None, -1);
        }
        let lost = self.unassign_all();
        self.tell_lost(lost, why, now);
    }

    fn tell_lost(&mut self, lost: Vec<TopicPartition>, why: &dyn fmt::Display, now: Now) {
        self.hub.wake = true;
        if lost.is_empty() {
            return;
        }
        tracing::warn!(target: log::GROUP, partitions = %Listed(lost.iter()), %why, "lost");
        self.tell(Callback::Lost(lost.clone()));
        self.events.push(Event::Lost(lost), now);
    }

    /// Unassigns all partitions, and returns them.
    pub(super) fn unassign_all(&mut self) -> Vec<TopicPartition> {
        let (parts, names): (Vec<_>, Vec<_>) =
            self.lanes.assigned().map(|(part, lane)| (part, lane.at.clone())).unzip();
        for part in parts {
            self.lanes.unassign(part);
        }
        names
    }

    pub(super) fn handle_group_news(&mut self, news: GroupNews, now: Now) {
        self.tell_joined(now);
        match news {
            GroupNews::None => return,
            // The close gives up all partitions itself, and takes over none.
            GroupNews::Assigned(_) | GroupNews::GiveUp { .. } if self.closing.is_some() => {}
            GroupNews::Assigned(partitions) => {
                let keeps = self.group.as_ref().is_some_and(|group| group.membership.keeps_partitions());
                if !keeps {
                    self.abandon_commits(ErrorCode::IllegalGeneration);
                }
                self.take_over(partitions, now);
            }
            GroupNews::GiveUp { keep } => self.give_up(keep, now),
            GroupNews::Lost => {
                let told = self.group.as_ref().and_then(|group| group.membership.attempts().error());
                match told {
                    Some(told) => self.lose_all(ErrorCode::UnknownMemberId, &told, now),
                    None => self.lose_all(ErrorCode::UnknownMemberId, &"the group went on without it", now),
                }
            }
            GroupNews::Failed(error) => {
                self.lose_all(error, &error, now);
                self.failure = Some(crate::group::GroupFailure::Refused(error));
            }
        }
        self.hub.wake = true;
    }
}

/// Tells the log. An eager member may give up an empty list, which is not told.
pub(super) fn tell_revoked(partitions: &[TopicPartition], why: &str) {
    if !partitions.is_empty() {
        let partitions = Listed(partitions.iter());
        tracing::info!(target: log::GROUP, %partitions, why, "revoked");
    }
}
