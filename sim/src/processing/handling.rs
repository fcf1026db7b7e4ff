//! A process's handlers, and who takes over what they give up.

use std::time::Duration;

use ottla_core::{
    TopicPartition,
    processing::{CancelReason, Ended, FailureClass, GivenAway, Job},
};

use super::{
    judge::{End, Judge},
    once::{LETTERS, OUTPUT},
    worker::{Giving, Handling, Worker},
    written::{Nature, Written},
};
use crate::{
    dice::{ms, secs},
    slip::Slip,
    stage::Stage,
};

impl Worker {
    /// What follows each change of the machine: handlers are told to end, and begin.
    pub(super) fn settle(&mut self, stage: &mut Stage, judge: &mut Judge) {
        while let Some((job, reason)) = self.machine.poll_cancel() {
            let told = self.running.iter().find(|(_, handling)| handling.id == job);
            if let Some(number) =
                told.map(|(number, _)| *number).filter(|_| !self.slips(Slip::CancelIsNotTold))
            {
                judge.tell(self.life, number, reason, stage);
                self.end_early(number, reason, stage);
            }
        }
        self.stirred |= self.machine.take_stir();
        while let Some(GivenAway { id, hopeless }) = self.machine.poll_given_away() {
            let (at, offset) = (hopeless.at, hopeless.offset);
            let tenure = judge.give(self.life, (&at, offset), stage);
            let until = stage.time + self.dice.time(Duration::ZERO..=ms(300));
            if self.slips(Slip::LetterIsWrittenAhead) {
                self.write(LETTERS, &at, offset);
            }
            self.given.push(Giving { id, at, offset, tenure, until });
        }
        while !self.is_full()
            && let Some(job) = self.machine.take(stage.now())
        {
            self.begin(job, stage, judge);
        }
        self.stirred |= self.machine.take_stir() | self.hurries();
    }

    fn begin(&mut self, job: Job<(TopicPartition, i64)>, stage: &mut Stage, judge: &mut Judge) {
        let Job { id, attempt, work: (at, offset) } = job;
        let life = self.life;
        stage.note(|| format!("w{life} starts {at} offset {offset}, attempt {attempt}"));
        let number = judge.start(life, (&at, offset), attempt, stage);
        let written = *judge.logs.of(&at).get(&offset).expect("it was written");
        let (until, end) = self.outcome(&written, attempt, stage);
        self.running.insert(number, Handling { id, at, offset, until, end });
    }

    fn outcome(&mut self, written: &Written, attempt: u32, stage: &Stage) -> (Option<Duration>, End) {
        let takes = match self.habits.slow {
            Some(slow) if written.key == Some(0) && !stage.quiet => slow,
            _ => self.habits.takes,
        };
        let stuck = if written.key == Some(0) && !stage.quiet { self.stuck.take() } else { None };
        let takes = stuck.unwrap_or_else(|| self.dice.time(Duration::ZERO..=takes));
        // Who stops for a hopeless record comes to an end only if it succeeds at some time.
        let stops = self.rules.on_hopeless == ottla_core::processing::OnHopeless::Stop;
        let end = match written.nature {
            _ if stops && (stage.quiet || self.dice.chance(0.5)) => End::Done,
            Nature::Fails(times) if attempt <= times => End::Failed,
            Nature::Hopeless => End::Fatal,
            Nature::Hangs if attempt == 1 && self.rules.handler_timeout.is_some() => {
                return (None, End::Done);
            }
            Nature::Easy | Nature::Fails(_) | Nature::Hangs => End::Done,
        };
        (Some(stage.time + takes), end)
    }

    /// A handler is told to end, and hears it at once, unless it does not yield.
    fn end_early(&mut self, number: u64, reason: CancelReason, stage: &Stage) {
        let Some(handling) = self.running.get_mut(&number) else { return };
        if self.dice.chance(self.habits.stubborn) {
            let late = stage.time + self.dice.time(ms(1)..=secs(2));
            let finishes = self.dice.chance(0.3);
            handling.until = Some(handling.until.filter(|_| finishes).unwrap_or(late).min(late));
            if finishes {
                return;
            }
        } else {
            handling.until = Some(stage.time);
        }
        handling.end = match reason {
            CancelReason::TimedOut => End::Failed,
            CancelReason::Gone => End::Cancelled,
        };
    }

    /// Handlers end whose time has come, and what was given away is decided. Returns whether there were any.
    pub(super) fn handle(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        let now = stage.time;
        let due = |(_, handling): &(&u64, &Handling)| handling.until.is_some_and(|until| until <= now);
        let due: Vec<u64> = self.running.iter().filter(due).map(|(number, _)| *number).collect();
        for number in &due {
            let Some(Handling { id, at, offset, end, .. }) = self.running.remove(number) else { continue };
            let life = self.life;
            stage.note(|| format!("w{life} ends {at} offset {offset}: {end:?}"));
            judge.end(life, *number, end, stage);
            let ended = match end {
                End::Done => Ended::Done,
                End::Failed => Ended::Failed(FailureClass::Retriable, "no luck"),
                End::Fatal => Ended::Failed(FailureClass::Fatal, "hopeless"),
                End::Cancelled => Ended::Cancelled,
            };
            let is_done = self.machine.handle_ended(id, ended, stage.now());
            let counts = match end {
                End::Done => is_done,
                End::Failed => self.slips(Slip::FailedAttemptIsWritten),
                End::Fatal | End::Cancelled => false,
            };
            if counts {
                self.write(OUTPUT, &at, offset);
            }
            self.settle(stage, judge);
        }
        self.decide(stage, judge) || !due.is_empty()
    }

    fn decide(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        let given = std::mem::take(&mut self.given);
        let (due, later): (Vec<_>, Vec<_>) = given.into_iter().partition(|it| it.until <= stage.time);
        self.given = later;
        let any = !due.is_empty();
        for Giving { id, at, offset, tenure, .. } in due {
            let taken = !self.dice.chance(self.habits.refuses);
            judge.given(self.life, (&at, offset), tenure, taken, stage.time);
            let is_done = self.machine.handle_given_away(id, taken, stage.now());
            if is_done && !self.slips(Slip::LetterIsWrittenAhead) {
                self.write(LETTERS, &at, offset);
            }
            self.settle(stage, judge);
        }
        any
    }
}
