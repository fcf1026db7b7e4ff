//! The events of a consumer in its group: a bounded stream, of which the oldest event is dropped when nobody takes them.

use std::{collections::VecDeque, fmt, time::Duration};

use ottla_protocol::{ErrorCode, Now, Timestamp};

use crate::{
    ids::{TopicPartition, names},
    offsets::Position,
};

/// How many events are kept for a user who does not look.
const KEPT: usize = 1024;

/// An event, and when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Happened {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// Something that happened to the consumer's membership, or to its positions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Event {
    /// The group is joined, and its generation known.
    #[non_exhaustive]
    Joined {
        /// The classic protocol's generation; the consumer protocol's member epoch.
        generation_id: i32,
        /// The member's id.
        member_id: String,
        /// How long it took from the moment at which the member set out; zero for an epoch that came by itself.
        took: Duration,
    },
    /// Partitions are new: in an eager group all that the member has. Empty where none is new.
    Assigned(Vec<TopicPartition>),
    /// Partitions were given up in good order, and the records delivered of them could be committed.
    Revoked(Vec<TopicPartition>),
    /// Partitions are gone before the records delivered of them could be committed.
    Lost(Vec<TopicPartition>),
    /// A rebalance waits: for the user to come back to `recv`, `poll` or `close`, for a commit, or for the listener.
    #[non_exhaustive]
    RevocationWaiting {
        /// When the partitions are lost instead.
        deadline: Timestamp,
        /// The partitions of which the user has records in hand; empty where the rebalance waits for something else.
        held: Vec<TopicPartition>,
    },
    /// The coordinator has refused a heartbeat, or not answered it; that a rebalance is in progress is no refusal. What follows is
    /// told by the other events, if the membership does not stay.
    #[non_exhaustive]
    HeartbeatFailed {
        /// What the coordinator said; `None` where it did not answer.
        error: Option<ErrorCode>,
    },
    /// An offset was not committed, and is not tried again.
    CommitGivenUp(CommitGivenUp),
    /// A partition's log was cut below the position.
    Truncated(Truncated),
    /// Records were deleted before they were read.
    DeletedUnread(DeletedUnread),
    /// A topic was deleted and made anew under its name.
    Recreated(Recreated),
}

/// What was read from `diverged_at` on is not in the partition's log any more: another leader took over without it (KIP-320).
/// Records that are written since have the same offsets, and are read from there on; with `auto.offset.reset=none` nothing is
/// read until a seek.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Truncated {
    /// The partition.
    pub at: TopicPartition,
    /// The position before: the next offset to read, and the leader epoch of the record before it.
    pub position: Position,
    /// Where the leader's log parts from what was read; `None` where the leader cannot tell. Then `auto.offset.reset` decides.
    pub diverged_at: Option<Position>,
    /// How many offsets lie between: the records read that are gone, at most.
    pub offsets: Option<u64>,
}

/// The log's start has moved past the position, by retention or DeleteRecords, and `auto.offset.reset` decides where reading goes
/// on. A member whose heartbeat is due, as after a time in which its process stood still, is not told this before the group has
/// confirmed that the partition is still its own: others may have read those records meanwhile. Java resets at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DeletedUnread {
    /// The partition.
    pub at: TopicPartition,
    /// The next offset that was to be read.
    pub position: i64,
    /// Where the log begins.
    pub log_start: i64,
    /// How many offsets lie between: the records that were lost to the reader, at most.
    pub offsets: u64,
}

/// A topic was deleted and made anew under its name, as its id tells. The position in the one that is gone says nothing about the
/// new one, which is read from where `auto.offset.reset` says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recreated {
    /// The partition.
    pub at: TopicPartition,
    /// The next offset that was to be read of the topic that is gone; `None` where nothing was read of it.
    pub position: Option<i64>,
}

impl Truncated {
    pub(crate) fn new(at: TopicPartition, position: Position, diverged_at: Option<Position>) -> Self {
        let offsets = diverged_at.map(|end| position.offset.abs_diff(end.offset));
        Self { at, position, diverged_at, offsets }
    }
}

impl DeletedUnread {
    /// `None` where the log begins before the position.
    pub(crate) fn new(at: TopicPartition, position: i64, log_start: i64) -> Option<Self> {
        let offsets = u64::try_from(log_start.checked_sub(position)?).ok().filter(|offsets| *offsets > 0)?;
        Some(Self { at, position, log_start, offsets })
    }
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, position, diverged_at, offsets } = self;
        write!(f, "partition {at}: the log was cut below offset {}", position.offset)?;
        match (diverged_at, offsets) {
            (Some(end), Some(offsets)) => write!(f, ", at {}: {offsets} offsets that were read", end.offset),
            _ => f.write_str("; its leader cannot tell where"),
        }
    }
}

impl fmt::Display for DeletedUnread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, position, log_start, offsets } = self;
        write!(
            f,
            "partition {at}: {offsets} offsets from {position} on were deleted before they were read; "
        )?;
        write!(f, "the log begins at {log_start}")
    }
}

impl fmt::Display for Recreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}: the topic was deleted and made anew", self.at)?;
        match self.position {
            Some(position) => write!(f, "; it was read to offset {position}"),
            None => Ok(()),
        }
    }
}

/// An offset that was to be committed without a call of the user's, by auto commit, a revocation or a close, and
/// that is not committed. The partition's next reader reads the records since the commit before again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CommitGivenUp {
    /// The partition.
    pub at: TopicPartition,
    /// The offset that should have been committed.
    pub offset: i64,
    /// The coordinator's last error; [`ErrorCode::UnknownTopicOrPartition`] where the topic is gone; `None` where
    /// no answer came before a close had to leave.
    pub error: Option<ErrorCode>,
}

impl fmt::Display for CommitGivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, offset, error } = self;
        write!(f, "partition {at}: offset {offset} is not committed: ")?;
        match error {
            Some(ErrorCode::UnknownTopicOrPartition) => f.write_str("there is no such partition any more"),
            Some(error) => write!(f, "the coordinator says {error}"),
            None => f.write_str("the coordinator did not answer"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { generation_id, member_id, took } => {
                write!(f, "joined: generation {generation_id}, member {member_id}, after {took:.1?}")
            }
            Self::Assigned(partitions) => write!(f, "assigned: {}", names(partitions)),
            Self::Revoked(partitions) => write!(f, "revoked: {}", names(partitions)),
            Self::Lost(partitions) => write!(f, "lost: {}", names(partitions)),
            Self::RevocationWaiting { held, .. } if held.is_empty() => f.write_str("a revocation waits"),
            Self::RevocationWaiting { held, .. } => {
                write!(f, "a revocation waits for records in hand of {}", names(held))
            }
            Self::HeartbeatFailed { error: Some(error) } => {
                write!(f, "a heartbeat failed: the coordinator says {error}")
            }
            Self::HeartbeatFailed { error: None } => f.write_str("a heartbeat was not answered"),
            Self::CommitGivenUp(given_up) => given_up.fmt(f),
            Self::Truncated(truncated) => truncated.fmt(f),
            Self::DeletedUnread(deleted) => deleted.fmt(f),
            Self::Recreated(recreated) => recreated.fmt(f),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    kept: VecDeque<Happened>,
    dropped: u64,
    /// There are events that waiting users have not been woken for.
    fresh: bool,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event, now: Now) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(Happened { at: now.wall, event });
        self.fresh = true;
    }

    /// Whether there were any since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    pub(crate) fn pop(&mut self) -> Option<Happened> {
        self.kept.pop_front()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
