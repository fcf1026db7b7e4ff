//! The events of a consumer in its group: a bounded stream, of which the oldest event is dropped when nobody takes them.

use std::{collections::VecDeque, fmt, time::Duration};

use ottla_protocol::{ErrorCode, Now, Timestamp};

use crate::ids::{TopicPartition, names};

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

/// Something that happened to the consumer's membership.
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
    /// An offset was not committed, and is not tried again.
    CommitGivenUp(CommitGivenUp),
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
            Self::CommitGivenUp(given_up) => given_up.fmt(f),
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
