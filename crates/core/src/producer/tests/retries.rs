//! Order and identity under errors that pass, and those that do not.

use super::*;
use crate::log::tests::told_while;

#[test]
fn a_retry_keeps_the_order() {
    let mut world = World::known(config());
    let tickets = ["a", "b", "c"].map(|value| world.send_out(value));
    let (a, b, c) = (world.take(), world.take(), world.take());
    world.refuse(&a, ErrorCode::NotEnoughReplicas);
    world.refuse(&b, ErrorCode::OutOfOrderSequenceNumber);
    world.refuse(&c, ErrorCode::OutOfOrderSequenceNumber);
    _ = world.send_out("d");
    assert!(world.produced.is_empty(), "nothing passes, and the retry waits");
    world.pass(Duration::from_secs(1));
    for (index, value) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(world.produced.len(), 1, "a retry goes alone");
        let produced = world.take();
        assert_eq!(produced.values(), [value]);
        let header = produced.header();
        assert_eq!((header.base_sequence, header.producer_epoch), (index as i32 + 1, 0), "as at first");
        world.acknowledge(&produced, index as i64 + 1);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.take().values(), ["d"]);
    assert_eq!(tickets.map(|ticket| world.offset(&ticket)), [Some(1), Some(2), Some(3)]);
}

#[test]
fn a_duplicate_is_a_success() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let produced = world.take();
    world.refuse(&produced, ErrorCode::DuplicateSequenceNumber);
    assert_eq!(world.offset(&ticket), None);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_sequence() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let lost = world.take();
    world.producer.handle_disconnected(lost.conn, Disconnected::Closed, world.now);
    world.pass(Duration::from_secs(2));
    let again = world.take();
    assert_eq!(again.header(), lost.header());
    world.acknowledge(&again, 9);
    assert_eq!(world.offset(&ticket), Some(9));
}

#[test]
fn a_leader_that_moved_is_found_by_metadata() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let produced = world.take();
    assert_eq!(produced.port, 1);
    (world.leaders, world.leader_epoch) = (vec![2], 2);
    world.refuse(&produced, ErrorCode::NotLeaderOrFollower);
    world.pass(Duration::from_secs(1));
    let produced = world.take();
    assert_eq!(produced.port, 2);
    world.acknowledge(&produced, 3);
    assert_eq!(world.offset(&ticket), Some(3));
}

#[test]
fn a_leader_hint_is_followed_at_once() {
    let mut world = World::ready(config());
    _ = world.send_out("a");
    let produced = world.take();
    let answer = ProducePartitionResponse {
        error_code: ErrorCode::NotLeaderOrFollower,
        current_leader: ProduceLeaderIdAndEpoch { leader_id: 2, leader_epoch: 5 },
        ..Default::default()
    };
    let endpoint = ProduceNodeEndpoint { node_id: 2, host: "moved".to_owned(), port: 22, rack: None };
    world.reply(&produced, answer, vec![endpoint]);
    assert_eq!(world.take().port, 22);
}

#[test]
fn batches_wait_for_those_that_went_to_the_former_leader() {
    let mut world = World::known(config());
    _ = (world.send_out("a"), world.send_out("b"));
    let (a, b) = (world.take(), world.take());
    (world.leaders, world.leader_epoch) = (vec![2], 2);
    world.refuse(&a, ErrorCode::NotLeaderOrFollower);
    world.pass(Duration::from_secs(1));
    assert!(world.produced.is_empty(), "b is still with the former leader");
    world.refuse(&b, ErrorCode::NotLeaderOrFollower);
    world.pass(Duration::from_secs(1));
    assert_eq!((world.take().values(), world.produced.len()), (vec!["a".to_owned()], 0));
}

#[test]
fn a_sequence_that_the_broker_lost_starts_anew_in_the_next_epoch() {
    for error in [ErrorCode::OutOfOrderSequenceNumber, ErrorCode::UnknownProducerId] {
        let mut world = World::with_partitions(config(), &[1, 1]);
        _ = world.send_out("a");
        let produced = world.take();
        world.acknowledge(&produced, 0);
        let tickets = [world.send_out("b"), world.send_out("c")];
        let (b, c) = (world.take(), world.take());
        world.refuse(&b, error);
        assert!(world.produced.is_empty(), "nothing is sent while the old epoch is on its way");
        world.refuse(&c, ErrorCode::OutOfOrderSequenceNumber);
        world.pass(Duration::from_secs(1));
        let b = world.take();
        let header = b.header();
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (ID, 1, 0));
        world.acknowledge(&b, 1);
        world.pass(Duration::from_secs(1));
        let c = world.take();
        assert_eq!((c.values(), c.header().base_sequence), (vec!["c".to_owned()], 1));
        world.acknowledge(&c, 2);
        assert_eq!(tickets.map(|ticket| world.offset(&ticket)), [Some(1), Some(2)]);
    }
}

#[test]
fn a_record_that_is_refused_fails_alone_and_leaves_no_gap() {
    let mut world = World::ready(config());
    let bad = world.send_out("bad");
    let produced = world.take();
    world.refuse(&produced, ErrorCode::InvalidRecord);
    let at = TopicPartition::new("t", 0);
    let failure = SendFailure::Refused { at, error: ErrorCode::InvalidRecord, message: None };
    assert_eq!(world.result(&bad), Some(Err(failure)));
    let good = world.send_out("good");
    let produced = world.take();
    assert_eq!((produced.header().producer_epoch, produced.header().base_sequence), (1, 0));
    world.acknowledge(&produced, 0);
    assert_eq!(world.offset(&good), Some(0));
}

#[test]
fn a_record_that_is_not_acknowledged_in_time_fails_and_says_why() {
    let mut world = World::ready(config());
    let ticket = world.send_out("a");
    let start = world.now;
    while world.producer.outcomes.first_pending().is_some() {
        while !world.produced.is_empty() {
            let produced = world.take();
            world.refuse(&produced, ErrorCode::NotEnoughReplicas);
        }
        world.pass(Duration::from_millis(100));
        assert!(world.now.mono - start.mono < Duration::from_secs(121));
    }
    let Some(Err(SendFailure::DeliveryTimeout { waited, cause, .. })) = world.result(&ticket) else {
        panic!()
    };
    assert_eq!(waited, Duration::from_secs(120));
    let address = Some(Address { host: "broker".to_owned(), port: 1 });
    assert_eq!(cause, Some(Cause::Broker { address, error: ErrorCode::NotEnoughReplicas }));
}

#[test]
fn an_answer_that_comes_after_the_record_was_given_up_changes_nothing() {
    let mut world = World::known(ProducerConfig { delivery_timeout: Duration::from_secs(5), ..config() });
    let late = world.send_out("late");
    let next = world.send_out("next");
    let (first, second) = (world.take(), world.take());
    world.pass(Duration::from_secs(6));
    assert!(matches!(world.result(&late), Some(Err(SendFailure::DeliveryTimeout { .. }))));
    assert!(matches!(world.result(&next), Some(Err(SendFailure::DeliveryTimeout { .. }))));
    _ = world.send_out("third");
    assert!(world.produced.is_empty(), "what was given up may still be appended");
    world.acknowledge(&first, 0);
    world.acknowledge(&second, 1);
    assert_eq!(world.take().header().producer_epoch, 1);
}

#[test]
fn the_first_batch_under_an_identity_goes_alone_until_it_is_acknowledged() {
    let mut world = World::ready(config());
    for value in ["a", "b", "c"] {
        _ = world.send_out(value);
    }
    let first = world.take();
    assert!(
        world.produced.is_empty(),
        "a broker that does not know the producer would take the next as its first"
    );
    world.refuse(&first, ErrorCode::NotLeaderOrFollower);
    world.pass(Duration::from_secs(1));
    let again = world.take();
    assert_eq!(again.values(), ["a"]);
    assert!(world.produced.is_empty());
    world.acknowledge(&again, 0);
    _ = world.send_out("d");
    let (second, third) = (world.take().values(), world.take().values());
    assert_eq!((second.concat(), third.concat()), ("bc".to_owned(), "d".to_owned()), "now it is known");
}

#[test]
fn the_first_batch_of_a_new_epoch_goes_alone_too() {
    let mut world = World::known(config());
    for value in ["a", "b"] {
        _ = world.send_out(value);
    }
    let (a, b) = (world.take(), world.take());
    world.refuse(&a, ErrorCode::UnknownProducerId);
    world.refuse(&b, ErrorCode::OutOfOrderSequenceNumber);
    world.pass(Duration::from_secs(1));
    let again = world.take();
    assert_eq!((again.values(), again.header().producer_epoch), (vec!["a".to_owned()], 1));
    assert!(world.produced.is_empty());
}

/// Lets the time pass after which new metadata is in use.
fn looks_again(world: &mut World) {
    world.pass(Duration::from_secs(301));
}

#[test]
fn a_partition_that_was_gone_for_a_moment_goes_on_with_its_sequence() {
    let mut world = World::with_partitions(config(), &[1, 1]);
    let to_second = |world: &mut World| {
        let ticket = world.try_send(&Outgoing { partition: Some(1), ..record("v") }).unwrap();
        world.producer.flush();
        world.pump();
        let produced = world.take();
        world.acknowledge(&produced, 0);
        (ticket, produced.header().base_sequence)
    };
    assert_eq!(to_second(&mut world).1, 0);
    world.leaders = vec![1];
    looks_again(&mut world);
    _ = world.send_out("elsewhere");
    let elsewhere = world.take();
    world.acknowledge(&elsewhere, 0);
    world.leaders = vec![1, 1];
    looks_again(&mut world);
    assert_eq!(to_second(&mut world).1, 1, "a broker would take 0 for what it has");
}

#[test]
fn the_first_batch_to_a_topic_made_anew_goes_alone() {
    let mut world = World::known(config());
    world.topic_id = TopicId([8; 16]);
    looks_again(&mut world);
    for value in ["a", "b"] {
        _ = world.send_out(value);
    }
    let first = world.take();
    assert_eq!(first.values(), ["a"]);
    assert!(world.produced.is_empty(), "the new log knows nothing of the producer");
}

#[test]
fn a_batch_that_is_given_up_is_told_once_and_so_is_the_first_that_is_delivered_again() {
    let mut world = World::known(config());
    let ((), told) = told_while(|| {
        for value in ["a", "b"] {
            _ = world.send_out(value);
            let produced = world.take();
            world.refuse(&produced, ErrorCode::TopicAuthorizationFailed);
        }
        _ = world.send_out("c");
        let produced = world.take();
        world.acknowledge(&produced, 1);
    });
    assert_eq!(
        told,
        [
            "ERROR batch given up records=1 why=t-0 refused: TOPIC_AUTHORIZATION_FAILED (29)",
            "INFO identity bumped producer_id=4000 epoch=1",
            "INFO identity bumped producer_id=4000 epoch=2",
            "INFO delivering again partition=t-0",
        ]
    );
}
