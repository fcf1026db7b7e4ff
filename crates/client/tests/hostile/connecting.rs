//! Frames that are none, answers to other questions, versions that nobody speaks.

use std::time::Duration;

use ottla_protocol::{
    ApiKey, ErrorCode, Response,
    messages::{ApiVersionsApiVersion, FindCoordinatorResponse},
};

use crate::{
    broker::{Answer, Hostile, changes},
    clients::{ANSWER, asker, assigned, closes, filled, obstructed, reads, said, tells, writer},
    script::{LITTLE, MIB, script},
};

/// A consumer that is told this instead of metadata, tells so, and reads once the broker is honest.
async fn instead_of_metadata(
    what: &str,
    mut lies: impl FnMut(&crate::broker::Call, Response) -> Answer + Send + 'static,
) {
    let broker = Hostile::with(1);
    filled(&broker, 5);
    broker.does(move |call, response| match call.key {
        ApiKey::Metadata => lies(call, response),
        _ => response.into(),
    });
    let mut consumer = assigned(&broker).await;
    tells(&mut consumer, what).await;
    tells(&mut consumer, &broker.bootstrap()).await;
    broker.repents();
    reads(&mut consumer, 0..5).await;
    closes(consumer).await;
}

/// The same for fetches: what was read before stays read, and nothing is skipped.
async fn instead_of_a_fetch(
    what: &str,
    mut lies: impl FnMut(&crate::broker::Call, Response) -> Answer + Send + 'static,
) {
    let broker = Hostile::with(1);
    filled(&broker, 5);
    let mut consumer = assigned(&broker).await;
    reads(&mut consumer, 0..3).await;
    broker.does(move |call, response| match call.key {
        ApiKey::Fetch => lies(call, response),
        _ => response.into(),
    });
    reads(&mut consumer, 3..5).await;
    tells(&mut consumer, what).await;
    broker.repents();
    filled(&broker, 5);
    reads(&mut consumer, 5..10).await;
    closes(consumer).await;
}

/// Versions of every API, as a script has them.
async fn versions(what: &str, lies: impl Fn(&mut Vec<ApiVersionsApiVersion>) + Send + 'static) {
    let broker = Hostile::with(1);
    filled(&broker, 1);
    changes!(broker, ApiVersions, |answer| lies(&mut answer.api_keys));
    let admin = asker(&broker).build().await.unwrap();
    let refused = said(admin.list_topics().await);
    assert!(refused.contains(what), "{refused}");
    broker.repents();
    let mut consumer = assigned(&broker).await;
    reads(&mut consumer, 0..1).await;
    admin.close().await;
}

fn announces(length: i32) -> Answer {
    Answer::Bytes(length.to_be_bytes().to_vec())
}

script! {
    an_answer_to_another_request_ends_the_connection_and_is_told within LITTLE => async || {
        instead_of_metadata("where", |call, response| {
            Answer::Bytes(call.frame_as(call.correlation_id ^ 0x55, &response))
        }).await;
    };

    a_fetch_that_is_answered_as_another_skips_nothing within LITTLE => async || {
        instead_of_a_fetch("where", |call, response| Answer::Bytes(call.frame_as(-1, &response))).await;
    };

    an_answer_in_another_version_is_told_with_its_api within LITTLE => async || {
        instead_of_metadata("Metadata response cannot be read", |call, response| {
            let older = ottla_protocol::ResponseHeader {
                key: call.key, version: 1, correlation_id: call.correlation_id,
            };
            Answer::Bytes(older.encode(&response))
        }).await;
    };

    the_body_of_another_api_is_told_with_the_one_that_was_asked within LITTLE => async || {
        instead_of_metadata("Metadata response cannot be read", |call, _| {
            let other: Response = FindCoordinatorResponse::default().into();
            let header = ottla_protocol::ResponseHeader {
                key: ApiKey::FindCoordinator, version: 4, correlation_id: call.correlation_id,
            };
            Answer::Bytes(header.encode(&other))
        }).await;
    };

    half_a_frame_and_silence_is_no_answer_in_time within LITTLE => async || {
        instead_of_metadata("no answer to Metadata in time", |_, response| Answer::Half(response)).await;
    };

    silence_is_no_answer_in_time within LITTLE => async || {
        instead_of_metadata("no answer to Metadata in time", |_, _| Answer::Silence).await;
    };

    a_byte_a_second_is_no_answer_in_time within LITTLE => async || {
        instead_of_a_fetch("no answer to Fetch in time", |_, response| Answer::Slowly(response, ANSWER)).await;
    };

    half_a_fetch_and_silence_skips_nothing within LITTLE => async || {
        instead_of_a_fetch("no answer to Fetch in time", |_, response| Answer::Half(response)).await;
    };

    a_frame_of_two_gibibytes_is_not_waited_for within LITTLE => async || {
        instead_of_metadata("announces 2147483647 bytes", |_, _| announces(i32::MAX)).await;
    };

    a_frame_of_less_than_nothing_is_told within LITTLE => async || {
        instead_of_metadata("announces -1 bytes", |_, _| announces(-1)).await;
    };

    /// What is announced takes no memory before it comes.
    a_large_frame_that_never_comes_takes_no_memory within LITTLE => async || {
        instead_of_a_fetch("no answer to Fetch in time", |call, response| {
            let mut bytes = call.frame(&response);
            bytes.splice(..4, (90_000_000_i32).to_be_bytes());
            // As much as there is; the rest does not come.
            bytes.truncate(20);
            Answer::Bytes(bytes)
        }).await;
    };

    an_empty_frame_is_no_answer within LITTLE => async || {
        instead_of_metadata("Metadata response cannot be read", |_, _| announces(0)).await;
    };

    an_answer_to_nothing_is_told within LITTLE => async || {
        instead_of_a_fetch("it answers what was not asked", |call, response| {
            Answer::Bytes([call.frame(&response), call.frame(&response)].concat())
        }).await;
    };

    a_web_server_is_told_as_one within LITTLE => async || {
        instead_of_metadata("an HTTP server's answer", |_, _| Answer::Bytes(b"HTTP/1.1 400 Bad\r\n\r\n".to_vec())).await;
    };

    bytes_behind_a_message_are_told within LITTLE => async || {
        instead_of_metadata("Metadata response cannot be read", |call, response| {
            let mut bytes = call.frame(&response);
            bytes.extend([0; 7]);
            let length = (bytes.len() - 4) as i32;
            bytes.splice(..4, length.to_be_bytes());
            Answer::Bytes(bytes)
        }).await;
    };

    a_broker_that_hangs_up_at_every_fetch_skips_nothing within LITTLE => async || {
        instead_of_a_fetch("closed", |_, _| Answer::Close).await;
    };

    versions_that_end_before_they_begin_are_none within LITTLE => async || {
        versions("Metadata: not supported by the broker", |keys| {
            keys.iter_mut().for_each(|key| (key.min_version, key.max_version) = (i16::MAX, i16::MIN));
        }).await;
    };

    a_broker_that_speaks_nothing_is_told_as_such within LITTLE => async || {
        versions("Metadata: not supported by the broker", Vec::clear).await;
    };

    /// 100,000 keys of 7 bytes, which each connection keeps.
    more_apis_than_there_are_take_no_more_than_they_hold within LITTLE + 16 * MIB => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        changes!(broker, ApiVersions, |answer| {
            let one = ApiVersionsApiVersion { api_key: 777, min_version: 0, max_version: 1 };
            answer.api_keys.extend(std::iter::repeat_n(one, 100_000));
        });
        let mut consumer = assigned(&broker).await;
        reads(&mut consumer, 0..3).await;
    };

    a_broker_that_refuses_to_say_what_it_speaks_is_told_with_its_error within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 1);
        changes!(broker, ApiVersions, |answer| answer.error_code = ErrorCode::ClusterAuthorizationFailed);
        let mut consumer = assigned(&broker).await;
        tells(&mut consumer, "refuses to tell what it speaks: CLUSTER_AUTHORIZATION_FAILED").await;
        broker.repents();
        reads(&mut consumer, 0..1).await;
    };

    a_broker_that_asks_for_a_pause_each_time_is_left_alone_and_told_so within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        let mut consumer = assigned(&broker).await;
        reads(&mut consumer, 0..1).await;
        broker.does(|_, mut response| {
            response.set_throttle_time_ms(300);
            response.into()
        });
        tells(&mut consumer, "throttled by the broker").await;
        let before = broker.asked(ApiKey::Fetch);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = broker.asked(ApiKey::Fetch) - before;
        assert!(asked <= 5, "{asked} fetches in a second");
        broker.repents();
        filled(&broker, 3);
        reads(&mut consumer, 3..6).await;
    };

    /// Some 25 days. Nothing but a close can be done.
    a_pause_that_never_ends_is_told_and_keeps_nobody_from_closing within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        broker.does(|_, mut response| {
            response.set_throttle_time_ms(i32::MAX);
            response.into()
        });
        let mut consumer = assigned(&broker).await;
        tells(&mut consumer, "throttled").await;
        closes(consumer).await;
    };

    a_pause_of_less_than_nothing_is_none within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 3);
        broker.does(|_, mut response| {
            response.set_throttle_time_ms(i32::MIN);
            response.into()
        });
        let mut consumer = assigned(&broker).await;
        reads(&mut consumer, 0..3).await;
    };

    a_producer_names_the_broker_whose_answers_cannot_be_read within LITTLE => async || {
        let broker = Hostile::with(1);
        let producer = writer(&broker).build().await.unwrap();
        broker.does(|call, response| match call.key {
            ApiKey::Produce => Answer::Bytes([0, 0, 0, 6].into_iter().chain(call.correlation_id.to_be_bytes()).chain([9; 2]).collect()),
            _ => response.into(),
        });
        let delivery = producer.send(crate::clients::record()).await.unwrap();
        obstructed(|| producer.explain(), &format!("{}: the broker's Produce response cannot be read", broker.bootstrap())).await;
        broker.repents();
        assert_eq!(delivery.await.unwrap().offset, Some(0), "sent again, and there once");
        producer.close().await.unwrap();
    };
}
