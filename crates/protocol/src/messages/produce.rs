//! Produce, API key 0.

use crate::{
    ErrorCode,
    codec::{RecordData, TopicId, message::messages},
    records::Compressor,
};

messages! {
    ProduceRequest(versions 3..=13, flexible 9..) {
        transactional_id: Option<String> [3..],
        acks: i16,
        timeout_ms: i32,
        topic_data: Vec<ProduceTopicData>,
    }

    ProduceTopicData {
        name: String [0..=12],
        topic_id: TopicId [13..],
        partition_data: Vec<ProducePartitionData>,
    }

    ProducePartitionData {
        index: i32,
        records: Option<RecordData>,
    }

    ProduceResponse(versions 3..=13, flexible 9..) {
        responses: Vec<ProduceTopicResponse>,
        throttle_time_ms: i32 [1..],
        node_endpoints: Vec<ProduceNodeEndpoint> [10.., tag 0],
    }

    ProduceTopicResponse {
        name: String [0..=12],
        topic_id: TopicId [13..],
        partition_responses: Vec<ProducePartitionResponse>,
    }

    ProduceNodeEndpoint {
        node_id: i32 [10..],
        host: String [10..],
        port: i32 [10..],
        rack: Option<String> [10..],
    }

    ProducePartitionResponse {
        index: i32,
        error_code: ErrorCode,
        base_offset: i64,
        log_append_time_ms: i64 [2..] = -1,
        log_start_offset: i64 [5..] = -1,
        record_errors: Vec<ProduceBatchIndexAndErrorMessage> [8..],
        error_message: Option<String> [8..],
        current_leader: ProduceLeaderIdAndEpoch [10.., tag 0],
    }

    ProduceBatchIndexAndErrorMessage {
        batch_index: i32 [8..],
        batch_index_error_message: Option<String> [8..],
    }

    ProduceLeaderIdAndEpoch {
        leader_id: i32 [10..] = -1,
        leader_epoch: i32 [10..] = -1,
    }
}

impl ProduceRequest {
    /// Compresses the batches that a codec is to compress, which takes long: not to be done where others wait. What is not
    /// compressed is sent all the same, as it is.
    pub fn compress(&mut self, compressor: &mut Compressor) {
        for data in self.batches_mut() {
            if matches!(data, RecordData::Closed(batch) if batch.has_codec()) {
                data.seal(compressor);
            }
        }
    }

    /// Each partition's records.
    pub fn batches_mut(&mut self) -> impl Iterator<Item = &mut RecordData> {
        let partitions = self.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
        partitions.filter_map(|partition| partition.records.as_mut())
    }

    /// Each partition's records, in order.
    pub(crate) fn into_batches(self) -> impl Iterator<Item = RecordData> {
        let partitions = self.topic_data.into_iter().flat_map(|topic| topic.partition_data);
        partitions.filter_map(|partition| partition.records)
    }

    /// How many partitions it has records for.
    pub(crate) fn partitions(&self) -> usize {
        self.topic_data.iter().map(|topic| topic.partition_data.len()).sum()
    }

    /// About how many bytes it is on its way.
    pub(crate) fn size_estimate(&self) -> usize {
        let partitions = self.topic_data.iter().flat_map(|topic| &topic.partition_data);
        partitions.map(|partition| 16 + partition.records.as_ref().map_or(0, RecordData::len)).sum()
    }
}
