//! Which records become a batch, where it goes, and when.

use std::task::{Context, Waker};

use ottla_protocol::codec::RecordData;

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
fn a_batch_leaves_the_machine_uncompressed_for_whoever_sends_it() {
    let mut world = World::ready(ProducerConfig { compression: Compression::Zstd, ..config() });
    _ = world.send(&"compressible ".repeat(50));
    world.producer.flush();
    let (mut compressor, mut sent) = (Compressor::new(), 0);
    while let Some(outbound) = world.producer.poll_send(world.now) {
        match outbound {
            Outbound::Send { request: Request::Produce(mut request), .. } => {
                let is_closed = |batch: &mut RecordData| matches!(batch, RecordData::Closed(_));
                assert!(request.batches_mut().all(is_closed));
                request.compress(&mut compressor);
                assert!(request.batches_mut().all(|batch| matches!(batch, RecordData::Owned(_))));
                sent += 1;
            }
            Outbound::Send { conn, id, version, request } => world.answer(conn, id, version, request),
            Outbound::Connect { conn, port, .. } => {
                world.links.insert(conn, port);
                world.producer.handle_connected(conn, world.now);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, 1);
}

/// Sends records without a key until so many batches are full.
fn fill(world: &mut World, batches: usize) {
    let full = |world: &World| world.producer.queues.iter().flat_map(|queue| &queue.batches).count();
    let before = full(world);
    while full(world) < before + batches {
        let record = Outgoing { partition: None, ..record("0123456789") };
        drop(world.try_send(&record).unwrap());
    }
}

/// A producer to four partitions of one leader, which knows it in all of them and has a request to answer.
fn busy(config: ProducerConfig) -> World {
    let config = ProducerConfig { batch_size: 500, adaptive: false, ..config };
    let mut world = World::with_partitions(config, &[1; 4]);
    for partition in 0..4 {
        drop(world.try_send(&Outgoing { partition: Some(partition), ..record("v") }).unwrap());
    }
    world.producer.flush();
    world.pump();
    let first = world.take();
    world.acknowledge(&first, 0);
    // The second batch is begun as the first one is full.
    fill(&mut world, 2);
    world.pump();
    assert_eq!(world.produced.len(), 1, "a full batch does not wait for company where nothing is on its way");
    _ = (world.producer.take_stir(), world.producer.poll_timeout());
    world
}

#[test]
fn full_batches_go_together_with_the_answer_to_the_request_before() {
    let mut world = busy(config());
    fill(&mut world, 1);
    assert!(!world.producer.take_stir(), "the driver has nothing to do before the answer");
    world.pump();
    assert_eq!(world.produced.len(), 1);
    fill(&mut world, 1);
    let first = world.take();
    world.acknowledge(&first, 0);
    assert_eq!(world.take().partitions().len(), 2);
}

#[test]
fn a_full_batch_waits_no_longer_for_company_than_for_records() {
    let mut world = busy(config());
    fill(&mut world, 1);
    world.pass(Duration::from_millis(5));
    let sent: usize = world.produced.iter().map(|produced| produced.partitions().len()).sum();
    assert_eq!(sent, 3, "the open one is due, too");
    let mut world = busy(config());
    fill(&mut world, 1);
    world.producer.flush();
    world.pump();
    assert_eq!(world.produced.len(), 2);
}

#[test]
fn full_batches_do_not_wait_for_company_once_there_is_enough_or_one_waits_behind_another() {
    let mut world = busy(ProducerConfig { max_request_size: 6_000, ..config() });
    fill(&mut world, 2);
    assert!(world.producer.take_stir());
    world.pump();
    assert_eq!(world.produced.len(), 2, "two batches are more than an eighth of a request");

    let mut world = busy(config());
    let full = "v".repeat(300);
    for _ in 0..3 {
        drop(world.try_send(&Outgoing { partition: Some(3), ..record(&full) }).unwrap());
    }
    assert!(world.producer.take_stir());
    world.pump();
    assert_eq!(world.produced.len(), 2);
}

#[test]
fn full_batches_of_the_only_partition_do_not_wait_for_an_answer() {
    let mut world = World::known(ProducerConfig { batch_size: 200, ..config() });
    for _ in 0..3 {
        drop(world.send(&"v".repeat(150)));
    }
    world.pump();
    assert_eq!(world.produced.len(), 2, "the third is not full");
}

#[test]
fn who_awaits_a_record_is_woken_when_its_batch_is_decided() {
    let mut world = World::ready(config());
    let tickets = [world.send("a"), world.send("b")];
    let context = Context::from_waker(Waker::noop());
    let mut places = [None, None];
    for _ in 0..3 {
        for (ticket, place) in tickets.iter().zip(&mut places) {
            assert!(ticket.poll_result(place, &context).is_pending());
        }
    }
    world.producer.flush();
    world.pump();
    assert_eq!(world.producer.take_wakers().len(), 0);
    let produced = world.take();
    world.acknowledge(&produced, 7);
    assert_eq!(world.producer.take_wakers().len(), 2, "each once");
    assert!(tickets[1].poll_result(&mut places[1], &context).is_ready());

    let undecided = world.send("c");
    assert!(undecided.poll_result(&mut None, &context).is_pending());
    world.producer.handle_driver_gone();
    assert_eq!(world.producer.take_wakers().len(), 1);
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

/// As where a clock is set on: timers that run have no part in that.
#[test]
fn a_driver_that_should_have_looked_by_now_is_stirred_by_the_next_batch() {
    let mut world = World::ready(config());
    _ = world.send("a");
    world.producer.flush();
    world.pump();
    let looks_at = world.producer.poll_timeout().unwrap();
    _ = world.producer.take_stir();
    world.now.mono = looks_at + Duration::from_secs(1);
    _ = world.send("b");
    assert!(world.producer.take_stir());
}
