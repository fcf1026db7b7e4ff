//! Why records are, or are not, flowing now: computed from the state when asked, so that it cannot be out of date.

use std::time::Duration;

use ottla_protocol::{ErrorCode, Now};

use super::{Consumer, Explanation, GroupReason, Reason, Subscription};
use crate::{
    connections::{Kind, LinkStatus, Target},
    group::{GroupFailure, Standing},
    lanes::{Lane, Position},
};

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
            Subscription::Pattern(_) => Vec::new(),
            _ => self.manual_topics.iter().filter_map(missing).collect(),
        };
        let unreachable =
            self.metadata.last_failure().map(|(address, why)| (address.to_string(), why.clone()));
        Explanation { group: self.group_reason(now), partitions, missing_topics, unreachable }
    }

    fn group_reason(&self, now: Now) -> Option<GroupReason> {
        let group = self.group.as_ref().filter(|_| self.subscription.interest().is_some())?;
        if let Some(failure) = self.failure {
            return Some(GroupReason::Failed(failure));
        }
        let membership = &group.membership;
        let since = |since| now.mono.saturating_duration_since(since);
        let (waited, error) = (since(membership.since()), membership.last_error());
        let standing = membership.standing();
        Some(match standing {
            Standing::Out => GroupReason::Out,
            Standing::Failed => {
                GroupReason::Failed(GroupFailure::Refused(error.unwrap_or(ErrorCode::UnknownServerError)))
            }
            _ if let Some(unknown) = group.coordinator.unknown_since() => GroupReason::CoordinatorUnknown {
                waited: since(unknown),
                error: group.coordinator.last_error,
            },
            Standing::Leaving => GroupReason::Leaving,
            _ if !group.callbacks.is_idle() => {
                let begun = group.handover.as_ref().map_or(membership.since(), |handover| handover.since);
                GroupReason::AwaitingListener { waited: since(begun) }
            }
            _ if let Some(handover) = group.handover.as_ref().filter(|handover| handover.is_revoking()) => {
                GroupReason::RevocationWaiting { waited: since(handover.since), held: self.lanes.held_up() }
            }
            Standing::Member => match self.lanes.assigned().count() {
                0 => GroupReason::Idle,
                partitions => GroupReason::Member { partitions },
            },
            Standing::Joining => GroupReason::Joining { state: membership.state(), waited, error },
        })
    }

    fn reason(&self, part: crate::PartIdx, lane: &Lane<F>, now: Now) -> Reason {
        let waited = now.mono.saturating_duration_since(lane.since);
        match &lane.position {
            _ if self.closing.is_some() => return Reason::Closing,
            _ if lane.revoking => return Reason::BeingRevoked,
            _ if lane.fresh => return Reason::AwaitingListener,
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
        let Some(leader) = partition.leader else { return Reason::NoLeader { waited } };
        let status = self.connections.status(Target::Node(leader), Kind::Fetch, now.mono);
        let rest = |until: std::time::Instant| until.saturating_duration_since(now.mono);
        match (status, lane.last_error) {
            (LinkStatus::Throttled { until }, _) => Reason::Throttled { rest: rest(until) },
            (LinkStatus::Ready, Some(error)) => {
                let rest = lane.retry_at.map_or(Duration::ZERO, rest);
                Reason::Retrying { error, attempts: lane.failures, rest }
            }
            (LinkStatus::Ready, None) if self.fetcher.is_fetching(part, lane.epoch) => {
                let lag = lane.high_watermark.map(|end| (end - lane.fetch_at).max(0));
                Reason::Fetching { lag }
            }
            (LinkStatus::Ready, None) if self.fetcher.out_of_room => {
                Reason::BufferFull { used: self.fetcher.used(), budget: self.fetcher.budget() }
            }
            (LinkStatus::Ready, None) if self.fetcher.is_busy(leader) => Reason::NextFetch,
            (LinkStatus::Ready, None) => Reason::Waiting,
            (status, _) => Reason::Disconnected { node: leader.0, status: status.describe(now.mono) },
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
