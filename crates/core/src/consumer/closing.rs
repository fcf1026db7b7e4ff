//! The end of a consumer: it commits what was delivered, leaves its group, and closes its connections.

use std::time::{Duration, Instant};

use ottla_protocol::Now;

use super::{Callback, Consumer, OpFailure, group_side::GroupSide, handover};
use crate::{
    deadline::Earliest,
    event::{CommitGivenUp, Event},
    group::{LeaveGroup, Standing},
};

#[derive(Debug)]
pub(super) struct Closing {
    deadline: Instant,
    /// When the close stops waiting for commits, so that the group can be left before the deadline.
    last_call: Instant,
    leave: LeaveGroup,
    /// The listener has been told that the partitions are revoked, or need not be.
    told: bool,
    farewell: Farewell,
    done: bool,
}

impl Closing {
    pub(super) fn commit_given_up(&mut self, given_up: CommitGivenUp) {
        self.farewell.given_up.push(given_up);
    }
}

/// What a close could not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Farewell {
    /// The offsets that are not committed.
    pub given_up: Vec<CommitGivenUp>,
    /// The deadline passed before the coordinator had answered the leave: it may take the member for there until its session
    /// is over.
    pub not_left: bool,
}

/// How long before its deadline a close stops waiting for commits, or a quarter of its time where that is less.
const TO_LEAVE: Duration = Duration::from_secs(1);

/// How a consumer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseKind {
    /// The user closes it, and has come back from everything that was handed out.
    Closed,
    /// It is dropped, perhaps in the middle of a record: only what the user came back from is committed.
    Dropped,
}

impl<F: Clone> Consumer<F> {
    /// Begins to close. [`is_closed`](crate::Machine::is_closed) tells when that is done, at the latest at the
    /// deadline. A consumer that is closed tells its listener what is revoked; one that is dropped tells it nothing.
    pub fn close(&mut self, kind: CloseKind, leave: LeaveGroup, deadline: Instant, now: Now) {
        if let Some(group) = self.group.as_mut().filter(|_| kind == CloseKind::Dropped) {
            group.callbacks.end();
        }
        if self.closing.is_some() {
            // It may have waited for the listener.
            return self.changed();
        }
        if let Some(group) = &mut self.group {
            // A handover under way ends here: the close itself gives up all partitions.
            group.handover = None;
            group.callbacks.take_back_assigned();
        }
        if self.is_auto_committing() {
            let offsets = self.uncommitted(|lane| match kind {
                CloseKind::Closed => lane.done(),
                CloseKind::Dropped => lane.acked,
            });
            if let Some(group) = &mut self.group {
                group.commits.request(offsets, None);
            }
        }
        let rest = deadline.saturating_duration_since(now.mono);
        let last_call = now.mono + rest - (rest / 4).min(TO_LEAVE);
        self.closing = Some(Closing {
            deadline,
            last_call,
            leave,
            told: false,
            farewell: Farewell::default(),
            done: false,
        });
        self.readers.touch_own(now);
        self.stop();
    }

    pub(super) fn step_closing(&mut self, now: Now) {
        let Some(closing) = &mut self.closing else { return };
        if closing.done {
            return;
        }
        let (late, leave) = (closing.deadline <= now.mono, closing.leave);
        let last_call = closing.last_call <= now.mono;
        if last_call {
            self.give_up_commits(now);
        }
        let Some(closing) = &mut self.closing else { return };
        let settled = |group: &GroupSide| group.commits.is_idle() && group.callbacks.is_idle();
        if self.group.as_ref().is_some_and(settled) && !std::mem::replace(&mut closing.told, true) {
            let assignment = self.lanes.assignment();
            if !assignment.is_empty() {
                self.tell(Callback::Revoked(assignment));
            }
        }
        let left = self.group.as_mut().is_none_or(|group| {
            if settled(group) || last_call {
                group.membership.leave(leave, now);
            }
            matches!(group.membership.standing(), Standing::Out | Standing::Failed) && settled(group)
        });
        // Where no broker was ever reached, there is nobody to be told, and nothing to wait for.
        if left || late || !self.hub.metadata.is_known() {
            let is_out =
                |group: &GroupSide| matches!(group.membership.standing(), Standing::Out | Standing::Failed);
            let not_left = late && !self.group.as_ref().is_none_or(is_out);
            if let Some(closing) = &mut self.closing {
                closing.done = true;
                closing.farewell.not_left = not_left;
            }
            let gone = self.unassign_all();
            if left && self.subscription.is_by_group() && !gone.is_empty() {
                handover::tell_revoked(&gone, "close");
                self.events.push(Event::Revoked(gone), now);
            }
            self.ops.fail_all(&OpFailure::Closed);
            self.hub.close();
        }
    }

    /// What the close could not do; once it is done.
    pub fn farewell(&self) -> Option<&Farewell> {
        self.closing.as_ref().filter(|closing| closing.done).map(|closing| &closing.farewell)
    }

    pub(super) fn close_is_done(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.done)
    }

    pub(super) fn close_deadlines(&self, earliest: &mut Earliest) {
        if let Some(closing) = self.closing.as_ref().filter(|closing| !closing.done) {
            earliest.consider(Some(closing.last_call));
            earliest.consider(Some(closing.deadline));
        }
    }
}
