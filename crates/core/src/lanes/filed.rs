//! The lanes of which something is to be done, by what that is: so that nobody walks all lanes to find the few.
//!
//! A lane is filed anew each time that it has changed ([`Lanes::change`](super::Lanes)), and changes in no other way.

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    ops::Bound::{Excluded, Unbounded},
    time::Instant,
};

use super::{FetchState, Lane, LanePhase, Source};
use crate::{
    deadline::Earliest,
    ids::{LaneEpoch, PartIdx},
};

/// Where a lane is filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    assigned: bool,
    revoking: bool,
    paused: bool,
    placeless: bool,
    failed: bool,
    retry: Option<Instant>,
    /// Of which topic its position is has to be found out.
    unbound: bool,
    fetch: Option<Fetch>,
}

/// All of a lane that a plan of what to fetch depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fetch {
    epoch: LaneEpoch,
    offset: i64,
    source: Source,
    offset_epoch: Option<i32>,
    validated_in: Option<i32>,
    queued_bytes: usize,
    served: Option<NonZeroU64>,
    not_before: Option<Instant>,
}

/// See the module's documentation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filed {
    /// That are this consumer's.
    pub(super) assigned: BTreeSet<PartIdx>,
    /// That are being revoked.
    pub(super) revoking: BTreeSet<PartIdx>,
    /// That are assigned, and that the user paused.
    pub(super) paused: BTreeSet<PartIdx>,
    /// That are read, and whose position is not known nor being looked up.
    pub(super) placeless: BTreeSet<PartIdx>,
    /// That could be read, and are stuck.
    pub(super) failed: BTreeSet<PartIdx>,
    /// That are assigned, and are or were put off until then.
    retries: BTreeSet<(Instant, PartIdx)>,
}

impl Entry {
    pub(super) fn of<F>(lane: &Lane<F>) -> Self {
        let (assigned, readable) = (lane.phase.is_assigned(), lane.is_readable());
        let awaits = matches!(lane.state, FetchState::AwaitsCommitted | FetchState::AwaitsReset(_));
        Self {
            assigned,
            revoking: lane.phase == LanePhase::Revoking,
            paused: assigned && lane.paused,
            placeless: lane.phase == LanePhase::Owned && awaits && !lane.looking,
            failed: readable && matches!(lane.state, FetchState::Failed(_)),
            retry: lane.attempts.next().filter(|_| assigned),
            unbound: lane.is_unbound(),
            fetch: (readable && lane.state == FetchState::Fetching).then(|| Fetch {
                epoch: lane.epoch,
                offset: lane.fetch_at,
                source: lane.source,
                offset_epoch: lane.fetch_epoch,
                validated_in: lane.validated_in,
                queued_bytes: lane.queued_bytes,
                served: lane.served,
                not_before: lane.attempts.next(),
            }),
        }
    }
}

impl Filed {
    /// Files a lane that has changed. Returns whether it counts otherwise than before for what is to be fetched.
    pub(super) fn file(&mut self, part: PartIdx, old: Entry, new: Entry) -> bool {
        if old == new {
            return false;
        }
        move_in(&mut self.assigned, part, (old.assigned, new.assigned));
        move_in(&mut self.revoking, part, (old.revoking, new.revoking));
        move_in(&mut self.paused, part, (old.paused, new.paused));
        move_in(&mut self.placeless, part, (old.placeless, new.placeless));
        move_in(&mut self.failed, part, (old.failed, new.failed));
        if old.retry != new.retry {
            old.retry.map(|at| self.retries.remove(&(at, part)));
            new.retry.map(|at| self.retries.insert((at, part)));
        }
        old.fetch != new.fetch || (new.unbound && !old.unbound)
    }

    /// When the next lane that was put off is due.
    pub(super) fn deadlines(&self, earliest: &mut Earliest) {
        let passed = (earliest.tried(), PartIdx(u32::MAX));
        earliest.consider(self.retries.range((Excluded(passed), Unbounded)).next().map(|(at, _)| *at));
    }
}

fn move_in(set: &mut BTreeSet<PartIdx>, part: PartIdx, of: (bool, bool)) {
    match of {
        (false, true) => _ = set.insert(part),
        (true, false) => _ = set.remove(&part),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        backoff::Backoff,
        ids::TopicPartition,
        lanes::{LaneFailure, Lanes},
    };

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };

    #[test]
    fn a_lane_is_found_by_what_is_to_be_done_of_it_and_by_nothing_else() {
        let (mut lanes, now) = (Lanes::<()>::new(BACKOFF, 1), Instant::now());
        let at = [0, 1].map(|partition| TopicPartition::new("t", partition));
        at.iter().for_each(|at| lanes.assign(at, false, now));
        let parts = [PartIdx(0), PartIdx(1)];
        assert_eq!(lanes.placeless(), parts, "nobody has told where to begin");
        lanes.place(parts[0], FetchState::Fetching, Some(5.into()), now);
        lanes.place(parts[1], FetchState::failed(LaneFailure::NoOffset), None, now);
        assert_eq!((lanes.placeless(), &lanes.filed.failed), (vec![], &BTreeSet::from([parts[1]])));
        lanes.set_paused(parts[1], true, now);
        assert!(lanes.filed.failed.is_empty(), "nobody is told of a partition that is paused");
        assert!(lanes.paused().map(|(part, _)| part).eq([parts[1]]));
        lanes.begin_revoking(parts[0]);
        assert!(lanes.revoking().map(|(part, _)| part).eq([parts[0]]));
        assert_eq!(lanes.unassign_all(), at);
        assert_eq!((lanes.assigned().count(), lanes.paused().count(), lanes.has_revoking()), (0, 0, false));
        assert!(lanes.is_filed());
    }

    #[test]
    fn only_what_concerns_a_fetch_counts_as_a_change_of_what_is_to_be_fetched() {
        let (mut lanes, now) = (Lanes::<()>::new(BACKOFF, 1), Instant::now());
        lanes.assign(&TopicPartition::new("t", 0), false, now);
        lanes.place(PartIdx(0), FetchState::Fetching, Some(5.into()), now);
        assert_eq!(lanes.take_changed(), BTreeSet::from([PartIdx(0)]));
        let epoch = lanes.get(PartIdx(0)).map(|lane| lane.epoch).unwrap();
        lanes.report(PartIdx(0), epoch, 7, true, false);
        lanes.change(PartIdx(0), |lane| lane.committed = Some(7));
        assert_eq!(lanes.take_changed(), BTreeSet::new());
        lanes.set_paused(PartIdx(0), true, now);
        assert_eq!(lanes.take_changed(), BTreeSet::from([PartIdx(0)]));
    }
}
