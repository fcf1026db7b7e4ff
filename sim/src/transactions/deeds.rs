//! What the plan has in store for processes, brokers and the network.

use std::{collections::BTreeMap, time::Duration};

use ottla_check::history::Op;
use ottla_core::{IsolationLevel, TopicPartition};

use super::{
    actor::{Actor, Process, names},
    consuming::Consuming,
    plan::{INPUT, Item, OUTPUT, Phase, Role},
    producing::{GROUP, Producing},
    watcher::Watcher,
    worker::{self, Worker},
    world::World,
    writer::{self, Writer},
};
use crate::{
    between::Between as _,
    dice::ms,
    stage::{Event, LinkId},
    trouble::{Trouble, script},
};

impl World {
    pub(super) fn carry_out(&mut self, item: Item) {
        match item {
            Item::Begin(role) => {
                self.begin(role, None);
            }
            Item::Crash { again_after } => {
                if let Some(index) = self.any_writing() {
                    self.record.counts.crashes += 1;
                    self.processes[index].crash(Op::Crash {}, &mut self.stage, &mut self.record);
                    self.begin_later(self.processes[index].role, again_after);
                }
            }
            Item::Zombie => {
                if let Some(index) = self.any_writing() {
                    self.record.counts.zombies += 1;
                    let process = &mut self.processes[index];
                    process.is_zombie = true;
                    let (name, role) = (process.name.clone(), process.role);
                    self.stage.tell(|| format!("{name} is a zombie from now on"));
                    self.begin(role, None);
                }
            }
            Item::Trouble(_) | Item::MoveTransactions { .. } | Item::Cut if self.stage.quiet => {}
            Item::Trouble(trouble) => self.make(trouble),
            Item::MoveTransactions { node } => {
                let ids: Vec<String> = self.cluster.transactional_ids().map(str::to_owned).collect();
                if ids.is_empty() {
                    return;
                }
                let id = self.dice.pick(&ids);
                let before = self.cluster.transaction_coordinator(&id);
                self.stage.tell(|| format!("{id} is coordinated by broker {node}"));
                self.cluster.move_transaction_coordinator(&id, node);
                self.note_move(self.cluster.transaction_coordinator(&id) != before);
            }
            Item::Upgrade => {
                self.stage.tell(|| "transaction.version is 2 from now on".to_owned());
                self.cluster.set_transaction_version(2);
                self.stage.standing().into_iter().for_each(|link| self.stage.cut(link));
            }
            Item::Cut => {
                self.cuts += 1;
                let (api, fault) =
                    (ottla_protocol::ApiKey::Produce, ottla_broker::Fault::ApplyThenDisconnect);
                script(&mut self.cluster, api, fault, 1, 0, None);
            }
        }
    }

    fn note_move(&mut self, moved: bool) {
        self.record.counts.moves += u64::from(moved);
        self.faults += u64::from(moved);
    }

    /// A process that writes, and has not been replaced.
    fn any_writing(&mut self) -> Option<usize> {
        let writes = |process: &Process| {
            !process.is_done() && !process.is_zombie && !matches!(process.role, Role::Watcher(_))
        };
        let all: Vec<usize> = (0..self.processes.len()).filter(|at| writes(&self.processes[*at])).collect();
        (!all.is_empty()).then(|| self.dice.pick(&all))
    }

    pub(super) fn begin_later(&mut self, role: Role, wait: Duration) {
        self.plan.items.push((Duration::ZERO, Item::Begin(role)));
        self.stage.after(wait, Event::Plan(self.plan.items.len() - 1));
    }

    /// A process begins. `ends` is for a watcher who reads to the end.
    pub(super) fn begin(&mut self, role: Role, ends: Option<BTreeMap<TopicPartition, i64>>) {
        let index = self.processes.len();
        let (producer, consumer) = names(index);
        let (name, id) = match role {
            Role::Worker(slot) => (format!("worker{slot}-{index}"), format!("worker{slot}")),
            Role::Writer(slot) => (format!("writer{slot}-{index}"), format!("writer{slot}")),
            Role::Watcher(isolation) => (format!("{isolation:?}-{index}"), String::new()),
        };
        self.stage.tell(|| format!("{name} begins"));
        let planted = self.case.in_core();
        let (plan, stage, record, dice) = (&self.plan, &mut self.stage, &mut self.record, &mut self.dice);
        let producing = |dice: &mut crate::dice::Dice, stage: &_, record: &mut _| {
            let seeds = (plan.seeds(), dice.seed());
            Producing::new((producer, name.clone()), plan.producer(id.clone()), seeds, planted, stage, record)
        };
        let consuming = |in_group, isolation, dice: &mut crate::dice::Dice, stage: &_, record: &mut _| {
            let config = plan.consumer(in_group, isolation, dice);
            Consuming::new((consumer, name.clone()), config, planted, stage, record)
        };
        let (habits, until) = (plan.habits.clone(), stage.time);
        let is_ending = self.phase != Phase::Trouble && self.phase != Phase::Draining;
        let actor = match role {
            Role::Worker(_) => {
                let mut consumer = consuming(true, IsolationLevel::ReadCommitted, dice, stage, record);
                let topics = [INPUT.to_owned()];
                consumer.host.machine.subscribe(topics, stage.now()).expect("it has a group");
                Actor::Worker(Box::new(Worker {
                    consumer,
                    producer: producing(dice, stage, record),
                    habits,
                    dice: dice.fork(),
                    to: plan.partitions(OUTPUT),
                    doing: worker::Doing::Resting,
                    until,
                    is_ending,
                    since: None,
                    records: Vec::new(),
                }))
            }
            Role::Writer(_) => {
                let to: Vec<TopicPartition> =
                    [INPUT, INPUT, OUTPUT].into_iter().flat_map(|topic| plan.partitions(topic)).collect();
                let start = Op::Start {
                    group: None,
                    isolation: ottla_check::history::Isolation::ReadCommitted,
                    reset: None,
                    idempotent: true,
                };
                record.note(&name, start, stage);
                Actor::Writer(Box::new(Writer {
                    producer: producing(dice, stage, record),
                    habits,
                    dice: dice.fork(),
                    to,
                    doing: writer::Doing::Resting,
                    until,
                    is_ending: is_ending || self.stage.quiet && self.has_enough(),
                }))
            }
            Role::Watcher(isolation) => {
                let mut consumer = consuming(false, isolation, dice, stage, record);
                let all: Vec<TopicPartition> =
                    [INPUT, OUTPUT].into_iter().flat_map(|topic| plan.partitions(topic)).collect();
                consumer.assign(&all, stage, record);
                let (dice, read) = (dice.fork(), Vec::new());
                Actor::Watcher(Box::new(Watcher { consumer, dice, until, is_done: false, ends, read }))
            }
        };
        self.processes.push(Process { name, role, actor, is_zombie: false, is_gone: false });
        self.turn(index);
    }

    /// A process whose producer is of no use any more is over, and another takes its place, if none has.
    pub(super) fn bury(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if process.is_gone || !process.is_fenced() {
            return;
        }
        let (role, replaced) = (process.role, process.is_zombie);
        process.crash(Op::Crash {}, &mut self.stage, &mut self.record);
        if !replaced {
            self.begin_later(role, ms(50));
        }
    }

    fn make(&mut self, trouble: Trouble) {
        self.stage.tell(|| format!("trouble: {trouble:?}"));
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
                let ends = self.all_ends();
                let all: Vec<&TopicPartition> = ends.keys().collect();
                let at = self.dice.pick(&all);
                let now = self.stage.now();
                self.faults += u64::from(self.cluster.move_leader(&at.topic, at.partition, node, now));
                self.pump();
            }
            Trouble::MoveCoordinator { node } => {
                let before = self.cluster.coordinator(GROUP);
                self.cluster.move_coordinator(GROUP, node, self.stage.now());
                self.pump();
                self.note_move(self.cluster.coordinator(GROUP) != before);
            }
            Trouble::Stop { node, lasts } => {
                let stopped = self.cluster.stop_node(node, self.stage.now());
                self.faults += u64::from(stopped);
                if stopped {
                    self.stage.after(lasts, Event::Restore(node));
                    self.pump();
                }
            }
            _ => {}
        }
    }

    pub(super) fn restore(&mut self, node: i32) {
        self.cluster.start_node(node, self.stage.now());
        self.pump();
    }

    /// A batch has been appended, and its producer is not told. Its leader is gone before a follower has it.
    pub(super) fn cut_behind(&mut self, link: LinkId, before: &BTreeMap<TopicPartition, i64>) {
        let grown = |at: &TopicPartition, end: i64| {
            self.cluster.log_end_offset(&at.topic, at.partition).is_some_and(|now| now > end)
        };
        let Some((at, from)) = before.iter().find(|(at, end)| grown(at, **end)) else { return };
        // What closes the connection answers nothing.
        if self.stage.link(link).is_none_or(|link| link.broker.is_some()) {
            return;
        }
        let node = self.dice.number(1..=self.plan.broker.brokers as usize) as i32;
        let node = if self.cluster.is_up(node) { node } else { return };
        let now = self.stage.now();
        if self.cluster.elect_unclean(&at.topic, at.partition, node, *from, now).is_some() {
            let epoch = self.cluster.leader(&at.topic, at.partition).map_or(0, |(_, epoch)| epoch);
            self.stage.tell(|| format!("{at} is cut at {from}, and led by broker {node} in epoch {epoch}"));
            self.record.cut(at.clone(), *from, epoch);
            self.faults += 1;
            self.cuts -= 1;
        }
    }
}
