//! Why records are, or are not, flowing now: computed from the state when asked, so that it cannot be out of date.

use std::{collections::BTreeSet, time::Duration};

use ottla_protocol::{ErrorCode, Now};

use super::{CommitReason, Consumer, Explanation, GroupReason, Reason, Subscription, group_side::GroupSide};
use crate::{
    connections::{Kind, LinkStatus, Target},
    group::{GroupFailure, MembershipState, Standing},
    ids::NodeId,
    lanes::{FetchState, Lane, LanePhase},
    offsets::Purpose,
};

/// How long an answer may be on its way, once the broker has held it for the longest time that it may.
const GRACE: Duration = Duration::from_secs(1);

impl<F: Clone> Consumer<F> {
    /// Why records are, or are not, flowing now.
    pub fn explain(&self, now: Now) -> Explanation {
        let partitions = self.lanes.assigned();
        let partitions =
            partitions.map(|(part, lane)| ((*lane.at).clone(), self.reason(part, lane, now))).collect();
        let missing = |name: &String| match self.hub.metadata.topics().get(name) {
            Some(topic) if !topic.error.is_ok() => Some((name.clone(), topic.error)),
            _ => None,
        };
        let missing_topics = match &self.subscription {
            Subscription::Topics(topics) => topics.iter().filter_map(missing).collect(),
            Subscription::Pattern(_) => Vec::new(),
            _ => self.manual_topics.iter().filter_map(missing).collect(),
        };
        let unreachable =
            self.hub.metadata.last_failure().map(|(address, why)| (address.to_string(), why.clone()));
        let began = |lane: &Lane<F>| {
            let (offset, since) = lane.began_at_end.filter(|(offset, _)| *offset > 0)?;
            Some(((*lane.at).clone(), offset, now.mono.saturating_duration_since(since)))
        };
        let follows = |lane: &Lane<F>| {
            let leader_epoch = self.hub.metadata.partition(&lane.at)?.leader_epoch;
            Some(((*lane.at).clone(), lane.source.follower(leader_epoch, now)?.0))
        };
        Explanation {
            group: self.group_reason(now),
            commit: self.commit_reason(now),
            partitions,
            began_at_end: self.lanes.assigned().filter_map(|(_, lane)| began(lane)).collect(),
            followers: self.lanes.assigned().filter_map(|(_, lane)| follows(lane)).collect(),
            missing_topics,
            unreachable,
        }
    }

    fn group_reason(&self, now: Now) -> Option<GroupReason> {
        let group = self.group.as_ref().filter(|_| self.subscription.is_by_group())?;
        if let Some(failure) = self.failure {
            return Some(GroupReason::Failed(failure));
        }
        let membership = &group.membership;
        let since = |since| now.mono.saturating_duration_since(since);
        let waited = since(membership.since());
        Some(match membership.standing() {
            Standing::Out => GroupReason::Out,
            Standing::Failed => {
                let error = membership.attempts().error().unwrap_or(ErrorCode::UnknownServerError);
                GroupReason::Failed(GroupFailure::Refused(error))
            }
            _ if let Some(reason) = self.coordinator_unknown(group, now) => reason,
            _ if let Some(reason) = self.coordinator_refuses(group, now) => reason,
            Standing::Leaving => GroupReason::Leaving,
            _ if !group.callbacks.is_idle() => {
                let begun = group.handover.since().unwrap_or_else(|| membership.since());
                GroupReason::AwaitingListener { waited: since(begun) }
            }
            _ if let Some(reason) = self.revocation(group, now) => reason,
            Standing::Member if membership.awaits_answer() => GroupReason::AwaitingHeartbeat { waited },
            Standing::Member => match (membership.nameless(), self.lanes.assigned().count()) {
                (0, 0) => {
                    let known = |topics: &BTreeSet<String>| {
                        let topics = topics.iter().filter_map(|topic| self.hub.metadata.topic(topic));
                        topics.map(|topic| topic.partitions.len()).sum()
                    };
                    GroupReason::Idle {
                        members: membership.size(),
                        partitions: membership.topics().map(known),
                    }
                }
                (0, partitions) => GroupReason::Member { partitions },
                (topics, partitions) => GroupReason::AwaitingNames { topics, partitions, waited },
            },
            Standing::Joining => {
                // The kind of connection by which a member joins.
                let kind = match membership.state() {
                    MembershipState::Classic(_) => Kind::Join,
                    MembershipState::Consumer(_) => Kind::Main,
                };
                let retry = membership.attempts().retry(now);
                let joining = GroupReason::Joining { state: membership.state(), waited, retry };
                self.coordinator_not_ready(group, kind, now).unwrap_or(joining)
            }
        })
    }

    /// Why partitions that are to go have not gone yet; `None` where none are.
    fn revocation(&self, group: &GroupSide, now: Now) -> Option<GroupReason> {
        let handover = Some(&group.handover).filter(|handover| handover.is_revoking())?;
        let waited = now.mono.saturating_duration_since(handover.since()?);
        let held = self.lanes.held_up();
        let commits = handover.awaits_commit() && group.commits.are_revoking(&self.lanes);
        if commits || !held.is_empty() {
            let retry = group.commits.retry(now).filter(|_| held.is_empty());
            return Some(GroupReason::RevocationWaiting { waited, held, retry });
        }
        let awaits_answer = group.membership.may_not_take_more();
        awaits_answer.then_some(GroupReason::AwaitingHeartbeat { waited })
    }

    fn coordinator_unknown(&self, group: &GroupSide, now: Now) -> Option<GroupReason> {
        let since = group.coordinator.unknown_since()?;
        let was = |node: NodeId| {
            let failed = |kind: &Kind| self.hub.connections.last_failure(Target::Node(node), *kind).is_some();
            let kind = [Kind::Join, Kind::Main].into_iter().find(failed).unwrap_or(Kind::Main);
            (node.0, self.link(node, kind, now))
        };
        Some(GroupReason::CoordinatorUnknown {
            waited: now.mono.saturating_duration_since(since),
            retry: group.coordinator.attempts.retry(now),
            was: group.coordinator.last().map(was),
        })
    }

    /// It has refused the connection for good: no heartbeat is sent before a call has told so.
    fn coordinator_refuses(&self, group: &GroupSide, now: Now) -> Option<GroupReason> {
        let node = group.coordinator.node()?;
        let status = |kind| self.hub.connections.status(Target::Node(node), kind, now.mono);
        let refused = |status: &LinkStatus| matches!(status, LinkStatus::Refused { .. });
        let status = [Kind::Main, Kind::Join].map(status).into_iter().find(refused)?;
        Some(GroupReason::CoordinatorNotReady { node: node.0, status: status.describe(now.mono) })
    }

    fn coordinator_not_ready(&self, group: &GroupSide, kind: Kind, now: Now) -> Option<GroupReason> {
        let node = group.coordinator.node()?;
        let status = self.hub.connections.status(Target::Node(node), kind, now.mono);
        let waits = matches!(status, LinkStatus::Connecting { .. } | LinkStatus::Throttled { .. });
        let status = waits.then(|| status.describe(now.mono))?;
        Some(GroupReason::CoordinatorNotReady { node: node.0, status })
    }

    fn commit_reason(&self, now: Now) -> Option<CommitReason> {
        let group = self.group.as_ref().filter(|group| !group.commits.is_idle())?;
        let retry = group.commits.retry(now);
        let unknown = || self.coordinator_unknown(group, now);
        let coordinator = || unknown().or_else(|| self.coordinator_not_ready(group, Kind::Main, now));
        let waited = group.commits.asked_since().map(|since| now.mono.saturating_duration_since(since));
        Some(match (waited, retry) {
            (Some(waited), retry) => CommitReason::Unanswered { waited, retry },
            (None, Some(retry)) if !retry.rest.is_zero() => CommitReason::Retrying(retry),
            _ if let Some(reason) = coordinator() => CommitReason::Coordinator(reason),
            _ if group.membership.committer().is_none() => CommitReason::AwaitingGeneration,
            _ => CommitReason::Waiting,
        })
    }

    fn reason(&self, part: crate::ids::PartIdx, lane: &Lane<F>, now: Now) -> Reason {
        let waited = now.mono.saturating_duration_since(lane.since);
        match (lane.phase(), &lane.state) {
            _ if self.closing.is_some() => return Reason::Closing,
            (LanePhase::Revoking, _) => return Reason::BeingRevoked,
            (LanePhase::Announcing, _) => return Reason::AwaitingListener,
            _ if lane.paused => return Reason::Paused,
            (_, FetchState::Failed(failure)) => return Reason::Failed((**failure).clone()),
            _ if lane.queued_bytes > 0 => return Reason::Buffered { bytes: lane.queued_bytes },
            _ => {}
        }
        let topic = self.hub.metadata.topics().get(&lane.at.topic);
        if let Some(error) = topic.map(|topic| topic.error).filter(|error| !error.is_ok()) {
            return Reason::TopicUnknown(error);
        }
        if lane.state == FetchState::AwaitsCommitted {
            return self.looking_up_committed(waited, now);
        }
        let Some(topic) = topic else {
            let throttled = self.hub.metadata.throttled(&self.hub.connections, now);
            return throttled.map_or(Reason::AwaitingMetadata, |rest| Reason::Throttled { rest });
        };
        let Some(partition) = topic.partitions.get(&lane.at.partition) else {
            return Reason::TopicUnknown(ErrorCode::UnknownTopicOrPartition);
        };
        let Some(leader) = partition.leader else { return Reason::NoLeader { waited } };
        if let FetchState::AwaitsReset(search) = lane.state {
            if search.is_for_lost_position() && self.is_in_doubt(now) {
                return Reason::AwaitingHeartbeat { waited };
            }
            return self.link_reason(leader, Kind::Main, now).unwrap_or_else(|| {
                let retry = self.lookups.retry(Purpose::Lane(part, lane.epoch), now);
                Reason::LookingUpOffset { waited, retry }
            });
        }
        if lane.is_of_other(topic.id) {
            return Reason::TopicRecreated;
        }
        if lane.needs_validation(partition.leader_epoch) {
            return self.link_reason(leader, Kind::Main, now).unwrap_or_else(|| {
                let (leader_epoch, retry) = (partition.leader_epoch, lane.attempts.retry(now));
                Reason::ValidatingPosition { leader_epoch, waited, retry }
            });
        }
        let broker = lane.source.follower(partition.leader_epoch, now).unwrap_or(leader);
        if let Some(reason) = self.link_reason(broker, Kind::Fetch, now) {
            return reason;
        }
        let busy = self.fetcher.busy_since(broker).map(|since| now.mono.saturating_duration_since(since));
        match lane.attempts.retry(now).filter(|retry| retry.error.is_some()) {
            _ if let Some(waited) = busy.filter(|waited| *waited > self.fetcher.max_wait() + GRACE) => {
                Reason::Unanswered { node: broker.0, waited }
            }
            Some(retry) => Reason::Retrying(retry),
            None if let Some(held_back) = lane.held_back() => {
                Reason::OpenTransaction { held_back, by: self.fetcher.held_back_by(part, lane, now) }
            }
            None if self.fetcher.asks_for(part, lane.epoch) => {
                let lag = lane.log_end.map(|end| end.lag(lane.fetch_at));
                Reason::Fetching { lag }
            }
            None if self.fetcher.out_of_room => {
                Reason::BufferFull { used: self.fetcher.used(), budget: self.fetcher.budget() }
            }
            None if busy.is_some() || self.fetcher.far_ahead => Reason::NextFetch,
            None => Reason::Waiting,
        }
    }

    fn looking_up_committed(&self, waited: Duration, now: Now) -> Reason {
        let Some(group) = &self.group else { return Reason::LookingUpCommitted { waited, retry: None } };
        let (link, attempts) = match group.coordinator.node() {
            Some(node) => (self.link_reason(node, Kind::Main, now), &group.committed.attempts),
            None => (None, &group.coordinator.attempts),
        };
        link.unwrap_or_else(|| Reason::LookingUpCommitted { waited, retry: attempts.retry(now) })
    }

    /// Why nothing can be sent to this broker; `None` where a connection is ready.
    fn link_reason(&self, node: NodeId, kind: Kind, now: Now) -> Option<Reason> {
        match self.hub.connections.status(Target::Node(node), kind, now.mono) {
            LinkStatus::Ready => None,
            LinkStatus::Throttled { until } => {
                Some(Reason::Throttled { rest: until.saturating_duration_since(now.mono) })
            }
            _ => Some(Reason::Disconnected { node: node.0, status: self.link(node, kind, now) }),
        }
    }

    /// How the connection to a broker stands.
    fn link(&self, node: NodeId, kind: Kind, now: Now) -> String {
        let (target, connections) = (Target::Node(node), &self.hub.connections);
        match (connections.status(target, kind, now.mono), connections.last_failure(target, kind)) {
            (LinkStatus::Unopened, Some(why)) => format!("{why}; about to be tried again"),
            (status, _) => status.describe(now.mono),
        }
    }
}

impl LinkStatus {
    fn describe(&self, now: std::time::Instant) -> String {
        match self {
            Self::Ready => "connected".to_owned(),
            Self::Unopened => "not connected yet".to_owned(),
            Self::Connecting { since, stage } => {
                format!("{stage} for {:.1?}", now.saturating_duration_since(*since))
            }
            Self::Retrying { at, failures, why } => {
                let wait = at.saturating_duration_since(now);
                format!("{why}; attempt {} in {wait:.1?}", failures + 1)
            }
            Self::Refused { why } => format!("{why}; tried again when a call has told so"),
            Self::Throttled { until } => {
                format!("throttled by the broker for {:.1?} more", until.saturating_duration_since(now))
            }
        }
    }
}
