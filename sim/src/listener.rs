//! The user's rebalance listener: called when he is in a call, and as slow as he likes.

use std::time::Duration;

use ottla_core::{Callback, GroupReason, ReaderId, TopicPartition};
use ottla_protocol::Now;

use crate::{
    helper::Helper,
    member::{Member, names},
    stage::{Event, Stage},
    truth::Truth,
    user::{Doing, Listening, Told},
};

impl Member {
    /// Calls the listener, if there is something to tell. Returns whether it is busy now.
    pub(super) fn listen(&mut self, stage: &mut Stage, truth: &mut Truth) -> bool {
        let callback = self.host.machine.take_callback();
        callback.map(|callback| self.begin_listening(callback, stage, truth)).is_some()
    }

    /// The listener is called, in the call that the first user is in.
    pub(super) fn begin_listening(&mut self, callback: Callback, stage: &mut Stage, truth: &mut Truth) {
        let from = Box::new(self.user.doing().clone());
        let (told, takes) = self.tell_listener(callback.clone(), stage, truth);
        self.user.does(Doing::Listening(Listening { from, told }));
        stage.after(takes, Event::User(self.who, self.user.stamp()));
    }

    /// What the listener does first, and how long it takes.
    pub(super) fn tell_listener(
        &mut self,
        callback: Callback,
        stage: &mut Stage,
        truth: &mut Truth,
    ) -> (Told, Duration) {
        let listener = self.user.habits.listener.clone().expect("only a listener is told anything");
        let who = self.who;
        stage.tell(|| format!("{who} is called: {callback:?}"));
        let ends = self.user.closed || self.host.machine.reads_nothing();
        self.announced.is_called(who, &callback, ends, stage);
        match &callback {
            Callback::Revoked(_) if self.user.dice.chance(listener.commits) && !self.user.closed => {
                let _ = self.commit_all(stage, truth);
            }
            Callback::Assigned(partitions)
                if self.user.dice.chance(listener.seeks) && !partitions.is_empty() =>
            {
                let at = self.user.dice.pick(partitions);
                let committed = truth.progress(&self.group, &at).committed().unwrap_or(0);
                let offset = self.user.dice.offset((committed - 20).max(0)..=committed);
                self.seek(&at, offset, stage, truth);
            }
            _ => {}
        }
        (Told(callback), self.user.dice.time(listener.takes))
    }

    /// Whether there is something to tell, and its user is out of every call.
    pub(crate) fn has_untold(&self, now: Now) -> bool {
        let waits =
            || matches!(self.host.machine.explain(now).group, Some(GroupReason::AwaitingListener { .. }));
        let idle = *self.user.doing() == Doing::Away && !self.helpers.iter().any(Helper::is_listening);
        idle && self.user.habits.listener.is_some() && waits()
    }

    /// The listener returns, and the user is in his call again.
    pub(super) fn listened(&mut self, stage: &mut Stage) {
        let Doing::Listening(listening) = self.user.doing() else { return };
        let Listening { from, told } = listening.clone();
        self.heard(&told, self.reader.id(), stage);
        self.user.does(*from);
        if let Doing::Reading(_) = self.user.doing() {
            self.be_patient(stage);
        }
    }

    /// The listener returns, in a call of this reader's.
    pub(super) fn heard(&mut self, Told(callback): &Told, by: ReaderId, stage: &Stage) {
        self.announced.returns(callback);
        self.host.machine.callback_done(by, stage.now());
    }

    /// What is given up, the listener has been told before.
    pub(super) fn check_told(&mut self, partitions: &[TopicPartition], stage: &mut Stage) {
        let who = self.who;
        let told = self.announced.gives_up(partitions);
        if self.user.habits.listener.is_some() && !self.user.closed && !self.user.unsubscribing && !told {
            stage.violate("nothing is given up before the listener has returned", || {
                format!("{who} has given up {}", names(partitions))
            });
        }
    }
}
