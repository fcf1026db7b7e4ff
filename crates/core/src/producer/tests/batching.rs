//! Which records become a batch, where it goes, and when.

use super::*;

#[test]
fn a_record_waits_for_its_linger_and_is_told_its_offset() {
    let mut world = World::ready(config());
    let ticket = world.send("a");
    let second = world.send("b");
    world.pump();
    assert!(world.produced.is_empty(), "the batch may still grow");
    world.pass(Duration::from_millis(5));
    let produced = world.take();
    assert_eq!(produced.values(), ["a", "b"]);
    let header = produced.header();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (ID, 0, 0));
    assert_eq!((produced.request.acks, produced.request.topic_data[0].topic_id), (-1, TOPIC));
    assert!(world.result(&ticket).is_none());
    world.acknowledge(&produced, 40);
    let delivered = world.result(&ticket).unwrap().unwrap();
    let timestamp = Some(Timestamp(1_700_000_001_000));
    assert_eq!(delivered, Delivered { partition: 0, offset: Some(40), timestamp });
    assert_eq!(world.offset(&second), Some(41));
    assert_eq!((world.producer.outcomes.kept(), world.producer.buffered()), (0, 0));
}

#[test]
fn a_full_batch_does_not_linger() {
    let mut world = World::ready(ProducerConfig { batch_size: 200, ..config() });
    let value = "v".repeat(60);
    for _ in 0..3 {
        _ = world.send(&value);
    }
    world.pump();
    assert_eq!(world.take().header().record_count, 1 + 1, "the third had no room");
    assert!(world.produced.is_empty(), "the third lingers");
}

#[test]
fn the_smallest_batch_size_makes_each_record_a_batch() {
    let mut world =
        World::known(ProducerConfig { batch_size: 1, linger: Duration::from_secs(10), ..config() });
    for value in ["a", "b"] {
        _ = world.send(value);
    }
    world.pump();
    assert_eq!(world.take().values(), ["a"], "it is full, and does not linger");
}

#[test]
fn a_flush_sends_at_once_and_ends_when_all_is_decided() {
    let mut world = World::ready(ProducerConfig { linger: Duration::from_secs(10), ..config() });
    let ticket = world.send("a");
    let flush = world.producer.flush();
    world.pump();
    let produced = world.take();
    _ = world.send("later");
    assert!(!world.producer.is_flushed(flush));
    world.acknowledge(&produced, 0);
    assert!(world.producer.is_flushed(flush), "what came later does not matter");
    assert_eq!(world.offset(&ticket), Some(0));
}

#[test]
fn five_batches_of_a_partition_are_on_their_way_and_a_sixth_waits() {
    let mut world = World::known(config());
    for value in ["a", "b", "c", "d", "e", "f"] {
        _ = world.send_out(value);
    }
    let sequences: Vec<_> = world.produced.iter().map(|produced| produced.header().base_sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    let first = world.take();
    world.acknowledge(&first, 1);
    assert_eq!(world.produced.last().unwrap().values(), ["f"]);
}

#[test]
fn a_topic_made_anew_with_fewer_partitions_takes_records_without_a_key() {
    let mut world = World::with_partitions(config(), &[1; 4]);
    let keyless = |world: &mut World| world.try_send(&Outgoing { partition: None, ..record("v") }).unwrap();
    while keyless(&mut world).partition() == 0 {
        world.producer.flush();
        world.pump();
    }
    world.producer.flush();
    world.pump();
    for produced in std::mem::take(&mut world.produced) {
        world.acknowledge(&produced, 0);
    }
    world.leaders = vec![1];
    world.pass(Duration::from_secs(301));
    assert_eq!(keyless(&mut world).partition(), 0);
}

#[test]
fn records_with_a_key_keep_to_its_partition() {
    let mut world = World::with_partitions(config(), &[1; 12]);
    for key in ["21", "foobar", "abc"] {
        let ticket = world.try_send(&Outgoing { partition: None, key: Some(key.as_bytes()), ..record("v") });
        assert_eq!(ticket.unwrap().partition(), partition_for_key(key.as_bytes(), 12));
    }
}

#[test]
fn records_without_a_key_fill_one_batch_and_then_that_of_another_partition() {
    let mut world =
        World::with_partitions(ProducerConfig { batch_size: 500, adaptive: false, ..config() }, &[1; 4]);
    let value = "v".repeat(100);
    let mut partitions = Vec::new();
    for _ in 0..20 {
        let ticket = world.try_send(&Outgoing { partition: None, ..record(&value) }).unwrap();
        partitions.push(ticket.partition());
        world.producer.release(&ticket);
    }
    partitions.dedup();
    assert!((5..=7).contains(&partitions.len()), "a batch holds three or four: {partitions:?}");
}

#[test]
fn batches_of_several_partitions_travel_in_one_request_per_leader() {
    let mut world = World::with_partitions(config(), &[1, 2, 1]);
    for partition in 0..3 {
        let sent = world.try_send(&Outgoing { partition: Some(partition), ..record("v") });
        world.producer.release(&sent.unwrap());
    }
    world.pass(Duration::from_millis(5));
    let mut requests: Vec<_> = world.produced.iter().map(|p| (p.port, p.partitions())).collect();
    requests.sort();
    assert_eq!(requests, [(1, vec![0, 2]), (2, vec![1])]);
}

#[test]
fn closing_delivers_what_was_taken_and_takes_no_more() {
    let mut world = World::ready(ProducerConfig { linger: Duration::from_secs(60), ..config() });
    let ticket = world.send("a");
    world.producer.close(world.now.mono + Duration::from_secs(30));
    assert!(matches!(world.try_send(&record("b")), Err(Refused::Failed(_))));
    world.pump();
    let produced = world.take();
    assert!(!world.producer.is_closed());
    world.acknowledge(&produced, 7);
    assert!(world.producer.is_closed() && world.links.is_empty());
    assert_eq!(world.offset(&ticket), Some(7));
}

#[test]
fn batches_are_compressed_as_configured() {
    for &compression in Compression::ALL {
        let mut world = World::ready(ProducerConfig { compression, ..config() });
        let value = "compressible ".repeat(50);
        _ = world.send_out(&value);
        let produced = world.take();
        assert_eq!(produced.header().compression(), Ok(compression));
        assert_eq!(produced.values(), [value]);
    }
}

#[test]
fn many_records_cost_no_entry_each() {
    let mut world = World::with_partitions(config(), &[1, 2, 1]);
    let mut tickets = Vec::new();
    for _ in 0..50_000 {
        let sent = world.try_send(&Outgoing { partition: None, ..record("0123456789") });
        tickets.push(sent.unwrap());
    }
    assert!(world.producer.outcomes.kept() < 200, "{}", world.producer.outcomes.kept());
    let flush = world.producer.flush();
    world.pump();
    while !world.produced.is_empty() {
        let produced = world.take();
        assert!(produced.headers().iter().all(|header| header.base_sequence >= 0));
        world.acknowledge(&produced, 0);
    }
    assert!(world.producer.is_flushed(flush));
    assert!(tickets.iter().all(|ticket| world.result(ticket).is_some_and(|result| result.is_ok())));
    assert_eq!(world.producer.outcomes.kept(), 0);
}

#[test]
fn the_driver_is_stirred_by_a_new_batch_and_not_by_each_record() {
    let mut world = World::ready(config());
    _ = world.producer.take_stir();
    let first = world.send("a");
    assert!(world.producer.take_stir());
    let second = world.send("b");
    world.producer.release(&first);
    assert!(world.result(&second).is_none());
    assert!(!world.producer.take_stir());
    world.producer.flush();
    assert!(world.producer.take_stir());
}
