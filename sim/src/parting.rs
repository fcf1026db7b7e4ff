//! The end of a consumer: closed, dropped or crashed.

use std::time::Duration;

use ottla_core::{CloseKind, GroupReason, LeaveGroup};

use crate::{member::Member, plan::Goodbye, reasons::is_heard, stage::Stage, truth::Truth, user::Doing};

/// How long a user waits for his consumer to close.
const LIMIT: Duration = Duration::from_secs(5);

impl Member {
    pub(super) fn gone(&mut self, stage: &mut Stage) {
        let who = self.who;
        stage.tell(|| format!("{who} is closed"));
        self.user.does(Doing::Gone);
        self.owned.clear();
        self.reader.close(&mut self.host.machine, stage.now());
        (0..self.helpers.len()).for_each(|index| self.helper_is_gone(index, stage));
        if self.user.told_at_the_end {
            self.announced.ends(who, stage);
        }
        self.check_farewell(stage);
        if self.host.is_connected() {
            stage
                .violate("a closed consumer leaves nothing behind", || format!("{who} has connections left"));
        }
    }

    /// The process dies.
    pub(crate) fn crash(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        stage.tell(|| format!("{who} crashes"));
        if self.user.habits.beginnings.checked && !self.in_group() {
            // No generation refuses what it has sent: whoever reads in its place may have committed more by then.
            self.commits.may_come_late(truth);
        }
        self.host.crash(stage);
        self.user.does(Doing::Gone);
        self.owned.clear();
        self.in_hand.clear();
        self.reader.close(&mut self.host.machine, stage.now());
        (0..self.helpers.len()).for_each(|index| self.helper_is_gone(index, stage));
    }

    /// The user closes it.
    pub(crate) fn close(&mut self, goodbye: Goodbye, stage: &mut Stage, truth: &mut Truth) {
        let now = stage.now();
        let who = self.who;
        stage.tell(|| format!("{who} close({goodbye:?})"));
        self.listened(stage);
        self.all_done(stage, truth);
        if !self.helpers.is_empty() && (self.plan_is_orderly || self.user.dice.chance(0.5)) {
            self.stop_helpers(stage, truth);
        }
        self.reader.sync(&mut self.host.machine, true, now);
        let leave = match goodbye {
            Goodbye::Default => LeaveGroup::Default,
            Goodbye::Leave => LeaveGroup::Leave,
            Goodbye::Remain => LeaveGroup::Remain,
        };
        self.end(CloseKind::Closed, leave, stage, truth);
    }

    /// The user drops it, perhaps in the middle of a record.
    pub(crate) fn drop_handle(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let now = stage.now();
        let who = self.who;
        stage.tell(|| format!("{who} is dropped"));
        self.reader.sync(&mut self.host.machine, false, now);
        self.in_hand.clear();
        self.end(CloseKind::Dropped, LeaveGroup::Default, stage, truth);
    }

    pub(super) fn end(&mut self, kind: CloseKind, leave: LeaveGroup, stage: &mut Stage, truth: &mut Truth) {
        let now = stage.now();
        // Whoever is dropped is told nothing; a listener that takes as long as the close may not be told all.
        let slow =
            self.user.habits.listener.as_ref().is_some_and(|listener| *listener.takes.end() > LIMIT / 5);
        self.user.told_at_the_end = kind == CloseKind::Closed && !slow;
        self.membership.is_to_leave(self.owes_farewell(kind, leave, stage), stage.time);
        // What others have in hand comes again, and is not waited for.
        let first = self.reader.id();
        self.in_hand.retain(|kept| kept.by == first);
        self.host.machine.close(kind, leave, now.mono + LIMIT, now);
        self.user.closed = true;
        self.user.does(Doing::Closing);
        self.called(stage, truth);
    }

    /// Whether the coordinator is to hear that it goes: it knows this member, by an id that the member knows, too.
    fn owes_farewell(&self, kind: CloseKind, leave: LeaveGroup, stage: &Stage) -> bool {
        let known = self.host.machine.group_metadata().is_some_and(|group| !group.member_id.is_empty());
        let reason = self.host.machine.explain(stage.now()).group;
        let is_in = match reason {
            Some(GroupReason::Member { .. } | GroupReason::Idle { .. }) => true,
            // Under the consumer protocol there is an id before anybody was asked.
            Some(GroupReason::Joining { .. }) => !self.membership.follows_broker(),
            _ => false,
        };
        let leaves = leave != LeaveGroup::Remain && !self.membership.is_static();
        known && is_in && leaves && kind == CloseKind::Closed && is_heard(self.who, stage)
    }

    /// Who closes says so, where he could.
    fn check_farewell(&mut self, stage: &mut Stage) {
        let Some(since) = self.membership.owes_farewell_since() else { return };
        let who = self.who;
        // No broker listens to a member whose login it refused meanwhile.
        let refused = self.host.refused_at.is_some_and(|at| at >= since);
        let heard = is_heard(who, stage) && stage.time >= stage.barred_until && !refused;
        if stage.time - since < LIMIT * 3 / 5 && heard {
            stage.violate("who closes tells the coordinator", || format!("{who} is closed, and has not"));
        }
    }
}
