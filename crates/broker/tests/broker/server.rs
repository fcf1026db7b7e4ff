//! The server: what only sockets can show.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use ottla_broker::{Config, Fault, Listen, Sasl, SaslMechanism, Server, TopicSpec};
use ottla_protocol::{
    ApiKey, Request, RequestHeader, Response, ResponseHeader,
    messages::{FetchPartition, FetchRequest, FetchTopic, MetadataRequest},
};

fn start(brokers: u32) -> Server {
    let config = Config { brokers, topics: vec![TopicSpec::new("t", 3)], ..Config::default() };
    Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn send(stream: &mut TcpStream, version: i16, request: impl Into<Request>) {
    let request = request.into();
    let header = RequestHeader { key: request.key(), version, correlation_id: 5, client_id: None };
    stream.write_all(&header.encode(&request)).unwrap();
}

fn receive(stream: &mut TcpStream, key: ApiKey, version: i16) -> Response {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    ResponseHeader::decode(key, version, &frame).unwrap().1
}

fn metadata(stream: &mut TcpStream) -> ottla_protocol::messages::MetadataResponse {
    send(stream, 9, MetadataRequest::default());
    let Response::Metadata(response) = receive(stream, ApiKey::Metadata, 9) else { panic!("metadata") };
    response
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_))
}

#[test]
fn each_broker_has_a_port_that_metadata_tells() {
    let server = start(3);
    let told = metadata(&mut connect(server.addresses()[2]));
    let ports: Vec<i32> = told.brokers.iter().map(|broker| broker.port).collect();
    let bound: Vec<i32> = server.addresses().iter().map(|address| address.port().into()).collect();
    assert_eq!((ports, told.brokers[0].host.as_str()), (bound, "127.0.0.1"));
    assert_eq!(server.bootstrap().split(',').count(), 3);
}

#[test]
fn only_loopback_is_listened_on_unless_told_otherwise() {
    let error = Server::start_on_thread(Config::default(), ([0, 0, 0, 0], 0)).unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
    let anywhere = Listen::Anywhere {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        advertised_host: "localhost".into(),
    };
    let server = Server::start_on_thread(Config::default(), anywhere).unwrap();
    assert!(server.bootstrap().starts_with("localhost:"));
}

#[test]
fn pipelined_requests_are_answered_in_order_however_many_there_are() {
    let server = start(1);
    let mut stream = connect(server.addresses()[0]);
    let mut writer = stream.try_clone().unwrap();
    let sending =
        std::thread::spawn(move || (0..2000).for_each(|_| send(&mut writer, 9, MetadataRequest::default())));
    for _ in 0..2000 {
        receive(&mut stream, ApiKey::Metadata, 9);
    }
    sending.join().unwrap();
}

#[test]
fn garbage_closes_the_connection_and_harms_nobody_else() {
    let server = start(1);
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x7f, 0xff, 0xff, 0xff], &[0, 0, 0, 2, 1, 1], &[0, 0, 0, 0]]
    {
        let mut stream = connect(server.addresses()[0]);
        stream.write_all(garbage).unwrap();
        assert!(is_closed(&mut stream));
    }
    metadata(&mut connect(server.addresses()[0]));
}

#[test]
fn a_frame_that_is_too_large_before_authentication_is_not_read() {
    let config = Config { sasl: Some(Sasl::new([SaslMechanism::Plain])), ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    for length in [524_289u32, 0xFFFF_FFFF] {
        let mut stream = connect(server.addresses()[0]);
        let begun = Instant::now();
        stream.write_all(&length.to_be_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }
}

#[test]
fn a_fetch_is_held_for_its_time_by_a_real_clock_and_woken_by_an_append() {
    let server = start(1);
    let mut stream = connect(server.addresses()[0]);
    let partitions = vec![FetchPartition { partition_max_bytes: 1000, ..Default::default() }];
    let topics = vec![FetchTopic { topic: "t".into(), partitions, ..Default::default() }];
    let fetch =
        FetchRequest { max_wait_ms: 300, min_bytes: 1, session_epoch: -1, topics, ..Default::default() };
    let begun = Instant::now();
    send(&mut stream, 12, fetch.clone());
    receive(&mut stream, ApiKey::Fetch, 12);
    assert!(begun.elapsed() >= Duration::from_millis(300));

    send(&mut stream, 12, FetchRequest { max_wait_ms: 60_000, ..fetch });
    let mut batch =
        ottla_protocol::records::BatchBuilder::new(ottla_protocol::records::Compression::None, 1000);
    batch.append(1, None, Some(b"value"), []).unwrap();
    let batch = batch.finish(&mut ottla_protocol::records::Compressor::new());
    let now = server.now();
    server.with_cluster(|cluster| cluster.append("t", 0, &batch, now)).unwrap();
    let Response::Fetch(response) = receive(&mut stream, ApiKey::Fetch, 12) else { panic!("fetch") };
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
}

#[test]
fn a_scripted_disconnect_closes_the_socket() {
    let server = start(1);
    let mut stream = connect(server.addresses()[0]);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::Metadata).then(Fault::Disconnect));
    send(&mut stream, 9, MetadataRequest::default());
    assert!(is_closed(&mut stream));
}

#[test]
fn dropping_the_server_closes_its_connections_and_frees_its_ports() {
    let server = start(1);
    let address = server.addresses()[0];
    let mut stream = connect(address);
    metadata(&mut stream);
    drop(server);
    assert!(is_closed(&mut stream));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_server_in_the_callers_runtime_stops_when_told() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(Config::default(), ([127, 0, 0, 1], 0)).await.unwrap();
        let address = server.addresses()[0];
        let mut stream = connect(address);
        let told = tokio::task::spawn_blocking(move || (metadata(&mut stream), stream)).await.unwrap();
        assert_eq!(told.0.brokers.len(), 1);
        server.stop().await;
        assert!(TcpStream::connect(address).is_err());
    });
}
