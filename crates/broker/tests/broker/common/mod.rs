//! A cluster stepped by hand: requests in as bytes, replies out as bytes, time moved by the test.

#![expect(unreachable_pub, reason = "all tests use it")]

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use ottla_broker::{Cluster, Config, ConnId, Output, TopicSpec};
use ottla_protocol::{
    ApiKey, ErrorCode, Now, Request, RequestHeader, Response, ResponseHeader, Timestamp,
    api::RequestMessage,
    codec::RecordData,
    messages::*,
    records::{BatchBuilder, Compression, Compressor},
};

pub mod consumer;
pub mod group;
pub mod kept;
pub mod sasl;
pub mod transaction;
pub mod transcript;

pub struct World {
    pub cluster: Cluster,
    pub now: Now,
    /// What each connection asked and has not been answered.
    asked: BTreeMap<ConnId, VecDeque<(ApiKey, i16, i32)>>,
    replies: BTreeMap<ConnId, VecDeque<Response>>,
    closed: Vec<ConnId>,
    correlation_id: i32,
    /// Where the cluster is kept, and how it is opened; none once that has been looked at.
    kept: Option<(kept::Dir, Config)>,
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn config(topics: &[(&str, u32)]) -> Config {
    Config {
        topics: topics.iter().map(|(name, count)| TopicSpec::new(*name, *count)).collect(),
        ..Config::default()
    }
}

impl World {
    /// With a data directory: what the next process would find there is compared at the end.
    pub fn new(config: Config) -> Self {
        let dir = kept::Dir::new();
        let config = Config { data_dir: Some(dir.path()), ..config };
        let now = Now { mono: Instant::now(), wall: Timestamp(1_700_000_000_000) };
        Self {
            cluster: Cluster::open(config.clone(), now).unwrap(),
            now,
            asked: BTreeMap::new(),
            replies: BTreeMap::new(),
            closed: Vec::new(),
            correlation_id: 0,
            kept: Some((dir, config)),
        }
    }

    /// Switches a bug on. The next process would not have it, so nothing is compared at the end.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: ottla_broker::Planted) {
        self.kept = None;
        self.cluster.plant(bug);
    }

    fn forget_connections(&mut self) {
        (self.asked, self.replies, self.closed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    }

    pub fn connect(&mut self, node: i32) -> ConnId {
        let conn = self.cluster.handle_connect(node, self.now);
        self.drain();
        conn
    }

    /// A connection whose transport has told who it is.
    pub fn connect_with(&mut self, principal: &str) -> ConnId {
        self.cluster.handle_connect_as(1, principal, self.now)
    }

    /// Sends a request without waiting for its answer.
    pub fn send<R: RequestMessage>(&mut self, conn: ConnId, version: i16, request: R)
    where
        Request: From<R>,
    {
        self.send_request(conn, version, request.into());
    }

    pub fn send_request(&mut self, conn: ConnId, version: i16, request: Request) {
        self.correlation_id += 1;
        let (key, correlation_id) = (request.key(), self.correlation_id);
        let header = RequestHeader { key, version, correlation_id, client_id: Some("test".to_owned()) };
        self.asked.entry(conn).or_default().push_back((key, version, correlation_id));
        let frame = header.encode(&request);
        self.cluster.handle_frame(conn, frame[4..].to_vec(), self.now);
        self.drain();
    }

    /// Sends a request that is answered at once.
    pub fn ask<R: RequestMessage>(&mut self, conn: ConnId, version: i16, request: R) -> R::Response
    where
        Request: From<R>,
        R::Response: TryFromResponse,
    {
        self.send(conn, version, request);
        self.reply::<R::Response>(conn).expect("an answer at once")
    }

    /// The next answer of a connection, if it is there.
    pub fn reply<R: TryFromResponse>(&mut self, conn: ConnId) -> Option<R> {
        self.replies.get_mut(&conn)?.pop_front().map(R::from_response)
    }

    /// Whether a connection was answered nothing that was not looked at.
    pub fn replies_are_empty(&self, conn: ConnId) -> bool {
        self.replies.get(&conn).is_none_or(VecDeque::is_empty)
    }

    /// Lets time pass, stopping at each deadline on the way.
    pub fn pass(&mut self, by: Duration) {
        let end = self.now.after(by);
        while let Some(deadline) = self.cluster.poll_timeout().filter(|deadline| *deadline <= end.mono) {
            self.now = self.now.after(deadline.saturating_duration_since(self.now.mono));
            self.cluster.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.contains(&conn)
    }

    /// Does what was called on the cluster itself.
    pub fn settle(&mut self) {
        self.cluster.handle_timeout(self.now);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Close { conn } => self.closed.push(conn),
                Output::Reply { conn, frame } => {
                    assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
                    let asked = self.asked.get_mut(&conn).expect("a connection that asked");
                    let (key, version, correlation_id) = loop {
                        // A Produce without acknowledgement has none.
                        let first = asked.pop_front().expect("a request that is open");
                        if ResponseHeader::correlation_id(&frame[4..]).unwrap() == first.2 {
                            break first;
                        }
                        assert_eq!(first.0, ApiKey::Produce, "answers come in order");
                    };
                    let (header, response) = ResponseHeader::decode(key, version, &frame[4..])
                        .or_else(|_| ResponseHeader::decode(key, 0, &frame[4..]))
                        .expect("a response");
                    assert_eq!(header.correlation_id, correlation_id);
                    self.replies.entry(conn).or_default().push_back(own(response, &frame[4..]));
                }
            }
        }
    }
}

/// Takes the records out of the frame, which the test does not keep.
fn own(mut response: Response, frame: &[u8]) -> Response {
    if let Response::Fetch(fetch) = &mut response {
        for partition in fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.records = partition.records.take().map(|r| RecordData::Owned(r.bytes(frame).to_vec()));
        }
    }
    response
}

pub trait TryFromResponse: Sized {
    fn from_response(response: Response) -> Self;
}

macro_rules! responses {
    ($($api:ident: $ty:ty),* $(,)?) => {$(
        impl TryFromResponse for $ty {
            fn from_response(response: Response) -> Self {
                match response {
                    Response::$api(response) => response,
                    other => panic!("not a response of {}: {other:?}", stringify!($api)),
                }
            }
        }
    )*};
}
responses! {
    SaslHandshake: SaslHandshakeResponse, SaslAuthenticate: SaslAuthenticateResponse,
    Produce: ProduceResponse, Fetch: FetchResponse, ListOffsets: ListOffsetsResponse, Metadata: MetadataResponse,
    OffsetCommit: OffsetCommitResponse, OffsetFetch: OffsetFetchResponse, FindCoordinator: FindCoordinatorResponse,
    JoinGroup: JoinGroupResponse, Heartbeat: HeartbeatResponse, LeaveGroup: LeaveGroupResponse,
    SyncGroup: SyncGroupResponse, DescribeGroups: DescribeGroupsResponse, ListGroups: ListGroupsResponse,
    ApiVersions: ApiVersionsResponse, CreateTopics: CreateTopicsResponse, DeleteTopics: DeleteTopicsResponse,
    InitProducerId: InitProducerIdResponse, CreatePartitions: CreatePartitionsResponse,
    DeleteRecords: DeleteRecordsResponse, OffsetForLeaderEpoch: OffsetForLeaderEpochResponse,
    AddPartitionsToTxn: AddPartitionsToTxnResponse, AddOffsetsToTxn: AddOffsetsToTxnResponse,
    EndTxn: EndTxnResponse, TxnOffsetCommit: TxnOffsetCommitResponse, OffsetDelete: OffsetDeleteResponse,
    DescribeProducers: DescribeProducersResponse, DescribeTransactions: DescribeTransactionsResponse,
    ListTransactions: ListTransactionsResponse, DeleteGroups: DeleteGroupsResponse,
    WriteTxnMarkers: WriteTxnMarkersResponse,
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatResponse, ConsumerGroupDescribe: ConsumerGroupDescribeResponse,
}

/// A batch of records with these timestamps.
pub fn batch_at(timestamps: &[i64], compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression, usize::MAX);
    for (index, timestamp) in timestamps.iter().enumerate() {
        builder.append(*timestamp, None, Some(format!("value-{index}").as_bytes()), []).unwrap();
    }
    builder.finish(&mut Compressor::new())
}

pub fn batch(count: usize) -> Vec<u8> {
    batch_at(&vec![1_700_000_000_000; count], Compression::None)
}

/// A batch of an idempotent producer.
pub fn sequenced(count: usize, producer: i64, epoch: i16, sequence: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    for _ in 0..count {
        builder.append(1_700_000_000_000, None, Some(b"value"), []).unwrap();
    }
    builder.set_producer(producer, epoch, sequence);
    builder.finish(&mut Compressor::new())
}

pub fn produce(topic: &str, partition: i32, records: Vec<u8>) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![ProduceTopicData {
            name: topic.to_owned(),
            partition_data: vec![ProducePartitionData {
                index: partition,
                records: Some(RecordData::Owned(records)),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The only partition's answer.
pub fn produced(response: &ProduceResponse) -> (ErrorCode, i64) {
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

impl World {
    pub fn append(&mut self, topic: &str, partition: i32, count: usize) -> i64 {
        let offset = self.cluster.append(topic, partition, &batch(count), self.now).unwrap();
        self.drain();
        offset
    }
}

/// A fetch of whole partitions, by topic, partition and offset, without a session.
pub fn fetch(parts: &[(&str, i32, i64)]) -> FetchRequest {
    let topic = |(name, partition, fetch_offset): &(&str, i32, i64)| FetchTopic {
        topic: (*name).to_owned(),
        partitions: vec![FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        }],
        ..Default::default()
    };
    FetchRequest {
        max_bytes: 50 << 20,
        min_bytes: 0,
        session_epoch: -1,
        topics: parts.iter().map(topic).collect(),
        ..Default::default()
    }
}

/// Each partition of a response, with its topic.
pub fn fetched(response: &FetchResponse) -> Vec<(&str, &FetchPartitionResponse)> {
    let parts = response.responses.iter();
    parts.flat_map(|topic| topic.partitions.iter().map(move |part| (topic.topic.as_str(), part))).collect()
}

/// The base offsets of the batches that a partition returned.
pub fn base_offsets(part: &FetchPartitionResponse) -> Vec<i64> {
    let bytes = part.records.as_ref().map(|records| records.bytes(&[])).unwrap_or_default();
    ottla_protocol::records::walk_headers(bytes).map(|batch| batch.unwrap().1.base_offset).collect()
}

/// The APIs that are answered.
pub fn answered() -> Vec<ApiKey> {
    let absent = [
        ApiKey::DescribeConfigs,
        ApiKey::DescribeLogDirs,
        ApiKey::IncrementalAlterConfigs,
        ApiKey::GetTelemetrySubscriptions,
        ApiKey::PushTelemetry,
        ApiKey::DescribeTopicPartitions,
        ApiKey::ShareGroupDescribe,
        ApiKey::StreamsGroupDescribe,
        ApiKey::DescribeShareGroupOffsets,
    ];
    ApiKey::ALL.iter().copied().filter(|api| !absent.contains(api)).collect()
}

/// A request of each of them, with something in each of its lists.
pub fn example(api: ApiKey) -> Request {
    let group_id = || "g".to_owned();
    let t = || "t".to_owned();
    match api {
        ApiKey::Produce => produce("t", 0, batch(1)).into(),
        ApiKey::Fetch => fetch(&[("t", 0, 0)]).into(),
        ApiKey::ListOffsets => ListOffsetsRequest {
            topics: vec![ListOffsetsTopic { name: t(), partitions: vec![ListOffsetsPartition::default()] }],
            ..Default::default()
        }
        .into(),
        ApiKey::Metadata => MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { name: Some(t()), ..Default::default() }]),
            ..Default::default()
        }
        .into(),
        ApiKey::OffsetCommit => OffsetCommitRequest {
            group_id: group_id(),
            topics: vec![OffsetCommitRequestTopic {
                name: t(),
                partitions: vec![OffsetCommitRequestPartition::default()],
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        ApiKey::OffsetFetch => OffsetFetchRequest {
            group_id: group_id(),
            topics: Some(vec![OffsetFetchRequestTopic { name: t(), partition_indexes: vec![0] }]),
            groups: vec![OffsetFetchRequestGroup { group_id: group_id(), ..Default::default() }],
            ..Default::default()
        }
        .into(),
        ApiKey::FindCoordinator => FindCoordinatorRequest {
            key: group_id(),
            coordinator_keys: vec![group_id()],
            ..Default::default()
        }
        .into(),
        ApiKey::JoinGroup => JoinGroupRequest { group_id: group_id(), ..Default::default() }.into(),
        ApiKey::Heartbeat => HeartbeatRequest { group_id: group_id(), ..Default::default() }.into(),
        ApiKey::LeaveGroup => LeaveGroupRequest { group_id: group_id(), ..Default::default() }.into(),
        ApiKey::SyncGroup => SyncGroupRequest { group_id: group_id(), ..Default::default() }.into(),
        ApiKey::DescribeGroups => {
            DescribeGroupsRequest { groups: vec![group_id()], ..Default::default() }.into()
        }
        ApiKey::ListGroups => ListGroupsRequest::default().into(),
        ApiKey::ApiVersions => ApiVersionsRequest::default().into(),
        ApiKey::SaslHandshake => SaslHandshakeRequest { mechanism: "PLAIN".to_owned() }.into(),
        ApiKey::SaslAuthenticate => SaslAuthenticateRequest::default().into(),
        ApiKey::CreateTopics => CreateTopicsRequest {
            topics: vec![CreateTopicsCreatableTopic { name: t(), ..Default::default() }],
            ..Default::default()
        }
        .into(),
        ApiKey::DeleteTopics => DeleteTopicsRequest {
            topics: vec![DeleteTopicsDeleteTopicState { name: Some(t()), ..Default::default() }],
            topic_names: vec![t()],
            ..Default::default()
        }
        .into(),
        ApiKey::InitProducerId => InitProducerIdRequest::default().into(),
        ApiKey::CreatePartitions => CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: t(), ..Default::default() }],
            ..Default::default()
        }
        .into(),
        ApiKey::ConsumerGroupHeartbeat => {
            ConsumerGroupHeartbeatRequest { group_id: group_id(), ..Default::default() }.into()
        }
        ApiKey::ConsumerGroupDescribe => {
            ConsumerGroupDescribeRequest { group_ids: vec![group_id()], ..Default::default() }.into()
        }
        ApiKey::DeleteRecords => DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: t(),
                partitions: vec![DeleteRecordsPartition::default()],
            }],
            ..Default::default()
        }
        .into(),
        ApiKey::OffsetForLeaderEpoch => OffsetForLeaderEpochRequest {
            topics: vec![OffsetForLeaderEpochTopic {
                topic: t(),
                partitions: vec![OffsetForLeaderEpochPartition::default()],
            }],
            ..Default::default()
        }
        .into(),
        ApiKey::AddPartitionsToTxn => {
            let topics = vec![AddPartitionsToTxnTopic { name: t(), partitions: vec![0] }];
            let transaction = AddPartitionsToTxnTransaction {
                transactional_id: "x".to_owned(),
                topics: topics.clone(),
                ..Default::default()
            };
            AddPartitionsToTxnRequest {
                transactions: vec![transaction],
                v3_and_below_transactional_id: "x".to_owned(),
                v3_and_below_topics: topics,
                ..Default::default()
            }
            .into()
        }
        ApiKey::AddOffsetsToTxn => {
            AddOffsetsToTxnRequest { group_id: group_id(), ..Default::default() }.into()
        }
        ApiKey::EndTxn => EndTxnRequest::default().into(),
        ApiKey::TxnOffsetCommit => TxnOffsetCommitRequest {
            group_id: group_id(),
            topics: vec![TxnOffsetCommitTopic {
                name: t(),
                partitions: vec![TxnOffsetCommitPartition::default()],
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        ApiKey::OffsetDelete => OffsetDeleteRequest {
            group_id: group_id(),
            topics: vec![OffsetDeleteTopic { name: t(), partitions: vec![OffsetDeletePartition::default()] }],
        }
        .into(),
        ApiKey::DescribeProducers => DescribeProducersRequest {
            topics: vec![DescribeProducersTopic { name: t(), partition_indexes: vec![0] }],
        }
        .into(),
        ApiKey::DescribeTransactions => {
            DescribeTransactionsRequest { transactional_ids: vec!["x".to_owned()] }.into()
        }
        ApiKey::ListTransactions => ListTransactionsRequest::default().into(),
        ApiKey::DeleteGroups => DeleteGroupsRequest { groups_names: vec![group_id()] }.into(),
        ApiKey::WriteTxnMarkers => {
            let topics = vec![WriteTxnMarkersTopic { name: t(), partition_indexes: vec![0] }];
            let marker = WriteTxnMarkersMarker { topics, ..Default::default() };
            WriteTxnMarkersRequest { markers: vec![marker] }.into()
        }
        other => panic!("no example of {other:?}"),
    }
}
