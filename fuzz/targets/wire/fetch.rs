//! Fetch responses with aborted transactions, as a consumer reads them: what a reader of committed records is handed out is what
//! the markers leave, and damaged ones do no harm.

use ottla_core::Look;
use ottla_fuzz::{Input, within};
use ottla_protocol::{
    ApiKey, Response, ResponseHeader, TopicId,
    codec::RecordData,
    messages::{FetchAbortedTransaction, FetchPartitionResponse, FetchResponse, FetchTopicResponse},
    records::{BatchBuilder, Compression, Compressor, ControlType, EndTxnMarker, Header},
};

mod world;

use world::{Served, World};

/// A batch of one record, or a marker.
#[derive(Clone, Copy)]
struct Batch {
    producer: i64,
    offset: i64,
    is_marker: bool,
    is_transactional: bool,
}

fn encoded(batch: Batch, codec: Compression, compressor: &mut Compressor) -> Vec<u8> {
    let Batch { producer, offset, is_marker, is_transactional } = batch;
    if is_marker {
        let marker = EndTxnMarker {
            control_type: ControlType::Abort,
            producer_id: producer,
            producer_epoch: 0,
            coordinator_epoch: 0,
        };
        return marker.batch(offset, 1);
    }
    let mut builder = BatchBuilder::new(codec, 1 << 20).base_offset(offset);
    builder.set_producer(producer, 0, 0);
    if is_transactional {
        builder.set_transactional();
    }
    builder.append(1, None, Some(b"value"), [] as [Header<'_>; 0]);
    builder.finish(compressor)
}

/// Those that are not of a transaction that was told as aborted: of one that begins at an offset, up to its producer's next marker.
fn committed(batches: &[Batch], told: &[(i64, i64)]) -> Vec<i64> {
    let is_aborted = |batch: &Batch| {
        batch.is_transactional
            && told.iter().any(|(producer, first)| {
                let ends = |other: &&Batch| {
                    other.is_marker
                        && other.producer == *producer
                        && (*first..batch.offset).contains(&other.offset)
                };
                *producer == batch.producer && *first <= batch.offset && batches.iter().find(ends).is_none()
            })
    };
    batches.iter().filter(|batch| !batch.is_marker && !is_aborted(batch)).map(|batch| batch.offset).collect()
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let version = 12 + i16::from(flags & 3).min(ApiKey::Fetch.versions().max - 12);
    let codec = Compression::ALL[usize::from(flags >> 2) % Compression::ALL.len()];
    let damages = usize::from(flags >> 5) % 4;
    let told: Vec<(i64, i64)> =
        (0..input.byte() % 16).map(|_| (i64::from(input.byte() % 4), i64::from(input.byte()))).collect();
    let (mut batches, mut offset) = (Vec::new(), 0);
    for _ in 0..input.byte() % 32 {
        let kind = input.byte();
        offset += i64::from(kind >> 5);
        let is_marker = kind & 4 != 0;
        let is_transactional = is_marker || kind & 8 != 0;
        batches.push(Batch { producer: i64::from(kind & 3), offset, is_marker, is_transactional });
        offset += 1;
    }
    let mut compressor = Compressor::new();
    let encoded = |batch: &Batch| encoded(*batch, codec, &mut compressor);
    let records: Vec<u8> = batches.iter().flat_map(encoded).collect();
    let partition = FetchPartitionResponse {
        high_watermark: 1000,
        last_stable_offset: 1000,
        aborted_transactions: Some(
            told.iter()
                .map(|(producer_id, first_offset)| FetchAbortedTransaction {
                    producer_id: *producer_id,
                    first_offset: *first_offset,
                })
                .collect(),
        ),
        records: Some(RecordData::Owned(records)),
        ..Default::default()
    };
    let topic =
        FetchTopicResponse { topic: "t".to_owned(), topic_id: TopicId([1; 16]), partitions: vec![partition] };
    let response: Response =
        FetchResponse { session_id: 5, responses: vec![topic], ..Default::default() }.into();
    let header = ResponseHeader { key: ApiKey::Fetch, version, correlation_id: 1 };
    let mut frame = header.encode(&response)[4..].to_vec();
    for _ in 0..damages {
        let (at, by) = (usize::from(input.number()) % frame.len(), input.byte());
        frame[at] ^= by;
    }
    let size = frame.len();
    let handed = within(64 * size + (1 << 20), || {
        let mut world = World::reading(version, frame);
        let mut handed = Vec::new();
        while let Some(Look::Read) = world.look() {
            while let Some(record) = world.reader.advance() {
                handed.push(record.span.offset);
            }
        }
        (world.served == Served::Whole).then_some(handed)
    });
    match handed {
        Some(handed) if damages == 0 => assert_eq!(handed, committed(&batches, &told)),
        Some(handed) => assert!(handed.is_sorted(), "{handed:?}"),
        None => assert!(damages > 0, "what was not damaged was not read"),
    }
}
