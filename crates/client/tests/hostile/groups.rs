//! Coordinators of either protocol that are none, and offsets that nobody committed.

use std::time::{Duration, Instant};

use ottla::{Consumer, GroupProtocol};
use ottla_protocol::{
    ApiKey, ErrorCode,
    messages::{FindCoordinatorCoordinator, OffsetFetchResponsePartitions},
};

use crate::{
    broker::{Hostile, changes},
    clients::{closes, filled, reader, reads, said, tells},
    script::{LITTLE, MIB, script},
};

pub(crate) const BOTH: [GroupProtocol; 2] = [GroupProtocol::Classic, GroupProtocol::Consumer];

/// A member of group `g` that wants `t`.
pub(crate) async fn member(broker: &Hostile, protocol: GroupProtocol) -> Consumer {
    let builder = reader(broker).group_id("g").group_protocol(protocol).subscribe(["t"]);
    match protocol {
        GroupProtocol::Classic => builder.heartbeat_interval(Duration::from_millis(100)),
        _ => builder,
    }
    .build()
    .await
    .unwrap()
}

/// Calls for records, so long.
pub(crate) async fn polls(consumer: &mut Consumer, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if consumer.poll(Duration::from_millis(20)).await.is_err() {
            // What fails at once would leave the others no turn.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A member of either protocol whose coordinator is looked up so; it tells this, and reads once the broker is honest.
async fn coordinators(what: &str, lies: impl Fn(&mut FindCoordinatorCoordinator) + Clone + Send + 'static) {
    for protocol in BOTH {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let lies = lies.clone();
        changes!(broker, FindCoordinator, |answer| answer.coordinators.iter_mut().for_each(&lies));
        let mut consumer = member(&broker, protocol).await;
        tells(&mut consumer, what).await;
        broker.repents();
        reads(&mut consumer, 0..3).await;
        closes(consumer).await;
    }
}

fn partitions(
    answer: &mut ottla_protocol::messages::OffsetFetchResponse,
) -> impl Iterator<Item = &mut OffsetFetchResponsePartitions> {
    answer.groups.iter_mut().flat_map(|group| &mut group.topics).flat_map(|topic| &mut topic.partitions)
}

script! {
    a_coordinator_that_does_not_listen_is_told_with_its_address within LITTLE => async || {
        coordinators("cannot connect: 127.0.0.1:1", |found| (found.node_id, found.port) = (4711, 1)).await;
    };

    a_coordinator_without_a_port_is_told_as_none within LITTLE => async || {
        coordinators("COORDINATOR_NOT_AVAILABLE", |found| found.port = i32::MIN).await;
    };

    a_coordinator_at_a_host_of_a_megabyte_is_none within LITTLE => async || {
        coordinators("COORDINATOR_NOT_AVAILABLE", |found| found.host = "h".repeat(MIB)).await;
    };

    an_error_of_a_megabyte_is_told_by_its_name within LITTLE => async || {
        coordinators("COORDINATOR_LOAD_IN_PROGRESS", |found| {
            (found.error_code, found.error_message) = (ErrorCode::CoordinatorLoadInProgress, Some("e".repeat(MIB)));
        }).await;
    };

    /// Each says that it is another, and each time all members look again.
    a_coordinator_that_is_never_the_one_is_asked_after_pauses within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        broker.does(|_, mut response| {
            match &mut response {
                ottla_protocol::Response::JoinGroup(answer) => answer.error_code = ErrorCode::NotCoordinator,
                ottla_protocol::Response::Heartbeat(answer) => answer.error_code = ErrorCode::NotCoordinator,
                _ => {}
            }
            response.into()
        });
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        tells(&mut consumer, "NOT_COORDINATOR").await;
        let before = broker.asked(ApiKey::FindCoordinator);
        polls(&mut consumer, Duration::from_secs(1)).await;
        let asked = broker.asked(ApiKey::FindCoordinator) - before;
        assert!(asked < 100, "{asked} in a second");
        broker.repents();
        reads(&mut consumer, 0..3).await;
        closes(consumer).await;
    };

    offsets_that_cannot_be_committed_are_no_position within LITTLE => async || {
        for (protocol, offset) in [(GroupProtocol::Classic, i64::MIN), (GroupProtocol::Consumer, -2)] {
            let broker = Hostile::with(1);
            filled(&broker, 3);
            changes!(broker, OffsetFetch, |answer| partitions(answer).for_each(|told| {
                (told.committed_offset, told.committed_leader_epoch) = (offset, i32::MAX);
            }));
            let mut consumer = member(&broker, protocol).await;
            reads(&mut consumer, 0..3).await;
            closes(consumer).await;
        }
    };

    /// It is in no log, so that the policy decides.
    an_offset_behind_every_log_is_reset within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        changes!(broker, OffsetFetch, |answer| partitions(answer).for_each(|told| told.committed_offset = i64::MAX));
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        reads(&mut consumer, 0..3).await;
        closes(consumer).await;
    };

    /// 8 MB beside each of two offsets.
    text_beside_an_offset_takes_no_more_than_it_holds within LITTLE + 64 * MIB => async || {
        let broker = Hostile::with(2);
        filled(&broker, 3);
        changes!(broker, OffsetFetch, |answer| partitions(answer).for_each(|told| told.metadata = Some("m".repeat(8 * MIB))));
        let mut consumer = member(&broker, GroupProtocol::Consumer).await;
        reads(&mut consumer, 0..3).await;
        closes(consumer).await;
    };

    offsets_of_others_are_no_answer_and_asked_for_again within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        changes!(broker, OffsetFetch, |answer| answer.groups.iter_mut().for_each(|group| {
            group.group_id = "other".to_owned();
            group.topics.clear();
        }));
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        tells(&mut consumer, "t-0: waiting for the committed offset").await;
        assert!(broker.asked(ApiKey::OffsetFetch) < 200);
        broker.repents();
        reads(&mut consumer, 0..3).await;
        closes(consumer).await;
    };

    a_commit_that_is_answered_with_an_error_of_nobodys_fails_with_its_number within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let mut consumer = member(&broker, GroupProtocol::Classic).await;
        reads(&mut consumer, 0..3).await;
        changes!(broker, OffsetCommit, |answer| {
            let partitions = answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|told| told.error_code = ErrorCode::from_code(-32_768));
        });
        let refused = said(consumer.commit().await);
        assert!(refused.contains("-32768"), "{refused}");
        broker.repents();
        consumer.commit().await.unwrap();
        closes(consumer).await;
    };

    a_commit_whose_answer_is_of_other_partitions_is_made_again within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let mut consumer = member(&broker, GroupProtocol::Consumer).await;
        reads(&mut consumer, 0..3).await;
        changes!(broker, OffsetCommit, |answer| answer.topics.iter_mut().for_each(|topic| {
            topic.partitions.iter_mut().for_each(|told| told.partition_index = i32::MIN);
        }));
        let mut commit = consumer.commit_async();
        tokio::time::timeout(Duration::from_millis(500), &mut commit).await.unwrap_err();
        tells(&mut consumer, "commit: ").await;
        broker.repents();
        commit.await.unwrap();
        closes(consumer).await;
    };
}
