//! Coordinators of transactions that give identities which are none, and ends that were not asked for.

use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    broker::{Hostile, changes},
    clients::{record, said, writer},
    script::{LITTLE, MIB, script},
};

async fn transactional(broker: &Hostile) -> Result<ottla::TransactionalProducer, ottla::error::BuildError> {
    writer(broker).transactional_id("id").build_transactional().await
}

/// One record in a transaction of its own.
async fn commits(producer: &mut ottla::TransactionalProducer) {
    let transaction = producer.begin().await.unwrap();
    drop(transaction.send(record()).await.unwrap());
    transaction.commit().await.unwrap();
}

script! {
    an_identity_that_is_none_begins_no_transaction within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, InitProducerId, |answer| (answer.producer_id, answer.producer_epoch) = (-1, -1));
        let refused = match transactional(&broker).await {
            Err(error) => format!("{error:#}"),
            Ok(mut producer) => said(producer.begin().await.map(drop)),
        };
        assert!(refused.contains("UNKNOWN_SERVER_ERROR") && refused.len() < 4000, "{refused}");
        broker.repents();
        commits(&mut transactional(&broker).await.unwrap()).await;
    };

    an_end_that_gives_an_epoch_below_zero_is_followed_by_a_question_for_one within LITTLE => async || {
        let broker = Hostile::with(1);
        let mut producer = transactional(&broker).await.unwrap();
        changes!(broker, EndTxn, |answer| answer.producer_epoch = i16::MIN);
        commits(&mut producer).await;
        broker.repents();
        commits(&mut producer).await;
        assert!(broker.asked(ApiKey::InitProducerId) >= 2);
        producer.close().await.unwrap();
    };

    a_coordinator_that_does_not_exist_is_told_by_who_begins within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, FindCoordinator, |answer| {
            answer.coordinators.iter_mut().for_each(|found| (found.node_id, found.port) = (4711, 1));
        });
        let refused = match transactional(&broker).await {
            Err(error) => format!("{error:#}"),
            Ok(mut producer) => said(producer.begin().await.map(drop)),
        };
        assert!(refused.contains("127.0.0.1:1") || refused.contains("coordinator"), "{refused}");
        broker.repents();
        commits(&mut transactional(&broker).await.unwrap()).await;
    };

    words_of_a_megabyte_about_a_coordinator_are_cut within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, FindCoordinator, |answer| answer.coordinators.iter_mut().for_each(|found| {
            (found.error_code, found.error_message) =
                (ErrorCode::TransactionalIdAuthorizationFailed, Some("e".repeat(MIB)));
        }));
        let refused = match transactional(&broker).await {
            Err(error) => format!("{error:#}"),
            Ok(mut producer) => said(producer.begin().await.map(drop)),
        };
        assert!(refused.contains("authorized") && refused.len() < 4000, "{refused}");
    };

    an_end_that_is_answered_with_an_error_of_nobodys_fails_with_its_number within LITTLE => async || {
        let broker = Hostile::with(1);
        let mut producer = transactional(&broker).await.unwrap();
        changes!(broker, EndTxn, |answer| answer.error_code = ErrorCode::from_code(30_000));
        let transaction = producer.begin().await.unwrap();
        drop(transaction.send(record()).await.unwrap());
        let failed = said(transaction.commit().await);
        assert!(failed.contains("EndTxn") && failed.contains("30000"), "{failed}");
    };

    offsets_in_a_transaction_that_are_answered_for_others_fail_in_time_with_the_group within LITTLE => async || {
        let broker = Hostile::with(1);
        crate::clients::filled(&broker, 3);
        let mut consumer = crate::groups::member(&broker, ottla::GroupProtocol::Consumer).await;
        crate::clients::reads(&mut consumer, 0..3).await;
        let group = consumer.group_metadata().unwrap();
        let mut producer = transactional(&broker).await.unwrap();
        changes!(broker, TxnOffsetCommit, |answer| answer.topics.clear());
        let transaction = producer.begin().await.unwrap();
        drop(transaction.send(record()).await.unwrap());
        let failed = said(transaction.send_offsets([(("t", 0), 3)], &group).await);
        assert!(failed.contains("`g`"), "{failed}");
        drop(transaction);
        broker.repents();
        commits(&mut producer).await;
        crate::clients::closes(consumer).await;
    };
}
