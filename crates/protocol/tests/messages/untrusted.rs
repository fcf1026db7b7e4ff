//! Bytes off a network: whatever they are, no decoder panics or allocates more than 32 times what it was given.

use crate::{
    Direction, Subject, cases,
    model::{self, Strangers},
    seeded,
};
use fastrand::Rng;
use ottla_protocol::{RequestHeader, ResponseHeader};
use std::hint::black_box;

const MOST_BYTES_A_BYTE: u64 = 32;

/// The most that a frame has made a decoder allocate, for each of its bytes.
#[derive(Default)]
struct Worst {
    ratio: f64,
    what: String,
}

impl Worst {
    fn decode(&mut self, subject: Subject, damage: &str, frame: &[u8]) {
        // The allocator of the crate counts this thread's live bytes alone, so that tests beside this one do not matter.
        let info = allocation_counter::measure(|| match subject.direction {
            Direction::Request => drop(black_box(RequestHeader::decode(frame))),
            Direction::Response => {
                drop(black_box(ResponseHeader::decode(subject.key, subject.version, frame)));
            }
        });
        let (peak, length) = (info.bytes_max, frame.len());
        assert!(
            peak <= MOST_BYTES_A_BYTE * length as u64,
            "{subject}, {damage}: {peak} bytes live for a frame of {length}: {frame:02x?}"
        );
        assert_eq!(info.bytes_current, 0, "{subject}, {damage}: a leak");
        let ratio = peak as f64 / length.max(1) as f64;
        if ratio > self.ratio {
            *self = Self { ratio, what: format!("{subject}, {damage}, {length} bytes") };
        }
    }

    fn report(&self) {
        println!("worst: {:.2} bytes live for each of the frame ({})", self.ratio, self.what);
    }
}

#[test]
fn no_frame_panics_or_allocates_beyond_its_size() {
    seeded("no_frame_panics_or_allocates_beyond_its_size", |rng| {
        let mut worst = Worst::default();
        for subject in Subject::all().cycle().take(cases()) {
            let values = model::random_fields(rng, subject.schema().fields);
            let frame = model::frame(subject, &values, &mut Strangers::Some(rng));
            worst.decode(subject, "whole", &frame);
            worst.decode(subject, "random", &random_frame(rng, subject));
            worst.decode(subject, "truncated", &frame[..rng.usize(..=frame.len())]);
            worst.decode(subject, "bits flipped", &with_bits_flipped(rng, frame.clone()));
            worst.decode(subject, "bytes replaced", &with_bytes_replaced(rng, frame));
        }
        worst.report();
    });
}

/// Arrays are reserved at once, so what hurts is a frame in which each announces all that could follow.
#[test]
fn arrays_that_compete_for_the_same_bytes_are_not_all_believed() {
    let mut worst = Worst::default();
    for subject in Subject::all() {
        for size in [16, 64, 1024, 20_000] {
            for depth in 0..5 {
                let frame = model::greedy_frame(subject, size, depth);
                worst.decode(subject, &format!("greedy at depth {depth}"), &frame);
            }
        }
    }
    worst.report();
}

/// A good header, so that the message is reached, and then anything.
fn random_frame(rng: &mut Rng, subject: Subject) -> Vec<u8> {
    let mut frame = model::header(subject, None, &mut Strangers::None);
    let kinds: [fn(&mut Rng) -> u8; 3] = [|rng| rng.u8(..), |rng| rng.u8(..4), |_| 1];
    let kind = kinds[rng.usize(..kinds.len())];
    frame.extend((0..rng.usize(..300)).map(|_| kind(rng)));
    frame
}

fn with_bits_flipped(rng: &mut Rng, mut frame: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.usize(1..8) {
        let at = rng.usize(..frame.len());
        frame[at] ^= 1 << rng.u8(..8);
    }
    frame
}

/// Lengths are what decoders believe, so bytes that make great ones, in the old form and in the new.
fn with_bytes_replaced(rng: &mut Rng, mut frame: Vec<u8>) -> Vec<u8> {
    let lengths: [&[u8]; 6] = [
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x00, 0x00, 0x00, 0xff],
        &[0x80, 0x00],
        &[0xff, 0x01],
        &[0x7f],
    ];
    for _ in 0..rng.usize(1..4) {
        let new = lengths[rng.usize(..lengths.len())];
        let at = rng.usize(..frame.len());
        let end = frame.len().min(at + new.len());
        frame.splice(at..end, new.iter().copied());
    }
    frame
}
