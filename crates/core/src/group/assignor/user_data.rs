//! The user data that members' sticky assignors send each other, in Java's form: fields without a version in front.

use ottla_protocol::codec::{DecodeError, Reader, Version, Wire};

use super::LastAssignment;
use crate::group::embedded::{by_topic, flat};

/// How all fields here are encoded: in no flexible version.
const FIXED: Version = Version { number: 0, flexible: false, nullable: false };

/// `previous_assignment` and `generation`: version 1 of Java's `StickyAssignor`.
pub(super) fn encode_last(last: &LastAssignment) -> Vec<u8> {
    let mut out = Vec::new();
    by_topic(&last.partitions).encode(&mut out, FIXED);
    last.generation_id.encode(&mut out, FIXED);
    out
}

/// Version 1, or version 0, which ends before the generation.
pub(super) fn decode_last(bytes: &[u8]) -> Result<LastAssignment, DecodeError> {
    let r = &mut Reader::new(bytes);
    let partitions = flat(Wire::decode(r, FIXED)?)?;
    Ok(LastAssignment { partitions, generation_id: i32::decode(r, FIXED).unwrap_or(-1) })
}

/// `generation`: version 0 of Java's `CooperativeStickyAssignor`.
pub(super) fn encode_generation(generation_id: i32) -> Vec<u8> {
    let mut out = Vec::new();
    generation_id.encode(&mut out, FIXED);
    out
}

pub(super) fn decode_generation(bytes: &[u8]) -> Result<i32, DecodeError> {
    i32::decode(&mut Reader::new(bytes), FIXED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assignor::tests::at;

    fn last() -> LastAssignment {
        LastAssignment { partitions: vec![at("a", 0), at("a", 2), at("bc", 1)], generation_id: 7 }
    }

    /// As Java's `StickyAssignor` writes it.
    const GOLDEN: &[u8] = b"\0\0\0\x02\
        \0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x02\
        \0\x02bc\0\0\0\x01\0\0\0\x01\
        \0\0\0\x07";

    #[test]
    fn the_last_assignment_is_written_and_read_as_java_does() {
        assert_eq!(encode_last(&last()), GOLDEN);
        assert_eq!(decode_last(GOLDEN).unwrap(), last());
    }

    #[test]
    fn version_0_has_no_generation() {
        let old = &GOLDEN[..GOLDEN.len() - 4];
        assert_eq!(decode_last(old).unwrap(), LastAssignment { generation_id: -1, ..last() });
    }

    #[test]
    fn the_generation_is_written_and_read_as_java_does() {
        assert_eq!(encode_generation(258), [0, 0, 1, 2]);
        assert_eq!(decode_generation(&[0, 0, 1, 2]).unwrap(), 258);
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic_or_to_hang() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..10_000 {
            let mut bytes = GOLDEN.to_vec();
            bytes.truncate(rng.usize(..=GOLDEN.len()));
            for _ in 0..rng.usize(..3) {
                if let Some(byte) = rng.choice(bytes.iter_mut()) {
                    *byte = rng.u8(..);
                }
            }
            let read = decode_last(&bytes).map_or(0, |last| last.partitions.len());
            assert!(read <= bytes.len());
            let _ = decode_generation(&bytes);
        }
    }
}
