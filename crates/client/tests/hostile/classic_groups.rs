//! Coordinators of classic groups that keep to no generation, and leaders that assign what cannot be.

use std::time::{Duration, Instant};

use ottla::{Consumer, GroupProtocol};
use ottla_protocol::{
    ApiKey, ErrorCode,
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolTopicPartition, JoinGroupResponse,
        JoinGroupResponseMember, encode_embedded,
    },
};

use crate::{
    broker::{Hostile, changes},
    clients::{PATIENCE, closes, filled, reads, tells},
    groups::{member, polls},
    script::{LITTLE, MIB, script},
};

fn assignment(topics: Vec<(&str, Vec<i32>)>) -> Vec<u8> {
    let topic = |(topic, partitions): (&str, Vec<i32>)| ConsumerProtocolTopicPartition {
        topic: topic.to_owned(),
        partitions,
    };
    let assigned_partitions = topics.into_iter().map(topic).collect();
    encode_embedded(&ConsumerProtocolAssignment { assigned_partitions, user_data: None }, 3)
}

/// A member whose JoinGroups are answered so. It asks no more often than this in a second, says this, and reads once the broker is
/// honest.
async fn joins(what: &str, at_most: u32, mut lies: impl FnMut(&mut JoinGroupResponse) + Send + 'static) {
    let broker = Hostile::with(1);
    filled(&broker, 3);
    changes!(broker, JoinGroup, |answer| lies(answer));
    let mut consumer = member(&broker, GroupProtocol::Classic).await;
    tells(&mut consumer, what).await;
    let before = broker.asked(ApiKey::JoinGroup);
    polls(&mut consumer, Duration::from_secs(1)).await;
    let asked = broker.asked(ApiKey::JoinGroup) - before;
    assert!(asked <= at_most, "{asked} in a second");
    broker.repents();
    reads(&mut consumer, 0..3).await;
    closes(consumer).await;
}

/// A member that reads and whose SyncGroup is answered so. It stays up, and reads once the broker is honest.
async fn assigned(what: &str, bytes: Vec<u8>) {
    let broker = Hostile::with(1);
    filled(&broker, 3);
    changes!(broker, SyncGroup, |answer| answer.assignment.clone_from(&bytes));
    let mut consumer = member(&broker, GroupProtocol::Classic).await;
    tells(&mut consumer, what).await;
    let before = broker.asked(ApiKey::JoinGroup);
    polls(&mut consumer, Duration::from_millis(500)).await;
    assert!(broker.asked(ApiKey::JoinGroup) - before < 30);
    broker.repents();
    consumer.enforce_rebalance("it is honest now").unwrap();
    reads(&mut consumer, 0..3).await;
    closes(consumer).await;
}

/// Has both call for records until it is so with how many partitions each has.
async fn both_until(one: &mut Consumer, other: &mut Consumer, settled: impl Fn(usize, usize) -> bool) {
    let begin = Instant::now();
    while !settled(one.assignment().len(), other.assignment().len()) {
        assert!(begin.elapsed() < PATIENCE, "{} {}", one.explain(), other.explain());
        let time = Duration::from_millis(50);
        tokio::join!(polls(one, time), polls(other, time));
    }
}

script! {
    a_member_id_that_is_required_each_time_is_asked_for_after_pauses within LITTLE => async || {
        let mut n = 0;
        joins("MEMBER_ID_REQUIRED", 60, move |answer| {
            n += 1;
            (answer.error_code, answer.member_id) = (ErrorCode::MemberIdRequired, format!("member {n}"));
        }).await;
    };

    a_member_that_is_never_known_asks_after_pauses within LITTLE => async || {
        joins("UNKNOWN_MEMBER_ID", 60, |answer| answer.error_code = ErrorCode::UnknownMemberId).await;
    };

    a_generation_that_falls_is_followed_and_left_again within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        reads(&mut consumer, 0..3).await;
        let mut generation = i32::MAX;
        broker.does(move |_, mut response| {
            match &mut response {
                ottla_protocol::Response::JoinGroup(answer) if answer.error_code.is_ok() => {
                    generation = generation.wrapping_sub(i32::MAX / 3);
                    answer.generation_id = generation;
                }
                ottla_protocol::Response::Heartbeat(answer) => answer.error_code = ErrorCode::RebalanceInProgress,
                _ => {}
            }
            response.into()
        });
        polls(&mut consumer, Duration::from_secs(1)).await;
        let asked = broker.asked(ApiKey::JoinGroup);
        assert!(asked < 100, "{asked}");
        broker.repents();
        filled(&broker, 3);
        tells(&mut consumer, "member with 1 partitions").await;
        closes(consumer).await;
    };

    a_member_id_of_megabytes_takes_no_more_than_it_holds within LITTLE + 64 * MIB => async || {
        joins("group: ", 60, |answer| answer.member_id = "m".repeat(2 * MIB)).await;
    };

    /// The members are nobody, and want what cannot be read: the leader shares out among them all the same.
    ten_thousand_members_whose_wishes_cannot_be_read_are_given_nothing within LITTLE + 32 * MIB => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        changes!(broker, JoinGroup, |answer| {
            for n in 0..10_000 {
                let member_id = format!("\u{1b}[2J{n}");
                answer.members.push(JoinGroupResponseMember { member_id, metadata: vec![0xff; 5], ..Default::default() });
            }
        });
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        reads(&mut consumer, 0..3).await;
        closes(consumer).await;
    };

    /// The coordinator does not know it for the group's either.
    a_protocol_that_nobody_has_ends_the_membership_and_is_told within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, JoinGroup, |answer| answer.protocol_name = Some("n".repeat(MIB)));
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        tells(&mut consumer, "INCONSISTENT_GROUP_PROTOCOL").await;
        assert!(broker.asked(ApiKey::JoinGroup) < 10);
        closes(consumer).await;
    };

    an_assignment_that_cannot_be_read_is_told within LITTLE => async || {
        assigned("CORRUPT_MESSAGE", vec![0, 3, 0, 0, 0x7f]).await;
    };

    partitions_that_do_not_exist_are_told_one_by_one within LITTLE => async || {
        assigned("t-77", assignment(vec![("t", vec![77, -1, i32::MIN])])).await;
    };

    topics_that_were_not_subscribed_to_are_not_read within LITTLE => async || {
        assigned("no partition assigned", assignment(vec![("other", vec![0, 1, 2])])).await;
    };

    /// 30 KB and a quarter of a million partitions: a copy of the name for each would be 7 GB.
    a_quarter_of_a_million_partitions_of_a_topic_that_cannot_be_take_no_memory within LITTLE + 16 * MIB => async || {
        assigned("CORRUPT_MESSAGE", assignment(vec![(&"x".repeat(30_000), (0..250_000).collect())])).await;
    };

    a_partition_that_is_assigned_a_thousand_times_is_read_once within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let bytes = assignment(vec![("t", vec![0; 1000]), ("t", vec![0])]);
        changes!(broker, SyncGroup, |answer| answer.assignment.clone_from(&bytes));
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        reads(&mut consumer, 0..3).await;
        assert_eq!(consumer.assignment(), [("t", 0).into()]);
        closes(consumer).await;
    };

    /// Neither can know. Each reads, and both go on with what they have once the broker is honest.
    the_same_partition_to_two_members_harms_neither within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let bytes = assignment(vec![("t", vec![0])]);
        changes!(broker, SyncGroup, |answer| answer.assignment.clone_from(&bytes));
        let mut one = member(&broker, GroupProtocol::Classic).await;
        reads(&mut one, 0..3).await;
        let mut other = member(&broker, GroupProtocol::Classic).await;
        both_until(&mut one, &mut other, |one, other| one + other == 2).await;
        broker.repents();
        one.enforce_rebalance("it is honest now").unwrap();
        both_until(&mut one, &mut other, |one, other| one + other == 1).await;
        closes(one).await;
        closes(other).await;
    };

    a_group_that_rebalances_at_every_heartbeat_joins_at_the_heartbeats_pace within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        reads(&mut consumer, 0..3).await;
        changes!(broker, Heartbeat, |answer| answer.error_code = ErrorCode::RebalanceInProgress);
        let before = broker.asked(ApiKey::JoinGroup);
        polls(&mut consumer, Duration::from_secs(1)).await;
        let asked = broker.asked(ApiKey::JoinGroup) - before;
        assert!(asked <= 20, "{asked} in a second");
        broker.repents();
        tells(&mut consumer, "member with 1 partitions").await;
        closes(consumer).await;
    };
}
