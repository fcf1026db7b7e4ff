//! Consumers whose principal may not do all that they are asked to.

use super::{
    consumer_protocol::{consumer_protocol, epoch, refused, told},
    *,
};
use crate::{Filter, LaneFailure};

/// What a user who reads is told, if he is told anything.
fn failure(world: &mut World) -> Option<ReadFailure> {
    world.consumer.take_failure(&Filter::All, world.now)
}

fn subscribe_both(world: &mut World) {
    world.consumer.subscribe(["t", "forbidden"].map(str::to_owned), world.now).unwrap();
    world.run();
}

#[test]
fn a_topic_that_may_not_be_seen_is_told_once_until_that_has_changed() {
    let mut world = World::new(config());
    world.consumer.assign([at(0), TopicPartition::new("forbidden", 0)], world.now).unwrap();
    world.run();
    let forbidden = Some(ReadFailure::NotAuthorized("forbidden".to_owned()));
    assert_eq!(failure(&mut world), forbidden);
    world.pass(Duration::from_secs(30));
    assert_eq!(failure(&mut world), None);
    world.topics.push("forbidden");
    world.pass(Duration::from_secs(30));
    world.topics.pop();
    world.consumer.hub.metadata.request_update();
    world.pass(Duration::from_secs(30));
    assert_eq!(failure(&mut world), forbidden, "it was seen meanwhile");
}

#[test]
fn a_partition_that_may_not_be_read_is_told_while_others_flow_and_flows_once_that_is_granted() {
    let mut world = World::member(group_config(), &[0, 1]);
    world.consumer.park(world.reader);
    world.run();
    let denied = ErrorCode::TopicAuthorizationFailed;
    let fetch = world.fetches.pop_front().expect("a fetch is under way");
    world.fetched_by(&fetch, 0, denied, None);
    assert_eq!(failure(&mut world), Some(ReadFailure::Lane(at(0), LaneFailure::NotAuthorized(denied))));
    assert_eq!(failure(&mut world), None, "not at each call");
    world.fetched(1, 0..5);
    assert!(world.take().is_some_and(|slice| slice.next == 5));
    world.pass(Duration::from_secs(2));
    world.fetched(0, 0..7);
    world.fetched(0, 0..7);
    assert_eq!(world.consumer.position(&at(0)), Some(0));
    assert!(world.take().is_some_and(|slice| slice.next == 7));
}

#[test]
fn a_member_names_no_topic_to_its_coordinator_that_it_may_not_see() {
    let mut world = World::new(consumer_protocol());
    subscribe_both(&mut world);
    let joins = world.heartbeat();
    let names = told(&joins).subscribed_topic_names.clone();
    // The first may come before it is known what may be seen.
    if names.is_some_and(|names| names.len() == 2) {
        world.answer(&joins, refused(ErrorCode::TopicAuthorizationFailed));
        let again = world.heartbeat();
        assert_eq!(told(&again).subscribed_topic_names, Some(vec!["t".to_owned()]));
        world.answer(&again, epoch(1, Some(&[0])));
    } else {
        world.answer(&joins, epoch(1, Some(&[0])));
    }
    world.committed(0);
    assert_eq!(world.consumer.assignment(), [at(0)]);
    assert_eq!(failure(&mut world), Some(ReadFailure::NotAuthorized("forbidden".to_owned())));
    world.topics.push("forbidden");
    let granted = (0..20).find_map(|_| {
        let heartbeat = world.heartbeat();
        let names = told(&heartbeat).subscribed_topic_names.clone();
        world.answer(&heartbeat, epoch(1, None));
        names
    });
    assert_eq!(granted, Some(vec!["forbidden".to_owned(), "t".to_owned()]), "it may be seen now");
}
