//! What is looked at from outside, step by step: the logs, what is committed, and whose partitions are whose.

use std::collections::BTreeMap;

use ottla_broker::GroupKind;
use ottla_core::TopicPartition;
use ottla_protocol::ErrorCode;

use crate::{
    dice::secs, member::Member, mode::Mode, phase::Phase, plan::FLEETING, reasons::is_heard, role::GROUP,
    world::World,
};

impl World {
    /// Whoever waits can say what for, and it is so.
    pub(super) fn look_at_reasons(&mut self) {
        let group = self.cluster.group(GROUP);
        let known = (&self.plan, &self.truth);
        self.doubts.look(&self.members, group.as_ref(), known, self.phase_since, &mut self.stage);
    }

    pub(super) fn look_at_commits(&mut self) {
        for group in [GROUP, "by hand"] {
            for ((topic, partition), offset) in self.cluster.committed(group) {
                if topic == FLEETING {
                    continue;
                }
                let at = TopicPartition::new(topic, partition);
                let beside =
                    self.cluster.committed_metadata(group, &at.topic, at.partition).unwrap_or_default();
                let progress = self.truth.progress(group, &at);
                progress.commit(group, &at, offset, &mut self.stage);
                progress.note_beside(beside);
            }
        }
    }

    /// Who leads anew does so in a new leader epoch.
    pub(super) fn look_at_leaders(&mut self) {
        self.leaders.look(&self.cluster, &self.plan.partitions(), &mut self.stage);
    }

    pub(super) fn look_at_places(&mut self) {
        if self.case.mode == Mode::Static {
            let (group, session) = (self.cluster.group(GROUP), self.plan.setup.session);
            self.places.look(group, session, &self.truth, &mut self.stage);
        }
    }

    /// One owner a partition, as the coordinator sees it.
    pub(super) fn look_at_group(&mut self) {
        let Some(group) = self.cluster.group(GROUP) else { return };
        if group.kind == GroupKind::Classic && group.state != "Stable" {
            return;
        }
        let generation = group.generation_id;
        let mut owners: BTreeMap<&(String, i32), &String> = BTreeMap::new();
        for member in &group.members {
            for at in &member.owned {
                if let Some(other) = owners.insert(at, &member.member_id) {
                    let one = &member.member_id;
                    self.stage.violate("a partition has one owner in a generation", || {
                        format!("{}-{} in generation {generation}: {other} and {one}", at.0, at.1)
                    });
                }
            }
        }
        if group.state == "Stable" && generation != self.generation {
            self.generation = generation;
            self.rebalances += u64::from(self.phase == Phase::Trouble);
            for member in &group.members {
                let owned: Vec<String> =
                    member.owned.iter().map(|(topic, n)| format!("{topic}-{n}")).collect();
                let (client, id) = (&member.client_id, &member.member_id);
                self.stage
                    .tell(|| format!("generation {generation}: {client} ({id}) has {}", owned.join(", ")));
            }
        }
    }

    /// No two members deliver a partition at once, unless the coordinator has struck one of them off.
    pub(super) fn look_at_deliveries(&mut self) {
        for (who, at) in std::mem::take(&mut self.truth.fresh) {
            let deliverer = &self.members[who.0 - 1];
            // A static member that the group went on without gives up later what another has meanwhile.
            let goes =
                |member: &Member| self.plan.mode == Mode::Static && member.membership.is_withdrawn(&at);
            let has =
                |member: &&Member| member.who != who && member.in_group() && member.has(&at) && !goes(member);
            let others: Vec<&Member> = self.members.iter().filter(has).collect();
            let Some(group) = self.cluster.group(GROUP).filter(|_| !others.is_empty()) else { continue };
            // Who has not heard of the newest generation may still have what he had where the group went on without
            // him: it changed its protocol and back, or waited in vain for a static member, whom it keeps.
            let goes_on = matches!(self.plan.mode, Mode::Mixed | Mode::Static);
            let is_known = |member: &Member| {
                let known =
                    group.members.iter().find(|known| known.member_id == member.membership.member_id());
                known.is_some_and(|known| !goes_on || known.epoch == member.membership.joined_generation_id())
            };
            if deliverer.in_group()
                && is_known(deliverer)
                && let Some(other) = others.into_iter().find(|other| is_known(other))
            {
                let other = other.who;
                self.stage.violate("no two members deliver a partition at once", || {
                    format!("{who} hands out {at}, which {other} has, and both are members")
                });
            }
        }
    }

    /// A member that is there, and can be heard, stays one, if its user comes back in time: so that it can join again. A group
    /// that changes its protocol, or does not wait as long as for users, is another matter.
    pub(super) fn look_at_expulsions(&mut self) {
        let quiet = self.stage.quiet_since + self.plan.setup.session * 2 + secs(5);
        let patient = self.plan.variety.rebalance_timeout.is_none() && self.plan.max_poll >= secs(12);
        let waits = patient && self.plan.mode != Mode::Mixed;
        if !(self.stage.quiet && self.plan.brisk && waits) {
            return;
        }
        let live = self.members.iter().filter(|member| member.is_live());
        let expelled = |member: &&Member| {
            let error = member.membership.told_since(quiet);
            let is_out = matches!(error, Some(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch));
            is_out && !member.may_be_away() && is_heard(member.who, &self.stage)
        };
        if let Some(who) = live.filter(expelled).map(|member| member.who).next() {
            self.stage
                .violate("a member that is there stays one", || format!("{who} is told that it is none"));
        }
    }
}
