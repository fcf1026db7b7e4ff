//! What must come true once the trouble is over: all that was committed to the input is transformed, once, and the history
//! is clean.

use std::{collections::BTreeMap, time::Duration};

use ottla_check::history::Op;
use ottla_core::{IsolationLevel, TopicPartition};

use super::{
    actor::Actor,
    plan::{INPUT, OUTPUT, Phase, Role},
    producing::GROUP,
    record::Read,
    world::World,
};
use crate::{
    dice::{ms, secs},
    report::{LEAST_ABORTED, LEAST_COMMITTED},
    settled::{Settled, is_settled, settled},
    stage::Event,
};

/// Within this time after the trouble all must be done: requests are given up, sessions expire, transactions time out.
const BOUND: Duration = secs(90);

impl World {
    pub(super) fn quiet(&mut self) {
        self.stage.tell(|| "the trouble is over".to_owned());
        (self.stage.quiet, self.stage.quiet_since) = (true, self.stage.time);
        self.faults += self.cluster.faults().happened();
        self.cluster.faults().clear();
        self.cuts = 0;
        for node in 1..=self.plan.broker.brokers as i32 {
            self.restore(node);
        }
        self.phase = Phase::Draining;
    }

    pub(super) fn has_enough(&self) -> bool {
        let counts = &self.record.counts;
        counts.committed >= LEAST_COMMITTED && counts.aborted >= LEAST_ABORTED
    }

    pub(super) fn look(&mut self) {
        self.stage.after(ms(250), Event::Look);
        if self.stage.quiet && self.stage.time > self.stage.quiet_since + BOUND {
            let (phase, missing) = (self.phase, self.missing());
            self.stage.violate("all is transformed and read in the end", || {
                format!("{phase:?} after {BOUND:?}; to be read: {missing:?}")
            });
        }
        match self.phase {
            Phase::Trouble | Phase::Over => {}
            Phase::Draining => {
                if self.has_enough() {
                    self.end(|role| matches!(role, Role::Writer(_)));
                }
                let ended = |role: Role, done: bool| done || !matches!(role, Role::Writer(_));
                let quiet = self.processes.iter().all(|it| ended(it.role, it.is_done()));
                if quiet && self.has_enough() && self.is_settled("writer") && self.missing().is_empty() {
                    self.phase = Phase::Ending;
                }
            }
            Phase::Ending => {
                self.end(|role| !matches!(role, Role::Watcher(_)));
                let ends = self.all_ends();
                let watches = |role| matches!(role, Role::Watcher(_));
                let done = self.processes.iter().all(|it| it.is_done() || watches(it.role));
                // Whoever watches has read all.
                if done && self.is_settled("") && self.processes.iter().all(|it| it.has_read(&ends)) {
                    for process in &mut self.processes {
                        process.crash(Op::Stop {}, &mut self.stage, &mut self.record);
                    }
                    for isolation in [IsolationLevel::ReadCommitted, IsolationLevel::ReadUncommitted] {
                        self.begin(Role::Watcher(isolation), Some(ends.clone()));
                    }
                    self.phase = Phase::Reading;
                }
            }
            Phase::Reading => {
                if self.processes.iter().all(|process| process.is_done()) {
                    self.recovery = self.stage.time - self.stage.quiet_since;
                    self.phase = Phase::Over;
                }
            }
        }
    }

    /// Those are to begin nothing more.
    fn end(&mut self, which: impl Fn(Role) -> bool) {
        for index in 0..self.processes.len() {
            if which(self.processes[index].role) && !self.processes[index].is_done() {
                self.processes[index].end(&mut self.stage, &mut self.record);
                self.bury(index);
            }
        }
    }

    /// Whether no transaction of these ids is open.
    fn is_settled(&self, prefix: &str) -> bool {
        is_settled(&self.cluster, prefix)
    }

    fn written(&self, at: &TopicPartition) -> Vec<Settled> {
        settled(&self.cluster.log(&at.topic, at.partition).unwrap_or_default())
    }

    /// The partitions of the input of which something committed has not been done.
    fn missing(&self) -> BTreeMap<TopicPartition, i64> {
        let done = self.cluster.committed(GROUP);
        let last = |at: TopicPartition| {
            let last = self.written(&at).iter().rfind(|it| it.committed == Some(true))?.offset;
            let done = done.get(&(at.topic.clone(), at.partition)).copied().unwrap_or_default();
            (done <= last).then_some((at, last))
        };
        self.plan.partitions(INPUT).into_iter().filter_map(last).collect()
    }

    /// What came of it all.
    pub(super) fn judge(&mut self) {
        let read = self.read_in_the_end(IsolationLevel::ReadCommitted);
        for at in [INPUT, OUTPUT].into_iter().flat_map(|topic| self.plan.partitions(topic)) {
            let handed: Vec<(i64, &str)> =
                read.iter().filter(|it| it.at == at).map(|it| (it.offset, it.value.as_str())).collect();
            let written = self.written(&at);
            let there = written.iter().filter(|it| it.committed == Some(true));
            let there: Vec<(i64, &str)> = there.map(|it| (it.offset, it.value.as_str())).collect();
            if handed != there {
                let differs = handed.iter().zip(&there).find(|(handed, there)| handed != there);
                let detail = format!("{at}: {} of {}, {differs:?}", handed.len(), there.len());
                self.stage.violate("what is committed is read, and nothing else", || detail);
            }
        }
        let mut outputs: BTreeMap<&str, u64> = BTreeMap::new();
        for it in read.iter().filter(|it| it.at.topic == OUTPUT) {
            if let Some((input, _)) = it.value.split_once('>') {
                *outputs.entry(input).or_default() += 1;
            }
        }
        for it in read.iter().filter(|it| it.at.topic == INPUT) {
            let times = outputs.remove(it.value.as_str()).unwrap_or_default();
            if times != 1 {
                let detail = format!("{} offset {}, {}: {times} times", it.at, it.offset, it.value);
                self.stage.violate("each number is transformed once", || detail);
            }
        }
        if let Some((input, _)) = outputs.first_key_value() {
            self.stage.violate("only what is committed is transformed", || (*input).to_owned());
        }
        if self.stage.violation.is_none() {
            let history = self.record.history();
            match ottla_check::judge(&history) {
                Ok(report) if report.is_clean() => {}
                Ok(report) => self.stage.violate("the checker finds nothing", || report.to_string()),
                Err(error) => self.stage.violate("the checker can read it", || error.to_string()),
            }
        }
    }

    fn read_in_the_end(&self, isolation: IsolationLevel) -> Vec<Read> {
        let last = self.processes.iter().rev().find(|process| process.role == Role::Watcher(isolation));
        match last.map(|process| &process.actor) {
            Some(Actor::Watcher(watcher)) => watcher.read.clone(),
            _ => Vec::new(),
        }
    }
}
