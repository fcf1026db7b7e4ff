//! The offsets that may be committed, as far as users have come.

use std::collections::BTreeMap;

use super::{FetchState, Lane, LaneFailure, LanePhase, Lanes};
use crate::{
    ids::TopicPartition,
    offsets::{CommittedOffset, Position},
    planted::Planted,
};

impl<F> Lanes<F> {
    /// The offsets behind all that was handed out and is in nobody's hands.
    pub(crate) fn done(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.positions(Lane::done, |_| true)
    }

    /// The offsets to commit without a call of the user's: `upto` of each lane, unless that is committed already.
    pub(crate) fn uncommitted(
        &self,
        upto: impl Fn(&Lane<F>) -> Option<i64>,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let back = self.plot.has(Planted::SeekBackIsNotCommitted);
        self.positions(&upto, |lane| match back {
            true => lane.committed < upto(lane),
            false => lane.committed != upto(lane),
        })
    }

    /// The offsets behind all that was delivered of lanes that are being revoked, unless they are committed already.
    pub(crate) fn uncommitted_revoking(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        let goes = |lane: &Lane<F>| lane.phase() == LanePhase::Revoking;
        self.positions(|lane| lane.delivered, |lane| goes(lane) && lane.committed != lane.delivered)
    }

    fn positions(
        &self,
        upto: impl Fn(&Lane<F>) -> Option<i64>,
        wanted: impl Fn(&Lane<F>) -> bool,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let known = self.assigned().map(|(_, lane)| lane);
        // Records that were read before a damaged batch, or before their offsets fell out of the log, have been
        // read all the same.
        let is_known = |state: &FetchState| match state {
            FetchState::Fetching => true,
            FetchState::Failed(why) => {
                use LaneFailure::{Corrupt, NotAuthorized, OutOfRange, Truncated};
                matches!(**why, Corrupt { .. } | OutOfRange { .. } | Truncated { .. } | NotAuthorized(_))
            }
            FetchState::AwaitsCommitted | FetchState::AwaitsReset(_) => false,
        };
        let newest = self.plot.has(Planted::NewestLeaderEpochIsCommitted);
        let position = |lane: &Lane<F>, offset| match newest {
            true => Position { offset, ..lane.position(i64::MAX) },
            false => lane.position(offset),
        };
        let known = known.filter(|lane| is_known(&lane.state) && wanted(lane));
        known.filter_map(|lane| Some(((*lane.at).clone(), position(lane, upto(lane)?).into()))).collect()
    }
}
