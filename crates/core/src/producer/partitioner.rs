//! The choice of a record's partition, where it names none. By default a key decides exactly as in Java's producer, and records
//! without a key go to the same partition until its batch is closed (KIP-480), so that batches fill; the next one is drawn by
//! how little waits for it (KIP-794).

use std::{fmt, sync::Arc};

use super::BatchId;
use crate::caught;

/// How the partition of a record is chosen that names none. A record *without a key* goes to the same partition as the one before,
/// until the batch there is closed; then to another one that has a leader.
///
/// Names are librdkafka's, for those who come from there: it and this client place the same keys alike.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Partitioning {
    /// By the key's murmur2, as Java's producer does: the default.
    #[default]
    Murmur2Random,
    /// The same, but that no key is an empty one, which always has the same partition.
    Murmur2,
    /// By the key's CRC-32, as librdkafka does by default. An empty key is none.
    ConsistentRandom,
    /// By the key's CRC-32. No key is an empty one, and goes to partition 0.
    Consistent,
    /// By the key's FNV-1a, as Sarama does.
    Fnv1aRandom,
    /// The same, but that no key is an empty one.
    Fnv1a,
    /// Anywhere: each record with a key by itself.
    Random,
    /// One partition after the other, whatever the key: Java's `RoundRobinPartitioner`.
    RoundRobin,
    /// As the program says.
    Own(Arc<dyn Partitioner>),
}

/// A record that names no partition, and where it could go.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Unplaced<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// How many partitions the topic has.
    pub partitions: i32,
    /// Those of them that have a leader, in order.
    pub available: &'a [i32],
}

/// A partitioner of one's own.
///
/// It is asked for each record, while the producer waits: it should only compute. One that panics, or names a partition that the
/// topic does not have, fails the record ([`SendFailure::NotPlaced`](super::SendFailure::NotPlaced)), and no other.
pub trait Partitioner: fmt::Debug + Send + Sync {
    /// The record's partition, from 0; `None` for where a record without a key goes.
    fn partition(&self, record: &Unplaced<'_>) -> Option<i32>;
}

/// What the user's partitioner says of a record, or why that will not do.
pub(super) fn ask(own: &dyn Partitioner, record: &Unplaced<'_>) -> Result<Option<i32>, String> {
    match caught(|| own.partition(record)) {
        Ok(None) => Ok(None),
        Ok(Some(at)) if (0..record.partitions).contains(&at) => Ok(Some(at)),
        Ok(Some(at)) => Err(format!("chose partition {at} of {}", record.partitions)),
        Err(panic) => Err(format!("panicked: {panic}")),
    }
}

/// The partition that Java's producer picks for a key, of `count` partitions.
pub fn partition_for_key(key: &[u8], count: i32) -> i32 {
    (murmur2(key) & i32::MAX) % count.max(1)
}

/// The partition that librdkafka's `consistent` picks for a key.
pub(super) const fn by_crc32(key: &[u8], count: i32) -> i32 {
    of_hash(crc32(key), count)
}

/// The partition that librdkafka's `fnv1a` picks for a key, and Sarama's hash partitioner.
pub(super) fn by_fnv1a(key: &[u8], count: i32) -> i32 {
    let hash =
        key.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    of_hash(hash.cast_signed().wrapping_abs().cast_unsigned(), count)
}

const fn of_hash(hash: u32, count: i32) -> i32 {
    let count = if count < 1 { 1 } else { count.cast_unsigned() };
    (hash % count).cast_signed()
}

/// The checksum of zlib and Ethernet.
const fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let mut rest = data;
    while let [byte, behind @ ..] = rest {
        crc ^= *byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        rest = behind;
    }
    !crc
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

/// A partition by how little waits for it, as Java weighs them: of each, by how much the longest queue is longer, and one.
pub(super) fn next_by_load(loads: &[(i32, usize)], rng: &mut fastrand::Rng) -> Option<i32> {
    let longest = loads.iter().map(|(_, waiting)| *waiting).max()?;
    let weight = |waiting: usize| longest + 1 - waiting;
    let total: usize = loads.iter().map(|(_, waiting)| weight(*waiting)).sum();
    let mut drawn = rng.usize(0..total.max(1));
    for (partition, waiting) in loads {
        match drawn.checked_sub(weight(*waiting)) {
            Some(rest) => drawn = rest,
            None => return Some(*partition),
        }
    }
    None
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
    fn checksums_are_those_of_zlib() {
        for (key, crc) in [("", 0), ("a", 0xe8b7_be43), ("123456789", 0xcbf4_3926)] {
            assert_eq!(crc32(key.as_bytes()), crc, "{key}");
        }
        assert_eq!(by_crc32(b"123456789", 1000), (0xcbf4_3926_u32 % 1000).cast_signed());
    }

    #[test]
    fn fnv1a_is_an_absolute_value() {
        // The known hashes of "", "a" and "foobar" are negative as numbers of 31 bits and a sign.
        for (key, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            let expected = (hash.cast_signed().unsigned_abs() % 1000).cast_signed();
            assert_eq!(by_fnv1a(key.as_bytes(), 1000), expected, "{key}");
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

    #[test]
    fn partitions_are_drawn_by_how_little_waits_for_them() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut drawn = [0; 3];
        for _ in 0..6_000 {
            // Weights of 1, 2 and 3.
            drawn[next_by_load(&[(0, 2), (1, 1), (2, 0)], &mut rng).unwrap() as usize] += 1;
        }
        for (count, expected) in drawn.into_iter().zip([1_000, 2_000, 3_000]) {
            assert!((expected - 200..expected + 200).contains(&count), "{drawn:?}");
        }
        assert_eq!(next_by_load(&[(5, 7)], &mut rng), Some(5));
        assert_eq!(next_by_load(&[], &mut rng), None);
    }
}
