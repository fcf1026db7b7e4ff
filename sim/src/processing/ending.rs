//! What must come true once the trouble is over: all that was written is handled, and committed.

use std::time::Duration;

use super::{
    plan::{GROUP, Phase},
    worker::Worker,
    world::World,
};
use crate::{
    dice::{ms, secs},
    settled::is_settled,
    stage::{Event, Who},
};

/// Within this time after the trouble all must be done: requests are given up, sessions expire, records are tried again.
const BOUND: Duration = secs(240);

impl World {
    pub(super) fn quiet(&mut self) {
        self.stage.tell(|| "the trouble is over".to_owned());
        (self.stage.quiet, self.stage.quiet_since) = (true, self.stage.time);
        self.faults += self.cluster.faults().happened();
        self.cluster.faults().clear();
        self.stage.net.cut_off = None;
        for node in 1..=self.plan.broker.brokers as i32 {
            self.restore(node);
        }
        self.phase = Phase::Draining;
        if self.workers.iter().all(Worker::is_gone) {
            self.begin(None);
        }
    }

    pub(super) fn look(&mut self) {
        self.stage.after(ms(250), Event::Look);
        let left = match self.phase {
            Phase::Trouble | Phase::Over => return,
            Phase::Draining | Phase::Probing => self.left(),
            Phase::Closing => {
                let closing = self.workers.iter().position(|worker| !worker.is_gone());
                let open = || (!is_settled(&self.cluster, "")).then(|| "a transaction is open".to_owned());
                closing.map(|index| format!("w{} has not closed", index + 1)).or_else(open)
            }
        };
        let Some(left) = left else { return self.goes_on() };
        if self.stage.time > self.stage.quiet_since + BOUND {
            self.stage.violate("all is handled and committed in the end", || left);
        }
    }

    fn goes_on(&mut self) {
        match self.phase {
            Phase::Draining => {
                self.phase = Phase::Probing;
                self.begin(None);
                let all = self.plan.all_partitions();
                all.iter().for_each(|at| self.write(at, 1));
            }
            Phase::Probing => {
                self.phase = Phase::Closing;
                for index in 0..self.workers.len() {
                    if !self.workers[index].is_gone() {
                        self.workers[index].stop(&mut self.stage, &mut self.judge);
                        self.turn(Who(index + 1));
                    }
                }
            }
            Phase::Closing => {
                self.recovery = self.stage.time - self.stage.quiet_since;
                self.phase = Phase::Over;
                if let Some(left) = self.left() {
                    self.stage.violate("all is handled and committed in the end", || left);
                }
                self.judge_once();
            }
            Phase::Trouble | Phase::Over => {}
        }
    }

    /// What is not handled, or not committed.
    fn left(&self) -> Option<String> {
        if self.judge.logs.len() < self.plan.habits.records {
            return Some("not all is written".to_owned());
        }
        let starts = self.starts();
        if let Some(unhandled) = self.judge.unhandled(&starts) {
            return Some(format!("{unhandled:?} is not handled"));
        }
        let committed = self.cluster.committed(GROUP);
        self.judge.logs.iter().find_map(|(at, log)| {
            let last = *log.keys().next_back()?;
            let is = committed.get(&(at.topic.clone(), at.partition)).copied().unwrap_or_default();
            (is <= last && last >= starts[at])
                .then(|| format!("{at} is committed at {is}, and {last} is the last"))
        })
    }
}
