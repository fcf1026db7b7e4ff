//! What the plan has in store for clients, brokers and the network.

use std::time::Duration;

use ottla_core::Consumer;

use crate::{
    member::{Member, Role},
    plan::{Bug, Item},
    stage::{Event, Link, LinkId, LinkState, Outage, Stage, Who},
    trouble,
    truth::Truth,
    world::{GROUP, World},
};

impl World {
    pub(super) fn carry_out(&mut self, item: Item) {
        match item {
            Item::Join(role) => self.join(role),
            Item::Close => self.with_any(|member, stage, truth| member.close(stage, truth)),
            Item::Drop => self.with_any(|member, stage, truth| member.drop_handle(stage, truth)),
            Item::Unsubscribe => self.with_any(|member, stage, truth| {
                if member.in_group() {
                    member.unsubscribe(stage, truth);
                }
            }),
            Item::Crash { again_after } => {
                let mut role = None;
                self.with_any(|member, stage, _| {
                    role = Some(member.role.clone());
                    member.crash(stage);
                });
                if let (Some(role), Some(wait)) = (role, again_after) {
                    self.plan.items.push((Duration::ZERO, Item::Join(role)));
                    self.stage.after(wait, Event::Plan(self.plan.items.len() - 1));
                }
            }
            Item::Change(topics) => self.with_any(|member, stage, truth| member.change(topics, stage, truth)),
            Item::Ghost => self.send_late(),
            Item::Fault => {
                let said = trouble::script(&mut self.cluster, &mut self.dice);
                self.stage.note(|| format!("fault: {said}"));
                self.faults += 1;
            }
            Item::Cut | Item::Darken => {
                let standing = |link: &Link| link.broker.is_some() && link.state == LinkState::Open;
                let links = self.stage.net.links.iter().filter(|(_, link)| standing(link));
                let links: Vec<(LinkId, Who)> = links.map(|(id, link)| (*id, link.who)).collect();
                if !links.is_empty() {
                    let (id, who) = self.dice.pick(&links);
                    self.stage.note(|| format!("network: {item:?} of a connection of {who}"));
                    match item {
                        Item::Cut => self.stage.cut(id),
                        _ => self.stage.darken(id),
                    }
                    self.faults += 1;
                }
            }
            Item::Outage { lasts, swallows } => {
                let node = self.dice.number(1..=self.plan.broker.brokers as usize) as i32;
                self.stage
                    .note(|| format!("broker {node} cannot be reached for {lasts:?} (swallows: {swallows})"));
                let outage = if swallows { Outage::Swallows } else { Outage::Refuses };
                self.stage.net.outages.insert(node, outage);
                let links: Vec<LinkId> = self
                    .stage
                    .net
                    .links
                    .iter()
                    .filter(|(_, link)| link.node == node)
                    .map(|(id, _)| *id)
                    .collect();
                for id in links {
                    match swallows {
                        true => self.stage.darken(id),
                        false => self.stage.cut(id),
                    }
                }
                self.stage.after(lasts, Event::Restore(node));
                self.faults += 1;
            }
            Item::MoveLeader => {
                let at = self.dice.pick(&self.plan.partitions());
                let node = self.dice.number(1..=self.plan.broker.brokers as usize) as i32;
                self.stage.note(|| format!("{at} is led by broker {node} now"));
                self.cluster.move_leader(&at.topic, at.partition, node, self.stage.now());
                self.pump();
                self.faults += 1;
            }
        }
    }

    pub(super) fn join(&mut self, role: Role) {
        let who = Who(self.members.len() + 1);
        let habits = self.plan.habits(&mut self.dice, &role);
        let config = self.plan.consumer(&role, &habits, &mut self.dice);
        self.stage.note(|| format!("{who} begins: {role:?}, {habits:?}"));
        let mut machine = Consumer::new(config, self.stage.now());
        if let Some(Bug::Core(bug)) = self.planted {
            machine.plant(bug);
        }
        let (most, dice) = ((self.plan.most_held(), self.plan.max_poll), self.dice.fork());
        let mut member = Member::new(who, machine, role, habits, most, dice, &mut self.stage);
        member.turn(&mut self.stage, &mut self.truth);
        self.members.push(member);
    }

    /// A commit of an earlier generation arrives, and must change nothing.
    fn send_late(&mut self) {
        let current = self.cluster.group(GROUP).map_or(-1, |group| group.generation_id);
        let late: Vec<_> =
            self.commits.iter().filter(|(generation, _)| (0..current).contains(generation)).collect();
        if late.is_empty() {
            return;
        }
        let (generation, frame) = self.dice.pick(&late).clone();
        self.stage.note(|| format!("a commit of generation {generation} arrives late"));
        let before = self.cluster.committed(GROUP);
        let broker = self.cluster.handle_connect(self.cluster.coordinator(GROUP), self.stage.now());
        self.cluster.handle_frame(broker, frame, self.stage.now());
        self.pump();
        self.cluster.handle_disconnect(broker, self.stage.now());
        if self.cluster.committed(GROUP) != before {
            self.stage.violate("a commit of an earlier generation is refused", || {
                format!("one of {generation} is taken in {current}")
            });
        }
    }

    fn with_any(&mut self, what: impl FnOnce(&mut Member, &mut Stage, &mut Truth)) {
        let live: Vec<usize> =
            self.members.iter().enumerate().filter(|(_, member)| member.is_live()).map(|(n, _)| n).collect();
        if !live.is_empty() {
            let index = self.dice.pick(&live);
            what(&mut self.members[index], &mut self.stage, &mut self.truth);
        }
    }
}
