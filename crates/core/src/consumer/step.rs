//! What is due: everything that a consumer does without being asked is done in [`Consumer::step`].

use std::{fmt, sync::Arc, time::Instant};

use ottla_protocol::{ErrorCode, Now};

use super::{
    Callback, Consumer, Pending,
    closing::{Closing, Progress},
    commits::Concerned,
    group_side::GroupSide,
    handover::{self, Handover, Hands},
    ops::{OpFailure, Outcome},
    readers::OWN,
};
use crate::{
    backoff::Retry,
    event::Event,
    group::{GroupFailure, GroupNews, LeaveGroup, Standing},
    lanes::{FetchState, LaneFailure, Search},
    log,
    metadata::Metadata,
    offsets::{Purpose, Settled},
    planted::Planted,
};

impl<F: Clone> Consumer<F> {
    /// Does everything that is due.
    pub(super) fn step(&mut self, now: Now) {
        if self.close_is_done() {
            return;
        }
        debug_assert!(self.lanes.is_filed(), "a lane has changed unseen");
        self.read_slots(now);
        self.hear_refusals(now);
        self.refuse_what_waits(now);
        let group = self.group.as_ref();
        let waiting_for = |op, so_far: &_| {
            let retry = match so_far {
                Outcome::Commit(_) => group.and_then(|group| group.commits.retry(now)),
                Outcome::Committed(_) => group.and_then(|group| group.committed.attempts.retry(now)),
                Outcome::Offsets(_) => self.lookups.retry(Purpose::Op(op), now),
            };
            waiting_for(&self.hub.metadata, group, retry)
        };
        self.hub.wake |= self
            .ops
            .expire(now.mono, |op, unanswered| Err(OpFailure::TimedOut(waiting_for(op, &unanswered.so_far))));
        let group = self.group.as_ref();
        let wanted = self.wanted.gather(&mut self.hub, &self.manual_topics, &self.lookups, group);
        self.hub.poll_same_metadata(wanted, now);
        self.notice_recreated(now);
        self.give_up_unknown_topics(now);
        loop {
            self.step_closing(now);
            if self.close_is_done() {
                return;
            }
            self.step_group(now);
            self.find_positions(now);
            // A handover or a close may have waited for commits that are given up here.
            if !self.send_to_coordinator(now) {
                break;
            }
        }
        let (lanes, ops) = (&self.lanes, &self.ops);
        self.lookups.retain(|purpose| match purpose {
            Purpose::Lane(part, epoch) => {
                lanes.get(*part).is_some_and(|lane| lane.phase().is_assigned() && lane.epoch == *epoch)
            }
            Purpose::Op(op) => ops.is_open(*op),
        });
        let sent = self.lookups.poll_send(&mut self.hub.metadata, &mut self.hub.connections, now);
        sent.into_iter().for_each(|id| self.hub.expect(id, Pending::Lookup));
        if self.closing.is_none() {
            self.step_fetch(now);
        }
        if self.step_telemetry(now) {
            // What a close waited for is over, and nothing else need wake it.
            self.step_closing(now);
        }
    }

    fn step_closing(&mut self, now: Now) {
        let under_way = |closing: &&Closing| !closing.is_done();
        let Some(closing) = self.closing.as_ref().filter(under_way) else { return };
        if closing.is_last_call(now) {
            self.give_up_commits(now);
        }
        let Some(closing) = &mut self.closing else { return };
        let (mut settled, mut standing) = (true, Standing::Out);
        if let Some(group) = &mut self.group {
            if closing.tells(group.is_settled()) && self.lanes.assigned().next().is_some() {
                group.callbacks.tell(Callback::Revoked(self.lanes.assignment()), self.lanes.fence());
            }
            if let Some(how) = closing.leaves(group.is_settled(), now) {
                group.membership.leave(how, now);
            }
            (settled, standing) = (group.is_settled(), group.membership.standing());
        }
        let told = self.telemetry.as_mut().is_none_or(|telemetry| {
            if settled || closing.is_last_call(now) {
                telemetry.end(closing.deadline(), now);
            }
            telemetry.has_ended(now)
        });
        let progress = Progress { settled, standing, told, reached: self.hub.metadata.is_known() };
        let Some(left) = closing.ends(progress, now) else { return };
        let gone = self.lanes.unassign_all();
        if left && self.subscription.is_by_group() && !gone.is_empty() {
            handover::tell_revoked(&gone, "close");
            self.events.push(Event::Revoked(gone), now);
        }
        self.ops.fail_all(&OpFailure::Closed);
        self.hub.close();
    }

    pub(super) fn close_is_done(&self) -> bool {
        self.closing.as_ref().is_some_and(Closing::is_done)
    }

    fn step_group(&mut self, now: Now) {
        self.check_poll_interval(now);
        if let Some(news) = self.hands(now).and_then(|(handover, mut hands)| handover.step(&mut hands)) {
            self.handle_group_news(news, now);
        }
        self.look_at_cluster(now);
        let Some(group) = &mut self.group else { return };
        if group.commits.take_due(self.lanes.returned, now) && self.closing.is_none() {
            let ahead = self.lanes.plot.has(Planted::AutoCommitRunsAhead);
            let mut offsets = self.lanes.uncommitted(|lane| if ahead { lane.delivered } else { lane.acked });
            offsets.retain(|at, _| !self.hub.metadata.is_gone(at, self.lanes.topic_id(at)));
            group.commits.request(offsets, None, &self.lanes);
        }
    }

    /// The handover, and what it is to be given.
    fn hands(&mut self, now: Now) -> Option<(&mut Handover, Hands<'_, F>)> {
        let GroupSide { handover, membership, commits, callbacks, .. } = self.group.as_mut()?;
        let hands = Hands {
            lanes: &mut self.lanes,
            membership,
            commits,
            callbacks,
            ops: &mut self.ops,
            events: &mut self.events,
            wake: &mut self.hub.wake,
            now,
        };
        Some((handover, hands))
    }

    /// Compares the membership with the newest metadata, where no partition is changing hands.
    fn look_at_cluster(&mut self, now: Now) {
        let Some(group) = self.group.as_mut().filter(|group| group.handover.is_idle()) else { return };
        let lanes = &self.lanes;
        let news = group.membership.look(&mut self.hub.metadata, &|| lanes.assignment(), now);
        self.handle_group_news(news, now);
    }

    /// Returns whether commits were given up in place of being sent.
    fn send_to_coordinator(&mut self, now: Now) -> bool {
        let Some(group) = &mut self.group else { return false };
        let mut gone = Vec::new();
        let (sent, news) = group.poll_send(&mut self.hub, &self.lanes, &mut gone, now);
        if !sent.is_empty() {
            self.wanted.forget();
        }
        sent.into_iter().for_each(|(id, asked)| self.hub.expect(id, Pending::Group(asked)));
        self.handle_group_news(news, now);
        let given_up = !gone.is_empty();
        let news = self.settle_commits(gone, now);
        self.handle_group_news(news, now);
        given_up
    }

    /// If the user stays away too long, the member leaves and its partitions are lost, so that others can read them.
    fn check_poll_interval(&mut self, now: Now) {
        let overdue = self.overdue_at().is_some_and(|at| at <= now.mono) && self.closing.is_none();
        let interval = self.group.as_ref().and_then(GroupSide::poll_interval);
        let Some(interval) = interval.filter(|_| overdue) else { return };
        let failure = GroupFailure::MaxPollExceeded(interval);
        tracing::warn!(target: log::GROUP, why = %failure, "poll overdue");
        self.failure = Some(failure);
        self.lose_all(ErrorCode::UnknownMemberId, &"poll overdue", now);
        if let Some(group) = &mut self.group {
            group.membership.leave(LeaveGroup::Default, now);
        }
    }

    /// When a user will have stayed away for too long; `None` as long as nobody is away, or there is no membership
    /// to lose.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        let interval = self.group.as_ref()?.poll_interval()?;
        Some(self.away_since()? + interval)
    }

    /// When the user who has to call next was last there; `None` as long as nobody is away.
    pub(super) fn away_since(&self) -> Option<Instant> {
        let blind = self.lanes.plot.has(Planted::OtherReadersMayStayAway);
        let has = |reader| self.lanes.held_by(reader).next().is_some() && !(blind && reader != OWN);
        self.readers.away_since(has)
    }

    /// Carries out what a step of the membership means for the partitions.
    pub(super) fn handle_group_news(&mut self, news: GroupNews, now: Now) {
        let Some(group) = &mut self.group else { return };
        group.arrival.tell(&group.membership, &mut self.events, now);
        match group.membership.standing() {
            Standing::Joining => group.handover.rebalances.begins(now),
            Standing::Member => {}
            Standing::Out | Standing::Leaving | Standing::Failed => group.handover.rebalances.ends_in_vain(),
        }
        if news != GroupNews::None {
            self.wanted.forget();
        }
        let follows = match news {
            GroupNews::None => return,
            // The close gives up all partitions itself, and takes over none.
            GroupNews::Assigned(_) | GroupNews::GiveUp { .. } if self.closing.is_some() => None,
            GroupNews::Assigned(partitions) => {
                self.hands(now).and_then(|(handover, mut hands)| handover.take_over(partitions, &mut hands))
            }
            GroupNews::GiveUp { keep } => {
                self.hands(now).and_then(|(handover, mut hands)| handover.give_up(keep, &mut hands))
            }
            GroupNews::Lost => {
                match group.membership.attempts().error() {
                    Some(told) => self.lose_all(ErrorCode::UnknownMemberId, &told, now),
                    None => self.lose_all(ErrorCode::UnknownMemberId, &"the group went on without it", now),
                }
                None
            }
            GroupNews::Failed(error) => {
                self.lose_all(error, &error, now);
                self.failure = Some(GroupFailure::Refused(error));
                None
            }
        };
        self.hub.wake = true;
        if let Some(follows) = follows {
            self.handle_group_news(follows, now);
        }
    }

    /// All partitions are gone, and nothing of them may be committed any more.
    fn lose_all(&mut self, error: ErrorCode, why: &dyn fmt::Display, now: Now) {
        if let Some((handover, mut hands)) = self.hands(now) {
            handover.lose_all(error, why, &mut hands);
        }
        if let Some(group) = &mut self.group {
            group.arrival.forget();
        }
    }

    /// Tells the outcome of commits. A refusal may also concern the membership.
    pub(super) fn settle_commits(&mut self, settled: Vec<Settled>, now: Now) -> GroupNews {
        self.hub.wake |= !settled.is_empty();
        let refused = self.concerned(now).1.settle(settled);
        match (&mut self.group, refused) {
            (Some(group), Some(error)) => group.membership.commit_refused(error, now),
            _ => GroupNews::None,
        }
    }

    /// Gives up commits to topics that are gone; otherwise a revocation or a close would wait for them.
    fn give_up_unknown_topics(&mut self, now: Now) {
        let Some(group) = &mut self.group else { return };
        let hurried = self.closing.is_some() || !group.handover.is_idle();
        let gone = group.commits.give_up_unknown(hurried, self.api_timeout, &self.hub.metadata, now);
        let news = self.settle_commits(gone, now);
        self.handle_group_news(news, now);
    }

    fn give_up_commits(&mut self, now: Now) {
        if let (Some(group), mut concerned) = self.concerned(now) {
            concerned.give_up(&mut group.commits);
        }
    }

    /// The group, and those whom its commits concern.
    fn concerned(&mut self, now: Now) -> (Option<&mut GroupSide>, Concerned<'_, F>) {
        let concerned = Concerned {
            lanes: &mut self.lanes,
            ops: &mut self.ops,
            events: &mut self.events,
            taken: self.committed.as_mut(),
            closing: self.closing.as_mut(),
            now,
        };
        (self.group.as_mut(), concerned)
    }

    fn step_fetch(&mut self, now: Now) {
        let (metadata, connections) = (&self.hub.metadata, &mut self.hub.connections);
        let asked = self.fetcher.poll_validate(&mut self.lanes, metadata, connections, now);
        asked.into_iter().for_each(|(id, node)| self.hub.expect(id, Pending::Validation(node)));
        let (metadata, connections) = (&self.hub.metadata, &mut self.hub.connections);
        let asked = self.fetcher.poll_open_transactions(&self.lanes, metadata, connections, now);
        asked.into_iter().for_each(|(id, node)| self.hub.expect(id, Pending::OpenTransactions(node)));
        self.fetcher.is_awaited = self.readers.is_any_polling();
        self.fetcher.more_come = self.lookups.bring_positions();
        let sent =
            self.fetcher.poll_send(&mut self.lanes, &mut self.hub.metadata, &mut self.hub.connections, now);
        let keeps = self.lanes.plot.has(Planted::PausedLanesKeepRoom);
        if self.fetcher.out_of_room && !self.lanes.has_readable() && !keeps {
            // Only paused lanes hold records. They drop them; otherwise the other lanes would have no room for theirs.
            let readers = &self.readers;
            self.hub.wake |= self.lanes.drop_paused(|reader| readers.is_polling(reader), now.mono);
        }
        sent.into_iter().for_each(|(id, node)| self.hub.expect(id, Pending::Fetch(node)));
    }

    /// Sets out to find the positions that are unknown.
    fn find_positions(&mut self, now: Now) {
        let (reset, plot) = (self.reset, self.lanes.plot);
        let in_doubt = self.is_in_doubt(now);
        for part in self.lanes.placeless() {
            let Some(lane) = self.lanes.get(part) else { continue };
            let at = Arc::clone(&lane.at);
            self.learn_topic(part);
            let Some(lane) = self.lanes.get(part) else { continue };
            match (&lane.state, &mut self.group) {
                // The partition was let go and is back, and records that it handed out are about to be committed.
                // Its committed offset is asked for after that; otherwise they would be read again.
                (FetchState::AwaitsCommitted, Some(group)) if group.commits.is_under_way(&at) => {}
                (FetchState::AwaitsCommitted, Some(group)) => {
                    self.lanes.change(part, |lane| lane.looking = true);
                    group.committed.ask((*at).clone());
                }
                (FetchState::AwaitsCommitted, None) => {
                    let state = match reset.at(plot, now) {
                        Some(to) => FetchState::AwaitsReset(Search::For(to)),
                        None => FetchState::failed(LaneFailure::NoOffset),
                    };
                    self.lanes.change(part, |lane| {
                        lane.state = state;
                        lane.tell_failed();
                    });
                    self.hub.wake = true;
                }
                _ => {}
            }
            let asks = self.lanes.change(part, |lane| {
                let FetchState::AwaitsReset(search) = lane.state else { return None };
                if in_doubt && search.is_for_lost_position() {
                    return None;
                }
                lane.looking = true;
                Some((search.asks(), Purpose::Lane(part, lane.epoch)))
            });
            if let Some((to, purpose)) = asks.flatten() {
                self.lookups.ask(at, to, purpose);
                self.wanted.forget();
            }
        }
    }
}

/// Says for what an operation that timed out was waiting.
fn waiting_for(metadata: &Metadata, group: Option<&GroupSide>, retry: Option<Retry>) -> String {
    let coordinator = group.and_then(|group| group.coordinator.unknown_since());
    let error = retry.and_then(|retry| retry.error);
    match (metadata.last_failure(), error, coordinator) {
        (Some((address, why)), ..) => format!("broker {address}: {why}"),
        (None, Some(error), _) => format!("an answer other than {error}"),
        (None, None, Some(_)) => "the group's coordinator".to_owned(),
        (None, None, None) => "an answer".to_owned(),
    }
}
