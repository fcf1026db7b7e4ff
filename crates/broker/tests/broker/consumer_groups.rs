//! Groups of the consumer protocol (KIP-848): epochs, targets, and how partitions go from one to another.

use ottla_broker::{Config, GroupKind};
use ottla_protocol::{ErrorCode, messages::*};

use crate::common::{
    World, config,
    consumer::{Consumer, settle},
    group::{commit, view},
    millis,
};

fn world() -> World {
    World::new(config(&[("t", 4), ("u", 2)]))
}

/// Two members that share the topic.
fn pair(world: &mut World) -> (Consumer, Consumer) {
    let (mut one, mut two) = (Consumer::new(world, "one"), Consumer::new(world, "two"));
    one.join(world).unwrap();
    two.join(world).unwrap();
    settle(world, &mut [&mut one, &mut two]);
    (one, two)
}

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut world = world();
    let mut one = Consumer::new(&mut world, "one");
    one.join(&mut world).unwrap();
    assert_eq!((one.epoch, one.indexes()), (2, vec![0, 1, 2, 3]));
    let view = view(&world);
    assert_eq!((view.kind, view.state, view.generation_id), (GroupKind::Consumer, "Stable", 2));
    assert_eq!(view.members[0].owned.len(), 4);
}

#[test]
fn the_coordinator_makes_the_member_id_in_version_0() {
    let mut world = world();
    let one = Consumer::new(&mut world, "");
    let request = one.full();
    assert_eq!(world.ask(one.conn, 1, request.clone()).error_code, ErrorCode::InvalidRequest);
    let joined = world.ask(one.conn, 0, request);
    assert_eq!((joined.error_code, joined.heartbeat_interval_ms), (ErrorCode::None, 5000));
    assert!(!joined.member_id.unwrap().is_empty());
}

#[test]
fn a_partition_is_given_to_nobody_before_its_owner_has_given_it_up() {
    let mut world = world();
    let (mut one, mut two) = (Consumer::new(&mut world, "one"), Consumer::new(&mut world, "two"));
    one.join(&mut world).unwrap();
    one.obey(&mut world).unwrap();
    two.join(&mut world).unwrap();
    assert_eq!((two.epoch, two.indexes()), (3, vec![]), "in the new epoch, and waits");
    assert_eq!(view(&world).state, "Reconciling");
    one.idle(&mut world).unwrap();
    assert_eq!((one.epoch, one.indexes().len()), (2, 2), "told to give two up, in the epoch that it has");
    let held = view(&world);
    assert_eq!((held.members[0].owned.len(), held.members[0].revoking.len()), (4, 2));
    two.idle(&mut world).unwrap();
    one.idle(&mut world).unwrap();
    assert_eq!((one.epoch, two.indexes()), (2, vec![]), "nothing moves while it does not say what it owns");
    one.obey(&mut world).unwrap();
    assert_eq!(one.epoch, 3);
    two.idle(&mut world).unwrap();
    let mut all = [one.indexes(), two.indexes()].concat();
    all.sort_unstable();
    assert_eq!((two.indexes().len(), all), (2, vec![0, 1, 2, 3]));
    assert_eq!(view(&world).state, "Stable");
}

#[test]
fn who_does_not_give_up_in_time_is_fenced() {
    let mut world = world();
    let mut one = Consumer { rebalance_ms: 10_000, ..Consumer::new(&mut world, "one") };
    let mut two = Consumer::new(&mut world, "two");
    one.join(&mut world).unwrap();
    two.join(&mut world).unwrap();
    one.idle(&mut world).unwrap();
    world.pass(millis(9_999));
    one.idle(&mut world).unwrap();
    world.pass(millis(1));
    assert_eq!(one.idle(&mut world), Err(ErrorCode::UnknownMemberId));
    two.idle(&mut world).unwrap();
    assert_eq!(two.indexes(), [0, 1, 2, 3]);
}

#[test]
fn a_member_is_given_up_after_the_brokers_session_time() {
    let mut world = World::new(Config {
        group_consumer_session_timeout: millis(6000),
        group_consumer_heartbeat_interval: millis(1000),
        ..config(&[("t", 4)])
    });
    let (mut one, mut two) = pair(&mut world);
    world.pass(millis(5_999));
    one.idle(&mut world).unwrap();
    world.pass(millis(1));
    assert_eq!(two.idle(&mut world), Err(ErrorCode::UnknownMemberId));
    one.idle(&mut world).unwrap();
    assert_eq!(one.indexes(), [0, 1, 2, 3]);
}

#[test]
fn a_member_that_leaves_frees_its_partitions_at_once() {
    let mut world = world();
    let (mut one, mut two) = pair(&mut world);
    two.leave(&mut world, -1).unwrap();
    assert_eq!(view(&world).state, "Assigning");
    one.idle(&mut world).unwrap();
    assert_eq!(one.indexes(), [0, 1, 2, 3]);
    one.leave(&mut world, -1).unwrap();
    assert_eq!(view(&world).state, "Empty");
    assert_eq!(one.leave(&mut world, -1), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn an_epoch_that_is_not_the_members_is_fenced_but_for_a_lost_answer() {
    let mut world = world();
    let (mut one, mut two) = pair(&mut world);
    let known = one.clone();
    one.epoch += 1;
    assert_eq!(one.idle(&mut world), Err(ErrorCode::FencedMemberEpoch));
    one = known.clone();
    two.leave(&mut world, -1).unwrap();
    one.idle(&mut world).unwrap();
    assert!(one.epoch > known.epoch);
    let mut unaware = known.clone();
    assert_eq!(unaware.idle(&mut world), Err(ErrorCode::FencedMemberEpoch), "it does not say what it owns");
    unaware.send(&mut world, known.full()).unwrap();
    assert_eq!((unaware.epoch, unaware.indexes()), (one.epoch, vec![0, 1, 2, 3]));
}

#[test]
fn a_fenced_member_joins_again_with_its_id_and_gets_what_it_had() {
    let mut world = world();
    let (mut one, mut two) = pair(&mut world);
    let had = one.indexes();
    one.epoch = 77;
    assert_eq!(one.idle(&mut world), Err(ErrorCode::FencedMemberEpoch));
    one.join(&mut world).unwrap();
    assert_eq!(one.indexes(), had);
    settle(&mut world, &mut [&mut one, &mut two]);
}

#[test]
fn a_member_that_wants_other_topics_begins_an_epoch() {
    let mut world = world();
    let mut one = Consumer::new(&mut world, "one");
    one.join(&mut world).unwrap();
    one.obey(&mut world).unwrap();
    one.topics = Some(vec!["u".into()]);
    one.send(&mut world, one.full()).unwrap();
    assert_eq!((one.epoch, one.assigned.len()), (2, 0), "it must give up what it had");
    one.obey(&mut world).unwrap();
    assert_eq!((one.epoch, one.indexes()), (3, vec![0, 1]));
}

#[test]
fn new_partitions_and_topics_are_seen_at_the_next_heartbeat() {
    let mut world = world();
    let mut one =
        Consumer { topics: Some(vec!["t".into(), "later".into()]), ..Consumer::new(&mut world, "one") };
    one.join(&mut world).unwrap();
    world.cluster.create_partitions("t", 5).unwrap();
    one.idle(&mut world).unwrap();
    assert_eq!((one.epoch, one.indexes()), (3, vec![0, 1, 2, 3, 4]));
    world.cluster.create_topic(&ottla_broker::TopicSpec::new("later", 1)).unwrap();
    one.idle(&mut world).unwrap();
    assert_eq!((one.epoch, one.assigned.len()), (4, 6));
    world.cluster.create_topic(&ottla_broker::TopicSpec::new("other", 1)).unwrap();
    one.idle(&mut world).unwrap();
    assert_eq!(one.epoch, 4, "nobody is subscribed to it");
    assert!(world.cluster.delete_topic("later"));
    one.idle(&mut world).unwrap();
    one.obey(&mut world).unwrap();
    assert_eq!((one.epoch, one.assigned.len()), (5, 5));
}

#[test]
fn a_regular_expression_matches_whole_names_and_is_resolved_after_the_first_heartbeat() {
    let mut world = World::new(config(&[("tea", 1), ("team", 1), ("coffee", 1)]));
    let mut one = Consumer::matching(&mut world, "one", "te.|co+ffe*");
    one.join(&mut world).unwrap();
    assert_eq!(one.assigned.len(), 0);
    one.send(&mut world, one.full()).unwrap();
    assert_eq!(one.assigned.len(), 2);
    world.cluster.create_topic(&ottla_broker::TopicSpec::new("ten", 3)).unwrap();
    one.obey(&mut world).unwrap();
    world.pass(millis(10_001));
    one.obey(&mut world).unwrap();
    one.obey(&mut world).unwrap();
    assert_eq!(one.assigned.len(), 5, "looked at again, but not within 10 s");
    let mut wrong = Consumer::matching(&mut world, "two", "(");
    assert_eq!(wrong.join(&mut world), Err(ErrorCode::InvalidRegularExpression));
}

#[test]
fn what_cannot_be_asked_says_why() {
    let mut world = World::new(Config { brokers: 2, group_max_size: 1, ..config(&[("t", 1)]) });
    let mut one = Consumer::new(&mut world, "one");
    let mut ask = |change: &dyn Fn(&mut ConsumerGroupHeartbeatRequest)| {
        let mut request = one.full();
        change(&mut request);
        world.ask(one.conn, 1, request).error_code
    };
    assert_eq!(ask(&|r| r.group_id.clear()), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.member_id.clear()), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.instance_id = Some(String::new())), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.rebalance_timeout_ms = -1), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.topic_partitions = None), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.subscribed_topic_names = None), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.member_epoch = -2), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.member_epoch = -3), ErrorCode::InvalidRequest);
    assert_eq!(ask(&|r| r.server_assignor = Some("mine".into())), ErrorCode::UnsupportedAssignor);
    assert_eq!(ask(&|r| r.member_epoch = 5), ErrorCode::GroupIdNotFound);
    assert_eq!(ask(&|_| {}), ErrorCode::None);
    assert_eq!(ask(&|r| r.member_id = "two".into()), ErrorCode::GroupMaxSizeReached);
    one.conn = world.connect(3 - world.cluster.coordinator("g"));
    assert_eq!(one.join(&mut world), Err(ErrorCode::NotCoordinator));
}

#[test]
fn the_range_assignor_gives_runs_of_partitions() {
    let mut world = world();
    let range = |world: &mut World, id| Consumer {
        assignor: Some("range".into()),
        topics: Some(vec!["t".into(), "u".into()]),
        ..Consumer::new(world, id)
    };
    let (mut one, mut two) = (range(&mut world, "one"), range(&mut world, "two"));
    one.join(&mut world).unwrap();
    two.join(&mut world).unwrap();
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!((one.indexes(), two.indexes()), (vec![0, 0, 1], vec![1, 2, 3]));
    assert_eq!(view(&world).protocol.as_deref(), Some("range"));
}

#[test]
fn the_uniform_assignor_moves_no_more_than_it_must() {
    let mut world = World::new(config(&[("t", 6)]));
    let (mut one, mut two) = pair(&mut world);
    let had = [one.indexes(), two.indexes()];
    let mut three = Consumer::new(&mut world, "three");
    three.join(&mut world).unwrap();
    settle(&mut world, &mut [&mut one, &mut two, &mut three]);
    for (had, has) in had.iter().zip([one.indexes(), two.indexes()]) {
        assert!(has.len() == 2 && has.iter().all(|index| had.contains(index)));
    }
}

#[test]
fn a_target_stands_for_the_assignment_interval() {
    let mut world =
        World::new(Config { group_consumer_assignment_interval: millis(1000), ..config(&[("t", 4)]) });
    let (mut one, mut two) = (Consumer::new(&mut world, "one"), Consumer::new(&mut world, "two"));
    one.join(&mut world).unwrap();
    two.join(&mut world).unwrap();
    assert_eq!((two.epoch, view(&world).state), (2, "Assigning"));
    world.pass(millis(1000));
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!((one.indexes().len(), two.indexes().len()), (2, 2));
}

#[test]
fn a_member_commits_in_its_epoch_or_in_one_in_which_it_had_the_partition_already() {
    let mut world = world();
    let (mut one, mut two) = pair(&mut world);
    let older = one.epoch - 1;
    let kept = one.indexes().contains(&0);
    let (has, lacks) = if kept { (&one, &two) } else { (&two, &one) };
    assert_eq!(commit(&mut world, has.conn, &has.id, has.epoch, 1), ErrorCode::None);
    assert_eq!(commit(&mut world, has.conn, &has.id, has.epoch + 1, 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(&mut world, lacks.conn, &lacks.id, older, 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(&mut world, one.conn, "stranger", one.epoch, 1), ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut world, one.conn, "", -1, 1), ErrorCode::UnknownMemberId);
    one.leave(&mut world, -1).unwrap();
    two.leave(&mut world, -1).unwrap();
    assert_eq!(commit(&mut world, one.conn, "", -1, 7), ErrorCode::None, "nobody is in it");
}

#[test]
fn an_older_epoch_commits_only_what_the_member_holds_since_then() {
    let mut world = world();
    let mut one = Consumer::new(&mut world, "one");
    one.join(&mut world).unwrap();
    one.obey(&mut world).unwrap();
    world.cluster.create_partitions("t", 5).unwrap();
    one.idle(&mut world).unwrap();
    assert_eq!(one.epoch, 3);
    assert_eq!(commit(&mut world, one.conn, "one", 2, 9), ErrorCode::None);
    let mut strict = World::new(Config {
        versions: ottla_broker::VersionSet::Kafka3_9,
        consumer_protocol: Some(true),
        ..config(&[("t", 4)])
    });
    let joins = |epoch| ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..one.full() };
    let conn = strict.connect(1);
    let joined = ConsumerGroupHeartbeatRequest { topic_partitions: Some(Vec::new()), ..joins(0) };
    assert_eq!(strict.ask(conn, 0, joined).member_epoch, 1);
    strict.cluster.create_partitions("t", 5).unwrap();
    assert_eq!(strict.ask(conn, 0, joins(1)).member_epoch, 2);
    assert_eq!(commit(&mut strict, conn, "one", 1, 9), ErrorCode::StaleMemberEpoch);
}

#[test]
fn a_member_fetches_offsets_in_its_epoch_and_others_at_any_time() {
    let mut world = world();
    let (one, _) = pair(&mut world);
    let mut fetch = |member_id: Option<&str>, member_epoch| {
        let group = OffsetFetchRequestGroup {
            group_id: "g".into(),
            member_id: member_id.map(str::to_owned),
            member_epoch,
            ..Default::default()
        };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        world.ask(one.conn, 9, request).groups[0].error_code
    };
    assert_eq!(fetch(Some("one"), one.epoch), ErrorCode::None);
    assert_eq!(fetch(Some("one"), one.epoch - 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(fetch(Some("stranger"), one.epoch), ErrorCode::UnknownMemberId);
    assert_eq!(fetch(None, -1), ErrorCode::None);
}

#[test]
fn groups_are_listed_and_described() {
    let mut world = world();
    let (one, _) = pair(&mut world);
    let listed = world.ask(one.conn, 5, ListGroupsRequest::default()).groups;
    let of = |group: &ListGroupsListedGroup| (group.group_type.clone(), group.group_state.clone());
    assert_eq!(of(&listed[0]), ("consumer".to_owned(), "Stable".to_owned()));
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec!["g".into(), "no".into()], ..Default::default() };
    let groups = world.ask(one.conn, 1, request).groups;
    assert_eq!(
        (groups[0].group_epoch, groups[0].assignment_epoch, groups[0].assignor_name.as_str()),
        (3, 3, "uniform")
    );
    let member = &groups[0].members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.member_type), ("one", 3, 1));
    assert_eq!(member.assignment.topic_partitions[0].topic_name, "t");
    assert_eq!(member.assignment, member.target_assignment);
    assert_eq!(groups[1].error_code, ErrorCode::GroupIdNotFound);
    let request = DescribeGroupsRequest { groups: vec!["g".into()], ..Default::default() };
    let classic = world.ask(one.conn, 6, request).groups;
    assert_eq!(
        (classic[0].error_code, classic[0].group_state.as_str()),
        (ErrorCode::GroupIdNotFound, "Dead")
    );
}

#[cfg(feature = "planted")]
mod planted {
    use ottla_broker::Planted;

    use super::*;

    fn with(bug: Planted) -> World {
        let mut world = world();
        world.plant(bug);
        world
    }

    #[test]
    fn a_partition_is_given_away_before_it_is_given_up() {
        let mut world = with(Planted::GivenBeforeRevoked);
        let (mut one, mut two) = (Consumer::new(&mut world, "one"), Consumer::new(&mut world, "two"));
        one.join(&mut world).unwrap();
        two.join(&mut world).unwrap();
        assert_eq!((one.indexes().len(), two.indexes().len()), (4, 2));
    }

    #[test]
    fn any_epoch_is_taken() {
        let mut world = with(Planted::EpochNotFenced);
        let (mut one, _) = pair(&mut world);
        one.epoch = 77;
        one.idle(&mut world).unwrap();
    }

    #[test]
    fn a_second_member_takes_an_instance_id_in_use() {
        let mut world = with(Planted::UnreleasedInstanceAdmitted);
        let mut one = Consumer::fixed(&mut world, "one", "instance");
        one.join(&mut world).unwrap();
        Consumer::fixed(&mut world, "two", "instance").join(&mut world).unwrap();
    }

    #[test]
    fn a_member_that_lives_is_given_up() {
        let mut world = with(Planted::SessionNotExtended);
        let mut one = Consumer::new(&mut world, "one");
        one.join(&mut world).unwrap();
        world.pass(millis(44_999));
        one.idle(&mut world).unwrap();
        world.pass(millis(1));
        assert_eq!(one.idle(&mut world), Err(ErrorCode::UnknownMemberId));
    }

    #[test]
    fn a_stale_commit_is_taken() {
        let mut world = with(Planted::StaleCommitAccepted);
        let (one, _) = pair(&mut world);
        assert_eq!(commit(&mut world, one.conn, "one", 0, 1), ErrorCode::None);
    }

    #[test]
    fn new_partitions_are_not_seen() {
        let mut world = with(Planted::TopicsUnseen);
        let mut one = Consumer::new(&mut world, "one");
        one.join(&mut world).unwrap();
        world.cluster.create_partitions("t", 5).unwrap();
        one.idle(&mut world).unwrap();
        assert_eq!(one.indexes().len(), 4);
    }
}
