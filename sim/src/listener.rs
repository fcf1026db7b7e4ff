//! The user's rebalance listener: called when he is in a call, and as slow as he likes.

use std::time::Duration;

use ottla_core::{Callback, GroupReason, ReaderId, Subscription, TopicPartition};
use ottla_protocol::Now;

use crate::{
    helper::Helper,
    member::{Member, TOLD_IN_PAIRS, names},
    stage::{Event, Stage},
    truth::Truth,
    user::Doing,
};

/// A call of the listener that has not returned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listening {
    /// The call of the user's from which it was called.
    pub(super) from: Box<Doing>,
    told: Told,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told(Callback);

impl Member {
    /// Calls the listener, if there is something to tell. Returns whether it is busy now.
    pub(super) fn listen(&mut self, stage: &mut Stage, truth: &mut Truth) -> bool {
        let callback = self.host.machine.take_callback();
        callback.map(|callback| self.begin_listening(callback, stage, truth)).is_some()
    }

    /// The listener is called, in the call that the first user is in.
    pub(super) fn begin_listening(&mut self, callback: Callback, stage: &mut Stage, truth: &mut Truth) {
        let from = std::mem::replace(&mut self.doing, Doing::Away);
        let (told, takes) = self.tell_listener(callback.clone(), stage, truth);
        self.doing = Doing::Listening(Listening { from: Box::new(from), told });
        self.stamp += 1;
        stage.after(takes, Event::User(self.who, self.stamp));
    }

    /// What the listener does first, and how long it takes.
    pub(super) fn tell_listener(
        &mut self,
        callback: Callback,
        stage: &mut Stage,
        truth: &mut Truth,
    ) -> (Told, Duration) {
        let listener = self.habits.listener.clone().expect("only a listener is told anything");
        let who = self.who;
        stage.tell(|| format!("{who} is called: {callback:?}"));
        self.check_pairs(&callback, stage);
        match &callback {
            Callback::Revoked(_) if self.dice.chance(listener.commits) && !self.closed => {
                let _ = self.commit_all(stage, truth);
            }
            Callback::Assigned(partitions) if self.dice.chance(listener.seeks) && !partitions.is_empty() => {
                let at = self.dice.pick(partitions);
                let committed = truth.progress(&self.group, &at).committed().unwrap_or(0);
                let offset = self.dice.offset((committed - 20).max(0)..=committed);
                self.seek(&at, offset, stage, truth);
            }
            _ => {}
        }
        (Told(callback), self.dice.time(listener.takes))
    }

    /// Whether there is something to tell, and its user is out of every call.
    pub(crate) fn has_untold(&self, now: Now) -> bool {
        let waits =
            || matches!(self.host.machine.explain(now).group, Some(GroupReason::AwaitingListener { .. }));
        let idle = self.doing == Doing::Away && !self.helpers.iter().any(Helper::is_listening);
        idle && self.habits.listener.is_some() && waits()
    }

    /// Each partition is told to be gone once for each time that it was told to be assigned.
    fn check_pairs(&mut self, callback: &Callback, stage: &mut Stage) {
        let who = self.who;
        let ends = self.closed || *self.host.machine.subscription() == Subscription::None;
        if ends && matches!(callback, Callback::Assigned(_)) {
            stage.violate("nothing is told as assigned once a close or an unsubscription has begun", || {
                format!("{who}: {callback:?}")
            });
        }
        let (Callback::Assigned(all) | Callback::Revoked(all) | Callback::Lost(all)) = callback;
        for at in all {
            let in_turn = match callback {
                Callback::Assigned(_) => self.announced.insert(at.clone()),
                Callback::Revoked(_) => self.announced.remove(at),
                // What is lost while the listener is told that it is revoked is told on top.
                Callback::Lost(_) => self.announced.remove(at) || self.parted.contains(at),
            };
            if !in_turn {
                stage
                    .violate(TOLD_IN_PAIRS, || format!("{who} is called out of turn for {at}: {callback:?}"));
            }
        }
    }

    /// The listener returns, and the user is in his call again.
    pub(super) fn listened(&mut self, stage: &mut Stage) {
        let Doing::Listening(listening) = &self.doing else { return };
        let Listening { from, told } = listening.clone();
        self.heard(&told, self.reader.id(), stage);
        self.doing = *from;
        self.stamp += 1;
        if let Doing::Reading(_) = self.doing {
            self.be_patient(stage);
        }
    }

    /// The listener returns, in a call of this reader's.
    pub(super) fn heard(&mut self, Told(callback): &Told, by: ReaderId, stage: &Stage) {
        match callback {
            Callback::Assigned(partitions) => self.unannounced.retain(|at| !partitions.contains(at)),
            Callback::Revoked(partitions) => self.parted.extend(partitions.iter().cloned()),
            Callback::Lost(_) => {}
        }
        self.host.machine.callback_done(by, stage.now());
    }

    /// What was given up, the listener has been told before.
    pub(super) fn check_parted(&mut self, partitions: &[TopicPartition], stage: &mut Stage) {
        let who = self.who;
        let told = partitions.iter().all(|at| self.parted.contains(at));
        if self.habits.listener.is_some() && !self.closed && !self.unsubscribing && !told {
            stage.violate("nothing is given up before the listener has returned", || {
                format!("{who} has given up {}", names(partitions))
            });
        }
        self.parted.retain(|at| !partitions.contains(at));
    }
}
