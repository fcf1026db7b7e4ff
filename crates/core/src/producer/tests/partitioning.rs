//! Where records go that name no partition.

use std::sync::Arc;

use super::*;

const CALM: Duration = Duration::from_millis(6);

fn with(partitioning: Partitioning) -> ProducerConfig {
    ProducerConfig { partitioning, ..config() }
}

fn keyed(key: Option<&str>) -> Outgoing<'_, std::iter::Empty<Header<'_>>> {
    Outgoing { partition: None, key: key.map(str::as_bytes), ..record("v") }
}

impl World {
    fn place(&mut self, key: Option<&str>) -> i32 {
        self.try_send(&keyed(key)).unwrap().partition()
    }
}

#[test]
fn one_partition_comes_after_the_other_whatever_the_key_and_those_without_a_leader_are_left_out() {
    let mut world = World::with_partitions(with(Partitioning::RoundRobin), &[1, 1, -1, 2]);
    let placed = [Some("a"), Some("a"), None, Some("b"), None].map(|key| world.place(key));
    assert_eq!(placed, [0, 1, 3, 0, 1]);
}

#[test]
fn a_send_that_waits_for_room_takes_no_turn() {
    let config = ProducerConfig { buffer_memory: 500, ..with(Partitioning::RoundRobin) };
    let mut world = World::with_partitions(config, &[1, 1, 1]);
    let placed = [world.place(None), world.place(None), world.place(None)];
    let full = "v".repeat(300);
    for _ in 0..3 {
        let record = Outgoing { value: Some(full.as_bytes()), ..keyed(None) };
        assert!(matches!(world.try_send(&record), Err(Refused::Wait)));
    }
    world.pass(CALM);
    for produced in std::mem::take(&mut world.produced) {
        world.acknowledge(&produced, 0);
    }
    assert_eq!((placed, world.place(None)), ([0, 1, 2], 0));
}

#[test]
fn librdkafkas_partitioners_hash_keys_and_some_of_them_the_lack_of_one() {
    // The CRC-32 of `a` is 0xe8b7be43, and its FNV-1a, as an absolute value, 0x1bf3d6d4.
    let (crc, fnv) = ((0xe8b7_be43_u32 % 7) as i32, 0x1bf3_d6d4 % 7);
    let (murmur, empty) = (partition_for_key(b"a", 7), partition_for_key(b"", 7));
    for (partitioning, a, none, no_key) in [
        (Partitioning::Consistent, crc, Some(0), Some(0)),
        (Partitioning::ConsistentRandom, crc, None, None),
        (Partitioning::Murmur2, murmur, Some(empty), Some(empty)),
        (Partitioning::Murmur2Random, murmur, Some(empty), None),
        (Partitioning::Fnv1a, fnv, Some(0x7ee3_623b % 7), Some(0x7ee3_623b % 7)),
        (Partitioning::Fnv1aRandom, fnv, Some(0x7ee3_623b % 7), None),
    ] {
        let mut world = World::with_partitions(with(partitioning.clone()), &[1; 7]);
        assert_eq!(world.place(Some("a")), a, "{partitioning:?}");
        for (key, expected) in [(Some(""), none), (None, no_key)] {
            let placed: BTreeSet<_> = (0..50)
                .map(|_| {
                    // A record without a key goes elsewhere when a batch is closed.
                    world.pass(CALM);
                    world.place(key)
                })
                .collect();
            match expected {
                Some(expected) => assert_eq!(placed, BTreeSet::from([expected]), "{partitioning:?} {key:?}"),
                None => assert!(placed.len() > 1, "{partitioning:?} {key:?}"),
            }
            for produced in std::mem::take(&mut world.produced) {
                world.acknowledge(&produced, 0);
            }
        }
    }
}

#[test]
fn a_random_partitioner_places_each_record_with_a_key_by_itself() {
    let mut world = World::with_partitions(with(Partitioning::Random), &[1, -1, 1, 1]);
    let placed: BTreeSet<_> = (0..100).map(|_| world.place(Some("a"))).collect();
    assert_eq!(placed, BTreeSet::from([0, 2, 3]));
}

#[test]
fn keys_that_are_ignored_place_nothing() {
    let mut world = World::with_partitions(ProducerConfig { ignore_keys: true, ..config() }, &[1; 7]);
    let placed: BTreeSet<_> = ["a", "b", "c", "d"].map(|key| world.place(Some(key))).into();
    assert_eq!(placed.len(), 1, "they fill one batch");
}

/// By the first byte of the value: a digit is the partition, `p` panics, all else is for the producer to place.
#[derive(Debug)]
struct ByValue;

impl Partitioner for ByValue {
    fn partition(&self, record: &Unplaced<'_>) -> Option<i32> {
        assert_eq!((record.topic, record.partitions, record.available), ("t", 3, &[0, 2][..]));
        match record.value?.first()? {
            b'p' => panic!("no partition for it"),
            digit @ b'0'..=b'9' => Some(i32::from(digit - b'0')),
            _ => None,
        }
    }
}

#[test]
fn a_partitioner_of_ones_own_places_records_and_one_that_fails_fails_its_record_alone() {
    let mut world = World::with_partitions(with(Partitioning::Own(Arc::new(ByValue))), &[1, -1, 1]);
    let mut placed = |value: &'static str| {
        let record = Outgoing { value: Some(value.as_bytes()), ..keyed(Some("k")) };
        match world.try_send(&record) {
            Ok(ticket) => Ok(ticket.partition()),
            Err(Refused::Failed(failure)) => Err(failure.to_string()),
            Err(Refused::Wait) => panic!("it waits"),
        }
    };
    assert_eq!((placed("2"), placed("0"), placed("1")), (Ok(2), Ok(0), Ok(1)));
    assert_eq!(placed("7"), Err("topic `t`: the partitioner chose partition 7 of 3".to_owned()));
    assert_eq!(placed("p"), Err("topic `t`: the partitioner panicked: no partition for it".to_owned()));
    assert!(placed("x").is_ok_and(|partition| partition != 1), "where a leader is");
    assert_eq!(placed("2"), Ok(2));
}

/// How many of 400 records without a key, each a batch of its own, went to each of two partitions, whose leaders are two brokers.
/// The first broker answers nothing.
fn shares(config: ProducerConfig) -> [usize; 2] {
    let config = ProducerConfig { linger: Duration::ZERO, max_in_flight: 1, ..config };
    let mut world = World::with_partitions(config, &[1, 2]);
    let mut shares = [0; 2];
    for _ in 0..400 {
        let partition = world.place(None);
        shares[partition as usize] += 1;
        // Batches are closed before another one is begun, so that queues are of batches.
        world.producer.close_open_batches();
        world.pass(Duration::from_millis(2));
        for produced in world.produced.extract_if(.., |produced| produced.port == 2).collect::<Vec<_>>() {
            world.acknowledge(&produced, 0);
        }
    }
    shares
}

impl Producer<()> {
    fn close_open_batches(&mut self) {
        self.queues.iter_mut().for_each(PartitionQueue::close);
    }
}

#[test]
fn records_without_a_key_go_where_little_waits() {
    let [slow, quick] = shares(config());
    assert!(slow < 60 && quick > 340, "{slow} and {quick}");
    let [slow, quick] = shares(ProducerConfig { adaptive: false, ..config() });
    assert!(slow > 150 && quick > 150, "{slow} and {quick}");
}

#[test]
fn a_broker_that_takes_nothing_for_too_long_gets_no_more_records_without_a_key() {
    let [slow, quick] =
        shares(ProducerConfig { availability_timeout: Duration::from_millis(10), ..config() });
    assert!((1..12).contains(&slow), "{slow} and {quick}");
}
