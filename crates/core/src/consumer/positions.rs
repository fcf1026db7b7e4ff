//! Positions that do not hold any more: the log was cut below them, has lost its beginning up to them, or is another topic's by
//! now. Each is moved as the reset policy says, or told where there is none, and reported in either case.

use ottla_protocol::{ErrorCode, Now, TopicId};

use super::Consumer;
use crate::{
    event::{DeletedUnread, Event, Recreated, Truncated},
    fetch::Cut,
    ids::PartIdx,
    lanes::{FetchState, LaneFailure, Search},
    log,
    offsets::ResetTo,
    planted::Planted,
};

impl<F: Clone> Consumer<F> {
    /// The leader's log does not have what was read before the position: it goes on where the log parts from it, as Java's does.
    /// Where the leader cannot tell, the policy decides.
    pub(super) fn truncated(&mut self, Cut { part, diverged_at }: Cut, now: Now) {
        let Some(lane) = self.lanes.get(part) else { return };
        let (at, position) = ((*lane.at).clone(), lane.fetch_position());
        let (state, to) = match (self.reset.at(self.lanes.plot, now), diverged_at) {
            (None, _) => {
                let why = LaneFailure::Truncated { position, diverged_at };
                (FetchState::failed(why), Some(position))
            }
            (Some(_), Some(end)) => (FetchState::Fetching, Some(end)),
            (Some(to), None) => (FetchState::AwaitsReset(Search::For(to)), Some(position)),
        };
        let truncated = Truncated::new(at, position, diverged_at);
        tracing::warn!(target: log::OFFSETS, partition = %truncated.at, from = position.offset,
            diverged_at = diverged_at.map(|end| end.offset), "log truncated");
        self.lanes.place(part, state, to, now.mono);
        self.events.push(Event::Truncated(truncated), now);
        self.hub.wake = true;
    }

    /// The log begins here, and does not have the position `from`. Tells what was deleted before it was read, and where to go on;
    /// `None` where the user is to say so.
    pub(super) fn told_start(
        &mut self,
        part: PartIdx,
        from: i64,
        log_start: i64,
        now: Now,
    ) -> Option<ResetTo> {
        let plot = self.lanes.plot;
        let to = match self.reset.at(plot, now) {
            Some(ResetTo::Earliest) if plot.has(Planted::TrimmedPartitionSkipsToEnd) => Some(ResetTo::Latest),
            to => to,
        };
        let lane = self.lanes.get(part)?;
        let (at, position) = ((*lane.at).clone(), lane.fetch_position());
        let why = ErrorCode::OffsetOutOfRange;
        match to {
            Some(to) => {
                tracing::warn!(target: log::OFFSETS, partition = %at, from, log_start, ?to, %why, "reset");
            }
            None => {
                let state = FetchState::failed(LaneFailure::OutOfRange { offset: from, log_start });
                self.lanes.place(part, state, Some(position), now.mono);
            }
        }
        if let Some(deleted) = DeletedUnread::new(at, from, log_start) {
            self.lanes.deleted_unread = self.lanes.deleted_unread.saturating_add(deleted.offsets);
            self.events.push(Event::DeletedUnread(deleted), now);
        }
        to
    }

    /// Whether partitions may be others' by now. A position that a log has lost is not moved before that is known: others may have
    /// read what was deleted.
    pub(super) fn is_in_doubt(&self, now: Now) -> bool {
        self.group.as_ref().is_some_and(|group| group.membership.is_in_doubt(now.mono))
    }

    /// Compares the topics' ids with those that the positions are in, where metadata is news: what was read in a topic that is gone
    /// says nothing about the one that was made anew under its name.
    pub(super) fn notice_recreated(&mut self, now: Now) {
        let revision = Some(self.hub.metadata.revision());
        if std::mem::replace(&mut self.topics_seen, revision) == revision {
            return;
        }
        for part in self.lanes.assigned().map(|(part, _)| part).collect::<Vec<_>>() {
            self.learn_topic(part);
        }
        for (part, topic_id) in self.lanes.recreated(|name| self.hub.metadata.id_of(name).unwrap_or_default())
        {
            match self.lanes.get(part) {
                // What its user has in hand is of the topic that is gone, and comes first.
                Some(lane) if lane.holder.is_some() => {
                    self.lanes.rewind(part);
                    self.topics_seen = None;
                }
                _ => self.recreated(part, topic_id, now),
            }
        }
    }

    /// A position is looked up, or set, in the topic that its name stands for now.
    pub(super) fn learn_topic(&mut self, part: PartIdx) {
        self.lanes.learn_topic(part, |name| self.hub.metadata.id_of(name).unwrap_or_default());
    }

    fn recreated(&mut self, part: PartIdx, topic_id: TopicId, now: Now) {
        self.lanes.change_topic(part, topic_id);
        let Some(lane) = self.lanes.get(part) else { return };
        let at = (*lane.at).clone();
        let position = lane.delivered;
        let state = match (&lane.state, self.reset.at(self.lanes.plot, now)) {
            // It has no position yet. What is asked for it may be answered for the topic that is gone.
            (FetchState::AwaitsCommitted, _) => FetchState::AwaitsCommitted,
            (_, Some(to)) => FetchState::AwaitsReset(Search::For(to)),
            (_, None) => FetchState::failed(LaneFailure::Recreated { offset: lane.fetch_at }),
        };
        let to = self.reset;
        tracing::warn!(target: log::OFFSETS, partition = %at, from = position, ?to, "topic made anew");
        self.lanes.place(part, state, None, now.mono);
        self.events.push(Event::Recreated(Recreated { at, position }), now);
        self.hub.wake = true;
    }
}
