//! OffsetFetch: what groups committed. One group a request up to version 7, several from 8 on (KIP-709).

use std::collections::BTreeMap;

use ottla_protocol::{
    ErrorCode, TopicId,
    messages::{
        OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics,
    },
};

use crate::{Cluster, connections::Asked, faults::Forced, security::Operation};

/// From this version on one request asks for several groups.
const BATCHED: i16 = 8;
/// From this version on topics are named by their ids.
const BY_ID: i16 = 10;
/// From this version on a group as a whole can fail.
const GROUP_ERROR: i16 = 2;

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: OffsetFetchRequest,
    forced: Option<Forced>,
) -> OffsetFetchResponse {
    let version = asked.header.version;
    if version >= BATCHED {
        let stable = request.require_stable;
        let groups = request.groups.into_iter();
        let groups = groups.map(|group| fetch(cluster, asked, group, stable, forced)).collect();
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let topics = request.topics.map(|topics| {
        let renamed = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..Default::default()
        });
        renamed.collect::<Vec<_>>()
    });
    let wanted = topics.clone();
    let group = OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() };
    let mut fetched = fetch(cluster, asked, group, request.require_stable, forced);
    let failed = fetched.error_code;
    if version < GROUP_ERROR && !failed.is_ok() {
        fetched.topics =
            wanted.into_iter().flatten().map(|topic| answer(topic, |_| unknown(failed))).collect();
    }
    OffsetFetchResponse {
        topics: fetched.topics.into_iter().map(to_single).collect(),
        error_code: failed,
        ..Default::default()
    }
}

fn fetch(
    cluster: &Cluster,
    asked: &Asked,
    wanted: OffsetFetchRequestGroup,
    stable: bool,
    forced: Option<Forced>,
) -> OffsetFetchResponseGroup {
    let checked = forced.and_then(Forced::whole).map_or(Ok(()), Err);
    let checked = checked
        .and_then(|()| cluster.config.check_group(&asked.principal, Operation::Describe, &wanted.group_id))
        .and_then(|()| cluster.check_coordinator(asked.node, &wanted.group_id));
    let group_id = wanted.group_id;
    let group = cluster.groups.find(&group_id);
    let checked = checked.and_then(|()| {
        group.map_or(Ok(()), |group| group.check_fetch(wanted.member_id.as_deref(), wanted.member_epoch))
    });
    if let Err(error_code) = checked {
        return OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
    }
    let allowed = |topic: &str| cluster.config.check_topic(&asked.principal, Operation::Describe, topic);
    let all = || {
        let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in group.into_iter().flat_map(|group| group.offsets.keys()) {
            if allowed(topic).is_err() {
                continue;
            }
            by_topic.entry(topic).or_default().push(*partition);
        }
        let topics = by_topic.into_iter().map(|(name, partition_indexes)| OffsetFetchRequestTopics {
            name: name.to_owned(),
            topic_id: cluster.topics.find(name).map_or(TopicId::ZERO, |topic| topic.id),
            partition_indexes,
        });
        topics.collect()
    };
    let by_id = asked.header.version >= BY_ID;
    let topics = wanted.topics.unwrap_or_else(all).into_iter().map(|topic| {
        let name = match by_id {
            true => cluster.topics.name_of(topic.topic_id).unwrap_or_default().to_owned(),
            false => topic.name.clone(),
        };
        let find = |index| {
            let unknown = (by_id && name.is_empty()).then_some(ErrorCode::UnknownTopicId);
            let failed = forced.and_then(|forced| forced.of(index)).or(unknown).or(allowed(&name).err());
            let at = (name.clone(), index);
            let unstable = stable && group.is_some_and(|group| group.is_pending(&at));
            let failed = failed.or(unstable.then_some(ErrorCode::UnstableOffsetCommit));
            failed.map_or_else(|| Ok(group.and_then(|group| group.offsets.get(&at))), Err)
        };
        answer(topic, |index| match find(index) {
            Ok(Some(committed)) => OffsetFetchResponsePartitions {
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                metadata: Some(committed.metadata.clone()),
                ..Default::default()
            },
            Ok(None) => unknown(ErrorCode::None),
            Err(code) => unknown(code),
        })
    });
    OffsetFetchResponseGroup { topics: topics.collect(), group_id, ..Default::default() }
}

fn answer(
    topic: OffsetFetchRequestTopics,
    find: impl Fn(i32) -> OffsetFetchResponsePartitions,
) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.into_iter();
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: partitions
            .map(|index| OffsetFetchResponsePartitions { partition_index: index, ..find(index) })
            .collect(),
    }
}

/// Nothing was committed, or nothing can be told.
fn unknown(error_code: ErrorCode) -> OffsetFetchResponsePartitions {
    let metadata = Some(String::new());
    OffsetFetchResponsePartitions { committed_offset: -1, metadata, error_code, ..Default::default() }
}

/// As the versions up to 7 put it.
fn to_single(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}
