//! Whether a consumer does what it is there for, for probes: what `explain` tells, held against the time for which it has been so.
//!
//! Most of what is waited for passes by itself within moments: a new leader, a lost connection, a rebalance. Only what has stood for
//! [`STALLED_AFTER`] is a stall. Of the group and of commits it is known since when that is. Of most partitions nothing notes it, as it would
//! cost each turn something for each; so it is noted when somebody asks, as probes do every few seconds. A partition whose records
//! come meanwhile begins anew.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::{ErrorCode, Now};

use super::{CommitReason, Consumer, Explanation, GroupReason, Reason};
use crate::{
    group::{GroupFailure, Standing},
    ids::TopicPartition,
    planted::Planted,
};

/// What has stood in the way for so long is a stall.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// What was seen so long ago may have passed and come again since.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Whether a consumer, or a processor, does what it is there for: liveness and readiness, for probes.
///
/// `docs/health.md` in the repository says what to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Health {
    /// Its own thread runs, and it is not closed.
    pub alive: bool,
    /// It has its place: it is a member of its group, with or without partitions; without a subscription, partitions are assigned.
    pub member: bool,
    /// What has not gone on for 30 s or more, and why. Empty where everything does, or has nothing to do.
    pub stalled: Vec<Stall>,
}

/// Something that does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stall {
    /// What, and why.
    pub why: StallReason,
    /// For how long, as far as it is known. Zero for what was not seen before and is told at once.
    pub waited: Duration,
}

/// What does not go on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StallReason {
    /// The membership: it is not coming about, a rebalance waits, or the member is out. Told at once where the membership has failed.
    Group(GroupReason),
    /// Offsets that are to be committed.
    Commit(CommitReason),
    /// A topic that is wanted cannot be read: the brokers' error.
    Topic(String, ErrorCode),
    /// Records of a partition. Told at once where it is stuck until a seek.
    Partition(TopicPartition, Reason),
    /// A processor's handlers: some run, and none has ended for [`stalled_after`].
    ///
    /// [`stalled_after`]: https://docs.rs/ottla/latest/ottla/struct.Processor.html#method.stalled_after
    #[non_exhaustive]
    Handlers {
        /// The partition of the record that was begun first.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// How many records have been received and are not done.
        in_hand: usize,
    },
}

impl Health {
    /// Whether everything goes on: alive, a member, and nothing stalled. Nothing to read counts as going on.
    pub fn is_progressing(&self) -> bool {
        self.alive && self.member && self.stalled.is_empty()
    }

    /// For a readiness probe: the same as [`is_progressing`](Self::is_progressing).
    pub fn is_ready(&self) -> bool {
        self.is_progressing()
    }

    /// For a liveness probe: whether a new process would **not** do better. It would where this one's thread is gone or the consumer is
    /// closed, and where the program has not come back from what it does with a record within `max.poll.interval.ms`. Of a broker that is
    /// down, a group that refuses, or a record that cannot be read it would find the same, and its own rebalances come on top.
    pub fn is_live(&self) -> bool {
        let hangs = |stall: &Stall| {
            let StallReason::Group(GroupReason::Failed(failure)) = &stall.why else { return false };
            matches!(failure, GroupFailure::MaxPollExceeded(_))
        };
        self.alive && !self.stalled.iter().any(hangs)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.alive, self.member) {
            (false, _) => "not alive: closed, or its thread is gone",
            (true, false) => "no member",
            (true, true) if self.stalled.is_empty() => "progressing",
            (true, true) => "stalled",
        })?;
        self.stalled.iter().try_for_each(|stall| write!(f, "\n{stall}"))
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, for {:.0?}", self.why, self.waited)
    }
}

impl fmt::Display for StallReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(reason) => write!(f, "group: {reason}"),
            Self::Commit(reason) => write!(f, "commit: {reason}"),
            Self::Topic(topic, error) => write!(f, "{topic}: {error}"),
            Self::Partition(at, reason) => write!(f, "{at}: {reason}"),
            Self::Handlers { at, offset, attempts, in_hand } => {
                write!(
                    f,
                    "handlers: {at} offset {offset} is the first of {in_hand} records, attempt {attempts}"
                )
            }
        }
    }
}

/// The health of what is not there: not yet, if it is `alive`, or not any more.
pub fn health_of_nobody(alive: bool) -> Health {
    Health { alive, member: false, stalled: Vec::new() }
}

/// Handlers of which none has ended for so long.
pub fn stall_of_handlers(
    at: TopicPartition,
    offset: i64,
    attempts: u32,
    in_hand: usize,
    waited: Duration,
) -> Stall {
    Stall { why: StallReason::Handlers { at, offset, attempts, in_hand }, waited }
}

/// What stood in the way when somebody last asked, and since when.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    seen: BTreeMap<Troubled, Instant>,
    asked: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Troubled {
    Group,
    Commit,
    Topic(String),
    Partition(TopicPartition),
}

/// Since when something stands in the way.
#[derive(Debug, Clone, Copy)]
enum Since {
    /// This is noted where it comes about.
    Known(Instant),
    /// From when somebody first saw it.
    Seen {
        /// One of several reasons that may follow each other tells that it has stood since then.
        told: Option<Instant>,
        /// When it was last seen to go on.
        went_on: Option<Instant>,
    },
    /// It does not pass by itself: it is told at once.
    ForGood,
}

impl<F: Clone> Consumer<F> {
    /// Whether the consumer does what it is there for. That its driver runs, only the driver knows.
    pub fn health(&mut self, now: Now) -> Health {
        let Explanation { group, commit, partitions, missing_topics, .. } = self.explain(now);
        let mut found = Vec::new();
        let seen = Since::Seen { told: None, went_on: None };
        if let Some(reason) = group
            && let Some(since) = self.group_trouble(&reason, now)
        {
            found.push((Troubled::Group, StallReason::Group(reason), since));
        }
        if let Some(reason) = commit {
            let since = self.group.as_ref().and_then(|group| group.commits.waiting_since());
            let since = since.map_or(seen, Since::Known);
            found.push((Troubled::Commit, StallReason::Commit(reason), since));
        }
        for (topic, error) in missing_topics {
            found.push((Troubled::Topic(topic.clone()), StallReason::Topic(topic, error), seen));
        }
        for (at, reason) in partitions {
            if let Some(since) = self.partition_trouble(&at, &reason, now) {
                found.push((Troubled::Partition(at.clone()), StallReason::Partition(at, reason), since));
            }
        }
        let stalled = self.troubles.stalls(found, now);
        Health { alive: !self.close_is_done(), member: self.has_its_place(), stalled }
    }

    fn has_its_place(&self) -> bool {
        let group = self.group.as_ref().filter(|_| self.subscription.is_by_group());
        let is_there = match group {
            Some(group) => group.membership.standing() == Standing::Member && self.failure.is_none(),
            None => self.lanes.assigned().next().is_some(),
        };
        let is_idle = self.lanes.assigned().next().is_none() && self.lanes.plot.has(Planted::IdleIsNoMember);
        is_there && !self.stopped && !is_idle
    }

    /// Since when how it stands with the group is a trouble; `None` where it is none.
    fn group_trouble(&self, reason: &GroupReason, now: Now) -> Option<Since> {
        // One rebalance has several reasons, one after the other.
        let rebalance = self.group.as_ref().and_then(|group| group.handover.rebalances.since());
        let told = match reason {
            GroupReason::Member { .. } | GroupReason::Idle { .. } => return None,
            // By the user's wish; that it is no member is told apart.
            GroupReason::Out | GroupReason::Leaving => return None,
            GroupReason::Failed(_) => return Some(Since::ForGood),
            GroupReason::AwaitingNames { waited, .. }
            | GroupReason::AwaitingHeartbeat { waited }
            | GroupReason::CoordinatorUnknown { waited, .. }
            | GroupReason::RevocationWaiting { waited, .. }
            | GroupReason::AwaitingListener { waited }
            | GroupReason::Joining { waited, .. } => now.mono.checked_sub(*waited),
            GroupReason::CoordinatorNotReady { .. } => None,
        };
        let since = told.into_iter().chain(rebalance).min();
        Some(since.map_or(Since::Seen { told: None, went_on: None }, Since::Known))
    }

    /// Since when a partition's reason is a trouble; `None` where it is none.
    fn partition_trouble(&self, at: &TopicPartition, reason: &Reason, now: Now) -> Option<Since> {
        let told = match reason {
            // It flows, or the user does not take, or wants it so. A broker that throttles does so for a while.
            Reason::Buffered { .. }
            | Reason::Fetching { .. }
            | Reason::NextFetch
            | Reason::Waiting
            | Reason::Paused
            | Reason::Throttled { .. }
            | Reason::Closing => return None,
            // It is told of the group.
            Reason::BeingRevoked | Reason::AwaitingListener => return None,
            // Whoever has records in hand holds the others back by design. Where all wait for more, it is what they keep.
            Reason::BufferFull { .. } if self.away_since().is_some() => return None,
            Reason::Failed(_) => return Some(Since::ForGood),
            Reason::LookingUpCommitted { waited, .. }
            | Reason::LookingUpOffset { waited, .. }
            | Reason::Unanswered { waited, .. } => now.mono.checked_sub(*waited),
            Reason::BufferFull { .. }
            | Reason::OpenTransaction { .. }
            | Reason::ValidatingPosition { .. }
            | Reason::AwaitingHeartbeat { .. }
            | Reason::AwaitingMetadata
            | Reason::TopicUnknown(_)
            | Reason::TopicRecreated
            | Reason::NoLeader { .. }
            | Reason::Disconnected { .. }
            | Reason::Retrying(_) => None,
        };
        let went_on = self.lanes.assigned_at(at).map(|(_, lane)| lane.since);
        Some(Since::Seen { told, went_on })
    }
}

impl Troubles {
    /// What has stood in the way for long enough. What does not any more is forgotten, as is everything where nobody asked for long.
    fn stalls(&mut self, found: Vec<(Troubled, StallReason, Since)>, now: Now) -> Vec<Stall> {
        let mut before = std::mem::take(&mut self.seen);
        let asked = self.asked.replace(now.mono);
        if asked.is_none_or(|asked| now.mono.saturating_duration_since(asked) > FORGOTTEN_AFTER) {
            before.clear();
        }
        let mut stalls = Vec::new();
        for (of, why, since) in found {
            let seen = before.get(&of).copied().unwrap_or(now.mono);
            let (begun, least) = match since {
                Since::Known(since) => (since, STALLED_AFTER),
                Since::Seen { told, went_on } => {
                    let seen = went_on.map_or(seen, |went_on| seen.max(went_on));
                    (told.map_or(seen, |told| told.min(seen)), STALLED_AFTER)
                }
                Since::ForGood => (seen, Duration::ZERO),
            };
            self.seen.insert(of, begun);
            let waited = now.mono.saturating_duration_since(begun);
            if waited >= least {
                stalls.push(Stall { why, waited });
            }
        }
        stalls
    }
}
