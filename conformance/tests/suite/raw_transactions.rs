//! What transactional producers ask, of [`Raw`].

use std::time::SystemTime;

use libtest_mimic::Failed;
use ottla_conformance::targets::unique;
use ottla_conformance::wait::{until, until_some};
use ottla_protocol::codec::RecordData;
use ottla_protocol::messages::*;
use ottla_protocol::records::{BatchBuilder, Compression, Compressor};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::cases::Outcome;
use crate::kit::PATIENCE;
use crate::raw::{At, Raw};

/// A transactional producer as it believes it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) transactional_id: String,
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

impl Producer {
    pub(crate) fn in_epoch(&self, epoch: i16) -> Self {
        Self { epoch, ..self.clone() }
    }
}

/// The two flows of KIP-890: the versions of requests decide which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    V1,
    V2,
}

impl Flow {
    pub(crate) fn produce(self) -> i16 {
        if self == Self::V1 { 11 } else { 12 }
    }

    pub(crate) fn end(self) -> i16 {
        if self == Self::V1 { 4 } else { 5 }
    }

    pub(crate) fn commit(self) -> i16 {
        if self == Self::V1 { 4 } else { 5 }
    }
}

/// Who commits for a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) generation: i32,
}

/// Nobody in particular.
pub(crate) const NOBODY: Who<'static> = Who { id: "", instance: None, generation: -1 };

/// What a broker says until it has looked up what it needs; clients ask again.
pub(crate) fn is_not_ready(code: ErrorCode) -> bool {
    use ErrorCode::{
        ConcurrentTransactions, CoordinatorLoadInProgress, CoordinatorNotAvailable, NetworkException,
        NotCoordinator, NotEnoughReplicas, NotLeaderOrFollower,
    };
    matches!(
        code,
        ConcurrentTransactions
            | CoordinatorLoadInProgress
            | CoordinatorNotAvailable
            | NetworkException
            | NotCoordinator
            | NotEnoughReplicas
            | NotLeaderOrFollower
    )
}

impl Raw {
    pub(crate) fn flows(&self) -> &'static [Flow] {
        if self.offered(ApiKey::EndTxn) >= 5 { &[Flow::V1, Flow::V2] } else { &[Flow::V1] }
    }

    pub(crate) fn init(
        &mut self,
        version: i16,
        id: &str,
        was: Option<&Producer>,
        transaction_timeout_ms: i32,
    ) -> Result<Result<Producer, ErrorCode>, Failed> {
        let request = InitProducerIdRequest {
            transactional_id: Some(id.to_owned()),
            transaction_timeout_ms,
            producer_id: was.map_or(-1, |was| was.id),
            producer_epoch: was.map_or(-1, |was| was.epoch),
            ..Default::default()
        };
        let told = self.ask(At::Transactions(id), version, request)?;
        let producer =
            Producer { transactional_id: id.to_owned(), id: told.producer_id, epoch: told.producer_epoch };
        Ok(told.error_code.ok().map(|()| producer))
    }

    /// The epoch that it is answered, or the error.
    pub(crate) fn init_epoch(
        &mut self,
        version: i16,
        id: &str,
        was: Option<&Producer>,
        timeout_ms: i32,
    ) -> Result<Result<i16, ErrorCode>, Failed> {
        Ok(self.init(version, id, was, timeout_ms)?.map(|producer| producer.epoch))
    }

    /// The next one with this transactional id, whatever is open.
    pub(crate) fn next(&mut self, id: &str, timeout_ms: i32) -> Result<Producer, Failed> {
        let found = until_some(PATIENCE, "a producer", || {
            self.init(4, id, None, timeout_ms).ok().and_then(Result::ok)
        });
        Ok(found?)
    }

    /// One with an id that nobody else has.
    pub(crate) fn producer(&mut self, name: &str) -> Result<Producer, Failed> {
        self.next(&unique(name), 60_000)
    }

    pub(crate) fn add(
        &mut self,
        version: i16,
        who: &Producer,
        partitions: &[i32],
    ) -> Result<Vec<ErrorCode>, Failed> {
        let topics =
            vec![AddPartitionsToTxnTopic { name: self.topic.clone(), partitions: partitions.to_vec() }];
        let request = if version >= 4 {
            let transaction = AddPartitionsToTxnTransaction {
                transactional_id: who.transactional_id.clone(),
                producer_id: who.id,
                producer_epoch: who.epoch,
                verify_only: false,
                topics,
            };
            AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
        } else {
            AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: who.transactional_id.clone(),
                v3_and_below_producer_id: who.id,
                v3_and_below_producer_epoch: who.epoch,
                v3_and_below_topics: topics,
                ..Default::default()
            }
        };
        let answer = self.ask(At::Transactions(&who.transactional_id), version, request)?;
        let batched = answer.results_by_transaction.iter().flat_map(|it| &it.topic_results);
        let topics = answer.results_by_topic_v3_and_below.iter().chain(batched);
        Ok(topics.flat_map(|topic| &topic.results_by_partition).map(|it| it.partition_error_code).collect())
    }

    pub(crate) fn add_offsets(
        &mut self,
        version: i16,
        who: &Producer,
        group: &str,
    ) -> Result<ErrorCode, Failed> {
        let request = AddOffsetsToTxnRequest {
            transactional_id: who.transactional_id.clone(),
            producer_id: who.id,
            producer_epoch: who.epoch,
            group_id: group.to_owned(),
        };
        Ok(self.ask(At::Transactions(&who.transactional_id), version, request)?.error_code)
    }

    /// One record with this timestamp, as it is answered.
    pub(crate) fn write_at(
        &mut self,
        version: i16,
        who: Option<&Producer>,
        partition: i32,
        sequence: i32,
        timestamp: i64,
    ) -> Result<ErrorCode, Failed> {
        let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
        builder.append(timestamp, None, Some(b"value"), []).ok_or("no room for a record")?;
        if let Some(who) = who {
            builder.set_producer(who.id, who.epoch, sequence);
            builder.set_transactional();
        }
        let records = Some(RecordData::Owned(builder.finish(&mut Compressor::new())));
        let topic = ProduceTopicData {
            name: self.topic.clone(),
            topic_id: self.topic_id,
            partition_data: vec![ProducePartitionData { index: partition, records }],
        };
        let request = ProduceRequest {
            transactional_id: who.map(|who| who.transactional_id.clone()),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
        };
        let answer = self.ask(At::Leader(partition), version, request)?;
        Ok(answer.responses[0].partition_responses[0].error_code)
    }

    /// One record of now, as it is answered in the end.
    pub(crate) fn write(
        &mut self,
        version: i16,
        who: &Producer,
        partition: i32,
        sequence: i32,
    ) -> Result<ErrorCode, Failed> {
        let mut told = ErrorCode::None;
        until(PATIENCE, "a broker that is ready to write", || {
            match self.write_at(version, Some(who), partition, sequence, now()) {
                Ok(code) => told = code,
                Err(_) => return false,
            }
            !is_not_ready(told)
        })?;
        Ok(told)
    }

    /// Adds the partition where the flow asks for that, and writes one record to it.
    pub(crate) fn transact(&mut self, flow: Flow, who: &Producer, partition: i32, sequence: i32) -> Outcome {
        if flow == Flow::V1 {
            let added = self.add(3, who, &[partition])?;
            self.row("a partition is added", added, vec![ErrorCode::None]);
        }
        let written = self.write(flow.produce(), who, partition, sequence)?;
        self.row("a record is written", written, ErrorCode::None);
        Ok(())
    }

    /// The error, and the epoch that is answered: -1 in the first flow.
    pub(crate) fn end(
        &mut self,
        version: i16,
        who: &Producer,
        committed: bool,
    ) -> Result<(ErrorCode, i16), Failed> {
        let request = EndTxnRequest {
            transactional_id: who.transactional_id.clone(),
            producer_id: who.id,
            producer_epoch: who.epoch,
            committed,
        };
        let answer = self.ask(At::Transactions(&who.transactional_id), version, request)?;
        Ok((answer.error_code, answer.producer_epoch))
    }

    /// Ends the transaction, waits for its markers, and returns the producer as it is from then on.
    pub(crate) fn finish_transaction(
        &mut self,
        flow: Flow,
        who: &Producer,
        committed: bool,
    ) -> Result<Producer, Failed> {
        let (code, epoch) = self.end(flow.end(), who, committed)?;
        self.row("a transaction ends", code, ErrorCode::None);
        self.is_complete(&who.transactional_id)?;
        Ok(if flow == Flow::V2 { who.in_epoch(epoch) } else { who.clone() })
    }

    /// Until all markers are written.
    pub(crate) fn is_complete(&mut self, id: &str) -> Outcome {
        let mut last = None;
        until(PATIENCE, "the markers of a transaction", || {
            last = self.state(id).ok();
            last.as_ref().is_some_and(|state| state.starts_with("Complete"))
        })
        .map_err(|expired| format!("{expired}: {last:?}; before that: {:?}", self.wrong()).into())
    }

    pub(crate) fn state(&mut self, id: &str) -> Result<String, Failed> {
        let request = DescribeTransactionsRequest { transactional_ids: vec![id.to_owned()] };
        let answer = self.ask(At::Transactions(id), 0, request)?;
        Ok(answer.transaction_states[0].transaction_state.clone())
    }

    pub(crate) fn commit(
        &mut self,
        version: i16,
        who: &Producer,
        group: &str,
        member: Who<'_>,
        partition_index: i32,
        committed_offset: i64,
    ) -> Result<ErrorCode, Failed> {
        let partition = TxnOffsetCommitPartition { partition_index, committed_offset, ..Default::default() };
        let topic = TxnOffsetCommitTopic {
            name: self.topic.clone(),
            topic_id: self.topic_id,
            partitions: vec![partition],
        };
        self.commit_topic(version, who, group, member, topic)
    }

    pub(crate) fn commit_topic(
        &mut self,
        version: i16,
        who: &Producer,
        group: &str,
        member: Who<'_>,
        topic: TxnOffsetCommitTopic,
    ) -> Result<ErrorCode, Failed> {
        let request = TxnOffsetCommitRequest {
            transactional_id: who.transactional_id.clone(),
            group_id: group.to_owned(),
            producer_id: who.id,
            producer_epoch: who.epoch,
            generation_id_or_member_epoch: member.generation,
            member_id: member.id.to_owned(),
            group_instance_id: member.instance.map(str::to_owned),
            topics: vec![topic],
        };
        let mut told = ErrorCode::None;
        until(PATIENCE, "a coordinator that is ready to commit", || {
            match self.ask(At::Group(group), version, request.clone()) {
                Ok(answer) => told = answer.topics[0].partitions[0].error_code,
                Err(_) => return false,
            }
            !is_not_ready(told)
        })?;
        Ok(told)
    }
}

/// In milliseconds, as records have it.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
