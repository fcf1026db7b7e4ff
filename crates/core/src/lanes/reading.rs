//! What readers do with lanes: they take slices, tell how far their users have come, and find damage.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use ottla_protocol::DecodeError;

use super::{FetchState, Filter, Holder, Lane, LaneFailure, LanePhase, Lanes, Slice};
use crate::{
    ids::{LaneEpoch, PartIdx, ReaderId, TopicPartition},
    log,
    planted::Planted,
    reader::Slot,
};

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

impl<F> Lanes<F> {
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
        let (slice, slot, more) = self.change(part, |lane| {
            let mut slice = lane.queue.pop_front()?;
            lane.queued_bytes -= slice.bytes.len();
            lane.leader_epochs.enter(slice.start, slice.leader_epoch);
            if let Some(behind) = &mut lane.behind {
                behind.take(&mut slice.stamps);
            }
            // The user may still have the slice before in hand. To take the next one acknowledges nothing, so the
            // slot stays.
            let holder = lane.holder.get_or_insert(Holder { reader, slot: None });
            let slot = holder.slot.get_or_insert_with(|| Slot::new(slice.start)).clone();
            let more = !lane.queue.is_empty();
            if !more {
                // Its room would stay with each of very many partitions.
                lane.queue = VecDeque::new();
            }
            Some((slice, slot, more))
        })??;
        if more {
            self.ready.push_back(part);
        }
        self.taken.insert(part);
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
            let Some(slot) = slot else { return true };
            let (reader, position, epoch) = (*reader, slot.load(), lane.epoch);
            if lane.acked.is_none_or(|acked| position > acked) {
                self.report(*part, epoch, position, true, true);
                has_come(reader);
            }
            true
        });
        self.taken = taken;
    }

    /// Whether the user of this reader has come on since the slots were read.
    pub(crate) fn has_moved_on(&self, reader: ReaderId) -> bool {
        let moved = |part: &PartIdx| {
            let lane = self.get(*part)?;
            let holder = lane.holder.as_ref().filter(|holder| holder.reader == reader)?;
            Some(lane.acked.is_none_or(|acked| holder.slot.as_ref().is_some_and(|slot| slot.load() > acked)))
        };
        self.taken.iter().any(|part| moved(part).unwrap_or_default())
    }

    /// The user of this reader is back from what it had in hand when positions were moved.
    pub(crate) fn let_go_of_moved(&mut self, reader: ReaderId) {
        for part in std::mem::take(&mut self.moved) {
            let Some(lane) = self.get(part).filter(|lane| lane.is_moved()) else { continue };
            match lane.holder.as_ref().is_some_and(|holder| holder.reader == reader) {
                true => self.release(part),
                false => self.moved.push(part),
            }
        }
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
        gap: Duration,
        now: Instant,
    ) -> Option<(TopicPartition, LaneFailure)> {
        let due = |(_, lane): &(PartIdx, &Lane<F>)| {
            lane.failure_due.is_none_or(|due| due <= now) && filter.admits(&lane.at)
        };
        let (part, _) = self.these(&self.filed.failed).find(due)?;
        let gap = if self.plot.has(Planted::NoOffsetIsToldOnce) { gap * 100_000 } else { gap };
        self.change(part, |lane| {
            lane.failure_due = Some(now + gap);
            let FetchState::Failed(failure) = lane.state.clone() else { return None };
            if let LaneFailure::NotAuthorized(_) = *failure {
                // Permissions are granted without a client's doing anything. It asks again after a pause.
                lane.state = FetchState::Fetching;
            }
            Some(((*lane.at).clone(), *failure))
        })?
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
        let returned = self.change(part, |lane| {
            if lane.epoch != epoch || !lane.phase.is_assigned() {
                return 0;
            }
            lane.delivered = Some(position);
            let before = lane.acked.unwrap_or(position);
            if acked {
                lane.acked = Some(position);
                lane.leader_epochs.forget_before(position);
                lane.forget_read();
            }
            if !held {
                lane.holder = None;
            }
            if lane.suspect.is_some_and(|suspect| position > suspect) {
                lane.suspect = None;
            }
            lane.acked.map_or(0, |acked| acked.saturating_sub(before).max(0)).unsigned_abs()
        });
        self.returned = self.returned.saturating_add(returned.unwrap_or_default());
    }

    /// The user commits `position`, and so is done with all records before it. Otherwise auto commit would go back
    /// behind it.
    pub(crate) fn acknowledge(&mut self, at: &TopicPartition, position: i64) {
        let Some(part) = self.find(at) else { return };
        self.change(part, |lane| match (lane.acked, lane.delivered) {
            (Some(acked), Some(delivered)) if (acked..=delivered).contains(&position) => {
                lane.acked = Some(position);
                lane.forget_read();
            }
            _ => {}
        });
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
        let Some(lane) = self.get(part).filter(|lane| lane.epoch == epoch) else { return };
        let again = lane.suspect == Some(at);
        if !again {
            tracing::warn!(target: log::FETCH, partition = %lane.at, offset = at, %error, "damaged batch");
        }
        let state = match again {
            true => FetchState::failed(LaneFailure::Corrupt { offset: at, error }),
            false => FetchState::Fetching,
        };
        let kept = self.change(part, |lane| (lane.acked, std::mem::take(&mut lane.leader_epochs)));
        self.place(part, state, Some(at.into()), now);
        self.change(part, |lane| {
            (lane.acked, lane.leader_epochs) = kept.unwrap_or_default();
            lane.fetch_epoch = lane.leader_epochs.before(at);
            lane.suspect = Some(at);
            // Damage is told by a reader whose user is back.
            lane.holder = None;
        });
    }
}
