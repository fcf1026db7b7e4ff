//! A request's frame whose large batches are not copied: the same bytes as one that is copied.

use fastrand::Rng;
use ottla_protocol::{
    ApiKey, Request, RequestHeader,
    codec::RecordData,
    messages::{MetadataRequest, ProducePartitionData, ProduceRequest, ProduceTopicData},
    records::{BatchBuilder, ClosedBatch, Compression, Compressor, check_crc},
};

use crate::{cases, seeded};

fn header(version: i16) -> RequestHeader {
    RequestHeader { key: ApiKey::Produce, version, correlation_id: 7, client_id: Some("c".to_owned()) }
}

fn builder(rng: &mut Rng, compression: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new(compression, 1 << 20);
    builder.set_producer(rng.i64(..), rng.i16(..), rng.i32(..));
    for _ in 0..rng.usize(1..8) {
        let value: Vec<u8> = (0..rng.usize(..3000)).map(|_| rng.u8(..)).collect();
        builder.append(rng.i64(0..1 << 40), rng.bool().then_some(b"key"), Some(&value), []).expect("room");
    }
    builder
}

fn records(rng: &mut Rng) -> Option<RecordData> {
    Some(match rng.u8(..5) {
        0 => return None,
        1 => RecordData::default(),
        2 => RecordData::Owned(builder(rng, Compression::Lz4).finish(&mut Compressor::new())),
        _ => RecordData::Closed(builder(rng, Compression::None).close()),
    })
}

fn request(rng: &mut Rng) -> ProduceRequest {
    let topic = |rng: &mut Rng| ProduceTopicData {
        partition_data: (0..rng.i32(..5))
            .map(|index| ProducePartitionData { index, records: records(rng) })
            .collect(),
        ..ProduceTopicData::default()
    };
    ProduceRequest { topic_data: (0..rng.usize(..4)).map(|_| topic(rng)).collect(), ..Default::default() }
}

/// One partition's.
fn request_of(records: RecordData) -> Request {
    let data = ProducePartitionData { index: 0, records: Some(records) };
    let topic = ProduceTopicData { partition_data: vec![data], ..Default::default() };
    ProduceRequest { topic_data: vec![topic], ..Default::default() }.into()
}

fn batch_of(value: usize) -> ClosedBatch {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    builder.append(0, None, Some(&vec![7; value]), []).expect("room");
    builder.close()
}

#[test]
fn the_slices_of_a_frame_are_the_bytes_of_the_frame_in_one_run() {
    seeded("the_slices_of_a_frame_are_the_bytes_of_the_frame_in_one_run", |rng| {
        let versions = ApiKey::Produce.versions();
        for version in (versions.min..=versions.max).cycle().take(cases()) {
            let request = Request::from(request(rng));
            let expected = header(version).encode(&request);
            let frame = header(version).frame(request);
            assert_eq!(frame.slices().collect::<Vec<_>>().concat(), expected, "version {version}");
            assert_eq!(frame.into_bytes(), expected, "version {version}");
        }
    });
}

#[test]
fn a_closed_batch_is_written_as_a_finished_one() {
    seeded("a_closed_batch_is_written_as_a_finished_one", |rng| {
        for _ in 0..cases() {
            let builder = builder(rng, Compression::None);
            let finished = builder.clone().finish(&mut Compressor::new());
            let frame = header(12).frame(request_of(RecordData::Closed(builder.close())));
            let expected = header(12).encode(&request_of(RecordData::Owned(finished)));
            assert_eq!(frame.into_bytes(), expected);
        }
    });
}

#[test]
fn a_large_batch_stays_where_it_is() {
    let batch = batch_of(10_000);
    let place = batch.records().next().expect("one").expect("readable").value.expect("a value").as_ptr();
    let frame = header(12).frame(request_of(RecordData::Closed(batch)));
    assert!(frame.slices().any(|slice| slice.as_ptr_range().contains(&place)));
    assert!(frame.is_apart());

    let bytes = vec![1; 10_000];
    let place = bytes.as_ptr();
    let frame = header(12).frame(request_of(RecordData::Owned(bytes)));
    assert!(frame.slices().any(|slice| slice.as_ptr() == place));
}

#[test]
fn what_is_small_is_in_one_run() {
    let frame = header(12).frame(request_of(RecordData::Closed(batch_of(1000))));
    assert!(!frame.is_apart());
    assert_eq!(frame.slices().count(), 1);
    let request = Request::from(MetadataRequest::default());
    let header = RequestHeader { key: ApiKey::Metadata, ..header(12) };
    assert_eq!(header.encode(&request), header.frame(request).into_bytes());
}

#[test]
fn a_batch_sent_again_under_another_identity_leaves_the_frame_before_as_it_was() {
    let mut batch = batch_of(10_000);
    let mut sent = |id, epoch, sequence| {
        batch.set_producer(id, epoch, sequence);
        header(12).frame(request_of(RecordData::Closed(batch.clone())))
    };
    let (first, second) = (sent(1, 0, 5), sent(1, 1, 0));
    for (frame, epoch, sequence) in [(first, 0, 5), (second, 1, 0)] {
        let frame = frame.into_bytes();
        let (_, request) = RequestHeader::decode(&frame[4..]).expect("readable");
        let Request::Produce(mut produce) = request else { panic!("no Produce") };
        let records = produce.batches_mut().next().expect("one").clone();
        let bytes = records.bytes(&frame[4..]);
        assert_eq!(check_crc(bytes), Ok(()));
        let header = ottla_protocol::records::BatchHeader::decode(bytes).expect("a header");
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (1, epoch, sequence));
    }
}
