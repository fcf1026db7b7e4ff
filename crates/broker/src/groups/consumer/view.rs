//! A group of the consumer protocol as clients and tests are told of it.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::messages::{
    ConsumerGroupDescribeAssignment, ConsumerGroupDescribeDescribedGroup, ConsumerGroupDescribeMember,
    ConsumerGroupDescribeTopicPartitions,
};

use super::{
    ConsumerGroup,
    member::{Member, Partition, by_topic},
};
use crate::{GroupKind, GroupView, MemberView, topics::Topics};

impl ConsumerGroup {
    /// Kafka's name of its state.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_reconciled(self.target_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(crate) fn describe(&self, group_id: String, topics: &Topics) -> ConsumerGroupDescribeDescribedGroup {
        let describe = |member: &Member| ConsumerGroupDescribeMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: "/127.0.0.1".to_owned(),
            subscribed_topic_names: member.names.iter().cloned().collect(),
            subscribed_topic_regex: Some(member.pattern.as_ref().map(|p| p.text.clone()).unwrap_or_default()),
            assignment: listed(member.holds().collect::<BTreeSet<_>>().into_iter(), topics),
            target_assignment: listed(self.target.get(&member.id).into_iter().flatten(), topics),
            member_type: i8::from(member.classic.is_none()),
        };
        ConsumerGroupDescribeDescribedGroup {
            group_id,
            group_state: self.state_name().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: self.assignor().to_owned(),
            members: self.members.values().map(describe).collect(),
            ..Default::default()
        }
    }

    pub(crate) fn view(&self, topics: &Topics) -> GroupView {
        let view = |member: &Member| MemberView {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            epoch: member.epoch,
            owned: flat(member.holds(), topics),
            revoking: flat(member.revoking.keys(), topics),
            assignment: Vec::new(),
        };
        GroupView {
            kind: GroupKind::Consumer,
            state: self.state_name(),
            generation_id: self.epoch,
            protocol: Some(self.assignor().to_owned()),
            leader: None,
            members: self.members.values().map(view).collect(),
            pending: 0,
        }
    }
}

fn listed<'a>(
    partitions: impl Iterator<Item = &'a Partition>,
    topics: &Topics,
) -> ConsumerGroupDescribeAssignment {
    let name = |topic| topics.name_of(topic).unwrap_or_default().to_owned();
    let listed = by_topic(partitions).into_iter().map(|topic| ConsumerGroupDescribeTopicPartitions {
        topic_id: topic.topic_id,
        topic_name: name(topic.topic_id),
        partitions: topic.partitions,
    });
    ConsumerGroupDescribeAssignment { topic_partitions: listed.collect() }
}

/// By the names of their topics; without those of topics that are no more.
pub(crate) fn named<'a>(
    partitions: impl Iterator<Item = &'a Partition>,
    topics: &Topics,
) -> BTreeMap<String, Vec<i32>> {
    let mut named: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        if let Some(name) = topics.name_of(*topic) {
            named.entry(name.to_owned()).or_default().push(*index);
        }
    }
    named
}

fn flat<'a>(partitions: impl Iterator<Item = &'a Partition>, topics: &Topics) -> Vec<(String, i32)> {
    let each = |(name, indexes): (String, Vec<i32>)| {
        indexes.into_iter().map(move |index| (name.clone(), index)).collect::<Vec<_>>()
    };
    named(partitions, topics).into_iter().flat_map(each).collect()
}
