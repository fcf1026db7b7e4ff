//! What a consumer knows of its [readers](crate::Reader): who is in a call, what each has, and what its user has come back
//! from.
//!
//! The order of a reader's calls, under the driver's lock: [`Consumer::returned`] when the user comes back into `recv`,
//! `poll`, `commit` or `close`; [`Consumer::report`] for each slice that the reader has, or had records of in hand;
//! [`Consumer::take`] until it has enough; [`Consumer::park`] when it has to wait.

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

/// The first reader of a consumer: its own user's.
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
    /// The user waits in one: not away, however long it takes.
    Waiting,
    /// He was in one then.
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

    /// The user of this reader shows that he is there.
    pub(super) fn touch(&mut self, reader: ReaderId, now: Now) {
        if let Some(Call::Last(at)) = self.calls.get_mut(&reader) {
            *at = now.mono;
        }
    }

    /// The user of the consumer itself shows that he is there.
    pub(super) fn touch_own(&mut self, now: Now) {
        self.touch(OWN, now);
    }

    fn set(&mut self, reader: ReaderId, to: Call) {
        if let Some(call) = self.calls.get_mut(&reader) {
            *call = to;
        }
    }

    pub(super) fn is_waiting(&self, reader: ReaderId) -> bool {
        matches!(self.calls.get(&reader), Some(Call::Waiting))
    }

    /// Whether, since this was last asked, a user who waited has gone on: from now on that user may be overdue.
    pub(super) fn take_departure(&mut self) -> bool {
        let waiting = self.calls.values().filter(|call| matches!(call, Call::Waiting)).count();
        waiting < std::mem::replace(&mut self.waiting, waiting)
    }

    /// When the user was last there, who is to call in time; `None` as long as nobody is away. Of several readers each
    /// that has records counts (`has`); where none has any, it is enough that one of them is there.
    pub(super) fn away_since(&self, has: impl Fn(ReaderId) -> bool) -> Option<Instant> {
        let away = |(id, call): (&ReaderId, &Call)| match call {
            Call::Waiting => None,
            Call::Last(at) => Some((*id, *at)),
        };
        let last = || self.calls.iter().filter_map(away);
        let holding = last().filter(|(id, _)| has(*id)).map(|(_, at)| at).min();
        let all = last().map(|(_, at)| at).max().filter(|_| last().count() == self.calls.len());
        holding.into_iter().chain(all).min()
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
    /// One more reader, and what moves when it must look again before it hands out another record.
    pub(crate) fn open_reader(&mut self, now: Now) -> (ReaderId, Fence) {
        (self.readers.open(now), self.lanes.fence().clone())
    }

    /// A reader is no more. What it has goes to the others, from where its user has come back to.
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

    /// The user is back in a call.
    pub(crate) fn returned(&mut self, reader: ReaderId, now: Now) {
        if !self.lanes.plot.has(Planted::AbsenceIsNotNoticed) || !self.readers.is_waiting(reader) {
            self.readers.set(reader, Call::Last(now.mono));
        }
    }

    /// The user waits in a call for records.
    pub fn park(&mut self, reader: ReaderId) {
        self.readers.set(reader, Call::Waiting);
        // What its user waits with may be what keeps others from being fetched.
        self.stir |= self.fetcher.out_of_room;
    }

    /// The user waits no longer: a call was given up.
    pub fn unpark(&mut self, reader: ReaderId, now: Now) {
        if self.readers.is_waiting(reader) {
            self.returned(reader, now);
        }
    }

    /// When the user has stayed away for too long; `None` as long as he is there, or has no membership to lose.
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

    /// Where a reader is in a lane. `acked` where the user has come back from the records before; `holds` as long as it
    /// may hand out more of the slice, or the user has records of it in hand. Tells whether it may go on.
    pub(crate) fn report(
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

    /// Takes over how far users have come on their own way through slices.
    pub(super) fn read_slots(&mut self, now: Now) {
        let (lanes, readers) = (&mut self.lanes, &mut self.readers);
        lanes.read_slots(|reader| readers.touch(reader, now));
    }

    /// Nothing more is to be handed out: readers at their slices must look again, and are told that this is the end.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.lanes.fence().raise();
        self.changed();
    }

    /// Whether nothing more is handed out.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The next records for a reader, and where it leaves how far its user has come.
    pub(crate) fn take(&mut self, reader: ReaderId, filter: &Filter) -> Option<(Slice<F>, Slot)> {
        if self.closing.is_some() {
            return None;
        }
        let taken = self.lanes.take(reader, filter);
        // There is room for another fetch.
        self.stir |= taken.is_some();
        taken
    }

    /// What the user is to be told instead of records, if anything.
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

    /// Everything that was handed out and is in nobody's hands.
    pub(super) fn done(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.positions(Lane::done, |_| true)
    }

    /// What is to be committed without being asked for: where that, by `upto`, is not what is committed.
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

    /// Of what is being revoked, all that was delivered and is not committed.
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
        // What was read before a damaged batch, or before the log's end or beginning moved past it, was read.
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
