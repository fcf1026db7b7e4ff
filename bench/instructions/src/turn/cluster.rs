//! Three brokers that say what a consumer wants to hear, at once, and so cost as little as can be.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ottla_core::{
    Address, ConnId, Consumer, Fetched, HoldsBytes, Machine, Outbound, Reply, RequestId, TopicPartition,
    spans,
};
use ottla_protocol::codec::RecordData;
use ottla_protocol::messages::*;
use ottla_protocol::records::{BatchBuilder, Compression, Compressor, set_base_offset};
use ottla_protocol::{ApiKey, Now, Request, Response, Timestamp, TopicId};

const BROKERS: usize = 3;
/// So many partitions a topic.
const WIDTH: usize = 100;

/// The bytes of a response.
#[derive(Debug, Clone)]
pub(crate) struct Frame(Arc<Vec<u8>>);

impl HoldsBytes for Frame {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn start() -> Now {
    Now { mono: Instant::now(), wall: Timestamp(1_000_000) }
}

pub(crate) fn address(node: usize) -> Address {
    Address { host: format!("b{node}"), port: 9092 }
}

/// The partitions of a cluster of this size.
pub(crate) fn partitions(count: usize) -> impl Iterator<Item = TopicPartition> {
    (0..count).map(|index| TopicPartition::new(format!("topic-{:03}", index / WIDTH), (index % WIDTH) as i32))
}

fn topic_id(topic: usize) -> TopicId {
    TopicId([topic as u8 + 1; 16])
}

pub(crate) struct Cluster {
    /// The next offset of each partition.
    next: Vec<i64>,
    /// Which partition of a broker has a record next.
    turns: [usize; BROKERS],
    conns: Vec<(ConnId, usize)>,
    /// The fetches that are not answered yet, and their brokers.
    fetches: VecDeque<(ConnId, RequestId, usize)>,
    batch: Vec<u8>,
}

impl Cluster {
    pub(crate) fn new(count: usize) -> Self {
        let mut builder = BatchBuilder::new(Compression::None, 1 << 10);
        // An empty batch takes any record.
        let _ = builder.append(1, None, Some(&[b'v'; 100]), []);
        Self {
            next: vec![0; count],
            turns: std::array::from_fn(|broker| broker),
            conns: Vec::new(),
            fetches: VecDeque::new(),
            batch: builder.finish(&mut Compressor::new()),
        }
    }

    /// Carries out all that the consumer wants to do. Fetches wait.
    pub(crate) fn answer_all(&mut self, consumer: &mut Consumer<Frame>, now: Now) {
        while let Some(outbound) = consumer.poll_send(now) {
            match outbound {
                Outbound::Connect { conn, host, .. } => {
                    let broker = (0..BROKERS).find(|broker| address(broker + 1).host == host).unwrap_or(0);
                    self.conns.push((conn, broker));
                    consumer.handle_connected(conn, now);
                }
                Outbound::Close { .. } | Outbound::Run { .. } => {}
                Outbound::Send { conn, id, request: Request::Fetch(_), .. } => {
                    let of = |(_, broker): &(ConnId, usize)| *broker;
                    let broker = self.conns.iter().find(|(known, _)| *known == conn).map_or(0, of);
                    self.fetches.push_back((conn, id, broker));
                }
                Outbound::Send { conn, id, request, .. } => {
                    if let Some(response) = self.answer(request) {
                        consumer.handle_reply(conn, Reply { id, response, fetched: None }, now);
                    }
                }
            }
        }
    }

    /// Answers the fetch that has waited longest with one record. Returns how many bytes the answer has.
    pub(crate) fn bring(&mut self, consumer: &mut Consumer<Frame>, now: Now) -> Option<usize> {
        let (conn, id, broker) = self.fetches.pop_front()?;
        let turn = self.turns.get_mut(broker)?;
        let partition = *turn;
        *turn = if *turn + BROKERS < self.next.len() { *turn + BROKERS } else { broker };
        let next = self.next.get_mut(partition)?;
        let mut batch = self.batch.clone();
        set_base_offset(&mut batch, *next).ok()?;
        *next += 1;
        let size = batch.len();
        let partition_response = FetchPartitionResponse {
            partition_index: (partition % WIDTH) as i32,
            high_watermark: *next,
            records: Some(RecordData::InFrame(0..size as u32)),
            ..Default::default()
        };
        let topic = FetchTopicResponse {
            topic_id: topic_id(partition / WIDTH),
            partitions: vec![partition_response],
            ..Default::default()
        };
        let response: Response =
            FetchResponse { session_id: 5, responses: vec![topic], ..Default::default() }.into();
        let fetched = Fetched { size, spans: spans(&response, &batch), frame: Frame(Arc::new(batch)) };
        consumer.handle_reply(conn, Reply { id, response, fetched: Some(fetched) }, now);
        Some(size)
    }

    fn answer(&self, request: Request) -> Option<Response> {
        Some(match request {
            Request::ApiVersions(_) => versions().into(),
            Request::Metadata(_) => self.metadata().into(),
            Request::ListOffsets(request) => beginnings(&request).into(),
            Request::FindCoordinator(_) => {
                let Address { host, port } = address(1);
                let found =
                    FindCoordinatorCoordinator { node_id: 1, host, port: port.into(), ..Default::default() };
                FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }.into()
            }
            Request::JoinGroup(_) => JoinGroupResponse {
                generation_id: 1,
                protocol_name: Some("range".to_owned()),
                leader: "another".to_owned(),
                member_id: "me".to_owned(),
                ..Default::default()
            }
            .into(),
            Request::SyncGroup(_) => {
                let each = |at: TopicPartition| ConsumerProtocolTopicPartition {
                    topic: at.topic,
                    partitions: vec![at.partition],
                };
                let given = ConsumerProtocolAssignment {
                    assigned_partitions: partitions(self.next.len()).map(each).collect(),
                    user_data: None,
                };
                SyncGroupResponse { assignment: encode_embedded(&given, 3), ..Default::default() }.into()
            }
            Request::Heartbeat(_) => HeartbeatResponse::default().into(),
            Request::OffsetFetch(request) => committed(request).into(),
            Request::OffsetCommit(request) => taken(request).into(),
            _ => return None,
        })
    }

    fn metadata(&self) -> MetadataResponse {
        let broker = |broker: usize| {
            let Address { host, port } = address(broker + 1);
            MetadataResponseBroker {
                node_id: broker as i32 + 1,
                host,
                port: port.into(),
                ..Default::default()
            }
        };
        let mut topics: Vec<MetadataResponseTopic> = Vec::new();
        for (number, at) in partitions(self.next.len()).enumerate() {
            if number % WIDTH == 0 {
                let topic_id = topic_id(number / WIDTH);
                topics.push(MetadataResponseTopic { name: Some(at.topic), topic_id, ..Default::default() });
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(MetadataResponsePartition {
                    partition_index: at.partition,
                    leader_id: (number % BROKERS) as i32 + 1,
                    leader_epoch: 1,
                    ..Default::default()
                });
            }
        }
        MetadataResponse { brokers: (0..BROKERS).map(broker).collect(), topics, ..Default::default() }
    }
}

fn versions() -> ApiVersionsResponse {
    let api = |key: &ApiKey| ApiVersionsApiVersion {
        api_key: *key as i16,
        min_version: key.versions().min,
        max_version: key.versions().max,
    };
    ApiVersionsResponse { api_keys: ApiKey::ALL.iter().map(api).collect(), ..Default::default() }
}

fn beginnings(request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let partition = |asked: &ListOffsetsPartition| ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        offset: 0,
        ..Default::default()
    };
    let topic = |asked: &ListOffsetsTopic| ListOffsetsTopicResponse {
        name: asked.name.clone(),
        partitions: asked.partitions.iter().map(partition).collect(),
    };
    ListOffsetsResponse { topics: request.topics.iter().map(topic).collect(), ..Default::default() }
}

fn committed(request: OffsetFetchRequest) -> OffsetFetchResponse {
    let partition = |partition_index| OffsetFetchResponsePartitions { partition_index, ..Default::default() };
    let topic = |topic: OffsetFetchRequestTopics| OffsetFetchResponseTopics {
        name: topic.name,
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
        ..Default::default()
    };
    let group = |group: OffsetFetchRequestGroup| OffsetFetchResponseGroup {
        group_id: group.group_id,
        topics: group.topics.into_iter().flatten().map(topic).collect(),
        ..Default::default()
    };
    OffsetFetchResponse { groups: request.groups.into_iter().map(group).collect(), ..Default::default() }
}

fn taken(request: OffsetCommitRequest) -> OffsetCommitResponse {
    let partition = |asked: OffsetCommitRequestPartition| OffsetCommitResponsePartition {
        partition_index: asked.partition_index,
        ..Default::default()
    };
    let topic = |asked: OffsetCommitRequestTopic| OffsetCommitResponseTopic {
        name: asked.name,
        partitions: asked.partitions.into_iter().map(partition).collect(),
        ..Default::default()
    };
    OffsetCommitResponse { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}
