//! WriteTxnMarkers: ends what a transaction wrote to partitions. Coordinators ask it of the leaders; here an administrator does
//! alone, who aborts a transaction that its coordinator does not know of any more (KIP-664).

use ottla_protocol::{
    ErrorCode, Now,
    messages::{
        WriteTxnMarkersMarker, WriteTxnMarkersMarkerResult, WriteTxnMarkersPartitionResult,
        WriteTxnMarkersRequest, WriteTxnMarkersResponse, WriteTxnMarkersTopicResult,
    },
    records::{ControlType, EndTxnMarker},
};

use crate::{
    Cluster, Refusal,
    connections::Asked,
    faults::Forced,
    security::{CLUSTER, Operation, ResourceType},
    storage::Entry,
    transactions::{OFFSETS, Place},
};

/// The `transaction.version` from which on a marker's epoch is larger than that of what it ends (KIP-890).
const RAISED: i8 = 2;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: WriteTxnMarkersRequest,
    forced: Option<Forced>,
    now: Now,
) -> WriteTxnMarkersResponse {
    let may = |operation| cluster.config.check(&asked.principal, operation, ResourceType::Cluster, CLUSTER);
    let allowed = may(Operation::Alter).or_else(|_| may(Operation::ClusterAction));
    let mut end = |marker: WriteTxnMarkersMarker| {
        let WriteTxnMarkersMarker { producer_id, producer_epoch, coordinator_epoch, .. } = marker;
        let control_type = match marker.transaction_result {
            true => ControlType::Commit,
            false => ControlType::Abort,
        };
        let written = EndTxnMarker { control_type, producer_id, producer_epoch, coordinator_epoch };
        let raised = marker.transaction_version >= RAISED;
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in marker.topics {
            let mut write = |partition_index| {
                let forced = forced.and_then(|forced| forced.of(partition_index)).or(allowed.err());
                let place = (topic.name.clone(), partition_index);
                let result =
                    forced.map_or_else(|| write(cluster, asked.node, place, written, raised, now), Err);
                let error_code = result.err().unwrap_or_default();
                WriteTxnMarkersPartitionResult { partition_index, error_code }
            };
            let partitions = topic.partition_indexes.iter().map(|index| write(*index)).collect();
            topics.push(WriteTxnMarkersTopicResult { name: topic.name, partitions });
        }
        WriteTxnMarkersMarkerResult { producer_id, topics }
    };
    WriteTxnMarkersResponse { markers: request.markers.into_iter().map(&mut end).collect() }
}

fn write(
    cluster: &mut Cluster,
    node: i32,
    place: Place,
    marker: EndTxnMarker,
    raised: bool,
    now: Now,
) -> Result<(), ErrorCode> {
    if place.0 != OFFSETS {
        let partition =
            cluster.topics.partition(&place.0, place.1).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        partition.check_leader(node, -1)?;
        partition.producers.check_marker(&marker, raised)?;
    }
    let kept = cluster.keep(Entry::Marker { id: String::new(), place, marker, timestamp: now.wall.0 });
    kept.map_err(|unkept| Refusal::from(unkept).code)
}
