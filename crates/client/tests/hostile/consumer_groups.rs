//! Coordinators of groups under the consumer protocol (KIP-848) whose epochs and assignments cannot be.

use std::time::Duration;

use ottla::GroupProtocol;
use ottla_protocol::{
    ApiKey, ErrorCode, TopicId,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatResponse,
        ConsumerGroupHeartbeatTopicPartitions,
    },
};

use crate::{
    broker::{Hostile, changes},
    clients::{closes, filled, reader, reads, tells},
    groups::{member, polls},
    script::{LITTLE, MIB, script},
};

fn assigned(
    topics: impl IntoIterator<Item = (TopicId, Vec<i32>)>,
) -> Option<ConsumerGroupHeartbeatAssignment> {
    let topic = |(topic_id, partitions)| ConsumerGroupHeartbeatTopicPartitions { topic_id, partitions };
    Some(ConsumerGroupHeartbeatAssignment { topic_partitions: topics.into_iter().map(topic).collect() })
}

/// A member whose heartbeats are answered so for a second. It asks no more often than this, and says this. One of another group reads
/// once the broker is honest.
async fn beats(
    what: &str,
    at_most: u32,
    mut lies: impl FnMut(&mut ConsumerGroupHeartbeatResponse) + Send + 'static,
) {
    let broker = Hostile::with(1);
    filled(&broker, 3);
    changes!(broker, ConsumerGroupHeartbeat, |answer| lies(answer));
    let mut consumer = member(&broker, GroupProtocol::Consumer).await;
    tells(&mut consumer, what).await;
    let before = broker.asked(ApiKey::ConsumerGroupHeartbeat);
    polls(&mut consumer, Duration::from_secs(1)).await;
    let asked = broker.asked(ApiKey::ConsumerGroupHeartbeat) - before;
    assert!(asked <= at_most, "{asked} in a second");
    broker.repents();
    closes(consumer).await;
    // The coordinator may hold the first for a member until its session is over.
    let mut consumer =
        reader(&broker).group_id("h").group_protocol(GroupProtocol::Consumer).build().await.unwrap();
    consumer.subscribe(["t"]).unwrap();
    reads(&mut consumer, 0..3).await;
    closes(consumer).await;
}

script! {
    an_epoch_that_goes_back_is_followed_and_left_again within LITTLE => async || {
        let mut epoch = 1000;
        beats("group: ", 150, move |answer| {
            epoch -= 7;
            answer.member_epoch = epoch;
        }).await;
    };

    an_epoch_below_zero_is_none within LITTLE => async || {
        beats("group: ", 60, |answer| answer.member_epoch = i32::MIN).await;
    };

    heartbeats_that_are_asked_for_without_end_leave_a_pause within LITTLE => async || {
        beats("group: ", 300, |answer| answer.heartbeat_interval_ms = 0).await;
    };

    heartbeats_that_are_asked_for_in_a_month_harm_nothing within LITTLE => async || {
        beats("group: ", 60, |answer| answer.heartbeat_interval_ms = i32::MAX).await;
    };

    a_member_that_is_fenced_each_time_joins_after_pauses within LITTLE => async || {
        beats("FENCED_MEMBER_EPOCH", 60, |answer| answer.error_code = ErrorCode::FencedMemberEpoch).await;
    };

    an_error_of_a_megabyte_is_told_by_its_name within LITTLE => async || {
        beats("COORDINATOR_LOAD_IN_PROGRESS", 60, |answer| {
            (answer.error_code, answer.error_message) = (ErrorCode::CoordinatorLoadInProgress, Some("e".repeat(MIB)));
        }).await;
    };

    /// Ten thousand topics that nobody can name.
    topics_that_nobody_names_are_told_by_their_number within LITTLE + 32 * MIB => async || {
        beats("waiting for the names of 10000 topics", 60, |answer| {
            let id = |n: u32| TopicId([n.to_be_bytes(), [7; 4], [7; 4], [7; 4]].concat().try_into().unwrap());
            answer.assignment = assigned((0..10_000).map(|n| (id(n), vec![0])));
        }).await;
    };

    partitions_that_do_not_exist_are_told_and_the_others_read within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        changes!(broker, ConsumerGroupHeartbeat, |answer| if let Some(assignment) = &mut answer.assignment {
            assignment.topic_partitions.iter_mut().for_each(|topic| topic.partitions.extend([0, 77, -5, i32::MIN]));
        });
        let mut consumer = member(&broker, GroupProtocol::Consumer).await;
        reads(&mut consumer, 0..3).await;
        tells(&mut consumer, "t-77").await;
        assert_eq!(consumer.assignment(), [("t", 0).into(), ("t", 77).into()]);
        closes(consumer).await;
    };

    /// A static member whose id another holds is refused for good, and says so.
    an_instance_that_another_holds_is_told within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, ConsumerGroupHeartbeat, |answer| answer.error_code = ErrorCode::UnreleasedInstanceId);
        let builder = reader(&broker).group_id("g").group_instance_id("i").group_protocol(GroupProtocol::Consumer);
        let mut consumer = builder.subscribe(["t"]).build().await.unwrap();
        tells(&mut consumer, "UNRELEASED_INSTANCE_ID").await;
        closes(consumer).await;
    };
}
