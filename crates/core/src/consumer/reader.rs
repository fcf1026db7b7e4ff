//! The reader's half: what is handed out, and what the user has come back from.
//!
//! The order of calls, under the driver's lock: [`Consumer::returned`] when the user comes back into `recv`, `poll`,
//! `commit` or `close`; [`Consumer::report`] for each slice that the reader has, or had records of in hand;
//! [`Consumer::take`] until it has enough; [`Consumer::park`] when it has to wait.

use std::{collections::BTreeMap, time::Instant};

use ottla_protocol::{DecodeError, Now};

use super::Consumer;
use crate::{
    group::GroupFailure,
    ids::{LaneEpoch, PartIdx, TopicPartition},
    lanes::{Admission, Filter, LaneFailure, Position, Slice},
    offsets::CommittedOffset,
    planted::Planted,
};

#[derive(Debug)]
pub(super) struct ReaderState {
    pub(super) last_poll: Instant,
    /// Waiting in a call: not away, however long it takes.
    pub(super) parked: bool,
}

impl ReaderState {
    pub(super) fn new(now: Now) -> Self {
        Self { last_poll: now.mono, parked: false }
    }

    pub(super) fn touch(&mut self, now: Now) {
        self.last_poll = now.mono;
    }
}

/// What keeps a reader from records, and is to be told to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFailure {
    /// One partition is stuck.
    Lane(TopicPartition, LaneFailure),
    /// The group.
    Group(GroupFailure),
}

impl<F: Clone> Consumer<F> {
    /// Moves when a reader must look again before it hands out another record.
    pub fn fence(&self) -> u64 {
        self.lanes.fence()
    }

    /// The user is back in a call.
    pub fn returned(&mut self, now: Now) {
        self.reader.touch(now);
        self.reader.parked = self.reader.parked && self.lanes.plot.has(Planted::AbsenceIsNotNoticed);
    }

    /// The user waits in a call for records.
    pub fn park(&mut self) {
        self.reader.parked = true;
    }

    /// The user waits no longer: a call was given up.
    pub fn unpark(&mut self, now: Now) {
        if self.reader.parked {
            self.returned(now);
        }
    }

    /// Whether a reader may go on with a slice.
    pub fn admission(&self, part: PartIdx, epoch: LaneEpoch) -> Admission {
        self.lanes.admits(part, epoch)
    }

    /// Where a reader is in a lane. `acked` where the user has come back from the records before; `holds` as long as it
    /// may hand out more of the slice, or the user has records of it in hand. Tells whether it may go on.
    pub fn report(
        &mut self,
        part: PartIdx,
        epoch: LaneEpoch,
        position: i64,
        acked: bool,
        holds: bool,
    ) -> Admission {
        let admission = self.lanes.admits(part, epoch);
        // Of what is over nothing more is handed out; but what was stays in the user's hands until he is back.
        let holds = holds && (admission != Admission::Over || !acked);
        self.lanes.report(part, epoch, position, acked, holds);
        // A revocation may have waited for this.
        self.stir |= admission == Admission::Over;
        admission
    }

    /// A reader on its own way through a slice has come so far: the user has come back from all before it.
    pub fn reader_at(&mut self, part: PartIdx, epoch: LaneEpoch, position: i64, now: Now) {
        let Some(lane) = self.lanes.get(part).filter(|lane| lane.epoch == epoch) else { return };
        if position > lane.acked {
            self.lanes.report(part, epoch, position, true, true);
            self.reader.touch(now);
        }
    }

    /// Nothing more is to be handed out: a reader at its slice must look again.
    pub fn stop(&mut self) {
        self.lanes.raise_fence();
        self.changed();
    }

    /// The next records for a reader.
    pub fn take(&mut self, filter: &Filter) -> Option<Slice<F>> {
        match self.closing {
            None => {
                let slice = self.lanes.take(filter);
                // There is room for another fetch.
                self.stir |= slice.is_some();
                slice
            }
            Some(_) => None,
        }
    }

    /// What the user is to be told instead of records, if anything.
    pub fn take_failure(&mut self, filter: &Filter, now: Now) -> Option<ReadFailure> {
        if let Some(failure) = self.failure {
            if let GroupFailure::MaxPollExceeded(_) = failure {
                self.failure = None;
                self.rejoin(now);
            }
            return Some(ReadFailure::Group(failure));
        }
        let (at, failure) = self.lanes.take_failure(filter, self.retry_backoff.most, now.mono)?;
        Some(ReadFailure::Lane(at, failure))
    }

    /// A reader found a damaged batch at its position.
    pub fn corrupt(&mut self, part: PartIdx, epoch: LaneEpoch, at: i64, error: DecodeError, now: Now) {
        self.lanes.corrupt(part, epoch, at, error, now.mono);
        self.changed();
    }

    /// The name of a lane's partition.
    pub fn name_of(&self, part: PartIdx) -> Option<&TopicPartition> {
        self.lanes.get(part).map(|lane| &lane.at)
    }

    /// Everything handed out, as far as the reader has told.
    pub(super) fn delivered(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.positions(|lane| lane.delivered, |_| true)
    }

    /// What auto commit has to commit: where the user has come back from more than is committed.
    pub(super) fn uncommitted(&self, all_delivered: bool) -> BTreeMap<TopicPartition, CommittedOffset> {
        let upto = |lane: &crate::lanes::Lane<F>| if all_delivered { lane.delivered } else { lane.acked };
        let back = self.lanes.plot.has(Planted::SeekBackIsNotCommitted);
        self.positions(upto, |lane| match back {
            true => lane.committed.is_none_or(|committed| committed < upto(lane)),
            false => lane.committed != Some(upto(lane)),
        })
    }

    /// Of what is being revoked, all that was delivered and is not committed.
    pub(super) fn uncommitted_revoking(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.positions(|lane| lane.delivered, |lane| lane.revoking && lane.committed != Some(lane.delivered))
    }

    fn positions(
        &self,
        upto: impl Fn(&crate::lanes::Lane<F>) -> i64,
        wanted: impl Fn(&crate::lanes::Lane<F>) -> bool,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let known = self.lanes.assigned().map(|(_, lane)| lane);
        // What was read before a damaged batch, or before the log's end or beginning moved past it, was read.
        let is_known = |position: &Position| match position {
            Position::Known => true,
            Position::Failed(why) => {
                matches!(why, LaneFailure::Corrupt { .. } | LaneFailure::OutOfRange { .. })
            }
            Position::Committed | Position::Reset(_) => false,
        };
        let known = known.filter(|lane| is_known(&lane.position) && upto(lane) >= 0 && wanted(lane));
        known.map(|lane| (lane.at.clone(), upto(lane).into())).collect()
    }
}
