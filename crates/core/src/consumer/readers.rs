//! A consumer's view of its [readers](crate::Reader): whether a reader's user is in a call, which partitions the
//! reader has, and which records its user has come back from.
//!
//! The order of a reader's calls, under the driver's lock: [`Consumer::returned`] when the user comes back into `recv`,
//! `poll`, `commit` or `close`; [`Consumer::report`] for each slice that the reader has, or of which its user has
//! had records in hand; [`Consumer::take`] until it has enough; [`Consumer::park`] when it has to wait.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{DecodeError, Now};

use super::Consumer;
use crate::{
    group::GroupFailure,
    ids::{LaneEpoch, PartIdx, ReaderId, TopicPartition},
    lanes::{Admission, FetchState, Filter, Lane, LaneFailure, LanePhase, Slice},
    offsets::{CommittedOffset, Position},
    planted::Planted,
    reader::{Fence, Slot},
};

/// The first reader of a consumer, which is its own user's.
const OWN: ReaderId = ReaderId(0);

/// Every reader, and when its user was last in a call.
#[derive(Debug)]
pub(super) struct Readers {
    calls: BTreeMap<ReaderId, Call>,
    next: u32,
    /// How many users waited when [`Readers::take_departure`] was last asked.
    waiting: usize,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    /// The user waits in a call for records, and is back from all that was handed out: not away, however long it takes.
    Polling,
    /// The user waits in another call, and may have records in hand. Not away either.
    Busy,
    /// The user was in a call then.
    Last(Instant),
}

impl Readers {
    pub(super) fn new() -> Self {
        Self { calls: BTreeMap::new(), next: OWN.0, waiting: 0 }
    }

    fn open(&mut self, now: Now) -> ReaderId {
        let id = ReaderId(self.next);
        self.next += 1;
        self.calls.insert(id, Call::Last(now.mono));
        id
    }

    /// The user of this reader has shown that they are there.
    pub(super) fn touch(&mut self, reader: ReaderId, now: Now) {
        if let Some(Call::Last(at)) = self.calls.get_mut(&reader) {
            *at = now.mono;
        }
    }

    /// The user of the consumer itself has shown that they are there.
    pub(super) fn touch_own(&mut self, now: Now) {
        self.touch(OWN, now);
    }

    fn set(&mut self, reader: ReaderId, to: Call) {
        if let Some(call) = self.calls.get_mut(&reader) {
            *call = to;
        }
    }

    /// Whether the user waits for records.
    pub(super) fn is_polling(&self, reader: ReaderId) -> bool {
        matches!(self.calls.get(&reader), Some(Call::Polling))
    }

    fn is_away(&self, reader: ReaderId) -> bool {
        !matches!(self.calls.get(&reader), Some(Call::Polling | Call::Busy))
    }

    /// Whether a user waits for records.
    pub(super) fn is_any_polling(&self) -> bool {
        self.calls.values().any(|call| matches!(call, Call::Polling))
    }

    /// Whether a user who waited in a call has left it since this was last asked. From then on that user may become overdue.
    pub(super) fn take_departure(&mut self) -> bool {
        let waiting = self.calls.values().filter(|call| !matches!(call, Call::Last(_))).count();
        waiting < std::mem::replace(&mut self.waiting, waiting)
    }

    /// When the user who has to call next was last in a call; `None` as long as nobody has to. The user of each
    /// reader that has records (`has`) must call in time. Besides, one of all users must.
    pub(super) fn away_since(&self, has: impl Fn(ReaderId) -> bool) -> Option<Instant> {
        let away = |(id, call): (&ReaderId, &Call)| match call {
            Call::Polling | Call::Busy => None,
            Call::Last(at) => Some((*id, *at)),
        };
        let last = || self.calls.iter().filter_map(away);
        let holding = last().filter(|(id, _)| has(*id)).map(|(_, at)| at).min();
        let all = last().map(|(_, at)| at).max().filter(|_| last().count() == self.calls.len());
        holding.into_iter().chain(all).min()
    }
}

/// A failure that a user is told instead of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFailure {
    /// One partition is stuck.
    Lane(TopicPartition, LaneFailure),
    /// The consumer is not in its group.
    Group(GroupFailure),
}

impl<F: Clone> Consumer<F> {
    /// Opens one more reader. Returns its id, and the fence that moves when the reader must look again before it
    /// hands out another record.
    pub(crate) fn open_reader(&mut self, now: Now) -> (ReaderId, Fence) {
        (self.readers.open(now), self.lanes.fence().clone())
    }

    /// Closes a reader. Its partitions go to the others, and go on behind the last record that its user has come
    /// back from.
    pub(crate) fn close_reader(&mut self, reader: ReaderId, now: Now) {
        self.read_slots(now);
        let held: Vec<PartIdx> = match self.lanes.plot.has(Planted::DroppedReaderKeepsPartitions) {
            true => Vec::new(),
            false => self.lanes.held_by(reader).collect(),
        };
        for part in held {
            let acked = self.lanes.get(part).and_then(|lane| Some(lane.position(lane.acked?)));
            self.lanes.place(part, FetchState::Fetching, acked, now.mono);
        }
        self.readers.calls.remove(&reader);
        self.changed();
    }

    /// The user of this reader is back in a call.
    pub(crate) fn returned(&mut self, reader: ReaderId, now: Now) {
        if !self.lanes.plot.has(Planted::AbsenceIsNotNoticed) || self.readers.is_away(reader) {
            self.readers.set(reader, Call::Last(now.mono));
        }
    }

    /// The user waits in a call for records.
    pub fn park(&mut self, reader: ReaderId) {
        self.readers.set(reader, Call::Polling);
        // The records that its user waits with may keep others from being fetched; or nothing was fetched because no user waited.
        self.hub.stir |= self.fetcher.out_of_room || self.fetcher.far_ahead;
    }

    /// The user waits in a call for something other than records, and may have some in hand.
    pub fn stay(&mut self, reader: ReaderId) {
        self.readers.set(reader, Call::Busy);
    }

    /// The user waits no longer, as the call was given up.
    pub fn unpark(&mut self, reader: ReaderId, now: Now) {
        if !self.readers.is_away(reader) {
            self.returned(reader, now);
        }
    }

    /// When a user will have stayed away for too long; `None` as long as nobody is away, or there is no membership
    /// to lose.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        let interval = self.poll_interval()?;
        let blind = self.lanes.plot.has(Planted::OtherReadersMayStayAway);
        let has = |reader| self.lanes.held_by(reader).next().is_some() && !(blind && reader != OWN);
        let since = self.readers.away_since(has)?;
        Some(since + interval)
    }

    /// How long the user may stay away; `None` where there is no membership to lose.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        let membership = &self.group.as_ref()?.membership;
        membership.is_in().then_some(membership.config().max_poll_interval)
    }

    /// Whether a reader may go on with a slice.
    pub(crate) fn admission(&self, part: PartIdx, epoch: LaneEpoch) -> Admission {
        self.lanes.admits(part, epoch)
    }

    /// Takes a reader's position in a lane. `acked` says that the user has come back from all records before the
    /// position. `holds` says that the reader may hand out more of the slice, or that the user has records of it in
    /// hand. Returns whether the reader may go on.
    pub(crate) fn report(
        &mut self,
        part: PartIdx,
        epoch: LaneEpoch,
        position: i64,
        acked: bool,
        holds: bool,
    ) -> Admission {
        let admission = self.lanes.admits(part, epoch);
        // A slice that is over hands out nothing more, but the records that it has handed out are in the user's
        // hands until the user is back (`acked`).
        let holds = holds && (admission != Admission::Over || !acked);
        self.lanes.report(part, epoch, position, acked, holds);
        // A revocation may wait for this report.
        self.hub.stir |= admission == Admission::Over;
        admission
    }

    /// Takes over from the slots how far users have come in their slices without a look at the consumer.
    pub(super) fn read_slots(&mut self, now: Now) {
        let (lanes, readers) = (&mut self.lanes, &mut self.readers);
        lanes.read_slots(|reader| readers.touch(reader, now));
    }

    /// Hands nothing more out. Readers in the middle of a slice must look again, and are told that the consumer is
    /// closed.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.lanes.fence().raise();
        self.changed();
    }

    /// Whether nothing more is handed out.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The next slice for a reader, and the slot in which the reader leaves how far its user has come.
    pub(crate) fn take(&mut self, reader: ReaderId, filter: &Filter) -> Option<(Slice<F>, Slot)> {
        if self.closing.is_some() {
            return None;
        }
        let taken = self.lanes.take(reader, filter);
        // The lane may have room for another fetch.
        self.hub.stir |= taken.is_some();
        taken
    }

    /// The failure that the user is to be told instead of records, if there is one.
    pub(crate) fn take_failure(&mut self, filter: &Filter, now: Now) -> Option<ReadFailure> {
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
    pub(crate) fn corrupt(&mut self, part: PartIdx, epoch: LaneEpoch, at: i64, error: DecodeError, now: Now) {
        self.lanes.corrupt(part, epoch, at, error, now.mono);
        self.changed();
    }

    /// The name of a lane's partition.
    pub(crate) fn name_of(&self, part: PartIdx) -> Option<&TopicPartition> {
        self.lanes.get(part).map(|lane| &lane.at)
    }

    /// The offsets behind all that was handed out and is in nobody's hands.
    pub(super) fn done(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.positions(Lane::done, |_| true)
    }

    /// The offsets to commit without a call of the user's: `upto` of each lane, unless that is committed already.
    pub(super) fn uncommitted(
        &self,
        upto: impl Fn(&Lane<F>) -> Option<i64>,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let back = self.lanes.plot.has(Planted::SeekBackIsNotCommitted);
        self.positions(&upto, |lane| match back {
            true => lane.committed < upto(lane),
            false => lane.committed != upto(lane),
        })
    }

    /// The offsets behind all that was delivered of lanes that are being revoked, unless they are committed already.
    pub(super) fn uncommitted_revoking(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        let goes = |lane: &Lane<F>| lane.phase() == LanePhase::Revoking;
        self.positions(|lane| lane.delivered, |lane| goes(lane) && lane.committed != lane.delivered)
    }

    fn positions(
        &self,
        upto: impl Fn(&Lane<F>) -> Option<i64>,
        wanted: impl Fn(&Lane<F>) -> bool,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let known = self.lanes.assigned().map(|(_, lane)| lane);
        // Records that were read before a damaged batch, or before their offsets fell out of the log, have been
        // read all the same.
        let is_known = |state: &FetchState| match state {
            FetchState::Fetching => true,
            FetchState::Failed(why) => {
                matches!(why, LaneFailure::Corrupt { .. } | LaneFailure::OutOfRange { .. })
            }
            FetchState::AwaitsCommitted | FetchState::AwaitsReset(_) => false,
        };
        let newest = self.lanes.plot.has(Planted::NewestLeaderEpochIsCommitted);
        let position = |lane: &Lane<F>, offset| match newest {
            true => Position { offset, ..lane.position(i64::MAX) },
            false => lane.position(offset),
        };
        let known = known.filter(|lane| is_known(&lane.state) && wanted(lane));
        known.filter_map(|lane| Some((lane.at.clone(), position(lane, upto(lane)?).into()))).collect()
    }
}
