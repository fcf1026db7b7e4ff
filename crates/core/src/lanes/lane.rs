//! A lane: the state of one partition, and the slices of it that were fetched and not read yet.

use std::{
    collections::VecDeque,
    num::NonZeroU64,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_protocol::{DecodeError, ErrorCode, Now, TopicId};

use super::{
    behind::Behind, epochs::LeaderEpochs, log_end::LogEnd, phase::LanePhase, search::Search, source::Source,
};
use crate::{
    backoff::Attempts,
    fetch::{Aborted, Stamps},
    ids::{LaneEpoch, NodeId, PartIdx, ReaderId, TopicPartition},
    log,
    offsets::Position,
    reader::Slot,
};

/// The record batches of one partition and one leader epoch in one response. A reader takes them together.
#[derive(Debug, Clone)]
pub(crate) struct Slice<F> {
    /// Its lane.
    pub(crate) part: PartIdx,
    /// The lane's epoch when the slice was asked for.
    pub(crate) epoch: LaneEpoch,
    /// The broker that it came from.
    pub(crate) broker: NodeId,
    /// The topic that was asked for.
    pub(crate) topic_id: TopicId,
    /// The frame that holds the bytes.
    pub(crate) frame: F,
    /// The place of the batches in the frame; they are whole batches only.
    pub(crate) bytes: Range<u32>,
    /// The first offset to hand out: the first batch may begin before it.
    pub(crate) start: i64,
    /// The offset behind the last batch.
    pub(crate) next: i64,
    /// Of the leader that appended the batches.
    pub(crate) leader_epoch: Option<i32>,
    /// What of it was aborted, and is not to be read; `None` where nothing was.
    pub(crate) aborted: Option<Aborted>,
    /// When its batches, and those of the other slices of the same response, were written.
    pub(crate) stamps: Stamps,
}

/// Why a partition gives no records until the user seeks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
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
        /// Where the log begins. Where that is behind the position, what lies between was deleted before it was read.
        log_start: i64,
    },
    /// The log was cut below the position (KIP-320), and the reset policy is `none`.
    Truncated {
        /// The position.
        position: Position,
        /// Where the log of the leader parts from what was read; `None` where the leader cannot tell.
        diverged_at: Option<Position>,
    },
    /// The topic was deleted and made anew under its name, and the reset policy is `none`.
    Recreated {
        /// The position in the topic that is gone.
        offset: i64,
    },
    /// There is no committed offset, and the reset policy is `none`.
    NoOffset,
    /// The broker refuses.
    Broker(ErrorCode),
    /// The principal may not read it. It is tried again once that has been told.
    NotAuthorized(ErrorCode),
}

/// Whether a lane knows from where to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchState {
    /// The group's committed offset is to be asked for.
    AwaitsCommitted,
    /// The log is to be asked for the offset.
    AwaitsReset(Search),
    /// The position is known: records are fetched from [`Lane::fetch_at`] on.
    Fetching,
    /// Stuck until a seek.
    Failed(Box<LaneFailure>),
}

impl FetchState {
    pub(crate) fn failed(why: LaneFailure) -> Self {
        Self::Failed(Box::new(why))
    }
}

/// The reader that has a lane. No other reader is given slices of it.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) reader: ReaderId,
    /// `None` where what its user has in hand is of before the position was moved.
    pub(super) slot: Option<Slot>,
}

#[derive(Debug)]
pub(crate) struct Lane<F> {
    /// Shared by all that have the lane by its name.
    pub(crate) at: Arc<TopicPartition>,
    /// Of the topic that the position is of. A topic that is made anew under its name has another id.
    /// [`TopicId::ZERO`] where brokers tell none; `None` where metadata has not known the topic since the position is known.
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) epoch: LaneEpoch,
    pub(super) phase: LanePhase,
    pub(crate) paused: bool,
    pub(crate) state: FetchState,
    /// The position is being looked up.
    pub(crate) looking: bool,
    /// The offset at which the next fetch begins, behind the queued slices.
    pub(crate) fetch_at: i64,
    /// Of which broker the records are fetched.
    pub(crate) source: Source,
    /// The leader epoch of the record before `fetch_at`, where it is known.
    pub(crate) fetch_epoch: Option<i32>,
    /// The partition's leader epoch in which its leader was found to have that record; `None` where none was asked.
    pub(crate) validated_in: Option<i32>,
    /// The topic's id before. A broker that lags behind may still tell it.
    pub(super) former_id: TopicId,
    pub(super) queue: VecDeque<Slice<F>>,
    pub(crate) queued_bytes: usize,
    /// The reader that has a slice of the lane, or that has handed out records of it since its user was last back.
    pub(crate) holder: Option<Holder>,
    /// The offset behind the last record that was handed out, as far as the reader has told.
    pub(crate) delivered: Option<i64>,
    /// The offset behind the last record that the user has come back from.
    pub(crate) acked: Option<i64>,
    /// Of the records that were handed out.
    pub(super) leader_epochs: LeaderEpochs,
    pub(crate) committed: Option<i64>,
    pub(crate) log_end: Option<LogEnd>,
    /// `None` where the user has come back from all that there is.
    pub(super) behind: Option<Box<Behind>>,
    /// The position at which a damaged batch was found. If one is found there again, the lane fails.
    pub(super) suspect: Option<i64>,
    /// Attempts at fetching its records.
    pub(crate) attempts: Attempts,
    /// The position was out of range, and was looked up anew since; nothing was fetched from there yet.
    pub(crate) looked_up: bool,
    pub(super) failure_due: Option<Instant>,
    pub(crate) since: Instant,
    /// If reading began at the log's end: the offset at which it began, and when.
    pub(crate) began_at_end: Option<(i64, Instant)>,
    /// The number of the response that brought it records last.
    pub(crate) served: Option<NonZeroU64>,
}

impl<F> Lane<F> {
    pub(super) fn new(at: Arc<TopicPartition>, attempts: Attempts, now: Instant) -> Self {
        Self {
            at,
            topic_id: None,
            epoch: LaneEpoch(0),
            phase: LanePhase::Free,
            paused: false,
            state: FetchState::AwaitsCommitted,
            looking: false,
            fetch_at: 0,
            source: Source::default(),
            fetch_epoch: None,
            validated_in: None,
            former_id: TopicId::ZERO,
            queue: VecDeque::new(),
            queued_bytes: 0,
            holder: None,
            delivered: None,
            acked: None,
            leader_epochs: LeaderEpochs::default(),
            committed: None,
            log_end: None,
            behind: None,
            suspect: None,
            attempts,
            looked_up: false,
            failure_due: None,
            since: now,
            began_at_end: None,
            served: None,
        }
    }

    pub(super) fn transition_to(&mut self, next: LanePhase) {
        debug_assert!(next.may_follow(self.phase), "{}: {next:?} after {:?}", self.at, self.phase);
        self.phase = next;
    }

    pub(crate) fn phase(&self) -> LanePhase {
        self.phase
    }

    /// Whether a fetch may ask for records of the lane, as far as there is room.
    pub(crate) fn wants_records(&self, now: Now) -> bool {
        self.is_readable() && self.state == FetchState::Fetching && self.attempts.is_due(now)
    }

    /// Whether the position is to be validated before it is fetched from (KIP-320): nobody has found the record before it in the
    /// log of the leader of this epoch. Where the record's own epoch is not known, nobody can.
    pub(crate) fn needs_validation(&self, leader_epoch: i32) -> bool {
        self.fetch_epoch.is_some() && leader_epoch >= 0 && self.validated_in != Some(leader_epoch)
    }

    /// Whether the topic of this id is another than the one that the position is in.
    pub(crate) fn is_of_other(&self, topic_id: TopicId) -> bool {
        let is_known = |id: &TopicId| *id != TopicId::ZERO;
        self.topic_id.filter(is_known).is_some_and(|known| is_known(&topic_id) && known != topic_id)
    }

    /// Where the next fetch begins.
    pub(crate) fn fetch_position(&self) -> Position {
        Position { offset: self.fetch_at, leader_epoch: self.fetch_epoch }
    }

    /// Whether no record of the lane waits to be read or is in the user's hands. Only then does an error at the
    /// fetch position concern the user.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.holder.is_none() && self.delivered == Some(self.fetch_at)
    }

    /// Whether what a reader's user has in hand is of before the position was moved.
    pub(crate) fn is_moved(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.slot.is_none())
    }

    /// How many offsets wait for the end of an open transaction, where all before it is fetched.
    pub(crate) fn held_back(&self) -> Option<i64> {
        self.log_end?.held_back(self.fetch_at)
    }

    /// An answer told where the log ends. Until `still` answers told by their silence that it ended where it did.
    pub(crate) fn see_end(&mut self, end: LogEnd, still: Option<Instant>) {
        let before = self.log_end.replace(end);
        if self.acked.is_some_and(|acked| acked >= end.high_watermark) {
            self.behind = None;
            return;
        }
        let behind = self.behind.get_or_insert_default();
        if let Some(before) = before {
            behind.see(before.still_at(still));
        }
        behind.see(end);
        self.forget_read();
    }

    /// Drops what is known of records that the user has come back from.
    pub(super) fn forget_read(&mut self) {
        let Some((acked, end)) = self.acked.zip(self.log_end) else { return };
        match &mut self.behind {
            Some(behind) if acked < end.high_watermark => behind.forget_before(acked),
            behind => *behind = None,
        }
    }

    /// How many offsets a position is behind what may be read, as of the last fetch.
    pub(crate) fn lag(&self, position: i64) -> Option<i64> {
        Some(self.log_end?.lag(position))
    }

    /// How long ago the record at a position was written, as far as fetches have told; zero where there is none to be read.
    pub(crate) fn time_lag(&self, position: i64, now: Now) -> Option<Duration> {
        if self.lag(position)? == 0 {
            return Some(Duration::ZERO);
        }
        let behind = self.behind.as_ref()?;
        let queued = || self.queue.iter().rev().find_map(|slice| slice.stamps.at(position));
        let is_fetched = position < self.fetch_at;
        let stamp = is_fetched.then(|| queued().or_else(|| behind.stamp(position))).flatten();
        behind.age(position, stamp, now)
    }

    /// The offset behind the last record that was handed out and is in nobody's hands.
    pub(crate) fn done(&self) -> Option<i64> {
        if self.holder.is_some() { self.acked } else { self.delivered }
    }

    /// This offset, with the leader epoch of the record before it.
    pub(crate) fn position(&self, offset: i64) -> Position {
        Position { offset, leader_epoch: self.leader_epochs.before(offset) }
    }

    /// Tells the log where the lane is stuck. To be called once for each failure.
    pub(crate) fn tell_failed(&self) {
        if let FetchState::Failed(why) = &self.state {
            tracing::error!(target: log::OFFSETS, partition = %self.at, %why, "stuck until a seek");
        }
    }

    /// Whether the position is known, and not of which topic it is.
    pub(super) fn is_unbound(&self) -> bool {
        self.phase.is_assigned() && self.state == FetchState::Fetching && self.topic_id.is_none()
    }

    pub(super) fn is_readable(&self) -> bool {
        self.phase == LanePhase::Owned && !self.paused
    }
}
