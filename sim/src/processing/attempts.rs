//! What the judge holds against attempts at records: when they start, when they are told to end, how they end, and who takes over
//! what was tried in vain.

use std::time::Duration;

use ottla_core::{
    TopicPartition,
    processing::{CancelReason, OnHopeless},
};

use super::{
    judge::{Attempt, End, Judge, Life, SLACK},
    tenure::State,
};
use crate::stage::Stage;

impl Judge {
    /// A handler starts. Returns the attempt's number.
    pub(super) fn start(
        &mut self,
        life: Life,
        (at, offset): (&TopicPartition, i64),
        attempt: u32,
        stage: &mut Stage,
    ) -> u64 {
        let rules = self.rules;
        self.serial += 1;
        let serial = self.serial;
        let is_done = self.done.get(at).is_some_and(|done| done.contains(&offset));
        self.counts.starts += 1;
        self.counts.repeats += u64::from(is_done && attempt == 1);
        let now = stage.time;
        let worker = self.life(life);
        let mut wrong = |invariant, why: &str| {
            stage.violate(invariant, || {
                format!("w{life} starts {at} offset {offset}, attempt {attempt}: {why}")
            });
        };
        if worker.stops {
            wrong("who stops starts nothing", "it stops");
        }
        if worker.running.len() >= rules.concurrency {
            wrong("no more is handled at once than the concurrency", "others are running");
        }
        let Some(tenure) = worker.tenures.get_mut(at) else {
            wrong("only what is owned is started", "it is not its");
            return serial;
        };
        if tenure.drains_until.is_some() {
            wrong("nothing is started of what is revoked", "it is revoked");
        }
        if let Some(before) = tenure.before(offset, rules.order) {
            wrong("records wait for those before them", &format!("{before} is not done"));
        }
        let begun = tenure.serial;
        let Some(item) = tenure.items.get_mut(&offset) else {
            wrong("what is done is not done again", "it is done, or was never handed out");
            return serial;
        };
        match item.state {
            State::Queued => {}
            State::Waiting(earliest, _) if now >= earliest => {}
            State::Waiting(..) => wrong("a record is handled no sooner than it is due", "too soon"),
            state => wrong("a record is handled by one at a time", &format!("{state:?}")),
        }
        if attempt != item.attempts + 1 || attempt > rules.retries.attempts + item.given_away {
            wrong("attempts are counted", &format!("there were {}", item.attempts));
        }
        (item.state, item.attempts) = (State::Running, attempt);
        let attempt = Attempt { at: at.clone(), offset, tenure: begun, since: now, told: false };
        worker.running.insert(serial, attempt);
        serial
    }

    /// A handler is told to end.
    pub(super) fn tell(&mut self, life: Life, attempt: u64, reason: CancelReason, stage: &mut Stage) {
        let timeout = self.rules.handler_timeout;
        let worker = self.life(life);
        let Some(attempt) = worker.running.get_mut(&attempt) else { return };
        attempt.told = true;
        let tenure = worker.tenures.get(&attempt.at).filter(|tenure| tenure.serial == attempt.tenure);
        let may = match reason {
            CancelReason::TimedOut => {
                timeout.is_some_and(|timeout| attempt.since + timeout <= stage.time + SLACK)
            }
            CancelReason::Gone => {
                tenure.is_none_or(|it| it.drains_until.is_some_and(|until| until <= stage.time + SLACK))
            }
        };
        if !may {
            let (at, offset) = (&attempt.at, attempt.offset);
            stage.violate("handlers have their time", || {
                format!("w{life} tells {at} offset {offset} to end: {reason:?}")
            });
        }
    }

    /// A handler has ended. Returns whether its record is to be given away, once the machine says so.
    pub(super) fn end(&mut self, life: Life, attempt: u64, end: End, stage: &mut Stage) {
        let (rules, now) = (self.rules, stage.time);
        let Some(Attempt { at, offset, tenure: serial, .. }) = self.life(life).running.remove(&attempt)
        else {
            return;
        };
        if end == End::Done {
            self.done.entry(at.clone()).or_default().insert(offset);
        }
        let worker = self.life(life);
        let Some(tenure) = worker.tenures.get_mut(&at).filter(|tenure| tenure.serial == serial) else {
            return;
        };
        let Some(item) = tenure.items.get_mut(&offset) else { return };
        let hopeless = end == End::Fatal || end == End::Failed && item.attempts >= rules.retries.attempts;
        let is_done = end == End::Done || hopeless && rules.on_hopeless == OnHopeless::Skip;
        if is_done {
            tenure.items.remove(&offset);
            tenure.done.insert(offset);
            tenure.owed_since.get_or_insert(now);
        } else if hopeless {
            item.state = match rules.on_hopeless {
                OnHopeless::GiveAway => State::Hopeless,
                _ => State::Stopped,
            };
            worker.stops |= rules.on_hopeless == OnHopeless::Stop;
        } else if end == End::Failed {
            let (least, most) = rules.retries.after(item.attempts);
            item.state = State::Waiting(now + least, now + most);
        } else {
            item.state = State::Stopped;
        }
        self.counts.hopeless += u64::from(hopeless);
        if is_done {
            self.done.entry(at).or_default().insert(offset);
        }
    }

    /// A record is given away. Returns the tenure that this is of.
    pub(super) fn give(
        &mut self,
        life: Life,
        (at, offset): (&TopicPartition, i64),
        stage: &mut Stage,
    ) -> Option<u64> {
        self.counts.given += 1;
        let tenure = self.tenure(life, at)?;
        let serial = tenure.serial;
        match tenure.items.get_mut(&offset) {
            Some(item) if item.state == State::Hopeless => item.state = State::Given,
            item => {
                let state = item.map(|item| item.state);
                stage.violate("only what is hopeless is given away", || {
                    format!("w{life} gives {at} offset {offset} away: {state:?}")
                });
            }
        }
        Some(serial)
    }

    /// Whoever a record was given to has taken it, or not. Of a tenure that is over that counts for nothing, but that somebody has
    /// the record.
    pub(super) fn given(
        &mut self,
        life: Life,
        (at, offset): (&TopicPartition, i64),
        tenure: Option<u64>,
        taken: bool,
        now: Duration,
    ) {
        if taken {
            self.done.entry(at.clone()).or_default().insert(offset);
        }
        let rules = self.rules;
        let Some(tenure) = self.tenure(life, at).filter(|it| Some(it.serial) == tenure) else { return };
        let given = tenure.items.get_mut(&offset).filter(|item| item.state == State::Given);
        let Some(item) = given else { return };
        if taken {
            tenure.items.remove(&offset);
            tenure.done.insert(offset);
            tenure.owed_since.get_or_insert(now);
            return;
        }
        item.given_away += 1;
        let (least, most) = rules.retries.after_giving_away(item.given_away);
        item.state = State::Waiting(now + least, now + most);
    }
}
