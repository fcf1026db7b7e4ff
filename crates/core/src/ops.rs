//! Operations that a user waits for: begun with a call, answered later, forgotten when the user is gone.

use std::{collections::BTreeMap, time::Instant};

use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    deadline::Earliest,
    ids::{OpId, TopicPartition},
    offsets::{CommittedOffset, OffsetAndTimestamp},
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
    /// The member does not own this partition, and so may not commit it.
    NotAssigned(TopicPartition),
    /// The broker is too old, or too new.
    Unsupported(ApiKey),
    /// The consumer is closed.
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Ops {
    last: u64,
    open: BTreeMap<OpId, Open>,
    done: BTreeMap<OpId, Result<Outcome, OpFailure>>,
}

#[derive(Debug)]
struct Open {
    deadline: Instant,
    missing: usize,
    so_far: Outcome,
}

impl Ops {
    /// Begins an operation that ends when `parts` parts of it have.
    pub(crate) fn begin(&mut self, so_far: Outcome, parts: usize, deadline: Instant) -> OpId {
        self.last += 1;
        let id = OpId(self.last);
        match parts {
            0 => drop(self.done.insert(id, Ok(so_far))),
            _ => drop(self.open.insert(id, Open { deadline, missing: parts, so_far })),
        }
        id
    }

    /// Whether anybody still waits for the operation.
    pub(crate) fn is_open(&self, id: OpId) -> bool {
        self.open.contains_key(&id)
    }

    /// One part of an operation has ended. `add` puts it into the outcome.
    pub(crate) fn part(&mut self, id: OpId, add: impl FnOnce(&mut Outcome)) {
        let Some(op) = self.open.get_mut(&id) else { return };
        add(&mut op.so_far);
        op.missing = op.missing.saturating_sub(1);
        if op.missing == 0
            && let Some(op) = self.open.remove(&id)
        {
            self.done.insert(id, Ok(op.so_far));
        }
    }

    pub(crate) fn fail(&mut self, id: OpId, why: OpFailure) {
        if self.open.remove(&id).is_some() {
            self.done.insert(id, Err(why));
        }
    }

    pub(crate) fn fail_all(&mut self, why: &OpFailure) {
        for id in std::mem::take(&mut self.open).into_keys() {
            self.done.insert(id, Err(why.clone()));
        }
    }

    /// Fails the operations that have waited too long. Returns whether there were any.
    pub(crate) fn expire(&mut self, now: Instant, waiting_for: impl Fn(OpId, &Outcome) -> String) -> bool {
        let late = self.open.iter().filter(|(_, op)| op.deadline <= now);
        let late: Vec<(OpId, String)> = late.map(|(id, op)| (*id, waiting_for(*id, &op.so_far))).collect();
        let any = !late.is_empty();
        for (id, why) in late {
            self.fail(id, OpFailure::TimedOut(why));
        }
        any
    }

    pub(crate) fn take(&mut self, id: OpId) -> Option<Result<Outcome, OpFailure>> {
        self.done.remove(&id)
    }

    /// Nobody waits for the operation any more. It is carried out all the same.
    pub(crate) fn forget(&mut self, id: OpId) {
        self.open.remove(&id);
        self.done.remove(&id);
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.open.values().map(|op| op.deadline).min());
    }
}
