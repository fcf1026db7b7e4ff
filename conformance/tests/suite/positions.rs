//! Where a consumer reads: seeking, times, pauses, and what is told of it.

use std::time::Duration;

use ottla::error::{CommitErrorKind, OffsetsErrorKind, RecvErrorKind, SeekErrorKind};
use ottla::{Compression, Consumer, ErrorCode, OffsetReset, Reason, SeekPosition, Timestamp, TopicPartition};
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{
    PATIENCE, admin, consumer, create, equal, holds, member, next, numbers, offsets, one_batch, poll_until,
    take, text, topic, wait, within,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("seeking_moves_to_the_beginning_the_end_an_offset_and_a_time", |target| {
            wait(seeking_moves(target))
        }),
        Case::both("offsets_are_found_by_time_without_moving", |target| wait(found_by_time(target))),
        Case::both("a_paused_partition_rests_until_it_is_resumed", |target| wait(paused(target))),
        Case::both("without_an_offset_and_a_policy_the_error_names_the_partition", |target| {
            wait(without_a_policy(target))
        }),
        Case::both("position_committed_high_watermark_and_lag_are_told", |target| wait(told(target))),
        Case::both("what_needs_a_group_or_a_partition_fails_by_its_type", |target| wait(needs(target))),
        Case::both("an_unknown_topic_is_waited_for_with_a_reason", |target| wait(unknown_topic(target))),
        Case::both("a_topic_deleted_while_it_is_read_is_explained", |target| wait(deleted(target))),
    ]
    .into_iter()
    .map(Case::and_kafka_3_9)
    .collect()
}

/// A consumer of partition 0, of a topic that holds 100 records a second apart, and the first one's time.
async fn of_times(target: &Target) -> Result<(Consumer, TopicPartition, i64), libtest_mimic::Failed> {
    let topic = topic(target, "times", 1).await?;
    let first = one_batch(target, &topic, 100, Compression::None).await?;
    let mut consumer = consumer(target).build().await?;
    consumer.assign([(topic.as_str(), 0)])?;
    Ok((consumer, TopicPartition::new(topic, 0), first))
}

async fn seeking_moves(target: &Target) -> Outcome {
    let (mut consumer, at, first) = of_times(target).await?;
    equal("at first", next(&mut consumer).await?.offset(), 0)?;
    for (to, found) in [
        (SeekPosition::Offset(50), 50),
        (SeekPosition::Beginning, 0),
        (SeekPosition::Timestamp(Timestamp(first + 20_000)), 20),
        (SeekPosition::Timestamp(Timestamp(first + 20_001)), 21),
        (SeekPosition::Timestamp(Timestamp(0)), 0),
        (SeekPosition::Offset(99), 99),
    ] {
        consumer.seek(at.clone(), to)?;
        equal(
            &format!("the position after {to:?}"),
            within("it", consumer.position(at.clone())).await??,
            found,
        )?;
        equal(&format!("after {to:?}"), next(&mut consumer).await?.offset(), found)?;
    }
    consumer.seek_to_beginning([at.clone()])?;
    equal("the beginning", offsets(&take(&mut consumer, 100).await?), (0..100).collect())?;
    for to in [SeekPosition::End, SeekPosition::Timestamp(Timestamp(first + 1_000_000))] {
        consumer.seek(at.clone(), to)?;
        equal(&format!("{to:?}"), within("it", consumer.position(at.clone())).await??, 100)?;
    }
    numbers(target, &at.topic, 1, 100..101).await?;
    equal("after the end", text(&next(&mut consumer).await?), "100".to_owned())
}

async fn found_by_time(target: &Target) -> Outcome {
    let (mut consumer, at, first) = of_times(target).await?;
    take(&mut consumer, 5).await?;
    for (time, expected) in [(first, Some(0)), (first + 9_500, Some(10)), (first + 1_000_000, None)] {
        let found = within("it", consumer.offsets_for_times([(at.clone(), time)])).await??;
        let found = found.get(&at).copied().flatten();
        equal("the offset", found.map(|found| found.offset), expected)?;
        let its_time = expected.map(|offset| Timestamp(first + offset * 1000));
        equal("its time", found.and_then(|found| found.timestamp), its_time)?;
    }
    let beginning = within("it", consumer.beginning_offsets([at.clone()])).await??;
    let end = within("it", consumer.end_offsets([at.clone()])).await??;
    equal("the ends", (beginning.get(&at), end.get(&at)), (Some(&0), Some(&100)))?;
    equal("where it was", next(&mut consumer).await?.offset(), 5)
}

async fn paused(target: &Target) -> Outcome {
    let topic = topic(target, "paused", 2).await?;
    numbers(target, &topic, 2, 0..200).await?;
    let mut consumer = consumer(target).build().await?;
    let (rests, goes) = (TopicPartition::new(&topic, 0), TopicPartition::new(&topic, 1));
    consumer.assign([rests.clone(), goes.clone()])?;
    consumer.pause([rests.clone()]);
    equal("paused", consumer.paused(), vec![rests.clone()])?;
    let records = take(&mut consumer, 100).await?;
    holds("only the other flows", records.iter().all(|record| record.partition() == 1))?;
    let reason = |consumer: &Consumer| {
        consumer.explain().partitions.into_iter().find(|(at, _)| at.partition == 0).map(|(_, reason)| reason)
    };
    equal("why", reason(&consumer), Some(Reason::Paused))?;
    let more = consumer.poll(Duration::from_millis(300)).await?;
    holds("nothing of the paused one", more.is_empty())?;
    consumer.resume([rests.clone()]);
    equal("all of it, in order", offsets(&take(&mut consumer, 100).await?), (0..100).collect())?;
    // In the midst of what is at hand.
    consumer.seek_to_beginning([rests.clone(), goes])?;
    let first = next(&mut consumer).await?;
    consumer.pause([first.topic_partition().clone()]);
    let records = take(&mut consumer, 100).await?;
    holds("the other", records.iter().all(|record| record.partition() != first.partition()))?;
    consumer.resume([first.topic_partition().clone()]);
    equal("where it paused", next(&mut consumer).await?.offset(), 1)
}

async fn without_a_policy(target: &Target) -> Outcome {
    let topic = topic(target, "policy", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let at = TopicPartition::new(&topic, 0);
    let builder = consumer(target).group_id(topic.as_str()).auto_offset_reset(OffsetReset::None);
    let mut consumer = builder.enable_auto_commit(false).build().await?;
    consumer.assign([at.clone()])?;
    let Err(error) = within("an error", consumer.recv()).await? else { return Err("not an error".into()) };
    equal("without an offset", error.kind(), RecvErrorKind::NoOffset)?;
    equal("its partition", error.context().partition.as_ref(), Some(&at))?;
    consumer.seek(at.clone(), 4)?;
    equal("after a seek", next(&mut consumer).await?.offset(), 4)?;
    consumer.seek(at.clone(), 1000)?;
    let Err(error) = within("an error", consumer.recv()).await? else { return Err("not an error".into()) };
    equal("beyond the log", error.kind(), RecvErrorKind::OutOfRange)?;
    equal("where", (error.context().partition.as_ref(), error.context().offset), (Some(&at), Some(1000)))?;
    holds("the text names it", error.to_string().contains(&at.to_string()))?;
    consumer.seek(at, SeekPosition::Beginning)?;
    equal("after another", next(&mut consumer).await?.offset(), 0)
}

async fn told(target: &Target) -> Outcome {
    let topic = topic(target, "told", 1).await?;
    numbers(target, &topic, 1, 0..100).await?;
    let at = TopicPartition::new(&topic, 0);
    let mut consumer = member(target, &topic, &topic).build().await?;
    equal("before it is assigned", consumer.high_watermark(at.clone()), None)?;
    let records = take(&mut consumer, 40).await?;
    equal("position", within("it", consumer.position(at.clone())).await??, 40)?;
    equal("high watermark", consumer.high_watermark(at.clone()), Some(100))?;
    equal("lag", consumer.lag(), [(at.clone(), Some(60))].into())?;
    let offset = within("it", consumer.committed([at.clone()])).await??;
    equal("nothing is committed", offset, [(at.clone(), None)].into())?;
    within("a commit", consumer.commit()).await??;
    let offset = within("it", consumer.committed([at.clone()])).await??.remove(&at).flatten();
    equal("committed is the next one to read", offset.map(|committed| committed.offset), Some(40))?;
    within("a commit", consumer.commit_offsets([(at.clone(), 12)])).await??;
    let offset = within("it", consumer.committed([at.clone()])).await??.remove(&at).flatten();
    equal("the newest wins, not the largest", offset.map(|committed| committed.offset), Some(12))?;
    equal("the position stays", within("it", consumer.position(at.clone())).await??, 40)?;
    equal("what was handed out", offsets(&records), (0..40).collect())?;
    take(&mut consumer, 60).await?;
    equal("no lag", consumer.lag(), [(at, Some(0))].into())
}

async fn needs(target: &Target) -> Outcome {
    let topic = topic(target, "needs", 1).await?;
    numbers(target, &topic, 1, 0..1).await?;
    let at = TopicPartition::new(&topic, 0);
    let mut consumer = consumer(target).build().await?;
    let received = within("an error", consumer.recv()).await?.map(|_| ()).map_err(|error| error.kind());
    equal("nothing assigned", received, Err(RecvErrorKind::NotSubscribed))?;
    consumer.assign([at.clone()])?;
    next(&mut consumer).await?;
    let commit = within("an error", consumer.commit()).await?.map_err(|error| error.kind());
    equal("a commit", commit, Err(CommitErrorKind::NoGroup))?;
    let commit = within("an error", consumer.commit_offsets([(at.clone(), 1)])).await?;
    equal("a commit of offsets", commit.map_err(|error| error.kind()), Err(CommitErrorKind::NoGroup))?;
    let committed = within("an error", consumer.committed([at])).await?.map_err(|error| error.kind());
    equal("the committed", committed.map(drop), Err(OffsetsErrorKind::NoGroup))?;
    let seek = consumer.seek((topic.as_str(), 7), 0).map_err(|error| error.kind());
    equal("a seek elsewhere", seek, Err(SeekErrorKind::NotAssigned))
}

async fn unknown_topic(target: &Target) -> Outcome {
    let topic = unique("unknown");
    let mut consumer = member(target, &topic, &topic).build().await?;
    poll_until(&mut consumer, "a missing topic", |consumer| {
        let missing = consumer.explain().missing_topics;
        missing == [(topic.clone(), ErrorCode::UnknownTopicOrPartition)]
    })
    .await?;
    holds("in words", consumer.explain().to_string().contains(&topic))?;
    create(target, &topic, 1).await?;
    numbers(target, &topic, 1, 0..3).await?;
    equal("once it is there", offsets(&take(&mut consumer, 3).await?), vec![0, 1, 2])
}

async fn deleted(target: &Target) -> Outcome {
    let topic = topic(target, "deleted", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let mut consumer = consumer(target).build().await?;
    consumer.assign([(topic.as_str(), 0)])?;
    take(&mut consumer, 10).await?;
    admin(target).await?.delete_topic(topic.as_str()).await?;
    let start = std::time::Instant::now();
    loop {
        // Whether a call fails too is not what this is about.
        let _ = tokio::time::timeout(Duration::from_millis(50), consumer.recv()).await;
        let explanation = consumer.explain();
        let gone = |(_, reason): &(TopicPartition, Reason)| matches!(reason, Reason::TopicUnknown(_));
        if explanation.partitions.iter().any(gone) {
            return holds("in words", explanation.to_string().contains(&topic));
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("not explained within {PATIENCE:?}:\n{explanation}").into());
        }
    }
}
