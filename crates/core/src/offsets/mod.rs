//! Offsets: where reading begins, and which records are done.

mod auto_commit;
mod commit;
mod committed;
mod isolation;
mod lookup;
mod reset;
mod stats;

use ottla_protocol::{Timestamp, TopicId, messages::ListOffsetsPartitionResponse};

pub(crate) use auto_commit::AutoCommit;
pub(crate) use commit::{CommitRefusal, Commits, Settled};
pub(crate) use committed::{CommittedFetch, CommittedNews, NEWEST_BY_NAME, flatten};
pub use isolation::IsolationLevel;
pub(crate) use lookup::{Lookups, Purpose};
pub use reset::{ResetPolicy, ResetTo};
pub use stats::CommitStats;

/// Where a partition is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Position {
    /// The offset of the next record.
    pub offset: i64,
    /// The leader epoch of the record before it, where it is known. With it a broker can tell whether that record is still
    /// in its log (KIP-320).
    pub leader_epoch: Option<i32>,
}

impl From<i64> for Position {
    fn from(offset: i64) -> Self {
        Self { offset, leader_epoch: None }
    }
}

/// An offset to commit, or one that was committed.
///
/// ```
/// # use ottla_core as ottla;
/// use ottla::CommittedOffset;
///
/// let next = CommittedOffset::new(42).with_metadata("of host 7");
/// assert_eq!((next.offset, next.metadata.as_str()), (42, "of host 7"));
/// assert_eq!(CommittedOffset::from(42), CommittedOffset::new(42));
/// ```
///
/// One that was made of a record knows the topic that the record is of ([`of_topic`](Self::of_topic)), which counts for no
/// comparison and is not written by serde.
#[derive(Debug, Clone, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it, where it is known (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Any text that the committer wrote beside the offset.
    #[cfg_attr(feature = "serde", serde(default))]
    pub metadata: String,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) topic_id: Option<TopicId>,
}

impl CommittedOffset {
    /// This offset, with nothing beside it.
    pub fn new(offset: i64) -> Self {
        Self { offset, ..Self::default() }
    }

    /// The leader epoch of the record before it.
    #[must_use]
    pub fn with_leader_epoch(self, leader_epoch: impl Into<Option<i32>>) -> Self {
        Self { leader_epoch: leader_epoch.into(), ..self }
    }

    /// Of the topic with this id: to another one that was made anew under its name it is not committed.
    #[must_use]
    pub fn of_topic(self, topic_id: TopicId) -> Self {
        Self { topic_id: Some(topic_id).filter(|id| *id != TopicId::ZERO), ..self }
    }

    /// What is to be written beside it.
    #[must_use]
    pub fn with_metadata(self, metadata: impl Into<String>) -> Self {
        Self { metadata: metadata.into(), ..self }
    }
}

impl PartialEq for CommittedOffset {
    fn eq(&self, other: &Self) -> bool {
        let fields = |of: &Self| (of.offset, of.leader_epoch);
        fields(self) == fields(other) && self.metadata == other.metadata
    }
}

impl From<i64> for CommittedOffset {
    fn from(offset: i64) -> Self {
        Self::new(offset)
    }
}

impl From<Position> for CommittedOffset {
    fn from(Position { offset, leader_epoch }: Position) -> Self {
        Self::new(offset).with_leader_epoch(leader_epoch)
    }
}

/// A leader epoch as the protocol tells it: -1 where it is not known.
pub(crate) fn known_epoch(told: i32) -> Option<i32> {
    Some(told).filter(|epoch| *epoch >= 0)
}

/// A record's offset that was looked up by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: i64,
    /// Its timestamp; `None` where the look-up was not by time.
    pub timestamp: Option<Timestamp>,
    /// The leader epoch that the broker told beside it (KIP-320).
    pub leader_epoch: Option<i32>,
}

impl OffsetAndTimestamp {
    /// This offset, without anything beside it: its fields are there to be set.
    pub const fn new(offset: i64) -> Self {
        Self { offset, timestamp: None, leader_epoch: None }
    }

    /// What a broker found, if anything.
    pub(crate) fn told(answer: &ListOffsetsPartitionResponse) -> Option<Self> {
        let found = Self {
            offset: answer.offset,
            timestamp: Timestamp::from_wire(answer.timestamp),
            leader_epoch: known_epoch(answer.leader_epoch),
        };
        (found.offset >= 0).then_some(found)
    }
}
