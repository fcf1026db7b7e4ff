//! Producers whose identities, answers and refusals cannot be.

use std::time::Duration;

use ottla_protocol::{ApiKey, ErrorCode, messages::ProducePartitionResponse};

use crate::{
    broker::{Hostile, changes},
    clients::{ANSWER, obstructed, record, said, writer},
    script::{LITTLE, MIB, script},
};

/// A record whose acknowledgement says this; what becomes of it, and of the next under an honest broker.
async fn answered(
    lies: impl Fn(&mut ProducePartitionResponse) + Send + 'static,
) -> (Hostile, Result<ottla::Delivered, ottla::SendError>) {
    let broker = Hostile::with(1);
    let producer = writer(&broker).build().await.unwrap();
    changes!(broker, Produce, |answer| {
        answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses).for_each(&lies);
    });
    let result = producer.send(record()).await.unwrap().await;
    broker.repents();
    producer.send(record()).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    (broker, result)
}

script! {
    a_producer_id_below_zero_is_none within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, InitProducerId, |answer| answer.producer_id = -1);
        let producer = writer(&broker).build().await.unwrap();
        let refused = said(producer.send(record()).await.unwrap().await);
        assert!(refused.contains("no producer id") || refused.contains("UNKNOWN_SERVER_ERROR"), "{refused}");
        assert_eq!(broker.asked(ApiKey::Produce), 0, "nothing is sent as if it were not idempotent");
        broker.repents();
        assert_eq!(producer.send(record()).await.unwrap().await.unwrap().offset, Some(0));
        producer.close().await.unwrap();
    };

    an_offset_behind_all_others_is_the_last within LITTLE => async || {
        let (_, delivered) = answered(|answer| answer.base_offset = i64::MAX).await;
        assert_eq!(delivered.unwrap().offset, Some(i64::MAX));
    };

    an_offset_before_all_others_is_none within LITTLE => async || {
        let (_, delivered) = answered(|answer| (answer.base_offset, answer.log_append_time_ms) = (i64::MIN, i64::MIN)).await;
        assert_eq!(delivered.unwrap().offset, None);
    };

    words_of_a_megabyte_about_a_record_are_cut within LITTLE => async || {
        let (_, refused) = answered(|answer| {
            (answer.error_code, answer.error_message) = (ErrorCode::InvalidRecord, Some("\u{1b}[2J".repeat(MIB / 4)));
        }).await;
        let refused = said(refused);
        assert!(refused.contains("t-0") && refused.contains("INVALID_RECORD"), "{refused}");
    };

    a_batch_that_is_always_too_large_is_split_to_records_which_are_refused within LITTLE => async || {
        let broker = Hostile::with(1);
        let producer = writer(&broker).linger(Duration::from_millis(50)).build().await.unwrap();
        changes!(broker, Produce, |answer| {
            let answers = answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
            answers.for_each(|answer| (answer.error_code, answer.base_offset) = (ErrorCode::MessageTooLarge, -1));
        });
        let mut deliveries = Vec::new();
        for _ in 0..8 {
            deliveries.push(producer.send(record()).await.unwrap());
        }
        for delivery in deliveries {
            let refused = said(delivery.await);
            assert!(refused.contains("MESSAGE_TOO_LARGE") || refused.contains("t-0"), "{refused}");
        }
        assert!(broker.asked(ApiKey::Produce) < 60);
        broker.repents();
        producer.send(record()).await.unwrap().await.unwrap();
        producer.close().await.unwrap();
    };

    answers_about_other_partitions_are_none_and_the_record_times_out_with_its_obstacle within LITTLE => async || {
        let broker = Hostile::with(1);
        let producer = writer(&broker).build().await.unwrap();
        changes!(broker, Produce, |answer| {
            let answers = answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
            answers.for_each(|answer| answer.index = i32::MIN);
        });
        let delivery = producer.send(record()).await.unwrap();
        obstructed(|| producer.explain(), "answered UNKNOWN_SERVER_ERROR").await;
        let failed = said(tokio::time::timeout(10 * ANSWER, delivery).await.unwrap());
        assert!(failed.contains("t-0") && failed.contains(&broker.bootstrap()), "{failed}");
        assert!(broker.asked(ApiKey::Produce) < 200);
    };

    a_leader_that_says_another_leads_each_time_is_told_as_the_obstacle within LITTLE => async || {
        let broker = Hostile::with(1);
        let producer = writer(&broker).build().await.unwrap();
        let mut epoch = 100;
        changes!(broker, Produce, |answer| {
            for answer in answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
                epoch += 1;
                (answer.error_code, answer.base_offset) = (ErrorCode::NotLeaderOrFollower, -1);
                (answer.current_leader.leader_id, answer.current_leader.leader_epoch) = (4711, epoch);
            }
        });
        let delivery = producer.send(record()).await.unwrap();
        obstructed(|| producer.explain(), "NOT_LEADER_OR_FOLLOWER").await;
        broker.repents();
        assert!(delivery.await.unwrap().offset.is_some());
        assert!(broker.asked(ApiKey::Produce) < 200);
        producer.close().await.unwrap();
    };

    a_sequence_that_is_never_right_is_given_up_in_time within LITTLE => async || {
        let broker = Hostile::with(1);
        let producer = writer(&broker).build().await.unwrap();
        changes!(broker, Produce, |answer| {
            let answers = answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
            answers.for_each(|answer| answer.error_code = ErrorCode::OutOfOrderSequenceNumber);
        });
        let failed = said(producer.send(record()).await.unwrap().await);
        assert!(failed.contains("t-0") && failed.contains("OUT_OF_ORDER_SEQUENCE_NUMBER"), "{failed}");
        assert!(broker.asked(ApiKey::Produce) < 200);
    };
}
