//! The leader's work: it shares out, and looks whether what was shared out is still all that there is. So does a static
//! member that comes back, once.

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

use super::Classic;
use crate::{
    coordinator::Coordinator,
    group::{
        Member, MemberState, PartitionRacks,
        assignor::withhold_moving,
        consumer_protocol::{Assignment, Subscription},
    },
    ids::RequestId,
    metadata::{Metadata, Partition, Wanted},
};

/// What there is to share out, and among whom.
#[derive(Debug)]
pub(super) struct Task {
    assignor: String,
    members: Vec<Member>,
    /// A static member may come back without what it was to give up, and so without a reason to join again: nobody
    /// would share that out. If there is no further generation by then, the leader asks for it.
    pub(super) follow_up_by: Option<Instant>,
}

type Shapes = BTreeMap<String, Vec<PartitionRacks>>;

/// How many partitions of each topic were shared out: once there are others, share out again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// The leader sees to it.
    Unwatched,
    /// A static member comes back into a generation that goes on (KIP-814). The leader may have been away when
    /// partitions were added, or this member have subscribed to other topics: what everyone has is to be asked.
    Unasked,
    /// The coordinator does not tell: what there is now counts.
    Untold,
    Counted(BTreeMap<String, usize>),
}

impl Task {
    pub(super) fn new(response: JoinGroupResponse) -> Self {
        let member = |member: JoinGroupResponseMember| Member {
            id: member.member_id,
            instance_id: member.group_instance_id,
            // A member whose wishes cannot be read gets nothing; the others are not to suffer for it.
            subscription: Subscription::decode(&member.metadata).unwrap_or_default(),
        };
        Self {
            assignor: response.protocol_name.unwrap_or_default(),
            members: response.members.into_iter().map(member).collect(),
            follow_up_by: None,
        }
    }

    /// Every topic that a member wants.
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

impl Classic {
    /// As leader: shares out, as soon as every topic of the group is known.
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
        self.transition_to(MemberState::Syncing, now);
    }

    /// How many members the group has: leaders are told.
    pub(in crate::group) fn size(&self) -> Option<usize> {
        self.task.as_ref().map(|task| task.members.len())
    }

    /// Whether there are other partitions than were shared out.
    pub(super) fn is_outdated(&mut self, metadata: &Metadata) -> bool {
        let known = !matches!(self.shared, Shared::Unwatched | Shared::Unasked);
        if !known || self.state != MemberState::Stable || self.looked_at == Some(metadata.revision()) {
            return false;
        }
        let topics: BTreeSet<String> = self.topics().cloned().collect();
        if !metadata.covers(&Wanted::Topics(topics.clone())) {
            return false;
        }
        self.looked_at = Some(metadata.revision());
        // A topic that vanishes from one answer may be back in the next: only news of partitions that exist count.
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

    /// What everyone in the group has.
    pub(in crate::group) fn handle_description(
        &mut self,
        id: RequestId,
        response: DescribeGroupsResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) {
        if self.request != Some(id) || self.state != MemberState::Stable {
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

    /// What the members have. An assignor that leaves partitions to nobody looks like one that did not see them: it is
    /// called once more.
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
