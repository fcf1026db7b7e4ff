//! What a real Kafka 4.3.1 answered, and whether the embedded broker answers the same: `transcripts/*.txt`.
//!
//! `OTTLA_RECORD=127.0.0.1:9092 cargo test -p ottla-broker --test broker -- transcripts` records them anew, on a fresh broker
//! of one node with `group.initial.rebalance.delay.ms=0` and `group.consumer.assignment.interval.ms=0`.

use std::time::Duration;

use ottla_protocol::{
    ErrorCode, TopicId,
    codec::{Version, Wire},
    messages::*,
};

use crate::common::{
    World, config,
    transcript::{Exchange, Line, check},
};

/// A moment for what a real broker does behind a request.
const MOMENT: Duration = Duration::from_millis(500);

fn world() -> World {
    World::new(config(&[]))
}

/// A member of the consumer protocol: what it says in full.
fn joins(x: &Exchange, member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: format!("g{}", x.run),
        member_id: member.to_owned(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![format!("t{}", x.run)]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

/// The same where it is a member already: nothing new, but for its epoch.
fn beats(x: &Exchange, member: &str, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        member_epoch,
        rebalance_timeout_ms: -1,
        subscribed_topic_names: None,
        topic_partitions: None,
        ..joins(x, member)
    }
}

fn owning(
    request: ConsumerGroupHeartbeatRequest,
    topic: TopicId,
    partitions: &[i32],
) -> ConsumerGroupHeartbeatRequest {
    let listed = ConsumerGroupHeartbeatTopicPartitions { topic_id: topic, partitions: partitions.to_vec() };
    ConsumerGroupHeartbeatRequest { topic_partitions: Some(vec![listed]), ..request }
}

fn statically(request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { instance_id: Some("instance".into()), ..request }
}

fn commits(x: &Exchange, member: &str, epoch: i32, partition_index: i32) -> OffsetCommitRequest {
    let partition =
        OffsetCommitRequestPartition { partition_index, committed_offset: 5, ..Default::default() };
    OffsetCommitRequest {
        group_id: format!("g{}", x.run),
        member_id: member.to_owned(),
        generation_id_or_member_epoch: epoch,
        topics: vec![OffsetCommitRequestTopic {
            name: format!("t{}", x.run),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn describes(x: &mut Exchange, line: Line) {
    let group_ids = vec![format!("g{}", x.run)];
    x.ask(line, 1, ConsumerGroupDescribeRequest { group_ids, ..Default::default() });
}

#[test]
fn partitions_move_between_members_of_the_consumer_protocol() {
    check("consumer_rebalance", world(), |x| {
        let topic = x.create_topic("t", 4);
        let (a, b) = (x.connect(), x.connect());
        x.note("the first has all");
        let first = x.ask(a, 1, joins(x, "one")).member_epoch;
        x.ask(a, 1, owning(beats(x, "one", first), topic, &[0, 1, 2, 3]));
        x.note("a second waits until the first has given up two");
        let second = x.ask(b, 1, joins(x, "two")).member_epoch;
        describes(x, a);
        x.ask(a, 1, beats(x, "one", first));
        describes(x, a);
        x.ask(b, 1, beats(x, "two", second));
        x.ask(a, 1, owning(beats(x, "one", first), topic, &[0, 1]));
        x.ask(b, 1, beats(x, "two", second));
        describes(x, a);
        x.note("an answer was lost: the epoch before, with less than is assigned; then epochs that are not its own");
        x.ask(a, 1, owning(beats(x, "one", first), topic, &[0]));
        x.ask(a, 1, owning(beats(x, "one", first), topic, &[0, 1, 2]));
        x.ask(a, 1, beats(x, "one", first));
        x.ask(a, 1, beats(x, "one", 7));
        x.ask(a, 1, beats(x, "stranger", 2));
        x.note("it joins again, under its id");
        x.ask(a, 1, joins(x, "one"));
        x.ask(a, 1, owning(beats(x, "one", second), topic, &[0, 1]));
        x.note("it wants nothing any more, then leaves");
        let nothing = Some(Vec::new());
        let unsubscribes =
            ConsumerGroupHeartbeatRequest { subscribed_topic_names: nothing, ..beats(x, "one", second) };
        x.ask(a, 1, unsubscribes);
        let third = x.ask(a, 1, owning(beats(x, "one", second), topic, &[])).member_epoch;
        let third_of_two = x.ask(b, 1, beats(x, "two", second)).member_epoch;
        assert_eq!(third, third_of_two);
        x.ask(a, 1, beats(x, "one", -1));
        x.ask(a, 1, beats(x, "one", -1));
        x.ask(b, 1, beats(x, "two", third));
        describes(x, a);
        x.ask(b, 1, beats(x, "two", -1));
        describes(x, a);
    });
}

#[test]
fn members_of_the_consumer_protocol_commit_and_fetch_offsets() {
    check("consumer_offsets", world(), |x| {
        let topic = x.create_topic("t", 4);
        let (a, b) = (x.connect(), x.connect());
        x.note("no group");
        x.ask(a, 9, commits(x, "one", 1, 0));
        x.ask(a, 8, commits(x, "one", 1, 0));
        x.ask(a, 1, beats(x, "one", 1));
        let first = x.ask(a, 1, joins(x, "one")).member_epoch;
        x.note("its own epoch, others, another's, nobody's");
        for (member, epoch) in
            [("one", first), ("one", first - 1), ("one", first + 1), ("two", first), ("", -1)]
        {
            x.ask(a, 9, commits(x, member, epoch, 0));
        }
        x.ask(a, 8, commits(x, "one", first, 0));
        x.note("two keeps waiting, and may commit anything; one still holds what it is to give up");
        let second = x.ask(b, 1, joins(x, "two")).member_epoch;
        x.ask(a, 1, beats(x, "one", first));
        for (member, epoch, partition) in
            [("two", second, 3), ("two", first, 3), ("one", first, 3), ("one", second, 0)]
        {
            x.ask(a, 9, commits(x, member, epoch, partition));
        }
        x.ask(a, 1, owning(beats(x, "one", first), topic, &[0, 1]));
        x.note("an older epoch will do for what it has held since then");
        for (epoch, partition) in [(first, 0), (first, 3), (second, 0), (first - 1, 0)] {
            x.ask(a, 9, commits(x, "one", epoch, partition));
        }
        let fetches = |x: &Exchange, member_id: Option<&str>, member_epoch| {
            let topics = vec![OffsetFetchRequestTopics {
                name: format!("t{}", x.run),
                partition_indexes: vec![0, 1],
                ..Default::default()
            }];
            let group = OffsetFetchRequestGroup {
                group_id: format!("g{}", x.run),
                member_id: member_id.map(str::to_owned),
                member_epoch,
                topics: Some(topics),
            };
            OffsetFetchRequest { groups: vec![group], ..Default::default() }
        };
        x.pass(MOMENT);
        for (member, epoch) in
            [(Some("one"), second), (Some("one"), first), (Some("three"), second), (None, -1)]
        {
            x.ask(a, 9, fetches(x, member, epoch));
        }
    });
}

#[test]
fn static_members_of_the_consumer_protocol_come_back() {
    check("consumer_static", world(), |x| {
        let topic = x.create_topic("t", 2);
        let (a, b) = (x.connect(), x.connect());
        let epoch = x.ask(a, 1, statically(joins(x, "one"))).member_epoch;
        x.ask(a, 1, owning(statically(beats(x, "one", epoch)), topic, &[0, 1]));
        x.note("in use");
        x.ask(b, 1, statically(joins(x, "two")));
        x.ask(b, 1, statically(beats(x, "two", epoch)));
        x.ask(a, 1, statically(joins(x, "one")));
        x.note("it will be back, and is, as another");
        x.ask(a, 1, statically(beats(x, "one", -2)));
        describes(x, a);
        x.ask(a, 1, statically(beats(x, "one", epoch)));
        x.ask(b, 1, statically(joins(x, "two")));
        x.ask(a, 1, statically(beats(x, "one", epoch)));
        x.ask(b, 1, beats(x, "two", epoch));
        describes(x, b);
        x.note("it leaves for good");
        x.ask(b, 1, statically(beats(x, "two", -1)));
        x.ask(b, 1, statically(joins(x, "two")));
        describes(x, b);
    });
}

#[test]
fn the_consumer_protocol_says_what_is_wrong() {
    check("consumer_errors", world(), |x| {
        x.create_topic("t", 1);
        let a = x.connect();
        type Change = fn(&mut ConsumerGroupHeartbeatRequest);
        let wrongs: [(&str, Change); 12] = [
            ("no group", |r| r.group_id.clear()),
            ("no member id", |r| r.member_id.clear()),
            ("an empty instance id", |r| r.instance_id = Some(String::new())),
            ("an empty rack", |r| r.rack_id = Some(String::new())),
            ("no rebalance time-out", |r| r.rebalance_timeout_ms = -1),
            ("owned partitions not told", |r| r.topic_partitions = None),
            ("no subscription", |r| r.subscribed_topic_names = None),
            ("back soon, without an instance id", |r| r.member_epoch = -2),
            ("no such epoch", |r| r.member_epoch = -3),
            ("no such assignor", |r| r.server_assignor = Some("sticky".into())),
            ("no group yet", |r| r.member_epoch = 1),
            ("leaves no group", |r| r.member_epoch = -1),
        ];
        for (what, change) in wrongs {
            x.note(what);
            let mut request = joins(x, "one");
            change(&mut request);
            x.ask(a, 1, request);
        }
        x.note("no regular expression");
        let pattern =
            ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("(".into()), ..joins(x, "one") };
        x.ask(a, 1, pattern);
        x.note("a topic that does not exist");
        let nowhere = Some(vec!["nowhere".to_owned()]);
        let joins_nowhere =
            ConsumerGroupHeartbeatRequest { subscribed_topic_names: nowhere, ..joins(x, "one") };
        let epoch = x.ask(a, 1, joins_nowhere).member_epoch;
        x.ask(a, 1, beats(x, "one", epoch));
        x.note("nothing at all");
        let nothing = Some(Vec::new());
        let mut request = joins(x, "one");
        request.group_id.push('h');
        x.ask(a, 1, ConsumerGroupHeartbeatRequest { subscribed_topic_names: nothing, ..request });
        x.note("the same in version 0, where the coordinator makes the id");
        let mut request = joins(x, "");
        request.group_id.push('i');
        x.ask(a, 0, request);
    });
}

#[test]
fn a_regular_expression_is_resolved_by_the_coordinator() {
    check("consumer_regex", world(), |x| {
        x.create_topic("pattern-a", 1);
        x.create_topic("pattern-b", 1);
        x.create_topic("not-pattern-a", 1);
        let a = x.connect();
        let regex = |x: &Exchange| ConsumerGroupHeartbeatRequest {
            subscribed_topic_regex: Some(format!("pattern-.{}", x.run)),
            subscribed_topic_names: None,
            ..joins(x, "one")
        };
        let epoch = x.ask(a, 1, regex(x)).member_epoch;
        x.pass(MOMENT);
        x.ask(a, 1, beats(x, "one", epoch));
        describes(x, a);
    });
}

/// What members of the classic protocol tell each other.
fn subscription(x: &Exchange, owned: &[i32]) -> Vec<u8> {
    const FIXED: Version = Version { number: 0, flexible: false, nullable: true };
    let topic = format!("t{}", x.run);
    let mut out = Vec::new();
    1i16.encode(&mut out, FIXED);
    vec![topic.clone()].encode(&mut out, FIXED);
    None::<Vec<u8>>.encode(&mut out, FIXED);
    i32::from(!owned.is_empty()).encode(&mut out, FIXED);
    if !owned.is_empty() {
        topic.encode(&mut out, FIXED);
        owned.to_vec().encode(&mut out, FIXED);
    }
    out
}

fn classic(x: &Exchange, member_id: &str, owned: &[i32]) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: format!("g{}", x.run),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: subscription(x, owned) }],
        ..Default::default()
    }
}

fn syncs(x: &Exchange, member_id: &str, generation_id: i32, assign: &[&str]) -> SyncGroupRequest {
    let to = |member: &&str| SyncGroupRequestAssignment {
        member_id: (*member).to_owned(),
        assignment: Vec::new(),
    };
    SyncGroupRequest {
        group_id: format!("g{}", x.run),
        generation_id,
        member_id: member_id.to_owned(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assign.iter().map(to).collect(),
        ..Default::default()
    }
}

fn lives(x: &Exchange, member_id: &str, generation_id: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: format!("g{}", x.run),
        generation_id,
        member_id: member_id.to_owned(),
        ..Default::default()
    }
}

fn leaves(x: &Exchange, member_id: &str) -> LeaveGroupRequest {
    let member = LeaveGroupMemberIdentity { member_id: member_id.to_owned(), ..Default::default() };
    LeaveGroupRequest { group_id: format!("g{}", x.run), members: vec![member], ..Default::default() }
}

#[test]
fn classic_members_join_and_leave() {
    check("classic_rebalance", world(), |x| {
        x.create_topic("t", 2);
        let (a, b) = (x.connect(), x.connect());
        x.note("the first");
        let one = x.ask(a, 9, classic(x, "", &[])).member_id;
        x.ask(a, 9, classic(x, &one, &[]));
        x.ask(a, 9, commits(x, &one, 1, 0));
        x.ask(a, 5, syncs(x, &one, 1, &[&one]));
        x.ask(a, 4, lives(x, &one, 1));
        x.ask(a, 9, commits(x, &one, 1, 0));
        x.note("wrong ones");
        x.ask(a, 4, lives(x, &one, 0));
        x.ask(a, 4, lives(x, "nobody", 1));
        x.ask(a, 5, syncs(x, &one, 2, &[]));
        x.ask(a, 9, commits(x, &one, 2, 0));
        x.ask(a, 9, commits(x, "nobody", 1, 0));
        x.ask(a, 9, commits(x, "", -1, 0));
        x.ask(a, 9, classic(x, "nobody", &[]));
        let mut other = classic(x, "", &[]);
        other.protocols[0].name = "roundrobin".into();
        x.ask(b, 9, other);
        let short = JoinGroupRequest { session_timeout_ms: 1, ..classic(x, "", &[]) };
        x.ask(b, 9, short);
        x.note("a second makes the first join again");
        let two = x.ask(b, 9, classic(x, "", &[])).member_id;
        x.send(b, 9, classic(x, &two, &[]));
        x.pass(MOMENT);
        x.ask(a, 4, lives(x, &one, 1));
        x.ask(a, 9, commits(x, &one, 1, 0));
        x.ask(a, 5, syncs(x, &one, 1, &[]));
        x.ask(a, 9, classic(x, &one, &[]));
        let joined: JoinGroupResponse = x.reply(b);
        assert_eq!(joined.error_code, ErrorCode::None);
        x.send(b, 5, syncs(x, &two, 2, &[]));
        x.pass(MOMENT);
        x.ask(a, 4, lives(x, &one, 2));
        x.ask(a, 9, commits(x, &one, 2, 0));
        x.ask(a, 5, syncs(x, &one, 2, &[&one, &two]));
        let _: SyncGroupResponse = x.reply(b);
        x.note("a follower that joins as it is learns where things stand");
        x.ask(b, 9, classic(x, &two, &[]));
        x.ask(b, 5, syncs(x, &two, 2, &[]));
        x.note("the first leaves");
        x.ask(a, 5, leaves(x, &one));
        x.ask(a, 5, leaves(x, &one));
        x.ask(b, 4, lives(x, &two, 2));
        x.ask(b, 9, classic(x, &two, &[]));
        x.ask(b, 5, leaves(x, &two));
        let groups = vec![format!("g{}", x.run)];
        x.ask(b, 6, DescribeGroupsRequest { groups, ..Default::default() });
    });
}

#[test]
fn static_classic_members_take_the_place_of_who_was_before() {
    check("classic_static", world(), |x| {
        x.create_topic("t", 2);
        let (a, b) = (x.connect(), x.connect());
        let fixed = |x: &Exchange, id: &str| JoinGroupRequest {
            group_instance_id: Some("instance".into()),
            ..classic(x, id, &[])
        };
        let one = x.ask(a, 9, fixed(x, "")).member_id;
        x.ask(a, 5, syncs(x, &one, 1, &[&one]));
        x.note("another comes with its instance id");
        let two = x.ask(b, 9, fixed(x, "")).member_id;
        x.ask(b, 5, syncs(x, &two, 1, &[]));
        x.note("the one before");
        let fenced = |request: HeartbeatRequest| HeartbeatRequest {
            group_instance_id: Some("instance".into()),
            ..request
        };
        x.ask(a, 4, fenced(lives(x, &one, 1)));
        x.ask(a, 4, lives(x, &one, 1));
        x.ask(
            a,
            9,
            OffsetCommitRequest { group_instance_id: Some("instance".into()), ..commits(x, &one, 1, 0) },
        );
        x.ask(a, 9, fixed(x, &one));
        x.ask(b, 4, fenced(lives(x, &two, 1)));
        x.note("an administrator removes it by its instance alone");
        let mut request = leaves(x, "");
        request.members[0].group_instance_id = Some("instance".into());
        x.ask(a, 5, request.clone());
        x.ask(a, 5, request);
    });
}

#[test]
fn a_group_moves_to_the_consumer_protocol_and_back() {
    check("migration", world(), |x| {
        let topic = x.create_topic("t", 2);
        let (a, b) = (x.connect(), x.connect());
        x.note("a classic group of one, that has nothing");
        let one = x.ask(a, 9, classic(x, "", &[])).member_id;
        x.ask(a, 9, classic(x, &one, &[]));
        x.ask(a, 5, syncs(x, &one, 1, &[&one]));
        x.note("a member of the consumer protocol joins");
        x.ask(b, 1, joins(x, "two"));
        describes(x, b);
        x.ask(a, 9, commits(x, &one, 1, 0));
        x.ask(a, 4, lives(x, &one, 0));
        x.ask(a, 4, lives(x, &one, 1));
        x.ask(a, 5, syncs(x, &one, 1, &[]));
        x.ask(a, 9, classic(x, &one, &[]));
        x.ask(a, 5, syncs(x, &one, 2, &[]));
        x.ask(a, 4, lives(x, &one, 2));
        describes(x, b);
        x.ask(b, 1, owning(beats(x, "two", 2), topic, &[1]));
        x.note("the classic one sees the group as the consumer protocol has it");
        let groups = vec![format!("g{}", x.run)];
        x.ask(a, 6, DescribeGroupsRequest { groups: groups.clone(), ..Default::default() });
        x.note("an administrator removes the last of the consumer protocol");
        x.ask(a, 5, leaves(x, "two"));
        x.ask(b, 1, beats(x, "two", -1));
        x.ask(a, 4, lives(x, &one, 2));
        x.ask(b, 1, beats(x, "two", 2));
        x.ask(a, 9, classic(x, &one, &[]));
        x.ask(a, 5, syncs(x, &one, 3, &[&one]));
        x.ask(a, 6, DescribeGroupsRequest { groups, ..Default::default() });
    });
}
