//! Behaviours of a consumer. The test answers its requests, and moves the clock, by hand.

mod auto_committing;
mod committing;
mod consumer_protocol;
mod cooperative;
mod counting;
mod damaged;
mod explaining;
mod fenced;
mod fetching;
mod followers;
mod health;
mod in_doubt;
mod isolation;
mod leaving;
mod listening;
mod logging;
mod many;
mod membership;
mod numbers;
mod older_coordinator;
mod permissions;
mod pushing;
mod readers;
mod reading;
mod rejoining;
mod time_lag;
mod topics_anew;
mod truncation;
mod unreadable;

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Request, Response, Timestamp, TopicId,
    codec::RecordData,
    messages::*,
    records::{BatchBuilder, Compression, Compressor},
};

use super::*;
use crate::{
    Address, CommittedOffset, Event, FetchConfig, GroupConfig, GroupFailure, LeaveGroup, OpFailure,
    disconnected::Disconnected,
    fetch::spans,
    group::Assignment,
    ids::{ConnId, OpId, ReaderId, RequestId, TopicPartition},
    machine::{Fetched, Machine, Outbound, Reply},
    reader::Slot,
};

type Frame = Rc<Vec<u8>>;

/// A consumer, and a cluster of one broker. The test plays the interesting part of the broker.
struct World {
    consumer: Consumer<Frame>,
    reader: ReaderId,
    /// The slot of the slice that was taken last, where the reader leaves how far its user has come.
    slot: Option<Slot>,
    now: Now,
    /// The requests that are not answered yet.
    asked: VecDeque<Sent>,
    partitions: i32,
    /// The leader of all partitions, as metadata tells it.
    leader: i32,
    leader_epoch: i32,
    /// The hosts of the brokers that metadata lists, from broker 1 on.
    hosts: Vec<&'static str>,
    /// The broker that coordinates the group.
    coordinator: i32,
    /// New connections to this host come to nothing.
    down: Option<&'static str>,
    /// The topics that exist.
    topics: Vec<&'static str>,
    /// Of the first topic; the next one's follows.
    first_id: u8,
    /// The newest versions that the broker speaks of these APIs.
    newest: Vec<(ApiKey, i16)>,
    /// The connections that were asked for, and the host of each.
    called: Vec<(ConnId, String)>,
    /// How many connections were closed.
    closed: usize,
    /// The fetches that are not answered yet: there is always one ahead.
    fetches: VecDeque<Sent>,
    /// New connections come to nothing.
    refusing: bool,
    /// How many requests for metadata will end in a closed connection.
    unanswered: usize,
}

#[derive(Debug)]
struct Sent {
    conn: ConnId,
    id: RequestId,
    request: Request,
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn config() -> ConsumerConfig {
    let seeds = vec![Address { host: "broker".to_owned(), port: 9092 }];
    ConsumerConfig { reset: ResetPolicy::Earliest, seed: 7, ..ConsumerConfig::new(seeds) }
}

fn group_config() -> ConsumerConfig {
    ConsumerConfig {
        group: Some(GroupConfig::new("g")),
        auto_commit: Some(Duration::from_secs(5)),
        ..config()
    }
}

impl World {
    fn new(config: ConsumerConfig) -> Self {
        let now = Now { mono: Instant::now(), wall: Timestamp(1_000_000) };
        let mut consumer = Consumer::new(config, now);
        let (reader, ..) = consumer.open_reader(now);
        let (asked, fetches) = (VecDeque::new(), VecDeque::new());
        Self {
            consumer,
            reader,
            slot: None,
            now,
            asked,
            partitions: 2,
            leader: 1,
            leader_epoch: 3,
            hosts: vec!["broker"],
            coordinator: 1,
            down: None,
            topics: vec!["t"],
            first_id: 1,
            newest: Vec::new(),
            called: Vec::new(),
            closed: 0,
            fetches,
            refusing: false,
            unanswered: 0,
        }
    }

    /// A member of generation 1 with these partitions, their offsets committed at 0.
    fn member(config: ConsumerConfig, owned: &[i32]) -> Self {
        let mut world = Self::new(config);
        world.subscribe();
        world.join(1, owned);
        world
    }

    fn subscribe(&mut self) {
        self.consumer.subscribe(["t".to_owned()], self.now).unwrap();
        self.run();
    }

    /// Answers the JoinGroup and the SyncGroup that are under way.
    fn enter(&mut self, generation_id: i32, owned: &[i32]) {
        let join = self.expect(ApiKey::JoinGroup);
        self.answer(&join, joined(generation_id));
        let sync = self.expect(ApiKey::SyncGroup);
        self.answer(&sync, assigned(owned));
    }

    /// Answers the JoinGroup and the SyncGroup that are under way, and then the OffsetFetch.
    fn join(&mut self, generation_id: i32, owned: &[i32]) {
        self.enter(generation_id, owned);
        if !owned.is_empty() {
            self.committed(0);
        }
    }

    /// Answers the OffsetFetch under way with one offset for all.
    fn committed(&mut self, offset: i64) {
        self.committed_fares(|index| found(index, offset));
    }

    /// Answers the OffsetFetch under way, partition by partition.
    fn committed_fares(&mut self, found: impl Fn(i32) -> OffsetFetchResponsePartitions) {
        let fetch = self.expect(ApiKey::OffsetFetch);
        let Request::OffsetFetch(asked) = &fetch.request else { unreachable!() };
        let topic = |topic: &OffsetFetchRequestTopics| OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partition_indexes.iter().map(|index| found(*index)).collect(),
        };
        let topics = asked.groups[0].topics.iter().flatten().map(topic).collect();
        let group = OffsetFetchResponseGroup { group_id: "g".to_owned(), topics, ..Default::default() };
        self.answer(&fetch, OffsetFetchResponse { groups: vec![group], ..Default::default() });
    }

    /// Carries out all that the consumer wants to do, and plays the dull part of the broker.
    fn run(&mut self) {
        while let Some(outbound) = self.consumer.poll_send(self.now) {
            match outbound {
                Outbound::Connect { conn, host, .. } => {
                    let down = self.refusing || self.down == Some(&*host);
                    self.called.push((conn, host));
                    match down {
                        true => self.consumer.handle_disconnected(conn, Disconnected::Closed, self.now),
                        false => self.consumer.handle_connected(conn, self.now),
                    }
                }
                Outbound::Run { .. } => unreachable!("nobody authenticates"),
                Outbound::Close { .. } => self.closed += 1,
                Outbound::Send { conn, id, request, .. } => {
                    let sent = Sent { conn, id, request };
                    match &sent.request {
                        Request::ApiVersions(_) => self.reply(&sent, versions(&self.newest)),
                        Request::Metadata(_) if self.unanswered > 0 => {
                            self.unanswered -= 1;
                            self.consumer.handle_disconnected(sent.conn, Disconnected::Closed, self.now);
                        }
                        Request::Metadata(request) => {
                            let response = metadata(
                                request,
                                &self.hosts,
                                &self.topics,
                                self.first_id,
                                self.partitions,
                                (self.leader, self.leader_epoch),
                            );
                            self.reply(&sent, response);
                        }
                        Request::FindCoordinator(_) => {
                            let host = self.hosts[self.coordinator as usize - 1];
                            self.reply(&sent, coordinator(self.coordinator, host));
                        }
                        Request::Fetch(_) => self.fetches.push_back(sent),
                        _ => self.asked.push_back(sent),
                    }
                }
            }
        }
    }

    fn reply(&mut self, sent: &Sent, response: impl Into<Response>) {
        let reply = Reply { id: sent.id, response: response.into(), fetched: None };
        self.consumer.handle_reply(sent.conn, reply, self.now);
    }

    fn answer(&mut self, sent: &Sent, response: impl Into<Response>) {
        self.reply(sent, response);
        self.run();
    }

    /// Answers the fetch under way with records of these offsets in one partition.
    fn fetched(&mut self, partition: i32, offsets: std::ops::Range<i64>) {
        let fetch = self.fetches.pop_front().expect("a fetch is under way");
        self.fetched_by(&fetch, partition, ErrorCode::None, Some(batch(offsets)));
    }

    fn fetched_by(&mut self, fetch: &Sent, partition: i32, error_code: ErrorCode, batch: Option<Vec<u8>>) {
        let frame = Rc::new(batch.unwrap_or_default());
        let records = Some(RecordData::InFrame(0..frame.len() as u32));
        let partition = FetchPartitionResponse {
            partition_index: partition,
            error_code,
            high_watermark: 1000,
            records,
            ..Default::default()
        };
        let topic = FetchTopicResponse {
            topic_id: TopicId([1; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        let response = FetchResponse { session_id: 5, responses: vec![topic], ..Default::default() }.into();
        let fetched = Fetched { size: frame.len(), spans: spans(&response, &frame), frame };
        let reply = Reply { id: fetch.id, response, fetched: Some(fetched) };
        self.consumer.handle_reply(fetch.conn, reply, self.now);
        self.run();
    }

    /// The first request of this kind that is not answered yet.
    fn expect(&mut self, key: ApiKey) -> Sent {
        let index = self.asked.iter().position(|sent| sent.request.key() == key);
        let index = index.unwrap_or_else(|| panic!("no {key:?} among {:#?}", self.asked));
        self.asked.remove(index).unwrap()
    }

    fn has_asked(&self, key: ApiKey) -> bool {
        self.asked.iter().any(|sent| sent.request.key() == key)
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(deadline) = self.consumer.poll_timeout().filter(|deadline| *deadline <= end.mono) {
            self.now = self.now.after(deadline.saturating_duration_since(self.now.mono));
            self.consumer.handle_timeout(self.now);
            self.run();
        }
        self.now = self.now.after(end.mono.saturating_duration_since(self.now.mono));
    }

    /// Answers the heartbeat that is due next with an error.
    fn heartbeat_says(&mut self, error_code: ErrorCode) {
        if !self.has_asked(ApiKey::Heartbeat) {
            self.pass(Duration::from_secs(3));
        }
        let heartbeat = self.expect(ApiKey::Heartbeat);
        self.answer(&heartbeat, HeartbeatResponse { error_code, ..Default::default() });
    }

    /// The user comes back into a call and takes a slice.
    fn take(&mut self) -> Option<crate::lanes::Slice<Frame>> {
        self.consumer.returned(self.reader, self.now);
        let (slice, slot) = self.consumer.take(self.reader, &crate::Filter::All).unzip();
        self.slot = slot;
        self.run();
        slice
    }

    /// The user goes on in the slice taken last, without a look at the consumer.
    fn reads_to(&mut self, position: i64) {
        self.slot.as_ref().expect("a slice was taken").store(position);
        self.consumer.read_slots(self.now);
    }

    /// The user comes back from everything up to `position`.
    fn back_from(&mut self, slice: &crate::lanes::Slice<Frame>, position: i64) -> crate::lanes::Admission {
        self.consumer.returned(self.reader, self.now);
        let spent = position >= slice.next;
        let admission = self.consumer.report(slice.part, slice.epoch, position, true, !spent);
        self.run();
        admission
    }

    /// Has metadata asked for, and answered.
    fn refresh(&mut self) {
        self.consumer.hub.metadata.request_update();
        self.pass(Duration::from_secs(1));
    }

    fn disconnect(&mut self, sent: &Sent) {
        self.consumer.handle_disconnected(sent.conn, Disconnected::Closed, self.now);
        self.run();
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.consumer.poll_event()).map(|happened| happened.event).collect()
    }

    /// Whether a commit was answered, and done.
    fn is_committed(&mut self, op: OpId) -> bool {
        matches!(self.consumer.take_outcome(op), Some(Ok(Outcome::Commit(_))))
    }

    fn offsets_committed(sent: &Sent) -> Vec<(i32, i64)> {
        let Request::OffsetCommit(request) = &sent.request else { panic!("{sent:?}") };
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|p| (p.partition_index, p.committed_offset)).collect()
    }

    /// The first topic of a commit, as it names it.
    fn topic_committed(sent: &Sent) -> (&str, TopicId) {
        let Request::OffsetCommit(request) = &sent.request else { panic!("{sent:?}") };
        (&request.topics[0].name, request.topics[0].topic_id)
    }

    /// Answers a commit with this code for every partition.
    fn commit_says(&mut self, sent: &Sent, error_code: ErrorCode) {
        let partitions = Self::offsets_committed(sent).len();
        self.commit_fares(sent, &vec![error_code; partitions]);
    }

    /// Answers a commit with a code for each partition, in their order. Partitions without a code are left out of
    /// the answer.
    fn commit_fares(&mut self, sent: &Sent, codes: &[ErrorCode]) {
        let partitions = Self::offsets_committed(sent).into_iter().zip(codes);
        let partition = |((partition_index, _), error_code): (_, &ErrorCode)| OffsetCommitResponsePartition {
            partition_index,
            error_code: *error_code,
        };
        let topic = OffsetCommitResponseTopic {
            name: "t".to_owned(),
            topic_id: Self::topic_committed(sent).1,
            partitions: partitions.map(partition).collect(),
        };
        self.answer(sent, OffsetCommitResponse { topics: vec![topic], ..Default::default() });
    }
}

fn batch_of(epoch: i32, offsets: std::ops::Range<i64>) -> Vec<u8> {
    let mut batch = batch(offsets);
    ottla_protocol::records::set_partition_leader_epoch(&mut batch, epoch).unwrap();
    batch
}

fn batch(offsets: std::ops::Range<i64>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    for _ in offsets.clone() {
        let headers: [ottla_protocol::records::Header<'_>; 0] = [];
        builder.append(1, None, Some(b"value"), headers).expect("room");
    }
    let mut batch = builder.finish(&mut Compressor::new());
    ottla_protocol::records::set_base_offset(&mut batch, offsets.start).unwrap();
    batch
}

/// Every version of every API, but of these none that is newer. Metrics are asked for by brokers with a plug-in: where they are among these.
fn versions(newest: &[(ApiKey, i16)]) -> ApiVersionsResponse {
    let api = |key: &ApiKey| ApiVersionsApiVersion {
        api_key: *key as i16,
        min_version: key.versions().min,
        max_version: newest.iter().find(|(of, _)| of == key).map_or(key.versions().max, |(_, max)| *max),
    };
    let plug_in = [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry];
    let is_there = |key: &&ApiKey| !plug_in.contains(key) || newest.iter().any(|(of, _)| of == *key);
    let api_keys = ApiKey::ALL.iter().filter(is_there).map(api).collect();
    ApiVersionsResponse { api_keys, ..Default::default() }
}

/// An answer by which these topics exist, and no others. If the first topic's id is all ones, the next one's is all twos.
fn metadata(
    request: &MetadataRequest,
    hosts: &[&str],
    topics: &[&str],
    first_id: u8,
    partitions: i32,
    (leader_id, leader_epoch): (i32, i32),
) -> MetadataResponse {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id,
        leader_epoch,
        replica_nodes: vec![leader_id],
        isr_nodes: vec![leader_id],
        ..Default::default()
    };
    let named = |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() };
    let all: Vec<_> = topics.iter().map(named).collect();
    let topic = |asked: &MetadataRequestTopic| {
        let known = (first_id..).zip(topics).map(|(number, name)| (TopicId([number; 16]), *name));
        match known
            .into_iter()
            .find(|(id, name)| asked.name.as_deref() == Some(name) || asked.topic_id == *id)
        {
            Some((topic_id, name)) => MetadataResponseTopic {
                name: Some(name.to_owned()),
                topic_id,
                partitions: (0..partitions).map(partition).collect(),
                ..Default::default()
            },
            None => MetadataResponseTopic {
                name: asked.name.clone(),
                error_code: match asked.name.as_deref() {
                    Some("forbidden") => ErrorCode::TopicAuthorizationFailed,
                    _ => ErrorCode::UnknownTopicOrPartition,
                },
                ..Default::default()
            },
        }
    };
    let asked = request.topics.as_ref().unwrap_or(&all);
    let by_ids = asked.iter().any(|topic| topic.name.is_none());
    // As Kafka does: names beside ids are left out.
    let topics = asked.iter().filter(|topic| !by_ids || topic.name.is_none()).map(topic).collect();
    let broker = |(node_id, host): (i32, &&str)| MetadataResponseBroker {
        node_id,
        host: (*host).to_owned(),
        port: 9092,
        ..Default::default()
    };
    MetadataResponse { brokers: (1..).zip(hosts).map(broker).collect(), topics, ..Default::default() }
}

fn coordinator(node_id: i32, host: &str) -> FindCoordinatorResponse {
    let found =
        FindCoordinatorCoordinator { node_id, host: host.to_owned(), port: 9092, ..Default::default() };
    FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }
}

fn joined(generation_id: i32) -> JoinGroupResponse {
    JoinGroupResponse {
        generation_id,
        protocol_name: Some("range".to_owned()),
        leader: "leader".to_owned(),
        member_id: "me".to_owned(),
        ..Default::default()
    }
}

fn join_refused(error_code: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { error_code, member_id: "given".to_owned(), ..Default::default() }
}

fn assigned(partitions: &[i32]) -> SyncGroupResponse {
    let partitions = partitions.iter().map(|partition| at(*partition)).collect();
    let assignment = Assignment { partitions, user_data: None };
    SyncGroupResponse { assignment: assignment.encode(), ..Default::default() }
}

/// The partitions that a leader assigns to each member.
fn shared_out(sync: &Sent) -> Vec<(&str, Vec<TopicPartition>)> {
    let Request::SyncGroup(request) = &sync.request else { panic!("{sync:?}") };
    let share = |a: &SyncGroupRequestAssignment| Assignment::decode(&a.assignment).unwrap().partitions;
    request.assignments.iter().map(|a| (a.member_id.as_str(), share(a))).collect()
}

fn found(partition_index: i32, committed_offset: i64) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions { partition_index, committed_offset, ..Default::default() }
}
