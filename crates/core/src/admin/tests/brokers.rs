//! Brokers that go, and are back.

use super::*;

const OF_THE_SECOND: ConfigResource = ConfigResource::Broker(NodeId(2));

fn describe() -> DescribeConfigs {
    DescribeConfigs([OF_THE_SECOND].into())
}

/// A world that was told of brokers while the second was gone, some time ago.
fn second_was_gone() -> World {
    let mut world = World::new();
    world.brokers = vec![1];
    world.start(DescribeTopics::All);
    world.asked.clear();
    world.pass(Duration::from_secs(20));
    assert_eq!(world.admin.metadata().nodes().len(), 1);
    world
}

#[test]
fn a_broker_that_is_back_is_asked_although_it_was_gone_when_brokers_were_last_told() {
    let mut world = second_was_gone();
    world.brokers = vec![1, 2];
    world.start(describe());
    assert_eq!(world.take().port, 2);
}

#[test]
fn one_that_is_gone_still_is_not_asked() {
    let mut world = second_was_gone();
    let op = world.start(describe());
    assert_eq!(world.outcome(&op)[&OF_THE_SECOND], Err(Failure::of(ErrorCode::BrokerNotAvailable)));
    assert!(world.asked.is_empty());
}

#[test]
fn every_broker_is_asked_that_there_is_now() {
    let mut world = second_was_gone();
    world.brokers = vec![1, 2];
    world.start(ListGroups);
    let ports: BTreeSet<u16> = world.asked.iter().map(|asked| asked.port).collect();
    assert_eq!(ports, BTreeSet::from([1, 2]));
}
