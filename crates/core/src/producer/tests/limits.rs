//! Records that are not taken, or are given up, and the reasons that are told.

use super::*;
use crate::metadata::MetadataConfig;

#[test]
fn a_topic_that_does_not_exist_fails_after_the_grace_given() {
    let mut world = World::new(ProducerConfig { unknown_topic_grace: Duration::from_secs(3), ..config() });
    world.leaders.clear();
    let since = world.now.mono;
    for _ in 0..29 {
        assert!(matches!(world.producer.send(&record("a"), since, world.now), Err(Refused::Wait)));
        world.pass(Duration::from_millis(100));
    }
    _ = world.producer.take_wake();
    world.pass(Duration::from_millis(100));
    assert!(world.producer.take_wake(), "who waits is woken when its time is up");
    let Err(Refused::Failed(failure)) = world.producer.send(&record("a"), since, world.now) else { panic!() };
    assert_eq!(*failure, SendFailure::UnknownTopic { topic: "t".to_owned() });
    world.leaders = vec![1];
    let since = world.now.mono;
    assert!(
        matches!(world.producer.send(&record("a"), since, world.now), Err(Refused::Wait)),
        "asked afresh"
    );
    world.pass(Duration::from_secs(2));
    _ = world.send("a");
}

#[test]
fn without_grace_a_topic_that_does_not_exist_fails_with_the_first_answer() {
    let mut world = World::new(ProducerConfig { unknown_topic_grace: Duration::ZERO, ..config() });
    world.leaders.clear();
    assert!(matches!(world.try_send(&record("a")), Err(Refused::Wait)));
    world.pump();
    assert!(world.producer.take_wake());
    assert!(matches!(world.try_send(&record("a")), Err(Refused::Failed(_))));
}

#[test]
fn an_unreachable_cluster_is_named_when_a_send_gives_up() {
    let mut world = World::new(config());
    world.unreachable = true;
    let since = world.now.mono;
    assert!(matches!(world.producer.send(&record("a"), since, world.now), Err(Refused::Wait)));
    world.pass(Duration::from_secs(60));
    let Err(Refused::Failed(failure)) = world.producer.send(&record("a"), since, world.now) else { panic!() };
    assert!(matches!(*failure, SendFailure::MetadataTimeout { .. }));
    assert!(failure.to_string().ends_with("the last obstacle: seed:1: cannot connect: nobody"), "{failure}");
}

#[test]
fn a_partition_that_does_not_exist_fails() {
    let mut world = World::ready(ProducerConfig { unknown_topic_grace: Duration::ZERO, ..config() });
    let Err(Refused::Failed(failure)) = world.try_send(&Outgoing { partition: Some(3), ..record("a") })
    else {
        panic!()
    };
    let at = TopicPartition::new("t", 3);
    assert_eq!(*failure, SendFailure::UnknownPartition { at, count: 1 });
}

#[test]
fn a_record_larger_than_a_request_is_not_taken() {
    let mut world = World::ready(config());
    let large = "x".repeat(1024 * 1024);
    let Err(Refused::Failed(failure)) = world.try_send(&record(&large)) else { panic!() };
    assert!(matches!(*failure, SendFailure::TooLarge { limit: 1_048_576, .. }));
}

#[test]
fn a_topic_is_created_by_being_asked_for_where_that_is_allowed() {
    for allowed in [true, false] {
        let metadata = MetadataConfig { allow_auto_create: allowed, ..MetadataConfig::default() };
        let mut world = World::new(ProducerConfig { metadata, ..config() });
        world.pump();
        assert!(matches!(world.try_send(&record("x")), Err(Refused::Wait)));
        world.pass(Duration::from_secs(1));
        assert_eq!(world.told_of.last(), Some(&(vec!["t".to_owned()], allowed)));
    }
}

#[test]
fn a_name_that_no_topic_can_have_is_refused_at_once_and_asked_of_nobody() {
    let mut world = World::ready(config());
    world.told_of.clear();
    for name in ["no name", "", "..", &"n".repeat(250)] {
        let refused = world.try_send(&Outgoing { topic: name, ..record("x") });
        let Err(Refused::Failed(failure)) = refused else { panic!("{refused:?}") };
        assert_eq!(*failure, SendFailure::InvalidTopic { topic: name.to_owned() });
    }
    world.pass(Duration::from_secs(2));
    assert_eq!(world.told_of, []);
}

#[test]
fn a_full_buffer_makes_senders_wait_until_batches_are_acknowledged() {
    let settings = ProducerConfig {
        buffer_memory: 1000,
        linger: Duration::from_secs(60),
        max_block: Duration::from_secs(20),
        ..config()
    };
    let mut world = World::ready(settings);
    let value = "v".repeat(600);
    _ = world.send(&value);
    let since = world.now.mono;
    assert!(matches!(world.producer.send(&record(&value), since, world.now), Err(Refused::Wait)));
    world.pump();
    let produced = world.take();
    _ = world.producer.take_wake();
    world.acknowledge(&produced, 0);
    assert!(world.producer.take_wake());
    _ = world.send(&value);
    let since = world.now.mono;
    assert!(matches!(world.producer.send(&record(&value), since, world.now), Err(Refused::Wait)));
    world.pass(Duration::from_secs(20));
    let Err(Refused::Failed(failure)) = world.producer.send(&record(&value), since, world.now) else {
        panic!()
    };
    assert!(matches!(*failure, SendFailure::BufferFull { limit: 1000, .. }));
}

#[test]
fn failures_that_nobody_asked_for_are_counted() {
    let mut world = World::ready(config());
    let (kept, before, after) = (world.send("a"), world.send("b"), world.send("c"));
    world.producer.release(&before);
    world.producer.flush();
    world.pump();
    let produced = world.take();
    world.refuse(&produced, ErrorCode::TopicAuthorizationFailed);
    world.producer.release(&after);
    assert!(matches!(world.result(&kept), Some(Err(SendFailure::Refused { .. }))));
    assert_eq!(world.producer.take_unclaimed().map(|unclaimed| unclaimed.count), Some(2));
    assert_eq!(world.producer.take_unclaimed(), None);
    assert_eq!(world.producer.outcomes.kept(), 0);
}

#[test]
fn closing_gives_up_at_its_deadline() {
    let mut world = World::ready(config());
    let ticket = world.send("a");
    world.producer.close(world.now.mono + Duration::from_secs(3));
    world.pass(Duration::from_secs(3));
    assert!(world.producer.is_closed());
    assert_eq!(world.result(&ticket), Some(Err(SendFailure::Closed)));
}
