//! The outcomes of records, kept per batch until each of its records has been asked for or released.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::Timestamp;

use super::{Delivered, SendFailure};

/// A batch of one producer. Later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub(super) u64);

/// Stands for a record that was taken. The record's outcome is asked for with it.
///
/// Every ticket must be given to [`Producer::take_result`](super::Producer::take_result), until that has answered,
/// or to [`Producer::release`](super::Producer::release); otherwise the outcome is kept for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the outcome is kept until it is asked for or released"]
pub struct Ticket {
    pub(super) batch: BatchId,
    pub(super) index: i32,
    pub(super) partition: i32,
    pub(super) timestamp: i64,
}

impl Ticket {
    /// The partition that the record goes to.
    pub const fn partition(&self) -> i32 {
        self.partition
    }
}

/// Records that failed, and whose tickets were released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// How many.
    pub count: u64,
    /// Why the first of them failed.
    pub first: SendFailure,
}

/// How many of a batch's records somebody may still ask for.
#[derive(Debug)]
enum Watch {
    /// The batch is not decided. So many of its records have been released.
    Pending { released: u32 },
    /// The batch is decided. So many of its records have been neither asked for nor released.
    Done { unread: u32, result: Result<Acked, SendFailure> },
}

/// The broker's answer for a batch that was appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acked {
    pub(super) base_offset: Option<i64>,
    pub(super) log_append_time: Option<i64>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pending: BTreeSet<BatchId>,
    watches: BTreeMap<BatchId, Watch>,
    pub(super) unclaimed: Option<Unclaimed>,
}

impl Outcomes {
    pub(super) fn begin(&mut self, batch: BatchId) {
        self.pending.insert(batch);
        self.watches.insert(batch, Watch::Pending { released: 0 });
    }

    /// The oldest batch that is not decided.
    pub(super) fn first_pending(&self) -> Option<BatchId> {
        self.pending.first().copied()
    }

    pub(super) fn decide(&mut self, batch: BatchId, records: u32, result: Result<Acked, SendFailure>) {
        self.pending.remove(&batch);
        let released = match self.watches.remove(&batch) {
            Some(Watch::Pending { released }) => released,
            _ => 0,
        };
        if let (Err(failure), 1..) = (&result, released) {
            self.add_unclaimed(released.into(), failure.clone());
        }
        let unread = records.saturating_sub(released);
        if unread > 0 {
            self.watches.insert(batch, Watch::Done { unread, result });
        }
    }

    pub(super) fn take(&mut self, ticket: &Ticket) -> Option<Result<Delivered, SendFailure>> {
        let Some(Watch::Done { unread, result }) = self.watches.get_mut(&ticket.batch) else { return None };
        let result = match result {
            Ok(acked) => Ok(Delivered {
                partition: ticket.partition,
                offset: acked.base_offset.map(|base| base + i64::from(ticket.index)),
                timestamp: Timestamp::from_wire(acked.log_append_time.unwrap_or(ticket.timestamp)),
            }),
            Err(failure) => Err(failure.clone()),
        };
        *unread = unread.saturating_sub(1);
        if *unread == 0 {
            self.watches.remove(&ticket.batch);
        }
        Some(result)
    }

    pub(super) fn release(&mut self, ticket: &Ticket) {
        if let Some(Watch::Pending { released }) = self.watches.get_mut(&ticket.batch) {
            *released += 1;
        } else if let Some(Err(failure)) = self.take(ticket) {
            self.add_unclaimed(1, failure);
        }
    }

    fn add_unclaimed(&mut self, count: u64, failure: SendFailure) {
        match &mut self.unclaimed {
            Some(unclaimed) => unclaimed.count += count,
            None => self.unclaimed = Some(Unclaimed { count, first: failure }),
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.watches.len()
    }
}
