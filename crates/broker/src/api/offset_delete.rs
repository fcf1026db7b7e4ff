//! OffsetDelete: forgets what a group committed for topics that no member is subscribed to (KIP-496).

use ottla_protocol::{
    ErrorCode,
    messages::{
        OffsetDeletePartition, OffsetDeletePartitionResponse, OffsetDeleteRequest, OffsetDeleteResponse,
        OffsetDeleteTopicResponse,
    },
};

use crate::{
    Cluster,
    connections::Asked,
    security::Operation,
    storage::{Entry, Unkept},
};

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: OffsetDeleteRequest,
    forced: Option<ErrorCode>,
) -> OffsetDeleteResponse {
    let group_id = request.group_id.as_str();
    let checked = forced.map_or(Ok(()), Err).and_then(|()| check(cluster, asked, group_id));
    if let Err(error_code) = checked {
        return OffsetDeleteResponse { error_code, ..Default::default() };
    }
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let may_read = cluster.config.check_topic(&asked.principal, Operation::Read, &topic.name);
        let group = cluster.groups.find(group_id);
        let subscribed = group.is_some_and(|group| group.is_subscribed_to(&topic.name));
        let delete = |OffsetDeletePartition { partition_index }| {
            let error_code = match may_read {
                Err(code) => code,
                Ok(()) if cluster.topics.partition(&topic.name, partition_index).is_none() => {
                    ErrorCode::UnknownTopicOrPartition
                }
                Ok(()) if subscribed => ErrorCode::GroupSubscribedToTopic,
                Ok(()) => {
                    let (group, at) = (group_id.to_owned(), (topic.name.clone(), partition_index));
                    let kept = cluster.keep(Entry::OffsetForgotten { group, at });
                    kept.map_err(Unkept::of_coordinator).err().unwrap_or_default()
                }
            };
            OffsetDeletePartitionResponse { partition_index, error_code }
        };
        let partitions = topic.partitions.into_iter().map(delete).collect();
        topics.push(OffsetDeleteTopicResponse { name: topic.name.clone(), partitions });
    }
    OffsetDeleteResponse { topics, ..Default::default() }
}

fn check(cluster: &Cluster, asked: &Asked, group_id: &str) -> Result<(), ErrorCode> {
    cluster.config.check_group(&asked.principal, Operation::Delete, group_id)?;
    cluster.check_group(asked.node, group_id)?;
    cluster.groups.find(group_id).ok_or(ErrorCode::GroupIdNotFound)?.check_delete_offsets()
}
