//! Answers to operators that are of other things than were asked for, too many, or too long.

use ottla::admin::NewTopic;
use ottla_protocol::{
    ErrorCode,
    messages::{CreateTopicsCreatableTopicResult, ListGroupsListedGroup},
};

use crate::{
    broker::{Hostile, changes},
    clients::{asker, said},
    script::{LITTLE, MIB, script},
};

script! {
    words_of_megabytes_about_a_topic_are_cut within LITTLE + 32 * MIB => async || {
        let broker = Hostile::with(1);
        changes!(broker, CreateTopics, |answer| answer.topics.iter_mut().for_each(|topic| {
            (topic.error_code, topic.error_message) = (ErrorCode::PolicyViolation, Some("\u{1b}]0;".repeat(MIB)));
        }));
        let admin = asker(&broker).build().await.unwrap();
        let refused = said(admin.create_topic(NewTopic::new("new")).await);
        assert!(refused.contains("`new`") && refused.contains("POLICY_VIOLATION"), "{refused}");
        admin.close().await;
    };

    a_topic_that_is_left_out_of_the_answer_is_not_taken_for_created within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, CreateTopics, |answer| {
            let other = CreateTopicsCreatableTopicResult { name: "other".to_owned(), ..Default::default() };
            answer.topics = vec![other];
        });
        let admin = asker(&broker).build().await.unwrap();
        let failed = said(admin.create_topic(NewTopic::new("new")).await);
        assert!(!failed.is_empty());
        broker.repents();
        admin.close().await;
    };

    twenty_thousand_groups_are_listed_as_they_are_called within LITTLE + 32 * MIB => async || {
        let broker = Hostile::with(1);
        changes!(broker, ListGroups, |answer| answer.groups = (0..20_000).map(|n| ListGroupsListedGroup {
            group_id: format!("\u{1b}[2J{n}"),
            group_state: "\u{7}".to_owned(),
            ..Default::default()
        }).collect());
        let admin = asker(&broker).build().await.unwrap();
        assert_eq!(admin.list_groups().await.unwrap().len(), 20_000);
        admin.close().await;
    };

    groups_that_were_not_asked_for_are_not_told_and_the_one_that_was_fails_in_time within LITTLE => async || {
        let broker = Hostile::with(1);
        broker.does(|_, mut response| {
            match &mut response {
                ottla_protocol::Response::DescribeGroups(answer) => {
                    answer.groups.iter_mut().for_each(|group| group.group_id = "other".to_owned());
                }
                ottla_protocol::Response::ConsumerGroupDescribe(answer) => answer.groups.clear(),
                _ => {}
            }
            response.into()
        });
        let admin = asker(&broker).build().await.unwrap();
        match admin.describe_groups(["g"]).await {
            Ok(told) => assert!(told.keys().eq(["g"]) && told["g"].is_err(), "{told:?}"),
            Err(error) => assert!(error.to_string().len() < 4000),
        }
        admin.close().await;
    };

    offsets_of_a_log_that_cannot_be_are_told_as_none within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, ListOffsets, |answer| {
            answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|told| told.offset = i64::MIN);
        });
        let admin = asker(&broker).build().await.unwrap();
        let mut told = admin.list_offsets([(("t", 0), ottla::admin::OffsetSpec::Latest)]).await.unwrap();
        assert!(told.pop_first().unwrap().1.unwrap().is_none());
        broker.repents();
        admin.close().await;
    };

    transactions_that_are_listed_with_numbers_that_cannot_be_are_told_as_they_are within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, DescribeTransactions, |answer| answer.transaction_states.iter_mut().for_each(|told| {
            told.error_code = ErrorCode::None;
            (told.transaction_timeout_ms, told.transaction_start_time_ms) = (i32::MIN, i64::MAX);
            (told.producer_id, told.producer_epoch) = (i64::MIN, i16::MIN);
        }));
        let admin = asker(&broker).build().await.unwrap();
        let told = admin.describe_transactions(["id"]).await.unwrap();
        assert_eq!(told["id"].as_ref().unwrap().producer_id, i64::MIN);
        admin.close().await;
    };
}
