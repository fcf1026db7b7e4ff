//! A lane: the state of one partition, and the slices of it that were fetched and not read yet.

use std::{collections::VecDeque, ops::Range, time::Instant};

use ottla_protocol::{DecodeError, ErrorCode};

use crate::{
    ids::{LaneEpoch, NodeId, PartIdx, ReaderId, TopicPartition},
    reader::Slot,
};

/// The record batches of one partition in one response. A reader takes them together.
#[derive(Debug, Clone)]
pub(crate) struct Slice<F> {
    /// Its lane.
    pub(crate) part: PartIdx,
    /// The lane's epoch when the slice was asked for.
    pub(crate) epoch: LaneEpoch,
    /// The broker that it came from.
    pub(crate) broker: NodeId,
    /// The frame that holds the bytes.
    pub(crate) frame: F,
    /// The place of the batches in the frame; they are whole batches only.
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
pub enum LaneFailure {
    /// A batch is damaged, and was still so when it was fetched again.
    Corrupt {
        /// Where the batch begins, or the position inside it.
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
    /// The log is to be asked for the offset.
    Reset(ResetTo),
    /// Known: [`Lane::fetch_at`].
    Known,
    /// Stuck until a seek.
    Failed(LaneFailure),
}

/// A time that was later than all records when the log was asked for it. Reading then begins at the log's end, for
/// which the log is asked next. Records that are late enough may come between the two answers, so the log is asked
/// for the time once more after that; otherwise they would be skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLate {
    pub(crate) timestamp: i64,
    /// The end, once it is known.
    pub(crate) end: Option<i64>,
}

/// The reader that has a lane. No other reader is given slices of it.
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
    /// The user's listener has not been told of the partition yet, or has not returned.
    pub(crate) fresh: bool,
    pub(crate) position: Position,
    /// Set where no record was late enough for a reset by time.
    pub(crate) too_late: Option<TooLate>,
    /// The position is being looked up.
    pub(crate) looking: bool,
    /// The offset at which the next fetch begins, behind the queued slices.
    pub(crate) fetch_at: i64,
    pub(super) queue: VecDeque<Slice<F>>,
    pub(crate) queued_bytes: usize,
    /// The reader that has a slice of the lane, or that has handed out records of it since its user was last back.
    pub(crate) holder: Option<Holder>,
    /// The offset behind the last record that was handed out, as far as the reader has told.
    pub(crate) delivered: i64,
    /// The offset behind the last record that the user has come back from.
    pub(crate) acked: i64,
    pub(crate) committed: Option<i64>,
    pub(crate) high_watermark: Option<i64>,
    /// The position at which a damaged batch was found. If one is found there again, the lane fails.
    pub(super) suspect: Option<i64>,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) last_error: Option<ErrorCode>,
    /// How often in a row the leader refused.
    pub(crate) failures: u32,
    pub(super) failure_due: Option<Instant>,
    pub(crate) since: Instant,
    /// If reading began at the log's end: the offset at which it began, and when.
    pub(crate) began_at_end: Option<(i64, Instant)>,
    /// The number of the response that brought it records last; 0 where none has.
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

    /// Whether a fetch may ask for records of the lane, as far as there is room.
    pub(crate) fn wants_records(&self, now: Instant) -> bool {
        let due = self.retry_at.is_none_or(|at| at <= now);
        self.is_readable() && self.position == Position::Known && due
    }

    /// Whether no record of the lane waits to be read or is in the user's hands. Only then does an error at the
    /// fetch position concern the user.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.holder.is_none() && self.delivered == self.fetch_at
    }

    /// The offset behind the last record that was handed out and is in nobody's hands.
    pub(crate) fn done(&self) -> i64 {
        if self.holder.is_some() { self.acked } else { self.delivered }
    }

    pub(super) fn is_readable(&self) -> bool {
        self.assigned && !self.paused && !self.revoking && !self.fresh
    }
}
