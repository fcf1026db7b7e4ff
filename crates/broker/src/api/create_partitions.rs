//! CreatePartitions: makes topics wider.

use ottla_protocol::{
    ErrorCode,
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
    },
};

use crate::{Cluster, Refusal, topics::MAX_PARTITIONS};

pub(super) fn handle(
    cluster: &mut Cluster,
    request: CreatePartitionsRequest,
    forced: Option<ErrorCode>,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let grown = match forced {
            Some(code) => Err(Refusal::new(code, "")),
            None => grow(cluster, &topic, request.validate_only),
        };
        let refusal = grown.err();
        results.push(CreatePartitionsTopicResult {
            name: topic.name,
            error_code: refusal.as_ref().map(|refusal| refusal.code).unwrap_or_default(),
            error_message: refusal.map(|refusal| refusal.message),
        });
    }
    CreatePartitionsResponse { results, ..Default::default() }
}

fn grow(cluster: &mut Cluster, wanted: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let refuse = |code, message: String| Err(Refusal { code, message });
    let nodes: Vec<i32> = cluster.nodes().collect();
    let Some(topic) = cluster.topics.find_mut(&wanted.name) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, format!("no topic '{}'", wanted.name));
    };
    let has = topic.partitions.len();
    let Some(count) = usize::try_from(wanted.count).ok().filter(|count| *count > has) else {
        let message =
            format!("the topic has {has} partitions, which can only grow, not become {}", wanted.count);
        return refuse(ErrorCode::InvalidPartitions, message);
    };
    if count > MAX_PARTITIONS as usize {
        return refuse(ErrorCode::InvalidPartitions, format!("at most {MAX_PARTITIONS} partitions"));
    }
    let assignments = wanted.assignments.as_deref().unwrap_or_default();
    let known = |ids: &[i32]| !ids.is_empty() && ids.iter().all(|id| nodes.contains(id));
    if wanted.assignments.is_some()
        && (assignments.len() != count - has || !assignments.iter().all(|to| known(&to.broker_ids)))
    {
        let message = "one list of existing brokers for each new partition";
        return refuse(ErrorCode::InvalidReplicaAssignment, message.to_owned());
    }
    if !validate_only {
        topic.grow(count, &nodes);
        for (partition, to) in topic.partitions.iter_mut().skip(has).zip(assignments) {
            partition.leader = to.broker_ids.first().copied().unwrap_or(-1);
            partition.replicas.clone_from(&to.broker_ids);
        }
        cluster.logs_changed = true;
    }
    Ok(())
}
