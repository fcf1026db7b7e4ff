//! The classic protocol, eager: everything is given up before the group is joined again.
//!
//! JoinGroup and SyncGroup have a connection of their own, as the coordinator holds them until the whole group is
//! there. Heartbeats go on while partitions are given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{
        HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
        LeaveGroupMemberIdentity, LeaveGroupRequest, SyncGroupRequest, SyncGroupRequestAssignment,
        SyncGroupResponse,
    },
};

use super::{
    GroupConfig, GroupNews, LeaderTask, Member, MemberState,
    assignor::PartitionRacks,
    consumer_protocol::{Assignment, Subscription},
};
use crate::{
    backoff::Backoff,
    connections::{Connections, Kind, Target},
    coordinator::Coordinator,
    deadline::Earliest,
    ids::RequestId,
    metadata::{Metadata, Partition, Wanted},
    offsets::Committer,
    planted::{Planted, Plot},
};

/// One consumer's place in its group.
#[derive(Debug)]
pub(crate) struct Membership {
    config: GroupConfig,
    state: MemberState,
    member_id: String,
    generation_id: i32,
    protocol: Option<String>,
    topics: BTreeSet<String>,
    /// The user wants to be a member again before the leave was answered.
    joins_again: bool,
    /// JoinGroup, SyncGroup or LeaveGroup on its way.
    request: Option<RequestId>,
    heartbeat: Option<(RequestId, i32)>,
    heartbeat_due: Instant,
    task: Option<LeaderTask>,
    shared_out: Vec<SyncGroupRequestAssignment>,
    backoff: Backoff,
    failures: u32,
    retry_at: Option<Instant>,
    pub(crate) last_error: Option<ErrorCode>,
    pub(crate) since: Instant,
    rng: fastrand::Rng,
    pub(crate) plot: Plot,
}

impl Membership {
    pub(crate) fn new(config: GroupConfig, backoff: Backoff, seed: u64, now: Now) -> Self {
        Self {
            config,
            state: MemberState::Out,
            member_id: String::new(),
            generation_id: -1,
            protocol: None,
            topics: BTreeSet::new(),
            joins_again: false,
            request: None,
            heartbeat: None,
            heartbeat_due: now.mono,
            task: None,
            shared_out: Vec::new(),
            backoff,
            failures: 0,
            retry_at: None,
            last_error: None,
            since: now.mono,
            rng: fastrand::Rng::with_seed(seed),
            plot: Plot::default(),
        }
    }

    pub(crate) fn config(&self) -> &GroupConfig {
        &self.config
    }

    pub(crate) fn state(&self) -> MemberState {
        self.state
    }

    pub(crate) fn generation_id(&self) -> i32 {
        self.generation_id
    }

    pub(crate) fn member_id(&self) -> &str {
        &self.member_id
    }

    /// In whose name offsets are committed: outside a generation, nobody's.
    pub(crate) fn committer(&self) -> Committer {
        match self.state.beats() {
            true => Committer { generation_id: self.generation_id, member_id: self.member_id.clone() },
            false => Committer { generation_id: -1, member_id: String::new() },
        }
    }

    /// The topics that this member, and as leader its group, must know.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        let of_members = self.task.iter().flat_map(|task| &task.members);
        self.topics.iter().chain(of_members.flat_map(|member| &member.subscription.topics))
    }

    fn transition_to(&mut self, next: MemberState, now: Now) {
        debug_assert!(next.may_follow(self.state), "{next:?} after {:?}", self.state);
        self.state = next;
        self.since = now.mono;
        self.request = None;
        self.retry_at = None;
    }

    /// The user's subscription. A member with another one joins again.
    pub(crate) fn subscribe(&mut self, topics: BTreeSet<String>, now: Now) -> GroupNews {
        let changed = topics != self.topics;
        self.topics = topics;
        match self.state {
            MemberState::Out if !self.topics.is_empty() => {
                self.transition_to(MemberState::Joining, now);
                GroupNews::None
            }
            MemberState::Leaving => {
                self.joins_again = true;
                GroupNews::None
            }
            MemberState::Stable if changed => self.begin_rebalance(now),
            // JoinGroup carries the subscription: one on its way has the old.
            MemberState::Joining | MemberState::Assigning | MemberState::Syncing if changed => {
                self.transition_to(MemberState::Joining, now);
                GroupNews::None
            }
            _ => GroupNews::None,
        }
    }

    /// The group rebalances, and this member is to give up what it owns.
    pub(crate) fn begin_rebalance(&mut self, now: Now) -> GroupNews {
        if self.state != MemberState::Stable {
            return GroupNews::None;
        }
        let deadline = now.mono + self.config.max_poll_interval;
        self.transition_to(MemberState::Revoking { since: now.mono, deadline }, now);
        GroupNews::Rebalance
    }

    /// What was owned has been given up: joins again.
    pub(crate) fn revoked(&mut self, now: Now) {
        if let MemberState::Revoking { .. } = self.state {
            self.transition_to(MemberState::Joining, now);
        }
    }

    /// Begins to leave. Without a member id there is nothing to leave.
    pub(crate) fn leave(&mut self, now: Now) {
        self.joins_again = false;
        match self.state {
            MemberState::Out | MemberState::Failed | MemberState::Leaving => {}
            _ => {
                self.transition_to(MemberState::Leaving, now);
                if self.member_id.is_empty() {
                    self.left(now);
                }
            }
        }
    }

    fn left(&mut self, now: Now) {
        self.forget_member();
        self.transition_to(MemberState::Out, now);
        if std::mem::take(&mut self.joins_again) && !self.topics.is_empty() {
            self.transition_to(MemberState::Joining, now);
        }
    }

    fn forget_member(&mut self) {
        if !self.plot.has(Planted::UnknownMemberKeepsId) {
            self.member_id.clear();
        }
        self.forget_generation();
    }

    fn forget_generation(&mut self) {
        self.generation_id = -1;
        self.heartbeat = None;
        self.task = None;
    }

    /// The coordinator does not know this member, or not in this generation.
    pub(crate) fn lost(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        self.last_error = Some(error);
        match error {
            ErrorCode::UnknownMemberId => self.forget_member(),
            _ => self.forget_generation(),
        }
        if self.state == MemberState::Leaving {
            return GroupNews::None;
        }
        self.transition_to(MemberState::Joining, now);
        GroupNews::Lost
    }

    fn fail(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        self.last_error = Some(error);
        self.forget_member();
        self.transition_to(MemberState::Failed, now);
        GroupNews::Failed(error)
    }

    fn back_off(&mut self, now: Now) {
        self.request = None;
        self.failures += 1;
        self.retry_at = Some(now.mono + self.backoff.after(self.failures, &mut self.rng));
    }

    /// What is to be sent now.
    pub(crate) fn poll_send(
        &mut self,
        coordinator: &mut Coordinator,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<RequestId> {
        let mut sent = Vec::new();
        if self.state == MemberState::Assigning {
            self.share_out(metadata, now);
        }
        if self.request.is_none() && self.retry_at.is_none_or(|at| at <= now.mono) {
            self.request = match self.state {
                MemberState::Joining => self.send_join(coordinator, metadata, connections, now),
                MemberState::Syncing => self.send_sync(coordinator, metadata, connections, now),
                MemberState::Leaving => self.send_leave(coordinator, metadata, connections, now),
                _ => None,
            };
            sent.extend(self.request);
        }
        if self.state.beats() && self.heartbeat.is_none() && self.heartbeat_due <= now.mono {
            sent.extend(self.send_heartbeat(coordinator, metadata, connections, now));
        }
        sent
    }

    fn send_join(
        &mut self,
        coordinator: &mut Coordinator,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let target = Target::Node(coordinator.ready(Kind::Join, metadata, connections, now)?);
        let version = connections.version(target, Kind::Join, ApiKey::JoinGroup, i16::MAX).ok()?;
        let topics = self.topics.iter().cloned().collect();
        let subscription = Subscription { topics, generation_id: -1, ..Default::default() }.encode();
        let names = self.config.assignors.iter().map(|assignor| assignor.name().to_owned());
        let protocol = |name| JoinGroupRequestProtocol { name, metadata: subscription.clone() };
        let request = JoinGroupRequest {
            group_id: self.config.id.clone(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.max_poll_interval),
            member_id: self.member_id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: names.map(protocol).collect(),
            ..Default::default()
        };
        // The coordinator answers when the slowest member has come: `request.timeout.ms` would cut that short.
        let timeout = (self.config.max_poll_interval + Duration::from_secs(5)).max(Duration::from_secs(30));
        self.task = None;
        Some(connections.send(target, Kind::Join, version, request, Some(timeout), now))
    }

    fn send_sync(
        &mut self,
        coordinator: &mut Coordinator,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let target = Target::Node(coordinator.ready(Kind::Join, metadata, connections, now)?);
        let version = connections.version(target, Kind::Join, ApiKey::SyncGroup, i16::MAX).ok()?;
        let request = SyncGroupRequest {
            group_id: self.config.id.clone(),
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: self.protocol.clone(),
            assignments: self.shared_out.clone(),
            ..Default::default()
        };
        let timeout = (self.config.max_poll_interval + Duration::from_secs(5)).max(Duration::from_secs(30));
        Some(connections.send(target, Kind::Join, version, request, Some(timeout), now))
    }

    fn send_leave(
        &mut self,
        coordinator: &mut Coordinator,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let target = Target::Node(coordinator.ready(Kind::Main, metadata, connections, now)?);
        let version = connections.version(target, Kind::Main, ApiKey::LeaveGroup, i16::MAX).ok()?;
        let request = LeaveGroupRequest {
            group_id: self.config.id.clone(),
            member_id: self.member_id.clone(),
            members: vec![LeaveGroupMemberIdentity {
                member_id: self.member_id.clone(),
                ..Default::default()
            }],
        };
        Some(connections.send(target, Kind::Main, version, request, None, now))
    }

    fn send_heartbeat(
        &mut self,
        coordinator: &mut Coordinator,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let target = Target::Node(coordinator.ready(Kind::Main, metadata, connections, now)?);
        let version = connections.version(target, Kind::Main, ApiKey::Heartbeat, i16::MAX).ok()?;
        let request = HeartbeatRequest {
            group_id: self.config.id.clone(),
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            ..Default::default()
        };
        // A heartbeat that takes longer than the session is no heartbeat.
        let id =
            connections.send(target, Kind::Main, version, request, Some(self.config.session_timeout), now);
        self.heartbeat = Some((id, self.generation_id));
        self.heartbeat_due = now.mono + self.config.heartbeat_interval;
        Some(id)
    }

    /// The answer to JoinGroup.
    pub(crate) fn handle_join(
        &mut self,
        id: RequestId,
        response: JoinGroupResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        if self.request != Some(id) || self.state != MemberState::Joining {
            return GroupNews::None;
        }
        self.request = None;
        match response.error_code {
            ErrorCode::None => {
                (self.failures, self.last_error) = (0, None);
                self.member_id = response.member_id;
                self.generation_id = response.generation_id;
                self.protocol = response.protocol_name.clone();
                self.heartbeat_due = now.mono + self.config.heartbeat_interval;
                self.shared_out.clear();
                if response.leader != self.member_id || response.skip_assignment {
                    self.transition_to(MemberState::Syncing, now);
                    return GroupNews::None;
                }
                let member = |member: ottla_protocol::messages::JoinGroupResponseMember| Member {
                    id: member.member_id,
                    instance_id: member.group_instance_id,
                    // A member whose wishes cannot be read gets nothing; the others are not to suffer for it.
                    subscription: Subscription::decode(&member.metadata).unwrap_or_default(),
                };
                self.task = Some(LeaderTask {
                    assignor: response.protocol_name.unwrap_or_default(),
                    members: response.members.into_iter().map(member).collect(),
                    counts: BTreeMap::new(),
                });
                self.transition_to(MemberState::Assigning, now);
                GroupNews::None
            }
            ErrorCode::MemberIdRequired => {
                self.member_id = response.member_id;
                GroupNews::None
            }
            ErrorCode::UnknownMemberId => {
                self.forget_member();
                self.back_off(now);
                GroupNews::None
            }
            error => self.refused(error, coordinator, now),
        }
    }

    /// As leader: shares out, as soon as every topic of the group is known.
    fn share_out(&mut self, metadata: &Metadata, now: Now) {
        let wanted = Wanted::Topics(self.topics().cloned().collect());
        let Some(task) = self.task.as_mut().filter(|_| metadata.covers(&wanted)) else { return };
        let topics = task.members.iter().flat_map(|member| &member.subscription.topics);
        let racks = |partition: &Partition| {
            let nodes = metadata.nodes();
            partition.replicas.iter().filter_map(|id| nodes.get(id)?.rack.clone()).collect()
        };
        let shape = |topic: &String| {
            let partitions = metadata.topic(topic)?.partitions.values().map(racks).collect();
            Some((topic.clone(), partitions))
        };
        let shapes: BTreeMap<String, Vec<PartitionRacks>> = topics.filter_map(shape).collect();
        task.counts = shapes.iter().map(|(topic, partitions)| (topic.clone(), partitions.len())).collect();
        let assignor = self.config.assignors.iter().find(|assignor| assignor.name() == task.assignor);
        let assignments =
            assignor.map(|assignor| assignor.assign(&shapes, &task.members)).unwrap_or_default();
        self.shared_out = assignments
            .into_iter()
            .map(|(member_id, a)| SyncGroupRequestAssignment { member_id, assignment: a.encode() })
            .collect();
        self.transition_to(MemberState::Syncing, now);
    }

    /// Whether this leader's topics have another number of partitions than when it shared them out.
    pub(crate) fn is_outdated(&self, metadata: &Metadata) -> bool {
        let Some(task) = self.task.as_ref().filter(|_| self.state == MemberState::Stable) else {
            return false;
        };
        let count = |topic: &String| metadata.topic(topic).map(|topic| topic.partitions.len());
        let topics = task.members.iter().flat_map(|member| &member.subscription.topics);
        // A topic that vanishes from one answer may be back in the next: only news of partitions that exist count.
        topics
            .into_iter()
            .any(|topic| count(topic).is_some_and(|count| task.counts.get(topic) != Some(&count)))
    }

    /// The answer to SyncGroup.
    pub(crate) fn handle_sync(
        &mut self,
        id: RequestId,
        response: SyncGroupResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        if self.request != Some(id) || self.state != MemberState::Syncing {
            return GroupNews::None;
        }
        self.request = None;
        match response.error_code {
            ErrorCode::None => match Assignment::decode(&response.assignment) {
                Ok(assignment) => {
                    self.transition_to(MemberState::Stable, now);
                    GroupNews::Assigned(assignment.partitions)
                }
                // The leader wrote what cannot be read: another leader may do better.
                Err(_) => {
                    self.transition_to(MemberState::Joining, now);
                    self.back_off(now);
                    GroupNews::None
                }
            },
            ErrorCode::RebalanceInProgress => {
                self.transition_to(MemberState::Joining, now);
                GroupNews::None
            }
            error @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => self.lost(error, now),
            error => self.refused(error, coordinator, now),
        }
    }

    /// JoinGroup or SyncGroup was refused for another reason than the membership's.
    fn refused(&mut self, error: ErrorCode, coordinator: &mut Coordinator, now: Now) -> GroupNews {
        self.last_error = Some(error);
        match error {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => coordinator.forget(now),
            ErrorCode::IllegalGeneration => self.forget_generation(),
            ErrorCode::RebalanceInProgress | ErrorCode::UnknownServerError => {}
            error if error.is_retriable() => {}
            error => return self.fail(error, now),
        }
        if self.state != MemberState::Joining {
            self.transition_to(MemberState::Joining, now);
        }
        self.back_off(now);
        GroupNews::None
    }

    /// The answer to a heartbeat.
    pub(crate) fn handle_heartbeat(
        &mut self,
        id: RequestId,
        response: HeartbeatResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        let Some((_, generation_id)) = self.heartbeat.take_if(|(sent, _)| *sent == id) else {
            return GroupNews::None;
        };
        let stale = generation_id != self.generation_id && !self.plot.has(Planted::StaleHeartbeatCounts);
        if stale || !self.state.beats() {
            return GroupNews::None;
        }
        match response.error_code {
            ErrorCode::None => {
                self.last_error = None;
                GroupNews::None
            }
            ErrorCode::RebalanceInProgress if self.plot.has(Planted::RebalanceIsIgnored) => GroupNews::None,
            ErrorCode::RebalanceInProgress => self.begin_rebalance(now),
            error @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => self.lost(error, now),
            error @ (ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {
                self.last_error = Some(error);
                coordinator.forget(now);
                self.heartbeat_due = now.mono;
                GroupNews::None
            }
            error if error.is_retriable() => {
                self.last_error = Some(error);
                GroupNews::None
            }
            error => self.fail(error, now),
        }
    }

    /// The answer to LeaveGroup: whatever it is, the member is gone.
    pub(crate) fn handle_leave(&mut self, id: RequestId, now: Now) {
        if self.request == Some(id) && self.state == MemberState::Leaving {
            self.left(now);
        }
    }

    /// A request stays without an answer.
    pub(crate) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        if self.heartbeat.take_if(|(sent, _)| *sent == id).is_some() {
            self.heartbeat_due = now.mono + self.backoff.first;
        }
        if self.request == Some(id) {
            match self.state {
                // Once tried is enough: the session will expire.
                MemberState::Leaving => self.left(now),
                MemberState::Syncing => {
                    self.transition_to(MemberState::Joining, now);
                    self.back_off(now);
                }
                _ => self.back_off(now),
            }
        }
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.retry_at);
        if self.state.beats() && self.heartbeat.is_none() {
            earliest.consider(self.heartbeat_due);
        }
        if let MemberState::Revoking { deadline, .. } = self.state {
            earliest.consider(deadline);
        }
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
