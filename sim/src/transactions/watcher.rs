//! Who reads everything, in one isolation level.

use std::{collections::BTreeMap, time::Duration};

use ottla_check::history::Op;
use ottla_core::TopicPartition;

use super::{
    consuming::Consuming,
    record::{Read, Record},
};
use crate::{
    dice::{Dice, ms},
    stage::{Event, Stage},
};

pub(super) struct Watcher {
    pub(super) consumer: Consuming,
    pub(super) dice: Dice,
    pub(super) until: Duration,
    pub(super) is_done: bool,
    /// Where each log ends, for who reads them to the end.
    pub(super) ends: Option<BTreeMap<TopicPartition, i64>>,
    /// What it has read, where it reads to the end.
    pub(super) read: Vec<Read>,
}

impl Watcher {
    /// Does what it can. Returns whether that was anything.
    pub(super) fn step(&mut self, stage: &mut Stage, record: &mut Record) -> bool {
        if self.is_done || stage.time < self.until {
            self.consumer.drain(stage, record);
            return false;
        }
        let records = self.consumer.poll(50, stage, record);
        let came = !records.is_empty();
        if came && self.ends.is_none() {
            self.until = stage.time + self.dice.time(Duration::ZERO..=ms(50));
            stage.schedule(self.until, Event::User(self.consumer.host.who, 0));
        }
        if let Some(ends) = &self.ends {
            self.read.extend(records);
            if !came && self.is_at(ends) {
                for (at, end) in ends {
                    let (topic, partition) = (at.topic.clone(), at.partition);
                    record.note(
                        &self.consumer.process,
                        Op::Final { topic, partition, from: 0, to: *end },
                        stage,
                    );
                }
                self.is_done = true;
            }
        }
        came
    }

    /// Whether it has read to these ends.
    pub(super) fn is_at(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        let machine = &self.consumer.host.machine;
        let is_at_end = |(at, end): (&TopicPartition, &i64)| {
            machine.position(at).map_or(*end == 0, |position| position >= *end)
        };
        ends.iter().all(is_at_end)
    }
}
