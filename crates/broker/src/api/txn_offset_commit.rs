//! TxnOffsetCommit: positions for a group, which count if the transaction is committed (KIP-98, KIP-447).

use ottla_protocol::{
    ErrorCode, Now,
    messages::{
        TxnOffsetCommitPartition, TxnOffsetCommitPartitionResponse, TxnOffsetCommitRequest,
        TxnOffsetCommitResponse, TxnOffsetCommitTopicResponse,
    },
};

use super::offset_commit::keep;
use crate::{
    Cluster,
    connections::Asked,
    faults::Forced,
    groups::{Committed, Committer},
    security::{Operation, ResourceType},
    transactions::{Flow, Identity, offsets_of},
};

/// The first version whose clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 4;
/// From this version on the group need not have been added to the transaction (KIP-890).
const ADDS: i16 = 5;
/// From this version on clients know STALE_MEMBER_EPOCH (KIP-1319).
const KNOWS_STALE: i16 = 6;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: TxnOffsetCommitRequest,
    forced: Option<Forced>,
    now: Now,
) -> TxnOffsetCommitResponse {
    let allowed = match forced.and_then(Forced::whole) {
        Some(code) => Err(code),
        None => check(cluster, asked, &request, now),
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let may_read = cluster.config.check_topic(&asked.principal, Operation::Read, &topic.name);
        let mut commit = |partition: TxnOffsetCommitPartition| {
            let partition_index = partition.partition_index;
            let metadata = partition.committed_metadata.unwrap_or_default();
            let forced = forced.and_then(|forced| forced.of(partition_index));
            let exists = cluster.topics.partition(&topic.name, partition_index).is_some();
            let error_code = match allowed.and(forced.map_or(Ok(()), Err)).and(may_read) {
                Err(code) => code,
                Ok(()) if !exists => ErrorCode::UnknownTopicOrPartition,
                Ok(()) => {
                    let (offset, leader_epoch) =
                        (partition.committed_offset, partition.committed_leader_epoch);
                    let committed = Committed { offset, leader_epoch, metadata, written: 0 };
                    let at = (topic.name.clone(), partition_index);
                    keep(cluster, &request.group_id, at, committed, Some(request.producer_id))
                }
            };
            TxnOffsetCommitPartitionResponse { partition_index, error_code }
        };
        let partitions = topic.partitions.into_iter().map(&mut commit).collect();
        let (name, topic_id) = (topic.name, topic.topic_id);
        topics.push(TxnOffsetCommitTopicResponse { name, topic_id, partitions });
    }
    TxnOffsetCommitResponse { topics, ..Default::default() }
}

fn check(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &TxnOffsetCommitRequest,
    now: Now,
) -> Result<(), ErrorCode> {
    let TxnOffsetCommitRequest { transactional_id, group_id, .. } = request;
    let config = &cluster.config;
    config.check(&asked.principal, Operation::Write, ResourceType::TransactionalId, transactional_id)?;
    config.check_group(&asked.principal, Operation::Read, group_id)?;
    cluster.check_group(asked.node, group_id)?;
    let version = asked.header.version;
    join(cluster, request, version, now).map_err(|code| match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => ErrorCode::InvalidTxnState,
        code => code,
    })?;
    let partitions: Vec<(&str, i32)> = (request.topics.iter())
        .flat_map(|topic| topic.partitions.iter().map(|part| (topic.name.as_str(), part.partition_index)))
        .collect();
    let committer = Committer {
        version,
        partitions: &partitions,
        member_id: &request.member_id,
        group_instance_id: request.group_instance_id.as_deref(),
        generation_id: request.generation_id_or_member_epoch,
    };
    let checked = cluster.groups.step(group_id, &cluster.topics, now, |group, turn| {
        group.check_transactional_commit(committer, turn)
    });
    match checked {
        Some(Err(ErrorCode::StaleMemberEpoch)) if version < KNOWS_STALE => Err(ErrorCode::IllegalGeneration),
        Some(checked) => checked,
        // A group that only keeps offsets begins with its first commit.
        None if committer.generation_id < 0 => Ok(()),
        None => Err(ErrorCode::IllegalGeneration),
    }
}

/// Whether the group is of the transaction; where the version says so, it becomes one.
fn join(
    cluster: &mut Cluster,
    request: &TxnOffsetCommitRequest,
    version: i16,
    now: Now,
) -> Result<(), ErrorCode> {
    let identity = Identity { id: request.producer_id, epoch: request.producer_epoch };
    let place = offsets_of(&request.group_id);
    let id = &request.transactional_id;
    match version {
        ADDS.. => cluster.add_to_transaction(id, identity, [place], Flow::V2, now),
        _ => cluster.verify_in_transaction(id, identity, &place),
    }
}
