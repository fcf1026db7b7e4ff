//! ListOffsets: the ends of a log, and offsets by timestamp.

use ottla_protocol::{
    ErrorCode,
    messages::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopicResponse,
    },
};

use crate::{
    Cluster, connections::Asked, faults::Forced, log::Found, partition::Partition, security::Operation,
};

/// The isolation level of who reads no further than the last stable offset.
pub(super) const READ_COMMITTED: i8 = 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// KIP-734.
const MAX_TIMESTAMP: i64 = -3;
/// KIP-405: of what is on the broker's own disk, which is all here.
const EARLIEST_LOCAL: i64 = -4;
/// KIP-1005: of what is in remote storage, which is nothing here.
const LATEST_TIERED: i64 = -5;
/// KIP-1023.
const EARLIEST_PENDING_UPLOAD: i64 = -6;

pub(super) fn handle(
    cluster: &Cluster,
    asked: &Asked,
    request: ListOffsetsRequest,
    forced: Option<Forced>,
) -> ListOffsetsResponse {
    let committed = request.isolation_level == READ_COMMITTED;
    let topics = request.topics.into_iter().map(|topic| {
        let allowed = cluster.config.check_topic(&asked.principal, Operation::Describe, &topic.name);
        let answer = |wanted: ListOffsetsPartition| {
            let partition = cluster.topics.partition(&topic.name, wanted.partition_index);
            let forced = forced.and_then(|forced| forced.of(wanted.partition_index)).or(allowed.err());
            let found = match (forced, partition) {
                (Some(code), _) => Err(code),
                (None, None) => Err(ErrorCode::UnknownTopicOrPartition),
                (None, Some(partition)) => {
                    partition.check_leader(asked.node, wanted.current_leader_epoch).and_then(|()| {
                        let end = partition.readable_end(committed, cluster.plot);
                        find(partition, wanted.timestamp, end, asked.header.version)
                    })
                }
            };
            let answer = ListOffsetsPartitionResponse {
                partition_index: wanted.partition_index,
                error_code: found.err().unwrap_or_default(),
                ..Default::default()
            };
            match found {
                Ok(Some(Found { offset, timestamp, leader_epoch })) => {
                    ListOffsetsPartitionResponse { offset, timestamp, leader_epoch, ..answer }
                }
                _ => answer,
            }
        };
        let partitions = topic.partitions.into_iter().map(answer).collect();
        ListOffsetsTopicResponse { name: topic.name, partitions }
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

/// `end_offset` is where what the client may read ends: a record behind it is not found, even if an older one would do.
fn find(
    partition: &Partition,
    timestamp: i64,
    end_offset: i64,
    version: i16,
) -> Result<Option<Found>, ErrorCode> {
    let log = &partition.log;
    let end = |offset, leader_epoch| Ok(Some(Found { offset, timestamp: -1, leader_epoch }));
    let readable = |found: Option<Found>| found.filter(|found| found.offset < end_offset);
    let since = match timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => 0,
    };
    if version < since {
        return Err(ErrorCode::UnsupportedVersion);
    }
    match timestamp {
        LATEST => end(end_offset, partition.leader_epoch),
        EARLIEST | EARLIEST_LOCAL => {
            end(log.start_offset(), log.first_epoch().unwrap_or(partition.leader_epoch))
        }
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(None),
        MAX_TIMESTAMP => log.find_newest().map(readable),
        timestamp => log.find_by_time(timestamp).map(readable),
    }
}
