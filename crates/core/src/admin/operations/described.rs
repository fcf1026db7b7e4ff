//! What brokers tell of groups, brought into one form.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ErrorCode,
    messages::{
        ConsumerGroupDescribeAssignment, ConsumerGroupDescribeDescribedGroup, ConsumerGroupDescribeMember,
        DescribeGroupsDescribedGroup, ShareGroupDescribeDescribedGroup, StreamsGroupDescribeAssignment,
        StreamsGroupDescribeDescribedGroup, StreamsGroupDescribeTaskIds,
    },
};

use crate::{
    admin::{GroupDescription, GroupKind, MemberDescription, StreamsMember, StreamsTasks},
    group::embedded::{Assignment, Subscription},
    ids::{NodeId, TopicPartition},
};

/// A group as one answer tells it. With an error the rest is as good as empty.
pub(super) struct Told {
    pub(super) id: String,
    pub(super) error: ErrorCode,
    pub(super) message: Option<String>,
    pub(super) group: GroupDescription,
}

fn in_order(partitions: impl IntoIterator<Item = TopicPartition>) -> Vec<TopicPartition> {
    let mut partitions: Vec<_> = partitions.into_iter().collect();
    partitions.sort_unstable();
    partitions
}

fn of_topic(topic: String, partitions: Vec<i32>) -> impl Iterator<Item = TopicPartition> {
    partitions.into_iter().map(move |partition| TopicPartition::new(topic.clone(), partition))
}

pub(super) fn classic(told: DescribeGroupsDescribedGroup, coordinator: NodeId) -> Told {
    let consumers = told.protocol_type == "consumer";
    let members = told.members.into_iter().map(|member| MemberDescription {
        // What members send to each other is their own: one may write what nobody reads.
        subscription: match consumers {
            true => Subscription::decode(&member.member_metadata).map(|it| it.topics).unwrap_or_default(),
            false => Vec::new(),
        }
        .into_iter()
        .collect(),
        assignment: match consumers {
            true => in_order(Assignment::decode(&member.member_assignment).unwrap_or_default().partitions),
            false => Vec::new(),
        },
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
        rack: None,
        epoch: None,
        target: None,
        upgraded: None,
        streams: None,
    });
    let group = GroupDescription {
        kind: GroupKind::Classic,
        members: members.collect(),
        state: told.group_state,
        protocol_type: told.protocol_type,
        protocol: told.protocol_data,
        coordinator,
        group_epoch: None,
        assignment_epoch: None,
        source_topics: BTreeSet::new(),
    };
    Told { id: told.group_id, error: told.error_code, message: told.error_message, group }
}

pub(super) fn consumer(told: ConsumerGroupDescribeDescribedGroup, coordinator: NodeId) -> Told {
    let partitions = |assignment: ConsumerGroupDescribeAssignment| {
        let topics = assignment.topic_partitions.into_iter();
        in_order(topics.flat_map(|topic| of_topic(topic.topic_name, topic.partitions)))
    };
    let member = |member: ConsumerGroupDescribeMember| MemberDescription {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        rack: member.rack_id,
        epoch: Some(member.member_epoch),
        subscription: member.subscribed_topic_names.into_iter().collect(),
        assignment: partitions(member.assignment),
        target: Some(partitions(member.target_assignment)),
        upgraded: match member.member_type {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        streams: None,
    };
    let group = GroupDescription {
        kind: GroupKind::Consumer,
        members: told.members.into_iter().map(member).collect(),
        state: told.group_state,
        protocol_type: "consumer".to_owned(),
        protocol: told.assignor_name,
        coordinator,
        group_epoch: Some(told.group_epoch),
        assignment_epoch: Some(told.assignment_epoch),
        source_topics: BTreeSet::new(),
    };
    Told { id: told.group_id, error: told.error_code, message: told.error_message, group }
}

pub(super) fn share(told: ShareGroupDescribeDescribedGroup, coordinator: NodeId) -> Told {
    let members = told.members.into_iter().map(|member| MemberDescription {
        member_id: member.member_id,
        group_instance_id: None,
        client_id: member.client_id,
        host: member.client_host,
        rack: member.rack_id,
        epoch: Some(member.member_epoch),
        subscription: member.subscribed_topic_names.into_iter().collect(),
        assignment: {
            let topics = member.assignment.topic_partitions.into_iter();
            in_order(topics.flat_map(|topic| of_topic(topic.topic_name, topic.partitions)))
        },
        target: None,
        upgraded: None,
        streams: None,
    });
    let group = GroupDescription {
        kind: GroupKind::Share,
        members: members.collect(),
        state: told.group_state,
        protocol_type: "share".to_owned(),
        protocol: told.assignor_name,
        coordinator,
        group_epoch: Some(told.group_epoch),
        assignment_epoch: Some(told.assignment_epoch),
        source_topics: BTreeSet::new(),
    };
    Told { id: told.group_id, error: told.error_code, message: told.error_message, group }
}

pub(super) fn streams(told: StreamsGroupDescribeDescribedGroup, coordinator: NodeId) -> Told {
    let subtopologies = told.topology.and_then(|topology| topology.subtopologies).unwrap_or_default();
    let sources: BTreeMap<String, Vec<String>> = subtopologies
        .into_iter()
        .map(|part| {
            let repartitioned = part.repartition_source_topics.into_iter().map(|topic| topic.name);
            (part.subtopology_id, part.source_topics.into_iter().chain(repartitioned).collect())
        })
        .collect();
    let read = |tasks: &StreamsTasks| {
        let of = |(part, partitions): (&String, &Vec<i32>)| {
            let topics = sources.get(part).cloned().unwrap_or_default();
            let partitions = partitions.clone();
            topics.into_iter().flat_map(move |topic| of_topic(topic, partitions.clone()))
        };
        in_order(tasks.active.iter().flat_map(of))
    };
    let members = told.members.into_iter().map(|member| {
        let (tasks, target_tasks) = (tasks(member.assignment), tasks(member.target_assignment));
        MemberDescription {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.client_host,
            rack: member.rack_id,
            epoch: Some(member.member_epoch),
            subscription: BTreeSet::new(),
            assignment: read(&tasks),
            target: Some(read(&target_tasks)),
            upgraded: None,
            streams: Some(StreamsMember {
                process_id: member.process_id,
                topology_epoch: member.topology_epoch,
                tasks,
                target_tasks,
            }),
        }
    });
    let group = GroupDescription {
        kind: GroupKind::Streams,
        members: members.collect(),
        state: told.group_state,
        protocol_type: "streams".to_owned(),
        protocol: told.assignor_name.unwrap_or_default(),
        coordinator,
        group_epoch: Some(told.group_epoch),
        assignment_epoch: Some(told.assignment_epoch),
        source_topics: sources.values().flatten().cloned().collect(),
    };
    Told { id: told.group_id, error: told.error_code, message: told.error_message, group }
}

fn tasks(assignment: StreamsGroupDescribeAssignment) -> StreamsTasks {
    let of = |tasks: Vec<StreamsGroupDescribeTaskIds>| {
        let task = |mut task: StreamsGroupDescribeTaskIds| {
            task.partitions.sort_unstable();
            (task.subtopology_id, task.partitions)
        };
        tasks.into_iter().map(task).collect()
    };
    StreamsTasks {
        active: of(assignment.active_tasks),
        standby: of(assignment.standby_tasks),
        warmup: of(assignment.warmup_tasks),
    }
}
