//! CreateTopics.

use ottla_protocol::{
    ErrorCode,
    messages::{
        CreateTopicsCreatableTopic, CreateTopicsCreatableTopicConfig, CreateTopicsCreatableTopicConfigs,
        CreateTopicsCreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
    },
};

use crate::{Cluster, Refusal, TopicSpec, connections::Asked};

const TIMESTAMP_TYPE: &str = "message.timestamp.type";
/// Where a configuration comes from, as DescribeConfigs numbers it: this topic's own.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: CreateTopicsRequest,
    forced: Option<ErrorCode>,
) -> CreateTopicsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    let twice: Vec<String> = {
        let names = || request.topics.iter().map(|topic| &topic.name);
        names().filter(|name| names().filter(|other| other == name).count() > 1).cloned().collect()
    };
    for topic in request.topics {
        let created = match forced {
            Some(code) => Err(Refusal::new(code, "")),
            None if twice.contains(&topic.name) => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "the request names this topic twice"))
            }
            None => (cluster.config.check_create(&asked.principal, &topic.name))
                .map_err(|code| Refusal::new(code, "Authorization failed."))
                .and_then(|()| create(cluster, &topic, request.validate_only)),
        };
        topics.push(match created {
            Ok(result) => result,
            Err(Refusal { code, message }) => CreateTopicsCreatableTopicResult {
                name: topic.name,
                error_code: code,
                error_message: Some(message),
                ..Default::default()
            },
        });
    }
    CreateTopicsResponse { topics, ..Default::default() }
}

fn create(
    cluster: &mut Cluster,
    wanted: &CreateTopicsCreatableTopic,
    validate_only: bool,
) -> Result<CreateTopicsCreatableTopicResult, Refusal> {
    let spec = spec_of(cluster, wanted)?;
    let replicas = placed(cluster, wanted)?;
    cluster.topics.check(&spec, cluster.nodes.up_ids().len())?;
    let mut result = CreateTopicsCreatableTopicResult {
        name: spec.name.clone(),
        num_partitions: spec.partitions as i32,
        replication_factor: spec.replication_factor as i16,
        configs: Some(wanted.configs.iter().map(echo).collect()),
        ..Default::default()
    };
    if !validate_only {
        result.topic_id = cluster.add_topic(&spec, replicas)?;
    }
    Ok(result)
}

/// The shape that is asked for, with the defaults filled in.
fn spec_of(cluster: &Cluster, wanted: &CreateTopicsCreatableTopic) -> Result<TopicSpec, Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(code, message));
    let mut spec = TopicSpec::new(wanted.name.clone(), cluster.config.default_partitions);
    if let Some(first) = wanted.assignments.first() {
        if wanted.num_partitions != -1 || wanted.replication_factor != -1 {
            return refuse(ErrorCode::InvalidRequest, "both counts and an assignment of replicas");
        }
        spec.partitions = wanted.assignments.len() as u32;
        spec.replication_factor = first.broker_ids.len() as u16;
    }
    match wanted.num_partitions {
        -1 => {}
        count if count > 0 => spec.partitions = count as u32,
        _ => return refuse(ErrorCode::InvalidPartitions, "fewer than one partition"),
    }
    match wanted.replication_factor {
        -1 => {}
        factor if factor > 0 => spec.replication_factor = factor as u16,
        _ => return refuse(ErrorCode::InvalidReplicationFactor, "fewer than one replica"),
    }
    for config in &wanted.configs {
        match (config.name.as_str(), config.value.as_deref()) {
            (TIMESTAMP_TYPE, Some("LogAppendTime")) => spec.log_append_time = true,
            (TIMESTAMP_TYPE, Some("CreateTime") | None) => spec.log_append_time = false,
            (TIMESTAMP_TYPE, Some(_)) => return refuse(ErrorCode::InvalidConfig, TIMESTAMP_TYPE),
            (name, _) => tracing::debug!(topic = spec.name, name, "topic configuration without effect"),
        }
    }
    Ok(spec)
}

/// The replicas that are asked for, by partition.
fn placed(cluster: &Cluster, wanted: &CreateTopicsCreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    let mut assignments = wanted.assignments.clone();
    assignments.sort_by_key(|assignment| assignment.partition_index);
    let in_order = (0..).zip(&assignments).all(|(index, assignment)| assignment.partition_index == index);
    let known = assignments.iter().all(|assignment| {
        !assignment.broker_ids.is_empty() && assignment.broker_ids.iter().all(|id| cluster.nodes.is_up(*id))
    });
    if in_order && known {
        return Ok(assignments.into_iter().map(|assignment| assignment.broker_ids).collect());
    }
    let message = "partitions must count from 0, and their replicas be on brokers that exist";
    Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message))
}

fn echo(config: &CreateTopicsCreatableTopicConfig) -> CreateTopicsCreatableTopicConfigs {
    CreateTopicsCreatableTopicConfigs {
        name: config.name.clone(),
        value: config.value.clone(),
        config_source: DYNAMIC_TOPIC_CONFIG,
        ..Default::default()
    }
}
