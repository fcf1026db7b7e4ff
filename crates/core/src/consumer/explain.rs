//! Why records are, or are not, flowing now: computed from the state when asked, so that it cannot be out of date.

use std::time::Duration;

use ottla_protocol::{ErrorCode, Now};

use super::{Consumer, Explanation, GroupReason, Reason, Subscription, group_side::GroupSide};
use crate::{
    connections::{Kind, LinkStatus, Target},
    group::{GroupFailure, MembershipState, Standing},
    ids::NodeId,
    lanes::{Lane, Position},
    offsets::Purpose,
};

/// For how long an answer may be on its way after a broker has held it for as long as it may.
const GRACE: Duration = Duration::from_secs(1);

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
                0 => {
                    let topics = membership.topics().iter().filter_map(|topic| self.metadata.topic(topic));
                    let partitions = topics.map(|topic| topic.partitions.len()).sum();
                    GroupReason::Idle { members: membership.size(), partitions }
                }
                partitions => GroupReason::Member { partitions },
            },
            Standing::Joining => match self.coordinator_link(group, now) {
                Some((
                    NodeId(node),
                    status @ (LinkStatus::Connecting { .. } | LinkStatus::Throttled { .. }),
                )) => GroupReason::CoordinatorNotReady { node, status: status.describe(now.mono) },
                _ => GroupReason::Joining { state: membership.state(), waited, error },
            },
        })
    }

    /// The coordinator, where it is known, and the connection by which a member comes in.
    fn coordinator_link(&self, group: &GroupSide, now: Now) -> Option<(NodeId, LinkStatus)> {
        let kind = match group.membership.state() {
            MembershipState::Classic(_) => Kind::Join,
            MembershipState::Consumer(_) => Kind::Main,
        };
        let node = group.coordinator.node()?;
        Some((node, self.connections.status(Target::Node(node), kind, now.mono)))
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
        if lane.position == Position::Committed {
            return self.looking_up_committed(waited, now);
        }
        let Some(topic) = topic else { return Reason::AwaitingMetadata };
        let Some(partition) = topic.partitions.get(&lane.at.partition) else {
            return Reason::TopicUnknown(ErrorCode::UnknownTopicOrPartition);
        };
        let Some(leader) = partition.leader else { return Reason::NoLeader { waited } };
        if let Position::Reset(_) = lane.position {
            return self.link_reason(leader, Kind::Main, now).unwrap_or_else(|| {
                let error = self.lookups.last_error(Purpose::Lane(part, lane.epoch));
                Reason::LookingUpOffset { waited, error }
            });
        }
        if let Some(reason) = self.link_reason(leader, Kind::Fetch, now) {
            return reason;
        }
        let asked = self.fetcher.fetching_since(part, lane.epoch);
        let asked = asked.map(|since| now.mono.saturating_duration_since(since));
        match (lane.last_error, asked) {
            (Some(error), _) => {
                let rest = lane.retry_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now.mono));
                Reason::Retrying { error, attempts: lane.failures, rest }
            }
            (None, Some(waited)) if waited > self.fetcher.max_wait() + GRACE => {
                Reason::Unanswered { node: leader.0, waited }
            }
            (None, Some(_)) => {
                let lag = lane.high_watermark.map(|end| (end - lane.fetch_at).max(0));
                Reason::Fetching { lag }
            }
            (None, None) if self.fetcher.out_of_room => {
                Reason::BufferFull { used: self.fetcher.used(), budget: self.fetcher.budget() }
            }
            (None, None) if self.fetcher.is_busy(leader) => Reason::NextFetch,
            (None, None) => Reason::Waiting,
        }
    }

    fn looking_up_committed(&self, waited: Duration, now: Now) -> Reason {
        let node = self.group.as_ref().and_then(|group| group.coordinator.node());
        node.and_then(|node| self.link_reason(node, Kind::Main, now)).unwrap_or_else(|| {
            let error = self.group.as_ref().and_then(|group| group.committed.last_error);
            Reason::LookingUpCommitted { waited, error }
        })
    }

    /// Why nothing can be sent to this broker, unless it can.
    fn link_reason(&self, node: NodeId, kind: Kind, now: Now) -> Option<Reason> {
        match self.connections.status(Target::Node(node), kind, now.mono) {
            LinkStatus::Ready => None,
            LinkStatus::Throttled { until } => {
                Some(Reason::Throttled { rest: until.saturating_duration_since(now.mono) })
            }
            status => Some(Reason::Disconnected { node: node.0, status: status.describe(now.mono) }),
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
