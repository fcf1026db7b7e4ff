//! A process: a worker, a writer or a watcher, with the drivers of its machines.

use std::collections::BTreeMap;

use ottla_check::history::Op;
use ottla_core::TopicPartition;

use super::{plan::Role, record::Record, watcher::Watcher, worker, worker::Worker, writer, writer::Writer};
use crate::{
    client::{Arrival, feed, spin_in_transactions},
    stage::{Stage, Who},
};

pub(super) enum Actor {
    Worker(Box<Worker>),
    Writer(Box<Writer>),
    Watcher(Box<Watcher>),
}

pub(super) struct Process {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) actor: Actor,
    /// Another has begun in its place.
    pub(super) is_zombie: bool,
    pub(super) is_gone: bool,
}

/// More than this at one moment is a busy loop.
const MOST_ROUNDS: u32 = 300;

/// The producer of a process, and its consumer, by the process's number.
pub(super) const fn names(index: usize) -> (Who, Who) {
    (Who(2 * index + 1), Who(2 * index + 2))
}

/// The number of the process whose machine it is.
pub(super) const fn index_of(who: Who) -> usize {
    (who.0 - 1) / 2
}

impl Process {
    /// Does what drivers and users do, until there is nothing left to do now.
    pub(super) fn turn(&mut self, stage: &mut Stage, record: &mut Record) {
        // The user looks when something has befallen him, and again where he is woken or has done something.
        let mut looks = true;
        for round in 0.. {
            if self.is_gone || stage.violation.is_some() {
                return;
            }
            if round > MOST_ROUNDS {
                let name = &self.name;
                return stage
                    .violate("no busy loop", || format!("{name} and its user wake each other for ever"));
            }
            let woken = match &mut self.actor {
                Actor::Worker(it) => {
                    spin_in_transactions(&mut it.consumer.host, stage)
                        | spin_in_transactions(&mut it.producer.host, stage)
                }
                Actor::Writer(it) => spin_in_transactions(&mut it.producer.host, stage),
                Actor::Watcher(it) => spin_in_transactions(&mut it.consumer.host, stage),
            };
            if !woken && !looks {
                break;
            }
            looks = match &mut self.actor {
                Actor::Worker(it) => it.step(stage, record),
                Actor::Writer(it) => it.step(stage, record),
                Actor::Watcher(it) => it.step(stage, record),
            };
        }
        match &mut self.actor {
            Actor::Worker(it) => {
                it.consumer.host.end(stage);
                it.producer.host.end(stage);
            }
            Actor::Writer(it) => it.producer.host.end(stage),
            Actor::Watcher(it) => it.consumer.host.end(stage),
        }
    }

    pub(super) fn arrives(&mut self, who: Who, arrival: Arrival, stage: &mut Stage, record: &mut Record) {
        if self.is_gone {
            return;
        }
        let is_producers = who.0 % 2 == 1;
        let came = match &mut self.actor {
            Actor::Worker(it) if is_producers => feed(&mut it.producer.host, arrival, stage),
            Actor::Worker(it) => feed(&mut it.consumer.host, arrival, stage),
            Actor::Writer(it) => feed(&mut it.producer.host, arrival, stage),
            Actor::Watcher(it) => feed(&mut it.consumer.host, arrival, stage),
        };
        if came {
            self.turn(stage, record);
        }
    }

    /// Its producer is of no use any more.
    pub(super) fn is_fenced(&self) -> bool {
        match &self.actor {
            Actor::Worker(it) => it.doing == worker::Doing::Fenced,
            Actor::Writer(it) => it.doing == writer::Doing::Fenced,
            Actor::Watcher(_) => false,
        }
    }

    /// It has nothing more to do.
    pub(super) fn is_done(&self) -> bool {
        self.is_gone
            || match &self.actor {
                Actor::Worker(it) => it.doing == worker::Doing::Done,
                Actor::Writer(it) => it.doing == writer::Doing::Done,
                Actor::Watcher(it) => it.is_done,
            }
    }

    /// Whether it has read to these ends, if it is there to read.
    pub(super) fn has_read(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        match &self.actor {
            Actor::Watcher(it) if !self.is_gone => it.is_at(ends),
            _ => true,
        }
    }

    /// It is to begin nothing more.
    pub(super) fn end(&mut self, stage: &mut Stage, record: &mut Record) {
        match &mut self.actor {
            Actor::Worker(it) => it.is_ending = true,
            Actor::Writer(it) => it.is_ending = true,
            Actor::Watcher(_) => {}
        }
        self.turn(stage, record);
    }

    /// It is gone: nobody closes anything.
    pub(super) fn crash(&mut self, op: Op, stage: &mut Stage, record: &mut Record) {
        if std::mem::replace(&mut self.is_gone, true) {
            return;
        }
        let name = &self.name;
        stage.tell(|| format!("{name}: {op:?}"));
        record.note(name, op, stage);
        match &mut self.actor {
            Actor::Worker(it) => {
                it.consumer.host.crash(stage);
                it.producer.host.crash(stage);
            }
            Actor::Writer(it) => it.producer.host.crash(stage),
            Actor::Watcher(it) => it.consumer.host.crash(stage),
        }
    }
}
