//! Metadata: brokers, topics, and who leads what.

use ottla_protocol::{
    ErrorCode, TopicId,
    messages::{
        MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
        MetadataResponsePartition, MetadataResponseTopic,
    },
};

use crate::{
    Cluster, TopicSpec,
    connections::Asked,
    partition::Partition,
    security::Operation,
    topics::{Topic, check_name},
};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: MetadataRequest,
    forced: Option<ErrorCode>,
) -> MetadataResponse {
    let may_create = cluster.config.auto_create && request.allow_auto_topic_creation && forced.is_none();
    let topics = match request.topics {
        // Version 0 has no null, and means all by none.
        Some(mut topics) if !topics.is_empty() || asked.header.version > 0 => {
            // As Kafka does: where there is an id, names are left out.
            if topics.iter().any(|topic| topic.name.is_none()) {
                topics.retain(|topic| topic.name.is_none());
            }
            topics.into_iter().map(|topic| describe(cluster, asked, topic, may_create, forced)).collect()
        }
        _ => {
            let (config, principal) = (&cluster.config, &*asked.principal);
            let seen =
                |(name, _): &(&str, _)| config.check_topic(principal, Operation::Describe, name).is_ok();
            let topics = cluster.topics.iter().filter(seen);
            topics.filter_map(|(name, topic)| answer(cluster, asked.node, name, topic, forced)).collect()
        }
    };
    let brokers = cluster.nodes.up().map(|(node_id, node)| MetadataResponseBroker {
        node_id,
        host: node.host.clone(),
        port: node.port.into(),
        rack: Some(node.rack.clone()),
    });
    MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(cluster.id.clone()),
        controller_id: cluster.nodes.up_ids().first().copied().unwrap_or(-1),
        topics,
        error_code: forced.unwrap_or_default(),
        ..Default::default()
    }
}

fn describe(
    cluster: &mut Cluster,
    asked: &Asked,
    wanted: MetadataRequestTopic,
    may_create: bool,
    forced: Option<ErrorCode>,
) -> MetadataResponseTopic {
    let failed = |name: Option<String>, topic_id, error_code| MetadataResponseTopic {
        error_code,
        name,
        topic_id,
        ..Default::default()
    };
    let by_id = wanted.name.is_none();
    let name = match (wanted.name, cluster.topics.name_of(wanted.topic_id)) {
        (Some(name), _) => name,
        (None, Some(name)) => name.to_owned(),
        (None, None) => return failed(None, wanted.topic_id, forced.unwrap_or(ErrorCode::UnknownTopicId)),
    };
    let checked = cluster.config.check_topic(&asked.principal, Operation::Describe, &name);
    if let Err(code) = checked {
        return failed(Some(name).filter(|_| !by_id), wanted.topic_id, forced.unwrap_or(code));
    }
    if let Some(topic) = cluster.topics.find(&name) {
        let unheard = || failed(Some(name.clone()), TopicId::ZERO, ErrorCode::UnknownTopicOrPartition);
        return answer(cluster, asked.node, &name, topic, forced).unwrap_or_else(unheard);
    }
    let error_code = match check_name(&name) {
        Err(refusal) => refusal.code,
        Ok(()) if may_create => {
            if let Err(code) = cluster.config.check_create(&asked.principal, &name) {
                return failed(Some(name), TopicId::ZERO, code);
            }
            let spec = TopicSpec::new(name.clone(), cluster.config.default_partitions);
            match cluster.create_topic(&spec) {
                Ok(_) => {
                    return describe(
                        cluster,
                        asked,
                        MetadataRequestTopic { name: Some(name), ..Default::default() },
                        false,
                        None,
                    );
                }
                Err(refusal) => refusal.code,
            }
        }
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
    };
    failed(Some(name), TopicId::ZERO, forced.unwrap_or(error_code))
}

/// What `node` knows of a topic: nothing, where it has yet to hear of it.
fn answer(
    cluster: &Cluster,
    node: i32,
    name: &str,
    topic: &Topic,
    forced: Option<ErrorCode>,
) -> Option<MetadataResponseTopic> {
    let known = match cluster.nodes.lagging(node) {
        Some(leaders) => Some(leaders.get(&topic.id)?),
        None => None,
    };
    let partition = |(index, partition): (i32, &Partition)| {
        let now = (partition.leader, partition.leader_epoch);
        let led = known.map_or(Some(now), |known| known.get(index as usize).copied())?;
        Some(place(cluster, index, partition, led))
    };
    let partitions = (0..).zip(&topic.partitions).filter_map(partition).collect();
    Some(MetadataResponseTopic {
        error_code: forced.unwrap_or_default(),
        name: Some(name.to_owned()),
        topic_id: topic.id,
        is_internal: false,
        partitions: if forced.is_some() { Vec::new() } else { partitions },
        ..Default::default()
    })
}

fn place(
    cluster: &Cluster,
    partition_index: i32,
    partition: &Partition,
    (leader_id, leader_epoch): (i32, i32),
) -> MetadataResponsePartition {
    let (mut in_sync, offline): (Vec<i32>, _) =
        partition.replicas.iter().partition(|id| cluster.nodes.is_up(**id));
    in_sync.retain(|id| !partition.is_behind(*id));
    MetadataResponsePartition {
        error_code: if leader_id < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None },
        partition_index,
        leader_id,
        leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: in_sync,
        offline_replicas: offline,
    }
}
