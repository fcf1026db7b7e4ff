//! Fewer acknowledgements than all, and no idempotence: what is delivered then, and that the order stays.

use super::*;

fn with(acks: Acks) -> ProducerConfig {
    ProducerConfig { acks, idempotent: false, ..config() }
}

#[test]
fn without_idempotence_no_identity_is_asked_for_and_none_is_told() {
    let mut world = World::ready(with(Acks::Leader));
    world.coordinator.silent = Some(ottla_protocol::ApiKey::InitProducerId);
    let ticket = world.send_out("a");
    let produced = world.take();
    let header = produced.header();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
    assert_eq!(produced.request.acks, 1);
    world.acknowledge(&produced, 7);
    assert_eq!(world.offset(&ticket), Some(7));
}

#[test]
fn all_replicas_may_be_waited_for_without_idempotence() {
    let mut world = World::ready(with(Acks::All));
    _ = world.send_out("a");
    let produced = world.take();
    assert_eq!((produced.request.acks, produced.header().producer_id), (-1, -1));
}

#[test]
fn without_acknowledgements_a_record_is_delivered_once_it_is_written_at_no_known_offset() {
    let mut world = World::ready(with(Acks::None));
    let ticket = world.send_out("a");
    let produced = world.take();
    assert_eq!(produced.request.acks, 0);
    assert!(world.result(&ticket).is_none(), "it is not written yet");
    world.hand_over(&produced);
    let timestamp = Some(Timestamp(1_700_000_001_000));
    let delivered = world.result(&ticket).unwrap().unwrap();
    assert_eq!(delivered, Delivered { partition: 0, offset: None, timestamp });
    assert_eq!((world.producer.outcomes.kept(), world.producer.buffered()), (0, 0));
    world.pass(Duration::from_secs(60));
    assert!(world.links.contains_key(&produced.conn), "an answer is not waited for");
}

#[test]
fn what_is_not_written_in_time_is_sent_again_on_another_connection() {
    let mut world = World::ready(with(Acks::None));
    let ticket = world.send_out("a");
    let stuck = world.take();
    world.pass(Duration::from_secs(31));
    let again = world.take();
    assert_ne!(again.conn, stuck.conn);
    assert_eq!(again.values(), ["a"]);
    world.hand_over(&again);
    assert_eq!(world.offset(&ticket), None);
}

#[test]
fn only_so_much_waits_to_be_written() {
    let config = ProducerConfig { max_in_flight: 2, ..with(Acks::None) };
    let mut world = World::with_partitions(config, &[1, 1, 1]);
    for partition in 0..3 {
        _ = world.try_send(&Outgoing { partition: Some(partition), ..record("v") }).unwrap();
        world.producer.flush();
        world.pump();
    }
    assert_eq!(world.produced.len(), 2);
    let first = world.take();
    world.hand_over(&first);
    assert_eq!(world.produced.len(), 2, "the third follows the first");
}

#[test]
fn without_idempotence_a_batch_waits_for_the_one_before_and_other_partitions_do_not() {
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let mut world = World::with_partitions(with(acks), &[1, 1]);
        _ = (world.send_out("a"), world.send_out("b"));
        _ = world.try_send(&Outgoing { partition: Some(1), ..record("other") }).unwrap();
        world.producer.flush();
        world.pump();
        let (a, other) = (world.take(), world.take());
        assert_eq!((a.values(), other.partitions()), (vec!["a".to_owned()], vec![1]));
        assert!(world.produced.is_empty(), "b waits for a");
        match acks {
            Acks::None => world.hand_over(&a),
            _ => world.acknowledge(&a, 0),
        }
        assert_eq!(world.take().values(), ["b"]);
    }
}

#[test]
fn without_idempotence_no_retry_is_passed() {
    for error in [ErrorCode::NotEnoughReplicas, ErrorCode::CorruptMessage, ErrorCode::RequestTimedOut] {
        let mut world = World::ready(with(Acks::Leader));
        let tickets = [world.send_out("a"), world.send_out("b")];
        let a = world.take();
        world.refuse(&a, error);
        _ = world.send_out("c");
        assert!(world.produced.is_empty(), "nothing passes while the retry waits");
        world.pass(Duration::from_secs(1));
        let again = world.take();
        assert_eq!(again.values(), ["a"]);
        assert!(world.produced.is_empty());
        world.acknowledge(&again, 0);
        let b = world.take();
        assert_eq!(b.values(), ["b", "c"], "what waits is one batch");
        world.acknowledge(&b, 1);
        assert_eq!(tickets.map(|ticket| world.offset(&ticket)), [Some(0), Some(1)]);
    }
}

#[test]
fn without_idempotence_what_follows_a_record_given_up_waits_for_its_answer() {
    let mut world =
        World::ready(ProducerConfig { delivery_timeout: Duration::from_secs(5), ..with(Acks::Leader) });
    let late = world.send_out("late");
    let first = world.take();
    world.pass(Duration::from_secs(6));
    assert!(matches!(world.result(&late), Some(Err(SendFailure::DeliveryTimeout { sent: true, .. }))));
    let next = world.send_out("next");
    assert!(world.produced.is_empty(), "what was given up may still be appended");
    world.acknowledge(&first, 0);
    let second = world.take();
    assert_eq!((second.values(), second.header().producer_id), (vec!["next".to_owned()], -1));
    world.acknowledge(&second, 1);
    assert_eq!(world.offset(&next), Some(1));
}

#[test]
fn without_idempotence_a_lost_connection_repeats_records_but_swaps_none() {
    let mut world = World::ready(with(Acks::Leader));
    _ = (world.send_out("a"), world.send_out("b"));
    let a = world.take();
    world.producer.handle_disconnected(a.conn, Disconnected::Closed, world.now);
    world.pass(Duration::from_secs(2));
    let again = world.take();
    assert_eq!(again.values(), ["a"], "it may be in the log already");
    world.acknowledge(&again, 1);
    assert_eq!(world.take().values(), ["b"]);
}

#[test]
fn a_record_is_sent_again_as_often_as_retries_allow_and_then_fails_with_the_last_obstacle() {
    for idempotent in [false, true] {
        let mut world = World::ready(ProducerConfig { idempotent, retries: 2, ..config() });
        let ticket = world.send_out("a");
        for _ in 0..3 {
            let produced = world.take();
            world.refuse(&produced, ErrorCode::NotEnoughReplicas);
            world.pass(Duration::from_secs(2));
        }
        assert!(world.produced.is_empty());
        let address = Some(Address { host: "broker".to_owned(), port: 1 });
        let cause = Cause::Broker { address, error: ErrorCode::NotEnoughReplicas };
        let failure = SendFailure::RetriesExhausted { at: TopicPartition::new("t", 0), attempts: 3, cause };
        assert_eq!(world.result(&ticket), Some(Err(failure)));
        let next = world.send_out("b");
        let produced = world.take();
        world.acknowledge(&produced, 0);
        assert_eq!(world.offset(&next), Some(0));
    }
}

#[test]
fn without_retries_each_record_on_a_lost_connection_fails() {
    let mut world = World::with_partitions(ProducerConfig { retries: 0, ..with(Acks::Leader) }, &[1, 1]);
    let tickets = [0, 1].map(|partition| {
        let ticket = world.try_send(&Outgoing { partition: Some(partition), ..record("v") }).unwrap();
        world.producer.flush();
        world.pump();
        ticket
    });
    let conn = world.produced[0].conn;
    world.producer.handle_disconnected(conn, Disconnected::Closed, world.now);
    for ticket in tickets {
        assert!(matches!(
            world.result(&ticket),
            Some(Err(SendFailure::RetriesExhausted { attempts: 1, .. }))
        ));
    }
}

#[test]
fn an_identity_that_is_none_is_refused_and_asked_for_again() {
    for none in [(-1, 0), (i64::MIN, 0), (ID, -1)] {
        let mut world = World::new(ProducerConfig::default());
        world.gives = none;
        world.pump();
        assert!(matches!(world.try_send(&record("x")), Err(Refused::Wait)));
        world.pass(Duration::from_secs(1));
        let ticket = world.send_out("without");
        world.pass(Duration::from_secs(1));
        let failure = SendFailure::Identity { error: ErrorCode::UnknownServerError };
        assert_eq!(ticket.result(), Some(Err(failure)), "{none:?}");
        assert!(world.produced.is_empty(), "nothing is sent as if it were not idempotent");
        world.gives = (ID, 0);
        _ = world.send_out("with");
        world.pass(Duration::from_secs(2));
        assert_eq!(world.take().header().producer_id, ID);
    }
}

#[test]
fn records_behind_the_last_offset_are_at_the_last() {
    let mut world = World::known(ProducerConfig::default());
    let tickets = [world.send("a"), world.send("b")];
    world.producer.flush();
    world.pump();
    let sent = world.take();
    world.acknowledge(&sent, i64::MAX);
    for ticket in tickets {
        assert_eq!(ticket.result().unwrap().unwrap().offset, Some(i64::MAX));
    }
}

#[test]
fn of_what_a_broker_says_of_a_refused_batch_each_record_has_no_more_than_anybody_reads() {
    let mut world = World::known(ProducerConfig::default());
    let ticket = world.send_out("a");
    let sent = world.take();
    let answer = ProducePartitionResponse {
        error_code: ErrorCode::InvalidRecord,
        error_message: Some("x".repeat(1 << 20)),
        ..Default::default()
    };
    world.reply(&sent, answer, Vec::new());
    let Some(Err(SendFailure::Refused { message: Some(message), .. })) = ticket.result() else { panic!() };
    assert!(message.len() < 2000, "{}", message.len());
}
