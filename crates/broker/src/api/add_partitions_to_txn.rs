//! AddPartitionsToTxn: partitions that a transaction is about to write to. One transaction a request up to version 3; several
//! from 4 on, which brokers ask each other (KIP-890), and which may ask as well whether partitions have been added.

use ottla_protocol::{
    ErrorCode, Now,
    messages::{
        AddPartitionsToTxnPartitionResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
        AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResponse,
        AddPartitionsToTxnTransaction,
    },
};

use super::fenced;
use crate::{
    Cluster,
    connections::Asked,
    faults::Forced,
    security::{CLUSTER, Operation, ResourceType},
    transactions::{Flow, Identity, Place},
};

/// From this version on one request is of several transactions.
const BATCHED: i16 = 4;
/// The first version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;
/// The first version whose clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 5;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: AddPartitionsToTxnRequest,
    forced: Option<Forced>,
    now: Now,
) -> AddPartitionsToTxnResponse {
    if asked.header.version < BATCHED {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        let results_by_topic_v3_and_below = serve(cluster, asked, transaction, forced, now);
        return AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() };
    }
    let allowed =
        cluster.config.check(&asked.principal, Operation::ClusterAction, ResourceType::Cluster, CLUSTER);
    if let Some(error_code) = forced.and_then(Forced::whole).or(allowed.err()) {
        return AddPartitionsToTxnResponse { error_code, ..Default::default() };
    }
    let results = request.transactions.into_iter().map(|transaction| AddPartitionsToTxnResult {
        transactional_id: transaction.transactional_id.clone(),
        topic_results: serve(cluster, asked, transaction, forced, now),
    });
    AddPartitionsToTxnResponse { results_by_transaction: results.collect(), ..Default::default() }
}

/// All partitions are added, or none: where some cannot be, the others are not attempted.
fn serve(
    cluster: &mut Cluster,
    asked: &Asked,
    transaction: AddPartitionsToTxnTransaction,
    forced: Option<Forced>,
    now: Now,
) -> Vec<AddPartitionsToTxnTopicResponse> {
    let version = asked.header.version;
    let identity = Identity { id: transaction.producer_id, epoch: transaction.producer_epoch };
    let id = transaction.transactional_id.as_str();
    let wrong = |name: &str, index| match forced.and_then(|forced| forced.of(index)) {
        Some(code) => Err(code),
        None => check(cluster, asked, name, index),
    };
    let indexes = |topic: &AddPartitionsToTxnTopic| topic.partitions.clone();
    let wrong: Vec<(String, Vec<(i32, Result<(), ErrorCode>)>)> = (transaction.topics.iter())
        .map(|topic| {
            let checked = indexes(topic).into_iter().map(|index| (index, wrong(&topic.name, index)));
            (topic.name.clone(), checked.collect())
        })
        .collect();
    let may = match version {
        BATCHED.. => Ok(()),
        _ => cluster.config.check(&asked.principal, Operation::Write, ResourceType::TransactionalId, id),
    };
    let some_wrong = wrong.iter().any(|(_, checked)| checked.iter().any(|(_, checked)| checked.is_err()));
    let as_a_whole = may.and_then(|()| cluster.check_transactional_id(asked.node, id));
    let places =
        wrong.iter().flat_map(|(name, checked)| checked.iter().map(|(index, _)| (name.clone(), *index)));
    let places: Vec<Place> = places.collect();
    let plot = cluster.plot;
    let flow = if version >= BATCHED { Flow::V2 } else { Flow::V1 };
    let as_a_whole = as_a_whole.and_then(|()| match some_wrong {
        true => Ok(()),
        false => {
            let found = cluster.transactions.find_mut(id)?;
            match transaction.verify_only {
                true => Ok(()),
                false => found.add(identity, places, flow, plot, now),
            }
        }
    });
    let code = |name: &str, index: i32, checked: Result<(), ErrorCode>| match (as_a_whole, checked) {
        (Err(code), _) | (Ok(()), Err(code)) => code,
        (Ok(()), Ok(())) if some_wrong => ErrorCode::OperationNotAttempted,
        (Ok(()), Ok(())) if transaction.verify_only => {
            let found = cluster.transactions.find(id).ok_or(ErrorCode::InvalidProducerIdMapping);
            let verified = found.and_then(|found| found.verify(identity, &(name.to_owned(), index), plot));
            verified.err().unwrap_or_default()
        }
        (Ok(()), Ok(())) => ErrorCode::None,
    };
    let answer = |(name, checked): (String, Vec<(i32, _)>)| {
        let results = checked.into_iter().map(|(partition_index, checked)| {
            let code = fenced(code(&name, partition_index, checked), version >= KNOWS_FENCED);
            let partition_error_code = match code {
                ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => ErrorCode::InvalidTxnState,
                code => code,
            };
            AddPartitionsToTxnPartitionResponse { partition_index, partition_error_code }
        });
        AddPartitionsToTxnTopicResponse { results_by_partition: results.collect(), name }
    };
    wrong.into_iter().map(answer).collect()
}

/// Whether there is such a partition, and the client may write to it. For a broker that asks that is settled.
fn check(cluster: &Cluster, asked: &Asked, name: &str, index: i32) -> Result<(), ErrorCode> {
    if asked.header.version >= BATCHED {
        return Ok(());
    }
    cluster.config.check_topic(&asked.principal, Operation::Write, name)?;
    match cluster.topics.partition(name, index) {
        Some(_) => Ok(()),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}
