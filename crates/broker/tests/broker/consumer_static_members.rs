//! Static members of the consumer protocol: who comes back takes its place, and nobody else does.

use ottla_protocol::ErrorCode;

use crate::common::{
    World, config,
    consumer::{Consumer, settle},
    group::view,
    millis,
};

fn pair() -> (World, Consumer, Consumer) {
    let mut world = World::new(config(&[("t", 4)]));
    let mut one = Consumer::fixed(&mut world, "one", "first");
    let mut two = Consumer::new(&mut world, "two");
    one.join(&mut world).unwrap();
    two.join(&mut world).unwrap();
    settle(&mut world, &mut [&mut one, &mut two]);
    (world, one, two)
}

#[test]
fn a_static_member_that_will_be_back_keeps_its_partitions() {
    let (mut world, mut one, mut two) = pair();
    let (had, epoch) = (one.indexes(), one.epoch);
    one.leave(&mut world, -2).unwrap();
    two.idle(&mut world).unwrap();
    assert_eq!((two.epoch, two.indexes().len()), (epoch, 2), "no rebalance");
    assert_eq!(one.idle(&mut world), Err(ErrorCode::FencedMemberEpoch));
    let mut back = Consumer::fixed(&mut world, "another", "first");
    back.join(&mut world).unwrap();
    assert_eq!((back.indexes(), back.epoch), (had, epoch));
    assert_eq!(one.idle(&mut world), Err(ErrorCode::FencedInstanceId));
    settle(&mut world, &mut [&mut back, &mut two]);
}

#[test]
fn a_second_member_with_an_instance_id_in_use_is_refused() {
    let (mut world, mut one, _) = pair();
    let mut other = Consumer::fixed(&mut world, "other", "first");
    assert_eq!(other.join(&mut world), Err(ErrorCode::UnreleasedInstanceId));
    one.idle(&mut world).unwrap();
    assert_eq!(one.join(&mut world), Err(ErrorCode::UnreleasedInstanceId), "even to itself, as Kafka has it");
}

#[test]
fn a_static_member_that_stays_away_loses_its_place_with_its_session() {
    let (mut world, mut one, mut two) = pair();
    one.leave(&mut world, -2).unwrap();
    world.pass(millis(44_999));
    two.idle(&mut world).unwrap();
    assert_eq!(view(&world).members.len(), 2);
    world.pass(millis(1));
    two.idle(&mut world).unwrap();
    assert_eq!((view(&world).members.len(), two.indexes().len()), (1, 4));
}

#[test]
fn a_static_member_that_leaves_for_good_is_gone() {
    let (mut world, mut one, mut two) = pair();
    one.leave(&mut world, -1).unwrap();
    two.idle(&mut world).unwrap();
    assert_eq!(two.indexes().len(), 4);
    let mut back = Consumer::fixed(&mut world, "another", "first");
    back.join(&mut world).unwrap();
    settle(&mut world, &mut [&mut back, &mut two]);
}
