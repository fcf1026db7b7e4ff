//! DeleteRecords: moves the start of logs forward (KIP-107).

use ottla_protocol::{
    ErrorCode,
    messages::{
        DeleteRecordsPartition, DeleteRecordsPartitionResponse, DeleteRecordsRequest, DeleteRecordsResponse,
        DeleteRecordsTopicResponse,
    },
};

use crate::{Cluster, connections::Asked, faults::Forced, security::Operation};

/// As an offset: all that there is.
const HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: DeleteRecordsRequest,
    forced: Option<Forced>,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let allowed = cluster.config.check_topic(&asked.principal, Operation::Delete, &topic.name);
        let delete = |wanted: DeleteRecordsPartition| {
            let partition_index = wanted.partition_index;
            let forced = forced.and_then(|forced| forced.of(partition_index)).or(allowed.err());
            let deleted = match forced {
                Some(code) => Err(code),
                None => delete(cluster, asked.node, &topic.name, &wanted),
            };
            DeleteRecordsPartitionResponse {
                partition_index,
                low_watermark: deleted.unwrap_or(-1),
                error_code: deleted.err().unwrap_or_default(),
            }
        };
        let partitions = topic.partitions.into_iter().map(delete).collect();
        topics.push(DeleteRecordsTopicResponse { name: topic.name, partitions });
    }
    DeleteRecordsResponse { topics, ..Default::default() }
}

/// Returns the offset that the log begins at then.
fn delete(
    cluster: &mut Cluster,
    node: i32,
    topic: &str,
    wanted: &DeleteRecordsPartition,
) -> Result<i64, ErrorCode> {
    let index = wanted.partition_index;
    let partition = cluster.topics.partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.check_leader(node, -1)?;
    let end = partition.log.end_offset();
    let before = if wanted.offset == HIGH_WATERMARK { end } else { wanted.offset };
    if !(0..=end).contains(&before) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    cluster.start_log_at(topic, index, before).map_err(|refusal| refusal.code)
}
