//! Produce: what is appended, what is refused, and that a retry is no second copy.

use ottla_broker::{Config, TopicSpec};
use ottla_protocol::{
    ErrorCode, TopicId,
    messages::{InitProducerIdRequest, ProduceRequest},
    records::{self, Compression},
};

use crate::common::{World, batch, batch_at, config, produce, produced, sequenced};

fn world() -> (World, ottla_broker::ConnId) {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    (world, conn)
}

fn code(records: Vec<u8>) -> ErrorCode {
    let (mut world, conn) = world();
    let (code, offset) = produced(&world.ask(conn, 9, produce("t", 0, records)));
    assert_eq!(offset == -1, !code.is_ok());
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(i64::from(code.is_ok())));
    code
}

#[test]
fn batches_get_offsets_one_after_the_other_in_every_version() {
    let (mut world, conn) = world();
    for version in 3..=12 {
        let expected = i64::from(version - 3) * 4;
        assert_eq!(
            produced(&world.ask(conn, version, produce("t", 0, batch(4)))),
            (ErrorCode::None, expected)
        );
    }
}

#[test]
fn topics_are_named_by_id_in_version_13() {
    let (mut world, conn) = world();
    let mut request = produce("", 0, batch(1));
    request.topic_data[0].topic_id = TopicId([1; 16]);
    assert_eq!(produced(&world.ask(conn, 13, request)).0, ErrorCode::UnknownTopicId);
}

#[test]
fn damaged_batches_are_corrupt() {
    let mut flipped = batch(1);
    *flipped.last_mut().unwrap() ^= 1;
    let mut old_magic = batch(1);
    old_magic[16] = 1;
    let cut = batch(1)[..70].to_vec();
    for records in [flipped, old_magic, cut, vec![], vec![0; 20]] {
        assert_eq!(code(records), ErrorCode::CorruptMessage);
    }
}

#[test]
fn batches_that_contradict_themselves_are_invalid() {
    let two = [batch(1), batch(1)].concat();
    assert_eq!(code(two), ErrorCode::InvalidRecord);
    let changed = |change: fn(&mut records::BatchHeader)| {
        let mut bytes = batch(2);
        let mut header = records::BatchHeader::decode(&bytes).unwrap();
        change(&mut header);
        bytes[..61].copy_from_slice(&header.encode());
        // It computes the CRC anew.
        records::set_log_append_time(&mut bytes, 1).unwrap();
        bytes
    };
    assert_eq!(code(changed(|miscounted| miscounted.last_offset_delta = 5)), ErrorCode::InvalidRecord);
    let control = changed(|header| header.attributes |= 1 << 5);
    assert!(records::BatchHeader::decode(&control).unwrap().is_control());
    assert_eq!(code(control), ErrorCode::InvalidRecord);
    assert_eq!(code(batch(1)), ErrorCode::None);
}

#[test]
fn a_batch_beyond_the_limit_is_too_large() {
    let mut world = World::new(Config { max_message_bytes: 100, ..config(&[("t", 1)]) });
    let conn = world.connect(1);
    assert_eq!(produced(&world.ask(conn, 9, produce("t", 0, batch(100)))).0, ErrorCode::MessageTooLarge);
}

#[test]
fn zstd_needs_a_version_whose_readers_know_it() {
    let (mut world, conn) = world();
    let zstd = || produce("t", 0, batch_at(&[1; 50], Compression::Zstd));
    assert_eq!(produced(&world.ask(conn, 6, zstd())).0, ErrorCode::UnsupportedCompressionType);
    assert_eq!(produced(&world.ask(conn, 7, zstd())).0, ErrorCode::None);
}

#[test]
fn acks_are_all_one_or_none() {
    let (mut world, conn) = world();
    for (acks, expected) in [(2, ErrorCode::InvalidRequiredAcks), (1, ErrorCode::None), (-1, ErrorCode::None)]
    {
        let request = ProduceRequest { acks, ..produce("t", 0, batch(1)) };
        assert_eq!(produced(&world.ask(conn, 9, request)).0, expected);
    }
}

#[test]
fn another_broker_than_the_leader_names_it_from_version_10_on() {
    let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
    world.cluster.set_address(1, "one".into(), 1111);
    let conn = world.connect(2);
    let response = world.ask(conn, 10, produce("t", 0, batch(1)));
    assert_eq!(produced(&response).0, ErrorCode::NotLeaderOrFollower);
    assert_eq!(response.responses[0].partition_responses[0].current_leader.leader_id, 1);
    assert_eq!(response.node_endpoints[0].port, 1111);
}

#[test]
fn log_append_time_replaces_the_producers_timestamps() {
    let topic = TopicSpec { log_append_time: true, ..TopicSpec::new("t", 1) };
    let mut world = World::new(Config { topics: vec![topic], ..Config::default() });
    let conn = world.connect(1);
    let response = world.ask(conn, 9, produce("t", 0, batch_at(&[5, 6], Compression::None)));
    assert_eq!(response.responses[0].partition_responses[0].log_append_time_ms, world.now.wall.0);
    let log = world.cluster.log("t", 0).unwrap();
    records::check_crc(&log).unwrap();
    let header = records::BatchHeader::decode(&log).unwrap();
    assert_eq!(header.timestamp_type(), records::TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, world.now.wall.0);
}

// Idempotence (KIP-98).

#[test]
fn each_producer_gets_an_id_of_its_own() {
    let (mut world, conn) = world();
    let first = world.ask(conn, 4, InitProducerIdRequest::default());
    let second = world.ask(conn, 4, InitProducerIdRequest::default());
    assert_eq!((first.error_code, first.producer_epoch), (ErrorCode::None, 0));
    assert_ne!(first.producer_id, second.producer_id);
}

#[test]
fn a_batch_sent_again_is_acknowledged_with_its_first_offset_and_not_appended() {
    let (mut world, conn) = world();
    let mut send =
        |sequence, count| produced(&world.ask(conn, 9, produce("t", 0, sequenced(count, 7, 0, sequence))));
    assert_eq!(send(0, 3), (ErrorCode::None, 0));
    assert_eq!(send(3, 2), (ErrorCode::None, 3));
    assert_eq!(send(0, 3), (ErrorCode::None, 0));
    assert_eq!(send(3, 2), (ErrorCode::None, 3));
    assert_eq!(send(5, 1), (ErrorCode::None, 5));
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(6));
}

#[test]
fn a_gap_in_the_sequence_is_out_of_order() {
    let (mut world, conn) = world();
    let mut send = |sequence| produced(&world.ask(conn, 9, produce("t", 0, sequenced(1, 7, 0, sequence)))).0;
    assert_eq!(send(0), ErrorCode::None);
    assert_eq!(send(2), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(send(1), ErrorCode::None);
}

#[test]
fn only_the_last_five_batches_are_known_as_duplicates() {
    let (mut world, conn) = world();
    let mut send = |sequence| produced(&world.ask(conn, 9, produce("t", 0, sequenced(1, 7, 0, sequence)))).0;
    (0..6).for_each(|sequence| assert_eq!(send(sequence), ErrorCode::None));
    assert_eq!(send(1), ErrorCode::None);
    assert_eq!(send(0), ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn a_newer_epoch_begins_at_zero_and_fences_the_older() {
    let (mut world, conn) = world();
    let mut send =
        |epoch, sequence| produced(&world.ask(conn, 9, produce("t", 0, sequenced(1, 7, epoch, sequence)))).0;
    assert_eq!(send(0, 0), ErrorCode::None);
    assert_eq!(send(1, 1), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(send(1, 0), ErrorCode::None);
    assert_eq!(send(0, 1), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn sequences_wrap_to_zero() {
    let (mut world, conn) = world();
    let mut send =
        |count, sequence| produced(&world.ask(conn, 9, produce("t", 0, sequenced(count, 7, 0, sequence)))).0;
    assert_eq!(send(3, i32::MAX - 1), ErrorCode::None);
    assert_eq!(send(1, 1), ErrorCode::None);
}

#[cfg(feature = "planted")]
#[test]
fn the_planted_bug_appends_duplicates() {
    let (mut world, conn) = world();
    world.plant(ottla_broker::Planted::DuplicateSequenceAppended);
    for offset in 0..2 {
        let sent = world.ask(conn, 9, produce("t", 0, sequenced(1, 7, 0, 0)));
        assert_eq!(produced(&sent), (ErrorCode::None, offset));
    }
}
