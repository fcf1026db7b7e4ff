//! What the plan has in store for processes, logs, brokers and the network.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::TopicPartition;

use super::{
    plan::{Item, Phase},
    worker::Worker,
    world::World,
};
use crate::{
    between::Between as _,
    dice::ms,
    stage::{Event, LinkId, Who},
    trouble::{Trouble, script},
};

/// So many processes there are at most.
const MOST: usize = 4;

impl World {
    pub(super) fn carry_out(&mut self, item: Item) {
        match item {
            Item::Begin => self.begin(None),
            Item::Crash { again_after } => {
                if let Some(index) = self.any_working() {
                    self.judge.counts.crashes += 1;
                    self.workers[index].crash(&mut self.stage, &mut self.judge);
                    self.begin_later(again_after);
                }
            }
            Item::Stop { again_after } => {
                if let Some(index) = self.any_working() {
                    self.workers[index].stop(&mut self.stage, &mut self.judge);
                    self.begin_later(again_after);
                }
            }
            _ if self.stage.quiet => {}
            Item::Zombie => {
                if let Some(index) = self.any_working()
                    && let Some(id) = self.workers[index].keeper.as_ref().map(|keeper| keeper.id)
                {
                    self.judge.once.counts.zombies += 1;
                    self.begin(Some(id));
                }
            }
            Item::MoveTransactions { node } => {
                let ids: Vec<String> = self.cluster.transactional_ids().map(str::to_owned).collect();
                if !ids.is_empty() {
                    let id = self.dice.pick(&ids);
                    self.stage.tell(|| format!("{id} is coordinated by broker {node}"));
                    let moved = self.cluster.move_transaction_coordinator(&id, node);
                    self.judge.once.counts.moves += u64::from(moved);
                    self.faults += u64::from(moved);
                    self.pump();
                }
            }
            Item::Seek => {
                if let Some(index) = self.any_working() {
                    let owned = self.workers[index].host.machine.assignment();
                    if !owned.is_empty() {
                        let at = self.dice.pick(&owned);
                        let committed = self.judge.committed_at(&at);
                        self.workers[index].seek_back(&at, committed, &mut self.stage);
                        self.turn(Who(index + 1));
                    }
                }
            }
            Item::Trim => {
                let at = self.dice.pick(&self.plan.all_partitions());
                let offset = self.judge.committed_at(&at);
                if offset > 0 {
                    self.cluster.delete_records(&at.topic, at.partition, offset, self.stage.now());
                    self.pump();
                }
            }
            Item::CutOff { lasts } => {
                if let Some(index) = self.any_working() {
                    let who = Who(index + 1);
                    self.stage.tell(|| format!("{who} reaches nobody"));
                    self.faults += 1;
                    self.stage.net.cut_off = Some((who, self.stage.time + lasts));
                    let links = self.stage.net.links.iter().filter(|(_, link)| link.who == who);
                    for id in links.map(|(id, _)| *id).collect::<Vec<LinkId>>() {
                        self.stage.darken(id);
                    }
                }
            }
            Item::Trouble(trouble) => self.make(trouble),
        }
    }

    /// A process begins, with this transactional id where it is another's.
    pub(super) fn begin(&mut self, taken: Option<usize>) {
        let working = self.workers.iter().filter(|worker| !worker.is_gone()).count();
        if working >= MOST || self.phase == Phase::Closing {
            return;
        }
        let life = self.workers.len() + 1;
        self.stage.tell(|| format!("w{life} begins"));
        let (planted, slip) = (self.case.in_core(), self.case.slip());
        let mut worker = Worker::new(life, &self.plan, planted, slip, &mut self.dice, &self.stage);
        if self.plan.once.is_some() {
            let (id, seed) = (taken.unwrap_or_else(|| self.free_id()), self.dice.seed());
            self.judge.once.begins(id);
            self.stage.tell(|| format!("w{life} has transactional id {id}"));
            worker.keeper = self.plan.keeper(life, (id, seed), planted, &self.stage).map(Box::new);
        }
        self.workers.push(worker);
        self.turn(Who(life));
    }

    fn begin_later(&mut self, wait: Duration) {
        self.plan.items.push((Duration::ZERO, Item::Begin));
        self.stage.after(wait, Event::Plan(self.plan.items.len() - 1));
    }

    /// A process has come to its end by itself.
    pub(super) fn ends(&mut self, who: Who) {
        self.judge.counts.ends += 1;
        self.stage.tell(|| format!("{who} is over"));
        if self.phase != Phase::Closing && self.workers.iter().all(Worker::is_gone) {
            self.begin_later(ms(50));
        }
    }

    fn any_working(&mut self) -> Option<usize> {
        let all: Vec<usize> = (0..self.workers.len()).filter(|at| !self.workers[*at].is_gone()).collect();
        (!all.is_empty()).then(|| self.dice.pick(&all))
    }

    /// Records are written, and again later.
    pub(super) fn burst(&mut self) {
        let habits = &self.plan.habits;
        let written = self.judge.logs.len();
        if written >= habits.records * if self.stage.quiet { 1 } else { 3 } {
            return;
        }
        let at = self.dice.pick(&self.plan.all_partitions());
        let count = self.dice.number(1..=habits.burst);
        let every = self.dice.time(Duration::ZERO..=habits.every);
        self.write(&at, count);
        self.stage.after(every, Event::Burst);
    }

    pub(super) fn write(&mut self, at: &TopicPartition, count: usize) {
        let (habits, stage) = (&self.plan.habits, &self.stage);
        self.judge.logs.write(at, count, habits, &mut self.dice, &mut self.cluster, stage);
        self.pump();
    }

    pub(super) fn starts(&self) -> BTreeMap<TopicPartition, i64> {
        let start = |at: TopicPartition| {
            let start = self.cluster.log_start_offset(&at.topic, at.partition).unwrap_or_default();
            (at, start)
        };
        self.plan.all_partitions().into_iter().map(start).collect()
    }

    fn make(&mut self, trouble: Trouble) {
        self.stage.tell(|| format!("trouble: {trouble:?}"));
        let now = self.stage.now();
        match trouble {
            // The script counts what happens of it.
            Trouble::Requests { api, fault, times, after, node } => {
                script(&mut self.cluster, api, fault, times, after, node);
            }
            Trouble::Cut => {
                let links = self.stage.standing();
                if !links.is_empty() {
                    self.faults += 1;
                    let id = self.dice.pick(&links);
                    self.stage.cut(id);
                }
            }
            Trouble::MoveLeader { node } => {
                let at = self.dice.pick(&self.plan.all_partitions());
                self.faults += u64::from(self.cluster.move_leader(&at.topic, at.partition, node, now));
            }
            Trouble::MoveCoordinator { node } => {
                self.cluster.move_coordinator(super::plan::GROUP, node, now);
                self.faults += 1;
            }
            Trouble::Stop { node, lasts } => {
                let stopped = self.cluster.stop_node(node, now);
                self.faults += u64::from(stopped);
                if stopped {
                    self.stage.after(lasts, Event::Restore(node));
                }
            }
            _ => {}
        }
        self.pump();
    }

    pub(super) fn restore(&mut self, node: i32) {
        self.cluster.start_node(node, self.stage.now());
        self.pump();
    }
}
