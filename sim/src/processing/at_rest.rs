//! What the judge holds against a worker that has nothing to do now.

use std::time::Duration;

use ottla_core::TopicPartition;

use super::{
    judge::{Judge, Life, SLACK},
    tenure::State,
};
use crate::stage::Stage;

impl Judge {
    /// A worker has nothing to do now, with these partitions paused. `is_full`: so much waits to be committed that nothing is handed out.
    pub(super) fn rests(&mut self, life: Life, paused: &[TopicPartition], is_full: bool, stage: &mut Stage) {
        let (rules, now) = (self.rules, stage.time);
        let is_transactional = self.is_transactional;
        let worker = &self.lives.entry(life).or_default();
        for attempt in worker.running.values().filter(|attempt| !attempt.told) {
            let tenure = worker.tenures.get(&attempt.at).filter(|tenure| tenure.serial == attempt.tenure);
            let is_late = |since: Duration| now >= since + SLACK;
            let drained = tenure.is_none_or(|it| it.drains_until.is_some_and(is_late));
            if drained || rules.handler_timeout.is_some_and(|timeout| is_late(attempt.since + timeout)) {
                stage.violate("handlers whose time is over are told", || format!("w{life}: {attempt:?}"));
            }
        }
        // No transaction begins before what is revoked is given up.
        let is_held = is_transactional && worker.tenures.values().any(|it| it.drains_until.is_some());
        for (at, tenure) in &worker.tenures {
            let hopeless = tenure.items.iter().find(|(_, item)| item.state == State::Hopeless);
            if let Some((offset, _)) = hopeless {
                stage.violate("what is hopeless is given away", || format!("w{life} {at} offset {offset}"));
            }
            let due = tenure.owed_since.map(|since| since.max(worker.last_commit) + rules.commit_interval);
            if due.is_some_and(|due| now > due + SLACK)
                && worker.under_way.is_none()
                && tenure.drains_until.is_none()
                && !is_held
                && !worker.stops
            {
                stage
                    .violate("what is done is committed in time", || format!("w{life} {at}, due at {due:?}"));
            }
            if worker.stops || tenure.drains_until.is_some() {
                continue;
            }
            if tenure.items.is_empty() && paused.contains(at) {
                stage.violate("a partition that has room is resumed", || format!("w{life} {at}"));
            }
            if !is_full
                && worker.running.len() < rules.concurrency
                && let Some(offset) = tenure.ready(now.saturating_sub(SLACK), rules.order)
            {
                stage.violate("where there is work and a free slot something runs", || {
                    format!("w{life} {at} offset {offset}, {} are running", worker.running.len())
                });
            }
        }
    }
}
