//! Record batches that nobody should trust: whatever the bytes are, nothing panics, walks allocate nothing, and
//! decompression never holds more than its limit.
//!
//! Each case has a seed, and one that fails says how to repeat it. A longer search:
//! `OTTLA_FUZZ_CASES=1000000 cargo test --release -p ottla-protocol --test records_untrusted`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails; clippy does not see tests without #[test]"
)]

use std::{
    env,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use fastrand::Rng;
use ottla_protocol::{
    codec::{DecodeError, DecodeErrorKind},
    records::{
        BatchBuilder, BatchHeader, BatchWalk, Compression, Compressor, Decompressor, Header, check_crc,
        walk_headers,
    },
};

/// What an inflater may allocate besides its output, once in its life.
const CONTEXT: u64 = 128 * 1024;

fn variable(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// Tries the property with one seed after the other.
fn for_each_case(test: &str, mut property: impl FnMut(&mut Rng)) {
    let cases = variable("OTTLA_FUZZ_CASES").unwrap_or(10_000);
    let first = variable("OTTLA_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(test));
    for case in 0..cases {
        let seed = first.wrapping_add(case);
        let outcome = catch_unwind(AssertUnwindSafe(|| property(&mut Rng::with_seed(seed))));
        if let Err(failure) = outcome {
            eprintln!(
                "again: OTTLA_FUZZ_SEED={seed} OTTLA_FUZZ_CASES=1 \
                 cargo test -p ottla-protocol --test records_untrusted {test}"
            );
            resume_unwind(failure);
        }
    }
}

fn random_bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    let length = rng.usize(..=most);
    match rng.u8(..3) {
        0 => vec![rng.u8(..); length],
        1 => std::iter::repeat_with(|| rng.u8(..8)).take(length).collect(),
        _ => std::iter::repeat_with(|| rng.u8(..)).take(length).collect(),
    }
}

fn random_batch(rng: &mut Rng, compressor: &mut Compressor) -> Vec<u8> {
    let codec = Compression::ALL[rng.usize(..5)];
    let mut builder = BatchBuilder::new(codec, 1 << 20).base_offset(rng.i64(0..i64::MAX / 2));
    let largest = if rng.u8(..50) == 0 { 100_000 } else { 100 };
    for _ in 0..rng.usize(..8) {
        let (key, value) = (random_bytes(rng, 20), random_bytes(rng, largest));
        let name = random_bytes(rng, 12);
        let header = Header { key: &name, value: rng.bool().then_some(b"value") };
        builder.append(
            rng.i64(..),
            rng.bool().then_some(&key),
            rng.bool().then_some(&value),
            std::iter::repeat_n(header, rng.usize(..4)),
        );
    }
    builder.finish(compressor)
}

/// Anything from nothing to everything goes wrong with a part of the bytes.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let lengths: [&[u8]; 6] = [
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0xff, 0x01],
        &[0x01],
        &[0x00, 0x00, 0x00, 0x00],
    ];
    for _ in 0..rng.usize(1..6) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..8) {
            0 => bytes.truncate(at),
            1..4 => bytes[at] ^= 1 << rng.u8(..8),
            4 => bytes[at] = rng.u8(..),
            5 => drop(bytes.splice(at..at, random_bytes(rng, 8))),
            _ => {
                let new = lengths[rng.usize(..lengths.len())];
                let end = bytes.len().min(at + new.len());
                bytes.splice(at..end, new.iter().copied());
            }
        }
    }
}

/// How many bytes at most were live in between, besides those from before.
fn peak(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

/// Walks a batch to the end, and checks what a caller relies on, whatever the bytes.
fn walk(header: &BatchHeader, buffer: &[u8], start: usize) -> Result<usize, DecodeError> {
    let mut walk = BatchWalk::new(header, start..buffer.len());
    let (mut count, mut position) = (0, header.base_offset);
    while let Some(span) = walk.next(buffer) {
        let span = span.inspect_err(|error| {
            let unexplained = DecodeErrorKind::Inconsistent("record is damaged");
            assert_ne!(error.kind, unexplained, "the decoders disagree");
            assert!(error.offset <= buffer.len());
        })?;
        assert!(span.offset >= position && span.offset < header.next_offset());
        position = span.offset + 1;
        count += 1;
        let record = span.record(buffer);
        let announced = record.headers().count();
        assert!(record.headers().take(announced + 1).count() <= announced);
    }
    assert_eq!(count, header.record_count as usize);
    Ok(count)
}

#[test]
fn no_batch_panics_or_allocates_beyond_its_limit() {
    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
    let mut whole = 0;
    for_each_case("no_batch_panics_or_allocates_beyond_its_limit", |rng| {
        let mut frame = random_batch(rng, &mut compressor);
        frame.extend(random_batch(rng, &mut compressor));
        let intact = rng.u8(..10) == 0;
        if !intact {
            damage(rng, &mut frame);
        }
        let mut batches = Vec::with_capacity(frame.len() / BatchHeader::SIZE + 1);
        let peak_of_headers = peak(|| batches.extend(walk_headers(&frame).filter_map(Result::ok)));
        assert_eq!(peak_of_headers, 0);
        for (range, header) in batches {
            let batch = &frame[range.clone()];
            let records = header.records_range(0);
            assert_eq!(header.size(), batch.len());
            let checked = check_crc(batch);
            let Ok(codec) = header.compression() else {
                assert!(!intact);
                continue;
            };
            let limit = [0, 64, 4096, 1 << 20][rng.usize(..4)];
            let mut result = Ok(0);
            let peak = peak(|| {
                let mut plain = Vec::new();
                let done = decompressor.decompress(codec, &batch[records.clone()], &mut plain, limit);
                assert!(plain.capacity() <= limit);
                result = done.and_then(|()| {
                    let counted = allocation_counter::measure(|| _ = walk(&header, &plain, 0));
                    assert_eq!(counted.bytes_total, 0, "a walk allocates");
                    walk(&header, &plain, 0)
                });
            });
            assert!(peak <= limit as u64 + CONTEXT, "{codec}: {peak} bytes live, the limit is {limit}");
            match result {
                Ok(_) => whole += 1,
                Err(DecodeError { kind: DecodeErrorKind::TooLarge { .. }, .. }) => {}
                Err(error) => assert!(!intact, "{error} in a batch that is whole, {checked:?}"),
            }
        }
    });
    assert!(whole > 0, "every batch was damaged: nothing has been tried");
}

#[test]
fn no_bytes_panic_as_records_or_as_compressed() {
    let mut decompressor = Decompressor::new();
    let prefixes: [&[u8]; 8] = [
        &[],
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
        &[0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 0, 1, 0],
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0",
        &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0, 20, 0, 0, 0],
        &[0x04, 0x22, 0x4d, 0x18, 0x54, 0x40, 0, 20, 0, 0, 0],
        &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58],
        &[0x28, 0xb5, 0x2f, 0xfd, 0xe4],
    ];
    for_each_case("no_bytes_panic_as_records_or_as_compressed", |rng| {
        let mut bytes = prefixes[rng.usize(..prefixes.len())].to_vec();
        bytes.extend(random_bytes(rng, 200));
        for found in walk_headers(&bytes) {
            let (range, header) = match found {
                Ok(found) => found,
                Err(error) => {
                    assert!(error.offset < bytes.len());
                    break;
                }
            };
            assert_eq!(range.len(), header.size());
        }
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: 0,
            crc: 0,
            attributes: rng.i16(..),
            last_offset_delta: rng.i32(0..),
            base_timestamp: rng.i64(..),
            max_timestamp: rng.i64(..),
            producer_id: 0,
            producer_epoch: 0,
            base_sequence: 0,
            record_count: rng.i32(..10).max(0),
        };
        _ = walk(&header, &bytes, rng.usize(..99));
        for &codec in Compression::ALL {
            let limit = rng.usize(..100_000);
            let peak = peak(|| _ = decompressor.decompress(codec, &bytes, &mut Vec::new(), limit));
            assert!(peak <= limit as u64 + CONTEXT, "{codec}: {peak} bytes live, the limit is {limit}");
        }
    });
}

#[test]
fn a_bomb_holds_no_more_than_the_limit() {
    let input = vec![0; 32 << 20];
    let limit = 1 << 20;
    for &codec in Compression::ALL {
        let mut bomb = Vec::new();
        Compressor::new().compress(codec, None, &input, &mut bomb).expect("compressed");
        let mut decompressor = Decompressor::new();
        let peak = peak(|| {
            let error = decompressor.decompress(codec, &bomb, &mut Vec::new(), limit).expect_err("too large");
            assert_eq!(error.kind, DecodeErrorKind::TooLarge { limit });
        });
        assert!(peak <= limit as u64 + CONTEXT, "{codec}: {peak}");
    }
}

#[test]
fn a_small_batch_takes_no_more_than_about_what_it_holds() {
    let input = vec![0; 90 << 20];
    let limit = i32::MAX as usize;
    for &codec in Compression::ALL {
        let mut packed = Vec::new();
        Compressor::new().compress(codec, None, &input, &mut packed).expect("compressed");
        let mut decompressor = Decompressor::new();
        let peak = peak(|| {
            let mut out = Vec::new();
            decompressor.decompress(codec, &packed, &mut out, limit).expect("within the limit");
            assert_eq!(out.len(), input.len(), "{codec}");
        });
        assert!(peak <= 2 * input.len() as u64 + CONTEXT, "{codec}: {peak}");
    }
}

#[test]
fn a_frame_that_declares_much_and_holds_little_takes_little() {
    // A zstd frame that declares 1 GiB of content, with a last block of nothing; and padding that makes it likely.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x58, 0, 0, 0, 0x40, 1, 0, 0];
    frame.resize(64 << 10, 0);
    // Deflated, the same claim: a gzip member's last four bytes are its size.
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0];
    gzip.resize(1 << 20, 0);
    gzip.extend_from_slice(&(1u32 << 30).to_le_bytes());
    for (codec, liar) in [(Compression::Zstd, frame), (Compression::Gzip, gzip)] {
        let mut decompressor = Decompressor::new();
        let peak = peak(|| {
            let limit = i32::MAX as usize;
            decompressor.decompress(codec, &liar, &mut Vec::new(), limit).expect_err("a lie");
        });
        assert!(peak <= (8 << 20) + CONTEXT, "{codec}: {peak}");
    }
}

#[test]
fn what_input_merely_declares_is_not_allocated() {
    let liars: [(Compression, &[u8]); 4] = [
        (Compression::Gzip, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]),
        (Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]),
        (Compression::Lz4, &[4, 0x22, 0x4d, 0x18, 0x68, 0x70, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
        (Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0]),
    ];
    for (codec, liar) in liars {
        let mut decompressor = Decompressor::new();
        let peak = peak(|| {
            decompressor.decompress(codec, liar, &mut Vec::new(), 1 << 30).expect_err("a lie");
        });
        assert!(peak <= 4 * CONTEXT, "{codec}: {peak}");
    }
}
