//! The choice of a record's partition. A key decides exactly as in Java's producer. Records without a key go to the
//! same partition until its batch is closed (KIP-480), so that batches fill.

use super::BatchId;

/// The partition that Java's producer picks for a key, of `count` partitions.
pub fn partition_for_key(key: &[u8], count: i32) -> i32 {
    (murmur2(key) & i32::MAX) % count.max(1)
}

/// Kafka's variant of MurmurHash2.
fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15).cast_signed()
}

/// The partition that records without a key go to for now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sticky {
    pub(super) partition: i32,
    /// The batch that is being filled: once it is closed, another partition is chosen.
    pub(super) batch: BatchId,
}

/// Another partition: one with a leader, or any where none has a leader.
pub(super) fn next_sticky(led: &[i32], count: i32, previous: Option<Sticky>, rng: &mut fastrand::Rng) -> i32 {
    if led.is_empty() {
        return rng.i32(0..count.max(1));
    }
    let start = rng.usize(0..led.len());
    let fits = |partition: &&i32| previous.is_none_or(|previous| previous.partition != **partition);
    let rotated = led.iter().skip(start).chain(led.iter().take(start));
    rotated.clone().find(fits).or(rotated.clone().next()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_still_names_a_partition() {
        assert_eq!(partition_for_key(b"21", 12), (-973_932_308 & i32::MAX) % 12);
        assert!((0..12).contains(&partition_for_key(b"", 12)));
    }

    #[test]
    fn the_next_sticky_partition_is_another_one_with_a_leader() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let previous = Some(Sticky { partition: 4, batch: BatchId(0) });
            assert_eq!(next_sticky(&[2, 4], 6, previous, &mut rng), 2);
        }
        let alone = Some(Sticky { partition: 0, batch: BatchId(0) });
        assert_eq!(next_sticky(&[0], 1, alone, &mut rng), 0);
    }
}
