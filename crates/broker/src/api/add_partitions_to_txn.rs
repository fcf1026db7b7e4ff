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
    let wrong = |name: &str, index| match forced.and_then(|forced| forced.of(index)) {
        Some(code) => code,
        None => check(cluster, asked, name, index).err().unwrap_or_default(),
    };
    let mut answers: Vec<AddPartitionsToTxnTopicResponse> = (transaction.topics.iter())
        .map(|AddPartitionsToTxnTopic { name, partitions }| {
            let results = partitions.iter().map(|&partition_index| AddPartitionsToTxnPartitionResponse {
                partition_index,
                partition_error_code: wrong(name, partition_index),
            });
            AddPartitionsToTxnTopicResponse { name: name.clone(), results_by_partition: results.collect() }
        })
        .collect();
    let results = answers.iter().flat_map(|topic| &topic.results_by_partition);
    let is_wrong = !results.map(|result| result.partition_error_code).all(ErrorCode::is_ok);
    let as_a_whole = add(cluster, asked, &transaction, is_wrong, now);
    for AddPartitionsToTxnTopicResponse { name, results_by_partition } in &mut answers {
        for AddPartitionsToTxnPartitionResponse { partition_index, partition_error_code } in
            results_by_partition
        {
            let code = match as_a_whole {
                Err(code) => code,
                Ok(()) if !partition_error_code.is_ok() => *partition_error_code,
                Ok(()) if is_wrong => ErrorCode::OperationNotAttempted,
                Ok(()) if transaction.verify_only => {
                    let (id, place) = (&transaction.transactional_id, (name.clone(), *partition_index));
                    let verified = cluster.verify_in_transaction(id, identity(&transaction), &place);
                    verified.err().unwrap_or_default()
                }
                Ok(()) => ErrorCode::None,
            };
            *partition_error_code = fenced(code, version >= KNOWS_FENCED);
        }
    }
    answers
}

/// Adds all partitions, unless some of them are `wrong` or it is only asked.
fn add(
    cluster: &mut Cluster,
    asked: &Asked,
    transaction: &AddPartitionsToTxnTransaction,
    wrong: bool,
    now: Now,
) -> Result<(), ErrorCode> {
    let (version, id) = (asked.header.version, transaction.transactional_id.as_str());
    if version < BATCHED {
        let (operation, resource) = (Operation::Write, ResourceType::TransactionalId);
        cluster.config.check(&asked.principal, operation, resource, id)?;
    }
    cluster.check_transactional_id(asked.node, id)?;
    if wrong || transaction.verify_only {
        return Ok(());
    }
    let of = |topic: &AddPartitionsToTxnTopic| {
        let name = topic.name.clone();
        topic.partitions.clone().into_iter().map(move |index| (name.clone(), index))
    };
    let places: Vec<Place> = transaction.topics.iter().flat_map(of).collect();
    let flow = if version >= BATCHED { Flow::V2 } else { Flow::V1 };
    cluster.add_to_transaction(id, identity(transaction), places, flow, now)
}

const fn identity(transaction: &AddPartitionsToTxnTransaction) -> Identity {
    Identity { id: transaction.producer_id, epoch: transaction.producer_epoch }
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
