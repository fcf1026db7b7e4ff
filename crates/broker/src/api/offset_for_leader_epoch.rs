//! OffsetForLeaderEpoch: where a leader epoch ends, by which a consumer sees that its log was cut (KIP-320).

use ottla_protocol::{
    ErrorCode,
    messages::{
        OffsetForLeaderEpochEndOffset, OffsetForLeaderEpochPartition, OffsetForLeaderEpochRequest,
        OffsetForLeaderEpochResponse, OffsetForLeaderEpochTopicResponse,
    },
};

use crate::{Cluster, connections::Asked, faults::Forced, security::Operation};

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: OffsetForLeaderEpochRequest,
    forced: Option<Forced>,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let allowed = cluster.config.check_topic(&asked.principal, Operation::Describe, &topic.topic);
        let answer = |wanted: OffsetForLeaderEpochPartition| {
            let partition = cluster.topics.partition(&topic.topic, wanted.partition);
            let forced = forced.and_then(|forced| forced.of(wanted.partition)).or(allowed.err());
            let end = match (forced, partition) {
                (Some(code), _) => Err(code),
                (None, None) => Err(ErrorCode::UnknownTopicOrPartition),
                (None, Some(found)) => {
                    let checked = found.check_leader(asked.node, wanted.current_leader_epoch);
                    let end = found.leader_epochs.end_of(wanted.leader_epoch, found.log.end_offset());
                    checked.map(|()| end.filter(|_| wanted.leader_epoch >= 0))
                }
            };
            let error_code = end.err().unwrap_or_default();
            let (leader_epoch, end_offset) = end.ok().flatten().unwrap_or((-1, -1));
            OffsetForLeaderEpochEndOffset {
                partition: wanted.partition,
                error_code,
                leader_epoch,
                end_offset,
            }
        };
        let partitions = topic.partitions.into_iter().map(answer).collect();
        OffsetForLeaderEpochTopicResponse { topic: topic.topic, partitions }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}
