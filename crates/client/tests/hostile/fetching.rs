//! Fetches that bring what was not asked for, and logs that cannot be.

use std::time::Duration;

use ottla::{Consumer, IsolationLevel};
use ottla_protocol::{
    ApiKey, ErrorCode, TopicId,
    messages::{
        FetchAbortedTransaction, FetchNodeEndpoint, FetchPartitionResponse, FetchResponse, FetchTopicResponse,
    },
};

use crate::{
    broker::{Hostile, changes},
    clients::{assigned, batch, closes, filled, reader, reads, records, tells},
    script::{LITTLE, script},
};

/// Partition 0 of the topic that fetches have told of, in every answer: an honest one leaves out what has no records.
#[derive(Default)]
struct Always(TopicId);

impl Always {
    fn partition<'a>(&mut self, answer: &'a mut FetchResponse) -> &'a mut FetchPartitionResponse {
        self.0 = answer.responses.first().map_or(self.0, |topic| topic.topic_id);
        if answer.responses.is_empty() {
            let partitions = vec![FetchPartitionResponse::default()];
            answer.responses.push(FetchTopicResponse { topic_id: self.0, partitions, ..Default::default() });
        }
        &mut answer.responses[0].partitions[0]
    }
}

fn partitions(answer: &mut FetchResponse) -> impl Iterator<Item = &mut FetchPartitionResponse> {
    answer.responses.iter_mut().flat_map(|topic| &mut topic.partitions)
}

/// A consumer that has read 5 records of 10, and is told such fetches. It is stuck, says so, and goes on behind a seek once the
/// broker is honest.
async fn stuck(what: &str, mut lies: impl FnMut(&mut FetchPartitionResponse) + Send + 'static) {
    let broker = Hostile::with(1);
    filled(&broker, 5);
    let mut consumer = assigned(&broker).await;
    reads(&mut consumer, 0..5).await;
    changes!(broker, Fetch, |answer| partitions(answer).for_each(&mut lies));
    filled(&broker, 5);
    tells(&mut consumer, what).await;
    let before = broker.asked(ApiKey::Fetch);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = broker.asked(ApiKey::Fetch) - before;
    assert!(asked < 30, "{asked} fetches in half a second");
    broker.repents();
    consumer.seek(("t", 0), 5).unwrap();
    reads(&mut consumer, 5..10).await;
    closes(consumer).await;
}

/// A consumer that is told such fetches beside the records, and reads all of these.
async fn in_spite_of(lies: impl FnMut(&mut FetchResponse) + Send + 'static) {
    reads_all(|builder| builder, lies).await;
}

async fn reads_all(
    with: impl Fn(ottla::ConsumerBuilder) -> ottla::ConsumerBuilder,
    mut lies: impl FnMut(&mut FetchResponse) + Send + 'static,
) {
    let broker = Hostile::with(1);
    filled(&broker, 5);
    let mut consumer: Consumer = with(reader(&broker)).build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    changes!(broker, Fetch, |answer| lies(answer));
    reads(&mut consumer, 0..5).await;
    // Nothing of what brokers tell is too large to be shown.
    _ = (consumer.lag(), consumer.stats().lag(), consumer.health(), consumer.explain().to_string());
    filled(&broker, 5);
    reads(&mut consumer, 5..10).await;
    broker.repents();
    filled(&broker, 5);
    reads(&mut consumer, 10..15).await;
    closes(consumer).await;
}

script! {
    a_log_that_goes_back_is_not_fetched_without_end within LITTLE => async || {
        stuck("end before the offset that was asked for", |partition| partition.records = records(batch(0..5))).await;
    };

    a_batch_whose_checksum_is_wrong_is_told_with_its_offset within LITTLE => async || {
        stuck("offset 5", |partition| {
            let mut damaged = batch(5..10);
            damaged[70] ^= 1;
            partition.records = records(damaged);
        }).await;
    };

    a_batch_of_another_format_is_told within LITTLE => async || {
        stuck("magic", |partition| {
            let mut other = batch(5..10);
            other[16] = 1;
            partition.records = records(other);
        }).await;
    };

    a_batch_that_ends_behind_the_last_offset_is_told within LITTLE => async || {
        stuck("offsets out of range", |partition| {
            let mut behind = batch(5..10);
            behind[..8].copy_from_slice(&i64::MAX.to_be_bytes());
            partition.records = records(behind);
        }).await;
    };

    an_error_that_does_not_pass_is_told_with_its_name within LITTLE => async || {
        stuck("INVALID_REQUEST", |partition| {
            (partition.records, partition.error_code) = (None, ErrorCode::InvalidRequest);
        }).await;
    };

    /// It is found by the fetch ahead while the user has the records before it.
    damage_that_is_fetched_ahead_skips_nothing_before_it within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 5);
        let mut consumer = assigned(&broker).await;
        let mut always = Always::default();
        changes!(broker, Fetch, |answer| {
            let partition = always.partition(answer);
            // What comes first is right, and nothing is behind it.
            if partition.records.as_ref().is_none_or(|records| records.is_empty()) {
                let mut damaged = batch(5..10);
                damaged[16] = 9;
                partition.records = records(damaged);
            }
        });
        let first = consumer.recv().await.unwrap().unwrap();
        assert_eq!(first.offset(), 0);
        tokio::time::sleep(Duration::from_millis(500)).await;
        reads(&mut consumer, 1..5).await;
        tells(&mut consumer, "magic").await;
        broker.repents();
        consumer.seek(("t", 0), 5).unwrap();
        filled(&broker, 5);
        reads(&mut consumer, 5..10).await;
    };

    damage_behind_whole_batches_of_one_answer_skips_none_of_them within LITTLE => async || {
        let broker = Hostile::with(1);
        let mut consumer = assigned(&broker).await;
        changes!(broker, Fetch, |answer| for partition in partitions(answer) {
            let mut damaged = batch(5..10);
            damaged[16] = 9;
            partition.records = records([batch(0..3), batch(3..5), damaged].concat());
        });
        reads(&mut consumer, 0..5).await;
        closes(consumer).await;
    };

    records_of_partitions_that_were_not_asked_for_are_dropped within LITTLE => async || {
        in_spite_of(|answer| for topic in &mut answer.responses {
            let other = FetchPartitionResponse { partition_index: 7, records: records(batch(0..5)), ..Default::default() };
            topic.partitions.push(other);
        }).await;
    };

    a_partition_that_is_answered_twice_is_read_once within LITTLE => async || {
        in_spite_of(|answer| for topic in &mut answer.responses {
            topic.partitions.extend(topic.partitions.clone());
        }).await;
    };

    ends_of_logs_that_cannot_be_make_no_lag_that_cannot_be within LITTLE => async || {
        let mut ends = [i64::MIN, i64::MAX, -1, 0].into_iter().cycle();
        reads_all(|builder| builder.isolation_level(IsolationLevel::ReadUncommitted), move |answer| {
            for partition in partitions(answer) {
                partition.high_watermark = ends.next().unwrap();
                (partition.last_stable_offset, partition.log_start_offset) = (i64::MIN, i64::MAX);
            }
        }).await;
    };

    aborted_transactions_that_cannot_be_hide_nothing within LITTLE => async || {
        reads_all(|builder| builder.isolation_level(IsolationLevel::ReadCommitted), |answer| {
            for partition in partitions(answer) {
                let told = |first_offset| FetchAbortedTransaction { producer_id: first_offset, first_offset };
                partition.aborted_transactions = Some([i64::MIN, -1, 0, i64::MAX].map(told).to_vec());
            }
        }).await;
    };

    a_session_of_another_id_each_time_harms_nothing within LITTLE => async || {
        let mut id = i32::MAX - 3;
        in_spite_of(move |answer| {
            id = id.wrapping_add(1);
            answer.session_id = id;
        }).await;
    };

    a_follower_that_does_not_exist_is_not_read_from within LITTLE => async || {
        reads_all(|builder| builder.client_rack("here"), |answer| {
            partitions(answer).for_each(|partition| {
                if partition.records.as_ref().is_none_or(|records| records.is_empty()) {
                    partition.preferred_read_replica = 4711;
                }
            });
        }).await;
    };

    /// A thousand at most are kept, and only until metadata is asked for.
    a_hundred_thousand_brokers_beside_each_fetch_take_no_memory within 4 * LITTLE => async || {
        let mut node_ids = 1000..;
        in_spite_of(move |answer| for node_id in node_ids.by_ref().take(100_000) {
            answer.node_endpoints.push(FetchNodeEndpoint {
                node_id, host: "127.0.0.1".to_owned(), port: 1, ..Default::default()
            });
        }).await;
    };

    /// The leader says each time that another leads, and none of those is there.
    leaders_that_are_told_beside_a_fetch_and_do_not_exist_are_given_up within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 5);
        let mut consumer = assigned(&broker).await;
        reads(&mut consumer, 0..5).await;
        let (mut always, mut epoch) = (Always::default(), 100);
        changes!(broker, Fetch, |answer| {
            epoch += 1;
            let partition = always.partition(answer);
            (partition.error_code, partition.records) = (ErrorCode::NotLeaderOrFollower, None);
            (partition.current_leader.leader_id, partition.current_leader.leader_epoch) = (epoch, epoch);
            answer.node_endpoints.push(FetchNodeEndpoint {
                node_id: epoch, host: "127.0.0.1".to_owned(), port: 1, ..Default::default()
            });
        });
        filled(&broker, 5);
        tells(&mut consumer, "t-0: the partition has no leader").await;
        broker.repents();
        reads(&mut consumer, 5..10).await;
        closes(consumer).await;
    };

    a_log_that_says_it_was_cut_below_its_beginning_is_told_by_policy within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 5);
        let mut consumer = assigned(&broker).await;
        reads(&mut consumer, 0..5).await;
        changes!(broker, Fetch, |answer| partitions(answer).for_each(|partition| {
            (partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset) = (0, i64::MIN);
        }));
        for _ in 0..5 {
            _ = consumer.poll(Duration::from_millis(100)).await;
        }
        let asked = broker.asked(ApiKey::Fetch);
        assert!(asked < 200, "{asked} fetches in half a second");
        broker.repents();
        filled(&broker, 5);
        reads(&mut consumer, 5..10).await;
    };

    /// The position is in no log, and where logs begin is in none.
    a_log_that_begins_nowhere_is_told_and_asked_for_after_pauses within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 5);
        broker.does(|_, mut response| {
            match &mut response {
                ottla_protocol::Response::Fetch(answer) => partitions(answer).for_each(|partition| {
                    (partition.records, partition.error_code) = (None, ErrorCode::OffsetOutOfRange);
                }),
                ottla_protocol::Response::ListOffsets(answer) => {
                    answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|told| told.offset = i64::MAX);
                }
                _ => {}
            }
            response.into()
        });
        let mut consumer = assigned(&broker).await;
        for _ in 0..5 {
            _ = consumer.poll(Duration::from_millis(100)).await;
        }
        let asked = broker.asked(ApiKey::Fetch) + broker.asked(ApiKey::ListOffsets);
        assert!(asked < 400, "{asked} requests in half a second");
        assert!(consumer.explain().to_string().contains("t-0: "), "{}", consumer.explain());
        broker.repents();
        consumer.seek(("t", 0), 0).unwrap();
        reads(&mut consumer, 0..5).await;
    };

    a_log_that_is_told_to_begin_before_everything_is_asked_again_and_told within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 5);
        changes!(broker, ListOffsets, |answer| {
            answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|told| {
                (told.offset, told.timestamp, told.leader_epoch) = (-7, i64::MIN, i32::MIN);
            });
        });
        let mut consumer = assigned(&broker).await;
        for _ in 0..3 {
            _ = consumer.poll(Duration::from_millis(100)).await;
        }
        assert!(broker.asked(ApiKey::ListOffsets) < 100);
        broker.repents();
        consumer.seek_to_beginning([("t", 0)]).unwrap();
        reads(&mut consumer, 0..5).await;
    };
}
