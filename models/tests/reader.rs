//! A reader and its consumer, which see each other's slot and fence without a lock: core's own, with loom's atomics.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a model fails; clippy does not see tests without #[test]"
)]

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use loom::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use ottla_models::{
    Address, Consumer, ConsumerConfig, Fetched, Filter, GroupConfig, HoldsBytes, Look, Machine, Outbound,
    Planted, Reader, ReaderConfig, Reply, SeekTo, TopicPartition, spans,
    sync::{Bug, plant},
};
use ottla_protocol::{
    ApiKey, Now, Request, Response, Timestamp, TopicId,
    codec::RecordData,
    messages::*,
    records::{BatchBuilder, Compression, Compressor, Header},
};

/// The records of the slice that the reader has at hand.
const RECORDS: usize = 3;
/// What a thread of a model has.
const STACK: usize = 1 << 18;

#[derive(Debug, Clone)]
struct Frame(Arc<Vec<u8>>);

impl HoldsBytes for Frame {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn start() -> Now {
    Now { mono: Instant::now(), wall: Timestamp(1_000_000) }
}

/// A consumer that reads one partition and commits by itself, and the first offset of each commit that it asks for.
struct World {
    consumer: Consumer<Frame>,
    now: Now,
    has_sent: bool,
    commits: Vec<i64>,
}

impl World {
    /// The reader has a slice at hand, and its user the first record of it.
    fn reading(bug: Option<Planted>) -> (Self, Reader<Frame>) {
        let now = start();
        let seeds = vec![Address { host: "broker".to_owned(), port: 9092 }];
        let config = ConsumerConfig {
            group: Some(GroupConfig::new("g")),
            auto_commit: Some(Duration::from_secs(5)),
            ..ConsumerConfig::new(seeds)
        };
        let mut consumer = Consumer::new(config, now);
        if let Some(bug) = bug {
            consumer.plant(bug);
        }
        let config = ReaderConfig { check_crcs: false, max_decompressed: 1 << 20 };
        let mut reader = Reader::new(&mut consumer, config, now);
        let mut world = Self { consumer, now, has_sent: false, commits: Vec::new() };
        world.consumer.assign([partition()], now).unwrap();
        world.run();
        let look = reader.look(&mut world.consumer, &Filter::All, now);
        assert!(matches!(look, Some(Look::Read)), "{look:?}");
        assert_eq!(reader.advance().unwrap().span.offset, 0);
        world.run();
        (world, reader)
    }

    /// Carries out all that the consumer wants to do.
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
        let response = match request {
            Request::ApiVersions(_) => versions().into(),
            Request::Metadata(_) => metadata().into(),
            Request::FindCoordinator(_) => coordinator().into(),
            Request::OffsetFetch(asked) => committed(asked).into(),
            Request::Fetch(_) if !self.has_sent => {
                self.has_sent = true;
                let (response, fetched) = fetched();
                return Some((response, Some(fetched)));
            }
            Request::OffsetCommit(asked) => {
                self.commits.push(asked.topics[0].partitions[0].committed_offset);
                return None;
            }
            _ => return None,
        };
        Some((response, None))
    }

    /// The offset that is committed once it is time for that.
    fn commit(&mut self) -> Option<i64> {
        self.now = self.now.after(Duration::from_secs(6));
        self.consumer.handle_timeout(self.now);
        self.run();
        self.commits.last().copied()
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

fn coordinator() -> FindCoordinatorResponse {
    let found = FindCoordinatorCoordinator {
        node_id: 1,
        host: "broker".to_owned(),
        port: 9092,
        ..Default::default()
    };
    FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }
}

fn committed(asked: &OffsetFetchRequest) -> OffsetFetchResponse {
    let topic = |topic: &OffsetFetchRequestTopics| OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: vec![OffsetFetchResponsePartitions::default()],
    };
    let topics = asked.groups[0].topics.iter().flatten().map(topic).collect();
    let group = OffsetFetchResponseGroup { group_id: "g".to_owned(), topics, ..Default::default() };
    OffsetFetchResponse { groups: vec![group], ..Default::default() }
}

fn fetched() -> (Response, Fetched<Frame>) {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    for _ in 0..RECORDS {
        builder.append(1, None, Some(b"value"), [] as [Header<'_>; 0]).unwrap();
    }
    let frame = builder.finish(&mut Compressor::new());
    let partition = FetchPartitionResponse {
        high_watermark: 1000,
        records: Some(RecordData::InFrame(0..frame.len() as u32)),
        ..Default::default()
    };
    let topic =
        FetchTopicResponse { topic_id: TopicId([1; 16]), partitions: vec![partition], ..Default::default() };
    let response: Response =
        FetchResponse { session_id: 5, responses: vec![topic], ..Default::default() }.into();
    let fetched =
        Fetched { size: frame.len(), spans: spans(&response, &frame), frame: Frame(Arc::new(frame)) };
    (response, fetched)
}

/// A thread of the model with room for all that core does: loom's own have little.
fn spawn(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap()
}

/// The user works on each record while the consumer commits.
fn what_is_committed_was_worked_on() {
    let (mut world, mut reader) = World::reading(None);
    let work: Arc<[AtomicU64; RECORDS]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
    let done = work.clone();
    let user = spawn(move || {
        for work in &done[..RECORDS - 1] {
            work.store(1, Ordering::Relaxed);
            assert!(reader.next_at_hand().is_some());
        }
    });
    let committed = world.commit().unwrap_or_default() as usize;
    for (offset, work) in work.iter().enumerate().take(committed) {
        assert_eq!(work.load(Ordering::Relaxed), 1, "{offset} is committed, and nobody has worked on it");
    }
    user.join().unwrap();
}

/// The partition is paused in another thread; who knows that receives nothing more of it.
fn a_reader_that_was_told_to_look_hands_out_nothing_in_passing() {
    let (mut world, mut reader) = World::reading(None);
    let now = world.now;
    let is_paused = Arc::new(AtomicBool::new(false));
    let told = is_paused.clone();
    let user = spawn(move || {
        for _ in 1..RECORDS {
            let is_paused = told.load(Ordering::Acquire);
            let handed = reader.next_at_hand();
            assert!(!is_paused || handed.is_none(), "a paused partition's record was handed out");
        }
    });
    world.consumer.set_paused(&partition(), true, now);
    is_paused.store(true, Ordering::Release);
    user.join().unwrap();
}

/// The position is moved while the user goes on in the slice, who then looks. What was handed out meanwhile counts for nothing.
fn a_position_that_was_moved_stays_where_it_was_moved_to(bug: Option<Planted>) {
    let (world, mut reader) = World::reading(bug);
    let now = world.now;
    let world = Arc::new(Mutex::new(world));
    let shared = world.clone();
    let user = spawn(move || {
        for _ in 1..RECORDS {
            if reader.next_at_hand().is_none() {
                break;
            }
        }
        reader.look(&mut shared.lock().unwrap().consumer, &Filter::All, now);
    });
    assert!(world.lock().unwrap().consumer.seek(&partition(), SeekTo::Offset(100), now));
    user.join().unwrap();
    let mut world = world.lock().unwrap();
    assert_eq!(world.consumer.position(&partition()), Some(100));
    assert!(matches!(world.commit(), None | Some(100)), "{:?}", world.commits);
}

/// Whether the model fails with this bug in the atomics.
fn fails(bug: Option<Bug>, model: impl Fn() + Copy + Sync + Send + 'static) -> bool {
    plant(bug);
    let ran = catch_unwind(AssertUnwindSafe(|| loom::model(move || spawn(model).join().unwrap())));
    plant(None);
    ran.is_err()
}

#[test]
fn what_is_committed_was_worked_on_in_every_order() {
    assert!(!fails(None, what_is_committed_was_worked_on));
    assert!(fails(Some(Bug::SlotIsRelaxed), what_is_committed_was_worked_on));
}

#[test]
fn nothing_is_handed_out_in_passing_once_the_fence_has_moved_in_every_order() {
    assert!(!fails(None, a_reader_that_was_told_to_look_hands_out_nothing_in_passing));
    assert!(fails(Some(Bug::FenceStays), a_reader_that_was_told_to_look_hands_out_nothing_in_passing));
}

#[test]
fn a_position_that_was_moved_stays_where_it_was_moved_to_in_every_order() {
    assert!(!fails(None, || a_position_that_was_moved_stays_where_it_was_moved_to(None)));
    let bug = Some(Planted::SeekKeepsEpoch);
    assert!(fails(None, move || a_position_that_was_moved_stays_where_it_was_moved_to(bug)));
}
