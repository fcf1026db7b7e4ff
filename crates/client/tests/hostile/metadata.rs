//! Pictures of the cluster that no cluster has.

use std::time::Duration;

use ottla_protocol::{
    ApiKey, ErrorCode,
    messages::{MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
};

use crate::{
    broker::{Hostile, changes},
    clients::{asker, assigned, closes, filled, obstructed, reader, reads, record, said, tells, writer},
    script::{LITTLE, MIB, script},
};

/// A consumer that is told such metadata, tells this of it, and reads once it is right.
async fn told(what: &str, mut lies: impl FnMut(&mut MetadataResponse) + Send + 'static) {
    let broker = Hostile::with(1);
    filled(&broker, 5);
    changes!(broker, Metadata, |answer| lies(answer));
    let mut consumer = assigned(&broker).await;
    // It says something of the partition before it has heard anything, too.
    while broker.asked(ApiKey::Metadata) < 2 {
        _ = consumer.poll(Duration::from_millis(20)).await;
    }
    tells(&mut consumer, what).await;
    broker.repents();
    reads(&mut consumer, 0..5).await;
    closes(consumer).await;
}

/// A consumer that reads, is told such metadata, and reads on.
async fn in_spite_of(mut lies: impl FnMut(&mut MetadataResponse) + Send + 'static) {
    let broker = Hostile::with(1);
    filled(&broker, 5);
    // There has been another leader epoch before.
    let now = broker.server.now();
    broker.server.with_cluster(|cluster| {
        let (node, _) = cluster.leader("t", 0).unwrap();
        cluster.elect_unclean("t", 0, node, 5, now);
        assert!(cluster.leader("t", 0).unwrap().1 > 0, "another epoch");
    });
    let mut consumer = reader(&broker).metadata_max_age(Duration::from_millis(100)).build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    reads(&mut consumer, 0..5).await;
    changes!(broker, Metadata, |answer| lies(answer));
    let before = broker.asked(ApiKey::Metadata);
    while broker.asked(ApiKey::Metadata) < before + 3 {
        _ = consumer.poll(Duration::from_millis(50)).await;
    }
    filled(&broker, 5);
    reads(&mut consumer, 5..10).await;
    broker.repents();
    filled(&broker, 5);
    reads(&mut consumer, 10..15).await;
    closes(consumer).await;
}

fn partitions(answer: &mut MetadataResponse) -> impl Iterator<Item = &mut MetadataResponsePartition> {
    answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions)
}

fn odd() -> String {
    "\u{1b}[2J\r\n\0\u{202e}".to_owned()
}

script! {
    a_leader_that_does_not_exist_is_told_as_none within LITTLE => async || {
        told("t-0: the partition has no leader", |answer| {
            partitions(answer).for_each(|partition| partition.leader_id = i32::MAX);
        }).await;
    };

    a_leader_that_cannot_be_reached_is_told_with_its_address within LITTLE => async || {
        told("cannot connect: 127.0.0.1:1", |answer| {
            answer.brokers.iter_mut().for_each(|broker| broker.port = 1);
        }).await;
    };

    a_port_that_cannot_be_is_no_broker within LITTLE => async || {
        told("t-0: ", |answer| answer.brokers.iter_mut().for_each(|broker| broker.port = -1)).await;
    };

    a_host_of_a_megabyte_is_no_broker within LITTLE => async || {
        told("t-0: ", |answer| {
            answer.brokers.iter_mut().for_each(|broker| broker.host = "h".repeat(MIB));
        }).await;
    };

    an_answer_without_brokers_is_no_picture within LITTLE => async || {
        told("no broker has told of the topic yet", |answer| answer.brokers.clear()).await;
    };

    an_answer_about_other_topics_tells_nothing_of_the_one_asked_for within LITTLE => async || {
        told("t-0: ", |answer| {
            answer.topics.iter_mut().for_each(|topic| topic.name = Some("other".to_owned()));
        }).await;
    };

    an_error_that_is_none_of_kafkas_is_told_by_its_number within LITTLE => async || {
        told("31000", |answer| {
            answer.topics.iter_mut().for_each(|topic| {
                topic.error_code = ErrorCode::from_code(31_000);
                topic.partitions.clear();
            });
        }).await;
    };

    leader_epochs_that_go_back_are_not_believed within LITTLE => async || {
        in_spite_of(|answer| {
            partitions(answer).for_each(|partition| {
                (partition.leader_epoch, partition.leader_id) = (partition.leader_epoch - 1, 4711);
            });
        }).await;
    };

    control_characters_in_every_name_harm_nothing within LITTLE => async || {
        in_spite_of(|answer| {
            answer.cluster_id = Some(odd());
            answer.brokers.iter_mut().for_each(|broker| broker.rack = Some(odd()));
            answer.topics.push(MetadataResponseTopic { name: Some(odd()), ..Default::default() });
        }).await;
    };

    numbers_of_partitions_that_cannot_be_harm_nothing within LITTLE => async || {
        in_spite_of(|answer| {
            for topic in &mut answer.topics {
                let known = topic.partitions[0].clone();
                for partition_index in [i32::MIN, -1, i32::MAX, 0, 0] {
                    topic.partitions.push(MetadataResponsePartition { partition_index, ..known.clone() });
                }
            }
        }).await;
    };

    /// Three answers would have sixty thousand nodes; each picture replaces the one before.
    twenty_thousand_other_brokers_in_each_answer_take_no_more_memory_than_in_one within LITTLE => async || {
        let mut next = 1000;
        in_spite_of(move |answer| {
            for _ in 0..20_000 {
                next += 1;
                let host = "127.0.0.1".to_owned();
                answer.brokers.push(MetadataResponseBroker { node_id: next, host, port: 1, ..Default::default() });
            }
        }).await;
    };

    /// 35 MB on the wire, 120 MB in the listener that makes them, and what the client makes of them.
    a_million_partitions_take_memory_by_what_they_are_on_the_wire within LITTLE + 640 * MIB => async || {
        let broker = Hostile::with(1);
        filled(&broker, 5);
        changes!(broker, Metadata, |answer| {
            for topic in &mut answer.topics {
                let many = (0..1_000_000).map(|partition_index| MetadataResponsePartition {
                    partition_index,
                    leader_id: 77,
                    ..Default::default()
                });
                topic.partitions = many.collect();
            }
        });
        // Such an answer takes a while, and is not asked for by another connection meanwhile.
        let slow = reader(&broker).request_timeout(Duration::from_secs(20));
        let mut consumer = slow.build().await.unwrap();
        consumer.assign([("t", 0)]).unwrap();
        tells(&mut consumer, "t-0: the partition has no leader").await;
        broker.repents();
        reads(&mut consumer, 0..5).await;
        closes(consumer).await;
    };

    a_consumer_by_pattern_is_not_given_topics_that_cannot_be within LITTLE => async || {
        let broker = Hostile::with(1);
        filled(&broker, 5);
        changes!(broker, Metadata, |answer| {
            for letter in ["x", "y"] {
                let name = Some(letter.repeat(30_000));
                let mut topic = answer.topics.first().cloned().unwrap_or_default();
                (topic.name, topic.topic_id) = (name, ottla_protocol::TopicId([9; 16]));
                answer.topics.push(topic);
            }
        });
        let mut consumer = reader(&broker).group_id("g").group_protocol(ottla::GroupProtocol::Classic).build().await.unwrap();
        consumer.subscribe_pattern(".*").unwrap();
        reads(&mut consumer, 0..5).await;
        assert_eq!(consumer.assignment(), [("t", 0).into()]);
        closes(consumer).await;
    };

    a_producer_whose_leader_does_not_exist_says_so within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, Metadata, |answer| partitions(answer).for_each(|partition| partition.leader_id = 4711));
        let producer = writer(&broker).build().await.unwrap();
        let delivery = producer.send(record()).await.unwrap();
        obstructed(|| producer.explain(), "t-0 has no leader").await;
        let failed = said(delivery.await);
        assert!(failed.contains("t-0") && failed.contains("no leader"), "{failed}");
        broker.repents();
        assert_eq!(producer.send(record()).await.unwrap().await.unwrap().offset, Some(0));
    };

    /// The partitions that there are have gaps between their numbers.
    a_producer_finds_no_partition_where_numbers_have_gaps within LITTLE => async || {
        let broker = Hostile::with(1);
        changes!(broker, Metadata, |answer| {
            partitions(answer).for_each(|partition| partition.partition_index = 1_000_000_000);
        });
        let producer = writer(&broker).build().await.unwrap();
        let sent = producer.send(ottla::ProducerRecord::to("t").value("v")).await;
        let said = said(sent);
        assert!(said.contains("`t`") || said.contains("t-"), "{said}");
        broker.repents();
        _ = producer.close().await;
    };

    an_admin_client_is_told_of_ten_thousand_topics_and_of_nothing_twice within LITTLE + 48 * MIB => async || {
        let broker = Hostile::with(1);
        changes!(broker, Metadata, |answer| {
            for n in 0..20_000 {
                let name = Some(format!("{}{}", odd(), n / 2));
                answer.topics.push(MetadataResponseTopic { name, ..Default::default() });
            }
        });
        let admin = asker(&broker).build().await.unwrap();
        assert_eq!(admin.list_topics().await.unwrap().len(), 10_001);
        admin.close().await;
    };
}
