//! A consumer without a group that reads one partition, and is served one response.

use std::{collections::VecDeque, sync::Arc};

use ottla_core::{
    Address, Consumer, ConsumerConfig, Fetched, Filter, HoldsBytes, IsolationLevel, Look, Machine, Outbound,
    Reader, ReaderConfig, Reply, SeekTo, TopicPartition, spans,
};
use ottla_fuzz::now;
use ottla_protocol::{ApiKey, Now, Request, Response, ResponseHeader, TopicId, messages::*};

#[derive(Debug, Clone)]
pub struct Frame(Arc<Vec<u8>>);

impl HoldsBytes for Frame {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    NotYet,
    Whole,
    Unread,
}

pub struct World {
    consumer: Consumer<Frame>,
    pub reader: Reader<Frame>,
    now: Now,
    /// Of Fetch, in which the broker answers.
    version: i16,
    response: Option<Vec<u8>>,
    pub served: Served,
}

impl World {
    pub fn reading(version: i16, frame: Vec<u8>) -> Self {
        let now = now();
        let seeds = vec![Address { host: "broker".to_owned(), port: 9092 }];
        let mut config = ConsumerConfig::new(seeds);
        config.fetch.isolation = IsolationLevel::ReadCommitted;
        let mut consumer = Consumer::new(config, now);
        let config = ReaderConfig { check_crcs: true, max_decompressed: 1 << 16 };
        let reader = Reader::new(&mut consumer, config, now);
        let mut world =
            Self { consumer, reader, now, version, response: Some(frame), served: Served::NotYet };
        let at = TopicPartition::new("t", 0);
        world.consumer.assign([at.clone()], now).unwrap();
        world.consumer.seek(&at, SeekTo::Offset(0), now);
        world.run();
        world
    }

    pub fn look(&mut self) -> Option<Look> {
        let look = self.reader.look(&mut self.consumer, &Filter::All, self.now);
        self.run();
        look
    }

    fn run(&mut self) {
        let mut replies = VecDeque::new();
        loop {
            while let Some(outbound) = self.consumer.poll_send(self.now) {
                match outbound {
                    Outbound::Connect { conn, .. } => self.consumer.handle_connected(conn, self.now),
                    Outbound::Send { conn, id, request, .. } => {
                        if let Some((response, fetched)) = self.answer(&request) {
                            replies.push_back((conn, Reply { id, response, fetched }));
                        }
                    }
                    Outbound::Run { .. } | Outbound::Close { .. } => {}
                }
            }
            let Some((conn, reply)) = replies.pop_front() else { return };
            self.consumer.handle_reply(conn, reply, self.now);
        }
    }

    fn answer(&mut self, request: &Request) -> Option<(Response, Option<Fetched<Frame>>)> {
        match request {
            Request::ApiVersions(_) => Some((versions(self.version).into(), None)),
            Request::Metadata(_) => Some((metadata().into(), None)),
            Request::Fetch(_) => {
                let frame = self.response.take()?;
                let decoded = ResponseHeader::decode(ApiKey::Fetch, self.version, &frame);
                self.served = if decoded.is_ok() { Served::Whole } else { Served::Unread };
                let (_, response) = decoded.ok()?;
                let spans = spans(&response, &frame);
                let size = frame.len();
                Some((response, Some(Fetched { frame: Frame(Arc::new(frame)), size, spans })))
            }
            _ => None,
        }
    }
}

fn versions(fetch: i16) -> ApiVersionsResponse {
    let api = |key: &ApiKey| ApiVersionsApiVersion {
        api_key: *key as i16,
        min_version: key.versions().min,
        max_version: if *key == ApiKey::Fetch { fetch } else { key.versions().max },
    };
    ApiVersionsResponse { api_keys: ApiKey::ALL.iter().map(api).collect(), ..Default::default() }
}

fn metadata() -> MetadataResponse {
    let broker =
        MetadataResponseBroker { node_id: 1, host: "broker".to_owned(), port: 9092, ..Default::default() };
    let partition = MetadataResponsePartition { leader_id: 1, leader_epoch: 3, ..Default::default() };
    let topic = MetadataResponseTopic {
        name: Some("t".to_owned()),
        topic_id: TopicId([1; 16]),
        partitions: vec![partition],
        ..Default::default()
    };
    MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() }
}
