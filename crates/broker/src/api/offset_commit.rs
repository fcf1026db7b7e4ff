//! OffsetCommit: keeps positions for a group.

use ottla_protocol::{
    ErrorCode, Now,
    messages::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse,
        OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    },
};

use crate::{
    Cluster,
    connections::Asked,
    faults::Forced,
    groups::{Committed, Committer, KNOWS_EPOCHS},
    security::Operation,
    storage::{Entry, Unkept},
};

/// From this version on topics are named by their ids.
const BY_ID: i16 = 10;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    mut request: OffsetCommitRequest,
    forced: Option<Forced>,
    now: Now,
) -> OffsetCommitResponse {
    let by_id = asked.header.version >= BY_ID;
    for topic in request.topics.iter_mut().filter(|_| by_id) {
        topic.name = cluster.topics.name_of(topic.topic_id).unwrap_or_default().to_owned();
    }
    let allowed = match forced.and_then(Forced::whole) {
        Some(code) => Err(code),
        None => check(cluster, asked, &request, now),
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let exists = cluster.topics.find(&topic.name).is_some();
        let may_read = match exists || !by_id {
            true => cluster.config.check_topic(&asked.principal, Operation::Read, &topic.name),
            false => Err(ErrorCode::UnknownTopicId),
        };
        let mut commit = |partition: OffsetCommitRequestPartition| {
            let metadata = partition.committed_metadata.unwrap_or_default();
            let forced = forced.and_then(|forced| forced.of(partition.partition_index));
            let error_code = match allowed.and(forced.map_or(Ok(()), Err)).and(may_read) {
                Err(code) => code,
                Ok(()) if cluster.topics.partition(&topic.name, partition.partition_index).is_none() => {
                    ErrorCode::UnknownTopicOrPartition
                }
                Ok(()) => {
                    let (offset, leader_epoch) =
                        (partition.committed_offset, partition.committed_leader_epoch);
                    let at = (topic.name.clone(), partition.partition_index);
                    let committed = Committed { offset, leader_epoch, metadata, written: 0 };
                    keep(cluster, &request.group_id, at, committed, None)
                }
            };
            OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code }
        };
        let partitions = topic.partitions.into_iter().map(&mut commit).collect();
        let (name, topic_id) = (topic.name, topic.topic_id);
        topics.push(OffsetCommitResponseTopic { name, topic_id, partitions });
    }
    OffsetCommitResponse { topics, ..Default::default() }
}

/// Keeps an offset that may be committed: for good, or until the transaction of a producer ends.
pub(super) fn keep(
    cluster: &mut Cluster,
    group_id: &str,
    at: (String, i32),
    committed: Committed,
    producer_id: Option<i64>,
) -> ErrorCode {
    if committed.metadata.len() > cluster.config.offset_metadata_max_bytes {
        return ErrorCode::OffsetMetadataTooLarge;
    }
    let (group, producer_id) = (group_id.to_owned(), producer_id.unwrap_or(-1));
    let kept = cluster.keep(Entry::Offset { group, at, producer_id, committed });
    kept.map_err(Unkept::of_coordinator).err().unwrap_or_default()
}

fn check(
    cluster: &mut Cluster,
    asked: &Asked,
    request: &OffsetCommitRequest,
    now: Now,
) -> Result<(), ErrorCode> {
    cluster.config.check_group(&asked.principal, Operation::Read, &request.group_id)?;
    cluster.check_coordinator(asked.node, &request.group_id)?;
    let partitions: Vec<(&str, i32)> = (request.topics.iter().filter(|topic| !topic.name.is_empty()))
        .flat_map(|topic| topic.partitions.iter().map(|part| (topic.name.as_str(), part.partition_index)))
        .collect();
    let committer = Committer {
        version: asked.header.version,
        partitions: &partitions,
        member_id: &request.member_id,
        group_instance_id: request.group_instance_id.as_deref(),
        generation_id: request.generation_id_or_member_epoch,
    };
    let checked = cluster
        .groups
        .step(&request.group_id, &cluster.topics, now, |group, turn| group.check_commit(committer, turn));
    match checked {
        Some(checked) => checked,
        // A group that only keeps offsets begins with its first commit.
        None if committer.generation_id < 0 => Ok(()),
        None if asked.header.version >= KNOWS_EPOCHS => Err(ErrorCode::GroupIdNotFound),
        None => Err(ErrorCode::IllegalGeneration),
    }
}
