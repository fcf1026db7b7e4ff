//! Who writes in transactions, and reads nothing.

use std::time::Duration;

use ottla_check::history::Decision;
use ottla_core::TopicPartition;

use super::{
    plan::Habits,
    producing::{Ended, Producing},
    record::Record,
};
use crate::{
    dice::{Dice, ms},
    stage::Stage,
};

pub(super) struct Writer {
    pub(super) producer: Producing,
    pub(super) habits: Habits,
    pub(super) dice: Dice,
    /// Where it writes to.
    pub(super) to: Vec<TopicPartition>,
    pub(super) doing: Doing,
    /// When it does the next thing.
    pub(super) until: Duration,
    /// It begins no other transaction.
    pub(super) is_ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Resting,
    Beginning,
    /// It has so many to send.
    Sending(usize),
    Ending,
    /// The producer is of no use any more.
    Fenced,
    /// It has nothing more to do.
    Done,
}

impl Writer {
    /// Does what it can. Returns whether that was anything.
    pub(super) fn step(&mut self, stage: &mut Stage, record: &mut Record) -> bool {
        self.producer.settle(stage, record);
        if stage.time < self.until && matches!(self.doing, Doing::Resting | Doing::Sending(_)) {
            return false;
        }
        let before = self.doing;
        self.doing = match self.doing {
            Doing::Resting if self.is_ending => Doing::Done,
            Doing::Resting => Doing::Beginning,
            Doing::Beginning => match self.producer.begin(stage, record) {
                None => Doing::Beginning,
                Some(Ok(())) => Doing::Sending(self.dice.number(1..=self.habits.records)),
                Some(Err(_)) => Doing::Fenced,
            },
            Doing::Sending(0) => {
                let aborts = self.dice.chance(self.habits.aborts);
                self.producer.end(if aborts { Decision::Abort } else { Decision::Commit }, stage, record);
                Doing::Ending
            }
            Doing::Sending(left) => {
                let (at, value) = (self.dice.pick(&self.to), self.producer.value());
                match self.producer.send(&at, value, None, stage, record) {
                    None => return false,
                    Some(true) => {
                        let pause = self.habits.pause(&mut self.dice, stage);
                        self.wait(pause, stage);
                        Doing::Sending(left - 1)
                    }
                    Some(false) => {
                        self.producer.end(Decision::Abort, stage, record);
                        Doing::Ending
                    }
                }
            }
            Doing::Ending => match self.producer.ended(stage, record) {
                None => Doing::Ending,
                Some(Ended::Over) => Doing::Fenced,
                Some(_) => {
                    let rest = self.dice.time(ms(1)..=self.habits.rest);
                    self.wait(rest, stage);
                    Doing::Resting
                }
            },
            doing @ (Doing::Fenced | Doing::Done) => doing,
        };
        self.doing != before
    }

    fn wait(&mut self, wait: Duration, stage: &mut Stage) {
        self.until = stage.time + wait;
        stage.schedule(self.until, crate::stage::Event::User(self.producer.host.who, 0));
    }
}
