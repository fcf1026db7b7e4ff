//! What every connection can rely on, whatever it asks.

use ottla_broker::{Config, VersionSet};
use ottla_protocol::{
    ApiKey, ErrorCode, RequestHeader,
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, MetadataRequest,
        MetadataResponse, ProduceResponse,
    },
};

use crate::common::{World, answered, batch, config, millis, produce, produced};

fn raw(key: i16, version: i16) -> Vec<u8> {
    [&key.to_be_bytes()[..], &version.to_be_bytes(), &77i32.to_be_bytes(), &(-1i16).to_be_bytes()].concat()
}

fn advertised(config: Config) -> ApiVersionsResponse {
    let mut world = World::new(config);
    let conn = world.connect(1);
    world.ask(
        conn,
        3,
        ApiVersionsRequest {
            client_software_name: "x".into(),
            client_software_version: "1".into(),
            ..Default::default()
        },
    )
}

#[test]
fn api_versions_lists_what_is_spoken_and_produce_from_0() {
    let versions = advertised(Config::default());
    assert_eq!(versions.error_code, ErrorCode::None);
    let of = |key: ApiKey| {
        let api = versions.api_keys.iter().find(|api| api.api_key == key as i16).unwrap();
        (api.min_version, api.max_version)
    };
    assert_eq!(versions.api_keys.len(), answered().len());
    assert_eq!(of(ApiKey::Produce), (0, 13));
    assert_eq!(of(ApiKey::Fetch), (4, 18));
    assert_eq!(of(ApiKey::OffsetCommit), (2, 10));
}

#[test]
fn the_versions_of_kafka_3_9_end_earlier() {
    let versions = advertised(Config { versions: VersionSet::Kafka3_9, ..Config::default() });
    let max =
        |key: ApiKey| versions.api_keys.iter().find(|api| api.api_key == key as i16).unwrap().max_version;
    assert_eq!((max(ApiKey::Produce), max(ApiKey::Fetch), max(ApiKey::ListOffsets)), (11, 17, 9));
}

#[test]
fn the_consumer_protocol_is_off_in_kafka_3_9_and_in_its_first_version_once_it_is_on() {
    let max = |versions, consumer_protocol| {
        let versions = advertised(Config { versions, consumer_protocol, ..Config::default() });
        let key = ApiKey::ConsumerGroupHeartbeat as i16;
        versions.api_keys.iter().find(|api| api.api_key == key).map(|api| api.max_version)
    };
    assert_eq!((max(VersionSet::Kafka3_9, None), max(VersionSet::Kafka3_9, Some(true))), (None, Some(0)));
    assert_eq!((max(VersionSet::Kafka4_3, None), max(VersionSet::Kafka4_3, Some(false))), (Some(1), None));
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let mut world = World::new(Config::default());
    let conn = world.connect(1);
    world.cluster.handle_frame(conn, raw(18, 99), world.now);
    let Some(ottla_broker::Output::Reply { frame, .. }) = world.cluster.poll_output() else {
        panic!("a reply")
    };
    assert_eq!(frame[4..10], [0, 0, 0, 77, 0, 35]);
    // The connection goes on.
    world.ask(conn, 0, ApiVersionsRequest::default());
}

#[test]
fn a_software_name_with_spaces_is_an_invalid_request() {
    let mut world = World::new(Config::default());
    let conn = world.connect(1);
    let request = ApiVersionsRequest {
        client_software_name: "a b".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    assert_eq!(world.ask(conn, 3, request).error_code, ErrorCode::InvalidRequest);
}

#[test]
fn what_is_not_spoken_closes_the_connection() {
    for frame in [raw(3, 99), raw(1000, 0), raw(0, 2), raw(3, 1), vec![1, 2, 3], vec![]] {
        let mut world = World::new(Config::default());
        let conn = world.connect(1);
        world.cluster.handle_frame(conn, frame, world.now);
        world.drain();
        assert!(world.is_closed(conn));
    }
}

#[test]
fn a_connection_to_no_broker_is_closed() {
    let mut world = World::new(Config::default());
    let conn = world.connect(9);
    assert!(world.is_closed(conn));
}

#[test]
fn requests_behind_a_held_one_wait_and_are_answered_in_order() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let wait = FetchRequest { max_wait_ms: 500, min_bytes: 1, session_epoch: -1, ..common_fetch("t") };
    world.send(conn, 12, wait);
    world.send(conn, 12, MetadataRequest::default());
    assert!(world.reply::<FetchResponse>(conn).is_none());
    world.pass(millis(500));
    assert!(world.reply::<FetchResponse>(conn).is_some());
    assert!(world.reply::<MetadataResponse>(conn).is_some());
}

#[test]
fn a_connection_that_sends_without_end_behind_a_held_request_is_closed() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    world.send(
        conn,
        12,
        FetchRequest { max_wait_ms: 500, min_bytes: 1, session_epoch: -1, ..common_fetch("t") },
    );
    for _ in 0..1000 {
        world.send(conn, 12, MetadataRequest::default());
    }
    assert!(world.is_closed(conn));
}

#[test]
fn a_produce_without_acknowledgement_is_not_answered_and_the_next_request_is() {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    let mut quiet = produce("t", 0, batch(2));
    quiet.acks = 0;
    world.send(conn, 9, quiet);
    assert!(world.reply::<ProduceResponse>(conn).is_none());
    assert_eq!(produced(&world.ask(conn, 9, produce("t", 0, batch(1)))), (ErrorCode::None, 2));
}

#[test]
fn a_produce_without_acknowledgement_that_fails_closes_the_connection() {
    let mut world = World::new(config(&[]));
    let conn = world.connect(1);
    let mut quiet = produce("t", 0, batch(2));
    quiet.acks = 0;
    world.send(conn, 9, quiet);
    assert!(world.is_closed(conn));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut world = World::new(Config { seed, ..config(&[("t", 3)]) });
        let conn = world.connect(1);
        world.ask(conn, 12, MetadataRequest { topics: None, ..Default::default() })
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn no_prefix_of_a_request_does_harm() {
    let header = RequestHeader { key: ApiKey::Fetch, version: 12, correlation_id: 1, client_id: None };
    let frame = header.encode(&common_fetch("t").into());
    for end in 0..frame.len() - 4 {
        let mut world = World::new(config(&[("t", 1)]));
        let conn = world.connect(1);
        world.cluster.handle_frame(conn, frame[4..4 + end].to_vec(), world.now);
        world.drain();
        assert!(world.is_closed(conn));
    }
}

fn common_fetch(topic: &str) -> FetchRequest {
    crate::common::fetch(&[(topic, 0, 0)])
}
