//! A lane: what is known of one partition, and what was fetched of it and not read yet.

use std::{collections::VecDeque, ops::Range, time::Instant};

use ottla_protocol::{DecodeError, ErrorCode};

use crate::{
    ids::{LaneEpoch, NodeId, PartIdx, ReaderId, TopicPartition},
    reader::Slot,
};

/// Record batches of one partition, in one response: what a reader takes.
#[derive(Debug, Clone)]
pub(crate) struct Slice<F> {
    /// Its lane.
    pub(crate) part: PartIdx,
    /// The lane's epoch when it was asked for.
    pub(crate) epoch: LaneEpoch,
    /// The broker that it came from.
    pub(crate) broker: NodeId,
    /// What holds the bytes.
    pub(crate) frame: F,
    /// Where the batches are: whole ones only.
    pub(crate) bytes: Range<u32>,
    /// The first offset to hand out: the first batch may begin before it.
    pub(crate) start: i64,
    /// The offset behind the last batch.
    pub(crate) next: i64,
    /// The partition's high watermark when it was fetched.
    pub(crate) high_watermark: i64,
}

/// Why a partition gives no records until the user seeks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneFailure {
    /// A batch is damaged, and was still so when it was fetched again.
    Corrupt {
        /// Where it begins, or the position inside it.
        offset: i64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The position is outside the log, and the reset policy is `none`.
    OutOfRange {
        /// The position.
        offset: i64,
    },
    /// There is no committed offset, and the reset policy is `none`.
    NoOffset,
    /// The broker refuses.
    Broker(ErrorCode),
}

/// Where reading is to begin when the log has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// The log's start.
    Earliest,
    /// The log's end.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970; the end if there is none.
    Timestamp(i64),
}

/// Whether a lane knows from where to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// The group's committed offset is to be asked for.
    Committed,
    /// The log is to be asked.
    Reset(ResetTo),
    /// Known: [`Lane::fetch_at`].
    Known,
    /// Stuck until a seek.
    Failed(LaneFailure),
}

/// A time that no record had come to when the log was asked. Reading begins at the end; but records that come between that
/// answer and the one that tells the end must not be skipped: the log is asked for the time once more behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLate {
    pub(crate) timestamp: i64,
    /// The end, once it is known.
    pub(crate) end: Option<i64>,
}

/// The reader that has a lane: no other is given anything of it.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) reader: ReaderId,
    pub(super) slot: Slot,
}

#[derive(Debug)]
pub(crate) struct Lane<F> {
    pub(crate) at: TopicPartition,
    pub(crate) epoch: LaneEpoch,
    pub(crate) assigned: bool,
    pub(crate) paused: bool,
    pub(crate) revoking: bool,
    /// The user's listener has not been told yet, or has not answered.
    pub(crate) fresh: bool,
    pub(crate) position: Position,
    /// Where no record was young enough for a reset by time.
    pub(crate) too_late: Option<TooLate>,
    /// A request that finds the position out is under way.
    pub(crate) looking: bool,
    /// Behind what is queued: where the next fetch begins.
    pub(crate) fetch_at: i64,
    pub(super) queue: VecDeque<Slice<F>>,
    pub(crate) queued_bytes: usize,
    /// Who has a slice of it, or has handed out records of it since his user's last return.
    pub(crate) holder: Option<Holder>,
    /// Behind the last record handed out, as far as the reader has told.
    pub(crate) delivered: i64,
    /// Behind the last record that the user had come back from.
    pub(crate) acked: i64,
    pub(crate) committed: Option<i64>,
    pub(crate) high_watermark: Option<i64>,
    /// Where a damaged batch was found, and will be a failure if found again.
    pub(super) suspect: Option<i64>,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) last_error: Option<ErrorCode>,
    /// How often in a row the leader refused.
    pub(crate) failures: u32,
    pub(super) failure_due: Option<Instant>,
    pub(crate) since: Instant,
    /// Where reading began when it began at the log's end, and when that was.
    pub(crate) began_at_end: Option<(i64, Instant)>,
    /// The response that brought it records last; 0 where none has.
    pub(crate) served: u64,
}

impl<F> Lane<F> {
    pub(super) fn new(at: TopicPartition, now: Instant) -> Self {
        Self {
            at,
            epoch: LaneEpoch(0),
            assigned: false,
            paused: false,
            revoking: false,
            fresh: false,
            position: Position::Committed,
            too_late: None,
            looking: false,
            fetch_at: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            holder: None,
            delivered: -1,
            acked: -1,
            committed: None,
            high_watermark: None,
            suspect: None,
            retry_at: None,
            last_error: None,
            failures: 0,
            failure_due: None,
            since: now,
            began_at_end: None,
            served: 0,
        }
    }

    /// Whether a fetch may ask for it, once it has room.
    pub(crate) fn wants_records(&self, now: Instant) -> bool {
        let due = self.retry_at.is_none_or(|at| at <= now);
        self.is_readable() && self.position == Position::Known && due
    }

    /// Whether nothing of it waits to be read, nor is in the user's hands: what the log says of the fetch position concerns
    /// him now.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.holder.is_none() && self.delivered == self.fetch_at
    }

    /// Behind the last record that is in nobody's hands.
    pub(crate) fn done(&self) -> i64 {
        if self.holder.is_some() { self.acked } else { self.delivered }
    }

    pub(super) fn is_readable(&self) -> bool {
        self.assigned && !self.paused && !self.revoking && !self.fresh
    }
}
