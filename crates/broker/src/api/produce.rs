//! Produce: appends batches. Each partition succeeds or fails by itself.

use ottla_protocol::{
    ErrorCode, Now,
    messages::{
        ProduceLeaderIdAndEpoch, ProduceNodeEndpoint, ProducePartitionResponse, ProduceRequest,
        ProduceResponse, ProduceTopicResponse,
    },
    records::BatchHeader,
};

use super::Outcome;
use crate::{
    Cluster, Refusal,
    connections::Asked,
    faults::Forced,
    partition::{Admitted, Rules},
    security::{Operation, ResourceType},
    storage::Entry,
    topics::TopicKey,
    transactions::{Flow, Identity, Place},
};

/// From this version on a response names the leader to the client that asked another broker (KIP-951).
const NAMES_LEADER: i16 = 10;
/// From this version on topics have ids in place of names.
const BY_ID: i16 = 13;
/// From this version on a partition need not have been added to the transaction (KIP-890).
const ADDS_TO_TRANSACTION: i16 = 12;
/// The first version whose clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 11;
/// The first version whose clients know zstd (KIP-110).
const KNOWS_ZSTD: i16 = 7;
const ZSTD: i16 = 4;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: ProduceRequest,
    frame: &[u8],
    forced: Option<Forced>,
    now: Now,
) -> Outcome {
    let version = asked.header.version;
    let odd_acks = !matches!(request.acks, -1..=1);
    let forced = forced.or(odd_acks.then_some(Forced::all(ErrorCode::InvalidRequiredAcks)));
    let writer = Writer { node: asked.node, version, transactional_id: request.transactional_id.as_deref() };
    let may_transact = match writer.transactional_id {
        Some(id) => {
            cluster.config.check(&asked.principal, Operation::Write, ResourceType::TransactionalId, id)
        }
        None => Err(ErrorCode::TransactionalIdAuthorizationFailed),
    };
    let transacts = request.topic_data.iter().flat_map(|topic| &topic.partition_data).any(|data| {
        let bytes = data.records.as_ref().map(|records| records.bytes(frame)).unwrap_or_default();
        BatchHeader::decode(bytes).is_ok_and(|header| header.is_transactional())
    });
    let forbidden = may_transact.err().filter(|_| transacts).map(Forced::all);
    let forced = forced.or(forbidden);
    let mut response = ProduceResponse::default();
    let mut failed = false;
    for topic in request.topic_data {
        let key = TopicKey::of(&topic.name, topic.topic_id, version >= BY_ID);
        let name = match &key {
            TopicKey::Name(name) => Some(&**name),
            TopicKey::Id(id) => cluster.topics.name_of(*id),
        };
        let allowed =
            name.map_or(Ok(()), |name| cluster.config.check_topic(&asked.principal, Operation::Write, name));
        let mut answers = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let bytes = data.records.as_ref().map(|records| records.bytes(frame)).unwrap_or_default();
            let result = match forced.and_then(|forced| forced.of(data.index)).or(allowed.err()) {
                Some(code) => Err(Refusal::new(code, "")),
                None => check_codec(bytes, version)
                    .and_then(|()| cluster.append_batch(&key, data.index, bytes, Some(writer), now)),
            };
            failed |= result.is_err();
            answers.push(answer(cluster, &key, data.index, version, result, &mut response.node_endpoints));
        }
        let (name, topic_id) = key.fields();
        response.responses.push(ProduceTopicResponse { name, topic_id, partition_responses: answers });
    }
    match request.acks {
        0 if failed => Outcome::Close,
        0 => Outcome::Nothing,
        _ => response.into(),
    }
}

fn check_codec(batch: &[u8], version: i16) -> Result<(), Refusal> {
    match BatchHeader::decode(batch) {
        Ok(header) if version < KNOWS_ZSTD && header.attributes & 0b111 == ZSTD => {
            Err(Refusal::new(ErrorCode::UnsupportedCompressionType, "zstd needs Produce version 7"))
        }
        _ => Ok(()),
    }
}

fn answer(
    cluster: &Cluster,
    key: &TopicKey,
    index: i32,
    version: i16,
    result: Result<Appended, Refusal>,
    endpoints: &mut Vec<ProduceNodeEndpoint>,
) -> ProducePartitionResponse {
    let partition = cluster.topics.by_key(key).and_then(|topic| topic.partition(index));
    let mut answer = ProducePartitionResponse { index, base_offset: -1, ..Default::default() };
    match result {
        Ok(appended) => {
            answer.base_offset = appended.base_offset;
            answer.log_append_time_ms = appended.append_time;
            answer.log_start_offset = partition.map_or(-1, |partition| partition.log.start_offset());
        }
        Err(refusal) => {
            answer.error_code = refusal.code;
            answer.error_message = Some(refusal.message).filter(|message| !message.is_empty());
        }
    }
    if answer.error_code == ErrorCode::NotLeaderOrFollower
        && version >= NAMES_LEADER
        && let Some(partition) = partition
    {
        let (leader_id, leader_epoch) = (partition.leader, partition.leader_epoch);
        answer.current_leader = ProduceLeaderIdAndEpoch { leader_id, leader_epoch };
        if let Some(node) = cluster.nodes.find_up(leader_id)
            && !endpoints.iter().any(|endpoint| endpoint.node_id == leader_id)
        {
            let (host, port, rack) = (node.host.clone(), node.port.into(), Some(node.rack.clone()));
            endpoints.push(ProduceNodeEndpoint { node_id: leader_id, host, port, rack });
        }
    }
    answer
}

/// What a batch became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// The time of the append, where the topic keeps that; else -1.
    pub(crate) append_time: i64,
}

/// Who asks to append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    /// The broker that is asked.
    node: i32,
    /// The version of the request.
    version: i16,
    transactional_id: Option<&'a str>,
}

impl Cluster {
    /// Appends one batch. With a writer: as far as the broker that it asks leads the partition. Without: outside transactions.
    pub(crate) fn append_batch(
        &mut self,
        key: &TopicKey,
        index: i32,
        batch: &[u8],
        writer: Option<Writer<'_>>,
        now: Now,
    ) -> Result<Appended, Refusal> {
        let unknown = |code| Refusal::new(code, "");
        let topic = self.topics.by_key(key).ok_or_else(|| unknown(key.unknown()))?;
        let partition = topic.partition(index).ok_or_else(|| unknown(ErrorCode::UnknownTopicOrPartition))?;
        if writer.is_some_and(|writer| writer.node != partition.leader) {
            return Err(Refusal::new(ErrorCode::NotLeaderOrFollower, ""));
        }
        let id = topic.id;
        if let Ok(header) = BatchHeader::decode(batch)
            && header.is_transactional()
            && !partition.is_in_transaction(header.producer_id, header.producer_epoch)
        {
            let coordinator =
                writer.and_then(|it| it.transactional_id).map(|id| self.nodes.transactions.of(id));
            if coordinator == Some(-1) {
                return Err(Refusal::new(
                    ErrorCode::NotEnoughReplicas,
                    "no coordinator of transactions is up",
                ));
            }
            let identity = Identity { id: header.producer_id, epoch: header.producer_epoch };
            let name = self.topics.name_of(id).unwrap_or_default().to_owned();
            self.join_transaction(writer, identity, (name, index), now)?;
        }
        let topic = self.topics.by_id(id).ok_or_else(|| unknown(key.unknown()))?;
        let partition = topic.partition(index).ok_or_else(|| unknown(ErrorCode::UnknownTopicOrPartition))?;
        let rules = Rules {
            log_append_time: topic.log_append_time,
            max_bytes: self.config.max_message_bytes,
            plot: self.plot,
        };
        let base_offset = partition.log.end_offset();
        match partition.admit(batch, rules, now)? {
            Admitted::Duplicate(base_offset) => Ok(Appended { base_offset, append_time: -1 }),
            Admitted::New { bytes, append_time } => {
                self.keep(Entry::Batch { topic: id, partition: index, bytes })?;
                Ok(Appended { base_offset, append_time })
            }
        }
    }

    /// Whether a partition is of the producer's transaction; where the version says so, it becomes one.
    fn join_transaction(
        &mut self,
        writer: Option<Writer<'_>>,
        identity: Identity,
        place: Place,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(Writer { transactional_id: Some(id), version, .. }) = writer else {
            return Err(Refusal::new(
                ErrorCode::InvalidTxnState,
                "a transaction is its producer's to write in",
            ));
        };
        let adds = version >= ADDS_TO_TRANSACTION;
        let joined = match adds {
            true => self.add_to_transaction(id, identity, [place], Flow::V2, now),
            false => self.verify_in_transaction(id, identity, &place),
        };
        joined.map_err(|code| match code {
            ErrorCode::ProducerFenced => {
                Refusal::new(ErrorCode::InvalidProducerEpoch, "another producer has a newer epoch")
            }
            // What older clients try again.
            ErrorCode::ConcurrentTransactions if !adds => {
                Refusal::new(ErrorCode::NotEnoughReplicas, "the last transaction is still about to end")
            }
            ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => {
                Refusal::new(ErrorCode::InvalidTxnState, "the partition was not added to the transaction")
            }
            code => Refusal::new(code, ""),
        })
    }
}
