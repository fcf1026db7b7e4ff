//! DescribeProducers: what a partition knows of idempotent and transactional producers (KIP-664).

use ottla_protocol::{
    ErrorCode,
    messages::{
        DescribeProducersPartitionResponse, DescribeProducersProducerState, DescribeProducersRequest,
        DescribeProducersResponse, DescribeProducersTopicResponse,
    },
};

use crate::{Cluster, connections::Asked, partition::Partition, security::Operation};

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: DescribeProducersRequest,
    forced: Option<ErrorCode>,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let allowed = cluster.config.check_topic(&asked.principal, Operation::Read, &topic.name);
        let describe = |partition_index| {
            let partition = cluster.topics.partition(&topic.name, partition_index);
            let active_producers = match (forced.or(allowed.err()), partition) {
                (Some(code), _) => Err(code),
                (None, None) => Err(ErrorCode::UnknownTopicOrPartition),
                (None, Some(partition)) => {
                    partition.check_leader(asked.node, -1).map(|()| producers(partition))
                }
            };
            DescribeProducersPartitionResponse {
                partition_index,
                error_code: active_producers.as_ref().err().copied().unwrap_or_default(),
                active_producers: active_producers.unwrap_or_default(),
                ..Default::default()
            }
        };
        let partitions = topic.partition_indexes.into_iter().map(describe).collect();
        DescribeProducersTopicResponse { name: topic.name, partitions }
    });
    DescribeProducersResponse { topics: topics.collect(), ..Default::default() }
}

fn producers(partition: &Partition) -> Vec<DescribeProducersProducerState> {
    let describe =
        |(producer_id, producer): (i64, &crate::producers::Producer)| DescribeProducersProducerState {
            producer_id,
            producer_epoch: producer.epoch.into(),
            last_sequence: producer.last_sequence(),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_start_offset: partition.isolation.opened_at(producer_id).unwrap_or(-1),
        };
    partition.producers.iter().map(describe).collect()
}
