//! Offsets: where to begin, and what has been done.

mod commit;
mod committed;
mod lookup;

use std::time::Duration;

pub(crate) use commit::{CommitRefusal, Commits, Committer, Settled};
pub(crate) use committed::{CommittedFetch, CommittedNews};
pub(crate) use lookup::{Lookups, Purpose};

/// What to do where there is no committed offset, or none that is in the log: `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ResetPolicy {
    /// Read from the start of the log.
    Earliest,
    /// Read what comes from now on.
    #[default]
    Latest,
    /// Read from the first record that is no older than this (KIP-1106). The time is taken once, not at each retry:
    /// this differs from Java.
    ByDuration(Duration),
    /// Tell the user.
    None,
}

/// An offset to commit, or one that was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Whatever the committer wrote beside it.
    pub metadata: String,
}

impl From<i64> for CommittedOffset {
    fn from(offset: i64) -> Self {
        Self { offset, metadata: String::new() }
    }
}

/// A record's offset that was looked up by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: i64,
    /// Its timestamp; -1 where the look-up was not by time.
    pub timestamp: i64,
}
