//! What is handed out, when, and what is committed of it.

mod batches;
mod books;
mod committing;
mod failing;
mod held;
mod held_at_random;
mod items;
mod noticing;
mod orders;
mod random;
mod rebalancing;
mod vectors;

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use ottla_protocol::{Now, Timestamp};

use super::*;
use crate::offsets::CommittedOffset;

/// A machine and its time. Work is named by its partition and its offset.
pub(super) struct World {
    pub(super) machine: Processing<(i32, i64), &'static str>,
    pub(super) now: Now,
}

pub(super) fn config() -> ProcessingConfig {
    ProcessingConfig {
        order: Order::Unordered,
        concurrency: 1000,
        retries: RetryPolicy::none(),
        on_hopeless: OnHopeless::Stop,
        handler_timeout: None,
        room: Room { records: 100_000, bytes: 1 << 30 },
        commit_interval: Duration::from_secs(1),
        seed: 7,
    }
}

pub(super) fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

pub(super) fn arrival(partition: i32, offset: i64, key: &str) -> Arrival<'_, (i32, i64)> {
    let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
    Arrival {
        offset,
        leader_epoch: Some(0),
        key,
        bytes: 10,
        due: None,
        patience: None,
        work: (partition, offset),
    }
}

impl World {
    /// With one partition, 0.
    pub(super) fn new(config: ProcessingConfig) -> Self {
        let now = Now { mono: Instant::now(), wall: Timestamp(0) };
        let mut machine = Processing::new(config);
        machine.handle_assigned(at(0), None);
        Self { machine, now }
    }

    /// Records of partition 0 without keys.
    pub(super) fn arrive(&mut self, offsets: Range<i64>) {
        self.arrive_of(0, offsets);
    }

    pub(super) fn arrive_of(&mut self, partition: i32, offsets: Range<i64>) {
        let next = CommittedOffset::new(offsets.end).with_leader_epoch(0);
        let records = offsets.map(|offset| arrival(partition, offset, ""));
        self.machine.handle_arrived(&at(partition), records, next, self.now);
    }

    /// Records of partition 0 with these keys; none where one is empty.
    pub(super) fn arrive_with(&mut self, from: i64, keys: &[&str]) {
        let next = CommittedOffset::new(from + keys.len() as i64).with_leader_epoch(0);
        let records = (from..).zip(keys).map(|(offset, key)| arrival(0, offset, key));
        self.machine.handle_arrived(&at(0), records, next, self.now);
    }

    /// All that can be handed out now.
    pub(super) fn take(&mut self) -> Vec<Job<(i32, i64)>> {
        std::iter::from_fn(|| self.machine.take(self.now)).collect()
    }

    /// The one that can be handed out now, of this offset.
    pub(super) fn take_only(&mut self, offset: i64) -> Job<(i32, i64)> {
        let mut jobs = self.take();
        assert_eq!(offsets(&jobs), [offset]);
        jobs.remove(0)
    }

    pub(super) fn end(&mut self, job: &Job<(i32, i64)>) {
        self.machine.handle_ended(job.id, Ended::Done, self.now);
    }

    pub(super) fn fail(&mut self, job: &Job<(i32, i64)>) {
        self.machine.handle_ended(job.id, Ended::Failed(FailureClass::Retriable, "no luck"), self.now);
    }

    pub(super) fn pass(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.machine.handle_timeout(self.now);
    }

    /// How long it is until something is due.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.machine.poll_timeout().map(|due| due.saturating_duration_since(self.now.mono))
    }

    /// Passes until the next thing is due.
    pub(super) fn until_due(&mut self) -> Duration {
        let due = self.due_in().expect("something is due");
        self.pass(due);
        due
    }

    /// Commits partition 0, whatever the time.
    pub(super) fn commit(&mut self) -> Option<CommittedOffset> {
        let commit = self.machine.commit_now()?;
        self.machine.handle_committed(CommitEnd::Committed, self.now);
        commit.get(&at(0)).cloned()
    }

    pub(super) fn pauses(&mut self) -> BTreeMap<i32, bool> {
        std::iter::from_fn(|| self.machine.poll_pause()).map(|(at, paused)| (at.partition, paused)).collect()
    }

    pub(super) fn cancels(&mut self) -> Vec<(JobId, CancelReason)> {
        std::iter::from_fn(|| self.machine.poll_cancel()).collect()
    }
}

pub(super) fn offsets(jobs: &[Job<(i32, i64)>]) -> Vec<i64> {
    jobs.iter().map(|job| job.work.1).collect()
}
