//! What is tried once everything is read, committed and whole: a step back is committed like any other position, and one
//! more member has its share soon.

use std::time::Duration;

use ottla_broker::GroupKind;

use crate::{
    dice::secs, member::Member, mode::Mode, phase::Phase, reasons::is_heard, role::GROUP,
    setup::HEARTBEAT_INTERVAL, world::World,
};

impl World {
    /// Everything is read and committed: goes on to what is tried then.
    pub(super) fn settled(&mut self) {
        match self.phase {
            // A group in which nothing may be read twice takes no step back.
            Phase::Settling if !self.plan.orderly => {
                self.rests.step_back(&mut self.members, &mut self.stage, &mut self.truth);
                self.enter(Phase::Resting);
            }
            Phase::Settling | Phase::Resuming if self.shares_soon() => {
                self.enter(Phase::Sharing);
                self.call();
            }
            _ => self.close_all(),
        }
    }

    /// Where a partition rests is committed, by its reader or when it was taken from him. Then he goes on.
    pub(super) fn look_at_rests(&mut self, waited: Duration) {
        if self.rests.are_over(&self.members, &mut self.truth) {
            for member in self.members.iter_mut().filter(|member| member.is_live()) {
                member.go_on(&mut self.stage, &mut self.truth);
            }
            return self.enter(Phase::Resuming);
        }
        if waited > self.plan.bound() {
            self.rests.violate(&self.members, &mut self.stage, &mut self.truth);
        }
    }

    /// Whether nothing stands in the way of a rebalance: one that changes the group's protocol takes longer, and so does one
    /// whose listeners, called twice in a row, may outlast the poll interval: the group goes on without such a member.
    fn shares_soon(&self) -> bool {
        let live = |member: &&Member| member.is_live() && member.in_group();
        let heard = self.members.iter().filter(live).all(|member| is_heard(member.who, &self.stage));
        let found = self.members.iter().any(|member| live(&member));
        let in_time = self.slowest_listener() * 2 < self.plan.max_poll;
        let in_time = in_time && self.plan.security.as_ref().is_none_or(|security| security.has_tokens());
        self.plan.brisk && self.case.mode != Mode::Mixed && heard && found && in_time
    }

    /// One more member has its share.
    pub(super) fn look_at_share(&mut self, waited: Duration) {
        match self.unsettled().or_else(|| self.unshared()) {
            None => self.close_all(),
            Some(late) if waited > self.calm_bound() => {
                let explained = self.explain();
                self.stage.violate("a calm rebalance is soon over", || {
                    format!("{late} after {waited:?}\n{explained}")
                });
            }
            Some(_) => {}
        }
    }

    /// A probe that asks now is told that all is well.
    pub(super) fn look_at_health(&mut self) {
        let now = self.stage.now();
        // Whose user has unsubscribed, and has yet to come back, is no member by his wish.
        let is_to_be_well =
            |member: &Member| member.is_live() && member.in_group() && !member.host.machine.reads_nothing();
        for member in self.members.iter_mut().filter(|member| is_to_be_well(member)) {
            let health = member.host.machine.health(now);
            if !health.is_ready() || !health.is_live() {
                let who = member.who;
                self.stage.violate("once all is settled everybody is well", || format!("{who}: {health}"));
            }
        }
    }

    /// What has yet to change hands.
    fn unshared(&self) -> Option<String> {
        let group = self.cluster.group(GROUP)?;
        if group.kind == GroupKind::Classic && group.state != "Stable" {
            return Some(format!("the group is {}", group.state));
        }
        let live = self.members.iter().filter(|member| member.is_live() && member.in_group());
        for member in live {
            let view = group.members.iter().find(|known| known.member_id == member.membership.member_id())?;
            let (has, known) = (member.owned.len(), view.owned.len());
            if has != known || !view.revoking.is_empty() {
                return Some(format!("{} has {has} partitions, {known} for the coordinator", member.who));
            }
        }
        None
    }

    /// Everybody hears of a rebalance by a heartbeat, and of what is free by the next; listeners take their time, twice
    /// where partitions are given up before others come. The rest is two seconds.
    fn calm_bound(&self) -> Duration {
        let interval = self.plan.broker.group_consumer_heartbeat_interval.max(HEARTBEAT_INTERVAL);
        let tokens = self.plan.security.as_ref().map_or(Duration::ZERO, |security| security.slowest());
        interval * 2 + (self.slowest_listener() + tokens) * 3 + secs(2)
    }

    fn slowest_listener(&self) -> Duration {
        let live = self.members.iter().filter(|member| member.is_live());
        let takes = live.filter_map(|member| member.user.habits.listener.as_ref().map(|l| *l.takes.end()));
        takes.max().unwrap_or_default()
    }
}
