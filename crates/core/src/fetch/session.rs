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

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    sync::Arc,
};

use ottla_protocol::{ErrorCode, TopicId};

use crate::{
    ids::{LaneEpoch, PartIdx, TopicPartition},
    planted::{Planted, Plot},
};

/// A partition as a fetch asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) at: Arc<TopicPartition>,
    pub(super) topic_id: TopicId,
    pub(super) epoch: LaneEpoch,
    pub(super) offset: i64,
    /// The leader epoch of the record before, where it is known.
    pub(super) offset_epoch: Option<i32>,
    pub(super) leader_epoch: i32,
    /// The number of the response that brought it records last.
    pub(super) served: Option<NonZeroU64>,
}

/// What a topic is called in a request and in the answer to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum TopicKey {
    Id(TopicId),
    Name(String),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    /// The epoch of the next request; 0 makes that a full one.
    epoch: i32,
    by_id: bool,
    /// What the last request asked for: what it named, and what the broker remembered.
    known: BTreeMap<PartIdx, Arc<Asked>>,
    /// The same by the topics' names or ids as the requests had them: metadata may have others when an answer comes.
    named: BTreeMap<TopicKey, BTreeMap<i32, PartIdx>>,
    /// The partitions that the last request named in an open session.
    has_named: BTreeSet<PartIdx>,
    /// Whether anything was asked of this broker.
    has_begun: bool,
    pub(super) plot: Plot,
}

impl Session {
    pub(super) fn id(&self) -> i32 {
        self.id
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// What the last request asked for.
    pub(super) fn known(&self) -> &BTreeMap<PartIdx, Arc<Asked>> {
        &self.known
    }

    /// Whether the last request asked otherwise for a partition than the one before, in the same session.
    pub(super) fn has_named(&self, part: PartIdx) -> bool {
        self.has_named.contains(&part)
    }

    /// The partition that an answer to the last request names. One of the id and the name is empty: which, the version
    /// decides.
    pub(super) fn find(
        &self,
        topic_id: TopicId,
        topic: &str,
        partition: i32,
    ) -> Option<(PartIdx, &Arc<Asked>)> {
        let named = self.named.get(&TopicKey::Id(topic_id));
        let named = named.or_else(|| self.named.get(&TopicKey::Name(topic.to_owned())))?;
        let part = *named.get(&partition)?;
        Some((part, self.known.get(&part)?))
    }

    /// Returns the partitions that the next request has to name, and those that the broker is to forget, where these are
    /// `wanted` and differ from what was wanted the last time in the partitions `changed` alone. Partitions that
    /// were served last are named last; otherwise some would starve. The broker brings a batch that does not fit only
    /// for the first partition that has any, and without a session it begins with the first that is named, each time.
    ///
    /// The first request of all names no more than `at_first`, and leaves the rest in `changed`. No later one does: a broker that
    /// opens no session, or loses it each time, would be asked for some of them only.
    pub(super) fn next(
        &mut self,
        wanted: &BTreeMap<PartIdx, Arc<Asked>>,
        changed: &mut BTreeSet<PartIdx>,
        at_first: usize,
        by_id: bool,
    ) -> (Vec<Arc<Asked>>, Vec<Arc<Asked>>) {
        if by_id != self.by_id {
            // A session holds either names or ids, so the other kind needs a new session.
            self.disconnected();
            self.by_id = by_id;
            self.named.clear();
            std::mem::take(&mut self.known).into_iter().for_each(|(part, asked)| self.learn(part, asked));
        }
        let (mut named, mut forgotten) = (Vec::new(), Vec::new());
        self.has_named.clear();
        let has_changed = std::mem::take(changed);
        if self.epoch == 0 {
            self.known.clear();
            self.named.clear();
            let count = if self.has_begun { wanted.len() } else { at_first };
            wanted.iter().take(count).for_each(|(part, asked)| self.learn(*part, Arc::clone(asked)));
            named.extend(wanted.values().take(count).cloned());
            changed.extend(wanted.keys().skip(count));
            self.has_begun = true;
        } else {
            for part in has_changed {
                let (old, new) = (self.unlearn(part), wanted.get(&part));
                if let Some(new) = new {
                    self.learn(part, Arc::clone(new));
                    if !old.as_ref().is_some_and(|old| old.same_request(new)) {
                        self.has_named.insert(part);
                        named.push(Arc::clone(new));
                    }
                }
                // A topic that was made anew under the old name has another id. The old topic must be forgotten by
                // its own id.
                let stays = |old: &Arc<Asked>| new.is_some_and(|new| new.topic_id == old.topic_id);
                forgotten.extend(old.filter(|old| !stays(old)));
            }
        }
        if self.plot.has(Planted::NothingIsForgotten) {
            forgotten.clear();
        }
        self.sort_by_turn(&mut named);
        forgotten.sort_by(|a, b| a.at.cmp(&b.at));
        let asked = wanted.iter().filter(|(part, _)| !changed.contains(part));
        debug_assert!(self.known.iter().eq(asked), "what is wanted has changed unseen");
        (named, forgotten)
    }

    /// What was served last comes last.
    fn sort_by_turn(&self, named: &mut [Arc<Asked>]) {
        let first_first = self.plot.has(Planted::FirstIsServedFirst);
        let turn = |asked: &Asked| if first_first { None } else { Some(asked.served) };
        named.sort_by(|a, b| turn(a).cmp(&turn(b)).then_with(|| a.at.cmp(&b.at)));
    }

    fn learn(&mut self, part: PartIdx, asked: Arc<Asked>) {
        let key = self.key(&asked);
        self.named.entry(key).or_default().insert(asked.at.partition, part);
        self.known.insert(part, asked);
    }

    fn unlearn(&mut self, part: PartIdx) -> Option<Arc<Asked>> {
        let asked = self.known.remove(&part)?;
        let key = self.key(&asked);
        if let Some(partitions) = self.named.get_mut(&key) {
            partitions.remove(&asked.at.partition);
            if partitions.is_empty() {
                self.named.remove(&key);
            }
        }
        Some(asked)
    }

    fn key(&self, asked: &Asked) -> TopicKey {
        match self.by_id {
            true => TopicKey::Id(asked.topic_id),
            false => TopicKey::Name(asked.at.topic.clone()),
        }
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
        let asks = |asked: &Self| (asked.offset, asked.offset_epoch, asked.leader_epoch, asked.topic_id);
        asks(self) == asks(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(partition: i32, offset: i64) -> Arc<Asked> {
        let at = Arc::new(TopicPartition::new("t", partition));
        let (topic_id, epoch) = (TopicId([1; 16]), LaneEpoch(0));
        Arc::new(Asked { at, topic_id, epoch, offset, offset_epoch: None, leader_epoch: 0, served: None })
    }

    fn wanted(list: &[(i32, i64)]) -> BTreeMap<PartIdx, Arc<Asked>> {
        list.iter()
            .map(|(partition, offset)| (PartIdx(*partition as u32), asked(*partition, *offset)))
            .collect()
    }

    /// The next request of a session whose partitions may all have changed.
    fn next(
        session: &mut Session,
        wanted: BTreeMap<PartIdx, Arc<Asked>>,
    ) -> (Vec<Arc<Asked>>, Vec<Arc<Asked>>) {
        session.next(&wanted, &mut (0..2).map(PartIdx).collect(), usize::MAX, true)
    }

    fn opened() -> Session {
        let mut session = Session::default();
        next(&mut session, wanted(&[(0, 0), (1, 0)]));
        session.answered(ErrorCode::None, 7);
        session
    }

    #[test]
    fn the_first_request_is_full_and_the_next_names_what_moved() {
        let mut session = opened();
        assert_eq!((session.id(), session.epoch()), (7, 1));
        let (named, forgotten) = next(&mut session, wanted(&[(0, 10), (1, 0)]));
        assert_eq!((named, forgotten), (vec![asked(0, 10)], vec![]));
    }

    #[test]
    fn what_is_no_longer_wanted_is_forgotten() {
        let (named, forgotten) = next(&mut opened(), wanted(&[(1, 0)]));
        assert_eq!((named, forgotten), (vec![], vec![asked(0, 0)]));
    }

    #[test]
    fn an_unknown_session_starts_afresh() {
        let mut session = opened();
        next(&mut session, wanted(&[(0, 0)]));
        session.answered(ErrorCode::FetchSessionIdNotFound, 0);
        assert_eq!((session.id(), session.epoch()), (0, 0));
        assert_eq!(next(&mut session, wanted(&[(0, 0)])).0.len(), 1);
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
        assert_eq!(next(&mut session, wanted(&[(0, 0), (1, 0)])).0.len(), 2);
    }

    #[test]
    fn a_topic_made_anew_is_forgotten_by_its_old_id() {
        let mut session = opened();
        let mut anew = wanted(&[(0, 0), (1, 0)]);
        for asked in anew.values_mut() {
            Arc::make_mut(asked).topic_id = TopicId([2; 16]);
        }
        let (named, forgotten) = next(&mut session, anew);
        assert_eq!((named.len(), forgotten.len()), (2, 2));
        assert!(forgotten.iter().all(|asked| asked.topic_id == TopicId([1; 16])));
    }

    #[test]
    fn an_answer_is_found_by_the_name_or_id_that_was_asked_by_last() {
        let mut session = opened();
        let mut anew = wanted(&[(0, 0), (1, 0)]);
        anew.values_mut().for_each(|asked| Arc::make_mut(asked).topic_id = TopicId([2; 16]));
        next(&mut session, anew);
        assert_eq!(session.find(TopicId([1; 16]), "t", 0), None);
        assert_eq!(session.find(TopicId([2; 16]), "", 1).map(|(part, _)| part), Some(PartIdx(1)));
        let wanted = wanted(&[(1, 0)]);
        session.next(&wanted, &mut BTreeSet::from([PartIdx(0)]), usize::MAX, false);
        let found = [0, 1].map(|partition| session.find(TopicId::ZERO, "t", partition).map(|(part, _)| part));
        assert_eq!(found, [None, Some(PartIdx(1))]);
    }

    #[test]
    fn a_broker_that_opens_no_session_is_asked_for_some_once_and_then_for_all() {
        let (mut session, wanted) = (Session::default(), wanted(&[(0, 0), (1, 0)]));
        for (count, left) in [(1, vec![PartIdx(1)]), (2, vec![]), (2, vec![])] {
            let mut changed = wanted.keys().copied().collect();
            assert_eq!(session.next(&wanted, &mut changed, 1, true).0.len(), count);
            assert_eq!(changed.into_iter().collect::<Vec<_>>(), left);
            session.answered(ErrorCode::None, 0);
        }
    }
}
