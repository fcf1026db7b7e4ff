//! The calls of users, but for those that hand out records: those are in `reading.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_protocol::{ErrorCode, Now};

use super::{
    Callback, CloseKind, Consumer, Farewell, SeekTo, Subscription, SubscriptionError, add_offset,
    closing::Closing,
    commits, handover,
    ops::{OpFailure, Outcome},
    readers::OWN,
};
use crate::{
    event::{Event, Happened},
    group::{GroupMetadata, GroupNews, LeaveGroup, Pattern, Standing},
    ids::{OpId, TopicPartition, is_topic_name},
    lanes::{FetchState, LanePhase, Lanes, LogEnd, Search},
    metadata::Metadata,
    offsets::{CommittedOffset, OffsetAndTimestamp, Purpose},
    planted::Planted,
};

fn check_names<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<(), OpFailure> {
    let wrong = partitions.into_iter().find(|at| !is_topic_name(&at.topic));
    wrong.map_or(Ok(()), |at| Err(OpFailure::InvalidTopic(at.clone())))
}

impl<F: Clone> Consumer<F> {
    /// Reads the partitions of these topics that the group assigns to it. Replaces an earlier subscription.
    pub fn subscribe(
        &mut self,
        topics: impl IntoIterator<Item = String>,
        now: Now,
    ) -> Result<(), SubscriptionError> {
        self.subscribe_to(Subscription::Topics(topics.into_iter().collect()), now)
    }

    /// Reads the partitions that the group assigns to it, of the topics whose whole names match. Replaces an
    /// earlier subscription.
    pub fn subscribe_pattern(&mut self, pattern: &str, now: Now) -> Result<(), SubscriptionError> {
        let pattern = Pattern::new(pattern).map_err(SubscriptionError::InvalidPattern)?;
        self.subscribe_to(Subscription::Pattern(pattern), now)
    }

    fn subscribe_to(&mut self, subscription: Subscription, now: Now) -> Result<(), SubscriptionError> {
        self.check_open()?;
        subscription.check_names()?;
        if let Subscription::Manual(_) = self.subscription {
            return Err(SubscriptionError::Assigned);
        }
        let Some(group) = &mut self.group else { return Err(SubscriptionError::NoGroup) };
        self.hub.stir = true;
        self.wanted.forget();
        self.readers.touch_own(now);
        // The same subscription again changes nothing: the topics that are known to match a pattern stay.
        let news = match subscription.interest().filter(|_| subscription != self.subscription) {
            Some(interest) => group.membership.subscribe(interest, now),
            None => GroupNews::None,
        };
        self.subscription = subscription;
        self.handle_group_news(news, now);
        Ok(())
    }

    /// Makes the group rebalance although nothing has changed.
    pub fn enforce_rebalance(&mut self, reason: &str, now: Now) -> Result<(), SubscriptionError> {
        self.check_open()?;
        let Some(group) = &mut self.group else { return Err(SubscriptionError::NoGroup) };
        if !group.membership.is_in() {
            return Err(SubscriptionError::NotMember);
        }
        let news = group.membership.enforce_rebalance(reason, now).ok_or(SubscriptionError::ServerSide)?;
        self.hub.stir = true;
        self.wanted.forget();
        self.handle_group_news(news, now);
        Ok(())
    }

    /// The member's place in its group; `None` for a consumer without a group.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        Some(self.group.as_ref()?.membership.metadata())
    }

    /// The member's place in its group, in whose name offsets of these partitions may be committed: they are its own, and a listener has
    /// been told of them. `None` where one is not, or whether it is in the next generation is not known yet. Whoever has been in another
    /// generation since a record was handed out may have lost it; with a listener that is told before the partition is its own again.
    pub fn member_for<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Option<GroupMetadata> {
        let membership = &self.group.as_ref()?.membership;
        let committer = membership.committer().filter(|committer| committer.generation_id > 0)?;
        let is_owned = |at: &TopicPartition| {
            let lane = self.lanes.assigned_at(at);
            lane.is_some_and(|(_, lane)| matches!(lane.phase(), LanePhase::Owned | LanePhase::Revoking))
        };
        partitions.into_iter().all(is_owned).then(|| GroupMetadata {
            group_id: membership.metadata().group_id,
            generation_id: committer.generation_id,
            member_id: committer.member_id,
            group_instance_id: committer.instance_id,
        })
    }

    /// Reads these partitions, which no group assigns. Partitions that it has read until now keep their positions.
    pub fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        now: Now,
    ) -> Result<(), SubscriptionError> {
        self.check_open()?;
        if self.subscription.is_by_group() {
            return Err(SubscriptionError::Subscribed);
        }
        let wanted: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        if let Some(at) = wanted.iter().find(|at| !is_topic_name(&at.topic)) {
            return Err(SubscriptionError::InvalidTopic(at.topic.clone()));
        }
        let gone = self.lanes.assigned().filter(|(_, lane)| !wanted.contains(&lane.at));
        for part in gone.map(|(part, _)| part).collect::<Vec<_>>() {
            self.lanes.unassign(part);
        }
        for at in &wanted {
            if self.lanes.assigned_at(at).is_none()
                || self.lanes.plot.has(Planted::SecondAssignForgetsPositions)
            {
                self.lanes.assign(at, false, now.mono);
            }
        }
        self.manual_topics = wanted.iter().map(|at| at.topic.clone()).collect();
        self.subscription = Subscription::Manual(BTreeSet::new());
        self.changed();
        Ok(())
    }

    /// Reads nothing any more, and leaves the group. Nothing is committed. The listener is told of the partitions
    /// when they are gone.
    pub fn unsubscribe(&mut self, now: Now) {
        let in_group = self.group.as_ref().is_some_and(|group| group.membership.standing() != Standing::Out);
        if let Some(group) = self.group.as_mut().filter(|_| in_group) {
            commits::abandon(&mut group.commits, &mut self.ops, ErrorCode::UnknownMemberId);
        }
        let gone = self.lanes.unassign_all();
        if let Some(group) = &mut self.group {
            group.membership.unsubscribe(now);
            group.callbacks.take_back_assigned();
            group.handover.end();
            group.arrival.forget();
            if in_group && !gone.is_empty() {
                group.callbacks.tell(Callback::Revoked(gone.clone()), self.lanes.fence());
                handover::tell_revoked(&gone, "unsubscribe");
                self.events.push(Event::Revoked(gone), now);
            }
        }
        self.manual_topics.clear();
        self.subscription = Subscription::None;
        self.changed();
    }

    /// A user's call changed something: waiting users have to look again, and the driver has to act.
    pub(super) fn changed(&mut self) {
        self.wanted.forget();
        self.hub.changed();
    }

    fn check_open(&self) -> Result<(), SubscriptionError> {
        match self.closing {
            Some(_) => Err(SubscriptionError::Closed),
            None => Ok(()),
        }
    }

    /// The topics that are subscribed to, or the partitions that the user assigned.
    pub fn subscription(&self) -> Subscription {
        match &self.subscription {
            Subscription::Manual(_) => Subscription::Manual(self.lanes.assignment().into_iter().collect()),
            by_group => by_group.clone(),
        }
    }

    /// Whether nothing is subscribed to, nor assigned.
    pub fn reads_nothing(&self) -> bool {
        self.subscription == Subscription::None
    }

    /// The partitions that are this consumer's now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.lanes.assignment()
    }

    /// The cluster, as far as it is known.
    pub fn metadata(&self) -> &Metadata {
        &self.hub.metadata
    }

    /// Whether positions are committed without a call of the user's.
    pub fn is_auto_committing(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.commits.is_auto())
    }

    /// Moves the position in a partition. Returns `false` where the partition is not this consumer's.
    pub fn seek(&mut self, at: &TopicPartition, to: SeekTo, now: Now) -> bool {
        let Some((part, _)) = self.lanes.assigned_at(at) else { return false };
        let (state, position) = match to.search() {
            Ok(to) => (FetchState::AwaitsReset(Search::For(to)), None),
            Err(offset) => (FetchState::Fetching, Some(offset.into())),
        };
        self.learn_topic(part);
        self.lanes.place(part, state, position, now.mono);
        self.lanes.change(part, |lane| lane.looked_up = false);
        if self.is_with(OWN, at) {
            // Who moves the position is done with what was read before.
            self.lanes.release(part);
        }
        self.lanes.bind(part, &self.hub.metadata);
        self.changed();
        true
    }

    /// Moves the position back to what was handed out. Where that is of a topic that is gone, it is no offset of the one made
    /// anew under its name: the position stays, to be reset as that is noticed.
    pub fn go_back(&mut self, at: &TopicPartition, to: &CommittedOffset, now: Now) -> bool {
        let is_another = |id| {
            let reads_another = self.lanes.topic_id(at).is_some_and(|read| read != id);
            reads_another || self.hub.metadata.has_another(&at.topic, id)
        };
        !to.topic_id.is_some_and(is_another) && self.seek(at, SeekTo::Offset(to.offset), now)
    }

    /// Pauses or resumes a partition. Returns `false` where it is not this consumer's.
    pub fn set_paused(&mut self, at: &TopicPartition, paused: bool, now: Now) -> bool {
        let Some((part, _)) = self.lanes.assigned_at(at) else { return false };
        self.lanes.set_paused(part, paused, now.mono);
        self.changed();
        true
    }

    /// The partitions that the user paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        self.lanes.paused().map(|(_, lane)| (*lane.at).clone()).collect()
    }

    /// The next offset to be handed out, as far as readers have told; `None` where the position is not known.
    pub fn position(&self, at: &TopicPartition) -> Option<i64> {
        let (_, lane) = self.lanes.assigned_at(at)?;
        lane.delivered.filter(|_| lane.state == FetchState::Fetching)
    }

    /// The end of the partition's log when it was last fetched.
    pub fn high_watermark(&self, at: &TopicPartition) -> Option<i64> {
        self.lanes.assigned_at(at)?.1.log_end.map(|end| end.high_watermark)
    }

    /// The last stable offset of the partition when it was last fetched: the first of the oldest transaction that was open
    /// then, or the high watermark. `None` where the broker did not tell it.
    pub fn last_stable_offset(&self, at: &TopicPartition) -> Option<i64> {
        self.lanes.assigned_at(at)?.1.log_end.and_then(LogEnd::last_stable)
    }

    /// How many offsets a position is behind the end of what may be read, as of the last fetch.
    pub fn lag(&self, at: &TopicPartition, position: i64) -> Option<i64> {
        self.lanes.assigned_at(at)?.1.lag(position)
    }

    /// How long ago the record at a position was written, as far as fetches have told; zero where there is none to be read.
    pub fn time_lag(&self, at: &TopicPartition, position: i64, now: Now) -> Option<Duration> {
        self.lanes.assigned_at(at)?.1.time_lag(position, now)
    }

    /// How many bytes of responses were fetched.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetcher.fetched
    }

    /// How many bytes of records were fetched, and dropped unread.
    pub fn wasted_bytes(&self) -> u64 {
        self.lanes.wasted
    }

    /// How many offsets the logs had lost (by retention or DeleteRecords) before they were read.
    pub fn deleted_unread(&self) -> u64 {
        self.lanes.deleted_unread
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Happened> {
        self.events.pop()
    }

    /// How many events were dropped since the start because nobody took them.
    pub fn events_dropped(&self) -> u64 {
        self.events.dropped()
    }

    /// Commits these offsets; with `None`, all that was handed out and is in nobody's hands any more. A consumer
    /// that has subscribed commits only as a member, and only partitions that it owns.
    pub fn commit(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, CommittedOffset>>,
        now: Now,
    ) -> Result<OpId, OpFailure> {
        let offsets = offsets.unwrap_or_else(|| self.lanes.done());
        check_names(offsets.keys())?;
        let Some(group) = &mut self.group else { return Err(OpFailure::NoGroup) };
        // A coordinator takes a commit in nobody's name while the group is empty. It is refused here; otherwise it
        // would overwrite commits that others have made since this consumer was a member.
        let outside = group.membership.committer().is_some_and(|by| by.generation_id < 0);
        let subscribed = self.subscription.is_by_group();
        if outside && subscribed && !offsets.is_empty() {
            return Err(OpFailure::NotMember(ErrorCode::UnknownMemberId));
        }
        // A coordinator takes a member's commit of a partition that another owns, too, and overwrites the owner's. A
        // listener that is yet to be told of an unsubscription may try that although nothing is subscribed to any more.
        if (subscribed || !group.callbacks.is_idle())
            && let Some(at) = offsets.keys().find(|at| !is_own(at, &self.behind, &self.lanes))
        {
            return Err(OpFailure::NotAssigned(at.clone()));
        }
        for (at, committed) in &offsets {
            let read = self.lanes.topic_id(at);
            // An offset of a topic that was made anew since says nothing of the one that is read now.
            if committed.topic_id.is_none_or(|id| read.is_none_or(|read| read == id)) {
                self.lanes.acknowledge(at, committed.offset);
            }
        }
        let op = self.ops.ask(Outcome::Commit(BTreeMap::new()), offsets.len(), now.mono + self.api_timeout);
        self.commits_asked.insert(op);
        group.commits.request(offsets, self.ops.is_open(op).then_some(op), &self.lanes);
        self.changed();
        Ok(op)
    }

    /// Partitions of these topics are committed by the member that owns the partition of the same number of the topic beside: it reads
    /// them by itself.
    pub fn commits_behind(&mut self, topics: impl IntoIterator<Item = (String, String)>) {
        self.behind.extend(topics);
    }

    /// From now on what is committed is kept until [`take_committed`](Self::take_committed).
    pub fn keep_committed(&mut self) {
        self.committed.get_or_insert_default();
    }

    /// What was committed since this was last called, by whichever call or without one: of each partition the newest. `None` where
    /// nothing was.
    pub fn take_committed(&mut self) -> Option<BTreeMap<TopicPartition, CommittedOffset>> {
        self.committed.as_mut().filter(|committed| !committed.is_empty()).map(std::mem::take)
    }

    /// Asks for the offsets that the group has committed.
    pub fn committed(&mut self, partitions: Vec<TopicPartition>, now: Now) -> Result<OpId, OpFailure> {
        let Some(group) = &mut self.group else { return Err(OpFailure::NoGroup) };
        let partitions: BTreeSet<_> = partitions.into_iter().collect();
        check_names(&partitions)?;
        let so_far = Outcome::Committed(BTreeMap::new());
        let op = self.ops.ask(so_far, partitions.len(), now.mono + self.api_timeout);
        for at in partitions {
            group.ask_committed(at, op);
        }
        self.changed();
        Ok(op)
    }

    /// Asks each partition's log for the offset that `SeekTo` stands for.
    pub fn offsets(&mut self, partitions: Vec<(TopicPartition, SeekTo)>, now: Now) -> OpId {
        if let Err(failure) = check_names(partitions.iter().map(|(at, _)| at)) {
            return self.ops.begin_ended(Err(failure));
        }
        let so_far = Outcome::Offsets(BTreeMap::new());
        let op = self.ops.ask(so_far, partitions.len(), now.mono + self.api_timeout);
        for (at, to) in partitions {
            match to.search() {
                Ok(to) => self.lookups.ask(Arc::new(at), to, Purpose::Op(op)),
                Err(offset) => {
                    let found = OffsetAndTimestamp::new(offset);
                    self.ops.part(op, |so_far| add_offset(so_far, at, Some(found)));
                }
            }
        }
        self.changed();
        op
    }

    /// The outcome of an operation, where it has ended. It is told once; that of a commit after those of all commits that were
    /// asked for before it.
    pub fn take_outcome(&mut self, op: OpId) -> Option<Result<Outcome, OpFailure>> {
        while self.commits_asked.first().is_some_and(|first| !self.ops.is_open(*first)) {
            self.commits_asked.pop_first();
        }
        let overtakes = self.commits_asked.contains(&op) && self.commits_asked.first() != Some(&op);
        if overtakes { None } else { self.ops.take(op) }
    }

    /// Nobody waits for this operation any more.
    pub fn forget_op(&mut self, op: OpId) {
        self.ops.forget(op);
        // The outcome of a later commit may have waited for it.
        self.hub.wake |= self.commits_asked.remove(&op);
    }

    /// Begins to close. [`is_closed`](crate::Machine::is_closed) tells when that is done, at the latest at the
    /// deadline. A consumer that is closed tells its listener what is revoked; one that is dropped tells it nothing.
    pub fn close(&mut self, kind: CloseKind, leave: LeaveGroup, deadline: Instant, now: Now) {
        if let Some(group) = self.group.as_mut().filter(|_| kind == CloseKind::Dropped) {
            group.callbacks.end();
        }
        if self.closing.is_some() {
            // It may have waited for the listener.
            return self.changed();
        }
        if let Some(group) = &mut self.group {
            // A handover under way ends here: the close itself gives up all partitions.
            group.handover.end();
            group.callbacks.take_back_assigned();
            if group.commits.is_auto() {
                let offsets = self.lanes.uncommitted(|lane| match kind {
                    CloseKind::Closed => lane.done(),
                    CloseKind::Dropped => lane.acked,
                });
                group.commits.request(offsets, None, &self.lanes);
            }
        }
        // Whoever closes wants to be heard once more.
        self.hub.connections.forgive(now);
        self.closing = Some(Closing::new(leave, deadline, now));
        self.readers.touch_own(now);
        self.stop();
    }

    /// What the close could not do; once it is done.
    pub fn farewell(&self) -> Option<&Farewell> {
        self.closing.as_ref()?.farewell()
    }
}

/// Whether a partition is this member's: the group has assigned it, or the one that it stands behind.
fn is_own<F>(at: &TopicPartition, behind: &BTreeMap<String, String>, lanes: &Lanes<F>) -> bool {
    let is_assigned = |at: &TopicPartition| lanes.assigned_at(at).is_some();
    let first = behind.get(&at.topic);
    is_assigned(at) || first.is_some_and(|first| is_assigned(&TopicPartition::new(first, at.partition)))
}
