//! What [readers](crate::Reader) ask of their consumer: slices, and whether they may go on.
//!
//! The order of a reader's calls, under the driver's lock: [`Consumer::returned`] when the user comes back into `recv`,
//! `poll`, `commit` or `close`; [`Consumer::report`] for each slice that the reader has, or of which its user has
//! had records in hand; [`Consumer::take`] until it has enough; [`Consumer::park`] when it has to wait.

use ottla_protocol::{DecodeError, Now};

use super::{Callback, Consumer, readers::Call};
use crate::{
    connections::RefusedConnection,
    group::GroupFailure,
    ids::{LaneEpoch, PartIdx, ReaderId, TopicPartition},
    lanes::{Admission, FetchState, Filter, LaneFailure, Slice},
    planted::Planted,
    reader::{Fence, Slot, Tally},
};

/// A failure that a user is told instead of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFailure {
    /// One partition is stuck.
    Lane(TopicPartition, LaneFailure),
    /// The consumer is not in its group.
    Group(GroupFailure),
    /// The principal may not read this topic, and does not learn whether it exists. Told once, until that has changed.
    NotAuthorized(String),
    /// A broker that is needed has refused the connection for good.
    Connection(RefusedConnection),
}

impl<F: Clone> Consumer<F> {
    /// Opens one more reader. Returns its id, the fence that moves when the reader must look again before it hands out
    /// another record, and where it leaves what it has decoded.
    pub(crate) fn open_reader(&mut self, now: Now) -> (ReaderId, Fence, Tally) {
        let (id, tally) = self.readers.open(now);
        (id, self.lanes.fence().clone(), tally)
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
            // Where the position was moved since, it stays there.
            if let Some(lane) = self.lanes.get(part).filter(|lane| !lane.is_moved()) {
                let acked = lane.acked.map(|acked| lane.position(acked));
                self.lanes.place(part, FetchState::Fetching, acked, now.mono);
            }
            self.lanes.release(part);
        }
        self.readers.close(reader);
        self.changed();
    }

    /// The user of this reader is back in a call.
    pub(crate) fn returned(&mut self, reader: ReaderId, now: Now) {
        // Whose slot has moved was there since, nobody knows when; and of several readers one without records need not call.
        let has_to_call = self.readers.count() == 1 || self.lanes.held_by(reader).next().is_some();
        if has_to_call && !self.lanes.has_moved_on(reader) {
            self.readers.was_away(self.readers.last_of(reader), now);
        }
        if !self.lanes.plot.has(Planted::AbsenceIsNotNoticed) || self.readers.is_away(reader) {
            self.readers.set(reader, Call::Last(now.mono));
        }
        self.lanes.let_go_of_moved(reader);
    }

    /// Whether this reader's user has records of a partition in hand that was not taken away since.
    pub(crate) fn is_with(&self, reader: ReaderId, at: &TopicPartition) -> bool {
        let holder = self.lanes.assigned_at(at).and_then(|(_, lane)| lane.holder.as_ref());
        holder.is_some_and(|holder| holder.reader == reader)
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
        // A revocation may wait for this report, or so many records have been handed out that they are to be committed.
        let auto = self.group.as_ref().and_then(|group| group.commits.auto());
        let enough = auto.is_some_and(|auto| auto.has_enough(self.lanes.returned));
        self.hub.stir |= admission == Admission::Over || enough;
        admission
    }

    /// How many more records a reader may hand out before it is to look at the consumer, so that they are committed in time;
    /// `None` where they need not be.
    pub(crate) fn records_until_commit(&self) -> Option<i64> {
        let auto = self.group.as_ref()?.commits.auto()?;
        // Other readers hand out records, too.
        let each = auto.records_left(self.lanes.returned)? / self.readers.count().max(1) as u64;
        Some(each.clamp(1, i64::MAX as u64) as i64)
    }

    /// Takes over from the slots how far users have come in their slices without a look at the consumer.
    pub(super) fn read_slots(&mut self, now: Now) {
        let (lanes, readers) = (&mut self.lanes, &mut self.readers);
        lanes.read_slots(|reader| readers.touch(reader, now));
        // Who closes need not come back.
        if self.closing.is_none() {
            let since = self.away_since();
            self.readers.was_away(since, now);
        }
    }

    /// The callback that the listener is to be told now.
    pub fn take_callback(&mut self) -> Option<Callback> {
        self.group.as_mut()?.callbacks.take()
    }

    /// The listener has returned, in a call of this reader's.
    pub fn callback_done(&mut self, reader: ReaderId, now: Now) {
        if let Some(group) = &mut self.group {
            group.callbacks.returned();
        }
        self.readers.touch(reader, now);
        self.changed();
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
        if let Some(refused) = self.take_refusal(false, now) {
            return Some(ReadFailure::Connection(refused));
        }
        if let Some(failure) = self.failure {
            if let GroupFailure::MaxPollExceeded(_) = failure {
                self.failure = None;
                self.rejoin(now);
            }
            return Some(ReadFailure::Group(failure));
        }
        if let Some(topic) = self.hub.metadata.take_forbidden() {
            return Some(ReadFailure::NotAuthorized(topic));
        }
        let (at, failure) = self.lanes.take_failure(filter, self.retry_backoff.most, now.mono)?;
        Some(ReadFailure::Lane(at, failure))
    }

    /// Joins again with the present subscription.
    fn rejoin(&mut self, now: Now) {
        self.changed();
        self.readers.touch_own(now);
        if let (Some(group), Some(interest)) = (&mut self.group, self.subscription.interest()) {
            group.membership.subscribe(interest, now);
        }
    }

    /// A reader found a damaged batch at its position.
    pub(crate) fn corrupt(&mut self, part: PartIdx, epoch: LaneEpoch, at: i64, error: DecodeError, now: Now) {
        self.lanes.corrupt(part, epoch, at, error, now.mono);
        self.changed();
    }

    /// The name of a lane's partition.
    pub(crate) fn name_of(&self, part: PartIdx) -> Option<&TopicPartition> {
        self.lanes.get(part).map(|lane| &*lane.at)
    }
}
