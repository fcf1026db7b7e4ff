//! What is to be committed, and when.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::Now;

use super::{Processing, partition::Incarnation};
use crate::{ids::TopicPartition, log, offsets::CommittedOffset, planted::Planted};

/// When commits are due, and what is in the one that is under way.
#[derive(Debug)]
pub(super) struct Committing {
    interval: Duration,
    due: Option<Instant>,
    /// What of each partition is under way.
    under_way: Option<BTreeMap<Incarnation, u64>>,
    /// Whether what is done beyond the offset is written beside it.
    pub(super) saves: bool,
}

/// What came of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitEnd {
    /// All of it is committed.
    Committed,
    /// The broker takes no text that long beside an offset: nothing is written beside offsets from here on.
    MetadataTooLarge,
    /// Perhaps nothing is.
    Failed,
}

impl Committing {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, due: None, under_way: None, saves: true }
    }

    /// There is something to commit. Whether the next commit is due at another time by that.
    pub(super) fn is_due_from(&mut self, now: Now) -> bool {
        let is_first = self.due.is_none();
        self.due.get_or_insert(now.mono + self.interval);
        is_first && self.under_way.is_none()
    }

    /// When the next commit is due, if none is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.under_way.is_none())
    }
}

impl<W: Clone, E: fmt::Display> Processing<W, E> {
    /// What is to be committed now: nothing while a commit is under way, or before the interval is over.
    pub fn poll_commit(&mut self, now: Now) -> Option<BTreeMap<TopicPartition, CommittedOffset>> {
        self.committing.due().filter(|due| *due <= now.mono)?;
        self.commit_now()
    }

    /// What is to be committed, whatever the time; nothing while a commit is under way.
    pub fn commit_now(&mut self) -> Option<BTreeMap<TopicPartition, CommittedOffset>> {
        if self.committing.under_way.is_some() {
            return None;
        }
        self.committing.due = None;
        let (mut versions, mut commit) = (BTreeMap::new(), BTreeMap::new());
        for (id, partition) in self.partitions.iter().filter(|(_, partition)| partition.is_dirty()) {
            if let Some(offset) = partition.to_commit(self.committing.saves) {
                versions.insert(*id, partition.version());
                commit.insert(partition.at.clone(), offset);
            }
        }
        (!commit.is_empty()).then(|| {
            self.committing.under_way = Some(versions);
            commit
        })
    }

    /// Whether a commit is under way.
    pub fn is_committing(&self) -> bool {
        self.committing.under_way.is_some()
    }

    /// The commit that was under way has ended.
    pub fn handle_committed(&mut self, end: CommitEnd, now: Now) {
        let versions = self.committing.under_way.take().unwrap_or_default();
        match end {
            CommitEnd::Committed => {
                for (id, version) in versions {
                    if let Some(partition) = self.partitions.get_mut(&id) {
                        partition.committed(version);
                    }
                }
            }
            CommitEnd::MetadataTooLarge if self.committing.saves => {
                tracing::warn!(target: log::PROCESSING, "no room beside offsets");
                self.committing.saves = self.plot.has(Planted::RefusedTextIsSentAgain);
                self.committing.due = Some(now.mono);
                for (id, partition) in &mut self.partitions {
                    partition.let_all_go().for_each(|offset| self.lines.hurry((*id, offset)));
                }
            }
            CommitEnd::MetadataTooLarge | CommitEnd::Failed => {}
        }
        if self.partitions.values().any(super::Partition::is_dirty) {
            self.committing.is_due_from(now);
        }
        self.stir = true;
    }
}
