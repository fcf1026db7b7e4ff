//! CreatePartitions: makes topics wider.

use ottla_protocol::{
    ErrorCode,
    messages::{
        CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse,
        CreatePartitionsTopicResult,
    },
};

use crate::{
    Cluster, Refusal, connections::Asked, security::Operation, storage::Entry, topics::MAX_PARTITIONS,
};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: CreatePartitionsRequest,
    forced: Option<ErrorCode>,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let grown = match forced {
            Some(code) => Err(Refusal::new(code, "")),
            None => (cluster.config.check_topic(&asked.principal, Operation::Alter, &topic.name))
                .map_err(|code| Refusal::new(code, ""))
                .and_then(|()| {
                    let assignments = topic.assignments.as_deref();
                    cluster.widen(&topic.name, topic.count, assignments, request.validate_only)
                }),
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

impl Cluster {
    /// Makes a topic wider, with new partitions where `assignments` say, or on brokers in turn.
    pub(crate) fn widen(
        &mut self,
        name: &str,
        count: i32,
        assignments: Option<&[CreatePartitionsAssignment]>,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let refuse = |code, message: String| Err(Refusal { code, message });
        let nodes = self.nodes.up_ids();
        let Some(topic) = self.topics.find(name) else {
            return refuse(ErrorCode::UnknownTopicOrPartition, format!("no topic '{name}'"));
        };
        let has = topic.partitions.len();
        let Some(count) = usize::try_from(count).ok().filter(|count| *count > has) else {
            let message = format!("the topic has {has} partitions, which can only grow, not become {count}");
            return refuse(ErrorCode::InvalidPartitions, message);
        };
        if count > MAX_PARTITIONS as usize {
            return refuse(ErrorCode::InvalidPartitions, format!("at most {MAX_PARTITIONS} partitions"));
        }
        let known = |ids: &[i32]| !ids.is_empty() && ids.iter().all(|id| nodes.contains(id));
        if assignments.is_some_and(|to| to.len() != count - has || !to.iter().all(|to| known(&to.broker_ids)))
        {
            let message = "one list of existing brokers for each new partition";
            return refuse(ErrorCode::InvalidReplicaAssignment, message.to_owned());
        }
        if !validate_only {
            let replicas = match assignments {
                Some(to) => to.iter().map(|to| to.broker_ids.clone()).collect(),
                None => topic.lay_out_more(count, &nodes),
            };
            let topic = topic.id;
            self.keep(Entry::TopicWidened { topic, replicas })?;
        }
        Ok(())
    }
}
