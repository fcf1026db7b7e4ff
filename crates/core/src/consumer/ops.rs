//! What a consumer's user waits for: commits, and questions for offsets. Each ends when all its partitions are answered, or one
//! of them has failed.

use std::{collections::BTreeMap, time::Instant};

use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    connections::RefusedConnection,
    ids::{OpId, TopicPartition},
    offsets::{CommittedOffset, OffsetAndTimestamp},
    ops,
};

/// The outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The offsets that are committed.
    Commit(BTreeMap<TopicPartition, CommittedOffset>),
    /// The offsets that were looked up in the logs; `None` where no record is that late.
    Offsets(BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>),
    /// The group's offsets; `None` where there is none.
    Committed(BTreeMap<TopicPartition, Option<CommittedOffset>>),
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpFailure {
    /// `default.api.timeout.ms` passed; the text says what it waited for.
    TimedOut(String),
    /// A broker refused with this error; with the partition, where it concerns one.
    Broker(ErrorCode, Option<TopicPartition>),
    /// There is no group to commit to or to ask of: `group.id` is not set.
    NoGroup,
    /// The partitions belong to another member by now, or will in a moment.
    NotMember(ErrorCode),
    /// The partition or its topic is gone, and its offset with it.
    Gone(TopicPartition),
    /// No topic can have this name.
    InvalidTopic(TopicPartition),
    /// The member does not own this partition, and so may not commit it.
    NotAssigned(TopicPartition),
    /// A broker that is needed has refused the connection for good.
    Connection(RefusedConnection),
    /// The broker is too old, or too new.
    Unsupported(ApiKey),
    /// The consumer is closed.
    Closed,
}

pub(super) type Ops = ops::Ops<Unanswered, Outcome, OpFailure>;

/// An operation of which some partitions are not answered yet.
#[derive(Debug)]
pub(super) struct Unanswered {
    missing: usize,
    pub(super) so_far: Outcome,
}

impl Ops {
    /// Begins an operation that ends when `parts` partitions of it are answered.
    pub(super) fn ask(&mut self, so_far: Outcome, parts: usize, deadline: Instant) -> OpId {
        match parts {
            0 => self.begin_ended(Ok(so_far)),
            missing => self.begin(Unanswered { missing, so_far }, deadline),
        }
    }

    /// One partition of an operation is answered. `add` puts it into the outcome.
    pub(super) fn part(&mut self, id: OpId, add: impl FnOnce(&mut Outcome)) {
        let Some(op) = self.get_mut(id) else { return };
        add(&mut op.so_far);
        op.missing = op.missing.saturating_sub(1);
        if op.missing == 0 {
            self.end(id, |op| Ok(op.so_far));
        }
    }
}
