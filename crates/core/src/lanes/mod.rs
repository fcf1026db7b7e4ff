//! Lanes: one for each partition. Fetch, seek, pause, revocation and reading meet here, and can race nowhere else.
//!
//! A lane's *epoch* moves whenever records that were fetched or handed out before no longer count: on assignment,
//! seek, reset, revocation, loss and corruption. Responses, slices and reports carry the epoch under which they
//! were made. Those of an older epoch are dropped here and nowhere else. A pause does not move the epoch: a paused
//! lane keeps its slices, unless other lanes need their room.
//!
//! The *fence* moves whenever a reader must look again before it hands out another record.
//!
//! [`LanePhase`] tells whose a partition is; [`FetchState`], within that, whether its position is known.

mod epochs;
mod lane;
mod phase;
mod progress;
mod search;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use ottla_protocol::DecodeError;

pub use lane::LaneFailure;
pub(crate) use lane::{FetchState, Holder, Lane, Slice};
pub use phase::LanePhase;
pub(crate) use search::{Search, Searched};

use self::epochs::LeaderEpochs;
use crate::{
    backoff::{Attempts, Backoff},
    deadline::Earliest,
    ids::{LaneEpoch, PartIdx, ReaderId, TopicPartition},
    log,
    offsets::Position,
    planted::{Planted, Plot},
    reader::{Fence, Slot},
};

/// Every lane, and the order in which they are read.
#[derive(Debug)]
pub(crate) struct Lanes<F> {
    lanes: Vec<Lane<F>>,
    index: BTreeMap<TopicPartition, PartIdx>,
    /// Lanes with slices, the one whose turn it is first.
    ready: VecDeque<PartIdx>,
    /// Lanes of which a reader has taken a slice. It may have let them go since.
    taken: Vec<PartIdx>,
    fence: Fence,
    backoff: Backoff,
    rng: fastrand::Rng,
    /// Bytes that were fetched and dropped unread.
    pub(crate) wasted: u64,
    pub(crate) plot: Plot,
}

/// Which lanes a reader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Any.
    All,
    /// These.
    Only(Vec<TopicPartition>),
}

impl Filter {
    pub(crate) fn admits(&self, at: &TopicPartition) -> bool {
        match self {
            Self::All => true,
            Self::Only(parts) => parts.contains(at),
        }
    }
}

impl<F> Lanes<F> {
    /// `backoff` is between attempts at fetching a partition; `seed` decides its jitter.
    pub(crate) fn new(backoff: Backoff, seed: u64) -> Self {
        Self {
            lanes: Vec::new(),
            index: BTreeMap::new(),
            ready: VecDeque::new(),
            taken: Vec::new(),
            fence: Fence::default(),
            backoff,
            rng: fastrand::Rng::with_seed(seed),
            wasted: 0,
            plot: Plot::default(),
        }
    }

    pub(crate) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The lane of a partition, made where there is none yet.
    pub(crate) fn intern(&mut self, at: &TopicPartition, now: Instant) -> PartIdx {
        if let Some(part) = self.index.get(at) {
            return *part;
        }
        let part = PartIdx(self.lanes.len() as u32);
        let attempts = self.attempts();
        self.lanes.push(Lane::new(at.clone(), attempts, now));
        self.index.insert(at.clone(), part);
        part
    }

    pub(crate) fn find(&self, at: &TopicPartition) -> Option<PartIdx> {
        self.index.get(at).copied()
    }

    pub(crate) fn get(&self, part: PartIdx) -> Option<&Lane<F>> {
        self.lanes.get(part.0 as usize)
    }

    pub(crate) fn get_mut(&mut self, part: PartIdx) -> Option<&mut Lane<F>> {
        self.lanes.get_mut(part.0 as usize)
    }

    /// The same for all lanes: partitions that fail together are asked for together, in one request.
    fn attempts(&self) -> Attempts {
        Attempts::new(self.backoff, self.rng.clone())
    }

    /// The lane of a partition that is assigned now.
    pub(crate) fn assigned_at(&self, at: &TopicPartition) -> Option<(PartIdx, &Lane<F>)> {
        let part = self.find(at)?;
        self.get(part).filter(|lane| lane.phase.is_assigned()).map(|lane| (part, lane))
    }

    /// The lanes that are assigned.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = (PartIdx, &Lane<F>)> {
        let numbered = self.lanes.iter().enumerate();
        numbered
            .map(|(index, lane)| (PartIdx(index as u32), lane))
            .filter(|(_, lane)| lane.phase.is_assigned())
    }

    pub(crate) fn assigned_mut(&mut self) -> impl Iterator<Item = (PartIdx, &mut Lane<F>)> {
        let numbered = self.lanes.iter_mut().enumerate();
        numbered
            .map(|(index, lane)| (PartIdx(index as u32), lane))
            .filter(|(_, lane)| lane.phase.is_assigned())
    }

    /// The names of the partitions that are assigned.
    pub(crate) fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned().map(|(_, lane)| lane.at.clone()).collect()
    }

    /// Gives a partition to this consumer. Its committed offset is to be asked for. A partition that is to be announced to
    /// the user's listener is not read before the listener has returned.
    pub(crate) fn assign(&mut self, at: &TopicPartition, announce: bool, now: Instant) {
        let part = self.intern(at, now);
        self.unassign(part);
        let keeps = self.plot.has(Planted::ReturningPartitionKeepsPosition);
        let attempts = self.attempts();
        if let Some(lane) = self.get_mut(part) {
            let (at, epoch, before) = (lane.at.clone(), lane.epoch, lane.delivered);
            *lane = Lane { epoch, ..Lane::new(at, attempts, now) };
            lane.transition_to(if announce { LanePhase::Announcing } else { LanePhase::Owned });
            if let Some(before) = before.filter(|before| keeps && *before > 0) {
                lane.state = FetchState::Fetching;
                (lane.fetch_at, lane.delivered, lane.acked) = (before, Some(before), Some(before));
            }
        }
    }

    /// Takes a partition away: revoked or lost.
    pub(crate) fn unassign(&mut self, part: PartIdx) {
        self.empty(part);
        if let Some(lane) = self.get_mut(part).filter(|lane| lane.phase.is_assigned()) {
            lane.transition_to(LanePhase::Free);
            lane.holder = None;
        }
    }

    /// Takes all partitions away. Returns their names.
    pub(crate) fn unassign_all(&mut self) -> Vec<TopicPartition> {
        let all: Vec<PartIdx> = self.assigned().map(|(part, _)| part).collect();
        self.unassign_these(all)
    }

    /// Takes the partitions that are being revoked away. Returns their names.
    pub(crate) fn unassign_revoking(&mut self) -> Vec<TopicPartition> {
        let revoking: Vec<PartIdx> = self.revoking().map(|(part, _)| part).collect();
        self.unassign_these(revoking)
    }

    fn unassign_these(&mut self, parts: Vec<PartIdx>) -> Vec<TopicPartition> {
        let names = parts.iter().filter_map(|part| Some(self.get(*part)?.at.clone())).collect();
        parts.into_iter().for_each(|part| self.unassign(part));
        names
    }

    /// Closes the gate of a partition that is to be given up. Its buffered records are dropped. A reader may still
    /// report the records that it has handed out.
    pub(crate) fn begin_revoking(&mut self, part: PartIdx) {
        if !self.plot.has(Planted::RevokingLaneIsRead) {
            self.drop_queue(part);
        }
        self.fence.raise();
        if let Some(lane) = self.get_mut(part).filter(|lane| lane.phase != LanePhase::Revoking) {
            lane.transition_to(LanePhase::Revoking);
        }
    }

    /// Moves the position of a lane, or has it looked up. Records that were fetched or handed out before no longer count.
    pub(crate) fn place(&mut self, part: PartIdx, state: FetchState, at: Option<Position>, now: Instant) {
        match self.plot.has(Planted::SeekKeepsEpoch) {
            true => self.drop_queue(part),
            false => self.empty(part),
        }
        if let Some(lane) = self.get_mut(part) {
            lane.state = state;
            lane.looking = false;
            lane.attempts.reset();
            lane.suspect = None;
            lane.failure_due = None;
            lane.since = now;
            lane.began_at_end = None;
            lane.holder = None;
            if let Some(Position { offset, leader_epoch }) = at {
                (lane.fetch_at, lane.delivered) = (offset, Some(offset));
                // When a lane fails, the user may still have its last record in hand, so `acked` stays.
                if !matches!(lane.state, FetchState::Failed(_)) {
                    lane.acked = Some(offset);
                    lane.leader_epochs = LeaderEpochs::beginning(leader_epoch);
                }
            }
            lane.tell_failed();
        }
    }

    /// Opens or closes the gate at the user's wish. Buffered records stay.
    pub(crate) fn set_paused(&mut self, part: PartIdx, paused: bool, now: Instant) {
        self.fence.raise();
        if let Some(lane) = self.get_mut(part) {
            lane.paused = paused;
            lane.since = now;
        }
    }

    /// Drops a lane's buffered records and ends its epoch.
    fn empty(&mut self, part: PartIdx) {
        self.drop_queue(part);
        self.fence.raise();
        if let Some(lane) = self.get_mut(part) {
            lane.epoch = LaneEpoch(lane.epoch.0.wrapping_add(1));
        }
    }

    fn drop_queue(&mut self, part: PartIdx) {
        let Some(lane) = self.lanes.get_mut(part.0 as usize) else { return };
        self.wasted += lane.queued_bytes as u64;
        lane.queue.clear();
        lane.queued_bytes = 0;
        if let Some(index) = self.ready.iter().position(|ready| *ready == part) {
            self.ready.remove(index);
        }
    }

    /// Drops the records that paused lanes have buffered; they are fetched again when the lanes are resumed. Slices
    /// of them that a reader has are dropped, too, if its user is back from all records (`is_back`). Returns
    /// whether a reader has any to drop.
    pub(crate) fn drop_paused(&mut self, is_back: impl Fn(ReaderId) -> bool, now: Instant) -> bool {
        let is_held = |lane: &Lane<F>| lane.holder.as_ref().is_some_and(|holder| is_back(holder.reader));
        let is_read = |lane: &Lane<F>| is_held(lane) && lane.state == FetchState::Fetching;
        let paused = self.assigned().filter(|(_, lane)| lane.paused);
        let (read, paused): (Vec<_>, Vec<_>) = paused
            .filter(|(_, lane)| lane.queued_bytes > 0 || is_read(lane))
            .map(|(part, lane)| (part, lane.delivered.filter(|_| is_read(lane)).map(|at| lane.position(at))))
            .partition(|(_, position)| position.is_some());
        for (part, position) in &read {
            self.place(*part, FetchState::Fetching, *position, now);
        }
        for (part, _) in paused {
            let start = self.get(part).and_then(|lane| lane.queue.front()).map(|slice| slice.start);
            self.drop_queue(part);
            if let (Some(lane), Some(start)) = (self.get_mut(part), start) {
                // The epoch stays, as a reader may be in the middle of the slice before. A fetch under way asks for
                // records behind those that are dropped, and its answer is refused for that.
                lane.fetch_at = start;
            }
        }
        !read.is_empty()
    }

    /// Whether a reader that takes any lane would get a slice.
    pub(crate) fn has_readable(&self) -> bool {
        self.ready.iter().any(|part| self.get(*part).is_some_and(Lane::is_readable))
    }

    /// Queues a slice that a fetch brought. Returns `false` where it does not count any more.
    pub(crate) fn push(&mut self, slice: Slice<F>, now: Instant) -> bool {
        let size = slice.bytes.len();
        let part = slice.part;
        let Some(lane) = self.lanes.get_mut(part.0 as usize) else { return false };
        let wants = matches!(lane.phase, LanePhase::Announcing | LanePhase::Owned);
        if lane.epoch != slice.epoch || !wants || lane.fetch_at != slice.start {
            self.wasted += size as u64;
            return false;
        }
        lane.fetch_at = slice.next;
        lane.high_watermark = Some(slice.high_watermark);
        lane.queued_bytes += size;
        lane.since = now;
        if lane.queue.is_empty() {
            self.ready.push_back(part);
        }
        lane.queue.push_back(slice);
        true
    }

    /// The next slice for a reader, of the lane whose turn it is, and the slot in which the reader leaves how far
    /// its user has come.
    pub(crate) fn take(&mut self, reader: ReaderId, filter: &Filter) -> Option<(Slice<F>, Slot)> {
        let admitted = |part: &PartIdx| {
            let leaks = self.plot.has(Planted::RevokingLaneIsRead);
            let leaks = |lane: &Lane<F>| leaks && lane.phase == LanePhase::Revoking;
            let readable = |lane: &&Lane<F>| lane.is_readable() || leaks(lane);
            self.get(*part)
                .filter(readable)
                .is_some_and(|lane| filter.admits(&lane.at) && self.is_free(lane, reader))
        };
        let index = self.ready.iter().position(admitted)?;
        let part = self.ready.remove(index)?;
        let lane = self.lanes.get_mut(part.0 as usize)?;
        let slice = lane.queue.pop_front()?;
        lane.queued_bytes -= slice.bytes.len();
        lane.leader_epochs.enter(slice.start, slice.leader_epoch);
        let new = || Holder { reader, slot: Slot::new(slice.start) };
        // The user may still have the slice before in hand. To take the next one acknowledges nothing, so the slot
        // stays.
        let slot = lane.holder.get_or_insert_with(new).slot.clone();
        if !lane.queue.is_empty() {
            self.ready.push_back(part);
        }
        if !self.taken.contains(&part) {
            self.taken.push(part);
        }
        Some((slice, slot))
    }

    /// Whether a lane is with no other reader.
    fn is_free(&self, lane: &Lane<F>, reader: ReaderId) -> bool {
        let shares = self.plot.has(Planted::PartitionIsWithSeveralReaders);
        shares || lane.holder.as_ref().is_none_or(|holder| holder.reader == reader)
    }

    /// Takes over from the slots how far users have come. Calls `has_come` for each reader whose user has moved.
    pub(crate) fn read_slots(&mut self, mut has_come: impl FnMut(ReaderId)) {
        let mut taken = std::mem::take(&mut self.taken);
        taken.retain(|part| {
            let Some(lane) = self.get(*part) else { return false };
            let Some(Holder { reader, slot }) = &lane.holder else { return false };
            let (reader, position, epoch) = (*reader, slot.load(), lane.epoch);
            if lane.acked.is_none_or(|acked| position > acked) {
                self.report(*part, epoch, position, true, true);
                has_come(reader);
            }
            true
        });
        self.taken = taken;
    }

    /// The lanes that a reader has.
    pub(crate) fn held_by(&self, reader: ReaderId) -> impl Iterator<Item = PartIdx> {
        let held = move |lane: &Lane<F>| lane.holder.as_ref().is_some_and(|holder| holder.reader == reader);
        self.taken.iter().copied().filter(move |part| self.get(*part).is_some_and(held))
    }

    /// A failure that the user is to be told. It is told again after each `gap`, as long as it stands.
    pub(crate) fn take_failure(
        &mut self,
        filter: &Filter,
        gap: std::time::Duration,
        now: Instant,
    ) -> Option<(TopicPartition, LaneFailure)> {
        let due = |lane: &&mut Lane<F>| {
            let stands = lane.is_readable() && matches!(lane.state, FetchState::Failed(_));
            stands && lane.failure_due.is_none_or(|due| due <= now) && filter.admits(&lane.at)
        };
        let lane = self.lanes.iter_mut().find(due)?;
        let gap = if self.plot.has(Planted::NoOffsetIsToldOnce) { gap * 100_000 } else { gap };
        lane.failure_due = Some(now + gap);
        match &lane.state {
            FetchState::Failed(failure) => Some((lane.at.clone(), failure.clone())),
            _ => None,
        }
    }

    /// Whether a reader may go on with a slice of this lane and epoch.
    pub(crate) fn admits(&self, part: PartIdx, epoch: LaneEpoch) -> Admission {
        match self.get(part) {
            Some(lane) if lane.epoch == epoch => match lane.phase {
                LanePhase::Announcing | LanePhase::Owned if lane.paused => Admission::Paused,
                LanePhase::Announcing | LanePhase::Owned => Admission::Open,
                LanePhase::Free | LanePhase::Revoking => Admission::Over,
            },
            _ => Admission::Over,
        }
    }

    /// Takes a reader's position. `acked` says that the user has come back from all records before it. `held` says
    /// that the reader may hand out more of the slice, or that the user has records of it in hand.
    pub(crate) fn report(&mut self, part: PartIdx, epoch: LaneEpoch, position: i64, acked: bool, held: bool) {
        let counts = |lane: &&mut Lane<F>| lane.epoch == epoch && lane.phase.is_assigned();
        let Some(lane) = self.get_mut(part).filter(counts) else { return };
        lane.delivered = Some(position);
        if acked {
            lane.acked = Some(position);
            lane.leader_epochs.forget_before(position);
        }
        if !held {
            lane.holder = None;
        }
        if lane.suspect.is_some_and(|suspect| position > suspect) {
            lane.suspect = None;
        }
    }

    /// The user commits `position`, and so is done with all records before it. Otherwise auto commit would go back
    /// behind it.
    pub(crate) fn acknowledge(&mut self, at: &TopicPartition, position: i64) {
        let lane = self.find(at).and_then(|part| self.get_mut(part));
        let is_ahead = |lane: &&mut Lane<F>| match (lane.acked, lane.delivered) {
            (Some(acked), Some(delivered)) => (acked..=delivered).contains(&position),
            _ => false,
        };
        if let Some(lane) = lane.filter(is_ahead) {
            lane.acked = Some(position);
        }
    }

    /// A reader found a damaged batch. It is fetched again once; if it is found damaged again, the lane fails.
    pub(crate) fn corrupt(
        &mut self,
        part: PartIdx,
        epoch: LaneEpoch,
        at: i64,
        error: DecodeError,
        now: Instant,
    ) {
        let Some(lane) = self.get_mut(part).filter(|lane| lane.epoch == epoch) else { return };
        let again = lane.suspect == Some(at);
        if !again {
            tracing::warn!(target: log::FETCH, partition = %lane.at, offset = at, %error, "damaged batch");
        }
        let state = match again {
            true => FetchState::Failed(LaneFailure::Corrupt { offset: at, error }),
            false => FetchState::Fetching,
        };
        let (acked, leader_epochs) = (lane.acked, std::mem::take(&mut lane.leader_epochs));
        self.place(part, state, Some(at.into()), now);
        if let Some(lane) = self.get_mut(part) {
            (lane.acked, lane.leader_epochs) = (acked, leader_epochs);
            lane.suspect = Some(at);
        }
    }

    /// The lanes that are being revoked.
    pub(crate) fn revoking(&self) -> impl Iterator<Item = (PartIdx, &Lane<F>)> {
        self.assigned().filter(|(_, lane)| lane.phase == LanePhase::Revoking)
    }

    pub(crate) fn has_revoking(&self) -> bool {
        self.revoking().next().is_some()
    }

    /// The lanes that are being revoked and that a reader holds.
    pub(crate) fn held_up(&self) -> Vec<TopicPartition> {
        self.revoking().filter(|(_, lane)| lane.holder.is_some()).map(|(_, lane)| lane.at.clone()).collect()
    }

    /// Whether every lane that is being revoked has been let go.
    pub(crate) fn is_quiescent(&self) -> bool {
        self.revoking().all(|(_, lane)| lane.holder.is_none())
    }

    /// The listener has returned, so new partitions may be read.
    pub(crate) fn open_announced(&mut self) {
        let announced = self.lanes.iter_mut().filter(|lane| lane.phase == LanePhase::Announcing);
        announced.for_each(|lane| lane.transition_to(LanePhase::Owned));
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        for (_, lane) in self.assigned() {
            earliest.consider(lane.attempts.next());
        }
    }
}

/// The use that a reader may make of a slice that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go on.
    Open,
    /// Keep it, and hand nothing out.
    Paused,
    /// Drop it.
    Over,
}
