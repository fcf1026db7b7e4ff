//! The driver and its connections against a peer that follows a script, with a machine that has one connection, asks
//! one question on it, and writes down what it hears.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ottla_core::{
    Address, ConnId, Disconnected, Done, HoldsBytes, Machine, Outbound, RefusedConnection, Reply, RequestId,
    SetupStage,
};
use ottla_protocol::{
    ApiKey, Now, Request, Response, ResponseHeader,
    codec::RecordData,
    messages::{
        ApiVersionsApiVersion, ApiVersionsRequest, ApiVersionsResponse, FetchPartitionResponse, FetchRequest,
        FetchResponse, FetchTopicResponse, ProducePartitionData, ProduceRequest, ProduceTopicData,
    },
    records::{BatchBuilder, Compression},
};

use super::{connection::Limits, frame_pool::Frame};
use crate::{
    driver::{Driver, DriverConfig},
    shared::Ended,
};

const CONN: ConnId = ConnId(1);
const ID: RequestId = RequestId(7);
const RECEIVE_MAX: usize = 8 << 20;

struct Asker {
    request: Option<(i16, Request)>,
    out: VecDeque<Outbound>,
    patience: Option<Instant>,
    reply: Option<Reply<Arc<Frame>>>,
    lost: Option<Disconnected>,
    released: usize,
    turns: usize,
    wake: bool,
    stir: bool,
    panics: bool,
}

impl Asker {
    fn new(host: &str, port: u16, version: i16, request: impl Into<Request>) -> Self {
        Self {
            request: Some((version, request.into())),
            out: [Outbound::Connect { conn: CONN, host: host.to_owned(), port }].into(),
            patience: None,
            reply: None,
            lost: None,
            released: 0,
            turns: 0,
            wake: false,
            stir: false,
            panics: false,
        }
    }
}

impl Machine for Asker {
    type Frame = Arc<Frame>;

    fn handle_connected(&mut self, conn: ConnId, _: Now) {
        let (version, request) = self.request.take().unwrap();
        self.out.push_back(Outbound::Send { conn, id: ID, version, request });
    }

    fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, _: Now) {
        assert_eq!(conn, CONN);
        self.lost = Some(why);
        self.wake = true;
    }

    fn handle_reply(&mut self, conn: ConnId, reply: Reply<Arc<Frame>>, _: Now) {
        assert_eq!(conn, CONN);
        self.reply = Some(reply);
        self.wake = true;
    }

    fn handle_done(&mut self, _: ConnId, _: Done, _: Now) {
        unreachable!("nothing is run");
    }

    fn handle_timeout(&mut self, _: Now) {
        assert!(!self.panics, "planted");
        self.patience = None;
        self.out.push_back(Outbound::Close { conn: CONN });
        self.lost = Some(Disconnected::TimedOut(ApiKey::ApiVersions));
        self.wake = true;
    }

    fn poll_send(&mut self, _: Now) -> Option<Outbound> {
        let next = self.out.pop_front();
        self.turns += usize::from(next.is_none());
        next
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.patience
    }

    fn handle_released(&mut self, bytes: usize) {
        self.released += bytes;
        self.wake = true;
    }

    fn first_contact(&self, _: Now) -> Option<(Address, SetupStage)> {
        None
    }

    fn refusal(&self, _: Now) -> Option<RefusedConnection> {
        None
    }

    fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.wake)
    }

    fn take_stir(&mut self) -> bool {
        std::mem::take(&mut self.stir)
    }

    fn is_closed(&self) -> bool {
        self.lost.is_some()
    }
}

fn drive(asker: Asker, ambient: bool) -> Driver<Asker> {
    driven(asker, ambient, RECEIVE_MAX)
}

fn driven(asker: Asker, ambient: bool, receive_max: usize) -> Driver<Asker> {
    let limits = Limits { receive_max, setup_timeout: Duration::from_secs(10) };
    let thread = "ottla-test".to_owned();
    let (client_id, frame_pool, span) = (None, 1 << 20, tracing::Span::none());
    let span_of_calls = span.clone();
    let (tokens, opening) = (None, Default::default());
    let config =
        DriverConfig { opening, thread, ambient, client_id, limits, frame_pool, tokens, span, span_of_calls };
    Driver::spawn(asker, config).unwrap()
}

/// A peer that reads one request and then does as told.
fn peer(then: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request).unwrap();
        then(stream);
    });
    port
}

fn ask(port: u16) -> Asker {
    Asker::new("127.0.0.1", port, 3, ApiVersionsRequest::default())
}

async fn outcome(driver: Driver<Asker>) -> Disconnected {
    let lost = driver.shared().wait(|asker, _| asker.lost.clone()).await.unwrap();
    driver.join().await;
    lost
}

async fn outcome_of(answer: &'static [u8]) -> Disconnected {
    outcome_within(RECEIVE_MAX, answer).await
}

async fn outcome_within(receive_max: usize, answer: &'static [u8]) -> Disconnected {
    let port = peer(move |mut stream| {
        stream.write_all(answer).unwrap();
        // Stays open until the client has gone: it is the answer that ends the connection.
        stream.read_to_end(&mut Vec::new()).ok();
    });
    outcome(driven(ask(port), false, receive_max)).await
}

fn not_kafka(what: &str) -> Disconnected {
    Disconnected::NotKafka(what.to_owned())
}

#[tokio::test]
async fn an_http_servers_answer_is_recognised() {
    let lost = outcome_of(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    assert_eq!(lost, not_kafka("an HTTP server's answer"));
}

#[tokio::test]
async fn a_tls_alert_is_recognised() {
    let lost = outcome_of(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]).await;
    assert_eq!(lost, not_kafka("a TLS alert: the port speaks TLS; set security.protocol to SSL or SASL_SSL"));
}

#[tokio::test]
async fn another_protocols_greeting_is_quoted() {
    assert_eq!(outcome_of(b"SSH-2.0-OpenSSH_9.6\r\n").await, not_kafka("it begins with the text `SSH-`"));
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused() {
    let lost = outcome_of(&[0x7f, 0xff, 0xff, 0xff]).await;
    assert_eq!(lost, not_kafka("it announces 2147483647 bytes, 8388608 are the limit"));
    assert_eq!(outcome_of(&[0xff; 4]).await, not_kafka("it announces -1 bytes, 8388608 are the limit"));
    // One that has as many bytes as are allowed is read: it answers another request.
    let answer = &[0, 0, 0, 6, 0, 0, 0, 9, 0, 0];
    assert_eq!(outcome_within(6, answer).await, not_kafka("it answers request 9 where 7 was asked"));
    assert_eq!(outcome_within(5, answer).await, not_kafka("it announces 6 bytes, 5 are the limit"));
}

#[tokio::test]
async fn an_answer_to_another_request_is_refused() {
    let lost = outcome_of(&[0, 0, 0, 6, 0, 0, 0, 9, 0, 0]).await;
    assert_eq!(lost, not_kafka("it answers request 9 where 7 was asked"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_names_the_api() {
    let lost = outcome_of(&[0, 0, 0, 6, 0, 0, 0, 7, 0, 0]).await;
    assert!(matches!(lost, Disconnected::Undecodable(ApiKey::ApiVersions, _)), "{lost:?}");
}

#[tokio::test]
async fn a_peer_that_closes_has_closed() {
    let port = peer(|stream| stream.shutdown(Shutdown::Both).unwrap());
    assert_eq!(outcome(drive(ask(port), false)).await, Disconnected::Closed);
    let within_a_frame = peer(|mut stream| stream.write_all(&[0, 0, 0, 9, 0, 0]).unwrap());
    assert_eq!(outcome(drive(ask(within_a_frame), false)).await, Disconnected::Closed);
}

#[tokio::test]
async fn silence_is_ended_by_the_machines_deadline() {
    let port = peer(|mut stream| assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed by the client"));
    let mut asker = ask(port);
    asker.patience = Some(Instant::now() + Duration::from_millis(50));
    let lost = outcome(drive(asker, false)).await;
    assert_eq!(lost, Disconnected::TimedOut(ApiKey::ApiVersions));
}

#[tokio::test]
async fn nobody_at_the_port_names_the_address() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let lost = outcome(drive(ask(port), false)).await;
    let Disconnected::Refused(why) = lost else { panic!("{lost:?}") };
    assert!(why.starts_with(&format!("127.0.0.1:{port}: ")), "{why}");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let port = peer(drop);
    let asker = Asker::new("localhost", port, 3, ApiVersionsRequest::default());
    assert_eq!(outcome(drive(asker, false)).await, Disconnected::Closed);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_unresolved() {
    let asker = Asker::new("no such host", 9092, 3, ApiVersionsRequest::default());
    let lost = outcome(drive(asker, false)).await;
    assert!(matches!(&lost, Disconnected::Unresolved(why) if why.starts_with("no such host: ")), "{lost:?}");
}

#[tokio::test]
async fn an_answer_arrives_whole_on_the_ambient_runtime_too() {
    for ambient in [false, true] {
        let port = peer(|mut stream| {
            let header = ResponseHeader { key: ApiKey::ApiVersions, version: 3, correlation_id: ID.0 };
            let answer = header.encode(&ApiVersionsResponse::default().into());
            for byte in answer {
                stream.write_all(&[byte]).unwrap();
            }
        });
        let driver = drive(ask(port), ambient);
        let reply = driver.shared().wait(|asker, _| asker.reply.take()).await.unwrap();
        assert_eq!(reply.id, ID);
        assert_eq!(reply.response, ApiVersionsResponse::default().into());
        assert!(reply.fetched.is_none());
        outcome(driver).await;
    }
}

#[tokio::test]
async fn a_fetch_keeps_its_frame_until_it_is_dropped() {
    let records: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
    let expected = records.clone();
    let port = peer(move |mut stream| {
        let partition =
            FetchPartitionResponse { records: Some(RecordData::Owned(records)), ..Default::default() };
        let topic = FetchTopicResponse { partitions: vec![partition], ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };
        let header = ResponseHeader { key: ApiKey::Fetch, version: 12, correlation_id: ID.0 };
        stream.write_all(&header.encode(&response.into())).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let driver = drive(Asker::new("127.0.0.1", port, 12, FetchRequest::default()), false);
    let shared = driver.shared().clone();
    let reply = shared.wait(|asker, _| asker.reply.take()).await.unwrap();
    let (Response::Fetch(response), Some(fetched)) = (reply.response, reply.fetched) else {
        panic!("no fetch")
    };
    let records = response.responses[0].partitions[0].records.as_ref().unwrap();
    assert_eq!(records.bytes(fetched.frame.bytes()), expected);
    assert_eq!(fetched.size, fetched.frame.bytes().len());
    assert_eq!(fetched.spans.len(), 1);
    assert_eq!(shared.inspect(|asker| asker.released), 0);
    drop(fetched.frame);
    let released = shared.wait(|asker, _| Some(asker.released).filter(|bytes| *bytes > 0)).await.unwrap();
    assert_eq!(released, fetched.size);
    shared.with(|asker, _| {
        asker.lost = Some(Disconnected::Closed);
        asker.stir = true;
    });
    driver.join().await;
}

#[tokio::test]
async fn a_buffer_that_no_frame_has_use_for_goes_while_the_driver_has_turns() {
    let port = peer(|mut stream| {
        let header = ResponseHeader { key: ApiKey::ApiVersions, version: 3, correlation_id: ID.0 };
        let api_keys = vec![ApiVersionsApiVersion::default(); 10_000];
        let answer = ApiVersionsResponse { api_keys, ..Default::default() };
        stream.write_all(&header.encode(&answer.into())).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let driver = drive(ask(port), false);
    let shared = driver.shared().clone();
    shared.wait(|asker, _| asker.reply.take()).await.unwrap();
    let goes = async {
        while shared.frames().held() > 0 {
            shared.with(|asker, _| asker.stir = true);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), goes).await.unwrap();
    shared.with(|asker, _| {
        asker.lost = Some(Disconnected::Closed);
        asker.stir = true;
    });
    driver.join().await;
}

#[tokio::test]
async fn a_batch_is_compressed_with_the_machine_not_locked() {
    let mut builder = BatchBuilder::new(Compression::Lz4, 1 << 10);
    builder.append(0, None, Some(b"v"), []).unwrap();
    let data = ProducePartitionData { index: 0, records: Some(RecordData::Closed(builder.close())) };
    let topic = ProduceTopicData { partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks: 1, topic_data: vec![topic], ..Default::default() };
    let port = peer(drop);
    // All on one thread: nobody else locks it.
    let driver = drive(Asker::new("127.0.0.1", port, 12, request), true);
    let shared = driver.shared().clone();
    outcome(driver).await;
    assert_eq!(shared.was_locked(), [false]);
}

#[tokio::test]
async fn a_driver_that_panics_leaves_nobody_waiting() {
    let port = peer(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let mut asker = ask(port);
    asker.panics = true;
    asker.patience = Some(Instant::now() + Duration::from_millis(50));
    let driver = drive(asker, false);
    assert_eq!(driver.shared().wait(|_, _| None::<()>).await, Err(Ended));
    assert!(driver.shared().is_ended());
    driver.join().await;
}

#[tokio::test]
async fn a_users_panic_within_the_machine_ends_the_driver() {
    let port = peer(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let driver = drive(ask(port), false);
    let shared = driver.shared().clone();
    let change = move || shared.with(|_, _| panic!("planted"));
    thread::spawn(change).join().unwrap_err();
    assert_eq!(driver.shared().wait(|_, _| None::<()>).await, Err(Ended));
    driver.join().await;
}

#[tokio::test]
async fn a_wait_that_was_cancelled_takes_nothing() {
    let port = peer(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let driver = drive(ask(port), false);
    let shared = driver.shared().clone();
    let cancelled = shared.wait(|asker, _| asker.lost.take());
    assert!(tokio::time::timeout(Duration::from_millis(20), cancelled).await.is_err());
    shared.with(|asker, _| {
        asker.lost = Some(Disconnected::Closed);
        (asker.wake, asker.stir) = (true, true);
    });
    assert_eq!(outcome(driver).await, Disconnected::Closed);
}

#[tokio::test]
async fn a_call_wakes_the_driver_only_where_it_left_something_to_do() {
    let port = peer(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let driver = drive(ask(port), false);
    let shared = driver.shared().clone();
    let pause = || tokio::time::sleep(Duration::from_millis(1));
    // Far enough apart that each would be seen.
    for _ in 0..100 {
        shared.with(|_, _| ());
        pause().await;
    }
    let turns = shared.inspect(|asker| asker.turns);
    assert!(turns < 20, "{turns} turns for one connection and one request");

    shared.with(|asker, _| (asker.lost, asker.stir) = (Some(Disconnected::Closed), true));
    driver.join().await;
}
