//! A producer against answers given by hand, in a time moved by hand.

use std::time::Duration;

use ottla_protocol::{
    Request, Response, TopicId,
    messages::{
        ApiVersionsApiVersion, ApiVersionsResponse, InitProducerIdResponse, MetadataResponse,
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, ProduceLeaderIdAndEpoch,
        ProduceNodeEndpoint, ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopicResponse,
    },
    records::{BatchHeader, Decompressor, RecordWalk},
};

use super::*;
use crate::{
    ids::ConnId,
    machine::{Disconnected, Machine, Outbound, Reply},
};

const ID: i64 = 4000;
const TOPIC: TopicId = TopicId([7; 16]);

/// A cluster of two brokers that answers everything but Produce by itself.
struct World {
    producer: Producer<()>,
    now: Now,
    /// Of topic `t`, by partition.
    leaders: Vec<i32>,
    leader_epoch: i32,
    unreachable: bool,
    links: BTreeMap<ConnId, u16>,
    produced: Vec<Produced>,
}

/// A Produce request that waits for its answer.
struct Produced {
    conn: ConnId,
    id: RequestId,
    port: u16,
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
            unreachable: false,
            links: BTreeMap::new(),
            produced: Vec::new(),
        }
    }

    /// With topic `t` known.
    fn ready(config: ProducerConfig) -> Self {
        Self::with_partitions(config, &[1])
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
                Outbound::Send { conn, id, request, .. } => self.answer(conn, id, request),
                Outbound::Close { conn } => _ = self.links.remove(&conn),
            }
        }
    }

    fn answer(&mut self, conn: ConnId, id: RequestId, request: Request) {
        let response: Response = match request {
            Request::ApiVersions(_) => {
                let api = |key: &ottla_protocol::ApiKey| ApiVersionsApiVersion {
                    api_key: *key as i16,
                    min_version: key.versions().min,
                    max_version: key.versions().max,
                };
                let api_keys = ottla_protocol::ApiKey::ALL.iter().map(api).collect();
                ApiVersionsResponse { api_keys, ..Default::default() }.into()
            }
            Request::Metadata(asked) => self.metadata(!asked.topics.unwrap().is_empty()).into(),
            Request::InitProducerId(_) => {
                InitProducerIdResponse { producer_id: ID, producer_epoch: 0, ..Default::default() }.into()
            }
            Request::Produce(request) => {
                let port = self.links[&conn];
                return self.produced.push(Produced { conn, id, port, request });
            }
            other => panic!("{other:?}"),
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
            topic_id: TOPIC,
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
            topic_id: TOPIC,
            partition_responses: answers.collect(),
            ..Default::default()
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

    fn refuse(&mut self, to: &Produced, error_code: ErrorCode) {
        let answer = ProducePartitionResponse { error_code, base_offset: -1, ..Default::default() };
        self.reply(to, answer, Vec::new());
    }

    fn result(&mut self, ticket: &Ticket) -> Option<Result<Delivered, SendFailure>> {
        self.producer.take_result(ticket)
    }

    fn offset(&mut self, ticket: &Ticket) -> Option<i64> {
        self.result(ticket).expect("not decided").expect("failed").offset
    }
}

fn config() -> ProducerConfig {
    ProducerConfig::default()
}

#[test]
fn a_record_waits_for_its_linger_and_is_told_its_offset() {
    let mut world = World::ready(config());
    let ticket = world.send("a");
    let second = world.send("b");
    world.pump();
    assert!(world.produced.is_empty(), "the batch may still grow");
    world.pass(Duration::from_millis(5));
    let produced = world.take();
    assert_eq!(produced.values(), ["a", "b"]);
    let header = produced.header();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (ID, 0, 0));
    assert_eq!((produced.request.acks, produced.request.topic_data[0].topic_id), (-1, TOPIC));
    assert!(world.result(&ticket).is_none());
    world.acknowledge(&produced, 40);
    let delivered = world.result(&ticket).unwrap().unwrap();
    assert_eq!(delivered, Delivered { partition: 0, offset: Some(40), timestamp: 1_700_000_001_000 });
    assert_eq!(world.offset(&second), Some(41));
    assert_eq!((world.producer.outcomes.kept(), world.producer.buffered()), (0, 0));
}

#[test]
fn a_full_batch_does_not_linger() {
    let mut world = World::ready(ProducerConfig { batch_size: 200, ..config() });
    let value = "v".repeat(60);
    for _ in 0..3 {
        _ = world.send(&value);
    }
    world.pump();
    assert_eq!(world.take().header().record_count, 1 + 1, "the third had no room");
    assert!(world.produced.is_empty(), "the third lingers");
}

#[test]
fn a_flush_sends_at_once_and_ends_when_all_is_decided() {
    let mut world = World::ready(ProducerConfig { linger: Duration::from_secs(10), ..config() });
    let ticket = world.send("a");
    let flush = world.producer.flush();
    world.pump();
    let produced = world.take();
    _ = world.send("later");
    assert!(!world.producer.is_flushed(flush));
    world.acknowledge(&produced, 0);
    assert!(world.producer.is_flushed(flush), "what came later does not matter");
    assert_eq!(world.offset(&ticket), Some(0));
}

#[test]
fn five_batches_of_a_partition_are_on_their_way_and_a_sixth_waits() {
    let mut world = World::ready(config());
    for value in ["a", "b", "c", "d", "e", "f"] {
        _ = world.send_out(value);
    }
    let sequences: Vec<_> = world.produced.iter().map(|produced| produced.header().base_sequence).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4]);
    let first = world.take();
    world.acknowledge(&first, 0);
    assert_eq!(world.produced.last().unwrap().values(), ["f"]);
}

#[test]
fn a_retry_keeps_the_order() {
    let mut world = World::ready(config());
    let tickets = ["a", "b", "c"].map(|value| world.send_out(value));
    let (a, b, c) = (world.take(), world.take(), world.take());
    world.refuse(&a, ErrorCode::NotEnoughReplicas);
    world.refuse(&b, ErrorCode::OutOfOrderSequenceNumber);
    world.refuse(&c, ErrorCode::OutOfOrderSequenceNumber);
    _ = world.send_out("d");
    assert!(world.produced.is_empty(), "nothing passes, and the retry waits");
    world.pass(Duration::from_secs(1));
    for (index, value) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(world.produced.len(), 1, "a retry goes alone");
        let produced = world.take();
        assert_eq!(produced.values(), [value]);
        let header = produced.header();
        assert_eq!((header.base_sequence, header.producer_epoch), (index as i32, 0), "as at first");
        world.acknowledge(&produced, index as i64);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.take().values(), ["d"]);
    assert_eq!(tickets.map(|ticket| world.offset(&ticket)), [Some(0), Some(1), Some(2)]);
}

#[test]
fn a_duplicate_is_a_success() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let produced = world.take();
    world.refuse(&produced, ErrorCode::DuplicateSequenceNumber);
    assert_eq!(world.offset(&ticket), None);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_sequence() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let lost = world.take();
    world.producer.handle_disconnected(lost.conn, Disconnected::Closed, world.now);
    world.pass(Duration::from_secs(2));
    let again = world.take();
    assert_eq!(again.header(), lost.header());
    world.acknowledge(&again, 9);
    assert_eq!(world.offset(&ticket), Some(9));
}

#[test]
fn a_leader_that_moved_is_found_by_metadata() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let produced = world.take();
    assert_eq!(produced.port, 1);
    (world.leaders, world.leader_epoch) = (vec![2], 2);
    world.refuse(&produced, ErrorCode::NotLeaderOrFollower);
    world.pass(Duration::from_secs(1));
    let produced = world.take();
    assert_eq!(produced.port, 2);
    world.acknowledge(&produced, 3);
    assert_eq!(world.offset(&ticket), Some(3));
}

#[test]
fn a_leader_hint_is_followed_at_once() {
    let mut world = World::ready(config());
    _ = world.send_out("a");
    let produced = world.take();
    let answer = ProducePartitionResponse {
        error_code: ErrorCode::NotLeaderOrFollower,
        current_leader: ProduceLeaderIdAndEpoch { leader_id: 2, leader_epoch: 5 },
        ..Default::default()
    };
    let endpoint = ProduceNodeEndpoint { node_id: 2, host: "moved".to_owned(), port: 22, rack: None };
    world.reply(&produced, answer, vec![endpoint]);
    assert_eq!(world.take().port, 22);
}

#[test]
fn batches_wait_for_those_that_went_to_the_former_leader() {
    let mut world = World::ready(config());
    _ = (world.send_out("a"), world.send_out("b"));
    let (a, b) = (world.take(), world.take());
    (world.leaders, world.leader_epoch) = (vec![2], 2);
    world.refuse(&a, ErrorCode::NotLeaderOrFollower);
    world.pass(Duration::from_secs(1));
    assert!(world.produced.is_empty(), "b is still with the former leader");
    world.refuse(&b, ErrorCode::NotLeaderOrFollower);
    world.pass(Duration::from_secs(1));
    assert_eq!((world.take().values(), world.produced.len()), (vec!["a".to_owned()], 0));
}

#[test]
fn a_sequence_that_the_broker_lost_starts_anew_in_the_next_epoch() {
    for error in [ErrorCode::OutOfOrderSequenceNumber, ErrorCode::UnknownProducerId] {
        let mut world = World::with_partitions(config(), &[1, 1]);
        _ = world.send_out("a");
        let produced = world.take();
        world.acknowledge(&produced, 0);
        let tickets = [world.send_out("b"), world.send_out("c")];
        let (b, c) = (world.take(), world.take());
        world.refuse(&b, error);
        assert!(world.produced.is_empty(), "nothing is sent while the old epoch is on its way");
        world.refuse(&c, ErrorCode::OutOfOrderSequenceNumber);
        world.pass(Duration::from_secs(1));
        let b = world.take();
        let header = b.header();
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (ID, 1, 0));
        world.acknowledge(&b, 1);
        world.pass(Duration::from_secs(1));
        let c = world.take();
        assert_eq!((c.values(), c.header().base_sequence), (vec!["c".to_owned()], 1));
        world.acknowledge(&c, 2);
        assert_eq!(tickets.map(|ticket| world.offset(&ticket)), [Some(1), Some(2)]);
    }
}

#[test]
fn a_record_that_is_refused_fails_alone_and_leaves_no_gap() {
    let mut world = World::ready(config());
    let bad = world.send_out("bad");
    let produced = world.take();
    world.refuse(&produced, ErrorCode::InvalidRecord);
    let at = TopicPartition::new("t", 0);
    let failure = SendFailure::Refused { at, error: ErrorCode::InvalidRecord, message: None };
    assert_eq!(world.result(&bad), Some(Err(failure)));
    let good = world.send_out("good");
    let produced = world.take();
    assert_eq!((produced.header().producer_epoch, produced.header().base_sequence), (1, 0));
    world.acknowledge(&produced, 0);
    assert_eq!(world.offset(&good), Some(0));
}

#[test]
fn a_record_that_is_not_acknowledged_in_time_fails_and_says_why() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let start = world.now;
    while world.producer.outcomes.first_pending().is_some() {
        while !world.produced.is_empty() {
            let produced = world.take();
            world.refuse(&produced, ErrorCode::NotEnoughReplicas);
        }
        world.pass(Duration::from_millis(100));
        assert!(world.now.mono - start.mono < Duration::from_secs(121));
    }
    let Some(Err(SendFailure::DeliveryTimeout { waited, cause, .. })) = world.result(&ticket) else {
        panic!()
    };
    assert_eq!(waited, Duration::from_secs(120));
    let address = Some(Address { host: "broker".to_owned(), port: 1 });
    assert_eq!(cause, Some(Cause::Broker { address, error: ErrorCode::NotEnoughReplicas }));
}

#[test]
fn an_answer_that_comes_after_the_record_was_given_up_changes_nothing() {
    let mut world = World::ready(ProducerConfig { delivery_timeout: Duration::from_secs(5), ..config() });
    let late = world.send_out("late");
    let next = world.send_out("next");
    let (first, second) = (world.take(), world.take());
    world.pass(Duration::from_secs(6));
    assert!(matches!(world.result(&late), Some(Err(SendFailure::DeliveryTimeout { .. }))));
    assert!(matches!(world.result(&next), Some(Err(SendFailure::DeliveryTimeout { .. }))));
    _ = world.send_out("third");
    assert!(world.produced.is_empty(), "what was given up may still be appended");
    world.acknowledge(&first, 0);
    world.acknowledge(&second, 1);
    assert_eq!(world.take().header().producer_epoch, 1);
}

#[test]
fn a_topic_that_does_not_exist_fails_after_the_grace_given() {
    let mut world = World::new(ProducerConfig { unknown_topic_grace: Duration::from_secs(3), ..config() });
    world.leaders.clear();
    let since = world.now.mono;
    for _ in 0..29 {
        assert!(matches!(world.producer.send(&record("a"), since, world.now), Err(Refused::Wait)));
        world.pass(Duration::from_millis(100));
    }
    _ = world.producer.take_wake();
    world.pass(Duration::from_millis(100));
    assert!(world.producer.take_wake(), "who waits is woken when its time is up");
    let Err(Refused::Failed(failure)) = world.producer.send(&record("a"), since, world.now) else { panic!() };
    assert_eq!(*failure, SendFailure::UnknownTopic { topic: "t".to_owned() });
    world.leaders = vec![1];
    let since = world.now.mono;
    assert!(
        matches!(world.producer.send(&record("a"), since, world.now), Err(Refused::Wait)),
        "asked afresh"
    );
    world.pass(Duration::from_secs(2));
    _ = world.send("a");
}

#[test]
fn without_grace_a_topic_that_does_not_exist_fails_with_the_first_answer() {
    let mut world = World::new(ProducerConfig { unknown_topic_grace: Duration::ZERO, ..config() });
    world.leaders.clear();
    assert!(matches!(world.try_send(&record("a")), Err(Refused::Wait)));
    world.pump();
    assert!(world.producer.take_wake());
    assert!(matches!(world.try_send(&record("a")), Err(Refused::Failed(_))));
}

#[test]
fn an_unreachable_cluster_is_named_when_a_send_gives_up() {
    let mut world = World::new(config());
    world.unreachable = true;
    let since = world.now.mono;
    assert!(matches!(world.producer.send(&record("a"), since, world.now), Err(Refused::Wait)));
    world.pass(Duration::from_secs(60));
    let Err(Refused::Failed(failure)) = world.producer.send(&record("a"), since, world.now) else { panic!() };
    assert!(matches!(*failure, SendFailure::MetadataTimeout { .. }));
    assert!(failure.to_string().ends_with("the last obstacle: seed:1: cannot connect: nobody"), "{failure}");
}

#[test]
fn a_partition_that_does_not_exist_fails() {
    let mut world = World::ready(ProducerConfig { unknown_topic_grace: Duration::ZERO, ..config() });
    let Err(Refused::Failed(failure)) = world.try_send(&Outgoing { partition: Some(3), ..record("a") })
    else {
        panic!()
    };
    let at = TopicPartition::new("t", 3);
    assert_eq!(*failure, SendFailure::UnknownPartition { at, count: 1 });
}

#[test]
fn a_record_larger_than_a_request_is_not_taken() {
    let mut world = World::ready(config());
    let large = "x".repeat(1024 * 1024);
    let Err(Refused::Failed(failure)) = world.try_send(&record(&large)) else { panic!() };
    assert!(matches!(*failure, SendFailure::TooLarge { limit: 1_048_576, .. }));
}

#[test]
fn a_full_buffer_makes_senders_wait_until_batches_are_acknowledged() {
    let settings = ProducerConfig {
        buffer_memory: 1000,
        linger: Duration::from_secs(60),
        max_block: Duration::from_secs(20),
        ..config()
    };
    let mut world = World::ready(settings);
    let value = "v".repeat(600);
    _ = world.send(&value);
    let since = world.now.mono;
    assert!(matches!(world.producer.send(&record(&value), since, world.now), Err(Refused::Wait)));
    world.pump();
    let produced = world.take();
    _ = world.producer.take_wake();
    world.acknowledge(&produced, 0);
    assert!(world.producer.take_wake());
    _ = world.send(&value);
    let since = world.now.mono;
    assert!(matches!(world.producer.send(&record(&value), since, world.now), Err(Refused::Wait)));
    world.pass(Duration::from_secs(20));
    let Err(Refused::Failed(failure)) = world.producer.send(&record(&value), since, world.now) else {
        panic!()
    };
    assert!(matches!(*failure, SendFailure::BufferFull { limit: 1000, .. }));
}

#[test]
fn records_with_a_key_keep_to_its_partition() {
    let mut world = World::with_partitions(config(), &[1; 12]);
    for key in ["21", "foobar", "abc"] {
        let ticket = world.try_send(&Outgoing { partition: None, key: Some(key.as_bytes()), ..record("v") });
        assert_eq!(ticket.unwrap().partition(), partition_for_key(key.as_bytes(), 12));
    }
}

#[test]
fn records_without_a_key_fill_one_batch_and_then_that_of_another_partition() {
    let mut world = World::with_partitions(ProducerConfig { batch_size: 500, ..config() }, &[1; 4]);
    let value = "v".repeat(100);
    let mut partitions = Vec::new();
    for _ in 0..20 {
        let ticket = world.try_send(&Outgoing { partition: None, ..record(&value) }).unwrap();
        partitions.push(ticket.partition());
        world.producer.release(&ticket);
    }
    partitions.dedup();
    assert!((5..=7).contains(&partitions.len()), "a batch holds three or four: {partitions:?}");
}

#[test]
fn batches_of_several_partitions_travel_in_one_request_per_leader() {
    let mut world = World::with_partitions(config(), &[1, 2, 1]);
    for partition in 0..3 {
        let sent = world.try_send(&Outgoing { partition: Some(partition), ..record("v") });
        world.producer.release(&sent.unwrap());
    }
    world.pass(Duration::from_millis(5));
    let mut requests: Vec<_> = world.produced.iter().map(|p| (p.port, p.partitions())).collect();
    requests.sort();
    assert_eq!(requests, [(1, vec![0, 2]), (2, vec![1])]);
}

#[test]
fn failures_that_nobody_asked_for_are_counted() {
    let mut world = World::ready(config());
    let (kept, before, after) = (world.send("a"), world.send("b"), world.send("c"));
    world.producer.release(&before);
    world.producer.flush();
    world.pump();
    let produced = world.take();
    world.refuse(&produced, ErrorCode::TopicAuthorizationFailed);
    world.producer.release(&after);
    assert!(matches!(world.result(&kept), Some(Err(SendFailure::Refused { .. }))));
    assert_eq!(world.producer.take_unclaimed().map(|unclaimed| unclaimed.count), Some(2));
    assert_eq!(world.producer.take_unclaimed(), None);
    assert_eq!(world.producer.outcomes.kept(), 0);
}

#[test]
fn closing_delivers_what_was_taken_and_takes_no_more() {
    let mut world = World::ready(ProducerConfig { linger: Duration::from_secs(60), ..config() });
    let ticket = world.send("a");
    world.producer.close(world.now.mono + Duration::from_secs(30));
    assert!(matches!(world.try_send(&record("b")), Err(Refused::Failed(_))));
    world.pump();
    let produced = world.take();
    assert!(!world.producer.is_closed());
    world.acknowledge(&produced, 7);
    assert!(world.producer.is_closed() && world.links.is_empty());
    assert_eq!(world.offset(&ticket), Some(7));
}

#[test]
fn closing_gives_up_at_its_deadline() {
    let mut world = World::ready(config());
    let ticket = world.send("a");
    world.producer.close(world.now.mono + Duration::from_secs(3));
    world.pass(Duration::from_secs(3));
    assert!(world.producer.is_closed());
    assert_eq!(world.result(&ticket), Some(Err(SendFailure::Closed)));
}

#[test]
fn batches_are_compressed_as_configured() {
    for compression in Compression::ALL {
        let mut world = World::ready(ProducerConfig { compression, ..config() });
        let value = "compressible ".repeat(50);
        _ = world.send_out(&value);
        let produced = world.take();
        assert_eq!(produced.header().compression(), Ok(compression));
        assert_eq!(produced.values(), [value]);
    }
}

#[test]
fn many_records_cost_no_entry_each() {
    let mut world = World::with_partitions(config(), &[1, 2, 1]);
    let mut tickets = Vec::new();
    for _ in 0..50_000 {
        let sent = world.try_send(&Outgoing { partition: None, ..record("0123456789") });
        tickets.push(sent.unwrap());
    }
    assert!(world.producer.outcomes.kept() < 200, "{}", world.producer.outcomes.kept());
    let flush = world.producer.flush();
    world.pump();
    while !world.produced.is_empty() {
        let produced = world.take();
        assert!(produced.headers().iter().all(|header| header.base_sequence >= 0));
        world.acknowledge(&produced, 0);
    }
    assert!(world.producer.is_flushed(flush));
    assert!(tickets.iter().all(|ticket| world.result(ticket).is_some_and(|result| result.is_ok())));
    assert_eq!(world.producer.outcomes.kept(), 0);
}

#[test]
fn the_driver_is_stirred_by_a_new_batch_and_not_by_each_record() {
    let mut world = World::ready(config());
    _ = world.producer.take_stir();
    let first = world.send("a");
    assert!(world.producer.take_stir());
    let second = world.send("b");
    world.producer.release(&first);
    assert!(world.result(&second).is_none());
    assert!(!world.producer.take_stir());
    world.producer.flush();
    assert!(world.producer.take_stir());
}
