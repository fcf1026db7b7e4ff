//! A member of a group: its listener, its assignors, what it commits, and what happens to it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ottla::{
    Assignor, CloseOptions, CommitError, Committed, CommittedOffset, Consumer, CooperativeStickyAssignor,
    Event, EventStream, GroupMetadata, GroupProtocol, Happened, LeaveGroup, OffsetReset, PendingCommit,
    RangeAssignor, Rebalance, RebalanceListener, RoundRobinAssignor, StickyAssignor, Subscription,
    SubscriptionError, TopicPartition,
    error::CloseError,
    group::{self, Assignment, LastAssignment, Member, PartitionRacks, Pattern},
};

use crate::{ORDERS, Outcome, administering::at, configuring, equal};

pub(crate) async fn all(servers: &str, name: &str) -> Outcome {
    let assigned = Arc::new(AtomicUsize::new(0));
    let mut consumer = configuring::consumer(servers)
        .group_id(name)
        .group_protocol(protocol())
        .assignor(OneWorks::default())
        .auto_offset_reset(OffsetReset::Earliest)
        .rebalance_listener(Counts(assigned.clone()))
        .build()
        .await?;
    subscribe(&mut consumer, name)?;
    equal(pattern_of(&consumer.subscription()).map(|pattern| pattern.matches(name)), Some(true))?;
    let mut events = events(&consumer);
    for _ in 0..ORDERS {
        consumer.recv().await?;
    }
    equal(assigned.load(Ordering::Relaxed), 1)?;
    equal(generation(&happened(&mut events).await.ok_or("no event")?.event), Some(1))?;
    equal(place(&consumer).map(|place| place.group_id), Some(name.to_owned()))?;
    let committed = ended(under_way(&mut consumer)).await?;
    equal(committed.get(&at(name)).map(next), Some(i64::from(ORDERS)))?;
    consumer.recv().await?;
    close(consumer, options()).await?;

    equal(offered(&assignors()), vec!["range", "roundrobin", "sticky", "cooperative-sticky", "one-works"])?;
    let data = told(&StickyAssignor, &last(name));
    equal(data.is_some(), true)?;
    Ok(())
}

fn protocol() -> GroupProtocol {
    GroupProtocol::Classic
}

fn subscribe(consumer: &mut Consumer, name: &str) -> Result<(), SubscriptionError> {
    consumer.subscribe_pattern(name)
}

fn pattern_of(subscription: &Subscription) -> Option<&Pattern> {
    match subscription {
        Subscription::Pattern(pattern) => Some(pattern),
        _ => None,
    }
}

fn events(consumer: &Consumer) -> EventStream {
    consumer.events()
}

async fn happened(events: &mut EventStream) -> Option<Happened> {
    events.next().await
}

fn generation(event: &Event) -> Option<i32> {
    match event {
        Event::Joined { generation_id, .. } => Some(*generation_id),
        _ => None,
    }
}

fn place(consumer: &Consumer) -> Option<GroupMetadata> {
    consumer.group_metadata()
}

fn under_way(consumer: &mut Consumer) -> PendingCommit {
    consumer.commit_async()
}

async fn ended(commit: PendingCommit) -> Result<Committed, CommitError> {
    commit.await
}

fn next(committed: &CommittedOffset) -> i64 {
    committed.offset
}

fn options() -> CloseOptions {
    CloseOptions::new().leave(leave())
}

fn leave() -> LeaveGroup {
    LeaveGroup::Leave
}

async fn close(consumer: Consumer, options: CloseOptions) -> Result<(), CloseError> {
    consumer.close_with(options).await
}

/// Counts partitions that come.
struct Counts(Arc<AtomicUsize>);

impl RebalanceListener for Counts {
    async fn on_assigned(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        if rebalance.assignment() == partitions {
            self.0.fetch_add(partitions.len(), Ordering::Relaxed);
        }
    }
}

/// An assignor of one's own: one member has everything.
#[derive(Debug, Default)]
struct OneWorks(RangeAssignor);

impl Assignor for OneWorks {
    fn name(&self) -> &str {
        "one-works"
    }

    fn user_data(&self, last: &LastAssignment) -> Option<Vec<u8>> {
        self.0.user_data(last)
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        let Some(first) = members.iter().min_by(|one, other| one.id.cmp(&other.id)) else {
            return BTreeMap::new();
        };
        let alone = Member::new(first.id.as_str(), wishes(topics.keys()));
        self.0.assign(topics, &[alone])
    }
}

fn wishes<'a>(topics: impl IntoIterator<Item = &'a String>) -> group::Subscription {
    group::Subscription::new(topics)
}

fn last(topic: &str) -> LastAssignment {
    LastAssignment::new([(topic, 0)], 1)
}

fn told(assignor: &StickyAssignor, last: &LastAssignment) -> Option<Vec<u8>> {
    assignor.user_data(last)
}

type OneOfEach = (RangeAssignor, RoundRobinAssignor, StickyAssignor, CooperativeStickyAssignor, OneWorks);

fn assignors() -> OneOfEach {
    (RangeAssignor, RoundRobinAssignor, StickyAssignor, CooperativeStickyAssignor, OneWorks::default())
}

fn offered((range, round_robin, sticky, cooperative, own): &OneOfEach) -> Vec<&str> {
    let all: [&dyn Assignor; 5] = [range, round_robin, sticky, cooperative, own];
    all.into_iter().map(Assignor::name).collect()
}
