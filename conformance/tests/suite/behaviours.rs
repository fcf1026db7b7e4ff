//! What programs rely on in Java's clients and no other case of the suite asks of Ottla: `docs/java-behaviours.md` says of which
//! of Java's tests each is the counterpart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::admin::NewTopic;
use ottla::error::{AdminErrorKind, CommitErrorKind, OffsetsErrorKind, SendErrorKind};
use ottla::{
    CommittedOffset, Consumer, OffsetReset, Producer, ProducerRecord, Rebalance, RebalanceListener,
    SeekPosition, Subscription, SubscriptionError, TimestampType, TopicPartition,
};
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{
    PATIENCE, admin, consumer, create_as, equal, holds, member, next, numbers, offsets, poll_until, producer,
    take, text, topic, wait, within,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("behaviours::a_group_without_an_offset_begins_where_the_policy_says", |target| {
            wait(begins(target))
        }),
        Case::both("behaviours::what_is_assigned_by_hand_is_committed_and_read_on", |target| {
            wait(by_hand(target))
        }),
        Case::both(
            "behaviours::commits_in_the_background_are_done_before_the_next_and_before_a_close",
            |target| wait(in_order(target)),
        ),
        Case::both(
            "behaviours::auto_commit_covers_what_the_user_is_back_from_at_a_close_and_at_a_rebalance",
            |target| wait(auto_commit(target)),
        ),
        Case::both("behaviours::in_on_assigned_a_partition_is_sought_and_paused", |target| {
            wait(in_on_assigned(target))
        }),
        Case::both("behaviours::a_record_larger_than_each_limit_of_a_fetch_is_read", |target| {
            wait(large(target))
        }),
        Case::both("behaviours::a_poll_hands_out_so_many_and_one_of_no_time_comes_to_records", |target| {
            wait(polls(target))
        }),
        Case::both("behaviours::subscriptions_grow_shrink_change_their_kind_and_end", |target| {
            wait(subscriptions(target))
        }),
        Case::both("behaviours::a_name_that_no_topic_can_have_is_refused_by_every_call", |target| {
            wait(no_name(target))
        }),
        Case::both("behaviours::a_producer_writes_to_partitions_that_are_added_and_to_no_others", |target| {
            wait(partitions_added(target))
        }),
        Case::both("behaviours::a_record_too_large_for_the_producer_or_its_broker_fails_alone", |target| {
            wait(too_large(target))
        }),
        Case::both("behaviours::a_time_that_the_broker_gives_is_told_as_its_own", |target| {
            wait(broker_time(target))
        }),
    ]
    .into_iter()
    .map(Case::and_kafka_3_9)
    .collect()
}

async fn begins(target: &Target) -> Outcome {
    let topic = topic(target, "begins", 1).await?;
    numbers(target, &topic, 1, 0..5).await?;
    let hour = Duration::from_secs(3600);
    for (policy, first) in
        [(OffsetReset::Earliest, 0), (OffsetReset::ByDuration(hour), 0), (OffsetReset::Latest, 5)]
    {
        let group = unique("begins");
        let mut reader = member(target, &group, &topic).auto_offset_reset(policy).build().await?;
        poll_until(&mut reader, "a position", |reader| reader.lag().len() == 1).await?;
        let position = within("the position", reader.position((topic.as_str(), 0))).await??;
        // It may have read to the end meanwhile.
        holds(&format!("{policy:?} begins at {first}, not {position}"), position >= first && position <= 5)?;
        reader.seek((topic.as_str(), 0), 0)?;
        equal("and goes where it is sent", next(&mut reader).await?.offset(), 0)?;
        within("a close", reader.close()).await??;
    }
    Ok(())
}

async fn by_hand(target: &Target) -> Outcome {
    let (topic, group) = (topic(target, "by-hand", 1).await?, unique("by-hand"));
    numbers(target, &topic, 1, 0..100).await?;
    let at = TopicPartition::new(&topic, 0);
    let builder = || consumer(target).group_id(group.as_str()).enable_auto_commit(false);
    let mut reader = builder().build().await?;
    reader.assign([at.clone()])?;
    equal("all", offsets(&take(&mut reader, 40).await?), (0..40).collect())?;
    let none = within("it", reader.committed([at.clone()])).await??;
    equal("nothing is committed by itself", none, [(at.clone(), None)].into())?;
    within("a commit", reader.commit()).await??;
    for _ in 0..2 {
        let told = within("it", reader.committed([at.clone()])).await??.remove(&at).flatten();
        equal("each time it is asked", told.map(|told| told.offset), Some(40))?;
    }
    let noted = CommittedOffset::new(30).with_metadata("noted");
    within("a commit", reader.commit_offsets([(at.clone(), noted)])).await??;
    let told =
        within("it", reader.committed([at.clone()])).await??.remove(&at).flatten().ok_or("an offset")?;
    equal("with what was noted", (told.offset, told.metadata.as_str()), (30, "noted"))?;
    equal("reading goes on", next(&mut reader).await?.offset(), 40)?;
    within("a close", reader.close()).await??;
    let mut reader = builder().build().await?;
    reader.assign([at.clone()])?;
    equal("from what is committed", next(&mut reader).await?.offset(), 30)?;
    reader.seek(at.clone(), 90)?;
    equal("from elsewhere", offsets(&take(&mut reader, 10).await?), (90..100).collect())?;
    within("a close", reader.close()).await??;
    Ok(())
}

/// What is committed for partition 0.
async fn committed(target: &Target, group: &str) -> Result<Option<i64>, Failed> {
    let all = admin(target).await?.committed_offsets(group).await?;
    Ok(all.values().next().map(|at| at.offset))
}

async fn in_order(target: &Target) -> Outcome {
    let (topic, group) = (topic(target, "in-order", 1).await?, unique("in-order"));
    numbers(target, &topic, 1, 0..10).await?;
    let at = TopicPartition::new(&topic, 0);
    let mut reader = consumer(target).group_id(group.as_str()).enable_auto_commit(false).build().await?;
    reader.assign([at.clone()])?;
    take(&mut reader, 10).await?;
    let background: Vec<_> =
        (1..=5).map(|offset| reader.commit_offsets_async([(at.clone(), offset)])).collect();
    within("a commit", reader.commit_offsets([(at.clone(), 3)])).await??;
    equal("the last one asked for counts", committed(target, &group).await?, Some(3))?;
    for commit in background {
        within("one of the background", commit).await??;
    }
    let last = reader.commit_offsets_async([(at.clone(), 8)]);
    within("a close", reader.close()).await??;
    equal("it was made before the close was over", committed(target, &group).await?, Some(8))?;
    within("its outcome", last).await??;
    Ok(())
}

async fn auto_commit(target: &Target) -> Outcome {
    let (topic, group) = (topic(target, "auto", 2).await?, unique("auto"));
    numbers(target, &topic, 2, 0..100).await?;
    let builder = || member(target, &group, &topic).enable_auto_commit(true).auto_commit_interval(PATIENCE);
    let mut first = builder().build().await?;
    take(&mut first, 100).await?;
    // To call again says that they are done.
    holds("no more", first.poll(Duration::from_millis(50)).await?.is_empty())?;
    let mut second = builder().build().await?;
    let start = std::time::Instant::now();
    while first.assignment().len() != 1 || second.assignment().len() != 1 {
        holds("two members share", start.elapsed() < PATIENCE)?;
        first.poll(Duration::from_millis(20)).await?;
        holds("nothing comes twice", second.poll(Duration::from_millis(20)).await?.is_empty())?;
    }
    numbers(target, &topic, 2, 100..102).await?;
    for reader in [&mut first, &mut second] {
        take(reader, 1).await?;
        holds("no more", reader.poll(Duration::from_millis(50)).await?.is_empty())?;
    }
    within("a close", first.close()).await??;
    within("a close", second.close()).await??;
    let told = admin(target).await?.committed_offsets(group.as_str()).await?;
    equal("at the close", told.values().map(|at| at.offset).collect(), vec![51, 51])
}

/// Seeks what it is assigned to 5 and pauses it.
#[derive(Clone, Default)]
struct Pauses(Arc<Mutex<Vec<Option<i64>>>>);

impl RebalanceListener for Pauses {
    async fn on_assigned(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        for at in partitions {
            rebalance.pause(at.clone());
            if rebalance.seek(at.clone(), 5).is_ok() {
                self.0.lock().expect("no panic").push(rebalance.position(at.clone()));
            }
        }
    }
}

async fn in_on_assigned(target: &Target) -> Outcome {
    let topic = topic(target, "pauses", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let listener = Pauses::default();
    let builder = member(target, &unique("pauses"), &topic).rebalance_listener(listener.clone());
    let mut reader = builder.build().await?;
    poll_until(&mut reader, "a paused partition", |reader| reader.paused().len() == 1).await?;
    equal("its position there", listener.0.lock().expect("no panic").clone(), vec![Some(5)])?;
    holds("nothing comes", reader.poll(Duration::from_millis(300)).await?.is_empty())?;
    reader.resume([(topic.as_str(), 0)]);
    equal("from where it was sought", next(&mut reader).await?.offset(), 5)?;
    within("a close", reader.close()).await??;
    Ok(())
}

async fn large(target: &Target) -> Outcome {
    const LARGE: usize = 200_000;
    let topic = topic(target, "large", 1).await?;
    let producer = producer(target).await?;
    for size in [10, LARGE, 10] {
        let record = ProducerRecord::to(&topic).partition(0).value(vec![b'v'; size]);
        within("a record", producer.send(record).await?).await??;
    }
    for (partition, all) in [(1000, 50 << 20), (1 << 20, 1000), (1000, 1000)] {
        let builder = consumer(target).max_partition_fetch_bytes(partition).fetch_max_bytes(all);
        let mut reader = builder.build().await?;
        reader.assign([(topic.as_str(), 0)])?;
        let read = take(&mut reader, 3).await?;
        let lengths: Vec<usize> = read.iter().map(|record| record.value().map_or(0, <[u8]>::len)).collect();
        equal(&format!("by {partition} and {all} bytes"), lengths, vec![10, LARGE, 10])?;
        within("a close", reader.close()).await??;
    }
    Ok(())
}

async fn polls(target: &Target) -> Outcome {
    let topic = topic(target, "polls", 1).await?;
    numbers(target, &topic, 1, 0..25).await?;
    let mut reader = consumer(target).max_poll_records(10).build().await?;
    reader.assign([(topic.as_str(), 0)])?;
    let (start, mut seen) = (std::time::Instant::now(), Vec::new());
    while seen.len() < 25 {
        holds("records come", start.elapsed() < PATIENCE)?;
        let records = reader.poll(Duration::ZERO).await?;
        holds("not more than ten", records.iter().count() <= 10)?;
        seen.extend(records.iter().map(|record| record.offset()));
        drop(records);
        tokio::task::yield_now().await;
    }
    equal("each in order", seen, (0..25).collect())
}

/// Until the consumer has just these topics.
async fn has(reader: &mut Consumer, topics: &[&str]) -> Outcome {
    poll_until(reader, "the topics that it is subscribed to", |reader| {
        let mut found: Vec<String> = reader.assignment().into_iter().map(|at| at.topic.to_string()).collect();
        found.sort();
        found == topics
    })
    .await
}

async fn subscriptions(target: &Target) -> Outcome {
    let base = unique("subscribed");
    let names = ["a", "b"].map(|end| format!("{base}.{end}"));
    for name in &names {
        crate::kit::create(target, name, 1).await?;
    }
    let [a, b] = names.each_ref().map(String::as_str);
    let mut reader = member(target, &base, a).build().await?;
    has(&mut reader, &[a]).await?;
    reader.subscribe([a, b])?;
    has(&mut reader, &[a, b]).await?;
    reader.subscribe([b])?;
    has(&mut reader, &[b]).await?;
    reader.subscribe_pattern(&format!("{}.*", base.replace('.', "\\.")))?;
    has(&mut reader, &[a, b]).await?;
    reader.subscribe_pattern(&format!("{}.*a", base.replace('.', "\\.")))?;
    has(&mut reader, &[a]).await?;
    reader.unsubscribe();
    equal("nothing is left", reader.assignment(), Vec::new())?;
    reader.subscribe([b])?;
    has(&mut reader, &[b]).await?;
    within("a close", reader.close()).await??;
    Ok(())
}

async fn no_name(target: &Target) -> Outcome {
    let (group, topic) = (unique("no-name"), topic(target, "named", 1).await?);
    let Err(told) = member(target, &group, "no name").build().await else { return Err("it is built".into()) };
    holds(&format!("it is named: {told}"), told.to_string().contains("`no name`"))?;
    let mut reader = member(target, &group, &topic).build().await?;
    let named = Err(SubscriptionError::InvalidTopic("no name".to_owned()));
    equal("a subscription", reader.subscribe(["no name"]), named.clone())?;
    equal("the topics before", reader.subscription(), Subscription::Topics([topic.clone()].into()))?;
    has(&mut reader, &[&topic]).await?;
    let committed = reader.commit_offsets([(("no name", 0), 1)]).await.map_err(|error| error.kind());
    equal("a commit", committed.err(), Some(CommitErrorKind::InvalidTopic))?;
    let ends = reader.end_offsets([("no name", 0)]).await.map_err(|error| error.kind());
    equal("an end", ends.err(), Some(OffsetsErrorKind::InvalidTopic))?;
    let mut assigned = consumer(target).build().await?;
    equal("an assignment", assigned.assign([("no name", 0)]), named)?;
    let sent = producer(target).await?.send(ProducerRecord::to("no name").value("v")).await;
    equal("a record", sent.map(drop).map_err(|error| error.kind()), Err(SendErrorKind::InvalidTopic))?;
    let admin = admin(target).await?;
    let created = admin.create_topic(NewTopic::new("no name")).await.map_err(|error| error.kind());
    equal("a new topic", created, Err(AdminErrorKind::InvalidRequest))?;
    within("a close", reader.close()).await??;
    Ok(())
}

async fn partitions_added(target: &Target) -> Outcome {
    let topic = topic(target, "expanded", 1).await?;
    let builder = Producer::builder().bootstrap_servers([target.bootstrap()]);
    let builder =
        builder.metadata_max_age(Duration::from_millis(500)).unknown_topic_grace(Duration::from_secs(1));
    let producer = builder.max_block(Duration::from_secs(3)).build().await?;
    let to = |partition| ProducerRecord::to(&topic).partition(partition).value("v");
    for offset in 0..3 {
        let told = within("a record", producer.send(to(0)).await?).await??;
        equal("where it is", (told.partition, told.offset), (0, Some(offset)))?;
    }
    let failed = within("an error", async {
        match producer.send(to(1)).await {
            Ok(delivery) => delivery.await.map(drop),
            Err(error) => Err(error),
        }
    })
    .await?;
    let kind = failed.map_err(|error| error.kind());
    holds(
        &format!("no such partition: {kind:?}"),
        matches!(
            kind,
            Err(SendErrorKind::UnknownPartition | SendErrorKind::MetadataTimeout | SendErrorKind::TimedOut)
        ),
    )?;
    admin(target).await?.create_partitions(topic.as_str(), 2).await?;
    let start = std::time::Instant::now();
    let told = loop {
        let sent = async { producer.send(to(1)).await?.await };
        match within("an outcome", sent).await? {
            Ok(told) => break told,
            Err(_) if start.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.into()),
        }
    };
    equal("in the new one", (told.partition, told.offset), (1, Some(0)))?;
    let left = producer.clone();
    within("a close", producer.close()).await??;
    let late = within("an error", left.send(to(0))).await?.map(drop).map_err(|error| error.kind());
    equal("after the close", late, Err(SendErrorKind::Closed))
}

async fn too_large(target: &Target) -> Outcome {
    let topic = topic(target, "too-large", 1).await?;
    let builder = || Producer::builder().bootstrap_servers([target.bootstrap()]);
    for (what, producer) in [
        ("the producer's limit", builder().build().await?),
        ("the broker's", builder().max_request_size(4 << 20).build().await?),
    ] {
        let sent = async {
            producer.send(ProducerRecord::to(&topic).partition(0).value(vec![b'v'; 2 << 20])).await?.await
        };
        let told = within("an outcome", sent).await?.map(drop).map_err(|error| error.kind());
        equal(what, told, Err(SendErrorKind::TooLarge))?;
        within("the next one", producer.send(ProducerRecord::to(&topic).partition(0).value("small")).await?)
            .await??;
        within("a close", producer.close()).await??;
    }
    let mut reader = consumer(target).build().await?;
    reader.assign([(topic.as_str(), 0)])?;
    equal(
        "what is there",
        take(&mut reader, 2).await?.iter().map(text).collect(),
        vec!["small".to_owned(); 2],
    )
}

async fn broker_time(target: &Target) -> Outcome {
    let name = unique("broker-time");
    let new = NewTopic::new(&name).partitions(1).config("message.timestamp.type", "LogAppendTime");
    create_as(target, new).await?;
    let producer = producer(target).await?;
    let record = ProducerRecord::to(&name).partition(0).timestamp(ottla::Timestamp(1_000)).value("v");
    let told = within("a record", producer.send(record).await?).await??;
    let mut reader = consumer(target).build().await?;
    reader.assign([(name.as_str(), 0)])?;
    reader.seek((name.as_str(), 0), SeekPosition::Beginning)?;
    let read = next(&mut reader).await?;
    equal("whose it is", read.timestamp_type(), TimestampType::LogAppendTime)?;
    holds("not the producer's", read.timestamp().is_some_and(|time| time.0 > 1_000_000_000_000))?;
    equal("the producer is told the same", told.timestamp, read.timestamp())
}
