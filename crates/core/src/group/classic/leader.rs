//! The leader's work: it assigns the partitions, and watches whether topics get other partitions than it assigned.
//! A static member that comes back looks for that once, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use ottla_protocol::{
    ErrorCode, Now,
    messages::{
        DescribeGroupsDescribedGroup, DescribeGroupsResponse, JoinGroupResponse, JoinGroupResponseMember,
        SyncGroupRequestAssignment,
    },
};

use super::ClassicMember;
use crate::{
    coordinator::Coordinator,
    group::{
        ClassicState, Member, PartitionRacks,
        assignor::withhold_moving,
        embedded::{Assignment, Subscription},
    },
    ids::RequestId,
    metadata::{Metadata, Partition, Wanted},
};

/// The members among which partitions are assigned, and the assignor that decides.
#[derive(Debug)]
pub(super) struct Task {
    assignor: String,
    members: Vec<Member>,
    /// When the leader joins again if no other generation has begun. A static member that was to give up partitions
    /// may restart and come back without them, and then has no reason to join again; otherwise nobody would get
    /// those partitions.
    pub(super) follow_up_by: Option<Instant>,
}

type Shapes = BTreeMap<String, Vec<PartitionRacks>>;

/// How many partitions of each topic were assigned. Once a topic has another number of them, the member joins again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// Not looked at here: the leader sees to it.
    Unwatched,
    /// A static member came back into a generation that goes on (KIP-814). Partitions may have been added while the
    /// leader was away, or this member may have other topics now. The coordinator is to be asked which partitions
    /// every member has.
    Unasked,
    /// The coordinator refuses to tell. The partitions that exist now are taken to be assigned.
    Untold,
    Counted(BTreeMap<String, usize>),
}

impl Task {
    pub(super) fn new(response: JoinGroupResponse) -> Self {
        let member = |member: JoinGroupResponseMember| Member {
            id: member.member_id,
            instance_id: member.group_instance_id,
            // A member whose subscription cannot be decoded gets nothing; otherwise the other members would get
            // nothing either.
            subscription: Subscription::decode(&member.metadata).unwrap_or_default(),
        };
        Self {
            assignor: response.protocol_name.unwrap_or_default(),
            members: response.members.into_iter().map(member).collect(),
            follow_up_by: None,
        }
    }

    /// Every topic that some member wants.
    pub(super) fn topics(&self) -> impl Iterator<Item = &String> {
        self.members.iter().flat_map(|member| &member.subscription.topics)
    }

    fn shapes(&self, metadata: &Metadata) -> Shapes {
        let racks = |partition: &Partition| {
            let nodes = metadata.nodes();
            partition.replicas.iter().filter_map(|id| nodes.get(id)?.rack.clone()).collect()
        };
        let shape = |topic: &String| {
            let partitions = metadata.topic(topic)?.partitions.values().map(racks).collect();
            Some((topic.clone(), partitions))
        };
        self.topics().filter_map(shape).collect()
    }
}

impl ClassicMember {
    /// As leader: assigns the partitions, as soon as every topic of the group is known.
    pub(super) fn share_out(&mut self, metadata: &Metadata, now: Now) {
        let wanted = Wanted::Topics(self.topics().cloned().collect());
        let Some(task) = self.task.as_mut().filter(|_| metadata.covers(&wanted)) else { return };
        let shapes = task.shapes(metadata);
        self.shared = Shared::Counted(shapes.iter().map(|(topic, all)| (topic.clone(), all.len())).collect());
        let assignor = self.config.assignors.iter().find(|assignor| assignor.name() == task.assignor);
        let mut assignments =
            assignor.map(|assignor| assignor.assign(&shapes, &task.members)).unwrap_or_default();
        if assignor.is_some_and(|assignor| assignor.is_cooperative())
            && withhold_moving(&mut assignments, &task.members)
            && task.members.iter().any(|member| member.instance_id.is_some())
        {
            task.follow_up_by = Some(now.mono + self.config.session_timeout);
        }
        self.shared_out = assignments
            .into_iter()
            .map(|(member_id, a)| SyncGroupRequestAssignment { member_id, assignment: a.encode() })
            .collect();
        self.transition_to(ClassicState::Syncing, now);
    }

    /// How many members the group has; only the leader is told.
    pub(in crate::group) fn size(&self) -> Option<usize> {
        self.task.as_ref().map(|task| task.members.len())
    }

    /// Whether topics have other partitions than were assigned.
    pub(super) fn is_outdated(&mut self, metadata: &Metadata) -> bool {
        let known = !matches!(self.shared, Shared::Unwatched | Shared::Unasked);
        if !known || self.state != ClassicState::Stable || self.looked_at == Some(metadata.revision()) {
            return false;
        }
        let topics: BTreeSet<String> = self.topics().cloned().collect();
        if !metadata.covers(&Wanted::Topics(topics.clone())) {
            return false;
        }
        self.looked_at = Some(metadata.revision());
        // A topic that is missing from one answer may be back in the next, so only topics that exist are compared.
        let count = |topic: String| {
            let count = metadata.topic(&topic)?.partitions.len();
            Some((topic, count))
        };
        let counts: BTreeMap<String, usize> = topics.into_iter().filter_map(count).collect();
        match &self.shared {
            Shared::Counted(shared) => {
                let differs = counts.iter().any(|(topic, count)| shared.get(topic) != Some(count));
                if self.task.is_none() {
                    self.shared = Shared::Unwatched;
                }
                differs
            }
            _ => {
                self.shared = Shared::Counted(counts);
                false
            }
        }
    }

    /// The answer to DescribeGroups, which lists the partitions of every member.
    pub(in crate::group) fn handle_description(
        &mut self,
        id: RequestId,
        response: DescribeGroupsResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) {
        if self.request != Some(id) || self.state != ClassicState::Stable {
            return;
        }
        (self.request, self.looked_at) = (None, None);
        let Some(group) = response.groups.first() else { return self.back_off(None, now) };
        match group.error_code {
            ErrorCode::None if group.group_state == "Stable" => {
                self.shared = Shared::Counted(self.count(group));
                self.attempts.reset();
            }
            // A heartbeat will tell that the group rebalances.
            ErrorCode::None => self.back_off(ErrorCode::RebalanceInProgress, now),
            error if error.is_retriable() => {
                coordinator.heard(error, now);
                self.back_off(error, now);
            }
            _ => self.shared = Shared::Untold,
        }
    }

    /// How many partitions of each topic the members have. If an assignor gave partitions to nobody on purpose, it
    /// looks as if it had not seen them, and is called once more.
    fn count(&self, group: &DescribeGroupsDescribedGroup) -> BTreeMap<String, usize> {
        let assigned = |bytes: &[u8]| Assignment::decode(bytes).unwrap_or_default().partitions;
        let had = group.members.iter().flat_map(|member| assigned(&member.member_assignment));
        let mut counts: BTreeMap<String, usize> = self.topics().map(|topic| (topic.clone(), 0)).collect();
        for at in had.collect::<BTreeSet<_>>() {
            counts.entry(at.topic).and_modify(|count| *count += 1);
        }
        counts
    }
}
