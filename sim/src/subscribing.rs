//! What a user subscribes to, or takes by hand, and how he changes his mind.

use std::time::Duration;

use ottla_core::SubscriptionError;

use crate::{
    dice::{ms, secs},
    member::{Member, names},
    role::{Role, Wants},
    stage::Stage,
    truth::Truth,
    user::Doing,
};

impl Member {
    /// The user wants something else.
    pub(crate) fn change(&mut self, wants: Wants, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let Role::Group(role) = &mut self.role else { return };
        self.membership.subscribes(role.wants != wants, !self.owned.is_empty());
        role.wants = wants;
        // It is a call of the user's.
        self.user.note_absence(stage.time);
        self.user.away_since = stage.time;
        self.turns.wants_others();
        if !self.host.machine.reads_nothing() {
            stage.tell(|| format!("{who} changes its subscription"));
            self.subscribe_as_wanted(stage);
            self.called(stage, truth);
        }
    }

    /// The user asks for a rebalance.
    pub(crate) fn enforce(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let asked = self.host.machine.enforce_rebalance("asked for", stage.now());
        stage.tell(|| format!("{who} enforce_rebalance(): {asked:?}"));
        match asked {
            Ok(()) => self.membership.rebalances(!self.owned.is_empty()),
            Err(
                SubscriptionError::ServerSide | SubscriptionError::NotMember | SubscriptionError::NoGroup,
            ) => {}
            Err(error) => stage.violate("a rebalance can be enforced", || error.to_string()),
        }
        self.called(stage, truth);
    }

    pub(super) fn subscribe(&mut self, stage: &mut Stage) {
        let now = stage.now();
        let who = self.who;
        if let Role::Alone { partitions, .. } = &self.role {
            let partitions = partitions.clone();
            stage.tell(|| format!("{who} takes {}", names(&partitions)));
            self.host.machine.assign(partitions.clone(), now).expect("it is in no group");
            partitions.into_iter().for_each(|at| self.owned.begin(at, stage.time));
        } else {
            self.subscribe_as_wanted(stage);
        }
        self.think(Duration::ZERO, stage);
    }

    fn subscribe_as_wanted(&mut self, stage: &mut Stage) {
        let (who, now) = (self.who, stage.now());
        let Some(wants) = self.role.in_group().map(|role| &role.wants) else { return };
        stage.tell(|| format!("{who} subscribes to {wants:?}"));
        match wants {
            Wants::Topics(topics) => {
                self.host.machine.subscribe(topics.clone(), now).expect("it is not assigned by hand");
            }
            Wants::Pattern(pattern) => {
                self.host.machine.subscribe_pattern(pattern, now).expect("it is not assigned by hand");
            }
        }
    }

    /// Stops reading for a while, and leaves the group meanwhile.
    pub(crate) fn unsubscribe(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let (who, now) = (self.who, stage.now());
        stage.tell(|| format!("{who} unsubscribe()"));
        if *self.user.doing() == Doing::Away {
            self.user.note_absence(stage.time);
        }
        self.listened(stage);
        self.host.machine.unsubscribe(now);
        self.turns.wants_others();
        self.user.unsubscribing = true;
        self.drain_events(stage);
        self.user.unsubscribing = false;
        self.owned.clear();
        self.user.paused.clear();
        let wait = self.user.dice.time(ms(100)..=secs(3));
        self.think(wait, stage);
        self.called(stage, truth);
    }
}
