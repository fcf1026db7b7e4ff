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
//!
//! A lane changes in [`Lanes::change`] alone, which files it by what is to be done of it (`filed.rs`). So a turn costs what
//! its changes cost, however many lanes there are.

mod behind;
mod epochs;
mod filed;
mod lane;
mod log_end;
mod phase;
mod progress;
mod reading;
mod search;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

pub use lane::LaneFailure;
pub(crate) use lane::{FetchState, Holder, Lane, Slice};
pub(crate) use log_end::LogEnd;
pub use phase::LanePhase;
pub(crate) use reading::Admission;
pub(crate) use search::{Search, Searched};
pub(crate) use source::Source;

use ottla_protocol::TopicId;

use self::{
    epochs::LeaderEpochs,
    filed::{Entry, Filed},
};
use crate::{
    backoff::{Attempts, Backoff},
    deadline::Earliest,
    ids::{LaneEpoch, PartIdx, ReaderId, TopicPartition},
    metadata::Metadata,
    offsets::Position,
    planted::{Planted, Plot},
    reader::Fence,
};

/// Every lane, and the order in which they are read.
#[derive(Debug)]
pub(crate) struct Lanes<F> {
    lanes: Vec<Lane<F>>,
    index: BTreeMap<String, BTreeMap<i32, PartIdx>>,
    filed: Filed,
    /// Lanes that count otherwise for what is to be fetched than when [`Lanes::take_changed`] was last called.
    changed: BTreeSet<PartIdx>,
    /// Lanes with slices, the one whose turn it is first.
    ready: VecDeque<PartIdx>,
    /// Lanes of which a reader has taken a slice. It may have let them go since.
    taken: BTreeSet<PartIdx>,
    /// Those whose position was moved while a reader's user had records in hand.
    moved: Vec<PartIdx>,
    fence: Fence,
    /// The same for all lanes: partitions that fail together are asked for together, in one request.
    attempts: Attempts,
    /// Bytes that were fetched and dropped unread.
    pub(crate) wasted: u64,
    /// How many records users have come back from, by their offsets.
    pub(crate) returned: u64,
    /// Offsets whose records the logs had lost before they were read.
    pub(crate) deleted_unread: u64,
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
            filed: Filed::default(),
            changed: BTreeSet::new(),
            ready: VecDeque::new(),
            taken: BTreeSet::new(),
            moved: Vec::new(),
            fence: Fence::default(),
            attempts: Attempts::new(backoff, fastrand::Rng::with_seed(seed)),
            wasted: 0,
            returned: 0,
            deleted_unread: 0,
            plot: Plot::default(),
        }
    }

    pub(crate) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The lane of a partition, made where there is none yet.
    pub(crate) fn intern(&mut self, at: &TopicPartition, now: Instant) -> PartIdx {
        if let Some(part) = self.find(at) {
            return part;
        }
        let part = PartIdx(self.lanes.len() as u32);
        self.lanes.push(Lane::new(Arc::new(at.clone()), self.attempts.anew(), now));
        match self.index.get_mut(&at.topic) {
            Some(partitions) => _ = partitions.insert(at.partition, part),
            None => _ = self.index.insert(at.topic.clone(), BTreeMap::from([(at.partition, part)])),
        }
        part
    }

    pub(crate) fn find(&self, at: &TopicPartition) -> Option<PartIdx> {
        self.index.get(&at.topic)?.get(&at.partition).copied()
    }

    pub(crate) fn get(&self, part: PartIdx) -> Option<&Lane<F>> {
        self.lanes.get(part.0 as usize)
    }

    /// Changes a lane, and files it as it is then.
    pub(crate) fn change<T>(&mut self, part: PartIdx, change: impl FnOnce(&mut Lane<F>) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(part.0 as usize)?;
        let before = Entry::of(lane);
        let value = change(lane);
        if self.filed.file(part, before, Entry::of(lane)) {
            self.changed.insert(part);
        }
        Some(value)
    }

    /// The lanes that have changed since this was last called, as far as it concerns what is to be fetched.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<PartIdx> {
        std::mem::take(&mut self.changed)
    }

    /// Whether every lane is filed as it is: for tests, which find a lane that has changed elsewhere.
    pub(crate) fn is_filed(&self) -> bool {
        let mut anew = Filed::default();
        for (index, lane) in self.lanes.iter().enumerate() {
            anew.file(PartIdx(index as u32), Entry::default(), Entry::of(lane));
        }
        anew == self.filed
    }

    /// The lane of a partition that is assigned now.
    pub(crate) fn assigned_at(&self, at: &TopicPartition) -> Option<(PartIdx, &Lane<F>)> {
        let part = self.find(at)?;
        self.get(part).filter(|lane| lane.phase.is_assigned()).map(|lane| (part, lane))
    }

    /// The id of the topic that the position of an assigned partition is of, where it is known.
    pub(crate) fn topic_id(&self, at: &TopicPartition) -> Option<TopicId> {
        self.assigned_at(at)?.1.topic_id
    }

    /// The position has been found in the topic that has this name now.
    pub(crate) fn bind(&mut self, part: PartIdx, metadata: &Metadata) {
        let topic = self.get(part).and_then(|lane| metadata.topic(&lane.at.topic));
        let id = topic.map(|topic| topic.id);
        self.change(part, |lane| lane.topic_id = id);
    }

    /// The same, where the topic was not known when the position was found.
    pub(crate) fn bind_later(&mut self, part: PartIdx, metadata: &Metadata) {
        if self.get(part).is_some_and(Lane::is_unbound) {
            self.bind(part, metadata);
        }
    }

    /// The lanes that are assigned.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = (PartIdx, &Lane<F>)> {
        self.these(&self.filed.assigned)
    }

    /// The lanes that are assigned, and that the user paused.
    pub(crate) fn paused(&self) -> impl Iterator<Item = (PartIdx, &Lane<F>)> {
        self.these(&self.filed.paused)
    }

    /// The lanes whose positions are to be looked up.
    pub(crate) fn placeless(&self) -> Vec<PartIdx> {
        self.filed.placeless.iter().copied().collect()
    }

    fn these<'a>(&'a self, parts: &'a BTreeSet<PartIdx>) -> impl Iterator<Item = (PartIdx, &'a Lane<F>)> {
        parts.iter().filter_map(|part| Some((*part, self.get(*part)?)))
    }

    /// The names of the partitions that are assigned.
    pub(crate) fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned().map(|(_, lane)| (*lane.at).clone()).collect()
    }

    /// Gives a partition to this consumer. Its committed offset is to be asked for. A partition that is to be announced to
    /// the user's listener is not read before the listener has returned.
    pub(crate) fn assign(&mut self, at: &TopicPartition, announce: bool, now: Instant) {
        let part = self.intern(at, now);
        self.unassign(part);
        let keeps = self.plot.has(Planted::ReturningPartitionKeepsPosition);
        let attempts = self.attempts.anew();
        self.change(part, |lane| {
            let (at, epoch, before) = (lane.at.clone(), lane.epoch, lane.delivered);
            *lane = Lane { epoch, ..Lane::new(at, attempts, now) };
            lane.transition_to(if announce { LanePhase::Announcing } else { LanePhase::Owned });
            if let Some(before) = before.filter(|before| keeps && *before > 0) {
                lane.state = FetchState::Fetching;
                (lane.fetch_at, lane.delivered, lane.acked) = (before, Some(before), Some(before));
            }
        });
    }

    /// Takes a partition away: revoked or lost.
    pub(crate) fn unassign(&mut self, part: PartIdx) {
        self.empty(part);
        self.change(part, |lane| {
            if lane.phase.is_assigned() {
                lane.transition_to(LanePhase::Free);
                lane.holder = None;
            }
        });
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
        let names = parts.iter().filter_map(|part| Some((*self.get(*part)?.at).clone())).collect();
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
        self.change(part, |lane| {
            if lane.phase != LanePhase::Revoking {
                lane.transition_to(LanePhase::Revoking);
            }
        });
    }

    /// Moves the position of a lane, or has it looked up. Records that were fetched or handed out before no longer count; yet as
    /// long as a reader's user has some in hand, no other reader goes on.
    pub(crate) fn place(&mut self, part: PartIdx, state: FetchState, at: Option<Position>, now: Instant) {
        match self.plot.has(Planted::SeekKeepsEpoch) {
            true => self.drop_queue(part),
            false => self.empty(part),
        }
        self.change(part, |lane| {
            lane.state = state;
            lane.looking = false;
            lane.attempts.reset();
            lane.suspect = None;
            lane.failure_due = None;
            lane.since = now;
            lane.began_at_end = None;
            if let Some(holder) = &mut lane.holder {
                holder.slot = None;
            }
            if let Some(Position { offset, leader_epoch }) = at {
                (lane.fetch_at, lane.delivered) = (offset, Some(offset));
                lane.fetch_epoch = leader_epoch;
                // When a lane fails, the user may still have its last record in hand, so `acked` stays.
                if !matches!(lane.state, FetchState::Failed(_)) {
                    lane.acked = Some(offset);
                    lane.leader_epochs = LeaderEpochs::beginning(leader_epoch);
                }
            }
            lane.tell_failed();
        });
        if self.get(part).is_some_and(Lane::is_moved) && !self.moved.contains(&part) {
            self.moved.push(part);
        }
    }

    /// Nobody has records of this lane in hand.
    pub(crate) fn release(&mut self, part: PartIdx) {
        self.change(part, |lane| lane.holder = None);
    }

    /// Opens or closes the gate at the user's wish. Buffered records stay.
    pub(crate) fn set_paused(&mut self, part: PartIdx, paused: bool, now: Instant) {
        self.fence.raise();
        self.change(part, |lane| (lane.paused, lane.since) = (paused, now));
    }

    /// Opens every gate that the user closed.
    pub(crate) fn resume_all(&mut self) {
        for part in self.filed.paused.clone() {
            self.change(part, |lane| lane.paused = false);
        }
    }

    /// Drops a lane's buffered records and ends its epoch.
    fn empty(&mut self, part: PartIdx) {
        self.drop_queue(part);
        self.fence.raise();
        self.change(part, |lane| {
            lane.epoch = LaneEpoch(lane.epoch.0.wrapping_add(1));
            lane.behind = None;
        });
    }

    fn drop_queue(&mut self, part: PartIdx) {
        if self.get(part).is_none_or(|lane| lane.queue.is_empty()) {
            return;
        }
        let dropped = self.change(part, |lane| {
            lane.queue = VecDeque::new();
            std::mem::take(&mut lane.queued_bytes)
        });
        self.wasted += dropped.unwrap_or_default() as u64;
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
        let (read, paused): (Vec<_>, Vec<_>) = self
            .paused()
            .filter(|(_, lane)| lane.queued_bytes > 0 || is_read(lane))
            .map(|(part, lane)| (part, lane.delivered.filter(|_| is_read(lane)).map(|at| lane.position(at))))
            .partition(|(_, position)| position.is_some());
        for (part, position) in &read {
            self.place(*part, FetchState::Fetching, *position, now);
            self.release(*part);
        }
        for (part, _) in paused {
            self.rewind(part);
        }
        !read.is_empty()
    }

    /// Drops a lane's buffered records, which are to be fetched again.
    pub(crate) fn rewind(&mut self, part: PartIdx) {
        let start = self.get(part).and_then(|lane| lane.queue.front()).map(|slice| slice.start);
        self.drop_queue(part);
        if let Some(start) = start {
            // The epoch stays, as a reader may be in the middle of the slice before. A fetch under way asks for
            // records behind those that are dropped, and its answer is refused for that.
            self.change(part, |lane| {
                (lane.fetch_at, lane.fetch_epoch) = (start, lane.leader_epochs.before(start));
            });
        }
    }

    /// The leader's log has nothing of what was fetched from `end` on. Buffered records are dropped. Returns whether what was
    /// handed out is cut, too, and is in nobody's hands: then the position is to be moved.
    pub(crate) fn cut(&mut self, part: PartIdx, end: i64) -> bool {
        self.rewind(part);
        // Where it ended, and when, was told of another log.
        self.change(part, |lane| (lane.log_end, lane.behind) = (None, None));
        self.get(part).is_some_and(|lane| lane.fetch_at > end && lane.is_drained())
    }

    /// Notes which topic a position is in, or is looked up in: what its name stands for now, unless that was noted before.
    pub(crate) fn learn_topic(&mut self, part: PartIdx, named: impl Fn(&str) -> TopicId) {
        let Some(lane) = self.get(part).filter(|lane| lane.topic_id.is_none_or(|id| id == TopicId::ZERO))
        else {
            return;
        };
        let id = named(&lane.at.topic);
        if id != TopicId::ZERO {
            self.change(part, |lane| lane.topic_id = Some(id));
        }
    }

    /// The lanes whose topic was made anew, where this is what the names stand for now.
    pub(crate) fn recreated(&self, named: impl Fn(&str) -> TopicId) -> Vec<(PartIdx, TopicId)> {
        let now = self.assigned().map(|(part, lane)| (part, lane, named(&lane.at.topic)));
        let anew = now.filter(|(_, lane, id)| lane.is_of_other(*id) && lane.former_id != *id);
        anew.map(|(part, _, id)| (part, id)).collect()
    }

    /// The topic is another now, of this id.
    pub(crate) fn change_topic(&mut self, part: PartIdx, topic_id: TopicId) {
        self.change(part, |lane| {
            lane.former_id = lane.topic_id.replace(topic_id).unwrap_or_default();
            (lane.validated_in, lane.committed, lane.log_end, lane.behind) = (None, None, None, None);
        });
    }

    /// Whether a reader that takes any lane would get a slice.
    pub(crate) fn has_readable(&self) -> bool {
        self.ready.iter().any(|part| self.get(*part).is_some_and(Lane::is_readable))
    }

    /// Queues a slice that a fetch brought. Returns `false` where it does not count any more.
    pub(crate) fn push(&mut self, slice: Slice<F>, now: Instant) -> bool {
        let size = slice.bytes.len();
        let part = slice.part;
        let Some(lane) = self.get(part) else { return false };
        let wants = matches!(lane.phase, LanePhase::Announcing | LanePhase::Owned);
        if lane.epoch != slice.epoch || !wants || lane.fetch_at != slice.start {
            self.wasted += size as u64;
            return false;
        }
        if lane.queue.is_empty() {
            self.ready.push_back(part);
        }
        self.change(part, |lane| {
            // Most have one at a time, and of very many partitions all may have.
            if lane.queue.is_empty() {
                lane.queue.reserve_exact(1);
            }
            (lane.fetch_at, lane.fetch_epoch) = (slice.next, slice.leader_epoch);
            lane.queued_bytes += size;
            lane.since = now;
            lane.queue.push_back(slice);
        });
        true
    }

    /// The lanes that are being revoked.
    pub(crate) fn revoking(&self) -> impl Iterator<Item = (PartIdx, &Lane<F>)> {
        self.these(&self.filed.revoking)
    }

    pub(crate) fn has_revoking(&self) -> bool {
        !self.filed.revoking.is_empty()
    }

    /// The lanes that are being revoked and that a reader holds.
    pub(crate) fn held_up(&self) -> Vec<TopicPartition> {
        self.revoking()
            .filter(|(_, lane)| lane.holder.is_some())
            .map(|(_, lane)| (*lane.at).clone())
            .collect()
    }

    /// Whether every lane that is being revoked has been let go.
    pub(crate) fn is_quiescent(&self) -> bool {
        self.revoking().all(|(_, lane)| lane.holder.is_none())
    }

    /// The listener has returned, so new partitions may be read.
    pub(crate) fn open_announced(&mut self) {
        let announced = self.assigned().filter(|(_, lane)| lane.phase == LanePhase::Announcing);
        for part in announced.map(|(part, _)| part).collect::<Vec<_>>() {
            self.change(part, |lane| lane.transition_to(LanePhase::Owned));
        }
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        self.filed.deadlines(earliest);
    }
}
