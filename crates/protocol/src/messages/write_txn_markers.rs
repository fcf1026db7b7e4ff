//! WriteTxnMarkers, API key 27. Coordinators send it, and administrators who abort a transaction that hangs (KIP-664).

use crate::{ErrorCode, codec::message::messages};

messages! {
    WriteTxnMarkersRequest(versions 1..=2, flexible 1..) {
        markers: Vec<WriteTxnMarkersMarker>,
    }

    WriteTxnMarkersMarker {
        producer_id: i64,
        producer_epoch: i16,
        /// Whether the transaction is committed.
        transaction_result: bool,
        topics: Vec<WriteTxnMarkersTopic>,
        /// Of the coordinator of the transactional id.
        coordinator_epoch: i32,
        /// The `transaction.version` whose rules hold for the epoch.
        transaction_version: i8 [2..],
    }

    WriteTxnMarkersTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }

    WriteTxnMarkersResponse(versions 1..=2, flexible 1..) {
        markers: Vec<WriteTxnMarkersMarkerResult>,
    }

    WriteTxnMarkersMarkerResult {
        producer_id: i64,
        topics: Vec<WriteTxnMarkersTopicResult>,
    }

    WriteTxnMarkersTopicResult {
        name: String,
        partitions: Vec<WriteTxnMarkersPartitionResult>,
    }

    WriteTxnMarkersPartitionResult {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
