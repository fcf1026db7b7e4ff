//! The end of a client in a group: what is still to be done is settled, the listener is told, the group is left, and
//! at the deadline all is over.
//!
//! [`Closing`] decides what is due, from what it is told of the rest of the client. Who closes asks it in this order:
//! [`Closing::is_last_call`], [`Closing::tells`], [`Closing::leaves`], [`Closing::ends`].

use std::time::{Duration, Instant};

use ottla_protocol::Now;

use crate::{
    deadline::Earliest,
    event::CommitGivenUp,
    group::{LeaveGroup, Standing},
};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Closing {
    deadline: Instant,
    /// When the close stops waiting for commits, so that the group can be left before the deadline.
    last_call: Instant,
    leave: LeaveGroup,
    /// The listener has been told that the partitions are revoked, or need not be.
    told: bool,
    farewell: Farewell,
    /// The coordinator has refused the connection for good.
    refused: bool,
    done: bool,
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

/// How far a close has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// Nothing waits to be committed, and the listener has answered.
    pub(crate) settled: bool,
    /// Where the member stands; [`Standing::Out`] where there is no group.
    pub(crate) standing: Standing,
    /// The last metrics were pushed, or are not waited for.
    pub(crate) told: bool,
    /// A broker has been reached. Without one there is nobody to be told, and nothing to wait for.
    pub(crate) reached: bool,
}

impl Closing {
    /// Begins a close that is over at the deadline, at the latest.
    pub(crate) fn new(leave: LeaveGroup, deadline: Instant, now: Now) -> Self {
        let rest = deadline.saturating_duration_since(now.mono);
        let last_call = now.mono + rest - (rest / 4).min(TO_LEAVE);
        let farewell = Farewell::default();
        Self { deadline, last_call, leave, told: false, farewell, refused: false, done: false }
    }

    /// The coordinator refuses to be connected to: it is not waited for. The listener still is.
    pub(crate) fn give_up_coordinator(&mut self, now: Now) {
        self.refused = true;
        self.last_call = self.last_call.min(now.mono);
    }

    /// When it is over at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether commits that are not settled are to be given up.
    pub(crate) fn is_last_call(&self, now: Now) -> bool {
        self.last_call <= now.mono
    }

    /// Whether the listener is to be told now that the partitions are revoked. That is so once, when all is settled.
    pub(crate) fn tells(&mut self, settled: bool) -> bool {
        settled && !std::mem::replace(&mut self.told, true)
    }

    /// How the group is to be left; `None` where it is too early.
    pub(crate) fn leaves(&self, settled: bool, now: Now) -> Option<LeaveGroup> {
        (settled || self.is_last_call(now)).then_some(self.leave)
    }

    /// Ends the close where nothing is left to be done, or no time to do it. Returns then whether the group was left in
    /// good order.
    pub(crate) fn ends(&mut self, progress: Progress, now: Now) -> Option<bool> {
        let Progress { settled, standing, told, reached } = progress;
        let is_out = matches!(standing, Standing::Out | Standing::Failed);
        let (left, late) = (is_out && settled, self.deadline <= now.mono);
        let in_vain = self.refused && settled;
        let over = (left || in_vain) && told;
        if !over && !late && reached {
            return None;
        }
        self.done = true;
        self.farewell.not_left = (late || in_vain) && !is_out;
        Some(left)
    }

    /// An offset will not be committed.
    pub(crate) fn commit_given_up(&mut self, given_up: CommitGivenUp) {
        self.farewell.given_up.push(given_up);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// What the close could not do; once it is done.
    pub(crate) fn farewell(&self) -> Option<&Farewell> {
        self.done.then_some(&self.farewell)
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        if !self.done {
            earliest.consider(self.last_call);
            earliest.consider(self.deadline);
        }
    }
}
