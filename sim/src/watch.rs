//! What is looked at from outside, step by step: the logs, what is committed, and whose partitions are whose.

use std::collections::BTreeMap;

use ottla_broker::GroupKind;
use ottla_core::TopicPartition;

use crate::{
    member::Member,
    mode::Mode,
    plan::FLEETING,
    world::{GROUP, Phase, World},
};

impl World {
    pub(super) fn look_at_logs(&mut self) {
        for at in self.plan.partitions() {
            let end = self.cluster.log_end_offset(&at.topic, at.partition).unwrap_or_default();
            self.truth.ends.insert(at, end);
        }
    }

    pub(super) fn look_at_commits(&mut self) {
        for group in [GROUP, "by hand"] {
            for ((topic, partition), offset) in self.cluster.committed(group) {
                if topic == FLEETING {
                    continue;
                }
                let at = TopicPartition::new(topic, partition);
                self.truth.progress(group, &at).commit(group, &at, offset, &mut self.stage);
            }
        }
    }

    /// Who leads anew does so in a new leader epoch.
    pub(super) fn look_at_leaders(&mut self) {
        for at in self.plan.partitions() {
            let Some((node, epoch)) = self.cluster.leader(&at.topic, at.partition) else { continue };
            if let Some((before, last)) = self.leaders.insert(at.clone(), (node, epoch))
                && before != node
                && last >= epoch
            {
                self.stage.violate("each leader of a partition has a leader epoch of its own", || {
                    format!("{at}: {before} in epoch {last}, {node} in {epoch}")
                });
            }
        }
    }

    /// Under the consumer protocol a static member's place is another's only once it has left it, or its session is over.
    pub(super) fn look_at_instances(&mut self) {
        let group = self.cluster.group(GROUP).filter(|group| group.kind == GroupKind::Consumer);
        let members = group.map(|group| group.members).unwrap_or_default();
        let mut places = BTreeMap::new();
        for member in members {
            let Some(instance) = member.group_instance_id else { continue };
            if let Some((before, epoch)) = self.places.get(&instance)
                && *before != member.member_id
                && *epoch >= 0
                && self.case.mode == Mode::Static
            {
                let id = &member.member_id;
                self.stage.violate("a static member's place is not given away while it is there", || {
                    format!("{instance}: {before} in epoch {epoch}, and now {id}")
                });
            }
            places.insert(instance, (member.member_id, member.epoch));
        }
        self.places = places;
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
            let goes = |member: &Member| self.plan.mode == Mode::Static && member.withdrawn.contains(&at);
            let has =
                |member: &&Member| member.who != who && member.in_group() && member.has(&at) && !goes(member);
            let others: Vec<&Member> = self.members.iter().filter(has).collect();
            let Some(group) = self.cluster.group(GROUP).filter(|_| !others.is_empty()) else { continue };
            // Who has not heard of the newest generation may still have what he had where the group went on without
            // him: it changed its protocol and back, or waited in vain for a static member, whom it keeps.
            let goes_on = matches!(self.plan.mode, Mode::Mixed | Mode::Static);
            let is_known = |member: &Member| {
                let known = group.members.iter().find(|known| known.member_id == member.member_id);
                known.is_some_and(|known| !goes_on || known.epoch == member.joined_generation_id)
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
}
