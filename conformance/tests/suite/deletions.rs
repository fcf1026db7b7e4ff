//! Records and committed offsets are deleted.

use libtest_mimic::Failed;
use ottla::admin::RecordsBefore;
use ottla::error::{AdminErrorKind, RecvErrorKind};
use ottla::{Admin, AdminError, ErrorCode, OffsetReset, TopicPartition};
use ottla_conformance::targets::Target;

use crate::cases::{Case, Outcome};
use crate::kit::{admin, consumer, equal, member, next, numbers, take, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("records_before_an_offset_are_deleted_and_reading_goes_on_there", |target| {
            wait(records(target))
        })
        .and_kafka_3_9(),
        Case::both("a_position_whose_record_was_deleted_is_reset_by_the_policy_or_told", |target| {
            wait(under_a_reader(target))
        })
        .and_kafka_3_9(),
        Case::both("offsets_of_a_group_are_deleted_unless_a_member_is_subscribed", |target| {
            wait(offsets(target))
        })
        .and_kafka_3_9(),
    ]
}

async fn delete(
    admin: &Admin,
    topic: &str,
    before: impl Into<RecordsBefore>,
) -> Result<Result<i64, AdminError>, Failed> {
    let deleted = within("a deletion", admin.delete_records([((topic, 0), before)])).await??;
    Ok(deleted.into_values().next().ok_or("no answer")?)
}

async fn records(target: &Target) -> Outcome {
    let topic = topic(target, "trimmed", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let admin = admin(target).await?;
    equal("the log begins", delete(&admin, &topic, 4).await??, 4)?;
    let mut reader = consumer(target).build().await?;
    reader.assign([(topic.as_str(), 0)])?;
    equal("the first record", next(&mut reader).await?.offset(), 4)?;
    for offset in [-1, 11] {
        let error = delete(&admin, &topic, offset).await?.err().ok_or("it is deleted")?;
        let told = (error.kind(), error.context().code);
        equal("no such offset", told, (AdminErrorKind::Broker, Some(ErrorCode::OffsetOutOfRange)))?;
    }
    equal("it begins where it ends", delete(&admin, &topic, RecordsBefore::HighWatermark).await??, 10)?;
    let missing = delete(&admin, "no-such-topic", 1).await?.err().ok_or("it is deleted")?;
    equal("no such topic", missing.kind(), AdminErrorKind::UnknownTopic)
}

async fn under_a_reader(target: &Target) -> Outcome {
    let topic = topic(target, "trimmed", 1).await?;
    let at = TopicPartition::new(topic.as_str(), 0);
    let admin = admin(target).await?;
    for (policy, from) in [(OffsetReset::Earliest, 0), (OffsetReset::None, 10)] {
        let mut reader = consumer(target).auto_offset_reset(policy).build().await?;
        reader.assign([at.clone()])?;
        reader.seek(at.clone(), from)?;
        numbers(target, &topic, 1, 0..2).await?;
        equal("before the deletion", take(&mut reader, 2).await?.len(), 2)?;
        numbers(target, &topic, 1, 2..10).await?;
        equal("the log begins", delete(&admin, &topic, from + 6).await??, from + 6)?;
        // What it has fetched before it would hand out.
        reader.seek(at.clone(), from + 2)?;
        match policy {
            OffsetReset::Earliest => equal("it goes on", next(&mut reader).await?.offset(), from + 6)?,
            _ => {
                let error = within("an error", reader.recv()).await?.err().ok_or("a record")?;
                equal("it is told", error.kind(), RecvErrorKind::OutOfRange)?;
            }
        }
    }
    Ok(())
}

async fn offsets(target: &Target) -> Outcome {
    let topic = topic(target, "forgotten", 2).await?;
    numbers(target, &topic, 2, 0..4).await?;
    let mut reader = member(target, &topic, &topic).build().await?;
    take(&mut reader, 4).await?;
    within("a commit", reader.commit()).await??;
    let admin = admin(target).await?;
    let one = || [(topic.as_str(), 0)];
    let deleted = within("a deletion", admin.delete_offsets(topic.as_str(), one())).await??;
    let error = deleted.into_values().next().and_then(Result::err).ok_or("it is deleted")?;
    equal("while it reads", error.context().code, Some(ErrorCode::GroupSubscribedToTopic))?;
    within("a close", reader.close()).await??;
    let deleted = within("a deletion", admin.delete_offsets(topic.as_str(), one())).await??;
    equal("it is deleted", deleted.into_values().all(|each| each.is_ok()), true)?;
    let committed = within("committed offsets", admin.committed_offsets(topic.as_str())).await??;
    equal("what is left", committed.into_keys().collect(), vec![TopicPartition::new(topic.as_str(), 1)])?;
    let error = within("a deletion", admin.delete_offsets("nobody", one())).await?.err();
    let error = error.ok_or("there is no such group")?;
    equal("no such group", error.kind(), AdminErrorKind::UnknownGroup)
}
