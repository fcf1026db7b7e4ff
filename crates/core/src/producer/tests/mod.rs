//! A producer against answers given by hand, in a time moved by hand.

mod acknowledgements;
mod batching;
mod limits;
mod partitioning;
mod retries;
mod splitting;
mod transaction_offsets;
mod transaction_troubles;
mod transactions;

use std::{collections::VecDeque, time::Duration};

use ottla_protocol::{
    ErrorCode, Request, Response, Timestamp, TopicId,
    messages::{
        ApiVersionsApiVersion, ApiVersionsFinalizedFeatureKey, ApiVersionsResponse, InitProducerIdResponse,
        MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        ProduceLeaderIdAndEpoch, ProduceNodeEndpoint, ProducePartitionResponse, ProduceRequest,
        ProduceResponse, ProduceTopicResponse,
    },
    records::{BatchHeader, Compression, Compressor, Decompressor, Header, RecordWalk},
};

use super::*;
use crate::{
    cause::Cause,
    disconnected::Disconnected,
    ids::{ConnId, RequestId},
    machine::{Machine, Outbound, Reply},
};

const ID: i64 = 4000;
const TOPIC: TopicId = TopicId([7; 16]);

/// A cluster of two brokers that answers everything but Produce by itself.
struct World {
    producer: Producer<()>,
    now: Now,
    /// The leaders of topic `t`, by partition.
    leaders: Vec<i32>,
    leader_epoch: i32,
    topic_id: TopicId,
    /// Topics that others write; `None` is one that was deleted.
    read: BTreeMap<String, Option<TopicId>>,
    unreachable: bool,
    /// The producer id and epoch that a broker gives.
    gives: (i64, i16),
    /// For which topics metadata was asked, and whether they were to be created.
    told_of: Vec<(Vec<String>, bool)>,
    links: BTreeMap<ConnId, u16>,
    produced: Vec<Produced>,
    coordinator: Coordinator,
}

/// The coordinator of transactions, and of groups.
#[derive(Default)]
struct Coordinator {
    /// The finalized `transaction.version`.
    level: i16,
    epoch: i16,
    /// What it was asked, in which version.
    asked: Vec<(i16, Request)>,
    /// What it answers next to these, in place of success.
    refuses: BTreeMap<ottla_protocol::ApiKey, VecDeque<ErrorCode>>,
    /// It does not answer this.
    silent: Option<ottla_protocol::ApiKey>,
}

/// A Produce request that waits for its answer.
struct Produced {
    conn: ConnId,
    id: RequestId,
    port: u16,
    version: i16,
    request: ProduceRequest,
}

impl Produced {
    fn partitions(&self) -> Vec<i32> {
        self.request.topic_data[0].partition_data.iter().map(|data| data.index).collect()
    }

    fn header(&self) -> BatchHeader {
        self.headers()[0]
    }

    fn headers(&self) -> Vec<BatchHeader> {
        let data = &self.request.topic_data[0].partition_data;
        data.iter()
            .map(|data| BatchHeader::decode(data.records.as_ref().unwrap().bytes(&[])).unwrap())
            .collect()
    }

    fn values(&self) -> Vec<String> {
        let data = &self.request.topic_data[0].partition_data[0];
        let bytes = data.records.as_ref().unwrap().bytes(&[]);
        let header = BatchHeader::decode(bytes).unwrap();
        let mut records = Vec::new();
        let compressed = &bytes[header.records_range(0)];
        Decompressor::new()
            .decompress(header.compression().unwrap(), compressed, &mut records, 1 << 20)
            .unwrap();
        RecordWalk::new(&header, &records)
            .map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap())
            .collect()
    }
}

fn record(value: &str) -> Outgoing<'_, std::iter::Empty<Header<'_>>> {
    Outgoing {
        topic: "t",
        partition: Some(0),
        key: None,
        value: Some(value.as_bytes()),
        headers: std::iter::empty(),
        timestamp: None,
    }
}

impl World {
    fn new(config: ProducerConfig) -> Self {
        let now = Now { mono: Instant::now(), wall: Timestamp(1_700_000_000_000) };
        let seeds = vec![Address { host: "seed".to_owned(), port: 1 }];
        Self {
            producer: Producer::new(config, seeds, 1, now),
            now,
            leaders: vec![1],
            leader_epoch: 1,
            topic_id: TOPIC,
            read: BTreeMap::new(),
            unreachable: false,
            gives: (ID, 0),
            told_of: Vec::new(),
            links: BTreeMap::new(),
            produced: Vec::new(),
            coordinator: Coordinator::default(),
        }
    }

    /// A producer that knows topic `t`.
    fn ready(config: ProducerConfig) -> Self {
        Self::with_partitions(config, &[1])
    }

    /// A producer with a record acknowledged at offset 0, so that the broker knows the producer.
    fn known(config: ProducerConfig) -> Self {
        let mut world = Self::ready(config);
        _ = world.send_out("first");
        let first = world.take();
        world.acknowledge(&first, 0);
        world
    }

    fn with_partitions(config: ProducerConfig, leaders: &[i32]) -> Self {
        let mut world = Self::new(config);
        world.leaders = leaders.to_vec();
        world.pump();
        assert!(matches!(world.try_send(&record("x")), Err(Refused::Wait)));
        world.pass(Duration::from_secs(1));
        world
    }

    fn pass(&mut self, by: Duration) {
        let end = self.now.after(by);
        self.pump();
        while let Some(at) = self.producer.poll_timeout().filter(|at| *at <= end.mono) {
            self.now = self.now.after(at - self.now.mono);
            self.producer.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    fn pump(&mut self) {
        while let Some(outbound) = self.producer.poll_send(self.now) {
            match outbound {
                Outbound::Connect { conn, .. } if self.unreachable => {
                    let why = Disconnected::Refused("nobody".to_owned());
                    self.producer.handle_disconnected(conn, why, self.now);
                }
                Outbound::Connect { conn, port, .. } => {
                    self.links.insert(conn, port);
                    self.producer.handle_connected(conn, self.now);
                }
                Outbound::Send { conn, id, version, request } => self.answer(conn, id, version, request),
                Outbound::Run { .. } => unreachable!("nobody authenticates"),
                Outbound::Close { conn } => _ = self.links.remove(&conn),
            }
        }
    }

    fn break_all_links(&mut self) {
        for conn in std::mem::take(&mut self.links).into_keys() {
            self.producer.handle_disconnected(conn, Disconnected::Closed, self.now);
        }
        self.pump();
    }

    fn answer(&mut self, conn: ConnId, id: RequestId, version: i16, request: Request) {
        let response: Response = match request {
            Request::ApiVersions(_) => {
                let api = |key: &ottla_protocol::ApiKey| ApiVersionsApiVersion {
                    api_key: *key as i16,
                    min_version: key.versions().min,
                    max_version: key.versions().max,
                };
                let api_keys = ottla_protocol::ApiKey::ALL.iter().map(api).collect();
                let level = ApiVersionsFinalizedFeatureKey {
                    name: "transaction.version".to_owned(),
                    max_version_level: self.coordinator.level,
                    min_version_level: 0,
                };
                let finalized_features = vec![level];
                ApiVersionsResponse { api_keys, finalized_features, ..Default::default() }.into()
            }
            Request::Metadata(asked) => {
                let creates = asked.allow_auto_topic_creation;
                let asked: Vec<_> =
                    asked.topics.unwrap().into_iter().filter_map(|topic| topic.name).collect();
                self.told_of.push((asked.clone(), creates));
                let mut answer = self.metadata(!asked.is_empty());
                let read = asked.iter().filter_map(|name| Some((name, *self.read.get(name)?)));
                answer.topics.extend(read.map(|(name, id)| MetadataResponseTopic {
                    name: Some(name.clone()),
                    topic_id: id.unwrap_or_default(),
                    error_code: id.map_or(ErrorCode::UnknownTopicOrPartition, |_| ErrorCode::None),
                    partitions: vec![MetadataResponsePartition { leader_id: 1, ..Default::default() }],
                    ..Default::default()
                }));
                answer.into()
            }
            Request::InitProducerId(asked) if asked.transactional_id.is_none() => {
                let (producer_id, producer_epoch) = self.gives;
                InitProducerIdResponse { producer_id, producer_epoch, ..Default::default() }.into()
            }
            Request::Produce(mut request) => {
                request.batches_mut().for_each(|batch| batch.seal(&mut Compressor::new()));
                let port = self.links[&conn];
                return self.produced.push(Produced { conn, id, port, version, request });
            }
            other => match self.coordinator.answer(version, other) {
                Some(response) => response,
                None => return,
            },
        };
        self.producer.handle_reply(conn, Reply { id, response, fetched: None }, self.now);
    }

    fn metadata(&self, topic_asked: bool) -> MetadataResponse {
        let broker = |id: i32| MetadataResponseBroker {
            node_id: id,
            host: "broker".to_owned(),
            port: id,
            ..Default::default()
        };
        let partition = |(index, leader): (usize, &i32)| MetadataResponsePartition {
            partition_index: index as i32,
            leader_id: *leader,
            leader_epoch: self.leader_epoch,
            ..Default::default()
        };
        let exists = !self.leaders.is_empty();
        let topic = MetadataResponseTopic {
            name: Some("t".to_owned()),
            topic_id: self.topic_id,
            error_code: if exists { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition },
            partitions: self.leaders.iter().enumerate().map(partition).collect(),
            ..Default::default()
        };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            topics: topic_asked.then_some(topic).into_iter().collect(),
            ..Default::default()
        }
    }

    fn try_send<'a, H: Iterator<Item = Header<'a>> + Clone>(
        &mut self,
        record: &Outgoing<'a, H>,
    ) -> Result<Ticket, Refused> {
        self.producer.send(record, self.now.mono, self.now)
    }

    fn send(&mut self, value: &str) -> Ticket {
        self.try_send(&record(value)).unwrap()
    }

    /// Sends a record and lets its batch go out.
    fn send_out(&mut self, value: &str) -> Ticket {
        let ticket = self.send(value);
        self.producer.flush();
        self.pump();
        ticket
    }

    fn take(&mut self) -> Produced {
        assert!(!self.produced.is_empty(), "nothing was produced");
        self.produced.remove(0)
    }

    fn reply(
        &mut self,
        to: &Produced,
        answer: ProducePartitionResponse,
        endpoints: Vec<ProduceNodeEndpoint>,
    ) {
        let answers =
            to.partitions().into_iter().map(|index| ProducePartitionResponse { index, ..answer.clone() });
        let topic = ProduceTopicResponse {
            name: if to.version < 13 { "t".to_owned() } else { String::new() },
            topic_id: self.topic_id,
            partition_responses: answers.collect(),
        };
        let response =
            ProduceResponse { responses: vec![topic], node_endpoints: endpoints, ..Default::default() };
        let reply = Reply { id: to.id, response: response.into(), fetched: None };
        self.producer.handle_reply(to.conn, reply, self.now);
        self.pump();
    }

    fn acknowledge(&mut self, to: &Produced, base_offset: i64) {
        self.reply(to, ProducePartitionResponse { base_offset, ..Default::default() }, Vec::new());
    }

    /// A request that nobody answers has been written.
    fn hand_over(&mut self, request: &Produced) {
        self.producer.handle_written(request.conn, request.id, self.now);
        self.pump();
    }

    fn refuse(&mut self, to: &Produced, error_code: ErrorCode) {
        let answer = ProducePartitionResponse { error_code, base_offset: -1, ..Default::default() };
        self.reply(to, answer, Vec::new());
    }

    fn result(&mut self, ticket: &Ticket) -> Option<Result<Delivered, SendFailure>> {
        ticket.result()
    }

    fn offset(&mut self, ticket: &Ticket) -> Option<i64> {
        self.result(ticket).expect("not decided").expect("failed").offset
    }
}

fn config() -> ProducerConfig {
    ProducerConfig::default()
}
