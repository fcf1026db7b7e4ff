//! Record batches: what Kafka's own classes wrote, what we write, and what is wrong with what is neither.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails; clippy does not see tests without #[test]"
)]

use std::io::Write;

use ottla_protocol::{
    codec::{DecodeError, DecodeErrorKind, put_varint},
    records::{
        BatchBuilder, BatchHeader, BatchWalk, Compression, Compressor, ControlType, Decompressor,
        EndTxnMarker, Header, RecordWalk, TimestampType, check_crc, set_base_offset, set_log_append_time,
        set_partition_leader_epoch, walk_headers,
    },
};

const TIME: i64 = 1_700_000_000_000;
const PLENTY: usize = 1 << 20;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("golden/records-", $name, ".bin"))
    };
}

/// A record that owns what it holds, for comparison.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn owned(offset: i64, timestamp: i64, key: Option<&str>, value: Option<&str>) -> Owned {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Owned { offset, timestamp, key: key.map(bytes), value: value.map(bytes), headers: Vec::new() }
}

/// All the records of one batch.
fn records(batch: &[u8]) -> Result<Vec<Owned>, DecodeError> {
    check_crc(batch)?;
    let header = BatchHeader::decode(batch)?;
    let mut plain = Vec::new();
    let packed = &batch[header.records_range(0)];
    Decompressor::new().decompress(header.compression()?, packed, &mut plain, PLENTY)?;
    RecordWalk::new(&header, &plain)
        .map(|record| {
            let record = record?;
            let headers = record
                .headers()
                .map(|header| header.map(|Header { key, value }| (key.to_vec(), value.map(<[u8]>::to_vec))));
            Ok(Owned {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect::<Result<_, _>>()?,
            })
        })
        .collect()
}

/// What RecordsGolden.java puts into a batch.
fn java_records(large: usize) -> Vec<Owned> {
    let mut all = vec![
        owned(1000, TIME, Some("key"), Some("value")),
        owned(1001, TIME - 40, None, Some("no key")),
        owned(1002, TIME + 100_000_000, Some("tombstone"), None),
        owned(1003, TIME + 1, Some(""), Some("")),
        owned(1300, TIME + 70, Some("large"), Some(&"0123456789".repeat(large))),
    ];
    let headers = [("trace", Some("a")), ("trace", Some("b")), ("none", None), ("größe", Some(""))];
    all[3].headers = headers.map(|(key, value)| (key.into(), value.map(|text| text.into()))).to_vec();
    all
}

/// A batch around any bytes as records.
fn batch_of(record_count: i32, last_offset_delta: i32, records: &[u8]) -> Vec<u8> {
    let mut header = BatchHeader::decode(golden!("none")).unwrap();
    header.record_count = record_count;
    header.last_offset_delta = last_offset_delta;
    header.batch_length = (BatchHeader::SIZE - 12 + records.len()) as i32;
    [&header.encode(), records].concat()
}

/// A record around any bytes as its fields.
fn record_of(fields: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    put_varint(&mut record, fields.len() as i32);
    record.extend_from_slice(fields);
    record
}

/// What a walk over the batch's records ends with.
fn walk_error(batch: &[u8]) -> DecodeError {
    let header = BatchHeader::decode(batch).unwrap();
    let mut walk = BatchWalk::new(&header, header.records_range(0));
    let error = std::iter::from_fn(|| walk.next(batch)).find_map(Result::err).expect("an error");
    assert!(walk.next(batch).is_none(), "something after {error}");
    error
}

fn decompress(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, DecodeErrorKind> {
    let mut out = vec![b'?'; limit.min(100_000)];
    Decompressor::new().decompress(codec, input, &mut out, limit).map_err(|error| error.kind)?;
    Ok(out)
}

fn compress(codec: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new().compress(codec, None, input, &mut out).unwrap();
    out
}

/// Bytes that compress, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| rng.choice(*b"aaaabcdef ghij").unwrap()).take(length).collect()
}

#[test]
fn kafkas_batches_are_read_in_every_codec() {
    let files: [(Compression, usize, &[u8]); 5] = [
        (Compression::None, 10, golden!("none")),
        (Compression::Gzip, 20_000, golden!("gzip")),
        (Compression::Snappy, 20_000, golden!("snappy")),
        (Compression::Lz4, 20_000, golden!("lz4")),
        (Compression::Zstd, 20_000, golden!("zstd")),
    ];
    for (codec, large, batch) in files {
        let header = BatchHeader::decode(batch).unwrap();
        assert_eq!(header.compression(), Ok(codec));
        assert_eq!(header.size(), batch.len());
        assert_eq!((header.base_offset, header.next_offset()), (1000, 1301));
        assert_eq!((header.base_timestamp, header.max_timestamp), (TIME, TIME + 100_000_000));
        assert_eq!((header.record_count, header.partition_leader_epoch), (5, 9));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
        assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
        assert!(!header.is_transactional() && !header.is_control());
        assert_eq!(header.encode(), batch[..BatchHeader::SIZE]);
        assert_eq!(records(batch), Ok(java_records(large)), "{codec}");
    }
}

#[test]
fn the_time_of_the_append_is_that_of_all_records() {
    let batch = golden!("log-append-time");
    let header = BatchHeader::decode(batch).unwrap();
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    for record in records(batch).unwrap() {
        assert_eq!(record.timestamp, TIME + 5);
    }
}

#[test]
fn a_transactional_batch_names_its_producer() {
    let header = BatchHeader::decode(golden!("transactional")).unwrap();
    assert!(header.is_transactional() && !header.is_control());
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4711, 3, 17));
    assert_eq!(records(golden!("transactional")), Ok(java_records(1)));
}

#[test]
fn markers_are_read_and_built_as_kafka_builds_them() {
    let markers: [(ControlType, &[u8]); 2] =
        [(ControlType::Commit, golden!("commit-marker")), (ControlType::Abort, golden!("abort-marker"))];
    for (control_type, batch) in markers {
        let header = BatchHeader::decode(batch).unwrap();
        assert!(header.is_control() && header.is_transactional());
        let record = records(batch).unwrap().remove(0);
        assert_eq!(ControlType::decode(&record.key.unwrap()), Ok(control_type));
        assert_eq!(EndTxnMarker::coordinator_epoch(&record.value.unwrap()), Ok(6));
        let marker =
            EndTxnMarker { control_type, producer_id: 4711, producer_epoch: 3, coordinator_epoch: 6 };
        assert_eq!(marker.batch(2000, TIME), batch);
    }
    assert_eq!(ControlType::decode(&[0, 0, 0, 4, 1]), Ok(ControlType::Other(4)));
    assert!(ControlType::decode(&[0, 0, 0]).is_err());
}

#[test]
fn a_batch_that_compaction_has_emptied_still_moves_the_position() {
    let batch = golden!("compacted-to-nothing");
    let header = BatchHeader::decode(batch).unwrap();
    assert_eq!((header.record_count, header.next_offset()), (0, 1301));
    assert_eq!(records(batch), Ok(Vec::new()));
}

#[test]
fn a_producers_batch_has_the_same_bytes_as_javas() {
    let mut builder = BatchBuilder::new(Compression::None, PLENTY);
    builder.set_producer(4711, 3, 17);
    let headers = [Header { key: b"trace", value: Some(b"a") }];
    assert_eq!(builder.append(TIME, Some(b"key"), Some(b"value"), []), Some(0));
    assert_eq!(builder.append(TIME + 300, None, None, []), Some(1));
    assert_eq!(builder.append(TIME - 1, Some(b"k"), Some(b"v"), headers), Some(2));
    assert_eq!(builder.finish(&mut Compressor::new()), golden!("producer"));
}

#[test]
fn what_is_built_is_read_back_in_every_codec() {
    let large = String::from_utf8(text(200_000)).unwrap();
    let mut compressor = Compressor::new();
    for &codec in Compression::ALL {
        for level in [None, Some(1), Some(9)] {
            let mut builder = BatchBuilder::new(codec, PLENTY).base_offset(500);
            if let Some(level) = level {
                builder = builder.level(level);
            }
            let mut expected = java_records(1);
            expected.push(owned(0, TIME, None, Some(&large)));
            for (delta, record) in expected.iter_mut().enumerate() {
                record.offset = 500 + delta as i64;
                let headers =
                    record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() });
                let appended =
                    builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
                assert_eq!(appended, Some(delta as i32));
            }
            let plain = builder.size_estimate();
            let batch = builder.finish(&mut compressor);
            let header = BatchHeader::decode(&batch).unwrap();
            assert_eq!(header.compression(), Ok(codec));
            assert_eq!(batch.len() < plain, codec != Compression::None);
            assert_eq!(records(&batch), Ok(expected), "{codec} {level:?}");
        }
    }
}

#[test]
fn a_batch_is_split_into_batches_of_its_form_whose_records_count_from_zero() {
    let expected = java_records(10);
    let mut builder = BatchBuilder::new(Compression::Zstd, PLENTY);
    builder.set_transactional();
    for Owned { timestamp, key, value, headers, .. } in &expected {
        let headers = headers.iter().map(|(key, value)| Header { key, value: value.as_deref() });
        _ = builder.append(*timestamp, key.as_deref(), value.as_deref(), headers);
    }
    let whole = builder.close();
    let mut compressor = Compressor::new();
    let splits = [
        (PLENTY, vec![5]),
        (146, vec![4, 1]),
        (145, vec![3, 1, 1]),
        (100, vec![2, 1, 1, 1]),
        (1, vec![1; 5]),
    ];
    for (max_size, counts) in splits {
        let pieces = whole.split(max_size).unwrap();
        assert_eq!(pieces.iter().map(|piece| piece.count()).collect::<Vec<_>>(), counts, "{max_size} bytes");
        let mut found = Vec::new();
        for piece in pieces {
            assert!(piece.size_estimate() <= max_size || piece.count() == 1);
            let bytes = piece.seal(&mut compressor);
            let header = BatchHeader::decode(&bytes).unwrap();
            assert!(header.is_transactional() && header.compression() == Ok(Compression::Zstd));
            let records = records(&bytes).unwrap();
            assert!(records.iter().zip(0..).all(|(record, index)| record.offset == index));
            found.extend(records);
        }
        for (record, expected) in found.iter_mut().zip(&expected) {
            record.offset = expected.offset;
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn every_codec_gives_back_what_it_was_given() {
    let mut rng = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(200_000).collect();
    let (mut compressor, mut decompressor, mut out) = (Compressor::new(), Decompressor::new(), Vec::new());
    for &codec in Compression::ALL {
        for input in [&noise[..0], &noise[..1], &noise, &text(65_536), &text(70_000), &vec![0; 500_000]] {
            let mut packed = b"before".to_vec();
            compressor.compress(codec, None, input, &mut packed).unwrap();
            let packed = packed.strip_prefix(b"before").unwrap();
            decompressor.decompress(codec, packed, &mut out, 500_000).unwrap();
            assert!(out == input, "{codec}, {} bytes", input.len());
        }
    }
}

#[test]
fn frames_that_others_write_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let input = [text(300_000), vec![b'x'; 300_000], text(1_000)].concat();
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for checked in [false, true] {
                let info = FrameInfo::new().block_size(size).block_mode(mode);
                let info = info.block_checksums(checked).content_checksum(checked);
                let info = info.content_size(checked.then_some(input.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&input).unwrap();
                let frame = encoder.finish().unwrap();
                assert!(decompress(Compression::Lz4, &frame, PLENTY).unwrap() == input, "{size:?} {mode:?}");
                let twice = [frame.clone(), frame].concat();
                assert_eq!(decompress(Compression::Lz4, &twice, 2 * PLENTY).unwrap().len(), 2 * input.len());
            }
        }
    }
    let bare = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert!(decompress(Compression::Snappy, &bare, PLENTY).unwrap() == input);
    let mut gzip = flate2::GzBuilder::new()
        .filename("name")
        .comment("comment")
        .extra(*b"extra")
        .write(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&input).unwrap();
    let members = [gzip.finish().unwrap(), compress(Compression::Gzip, b"!")].concat();
    assert!(decompress(Compression::Gzip, &members, PLENTY).unwrap() == [&input[..], b"!"].concat());
    let mut zstd = zstd::Encoder::new(Vec::new(), 3).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(&input).unwrap();
    let frames = [zstd.finish().unwrap(), compress(Compression::Zstd, b"!")].concat();
    assert!(decompress(Compression::Zstd, &frames, PLENTY).unwrap() == [&input[..], b"!"].concat());
}

#[test]
fn a_bomb_goes_off_at_the_limit() {
    let input = vec![0; 3 << 20];
    for &codec in Compression::ALL {
        let packed = compress(codec, &input);
        for limit in [0, 1, 1000, 100_000, input.len() - 1] {
            let too_large = Err(DecodeErrorKind::TooLarge { limit });
            assert!(decompress(codec, &packed, limit) == too_large, "{codec} {limit}");
        }
        assert!(decompress(codec, &packed, input.len()) == Ok(input.clone()), "{codec} at the limit");
    }
}

#[test]
fn damaged_compression_is_an_error() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let packed = compress(codec, &text(1000));
        for cut in [packed.len() - 1, packed.len() / 2, 5] {
            assert_eq!(
                decompress(codec, &packed[..cut], PLENTY),
                Err(DecodeErrorKind::Decompression),
                "{codec}"
            );
        }
        assert_eq!(decompress(codec, &[0xff; 100], PLENTY), Err(DecodeErrorKind::Decompression), "{codec}");
    }
}

#[test]
fn compressions_have_kafkas_names_and_numbers() {
    for (id, name) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let codec: Compression = name.parse().unwrap();
        assert_eq!((usize::from(codec.id()), codec.to_string().as_str()), (id, name));
        assert_eq!(Compression::from_id(id as u8), Some(codec));
    }
    assert_eq!(Compression::from_id(5), None);
    let error = "zip".parse::<Compression>().unwrap_err();
    assert_eq!(error.to_string(), "unknown compression `zip`: none, gzip, snappy, lz4 or zstd");
    let mut header = BatchHeader::decode(golden!("none")).unwrap();
    header.attributes = 6;
    assert_eq!(header.compression().unwrap_err().kind, DecodeErrorKind::UnknownCompression(6));
}

#[test]
fn whole_batches_are_found_and_a_partial_tail_is_left() {
    let (first, second) = (golden!("zstd").as_slice(), golden!("none").as_slice());
    let both = [first, second].concat();
    for end in 0..=both.len() {
        let mut walk = walk_headers(&both[..end]);
        let found: Vec<_> = walk.by_ref().map(|batch| batch.unwrap().0).collect();
        let whole = [0..first.len(), first.len()..both.len()];
        let count = whole.iter().filter(|batch| batch.end <= end).count();
        assert_eq!(found, whole[..count]);
        let rest = if count == 0 { 0 } else { whole[count - 1].end };
        assert_eq!((walk.offset(), walk.partial_tail()), (rest, rest < end), "cut at {end}");
    }
}

#[test]
fn headers_that_lie_are_errors() {
    let good = golden!("none");
    let patched = |at: usize, bytes: &[u8]| {
        let mut batch = [good.as_slice(), good].concat();
        batch[good.len() + at..][..bytes.len()].copy_from_slice(bytes);
        let mut walk = walk_headers(&batch);
        assert!(walk.next().unwrap().is_ok());
        let error = walk.next().unwrap().unwrap_err();
        assert!(walk.next().is_none());
        assert_eq!(error.offset, good.len());
        (error.field, error.kind)
    };
    let length = |length: i32| patched(8, &length.to_be_bytes());
    assert_eq!(length(-1), ("batch_length", DecodeErrorKind::NegativeLength(-1)));
    assert_eq!(length(i32::MIN), ("batch_length", DecodeErrorKind::NegativeLength(i32::MIN.into())));
    assert_eq!(length(48), ("batch_length", DecodeErrorKind::Inconsistent("batch shorter than its header")));
    assert_eq!(patched(16, &[1]), ("magic", DecodeErrorKind::UnsupportedMagic(1)));
    assert_eq!(patched(57, &(-2i32).to_be_bytes()), ("record_count", DecodeErrorKind::NegativeLength(-2)));
    let out_of_range = ("base_offset", DecodeErrorKind::Inconsistent("offsets out of range"));
    assert_eq!(patched(0, &i64::MAX.to_be_bytes()), out_of_range);
    assert_eq!(patched(0, &(-1i64).to_be_bytes()), out_of_range);
    assert_eq!(patched(23, &(-1i32).to_be_bytes()), out_of_range);

    let mut huge = good.to_vec();
    huge[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut walk = walk_headers(&huge);
    assert!(walk.next().is_none() && walk.partial_tail());
}

#[test]
fn any_flipped_bit_that_the_crc_covers_is_found() {
    for at in 17..golden!("none").len() {
        let mut batch = golden!("none").to_vec();
        batch[at] ^= 1 << (at % 8);
        let error = check_crc(&batch).unwrap_err();
        assert!(matches!(error, DecodeError { field: "crc", kind: DecodeErrorKind::CrcMismatch { .. }, .. }));
    }
    assert!(check_crc(&[0; 20]).is_err());
}

#[test]
fn a_broker_patches_batches_without_touching_their_records() {
    let mut batch = golden!("zstd").to_vec();
    set_base_offset(&mut batch, 77).unwrap();
    set_partition_leader_epoch(&mut batch, 12).unwrap();
    let before = records(&batch).unwrap();
    assert_eq!((before[0].offset, before[4].offset), (77, 377));
    set_log_append_time(&mut batch, TIME + 1234).unwrap();
    let header = BatchHeader::decode(&batch).unwrap();
    assert_eq!((header.partition_leader_epoch, header.compression()), (12, Ok(Compression::Zstd)));
    let after = records(&batch).unwrap();
    assert!(after.iter().all(|record| record.timestamp == TIME + 1234));
    assert_eq!(after.len(), before.len());
    assert!(set_base_offset(&mut [0; 7], 1).is_err());
    assert!(set_log_append_time(&mut [0; 60], 1).is_err());
}

#[test]
fn records_that_lie_are_errors() {
    let error = |record_count, last_delta, records: &[u8]| {
        let error = walk_error(&batch_of(record_count, last_delta, records));
        (error.field, error.offset - BatchHeader::SIZE, error.kind)
    };
    // attributes, timestamp delta, offset delta, null key, null value, no headers
    let good = record_of(&[0, 0, 0, 1, 1, 0]);
    let truncated = |needed, remaining| DecodeErrorKind::Truncated { needed, remaining };
    assert_eq!(error(1, 0, &[&good[..], b"??"].concat()), ("records", 7, DecodeErrorKind::TrailingBytes(2)));
    assert_eq!(error(2, 1, &good), ("record_length", 7, truncated(1, 0)));
    assert_eq!(error(1, 0, &good[..6]), ("record_length", 1, truncated(6, 5)));
    assert_eq!(error(0, 0, &good), ("records", 0, DecodeErrorKind::TrailingBytes(7)));
    assert_eq!(error(1, 0, &[1]), ("record_length", 0, DecodeErrorKind::NegativeLength(-1)));
    assert_eq!(error(1, 0, &[0xff; 9]), ("record_length", 0, DecodeErrorKind::VarintTooLong));

    let fields = |fields: &[u8]| error(1, 5, &record_of(fields));
    let not_rising = DecodeErrorKind::Inconsistent("offsets do not rise within the batch's own");
    assert_eq!(fields(&[0, 0, 12, 1, 1, 0]), ("offset_delta", 4, not_rising));
    assert_eq!(fields(&[0, 0, 1, 1, 1, 0]), ("offset_delta", 4, not_rising));
    assert_eq!(error(2, 5, &[&good[..], &good].concat()), ("offset_delta", 11, not_rising));
    assert_eq!(fields(&[0, 0, 0, 3, 1, 0]), ("key", 4, DecodeErrorKind::NegativeLength(-2)));
    assert_eq!(fields(&[0, 0, 0, 10, 1, 0]), ("key", 5, truncated(5, 2)));
    assert_eq!(fields(&[0, 0, 0, 1, 6, 0]), ("value", 6, truncated(3, 1)));
    assert_eq!(fields(&[0, 0, 0, 1, 1]), ("header_count", 6, truncated(1, 0)));
    assert_eq!(fields(&[0, 0, 0, 1, 1, 1]), ("header_count", 6, DecodeErrorKind::NegativeLength(-1)));
    assert_eq!(fields(&[0, 0, 0, 1, 1, 4, 2, 2, 2]), ("headers", 7, truncated(4, 3)));
    assert_eq!(fields(&[0, 0, 0, 1, 1, 0, 9]), ("record_length", 7, DecodeErrorKind::TrailingBytes(1)));
}

#[test]
fn headers_that_lie_are_errors_only_to_who_reads_them() {
    let first_error = |count: u8, headers: &[u8]| {
        let fields = [&[0, 0, 0, 1, 1, count * 2], headers].concat();
        let next = record_of(&[0, 0, 2, 1, 1, 0]);
        let batch = batch_of(2, 1, &[record_of(&fields), next].concat());
        let header = BatchHeader::decode(&batch).unwrap();
        let walked: Vec<_> =
            RecordWalk::new(&header, &batch[header.records_range(0)]).collect::<Result<_, _>>().unwrap();
        assert_eq!((walked.len(), walked[1].offset), (2, 1001));
        let mut headers = walked[0].headers();
        let error = headers.find_map(Result::err).unwrap();
        assert!(headers.next().is_none());
        (error.field, error.offset, error.kind)
    };
    assert_eq!(first_error(1, &[1, 1]), ("header_key", 0, DecodeErrorKind::UnexpectedNull));
    assert_eq!(first_error(1, &[0, 1, 7]), ("headers", 2, DecodeErrorKind::TrailingBytes(1)));
    let truncated = DecodeErrorKind::Truncated { needed: 5, remaining: 1 };
    assert_eq!(first_error(2, &[0, 1, 0, 10, 7]), ("header_value", 4, truncated));
}

#[test]
fn a_header_whose_key_is_not_utf8_hides_neither_itself_nor_those_behind_it() {
    let keys: [&[u8]; 3] = [b"a", b"b\xff", b"c"];
    let mut builder = BatchBuilder::new(Compression::None, PLENTY);
    builder.append(TIME, None, None, keys.map(|key| Header { key, value: Some(key) })).unwrap();
    let batch = builder.finish(&mut Compressor::new());
    let header = BatchHeader::decode(&batch).unwrap();
    let record = RecordWalk::new(&header, &batch[header.records_range(0)]).next().unwrap().unwrap();
    let read: Vec<_> = record.headers().map(Result::unwrap).collect();
    assert_eq!(read, keys.map(|key| Header { key, value: Some(key) }));
    assert_eq!(read.iter().map(Header::key_lossy).collect::<Vec<_>>(), ["a", "b\u{fffd}", "c"]);
}

#[test]
fn numbers_of_every_length_are_read() {
    // Timestamps from the smallest to the largest distance, each length of number among them.
    let times = (0..63).flat_map(|bit| [TIME.wrapping_add(1 << bit), TIME.wrapping_sub(1 << bit)]);
    let times: Vec<i64> = std::iter::once(TIME).chain(times).chain([i64::MIN, i64::MAX, -1]).collect();
    let mut builder = BatchBuilder::new(Compression::None, PLENTY);
    for time in &times {
        builder.append(*time, None, None, []).unwrap();
    }
    let batch = builder.finish(&mut Compressor::new());
    let read: Vec<i64> = records(&batch).unwrap().into_iter().map(|record| record.timestamp).collect();
    assert_eq!(read, times);
}

#[test]
fn a_record_is_as_large_as_was_said_and_a_full_batch_stays_as_it_was() {
    let mut builder = BatchBuilder::new(Compression::None, 400);
    let headers = [Header { key: "größe".as_bytes(), value: None }];
    let mut count = 0;
    loop {
        let size = builder.record_size(TIME + count, Some(b"key"), Some(&[0; 80]), headers);
        let before = builder.size_estimate();
        let appended = builder.append(TIME + count, Some(b"key"), Some(&[0; 80]), headers);
        if before + size > 400 {
            assert_eq!((appended, builder.size_estimate()), (None, before));
            break;
        }
        assert_eq!((appended, builder.size_estimate()), (Some(count as i32), before + size));
        count += 1;
    }
    assert_eq!(builder.count() as i64, count);
    assert_eq!(builder.append(TIME, None, None, []), Some(count as i32), "a smaller one still fits");

    let mut builder = BatchBuilder::new(Compression::None, 400);
    assert!(builder.is_empty());
    assert_eq!(builder.append(TIME, None, Some(&[0; 1000]), []), Some(0), "alone it may be larger");
    assert_eq!(builder.append(TIME, None, None, []), None);
    assert_eq!(records(&builder.finish(&mut Compressor::new())).unwrap().len(), 1);
}

#[test]
fn a_walk_stands_beside_the_buffer_that_it_walks() {
    let frame: std::sync::Arc<[u8]> = [golden!("zstd").as_slice(), golden!("none")].concat().into();
    let (range, header) = walk_headers(&frame).nth(1).unwrap().unwrap();
    let mut walk = BatchWalk::new(&header, header.records_range(range.start));
    let mut offsets = Vec::new();
    while let Some(span) = walk.next(&frame) {
        let span = span.unwrap();
        offsets.push(span.record(&frame).offset);
        assert_eq!(offsets.len() + walk.remaining(), 5);
    }
    assert_eq!(offsets, [1000, 1001, 1002, 1003, 1300]);
}

#[test]
fn a_copied_record_is_the_same_and_has_its_own_bytes_alone() {
    type Parts<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [Header<'a>]);
    let headers = [Header { key: b"trace", value: Some(b"a") }, Header { key: b"none", value: None }];
    let cases: [Parts<'_>; 4] = [
        (Some(b"key"), Some(b"value"), &headers),
        (None, Some(b""), &[]),
        (Some(b""), None, &headers),
        (None, None, &[]),
    ];
    let mut builder = BatchBuilder::new(Compression::None, PLENTY);
    for (key, value, headers) in cases {
        builder.append(TIME, key, value, headers.iter().copied()).unwrap();
    }
    let batch = builder.finish(&mut Compressor::new());
    let header = BatchHeader::decode(&batch).unwrap();
    let mut walk = BatchWalk::new(&header, header.records_range(0));
    for (key, value, headers) in cases {
        let span = walk.next(&batch).unwrap().unwrap();
        let (bytes, copy) = span.copied(&batch);
        let (was, is) = (span.record(&batch), copy.record(&bytes));
        assert_eq!((is.offset, is.timestamp, is.key, is.value), (was.offset, TIME, key, value));
        assert_eq!(is.headers().map(Result::unwrap).collect::<Vec<_>>(), headers);
        let own = [key, value].into_iter().flatten().map(<[u8]>::len).sum::<usize>();
        // A header is its key and value, and a byte for the length of each.
        let of_headers =
            headers.iter().map(|it| 2 + it.key.len() + it.value.map_or(0, <[u8]>::len)).sum::<usize>();
        assert_eq!(bytes.len(), own + of_headers);
    }
}
