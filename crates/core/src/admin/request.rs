//! From work to a request: to which broker it goes, and in which version.

use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Request,
    messages::{
        ConsumerGroupDescribeRequest, CreatePartitionsRequest, CreatePartitionsTopic,
        CreateTopicsCreatableTopic, CreateTopicsCreatableTopicConfig, CreateTopicsRequest,
        DeleteTopicsDeleteTopicState, DeleteTopicsRequest, DescribeGroupsRequest, ListGroupsRequest,
        ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, MetadataRequest, MetadataRequestTopic,
        OffsetFetchRequest, OffsetFetchRequestGroup,
    },
};

use super::{Admin, Failure, NewTopic, Outcome, Refusal, Sent, Work};
use crate::{
    cause::Cause,
    connections::{Kind, Target},
    coordinator,
    ids::{NodeId, OpId, TopicPartition},
    offsets::OffsetAndTimestamp,
};

/// The newest OffsetFetch that names topics; the next names them by id.
const OFFSET_FETCH_BY_NAME: i16 = 9;

impl<F> Admin<F> {
    /// Sends the work, or keeps it for later.
    pub(super) fn try_work(&mut self, op: OpId, work: Work, now: Now) {
        match work {
            Work::Cluster | Work::Topics(_) | Work::Coordinator(_) => {
                let target = self.hub.metadata.any_ready(&mut self.hub.connections, now);
                self.send_or_keep(op, work, target, now);
            }
            Work::CreateTopics { .. } | Work::DeleteTopics(_) | Work::CreatePartitions(_) => {
                let target = self.controller_ready(now);
                self.send_or_keep(op, work, target, now);
            }
            Work::GroupsEverywhere if self.hub.metadata.is_known() => {
                let nodes: Vec<NodeId> = self.hub.metadata.nodes().keys().copied().collect();
                for node in nodes {
                    self.try_work(op, Work::Groups(node), now);
                }
            }
            Work::GroupsEverywhere => self.put_back(op, work),
            // A broker that is gone lists no groups. Those that it coordinated are with other brokers.
            Work::Groups(node) if self.hub.metadata.address(node).is_none() => {}
            Work::Groups(node) => {
                let target = self.node_ready(op, node, now);
                self.send_or_keep(op, work, target, now);
            }
            Work::DescribeGroup(ref group)
            | Work::DescribeConsumerGroup(ref group)
            | Work::Committed { ref group, .. } => {
                let group = group.clone();
                match self.coordinators.get(&group).copied() {
                    Some(node) if self.hub.metadata.address(node).is_some() => {
                        let target = self.node_ready(op, node, now);
                        self.send_or_keep(op, work, target, now);
                    }
                    _ => self.look_up(op, work, group, now),
                }
            }
            Work::Offsets { queries, read_committed } => self.try_offsets(op, queries, read_committed, now),
        }
    }

    fn controller_ready(&mut self, now: Now) -> Option<Target> {
        if !self.hub.metadata.is_known() {
            return None;
        }
        match self.hub.metadata.controller() {
            Some(node) => {
                let ready = self.hub.metadata.node_ready(node, Kind::Main, &mut self.hub.connections, now);
                ready.then_some(Target::Node(node))
            }
            None => self.hub.metadata.any_ready(&mut self.hub.connections, now),
        }
    }

    fn node_ready(&mut self, op: OpId, node: NodeId, now: Now) -> Option<Target> {
        if self.hub.metadata.node_ready(node, Kind::Main, &mut self.hub.connections, now) {
            return Some(Target::Node(node));
        }
        if let Some(cause) =
            Cause::of_link(node, Kind::Main, &self.hub.metadata, &self.hub.connections, now.mono)
            && let Some(task) = self.tasks.get_mut(&op)
        {
            task.cause = Some(cause);
        }
        None
    }

    fn send_or_keep(&mut self, op: OpId, work: Work, target: Option<Target>, now: Now) {
        let Some(target) = target else { return self.put_back(op, work) };
        let (key, limit) = work.api();
        match self.hub.connections.version(target, Kind::Main, key, limit) {
            Ok(version) => {
                let timeout_ms =
                    self.config.connections.request_timeout.as_millis().try_into().unwrap_or(i32::MAX);
                match request(&work, version, timeout_ms) {
                    Some(request) => self.send(op, work, None, target, version, request, now),
                    None => self.fail(op, Failure::Unsupported(key)),
                }
            }
            Err(unsupported) => self.fail(op, Failure::Unsupported(unsupported.0)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a request and all that is kept of it")]
    fn send(
        &mut self,
        op: OpId,
        work: Work,
        lookup: Option<String>,
        target: Target,
        version: i16,
        request: Request,
        now: Now,
    ) {
        self.hub.send((target, Kind::Main), version, request, Sent { op, work, target, lookup }, now);
        if let Some(task) = self.tasks.get_mut(&op) {
            task.in_flight += 1;
        }
    }

    /// Looks up the group's coordinator, before the work can be done.
    fn look_up(&mut self, op: OpId, work: Work, group: String, now: Now) {
        let Some(target) = self.hub.metadata.any_ready(&mut self.hub.connections, now) else {
            return self.put_back(op, work);
        };
        match self.hub.connections.version(target, Kind::Main, ApiKey::FindCoordinator, i16::MAX) {
            Ok(version) => {
                let request = coordinator::look_up(&group, version).into();
                self.send(op, work, Some(group), target, version, request, now);
            }
            Err(unsupported) => self.fail(op, Failure::Unsupported(unsupported.0)),
        }
    }

    /// Asks the leaders that can be asked now, and keeps the rest.
    fn try_offsets(&mut self, op: OpId, queries: Vec<(TopicPartition, i64)>, read_committed: bool, now: Now) {
        let mut by_leader: BTreeMap<NodeId, Vec<_>> = BTreeMap::new();
        let mut kept = Vec::new();
        for (at, timestamp) in queries {
            match self.leader_of(op, &at) {
                Ok(Some(leader)) => by_leader.entry(leader).or_default().push((at, timestamp)),
                Ok(None) => kept.push((at, timestamp)),
                Err(error) => {
                    self.gather_offset(op, at, Err(Failure::Refused(Refusal { error, message: None })))
                }
            }
        }
        for (leader, queries) in by_leader {
            match self.node_ready(op, leader, now) {
                None => kept.extend(queries),
                target => self.send_or_keep(op, Work::Offsets { queries, read_committed }, target, now),
            }
        }
        if !kept.is_empty() {
            self.put_back(op, Work::Offsets { queries: kept, read_committed });
        }
    }

    /// The leader of a partition; `None` where it is not known yet.
    fn leader_of(&mut self, op: OpId, at: &TopicPartition) -> Result<Option<NodeId>, ErrorCode> {
        let Some(topic) = self.hub.metadata.topics().get(&at.topic) else { return Ok(None) };
        match topic.error {
            ErrorCode::None => {}
            error if error.is_retriable() && error != ErrorCode::UnknownTopicOrPartition => return Ok(None),
            error => return Err(error),
        }
        let partition = topic.partitions.get(&at.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if let (None, Some(task)) = (partition.leader, self.tasks.get_mut(&op)) {
            task.cause = Some(Cause::NoLeader(at.clone()));
        }
        Ok(partition.leader)
    }

    pub(super) fn gather_offset(
        &mut self,
        op: OpId,
        at: TopicPartition,
        found: Result<Option<OffsetAndTimestamp>, Failure>,
    ) {
        if let Some(task) = self.tasks.get_mut(&op)
            && let Outcome::Offsets(offsets) = &mut task.gathered
        {
            offsets.insert(at, found);
        }
    }
}

impl Work {
    /// The API that does the work, and its newest version that is of use.
    pub(super) const fn api(&self) -> (ApiKey, i16) {
        match self {
            Self::Cluster | Self::Topics(_) => (ApiKey::Metadata, i16::MAX),
            Self::CreateTopics { .. } => (ApiKey::CreateTopics, i16::MAX),
            Self::DeleteTopics(_) => (ApiKey::DeleteTopics, i16::MAX),
            Self::CreatePartitions(_) => (ApiKey::CreatePartitions, i16::MAX),
            Self::GroupsEverywhere | Self::Groups(_) => (ApiKey::ListGroups, i16::MAX),
            Self::Coordinator(_) => (ApiKey::FindCoordinator, i16::MAX),
            Self::DescribeGroup(_) => (ApiKey::DescribeGroups, i16::MAX),
            Self::DescribeConsumerGroup(_) => (ApiKey::ConsumerGroupDescribe, i16::MAX),
            Self::Committed { .. } => (ApiKey::OffsetFetch, OFFSET_FETCH_BY_NAME),
            Self::Offsets { .. } => (ApiKey::ListOffsets, i16::MAX),
        }
    }
}

/// `None` where the version cannot express it.
fn request(work: &Work, version: i16, timeout_ms: i32) -> Option<Request> {
    Some(match work {
        Work::Cluster => metadata(Some(&[]), version)?.into(),
        Work::Topics(names) => metadata(names.as_deref(), version)?.into(),
        Work::CreateTopics { topics, validate_only } => {
            let topics = topics.iter().map(|topic| creatable(topic, version)).collect::<Option<_>>()?;
            CreateTopicsRequest { topics, timeout_ms, validate_only: *validate_only }.into()
        }
        Work::DeleteTopics(names) => {
            let state = |name: &String| DeleteTopicsDeleteTopicState {
                name: Some(name.clone()),
                ..Default::default()
            };
            match version {
                ..6 => DeleteTopicsRequest { topic_names: names.clone(), timeout_ms, ..Default::default() },
                _ => DeleteTopicsRequest {
                    topics: names.iter().map(state).collect(),
                    timeout_ms,
                    ..Default::default()
                },
            }
            .into()
        }
        Work::CreatePartitions(counts) => {
            let topic = |(name, count): (&String, &i32)| CreatePartitionsTopic {
                name: name.clone(),
                count: *count,
                assignments: None,
            };
            let topics = counts.iter().map(topic).collect();
            CreatePartitionsRequest { topics, timeout_ms, validate_only: false }.into()
        }
        Work::GroupsEverywhere | Work::Groups(_) => ListGroupsRequest::default().into(),
        Work::Coordinator(group) => coordinator::look_up(group, version).into(),
        Work::DescribeGroup(group) => {
            DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() }.into()
        }
        Work::DescribeConsumerGroup(group) => {
            ConsumerGroupDescribeRequest { group_ids: vec![group.clone()], ..Default::default() }.into()
        }
        // Before version 2 there is no way to ask for all offsets.
        Work::Committed { .. } if version < 2 => return None,
        Work::Committed { group, require_stable } => committed(group, *require_stable, version).into(),
        Work::Offsets { queries, read_committed } => {
            let mut topics: Vec<ListOffsetsTopic> = Vec::new();
            for (at, timestamp) in queries {
                let partition = ListOffsetsPartition {
                    partition_index: at.partition,
                    timestamp: *timestamp,
                    ..Default::default()
                };
                match topics.last_mut().filter(|topic| topic.name == at.topic) {
                    Some(topic) => topic.partitions.push(partition),
                    None => {
                        topics.push(ListOffsetsTopic { name: at.topic.clone(), partitions: vec![partition] });
                    }
                }
            }
            let isolation_level = i8::from(*read_committed);
            ListOffsetsRequest { replica_id: -1, isolation_level, topics, timeout_ms }.into()
        }
    })
}

fn metadata(names: Option<&[String]>, version: i16) -> Option<MetadataRequest> {
    let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
    let topics = names.map(|names| names.iter().map(named).collect());
    // Version 0 has no null: there an empty list asks for all.
    let topics = if version == 0 { Some(topics.unwrap_or_default()) } else { topics };
    // Before version 4 asking for a topic may create it.
    let asks_by_name = names.is_some_and(|names| !names.is_empty());
    (version >= 4 || !asks_by_name).then_some(MetadataRequest {
        topics,
        allow_auto_topic_creation: false,
        ..Default::default()
    })
}

/// The broker's defaults can be asked for from version 4 on (KIP-464).
fn creatable(topic: &NewTopic, version: i16) -> Option<CreateTopicsCreatableTopic> {
    if version < 4 && (topic.partitions.is_none() || topic.replication_factor.is_none()) {
        return None;
    }
    let config = |(name, value): (&String, &String)| CreateTopicsCreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
    };
    Some(CreateTopicsCreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        assignments: Vec::new(),
        configs: topic.configs.iter().map(config).collect(),
    })
}

fn committed(group: &str, require_stable: bool, version: i16) -> OffsetFetchRequest {
    let group_id = group.to_owned();
    match version {
        ..8 => OffsetFetchRequest { group_id, topics: None, require_stable, ..Default::default() },
        _ => {
            let group = OffsetFetchRequestGroup { group_id, topics: None, ..Default::default() };
            OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() }
        }
    }
}
