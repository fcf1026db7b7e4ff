//! A consumer: the machines of this crate put together, and the operations that users call.
//!
//! The parts are plain structures. The consumer calls each of them with the other parts that it needs. Everything
//! that is due is done in one place, [`Consumer::step`]; answers come in through the [`Machine`](crate::Machine) in
//! `machine.rs`; the reader's half is in `readers.rs`.

mod callbacks;
mod closing;
mod commits;
mod config;
mod explain;
mod group_side;
mod handover;
mod machine;
mod ops;
mod readers;
mod reasons;
mod subscription;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_protocol::{ErrorCode, Now, Timestamp};

use crate::{
    backoff::{Backoff, Retry},
    event::{Event, Events, Happened},
    fetch::Fetcher,
    group::{GroupFailure, GroupMetadata, GroupNews, Pattern, Standing},
    hub::Hub,
    ids::{NodeId, OpId, TopicPartition},
    lanes::{FetchState, LaneFailure, LanePhase, Lanes, Search},
    metadata::{Metadata, Wanted},
    offsets::{CommittedOffset, Lookups, OffsetAndTimestamp, Purpose, ResetPolicy, ResetTo},
    planted::Planted,
};

pub use callbacks::Callback;
pub use closing::{CloseKind, Farewell};
pub use config::ConsumerConfig;
pub use ops::{OpFailure, Outcome};
pub use readers::ReadFailure;
pub use reasons::{CommitReason, Explanation, GroupReason, Reason};
pub use subscription::{Subscription, SubscriptionError};

use group_side::GroupSide;
use ops::Ops;

/// Where to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTo {
    /// At this offset.
    Offset(i64),
    /// At the log's start.
    Beginning,
    /// At the log's end.
    End,
    /// At the first record that is no older than this; at the log's end if there is none.
    Timestamp(Timestamp),
}

impl SeekTo {
    /// What the log is to be asked; the offset itself where it need not be.
    fn search(self) -> Result<ResetTo, i64> {
        match self {
            Self::Offset(offset) => Err(offset),
            Self::Beginning => Ok(ResetTo::Earliest),
            Self::End => Ok(ResetTo::Latest),
            Self::Timestamp(at) => Ok(ResetTo::Timestamp(at)),
        }
    }
}

/// A consumer's state. `F` keeps the bytes of fetched records alive.
#[derive(Debug)]
pub struct Consumer<F> {
    hub: Hub<Pending>,
    group: Option<GroupSide>,
    lanes: Lanes<F>,
    fetcher: Fetcher,
    lookups: Lookups,
    ops: Ops,
    events: Events,
    subscription: Subscription,
    manual_topics: BTreeSet<String>,
    reset: ResetPolicy,
    api_timeout: Duration,
    retry_backoff: Backoff,
    readers: readers::Readers,
    /// The failure that the user's next call is to return.
    failure: Option<GroupFailure>,
    /// No record is handed out any more.
    stopped: bool,
    closing: Option<closing::Closing>,
}

/// Which part of the consumer waits for the answer to a request.
#[derive(Debug, Clone, Copy)]
enum Pending {
    Lookup,
    Fetch(NodeId),
    Group(group_side::Asked),
}

impl<F: Clone> Consumer<F> {
    /// A consumer that has connected to nothing, and reads nothing yet.
    pub fn new(config: ConsumerConfig, now: Now) -> Self {
        let mut seeds = fastrand::Rng::with_seed(config.seed);
        let (backoff, auto_commit) = (config.retry_backoff, config.auto_commit);
        let group = config
            .group
            .map(|group| GroupSide::new(group, auto_commit, config.listener, backoff, seeds.u64(..), now));
        Self {
            hub: Hub::new(config.connections, config.metadata, config.seeds, &mut seeds, now),
            group,
            lanes: Lanes::new(backoff, seeds.u64(..)),
            fetcher: Fetcher::new(config.fetch),
            lookups: Lookups::new(backoff, seeds.u64(..)),
            ops: Ops::default(),
            events: Events::default(),
            subscription: Subscription::None,
            manual_topics: BTreeSet::new(),
            reset: config.reset,
            api_timeout: config.api_timeout,
            retry_backoff: backoff,
            readers: readers::Readers::new(),
            failure: None,
            stopped: false,
            closing: None,
        }
    }

    /// Switches a bug on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: crate::Planted) {
        let plot = crate::planted::Plot(Some(bug));
        self.lanes.plot = plot;
        self.fetcher.plot = plot;
        (self.lookups.plot, self.hub.metadata.plot) = (plot, plot);
        if let Some(group) = &mut self.group {
            group.plant(plot);
        }
    }

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
        if let Subscription::Manual(_) = self.subscription {
            return Err(SubscriptionError::Assigned);
        }
        let Some(group) = &mut self.group else { return Err(SubscriptionError::NoGroup) };
        self.hub.stir = true;
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
        self.handle_group_news(news, now);
        Ok(())
    }

    /// The member's place in its group; `None` for a consumer without a group.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        Some(self.group.as_ref()?.membership.metadata())
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
        self.subscription = Subscription::Manual(wanted);
        self.changed();
        Ok(())
    }

    /// Reads nothing any more, and leaves the group. Nothing is committed. The listener is told of the partitions
    /// when they are gone.
    pub fn unsubscribe(&mut self, now: Now) {
        let in_group = self.group.as_ref().is_some_and(|group| group.membership.standing() != Standing::Out);
        if in_group {
            self.abandon_commits(ErrorCode::UnknownMemberId);
        }
        let gone = self.unassign_all();
        if let Some(group) = &mut self.group {
            group.membership.unsubscribe(now);
            group.callbacks.take_back_assigned();
            (group.handover, group.told_generation) = (None, -1);
        }
        if in_group && !gone.is_empty() {
            self.tell(Callback::Revoked(gone.clone()));
            handover::tell_revoked(&gone, "unsubscribe");
            self.events.push(Event::Revoked(gone), now);
        }
        self.manual_topics.clear();
        self.subscription = Subscription::None;
        self.changed();
    }

    /// A user's call changed something: waiting users have to look again, and the driver has to act.
    fn changed(&mut self) {
        self.hub.changed();
    }

    fn check_open(&self) -> Result<(), SubscriptionError> {
        match self.closing {
            Some(_) => Err(SubscriptionError::Closed),
            None => Ok(()),
        }
    }

    /// The topics that are subscribed to, or the partitions that the user assigned.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
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
        self.lanes.place(part, state, position, now.mono);
        self.changed();
        true
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
        self.lanes.assigned().filter(|(_, lane)| lane.paused).map(|(_, lane)| lane.at.clone()).collect()
    }

    /// The next offset to be handed out, as far as readers have told; `None` where the position is not known.
    pub fn position(&self, at: &TopicPartition) -> Option<i64> {
        let (_, lane) = self.lanes.assigned_at(at)?;
        lane.delivered.filter(|_| lane.state == FetchState::Fetching)
    }

    /// The end of the partition's log when it was last fetched.
    pub fn high_watermark(&self, at: &TopicPartition) -> Option<i64> {
        self.lanes.assigned_at(at)?.1.high_watermark
    }

    /// How many bytes of responses were fetched.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetcher.fetched
    }

    /// How many bytes of records were fetched, and dropped unread.
    pub fn wasted_bytes(&self) -> u64 {
        self.lanes.wasted
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
        let offsets = offsets.unwrap_or_else(|| self.done());
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
            && let Some(at) = offsets.keys().find(|at| self.lanes.assigned_at(at).is_none())
        {
            return Err(OpFailure::NotAssigned(at.clone()));
        }
        for (at, committed) in &offsets {
            self.lanes.acknowledge(at, committed.offset);
        }
        let op = self.ops.ask(Outcome::Commit(BTreeMap::new()), offsets.len(), now.mono + self.api_timeout);
        group.commits.request(offsets, self.ops.is_open(op).then_some(op));
        self.changed();
        Ok(op)
    }

    /// Asks for the offsets that the group has committed.
    pub fn committed(&mut self, partitions: Vec<TopicPartition>, now: Now) -> Result<OpId, OpFailure> {
        let Some(group) = &mut self.group else { return Err(OpFailure::NoGroup) };
        let partitions: BTreeSet<_> = partitions.into_iter().collect();
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
        let so_far = Outcome::Offsets(BTreeMap::new());
        let op = self.ops.ask(so_far, partitions.len(), now.mono + self.api_timeout);
        for (at, to) in partitions {
            match to.search() {
                Ok(to) => self.lookups.ask(at, to, Purpose::Op(op)),
                Err(offset) => {
                    let found = OffsetAndTimestamp::new(offset);
                    self.ops.part(op, |so_far| add_offset(so_far, at, Some(found)));
                }
            }
        }
        self.changed();
        op
    }

    /// The outcome of an operation, where it has ended. It is told once.
    pub fn take_outcome(&mut self, op: OpId) -> Option<Result<Outcome, OpFailure>> {
        self.ops.take(op)
    }

    /// Nobody waits for this operation any more.
    pub fn forget_op(&mut self, op: OpId) {
        self.ops.forget(op);
    }

    fn wanted(&self) -> Wanted {
        let mut topics: BTreeSet<String> = self.lookups.topics().cloned().collect();
        topics.extend(self.manual_topics.iter().cloned());
        match self.group.as_ref().map(|group| group.membership.wanted()) {
            Some(Wanted::All) => return Wanted::All,
            Some(Wanted::Topics(more)) => topics.extend(more),
            None => {}
        }
        Wanted::Topics(topics)
    }

    /// Does everything that is due.
    fn step(&mut self, now: Now) {
        if self.close_is_done() {
            return;
        }
        self.read_slots(now);
        let group = self.group.as_ref();
        let waiting_for = |op, so_far: &_| {
            let retry = match so_far {
                Outcome::Commit(_) => group.and_then(|group| group.commits.retry(now)),
                Outcome::Committed(_) => group.and_then(|group| group.committed.attempts.retry(now)),
                Outcome::Offsets(_) => self.lookups.retry(Purpose::Op(op), now),
            };
            waiting_for(&self.hub.metadata, group, retry)
        };
        self.hub.wake |= self
            .ops
            .expire(now.mono, |op, unanswered| Err(OpFailure::TimedOut(waiting_for(op, &unanswered.so_far))));
        let wanted = self.wanted();
        self.hub.poll_metadata(&wanted, now);
        self.give_up_unknown_topics(now);
        self.step_closing(now);
        if self.close_is_done() {
            return;
        }
        self.step_group(now);
        self.find_positions(now);
        let news = self.send_to_coordinator(now);
        self.handle_group_news(news, now);
        let (lanes, ops) = (&self.lanes, &self.ops);
        self.lookups.retain(|purpose| match purpose {
            Purpose::Lane(part, epoch) => {
                lanes.get(*part).is_some_and(|lane| lane.phase().is_assigned() && lane.epoch == *epoch)
            }
            Purpose::Op(op) => ops.is_open(*op),
        });
        let sent = self.lookups.poll_send(&mut self.hub.metadata, &mut self.hub.connections, now);
        sent.into_iter().for_each(|id| self.hub.expect(id, Pending::Lookup));
        if self.closing.is_none() {
            self.step_fetch(now);
        }
    }

    fn step_fetch(&mut self, now: Now) {
        self.fetcher.is_awaited = self.readers.is_any_polling();
        let sent =
            self.fetcher.poll_send(&mut self.lanes, &mut self.hub.metadata, &mut self.hub.connections, now);
        let keeps = self.lanes.plot.has(Planted::PausedLanesKeepRoom);
        if self.fetcher.out_of_room && !self.lanes.has_readable() && !keeps {
            // Only paused lanes hold records. They drop them; otherwise the other lanes would have no room for theirs.
            let readers = &self.readers;
            self.hub.wake |= self.lanes.drop_paused(|reader| readers.is_polling(reader), now.mono);
        }
        sent.into_iter().for_each(|(id, node)| self.hub.expect(id, Pending::Fetch(node)));
    }

    /// Sets out to find the positions that are unknown.
    fn find_positions(&mut self, now: Now) {
        let (reset, plot) = (self.reset, self.lanes.plot);
        for (part, lane) in self.lanes.assigned_mut() {
            if lane.looking || lane.phase() != LanePhase::Owned {
                continue;
            }
            match (&lane.state, &mut self.group) {
                // The partition was let go and is back, and records that it handed out are about to be committed.
                // Its committed offset is asked for after that; otherwise they would be read again.
                (FetchState::AwaitsCommitted, Some(group)) if group.commits.is_under_way(&lane.at) => {}
                (FetchState::AwaitsCommitted, Some(group)) => {
                    lane.looking = true;
                    group.committed.ask(lane.at.clone());
                }
                (FetchState::AwaitsCommitted, None) => {
                    lane.state = match reset.at(plot, now) {
                        Some(to) => FetchState::AwaitsReset(Search::For(to)),
                        None => FetchState::Failed(LaneFailure::NoOffset),
                    };
                    lane.tell_failed();
                    self.hub.wake = true;
                }
                _ => {}
            }
            if let FetchState::AwaitsReset(search) = lane.state {
                lane.looking = true;
                self.lookups.ask(lane.at.clone(), search.asks(), Purpose::Lane(part, lane.epoch));
            }
        }
    }
}

fn add_offset(so_far: &mut Outcome, at: TopicPartition, found: Option<OffsetAndTimestamp>) {
    if let Outcome::Offsets(offsets) = so_far {
        offsets.insert(at, found);
    }
}

/// Says for what an operation that timed out was waiting.
fn waiting_for(metadata: &Metadata, group: Option<&GroupSide>, retry: Option<Retry>) -> String {
    let coordinator = group.and_then(|group| group.coordinator.unknown_since());
    let error = retry.and_then(|retry| retry.error);
    match (metadata.last_failure(), error, coordinator) {
        (Some((address, why)), ..) => format!("broker {address}: {why}"),
        (None, Some(error), _) => format!("an answer other than {error}"),
        (None, None, Some(_)) => "the group's coordinator".to_owned(),
        (None, None, None) => "an answer".to_owned(),
    }
}
