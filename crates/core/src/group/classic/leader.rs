//! The leader's work: it shares out, and looks whether what it shared out is still all that there is.

use std::collections::BTreeMap;

use ottla_protocol::{
    Now,
    messages::{JoinGroupResponse, JoinGroupResponseMember, SyncGroupRequestAssignment},
};

use super::Classic;
use crate::{
    group::{
        Member, MemberState, PartitionRacks, assignor::withhold_moving, consumer_protocol::Subscription,
    },
    metadata::{Metadata, Partition, Wanted},
};

/// What there is to share out, and among whom.
#[derive(Debug)]
pub(super) struct Task {
    assignor: String,
    pub(super) members: Vec<Member>,
    /// The partitions when they were shared out: once there are others, share out again. `None` for a leader that found
    /// the group shared out.
    shared: Option<Shapes>,
}

type Shapes = BTreeMap<String, Vec<PartitionRacks>>;

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
            shared: None,
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
        let assignor = self.config.assignors.iter().find(|assignor| assignor.name() == task.assignor);
        let mut assignments =
            assignor.map(|assignor| assignor.assign(&shapes, &task.members)).unwrap_or_default();
        task.shared = Some(shapes);
        if assignor.is_some_and(|assignor| assignor.is_cooperative()) {
            withhold_moving(&mut assignments, &task.members);
        }
        self.shared_out = assignments
            .into_iter()
            .map(|(member_id, a)| SyncGroupRequestAssignment { member_id, assignment: a.encode() })
            .collect();
        self.transition_to(MemberState::Syncing, now);
    }

    /// Whether this leader's topics have other partitions than when they were shared out.
    pub(super) fn is_outdated(&mut self, metadata: &Metadata) -> bool {
        let news = self.looked_at != Some(metadata.revision());
        if self.task.is_none() || self.state != MemberState::Stable || !news {
            return false;
        }
        let wanted = Wanted::Topics(self.topics().cloned().collect());
        let Some(task) = self.task.as_mut().filter(|_| metadata.covers(&wanted)) else { return false };
        self.looked_at = Some(metadata.revision());
        let Some(shared) = &task.shared else {
            task.shared = Some(task.shapes(metadata));
            return false;
        };
        // A topic that vanishes from one answer may be back in the next: only news of partitions that exist count.
        let count = |topic: &String| metadata.topic(topic).map(|topic| topic.partitions.len());
        let differs =
            |topic: &String| count(topic).is_some_and(|count| shared.get(topic).map(Vec::len) != Some(count));
        task.topics().any(differs)
    }
}
