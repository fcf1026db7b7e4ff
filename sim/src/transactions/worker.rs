//! Who reads, transforms and writes, with the offsets in the same transaction: as the library's `transform` does.

use std::{collections::BTreeMap, time::Duration};

use ottla_check::history::{Decision, Op};
use ottla_core::{GroupMetadata, SeekTo, TopicPartition, producer::OffsetsTicket};

use super::{
    consuming::Consuming,
    plan::Habits,
    producing::{Ended, Producing},
    record::{Read, Record, position},
};
use crate::{
    dice::{Dice, ms, secs},
    stage::{Event, Stage},
};

pub(super) struct Worker {
    pub(super) consumer: Consuming,
    pub(super) producer: Producing,
    pub(super) habits: Habits,
    pub(super) dice: Dice,
    /// Where it writes to.
    pub(super) to: Vec<TopicPartition>,
    pub(super) doing: Doing,
    pub(super) until: Duration,
    pub(super) is_ending: bool,
    /// Its place in the group as it polled.
    pub(super) since: Option<GroupMetadata>,
    /// What it has read.
    pub(super) records: Vec<Read>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Resting,
    Beginning,
    Polling,
    /// So many of the records have been written.
    Working(usize),
    Offsets(OffsetsTicket),
    Ending,
    Fenced,
    Done,
}

impl Worker {
    /// Does what it can. Returns whether that was anything.
    pub(super) fn step(&mut self, stage: &mut Stage, record: &mut Record) -> bool {
        self.producer.settle(stage, record);
        self.consumer.drain(stage, record);
        if stage.time < self.until && matches!(self.doing, Doing::Resting | Doing::Working(_)) {
            return false;
        }
        let before = self.doing;
        self.doing = match self.doing {
            Doing::Resting if self.is_ending => Doing::Done,
            Doing::Resting => Doing::Beginning,
            Doing::Beginning => match self.producer.begin(stage, record) {
                None => Doing::Beginning,
                Some(Ok(())) => {
                    self.wait(secs(1), stage);
                    Doing::Polling
                }
                Some(Err(_)) => Doing::Fenced,
            },
            Doing::Polling => {
                let most = self.dice.number(1..=self.habits.records);
                self.records = self.consumer.poll(most, stage, record);
                match self.records.is_empty() {
                    false => {
                        self.until = stage.time;
                        self.since = self.consumer.host.machine.group_metadata();
                        Doing::Working(0)
                    }
                    true if stage.time < self.until => Doing::Polling,
                    true => {
                        self.consumer.gives_up(stage);
                        self.abort(stage, record)
                    }
                }
            }
            Doing::Working(done) => match self.records.get(done).cloned() {
                Some(read) => {
                    let value = format!("{}>{}", read.value, self.producer.value());
                    let at = self.dice.pick(&self.to);
                    let from = Some(position(&read.at, read.offset));
                    match self.producer.send(&at, value, from, stage, record) {
                        None => return false,
                        Some(true) => {
                            let pause = self.habits.pause(&mut self.dice, stage);
                            self.wait(pause, stage);
                            Doing::Working(done + 1)
                        }
                        Some(false) => self.abort(stage, record),
                    }
                }
                None if self.dice.chance(self.habits.aborts) => self.abort(stage, record),
                None => self.send_offsets(stage, record),
            },
            Doing::Offsets(ticket) => match self.producer.take_offsets(ticket, stage) {
                None => Doing::Offsets(ticket),
                Some(true) if self.dice.chance(self.habits.aborts / 2.0) => self.abort(stage, record),
                Some(true) => {
                    self.producer.end(Decision::Commit, stage, record);
                    Doing::Ending
                }
                Some(false) => self.abort(stage, record),
            },
            Doing::Ending => match self.producer.ended(stage, record) {
                None => Doing::Ending,
                Some(Ended::Over) => Doing::Fenced,
                Some(ended) => {
                    match ended {
                        Ended::Committed => {
                            record.counts.transformed += self.records.len() as u64;
                            let (reader, core) = (&mut self.consumer.reader, &mut self.consumer.host.machine);
                            reader.sync(core, true, stage.now());
                        }
                        _ => self.take_back(stage, record),
                    }
                    self.records.clear();
                    let rest = self.dice.time(ms(1)..=self.habits.rest / 4);
                    self.wait(rest, stage);
                    Doing::Resting
                }
            },
            doing @ (Doing::Fenced | Doing::Done) => doing,
        };
        self.doing != before
    }

    fn abort(&mut self, stage: &mut Stage, record: &mut Record) -> Doing {
        self.producer.end(Decision::Abort, stage, record);
        Doing::Ending
    }

    /// The offsets behind what it has read, where it may still commit them.
    fn send_offsets(&mut self, stage: &mut Stage, record: &mut Record) -> Doing {
        let (reader, core) = (&mut self.consumer.reader, &mut self.consumer.host.machine);
        reader.sync(core, false, stage.now());
        let group = core.group_metadata();
        let mut next: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        self.records.iter().for_each(|read| _ = next.insert(read.at.clone(), read.offset + 1));
        let holds = |(at, next): (&TopicPartition, &i64)| {
            reader.position(at, core).is_some_and(|position| position >= *next)
        };
        let counts = self.since == group && next.iter().all(holds);
        let group = group.filter(|_| counts);
        let ticket =
            group.and_then(|group| self.producer.send_offsets(next.into_iter().collect(), group, stage));
        match ticket {
            // A commit waits by itself for offsets that are not taken yet.
            Some(_) if self.dice.chance(0.3) => {
                self.producer.end(Decision::Commit, stage, record);
                Doing::Ending
            }
            Some(ticket) => Doing::Offsets(ticket),
            None => self.abort(stage, record),
        }
    }

    /// What it has read is to be handed out again, as far as it is still its to hand out.
    fn take_back(&mut self, stage: &mut Stage, record: &mut Record) {
        let now = stage.now();
        let mut first: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        for read in &self.records {
            first.entry(read.at.clone()).or_insert(read.offset);
        }
        let (reader, core) = (&mut self.consumer.reader, &mut self.consumer.host.machine);
        reader.sync(core, false, now);
        for (at, offset) in first {
            if reader.position(&at, core).is_some() && core.seek(&at, SeekTo::Offset(offset), now) {
                let (topic, partition) = (at.topic, at.partition);
                let op = Op::Seek { topic, partition, offset: Some(offset) };
                record.note(&self.consumer.process, op, stage);
            }
        }
        reader.sync(core, true, now);
    }

    fn wait(&mut self, wait: Duration, stage: &mut Stage) {
        self.until = stage.time + wait;
        stage.schedule(self.until, Event::User(self.producer.host.who, 0));
    }
}
