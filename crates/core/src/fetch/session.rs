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

/// So many times as many partitions as the first request of all names may join by each later one. What one request and its answer
/// take is held at once, and for ten thousand that is half as much again as is kept of them for good; but of all that it
/// knows a broker looks for records with each.
const JOINING: usize = 4;

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
    /// The first request of all names no more than `at_first`, and leaves the rest in `changed`. So does one in an open session where very
    /// many join it. No later full one does: a broker that opens no session, or loses it each time, would be asked for some of
    /// them only.
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
            *changed = self.too_many(wanted, &has_changed, at_first);
            for part in has_changed.difference(changed).copied() {
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

    /// Those of what has changed that may not join yet. What was served last joins last; otherwise those that leave and come back with
    /// each request would keep others out.
    fn too_many(
        &self,
        wanted: &BTreeMap<PartIdx, Arc<Asked>>,
        has_changed: &BTreeSet<PartIdx>,
        at_first: usize,
    ) -> BTreeSet<PartIdx> {
        let room = at_first.saturating_mul(JOINING).max(1);
        if has_changed.len() <= room {
            return BTreeSet::new();
        }
        let joins = |part: &PartIdx| wanted.get(part).filter(|_| !self.known.contains_key(part));
        let mut joining: Vec<_> =
            has_changed.iter().filter_map(|part| Some((joins(part)?.served, *part))).collect();
        joining.sort_unstable();
        joining.into_iter().skip(room).map(|(_, part)| part).collect()
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
mod tests;
