//! Why records are, or are not, flowing now: computed from the state when asked, so that it cannot be out of date.

use std::{fmt, time::Duration};

use ottla_protocol::{ErrorCode, Now};

use super::{Consumer, Subscription};
use crate::{
    connections::{Kind, LinkStatus, Target},
    group::{GroupFailure, MemberState},
    ids::TopicPartition,
    lanes::{Lane, LaneFailure, Position},
    machine::Disconnected,
};

/// What a consumer is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The group, where there is a subscription.
    pub group: Option<GroupReason>,
    /// Each partition that is assigned.
    pub partitions: Vec<(TopicPartition, Reason)>,
    /// Topics that are wanted and not there.
    pub missing_topics: Vec<(String, ErrorCode)>,
    /// The last broker that could not be reached, if none has been since.
    pub unreachable: Option<(String, Disconnected)>,
}

/// How it stands with the group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupReason {
    /// A member with partitions.
    Member {
        /// How many.
        partitions: usize,
    },
    /// A member without any: there are more members than partitions.
    Idle,
    /// The coordinator is being looked up.
    CoordinatorUnknown {
        /// For how long.
        waited: Duration,
        /// What the last broker said.
        error: Option<ErrorCode>,
    },
    /// On the way in.
    Joining {
        /// Where on the way.
        state: MemberState,
        /// For how long.
        waited: Duration,
        /// What went wrong the last time.
        error: Option<ErrorCode>,
    },
    /// A rebalance waits for the user to come back.
    RevocationWaiting {
        /// For how long.
        waited: Duration,
        /// Who holds it up.
        held: Vec<TopicPartition>,
    },
    /// On the way out.
    Leaving,
    /// Out, and not about to join.
    Out,
    /// Out for good, or until the next call.
    Failed(GroupFailure),
}

/// Why a partition's records are, or are not, flowing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Records wait to be taken.
    Buffered {
        /// How many bytes of them.
        bytes: usize,
    },
    /// A fetch is on its way; at the log's end it waits for new records.
    Fetching {
        /// Behind the position, as of the last fetch.
        lag: Option<i64>,
    },
    /// The user paused it.
    Paused,
    /// It is being given up to the group.
    BeingRevoked,
    /// The group's committed offset is being asked for.
    LookingUpCommitted {
        /// For how long.
        waited: Duration,
    },
    /// The log is being asked for the offset.
    LookingUpOffset {
        /// For how long.
        waited: Duration,
    },
    /// The topic, or the partition, does not exist as far as the cluster has told.
    TopicUnknown(ErrorCode),
    /// The partition has no leader now.
    NoLeader,
    /// The connection to its leader is not there.
    Disconnected {
        /// The leader.
        node: i32,
        /// How it stands.
        status: String,
    },
    /// The broker answered with an error, and is asked again.
    Retrying {
        /// The error.
        error: ErrorCode,
    },
    /// The byte budget is used up by records that are not taken, or are kept.
    BufferFull {
        /// What is used.
        used: usize,
        /// Of how much.
        budget: usize,
    },
    /// Stuck until a seek.
    Failed(LaneFailure),
    /// About to be asked for.
    Waiting,
}

impl<F: Clone> Consumer<F> {
    /// Why records are, or are not, flowing now.
    pub fn explain(&self, now: Now) -> Explanation {
        let partitions = self.lanes.assigned();
        let partitions =
            partitions.map(|(part, lane)| (lane.at.clone(), self.reason(part, lane, now))).collect();
        let missing = |name: &String| match self.metadata.topics().get(name) {
            Some(topic) if !topic.error.is_ok() => Some((name.clone(), topic.error)),
            _ => None,
        };
        let missing_topics = match &self.subscription {
            Subscription::Topics(topics) => topics.iter().filter_map(missing).collect(),
            _ => self.manual_topics.iter().filter_map(missing).collect(),
        };
        let unreachable =
            self.metadata.last_failure().map(|(address, why)| (address.to_string(), why.clone()));
        Explanation { group: self.group_reason(now), partitions, missing_topics, unreachable }
    }

    fn group_reason(&self, now: Now) -> Option<GroupReason> {
        let group = self.group.as_ref().filter(|_| matches!(self.subscription, Subscription::Topics(_)))?;
        if let Some(failure) = self.failure {
            return Some(GroupReason::Failed(failure));
        }
        let membership = &group.membership;
        let waited = now.mono.saturating_duration_since(membership.since);
        let error = membership.last_error;
        Some(match (membership.state(), group.coordinator.unknown_since()) {
            (MemberState::Out, _) => GroupReason::Out,
            (MemberState::Failed, _) => {
                GroupReason::Failed(GroupFailure::Refused(error.unwrap_or(ErrorCode::UnknownServerError)))
            }
            (_, Some(since)) => GroupReason::CoordinatorUnknown {
                waited: now.mono.saturating_duration_since(since),
                error: group.coordinator.last_error,
            },
            (MemberState::Leaving, _) => GroupReason::Leaving,
            (MemberState::Revoking { since, .. }, _) => {
                let held = self.lanes.assigned().filter(|(_, lane)| lane.revoking && lane.held);
                GroupReason::RevocationWaiting {
                    waited: now.mono.saturating_duration_since(since),
                    held: held.map(|(_, lane)| lane.at.clone()).collect(),
                }
            }
            (MemberState::Stable, _) => match self.lanes.assigned().count() {
                0 => GroupReason::Idle,
                partitions => GroupReason::Member { partitions },
            },
            (state, _) => GroupReason::Joining { state, waited, error },
        })
    }

    fn reason(&self, part: crate::PartIdx, lane: &Lane<F>, now: Now) -> Reason {
        let waited = now.mono.saturating_duration_since(lane.since);
        match &lane.position {
            _ if lane.revoking => return Reason::BeingRevoked,
            _ if lane.paused => return Reason::Paused,
            Position::Failed(failure) => return Reason::Failed(failure.clone()),
            _ if lane.queued_bytes > 0 => return Reason::Buffered { bytes: lane.queued_bytes },
            _ => {}
        }
        let topic = self.metadata.topics().get(&lane.at.topic);
        if let Some(error) = topic.map(|topic| topic.error).filter(|error| !error.is_ok()) {
            return Reason::TopicUnknown(error);
        }
        match &lane.position {
            Position::Committed => return Reason::LookingUpCommitted { waited },
            Position::Reset(_) => return Reason::LookingUpOffset { waited },
            _ => {}
        }
        let Some(partition) = self.metadata.partition(&lane.at) else {
            return Reason::TopicUnknown(ErrorCode::UnknownTopicOrPartition);
        };
        let Some(leader) = partition.leader else { return Reason::NoLeader };
        let status = self.connections.status(Target::Node(leader), Kind::Fetch, now.mono);
        match lane.last_error {
            _ if status != LinkStatus::Ready => {
                Reason::Disconnected { node: leader.0, status: status.describe(now.mono) }
            }
            Some(error) => Reason::Retrying { error },
            None if self.fetcher.is_fetching(part, lane.epoch) => {
                let lag = lane.high_watermark.map(|end| (end - lane.fetch_at).max(0));
                Reason::Fetching { lag }
            }
            None if self.fetcher.out_of_room => {
                Reason::BufferFull { used: self.fetcher.used(), budget: self.fetcher.budget() }
            }
            None => Reason::Waiting,
        }
    }
}

impl LinkStatus {
    fn describe(&self, now: std::time::Instant) -> String {
        match self {
            Self::Ready => "connected".to_owned(),
            Self::Unopened => "not connected yet".to_owned(),
            Self::Connecting { since } => {
                format!("connecting for {:.1?}", now.saturating_duration_since(*since))
            }
            Self::Retrying { at, failures, why } => {
                let wait = at.saturating_duration_since(now);
                format!("{why}; attempt {} in {wait:.1?}", failures + 1)
            }
            Self::Throttled { until } => {
                format!("throttled by the broker for {:.1?} more", until.saturating_duration_since(now))
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffered { bytes } => write!(f, "{bytes} bytes wait to be taken"),
            Self::Fetching { lag: Some(0) } => f.write_str("at the end: waiting for new records"),
            Self::Fetching { lag: Some(lag) } => write!(f, "fetching, {lag} records behind"),
            Self::Fetching { lag: None } => f.write_str("fetching"),
            Self::Paused => f.write_str("paused"),
            Self::BeingRevoked => f.write_str("being given up to the group"),
            Self::LookingUpCommitted { waited } => {
                write!(f, "waiting for the committed offset for {waited:.1?}")
            }
            Self::LookingUpOffset { waited } => {
                write!(f, "waiting for an offset from the log for {waited:.1?}")
            }
            Self::TopicUnknown(error) => write!(f, "the topic is not there: {error}"),
            Self::NoLeader => f.write_str("the partition has no leader"),
            Self::Disconnected { node, status } => write!(f, "broker {node}: {status}"),
            Self::Retrying { error } => write!(f, "the broker answered {error}; asking again"),
            Self::BufferFull { used, budget } => {
                write!(f, "{used} of {budget} bytes are used by records not taken or still kept")
            }
            Self::Failed(failure) => write!(f, "stuck until a seek: {failure}"),
            Self::Waiting => f.write_str("about to be fetched"),
        }
    }
}

impl fmt::Display for LaneFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { offset, error } => write!(f, "damaged batch at offset {offset}: {error}"),
            Self::OutOfRange { offset } => {
                write!(f, "offset {offset} is not in the log, and auto.offset.reset is none")
            }
            Self::NoOffset => f.write_str("no committed offset, and auto.offset.reset is none"),
            Self::Broker(error) => write!(f, "the broker refuses: {error}"),
        }
    }
}

impl fmt::Display for GroupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "the coordinator refuses: {error}"),
            Self::MaxPollExceeded(interval) => {
                write!(f, "not a member any more: max.poll.interval of {interval:.1?} passed without a call")
            }
        }
    }
}

impl fmt::Display for GroupReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |error: &Option<ErrorCode>| match error {
            Some(error) => format!(" after {error}"),
            None => String::new(),
        };
        match self {
            Self::Member { partitions } => write!(f, "member with {partitions} partitions"),
            Self::Idle => f.write_str("member without a partition: there are more members than partitions"),
            Self::CoordinatorUnknown { waited, error } => {
                write!(f, "looking for the coordinator for {waited:.1?}{}", after(error))
            }
            Self::Joining { state, waited, error } => write!(f, "{state:?} for {waited:.1?}{}", after(error)),
            Self::RevocationWaiting { waited, held } => {
                let held: Vec<String> = held.iter().map(ToString::to_string).collect();
                let held = held.join(", ");
                write!(f, "a rebalance has waited {waited:.1?} for the user to come back from {held}")
            }
            Self::Leaving => f.write_str("leaving"),
            Self::Out => f.write_str("not a member"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((address, why)) = &self.unreachable {
            writeln!(f, "broker {address}: {why}")?;
        }
        if let Some(group) = &self.group {
            writeln!(f, "group: {group}")?;
        }
        for (topic, error) in &self.missing_topics {
            writeln!(f, "{topic}: {error}")?;
        }
        for (at, reason) in &self.partitions {
            writeln!(f, "{at}: {reason}")?;
        }
        Ok(())
    }
}
