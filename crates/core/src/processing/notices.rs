//! What is told beside what is asked: for a program that watches, and for the log.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::Now;

use super::{
    JobId, Processing,
    partition::State,
    policy::{OnHopeless, WhyHopeless},
};
use crate::{ids::TopicPartition, log};

/// Something that came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A record has failed, and is tried again.
    Retried {
        /// Its partition.
        at: TopicPartition,
        /// Its offset; of a batch that of the first record that is not resolved.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// How long it waits for the next attempt.
        after: Duration,
        /// What it failed with.
        error: String,
    },
    /// A record is not tried any more.
    Hopeless {
        /// Its partition.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// Why it is not tried any more.
        why: WhyHopeless,
        /// What it failed with.
        error: String,
        /// What becomes of it.
        follows: OnHopeless,
    },
    /// No job has ended for a while, though some run.
    Stalled {
        /// The partition of the record that was begun first.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// How long no job has ended.
        after: Duration,
        /// How many records have arrived and are not done.
        in_hand: usize,
    },
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// How often a record failed and was to be tried again.
    pub retried: u64,
    /// How many records were not tried any more where they were.
    pub hopeless: u64,
}

/// Notices that were not taken yet, and what a stall is known by.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) are_wanted: bool,
    kept: VecDeque<Notice>,
    stall: Option<Duration>,
    /// Since when no job has ended, where that was told as a stall.
    stalled: Option<Instant>,
    counts: Counts,
    /// When a job ended last, or began where none ran; `None` once that is too long ago.
    since: Option<Instant>,
}

impl Notices {
    /// A job has ended, or begins where none ran. Whether a stall is to be waited for that was not.
    pub(super) fn moves(&mut self, now: Now) -> bool {
        let was_none = self.since.is_none();
        self.stalled = None;
        self.since = self.stall.map(|_| now.mono);
        was_none && self.since.is_some()
    }

    /// One more record is not tried any more.
    pub(super) fn gives_up(&mut self) {
        self.counts.hopeless += 1;
    }

    pub(super) fn tell(&mut self, notice: impl FnOnce() -> Notice) {
        if self.are_wanted {
            self.kept.push_back(notice());
        }
    }

    /// When it is a stall, if no job ends before.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        Some(self.since? + self.stall?)
    }
}

impl<W: Clone, E: fmt::Display> Processing<W, E> {
    /// Has [notices](Self::poll_notice) kept. They are not without this.
    pub fn watch(&mut self) {
        self.notices.are_wanted = true;
    }

    /// Takes it for a stall, which is logged and [told](Self::poll_notice), if jobs run and none has ended for so long.
    pub fn watch_for_stalls(&mut self, after: Duration) {
        self.notices.stall = Some(after);
    }

    /// The next of what came about.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.kept.pop_front()
    }

    /// Tells of a stall, once until a job has ended.
    pub(super) fn look_for_stall(&mut self, now: Now) {
        if self.notices.stalls_at().is_none_or(|at| now.mono < at) {
            return;
        }
        let Some(since) = self.notices.since.take().filter(|_| self.running > 0) else { return };
        self.notices.stalled = Some(since);
        let Some(stall) = self.stall(now) else { return };
        if let Notice::Stalled { at, offset, attempts, after, in_hand } = &stall {
            tracing::warn!(target: log::PROCESSING, partition = %at, offset, attempts, ?after, in_hand, "processing stalls");
        }
        self.notices.tell(|| stall);
    }

    /// The stall that there is now, as it was [told](Notice::Stalled), if there is one.
    pub fn stall(&self, now: Now) -> Option<Notice> {
        let since = self.notices.stalled.filter(|_| self.running > 0)?;
        let begun = self.partitions.values().flat_map(|partition| {
            let busy = partition.items.iter().filter(|(_, item)| item.state.is_with_a_handler());
            busy.map(move |(offset, item)| (item.first, partition, offset, item.counted()))
        });
        let (_, partition, offset, attempts) = begun.min_by_key(|(first, _, offset, _)| (*first, *offset))?;
        let after = now.mono.saturating_duration_since(since);
        Some(Notice::Stalled { at: partition.at.clone(), offset, attempts, after, in_hand: self.in_hand })
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.notices.counts
    }

    /// A record that has failed waits for its next attempt.
    pub(super) fn tell_retried(&mut self, job: JobId, attempts: u32, until: Instant, error: &E, now: Now) {
        let Some(partition) = self.partitions.get(&job.partition) else { return };
        self.notices.counts.retried += 1;
        self.notices.tell(|| Notice::Retried {
            at: partition.at.clone(),
            offset: job.offset,
            attempts,
            after: until.saturating_duration_since(now.mono),
            error: error.to_string(),
        });
    }
}

impl State {
    fn is_with_a_handler(self) -> bool {
        matches!(self, Self::Running { .. } | Self::Batched)
    }
}
