//! What ends an operation: nothing to do, no time left, no client.

use super::*;

#[test]
fn an_operation_on_nothing_is_done_without_asking() {
    let mut world = World::new();
    world.unreachable = true;
    let op = world.start(CreateTopics { topics: Vec::new(), validate_only: false });
    assert_eq!(world.outcome(&op), TopicChanges::new());
    let op =
        world.start(ListOffsets { partitions: BTreeMap::new(), isolation: IsolationLevel::ReadUncommitted });
    assert!(world.outcome(&op).is_empty());
}

#[test]
fn a_time_out_names_the_address_and_what_was_wrong_there() {
    let mut world = World::new();
    world.unreachable = true;
    let op = world.start(DescribeTopics::All);
    world.pass(Duration::from_secs(60));
    let failure = world.admin.take_result(&op).unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "not done in 60s; the last obstacle: seed:9: cannot connect: nobody");
}

#[test]
fn a_request_that_a_broker_never_answers_is_sent_again_and_then_named() {
    let mut world = World::new();
    let op = world.start(FindCoordinator("g".to_owned()));
    world.pass(Duration::from_secs(61));
    assert_eq!(world.asked.len(), 2, "the request's time-out is 30 s");
    let failure = world.admin.take_result(&op).unwrap().unwrap_err();
    assert!(failure.to_string().ends_with("no answer to FindCoordinator in time"), "{failure}");
}

#[test]
fn closing_ends_what_is_under_way() {
    let mut world = World::new();
    let op = world.start(FindCoordinator("g".to_owned()));
    world.admin.close();
    world.pump();
    assert_eq!(world.admin.take_result(&op), Some(Err(Failure::Closed)));
    assert!(world.admin.is_closed() && world.links.is_empty());
    let later = world.start(DescribeTopics::All);
    assert_eq!(world.admin.take_result(&later), Some(Err(Failure::Closed)));
}
