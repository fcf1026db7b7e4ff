//! Offsets: where reading begins, and which records are done.

mod commit;
mod committed;
mod lookup;

use std::time::Duration;

pub(crate) use commit::{CommitRefusal, Commits, Committer, Settled};
pub(crate) use committed::{CommittedFetch, CommittedNews};
pub(crate) use lookup::{Lookups, Purpose};

/// `auto.offset.reset`: where reading begins if there is no committed offset, or none that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetPolicy {
    /// Read from the start of the log.
    Earliest,
    /// Read from the end of the log: the records that come from now on.
    #[default]
    Latest,
    /// Read from the first record that is no older than this (KIP-1106). The time is taken once, where Java takes
    /// it anew at each retry.
    ByDuration(Duration),
    /// Read nothing, and tell the user.
    None,
}

/// An offset to commit, or one that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Any text that the committer wrote beside the offset.
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
