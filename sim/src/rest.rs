//! What is tried once everything is read, committed and whole: a step back is committed like any other position, and one
//! more member has its share soon.

use std::time::Duration;

use ottla_broker::GroupKind;
use ottla_core::TopicPartition;

use crate::{
    dice::secs, holdings::Expect, member::Member, mode::Mode, phase::Phase, plan::FLEETING,
    reasons::is_heard, role::GROUP, stage::Stage, truth::Truth, world::World,
};

/// A partition that its reader has put back, and paused there.
#[derive(Debug)]
pub(super) struct Rest {
    /// The reader's place among the members.
    index: usize,
    at: TopicPartition,
    offset: i64,
    /// Of its assignment and that step: what was taken away meanwhile begins where it is committed.
    serial: u64,
    since: Duration,
}

impl World {
    /// Everything is read and committed: goes on to what is tried then.
    pub(super) fn settled(&mut self) {
        match self.phase {
            // A group in which nothing may be read twice takes no step back.
            Phase::Settling if !self.plan.orderly => {
                self.step_back();
                self.enter(Phase::Resting);
            }
            Phase::Settling | Phase::Resuming if self.shares_soon() => {
                self.enter(Phase::Sharing);
                self.call();
            }
            _ => self.close_all(),
        }
    }

    fn step_back(&mut self) {
        let (stage, truth) = (&mut self.stage, &mut self.truth);
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.is_live()
                && member.in_group()
                && let Some((at, offset, serial)) = member.step_back(stage, truth)
            {
                self.rests.push(Rest { index, at, offset, serial, since: stage.time });
            }
        }
    }

    /// Where a partition rests is committed, by its reader or when it was taken from him. Then he goes on.
    pub(super) fn look_at_rests(&mut self, waited: Duration) {
        let (members, truth) = (&mut self.members, &mut self.truth);
        self.rests.retain(|Rest { index, at, offset, serial, since }| {
            let committed = truth.progress(GROUP, at).was_committed(Some(*offset), *since);
            let holding = members[*index].owned.of(at, *serial);
            !committed && members[*index].is_live() && holding.is_some()
        });
        if self.rests.is_empty() {
            for member in self.members.iter_mut().filter(|member| member.is_live()) {
                member.go_on(&mut self.stage, &mut self.truth);
            }
            return self.enter(Phase::Resuming);
        }
        if waited > self.plan.bound() {
            let Rest { index, at, offset, .. } = &self.rests[0];
            let (who, committed) = (self.members[*index].who, self.truth.progress(GROUP, at).committed());
            self.stage
                .violate("at rest the committed offset is the position, also after a step back", || {
                    format!("{who} rests at {at} offset {offset}; {committed:?} is committed")
                });
        }
    }

    /// Whether nothing stands in the way of a rebalance: one that changes the group's protocol takes longer.
    fn shares_soon(&self) -> bool {
        let live = |member: &&Member| member.is_live() && member.in_group();
        let heard = self.members.iter().filter(live).all(|member| is_heard(member.who, &self.stage));
        let found = self.members.iter().any(|member| live(&member));
        self.plan.brisk && self.case.mode != Mode::Mixed && heard && found
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
        let live = self.members.iter().filter(|member| member.is_live());
        let slowest =
            live.filter_map(|member| member.user.habits.listener.as_ref().map(|l| *l.takes.end())).max();
        let interval =
            self.plan.broker.group_consumer_heartbeat_interval.max(crate::setup::HEARTBEAT_INTERVAL);
        interval * 2 + slowest.unwrap_or_default() * 3 + secs(2)
    }
}

impl Member {
    /// Puts a partition back, and pauses it there.
    fn step_back(&mut self, stage: &mut Stage, truth: &mut Truth) -> Option<(TopicPartition, i64, u64)> {
        let has_read = |(at, next): (&TopicPartition, i64)| {
            (at.topic != FLEETING && next > 1 && !self.holds(at)).then(|| (at.clone(), next / 2))
        };
        let read = self.owned.iter().filter_map(|(at, holding)| match holding.expect {
            Expect::At(next) => Some((at, next)),
            _ => None,
        });
        let (at, offset) = read.into_iter().find_map(has_read)?;
        self.host.machine.set_paused(&at, true, stage.now());
        self.user.paused.insert(at.clone());
        self.user.resting = Some(at.clone());
        self.seek(&at, offset, stage, truth);
        let serial = self.owned.get(&at)?.serial;
        self.called(stage, truth);
        Some((at, offset, serial))
    }

    fn go_on(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if let Some(at) = self.user.resting.take() {
            self.host.machine.set_paused(&at, false, stage.now());
            self.user.paused.remove(&at);
            self.called(stage, truth);
        }
    }
}
