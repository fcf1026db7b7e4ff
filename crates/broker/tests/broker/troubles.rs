//! Trouble that a test makes: brokers stop and start, leaders and coordinators move.

use ottla_broker::{Config, TopicSpec};
use ottla_protocol::{ErrorCode, messages::*};

use crate::common::{
    World, config,
    consumer::Consumer,
    fetch, fetched,
    group::{Member, stable, view},
    millis,
};

fn world() -> World {
    World::new(Config { brokers: 3, ..config(&[("t", 6)]) })
}

fn metadata(world: &mut World, node: i32) -> MetadataResponse {
    let conn = world.connect(node);
    world.ask(conn, 12, MetadataRequest::default())
}

#[test]
fn a_broker_that_stops_closes_its_connections_and_others_lead_what_it_led() {
    let mut world = world();
    let conn = world.connect(2);
    let before: Vec<_> = (0..6).map(|index| world.cluster.leader("t", index).unwrap()).collect();
    assert!(world.cluster.stop_node(2, world.now));
    world.drain();
    assert!(world.is_closed(conn) && !world.cluster.is_up(2));
    let refused = world.connect(2);
    assert!(world.is_closed(refused));
    for (index, (leader, epoch)) in before.into_iter().enumerate() {
        let now = world.cluster.leader("t", index as i32).unwrap();
        assert!(if leader == 2 { now.0 != 2 && now.1 == epoch + 1 } else { now == (leader, epoch) });
    }
    let told = metadata(&mut world, 1);
    assert_eq!(told.brokers.iter().map(|broker| broker.node_id).collect::<Vec<_>>(), [1, 3]);
    assert!(world.cluster.start_node(2, world.now));
    assert_eq!(metadata(&mut world, 2).brokers.len(), 3);
}

#[test]
fn where_no_broker_is_up_nobody_leads_until_one_is() {
    let mut world = World::new(config(&[("t", 1)]));
    let end = world.append("t", 0, 3);
    assert!(world.cluster.stop_node(1, world.now));
    assert!(!world.cluster.stop_node(1, world.now), "it is down already");
    assert_eq!((world.cluster.leader("t", 0), world.cluster.coordinator("g")), (Some((-1, 1)), -1));
    assert!(world.cluster.start_node(1, world.now));
    assert_eq!((world.cluster.leader("t", 0), world.cluster.coordinator("g")), (Some((1, 2)), 1));
    let conn = world.connect(1);
    let response = world.ask(conn, 12, fetch(&[("t", 0, end)]));
    assert_eq!(fetched(&response)[0].1.high_watermark, 3);
}

#[test]
fn the_metadata_of_a_broker_that_lags_tells_what_was() {
    let mut world = world();
    let leader = |told: &MetadataResponse| {
        let partition =
            told.topics.iter().find(|topic| topic.name.as_deref() == Some("t")).unwrap().partitions[0]
                .clone();
        (partition.leader_id, partition.leader_epoch)
    };
    let before = world.cluster.leader("t", 0).unwrap();
    world.cluster.set_metadata_lag(2, true);
    assert!(world.cluster.move_leader("t", 0, before.0 % 3 + 1, world.now));
    world.cluster.create_topic(&TopicSpec::new("new", 1)).unwrap();
    let (lags, knows) = (metadata(&mut world, 2), metadata(&mut world, 1));
    assert_eq!((leader(&lags), lags.topics.len()), (before, 1));
    assert_eq!((leader(&knows), knows.topics.len()), ((before.0 % 3 + 1, before.1 + 1), 2));
    world.cluster.set_metadata_lag(2, false);
    assert_eq!(metadata(&mut world, 2).topics, knows.topics);
}

#[test]
fn a_group_moves_with_its_members_and_offsets() {
    let mut world = world();
    let node = world.cluster.coordinator("g");
    let member = |world: &mut World| Member { conn: world.connect(node), ..Member::new(world) };
    let members = [member(&mut world), member(&mut world)];
    let [mut one, two] = stable(&mut world, members);
    assert_eq!(one.commit(&mut world, 7), ErrorCode::None);
    one.join(&mut world);
    let other = node % 3 + 1;
    assert!(world.cluster.move_coordinator("g", other, world.now));
    world.drain();
    assert_eq!(one.joined(&mut world).unwrap().error_code, ErrorCode::NotCoordinator);
    assert_eq!(two.heartbeat(&mut world), ErrorCode::NotCoordinator);
    assert_eq!(world.cluster.committed("g").get(&("t".into(), 0)), Some(&7));
    let conn = world.connect(other);
    let (mut one, mut two) = (Member { conn, ..one }, Member { conn: world.connect(other), ..two });
    assert_eq!(two.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    one.join(&mut world);
    two.join(&mut world);
    assert!(one.joined(&mut world).unwrap().error_code.is_ok());
    assert!(two.joined(&mut world).unwrap().error_code.is_ok());
}

#[test]
fn sessions_begin_anew_at_the_next_coordinator() {
    let mut world = world();
    let mut one = Consumer::new(&mut world, "one");
    one.join(&mut world).unwrap();
    world.pass(millis(44_000));
    let node = world.cluster.coordinator("g");
    assert!(world.cluster.stop_node(node, world.now));
    world.drain();
    assert_ne!(world.cluster.coordinator("g"), node);
    world.pass(millis(44_999));
    one.conn = world.connect(world.cluster.coordinator("g"));
    one.idle(&mut world).unwrap();
    world.pass(millis(45_000));
    assert!(view(&world).members.is_empty());
}

#[cfg(feature = "planted")]
mod planted {
    use ottla_broker::Planted;

    use super::*;

    #[test]
    fn a_leader_moves_within_an_epoch_and_offsets_get_lost() {
        let mut world = world();
        world.plant(Planted::LeaderEpochNotRaised);
        assert!(world.cluster.move_leader("t", 0, 3, world.now));
        assert_eq!(world.cluster.leader("t", 0), Some((3, 0)));
        world.plant(Planted::OffsetsLostByMove);
        let node = world.cluster.coordinator("g");
        let conn = world.connect(node);
        assert_eq!(crate::common::group::commit(&mut world, conn, "", -1, 5), ErrorCode::None);
        assert!(world.cluster.move_coordinator("g", node % 3 + 1, world.now));
        assert!(world.cluster.committed("g").is_empty());
    }

    #[test]
    fn a_rebalance_is_not_told_and_a_replaced_member_stays() {
        let mut world = World::new(config(&[("t", 1)]));
        world.plant(Planted::RebalanceNotTold);
        let member = Member::fixed(&mut world, "instance");
        let [one] = stable(&mut world, [member]);
        let mut two = Member::new(&mut world);
        two.join(&mut world);
        assert_eq!(one.heartbeat(&mut world), ErrorCode::None);
        world.plant(Planted::ReplacedMemberStays);
        let mut back = Member::fixed(&mut world, "instance");
        back.join(&mut world);
        let instance = |member: &&ottla_broker::MemberView| member.group_instance_id.is_some();
        assert_eq!(view(&world).members.iter().filter(instance).count(), 2);
    }
}
