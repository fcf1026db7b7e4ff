//! One broker's fetch session (KIP-227): the broker remembers which partitions were asked for, so that a request
//! names only those that have changed.
//!
//! ```text
//!            full request                 answered with an id
//! None ────────────────────> (0, epoch 0) ─────────────────> Open(id, 1), (id, 2), ...
//!   ^                                                          │
//!   │  FETCH_SESSION_ID_NOT_FOUND, or id 0 in the answer       │ another session error, or no answer:
//!   └──────────────────────────────────────────────────────────┤ (old id, epoch 0) closes it and opens the next
//! ```

use std::collections::BTreeMap;

use ottla_protocol::{ErrorCode, TopicId};

use crate::{
    ids::{LaneEpoch, PartIdx, TopicPartition},
    planted::{Planted, Plot},
};

/// A partition as a fetch asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) at: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) epoch: LaneEpoch,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    /// The number of the response that brought it records last.
    pub(super) served: Option<u64>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    /// The epoch of the next request; 0 makes that a full one.
    epoch: i32,
    by_id: bool,
    known: BTreeMap<PartIdx, Asked>,
    pub(super) plot: Plot,
}

impl Session {
    pub(super) fn id(&self) -> i32 {
        self.id
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Returns the partitions that the next request has to name, and those that the broker is to forget. Partitions that
    /// were served last are named last; otherwise some would starve. The broker brings a batch that does not fit only
    /// for the first partition that has any, and without a session it begins with the first that is named, each time.
    pub(super) fn next(&mut self, wanted: BTreeMap<PartIdx, Asked>, by_id: bool) -> (Vec<Asked>, Vec<Asked>) {
        if by_id != self.by_id {
            // A session holds either names or ids, so the other kind needs a new session.
            self.disconnected();
            self.by_id = by_id;
        }
        if self.epoch == 0 {
            self.known.clear();
        }
        let same = |part: &PartIdx, asked: &Asked| {
            self.known.get(part).is_some_and(|known| known.same_request(asked))
        };
        let mut named: Vec<Asked> = wanted
            .iter()
            .filter(|(part, asked)| !same(part, asked))
            .map(|(_, asked)| asked.clone())
            .collect();
        // A topic that was made anew under the old name has another id. The old topic must be forgotten by its own id.
        let stays =
            |part: &PartIdx, known: &Asked| wanted.get(part).is_some_and(|w| w.topic_id == known.topic_id);
        let mut forgotten: Vec<Asked> = self
            .known
            .iter()
            .filter(|(part, known)| !stays(part, known))
            .map(|(_, known)| known.clone())
            .collect();
        if self.plot.has(Planted::NothingIsForgotten) {
            forgotten.clear();
        }
        named.sort_by(|a, b| a.served.cmp(&b.served).then_with(|| a.at.cmp(&b.at)));
        if self.plot.has(Planted::FirstIsServedFirst) {
            named.sort_by(|a, b| a.at.cmp(&b.at));
        }
        forgotten.sort_by(|a, b| a.at.cmp(&b.at));
        self.known = wanted;
        (named, forgotten)
    }

    /// The broker answered.
    pub(super) fn answered(&mut self, error: ErrorCode, id: i32) {
        match error {
            ErrorCode::None if id == 0 => (self.id, self.epoch) = (0, 0),
            ErrorCode::None => {
                self.id = id;
                // After the largest epoch comes 1 again, as 0 would make a full request.
                self.epoch = self.epoch.checked_add(1).unwrap_or(1);
            }
            ErrorCode::FetchSessionIdNotFound => (self.id, self.epoch) = (0, 0),
            _ => self.disconnected(),
        }
    }

    /// The broker may or may not have seen the last request, so the next one is full and opens a new session.
    pub(super) fn disconnected(&mut self) {
        if self.plot.has(Planted::SessionSurvivesDisconnect) {
            return;
        }
        self.epoch = 0;
    }
}

impl Asked {
    fn same_request(&self, other: &Self) -> bool {
        (self.offset, self.leader_epoch, self.topic_id) == (other.offset, other.leader_epoch, other.topic_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(partition: i32, offset: i64) -> Asked {
        let at = TopicPartition::new("t", partition);
        Asked { at, topic_id: TopicId([1; 16]), epoch: LaneEpoch(0), offset, leader_epoch: 0, served: None }
    }

    fn wanted(list: &[(i32, i64)]) -> BTreeMap<PartIdx, Asked> {
        list.iter()
            .map(|(partition, offset)| (PartIdx(*partition as u32), asked(*partition, *offset)))
            .collect()
    }

    fn opened() -> Session {
        let mut session = Session::default();
        session.next(wanted(&[(0, 0), (1, 0)]), true);
        session.answered(ErrorCode::None, 7);
        session
    }

    #[test]
    fn the_first_request_is_full_and_the_next_names_what_moved() {
        let mut session = opened();
        assert_eq!((session.id(), session.epoch()), (7, 1));
        let (named, forgotten) = session.next(wanted(&[(0, 10), (1, 0)]), true);
        assert_eq!((named, forgotten), (vec![asked(0, 10)], vec![]));
    }

    #[test]
    fn what_is_no_longer_wanted_is_forgotten() {
        let (named, forgotten) = opened().next(wanted(&[(1, 0)]), true);
        assert_eq!((named, forgotten), (vec![], vec![asked(0, 0)]));
    }

    #[test]
    fn an_unknown_session_starts_afresh() {
        let mut session = opened();
        session.next(wanted(&[(0, 0)]), true);
        session.answered(ErrorCode::FetchSessionIdNotFound, 0);
        assert_eq!((session.id(), session.epoch()), (0, 0));
        assert_eq!(session.next(wanted(&[(0, 0)]), true).0.len(), 1);
    }

    #[test]
    fn after_any_other_session_error_the_old_id_is_closed_by_a_full_request() {
        for error in [ErrorCode::InvalidFetchSessionEpoch, ErrorCode::FetchSessionTopicIdError] {
            let mut session = opened();
            session.answered(error, 0);
            assert_eq!((session.id(), session.epoch()), (7, 0));
        }
    }

    #[test]
    fn after_a_disconnect_every_partition_is_named_again() {
        let mut session = opened();
        session.disconnected();
        assert_eq!((session.id(), session.epoch()), (7, 0));
        assert_eq!(session.next(wanted(&[(0, 0), (1, 0)]), true).0.len(), 2);
    }

    #[test]
    fn a_topic_made_anew_is_forgotten_by_its_old_id() {
        let mut session = opened();
        let mut anew = wanted(&[(0, 0), (1, 0)]);
        for asked in anew.values_mut() {
            asked.topic_id = TopicId([2; 16]);
        }
        let (named, forgotten) = session.next(anew, true);
        assert_eq!((named.len(), forgotten.len()), (2, 2));
        assert!(forgotten.iter().all(|asked| asked.topic_id == TopicId([1; 16])));
    }
}
