//! Transactional producers, request by request.

use ottla_broker::ConnId;
use ottla_protocol::{
    ErrorCode,
    codec::RecordData,
    messages::*,
    records::{BatchBuilder, Compression, Compressor},
};

use super::{World, produce, produced};

/// A transactional producer as it believes it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    pub transactional_id: &'static str,
    pub id: i64,
    pub epoch: i16,
}

impl Producer {
    pub fn in_epoch(self, epoch: i16) -> Self {
        Self { epoch, ..self }
    }
}

/// Who commits for a group.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    pub id: &'a str,
    pub instance: Option<&'a str>,
    pub generation: i32,
}

/// Nobody in particular.
pub const NOBODY: Member<'static> = Member { id: "", instance: None, generation: -1 };

/// The two flows: what a request's version says of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    V1,
    V2,
}

pub const FLOWS: [Flow; 2] = [Flow::V1, Flow::V2];

impl Flow {
    pub const fn produce(self) -> i16 {
        match self {
            Self::V1 => 11,
            Self::V2 => 12,
        }
    }

    pub const fn end(self) -> i16 {
        match self {
            Self::V1 => 4,
            Self::V2 => 5,
        }
    }

    pub const fn commit(self) -> i16 {
        match self {
            Self::V1 => 4,
            Self::V2 => 5,
        }
    }
}

/// A batch of a transaction.
pub fn transactional(count: usize, who: Producer, sequence: i32, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    for _ in 0..count {
        builder.append(timestamp, None, Some(b"value"), []).unwrap();
    }
    builder.set_producer(who.id, who.epoch, sequence);
    builder.set_transactional();
    builder.finish(&mut Compressor::new())
}

impl World {
    /// InitProducerId with a time-out of a minute.
    pub fn init(
        &mut self,
        conn: ConnId,
        version: i16,
        transactional_id: &'static str,
        was: Option<Producer>,
    ) -> Result<Producer, ErrorCode> {
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.to_owned()),
            transaction_timeout_ms: 60_000,
            producer_id: was.map_or(-1, |was| was.id),
            producer_epoch: was.map_or(-1, |was| was.epoch),
            ..Default::default()
        };
        let answer = self.ask(conn, version, request);
        let (id, epoch) = (answer.producer_id, answer.producer_epoch);
        answer.error_code.ok().map(|()| Producer { transactional_id, id, epoch })
    }

    /// A producer that is new, as if it had asked until it is answered.
    pub fn producer(&mut self, conn: ConnId, transactional_id: &'static str) -> Producer {
        match self.init(conn, 4, transactional_id, None) {
            Err(ErrorCode::ConcurrentTransactions) => self.init(conn, 4, transactional_id, None).unwrap(),
            producer => producer.unwrap(),
        }
    }

    pub fn add(
        &mut self,
        conn: ConnId,
        version: i16,
        who: Producer,
        partitions: &[(&str, i32)],
    ) -> Vec<ErrorCode> {
        let topic = |&(name, index): &(&str, i32)| AddPartitionsToTxnTopic {
            name: name.to_owned(),
            partitions: vec![index],
        };
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: who.transactional_id.to_owned(),
            v3_and_below_producer_id: who.id,
            v3_and_below_producer_epoch: who.epoch,
            v3_and_below_topics: partitions.iter().map(topic).collect(),
            ..Default::default()
        };
        let answer = self.ask(conn, version, request);
        let topics = answer.results_by_topic_v3_and_below.iter();
        topics.flat_map(|topic| &topic.results_by_partition).map(|it| it.partition_error_code).collect()
    }

    pub fn add_offsets(&mut self, conn: ConnId, version: i16, who: Producer, group: &str) -> ErrorCode {
        let request = AddOffsetsToTxnRequest {
            transactional_id: who.transactional_id.to_owned(),
            producer_id: who.id,
            producer_epoch: who.epoch,
            group_id: group.to_owned(),
        };
        self.ask(conn, version, request).error_code
    }

    pub fn write(
        &mut self,
        conn: ConnId,
        version: i16,
        who: Producer,
        topic: &str,
        partition: i32,
        sequence: i32,
    ) -> ErrorCode {
        let batch = transactional(1, who, sequence, 1_700_000_000_000);
        self.write_batch(conn, version, who, topic, partition, batch)
    }

    pub fn write_batch(
        &mut self,
        conn: ConnId,
        version: i16,
        who: Producer,
        topic: &str,
        partition: i32,
        batch: Vec<u8>,
    ) -> ErrorCode {
        let transactional_id = Some(who.transactional_id.to_owned());
        let request = ProduceRequest { transactional_id, ..produce(topic, partition, batch) };
        produced(&self.ask(conn, version, request)).0
    }

    /// Adds the partition where the flow asks for that, and writes one record to it.
    pub fn transact(
        &mut self,
        conn: ConnId,
        flow: Flow,
        who: Producer,
        topic: &str,
        partition: i32,
        sequence: i32,
    ) {
        if flow == Flow::V1 {
            assert_eq!(self.add(conn, 3, who, &[(topic, partition)]), [ErrorCode::None]);
        }
        let code = self.write(conn, flow.produce(), who, topic, partition, sequence);
        assert_eq!(code, ErrorCode::None);
    }

    /// The error, and the epoch that the producer has from now on.
    pub fn end(&mut self, conn: ConnId, version: i16, who: Producer, committed: bool) -> (ErrorCode, i16) {
        let request = EndTxnRequest {
            transactional_id: who.transactional_id.to_owned(),
            producer_id: who.id,
            producer_epoch: who.epoch,
            committed,
        };
        let answer = self.ask(conn, version, request);
        (answer.error_code, answer.producer_epoch)
    }

    /// Ends the transaction, and returns the producer as it is from then on.
    pub fn finish(&mut self, conn: ConnId, flow: Flow, who: Producer, committed: bool) -> Producer {
        let (code, epoch) = self.end(conn, flow.end(), who, committed);
        assert_eq!(code, ErrorCode::None);
        if flow == Flow::V2 { who.in_epoch(epoch) } else { who }
    }

    #[allow(clippy::too_many_arguments, reason = "it is what the request has")]
    pub fn commit_in(
        &mut self,
        conn: ConnId,
        version: i16,
        who: Producer,
        group: &str,
        member: Member<'_>,
        (topic, partition): (&str, i32),
        offset: i64,
    ) -> ErrorCode {
        let partition = TxnOffsetCommitPartition {
            partition_index: partition,
            committed_offset: offset,
            ..Default::default()
        };
        let topic = TxnOffsetCommitTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: who.transactional_id.to_owned(),
            group_id: group.to_owned(),
            producer_id: who.id,
            producer_epoch: who.epoch,
            generation_id_or_member_epoch: member.generation,
            member_id: member.id.to_owned(),
            group_instance_id: member.instance.map(str::to_owned),
            topics: vec![topic],
        };
        self.ask(conn, version, request).topics[0].partitions[0].error_code
    }
}

/// The records of what was fetched.
pub fn bytes(part: &FetchPartitionResponse) -> &[u8] {
    part.records.as_ref().map(|records: &RecordData| records.bytes(&[])).unwrap_or_default()
}
