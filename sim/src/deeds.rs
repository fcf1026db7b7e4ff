//! What the plan has in store for clients, brokers and the network.

use std::time::Duration;

use ottla_broker::Cluster;
use ottla_core::{Consumer, TopicPartition};
use ottla_protocol::records::{BatchBuilder, Compression, Compressor, Header};

use crate::{
    between::Between as _,
    case::Bug,
    client::Client as _,
    dice::{Dice, ms, secs},
    member::Member,
    mode::Mode,
    phase::Phase,
    plan::{FLEETING, Goodbye, Item},
    role::{GROUP, Role},
    security::Security,
    stage::{Event, LinkId, LinkState, Outage, Stage, Who},
    trouble::{Trouble, script},
    truth::Truth,
    world::World,
};

impl World {
    pub(super) fn carry_out(&mut self, item: Item) {
        match item {
            Item::Join(role) => self.join(role),
            Item::Close(goodbye) => self.with_any(|member, stage, truth| member.close(goodbye, stage, truth)),
            Item::Drop => self.with_any(|member, stage, truth| member.drop_handle(stage, truth)),
            Item::Unsubscribe => self.with_any(|member, stage, truth| {
                if member.in_group() {
                    member.unsubscribe(stage, truth);
                }
            }),
            Item::Part { unsubscribes, tries } => self.part(unsubscribes, tries),
            Item::Crash { again_after, keeps_id } => {
                let mut role = None;
                self.with_any(|member, stage, truth| {
                    role = Some(member.role.clone());
                    member.crash(stage, truth);
                });
                if let (Some(mut role), Some(wait)) = (role, again_after) {
                    if let Role::Group(role) = &mut role
                        && !keeps_id
                    {
                        role.instance = None;
                    }
                    self.plan.items.push((Duration::ZERO, Item::Join(role)));
                    self.stage.after(wait, Event::Plan(self.plan.items.len() - 1));
                }
            }
            Item::Change(wants) => self.with_any(|member, stage, truth| member.change(wants, stage, truth)),
            Item::Enforce => self.with_any(|member, stage, truth| member.enforce(stage, truth)),
            Item::Lock { lasts } => {
                self.unlock(false);
                self.stage.after(lasts, Event::Unlock);
            }
            Item::Ghost => {
                self.send_late();
                self.beat_late();
            }
            Item::Trouble(trouble) => self.make(trouble),
            Item::Widen { by } => {
                let index = self.dice.number(0..=self.plan.topics.len() - 1);
                let (name, count) = &mut self.plan.topics[index];
                *count += by;
                let (name, count) = (name.clone(), *count);
                self.stage.tell(|| format!("{name} has {count} partitions now"));
                self.cluster.create_partitions(&name, count).expect("it exists, and is narrower");
                self.pump();
            }
            Item::CloseNewest => {
                if let Some(member) = self.members.iter_mut().rev().find(|member| member.is_live()) {
                    member.close(Goodbye::Default, &mut self.stage, &mut self.truth);
                }
            }
            Item::Hush { lasts } => self.source.hush(self.stage.time + lasts),
            Item::Flood { records } => {
                self.source.flood(records, &self.plan, &mut self.stage, &mut self.truth);
            }
            Item::Fleet { comes } => self.fleet(comes),
            Item::Refill => self.refill(),
            Item::Trim { unread } => self.trim(unread),
            Item::Assign => self.assign_anew(),
            Item::Create { matches } => {
                let count = self.dice.number(1..=4) as u32;
                let number = self.truth.topics;
                if !self.cluster.nodes().any(|node| self.cluster.is_up(node)) {
                    return;
                }
                let name = format!("{}{number}", if matches { "topic" } else { "other" });
                self.stage.tell(|| format!("{name} comes into being, with {count} partitions"));
                if matches {
                    self.plan.topics.push((name.clone(), count));
                }
                self.create_topic(name, count);
                self.pump();
            }
        }
    }

    fn part(&mut self, unsubscribes: bool, tries: u32) {
        let now = self.stage.now();
        let index = self.members.iter().position(|member| member.is_live() && member.has_untold(now));
        let Some(index) = index else {
            if tries > 0 {
                self.plan.items.push((Duration::ZERO, Item::Part { unsubscribes, tries: tries - 1 }));
                self.stage.after(ms(50), Event::Plan(self.plan.items.len() - 1));
            }
            return;
        };
        match unsubscribes {
            true => self.members[index].unsubscribe(&mut self.stage, &mut self.truth),
            false => self.members[index].close(Goodbye::Default, &mut self.stage, &mut self.truth),
        }
    }

    /// Somebody who reads alone takes other partitions, and keeps some.
    fn assign_anew(&mut self) {
        let all = self.plan.partitions();
        let alone: Vec<usize> = (0..self.members.len())
            .filter(|index| self.members[*index].is_live() && !self.members[*index].in_group())
            .collect();
        if alone.is_empty() {
            return;
        }
        let member = &mut self.members[self.dice.pick(&alone)];
        let mut chosen: Vec<TopicPartition> = all
            .iter()
            .filter(|at| self.dice.chance(if member.has(at) { 0.6 } else { 0.4 }))
            .cloned()
            .collect();
        if chosen.is_empty() {
            chosen.push(self.dice.pick(&all));
        }
        member.assign_anew(chosen, &mut self.stage, &mut self.truth);
    }

    /// The topic that comes and goes comes, with records in it, or goes.
    fn fleet(&mut self, comes: bool) {
        let is_there = self.truth.topic_ids.values().any(|name| name == FLEETING);
        if comes == is_there || !self.cluster.nodes().any(|node| self.cluster.is_up(node)) {
            return;
        }
        self.stage.tell(|| format!("{FLEETING} {}", if comes { "comes" } else { "goes" }));
        self.truth.fleeting.clear();
        if comes {
            let count = self.dice.number(1..=3) as u32;
            self.create_topic(FLEETING.to_owned(), count);
            self.refill();
        } else {
            self.truth.topic_ids.retain(|_, name| name != FLEETING);
            self.cluster.delete_topic(FLEETING);
        }
        self.pump();
    }

    /// The last time it goes when nothing else is the matter, and some of it has just been read.
    pub(super) fn end_fleeting(&mut self) {
        self.refill();
        self.plan.items.push((Duration::ZERO, Item::Fleet { comes: false }));
        self.stage.after(ms(150), Event::Plan(self.plan.items.len() - 1));
    }

    /// There is more in it, if it is there.
    fn refill(&mut self) {
        let now = self.stage.now();
        let mut batch = BatchBuilder::new(Compression::None, 1 << 16);
        for _ in 0..self.dice.number(1..=20) {
            let taken = batch.append(now.wall.0, None, Some(&[0; 8]), std::iter::empty::<Header<'_>>());
            taken.expect("there is room");
        }
        let batch = batch.finish(&mut Compressor::new());
        for partition in 0.. {
            if self.cluster.append(FLEETING, partition, &batch, now).is_err() {
                break;
            }
        }
        self.pump();
    }

    pub(super) fn make(&mut self, trouble: Trouble) {
        self.stage.tell(|| format!("trouble: {trouble:?}"));
        self.look_at_leaders();
        let took_effect = match trouble {
            Trouble::Requests { api, fault, times, after, node } => {
                // The script counts what happens of it.
                script(&mut self.cluster, api, fault, times, after, node);
                false
            }
            Trouble::Cut => self.with_a_link(Stage::cut),
            Trouble::Darken => self.with_a_link(Stage::darken),
            Trouble::Mute => self.with_a_link(|stage, id| stage.silence(id, LinkState::Mute)),
            Trouble::Deafen => self.with_a_link(|stage, id| stage.silence(id, LinkState::Deaf)),
            Trouble::CutOff { lasts } => self.with_a_link(|stage, id| {
                let Some(who) = stage.link(id).map(|link| link.who) else { return };
                stage.net.cut_off = Some((who, stage.time + lasts));
                let links = stage.net.links.iter().filter(|(_, link)| link.who == who);
                for id in links.map(|(id, _)| *id).collect::<Vec<LinkId>>() {
                    stage.darken(id);
                }
            }),
            Trouble::Outage { node, lasts, swallows } => {
                let outage = if swallows { Outage::Swallows } else { Outage::Refuses };
                self.stage.net.outages.insert(node, outage);
                let links = self.stage.net.links.iter().filter(|(_, link)| link.node == node);
                let links: Vec<LinkId> = links.map(|(id, _)| *id).collect();
                for id in &links {
                    match swallows {
                        true => self.stage.darken(*id),
                        false => self.stage.cut(*id),
                    }
                }
                self.stage.after(lasts, Event::Restore(node));
                !links.is_empty()
            }
            Trouble::Stop { node, lasts } => {
                let stopped = self.cluster.stop_node(node, self.stage.now());
                self.pump();
                self.stage.after(lasts, Event::Restore(node));
                stopped
            }
            Trouble::MoveLeader { node } => {
                let at = self.dice.pick(&self.plan.partitions());
                self.stage.tell(|| format!("{at} is to be led by broker {node}"));
                let leader =
                    |cluster: &Cluster| cluster.leader(&at.topic, at.partition).map(|(node, _)| node);
                let before = leader(&self.cluster);
                self.cluster.move_leader(&at.topic, at.partition, node, self.stage.now());
                self.pump();
                self.look_at_leaders();
                leader(&self.cluster) != before
            }
            Trouble::Lag { node, lasts } => {
                // One at a time: of two that lag, one may know less than the other, and be right.
                self.follow_all();
                self.cluster.set_metadata_lag(node, true);
                self.stage.after(lasts, Event::Follow(node));
                true
            }
            Trouble::MoveCoordinator { node } => {
                let before = self.cluster.coordinator(GROUP);
                self.cluster.move_coordinator(GROUP, node, self.stage.now());
                self.pump();
                self.look_at_commits();
                self.cluster.coordinator(GROUP) != before
            }
        };
        self.faults += u64::from(took_effect);
    }

    /// No broker's metadata lags.
    pub(super) fn follow_all(&mut self) {
        for node in 1..=self.plan.broker.brokers as i32 {
            self.cluster.set_metadata_lag(node, false);
        }
    }

    /// The password that clients know becomes the right one, or a wrong one.
    pub(super) fn unlock(&mut self, is_right: bool) {
        if self.plan.security.is_some() {
            let (user, password) = Security::password(is_right);
            self.stage.tell(|| format!("the password is {}", if is_right { "right" } else { "wrong" }));
            self.cluster.set_password(user, password);
            let after = if is_right { secs(10) } else { secs(60) };
            self.stage.barred_until = self.stage.time + after;
        }
    }

    /// A broker can be reached again, whatever was the matter.
    pub(super) fn restore(&mut self, node: i32) {
        self.stage.tell(|| format!("broker {node} can be reached again"));
        self.stage.net.outages.remove(&node);
        self.cluster.start_node(node, self.stage.now());
        self.pump();
    }

    pub(super) fn join(&mut self, mut role: Role) {
        if let Role::Group(role) = &mut role
            && self.stage.quiet
        {
            role.wants = self.plan.everything();
        }
        let who = Who(self.members.len() + 1);
        let habits = self.plan.habits.of(&role, self.plan.max_poll, &mut self.dice);
        let config = self.plan.consumer(&role, &habits, &mut self.dice);
        self.stage.tell(|| format!("{who} begins: {role:?}, {habits:?}"));
        let mut machine = Consumer::new(config, self.stage.now());
        if let Some(Bug::Core(bug)) = self.case.planted {
            machine.plant(bug);
        }
        let (most, dice) = ((self.plan.most_held(), self.plan.max_poll), self.dice.fork());
        let mut member = Member::new(who, machine, role, habits, most, dice, &self.stage);
        member.subscribe(&mut self.stage);
        if self.case.mode == Mode::Readers {
            member.plan_is_orderly = self.plan.orderly;
            (0..self.dice.number(1..=2)).for_each(|_| member.add_helper(&mut self.stage));
        }
        member.turn(&mut self.stage, &mut self.truth);
        self.members.push(member);
    }

    /// Who was refused because of his id comes again: it is free when the session of who had it is over.
    pub(super) fn try_again(&mut self) {
        for role in std::mem::take(&mut self.truth.refused) {
            // A group in which two fight for an id has no rest: not where more trouble waits for one.
            if self.phase == Phase::Trouble && self.made_up == 0 {
                self.plan.items.push((Duration::ZERO, Item::Join(role)));
                self.stage.after(secs(2), Event::Plan(self.plan.items.len() - 1));
            }
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

    /// Returns whether there was one.
    fn with_a_link(&mut self, what: impl FnOnce(&mut Stage, LinkId)) -> bool {
        let links = self.stage.standing();
        if !links.is_empty() {
            let id = self.dice.pick(&links);
            if let Some(who) = self.stage.link(id).map(|link| link.who) {
                self.stage.tell(|| format!("it befalls a connection of {who}"));
            }
            what(&mut self.stage, id);
        }
        !links.is_empty()
    }
}

/// Dice for what happens in the end, whatever happened before.
pub(super) fn last_dice(seed: u64) -> Dice {
    Dice::of(seed, usize::MAX - 1)
}
