use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{WriteTxnMarkersMarker, WriteTxnMarkersRequest, WriteTxnMarkersTopic},
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::TopicPartition,
};

/// Ends what a producer has open in a partition with an abort marker, whatever the coordinator of its transactional id knows
/// (KIP-664).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbortTransaction {
    /// The partition.
    pub partition: TopicPartition,
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch, as the partition's leader tells it.
    pub producer_epoch: i16,
    /// The epoch of its coordinator, as the partition's leader tells it; 0 where it knows none.
    pub coordinator_epoch: i32,
}

impl AbortTransaction {
    /// What this producer has open in a partition, in this epoch, with nothing known of its coordinator.
    pub fn new(partition: impl Into<TopicPartition>, producer_id: i64, producer_epoch: i16) -> Self {
        Self { partition: partition.into(), producer_id, producer_epoch, coordinator_epoch: 0 }
    }

    /// The epoch of its coordinator, as the partition's leader tells it.
    #[must_use]
    pub fn coordinator_epoch(self, coordinator_epoch: i32) -> Self {
        Self { coordinator_epoch, ..self }
    }
}

impl Operation for AbortTransaction {
    type Outcome = ();
    type Part = ();

    fn begin(&self) -> ((), Vec<()>) {
        ((), vec![()])
    }

    fn route<'a>(&'a self, (): &'a ()) -> Route<'a, ()> {
        Route::Leader(&self.partition)
    }

    fn api(&self, (): &()) -> (ApiKey, i16) {
        (ApiKey::WriteTxnMarkers, i16::MAX)
    }

    fn request(&self, _: &[()], _: i16, _: i32) -> Option<Request> {
        let topic = WriteTxnMarkersTopic {
            name: self.partition.topic.clone(),
            partition_indexes: vec![self.partition.partition],
        };
        let marker = WriteTxnMarkersMarker {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            transaction_result: false,
            topics: vec![topic],
            coordinator_epoch: self.coordinator_epoch,
            // By the rules that take the epoch of what is open. Those of 2 want the next one, which only a coordinator gives.
            transaction_version: 0,
        };
        Some(WriteTxnMarkersRequest { markers: vec![marker] }.into())
    }

    fn gather(&self, answer: Answer<'_, ()>, (): &mut ()) -> Verdict<()> {
        let Response::WriteTxnMarkers(response) = answer.response else { return Verdict::stray() };
        let partitions = response.markers.into_iter().flat_map(|marker| marker.topics);
        let told = partitions.flat_map(|topic| topic.partitions).next();
        match told {
            Some(told) => Verdict::of(told.error_code, None),
            None => Verdict::Failed(Failure::of(ErrorCode::UnknownServerError)),
        }
    }
}
