//! DescribeTransactions: what the coordinator knows of transactional ids (KIP-664).

use std::collections::BTreeMap;

use ottla_protocol::{
    ErrorCode,
    messages::{
        DescribeTransactionsRequest, DescribeTransactionsResponse, DescribeTransactionsTopicData,
        DescribeTransactionsTransactionState,
    },
};

use crate::{
    Cluster,
    connections::Asked,
    security::{Operation, ResourceType},
    transactions::OFFSETS,
};

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: DescribeTransactionsRequest,
    forced: Option<ErrorCode>,
) -> DescribeTransactionsResponse {
    let describe = |transactional_id: String| {
        let described = match forced {
            Some(code) => Err(code),
            None => describe(cluster, asked, &transactional_id),
        };
        let failed = |error_code| DescribeTransactionsTransactionState { error_code, ..Default::default() };
        DescribeTransactionsTransactionState { transactional_id, ..described.unwrap_or_else(failed) }
    };
    let transaction_states = request.transactional_ids.into_iter().map(describe).collect();
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

fn describe(
    cluster: &Cluster,
    asked: &Asked,
    id: &str,
) -> Result<DescribeTransactionsTransactionState, ErrorCode> {
    cluster.config.check(&asked.principal, Operation::Describe, ResourceType::TransactionalId, id)?;
    cluster.check_transactional_id(asked.node, id)?;
    let found = cluster.transactions.find(id).ok_or(ErrorCode::TransactionalIdNotFound)?;
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &found.places {
        let may = cluster.config.check_topic(&asked.principal, Operation::Describe, topic);
        if topic == OFFSETS || may.is_ok() {
            topics.entry(topic).or_default().push(*partition);
        }
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| DescribeTransactionsTopicData { topic: topic.to_owned(), partitions });
    Ok(DescribeTransactionsTransactionState {
        transaction_state: found.state.name().to_owned(),
        transaction_timeout_ms: i32::try_from(found.timeout.as_millis()).unwrap_or(i32::MAX),
        transaction_start_time_ms: found.started.map_or(-1, |started| started.wall.0),
        producer_id: found.identity.id,
        producer_epoch: found.identity.epoch,
        topics: topics.collect(),
        ..Default::default()
    })
}
