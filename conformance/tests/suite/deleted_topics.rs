//! A topic is deleted while a group reads it: nothing else waits for it (KAFKA-20959, KAFKA-16235).

use std::time::Duration;

use ottla::error::CommitErrorKind;
use ottla::{Consumer, GroupProtocol, TopicPartition};
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::kit::{
    PATIENCE, admin, consumer, create, describe, equal, holds, numbers, take, topic, wait, within,
};

const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

/// A coordinator matches a pattern of the consumer protocol against new topics every ten seconds.
const NEWS_WITHIN: Duration = Duration::from_secs(15);

/// How long a command takes to end that has everything it needs.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn cases() -> Vec<Case> {
    let reading = PROTOCOLS.map(|protocol| {
        let name = format!("a_deleted_topic_holds_up_no_other_of_its_pattern::{protocol}");
        Case::both(name, move |target| a_pattern_goes_on(target, protocol))
    });
    let committing = PROTOCOLS.map(|protocol| {
        let name = format!("a_commit_to_a_deleted_topic_fails_by_itself::{protocol}");
        Case::both(name, move |target| a_commit_fails_by_itself(target, protocol))
    });
    let anew = ["assigned", "classic", "consumer"].map(|how| {
        let name = format!("an_offset_of_a_deleted_topic_is_not_committed_to_the_one_made_anew::{how}");
        let case = Case::both(name, move |target| wait(commits_of_the_old_one(target, how)));
        // Kafka 3.9 names topics by their names, and has no consumer protocol that is on.
        if how == "consumer" { case } else { case.and_kafka_3_9() }
    });
    reading.into_iter().chain(committing).map(Case::and_kafka_4_3).chain(anew).collect()
}

async fn commits_of_the_old_one(target: &Target, how: &str) -> Outcome {
    let group = unique("anew");
    let topic = topic(target, "anew", 1).await?;
    let at = TopicPartition::new(&topic, 0);
    numbers(target, &topic, 1, 0..350).await?;
    let builder = consumer(target).group_id(&group).enable_auto_commit(false);
    let builder = builder.metadata_max_age(Duration::from_millis(200));
    let mut consumer = match how {
        "assigned" => builder.build().await?,
        "classic" => builder.subscribe([&topic]).build().await?,
        _ => builder.subscribe([&topic]).group_protocol(GroupProtocol::Consumer).build().await?,
    };
    if how == "assigned" {
        consumer.assign([at.clone()])?;
    }
    equal("the old log", take(&mut consumer, 350).await?.len(), 350)?;
    consumer.pause([at.clone()]);
    let misses = |consumer: &Consumer| !consumer.explain().missing_topics.is_empty();
    delete(target, &topic).await?;
    until_so(&consumer, "the topic is missing", misses).await?;
    create(target, &topic, 1).await?;
    numbers(target, &topic, 1, 0..700).await?;
    until_so(&consumer, "the topic is there", |consumer| !misses(consumer)).await?;
    let said = within("a commit", consumer.commit()).await?;
    if let Err(error) = &said {
        let kinds = [CommitErrorKind::Gone, CommitErrorKind::NotMember, CommitErrorKind::NotAssigned];
        holds(&format!("it says what is the matter: {error}"), kinds.contains(&error.kind()))?;
    }
    let committed = admin(target).await?.committed_offsets(group.as_str()).await?;
    let committed = committed.get(&at).map(|found| found.offset);
    holds(&format!("nothing of the old one is committed: {committed:?}, {said:?}"), committed != Some(350))
}

async fn until_so(consumer: &Consumer, what: &str, condition: impl Fn(&Consumer) -> bool) -> Outcome {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition(consumer) {
        if tokio::time::Instant::now() > deadline {
            return Err(format!("not within {PATIENCE:?}: {what}\n{}", consumer.explain()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn delete(target: &Target, topic: &str) -> Outcome {
    Ok(admin(target).await?.delete_topic(topic).await?)
}

fn a_pattern_goes_on(target: &Target, protocol: &str) -> Outcome {
    let (prefix, group) = (unique(&format!("gone-{protocol}")), unique("gone"));
    let [a, b, c] = ["a", "b", "c"].map(|last| format!("{prefix}-{last}"));
    for topic in [&a, &b] {
        wait(async { create(target, topic, 1).await })?;
        wait(async { numbers(target, topic, 1, 0..100).await })?;
    }
    let pattern = format!("{prefix}-.*");
    let args = ["consume", "--regex", &pattern, "-G", &group, "-o", "beginning", "-f", "%t %s\\n"];
    let mut command = ottla(target, &args)?;
    command.args(["-X", "metadata.max.age.ms=3000", "-X", &format!("group.protocol={protocol}")]);
    // Nothing is committed before the topic is deleted, however slow the machine is.
    command.args(["-X", "auto.commit.interval.ms=600000"]);
    let mut reader = Process::spawn(&command)?;
    let lines = |reader: &Process, count: usize, within: Duration| {
        until(within, "the lines", || reader.line_count() >= count)
            .map_err(|late| format!("{late}: {} of {count}\n{}", reader.line_count(), reader.stderr()))
    };
    lines(&reader, 200, PATIENCE)?;
    wait(async { delete(target, &b).await })?;
    wait(async { numbers(target, &a, 1, 200..210).await })?;
    lines(&reader, 210, PATIENCE)?;
    wait(async { create(target, &c, 1).await })?;
    wait(async { numbers(target, &c, 1, 0..5).await })?;
    lines(&reader, 215, NEWS_WITHIN)?;
    reader.signal("INT")?;
    let output = reader.end(ENDS_WITHIN)?;
    equal("the status", (output.status.code(), reader.line_count()), (Some(0), 215))?;
    holds(&format!("it says what it gave up: {}", output.stderr), output.stderr.contains(&b))?;
    equal("who is left in the group", describe(target, &group)?.members.len(), 0)
}

fn a_commit_fails_by_itself(target: &Target, protocol: &str) -> Outcome {
    let group = unique("gone");
    wait(async {
        let (gone, stays) = (topic(target, "gone", 1).await?, topic(target, "stays", 1).await?);
        for topic in [&gone, &stays] {
            numbers(target, topic, 1, 0..10).await?;
        }
        let builder = consumer(target).group_id(&group).subscribe([&gone, &stays]);
        let builder = builder.enable_auto_commit(false).group_protocol(match protocol {
            "consumer" => GroupProtocol::Consumer,
            _ => GroupProtocol::Classic,
        });
        let mut consumer = builder.build().await?;
        take(&mut consumer, 20).await?;
        delete(target, &gone).await?;
        wait_for_failure(&mut consumer, &gone).await?;
        let ended = tokio::time::timeout(ENDS_WITHIN, consumer.close()).await;
        holds("a close need not wait for it", ended.is_ok())?;
        let committed = admin(target).await?.committed_offsets(group.as_str()).await?;
        let committed = committed.iter().find(|(at, _)| at.topic == stays).map(|(_, found)| found.offset);
        equal("the other's offset", committed, Some(10))
    })
}

/// Commits until that fails for the deleted topic, or its partition is taken away. A broker may take commits to a topic
/// for a moment after it was deleted.
async fn wait_for_failure(consumer: &mut Consumer, gone: &str) -> Outcome {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        match tokio::time::timeout(NEWS_WITHIN, consumer.commit()).await? {
            Err(error) if error.kind() == CommitErrorKind::Gone => {
                return holds(&format!("it names the topic: {error}"), error.to_string().contains(gone));
            }
            Err(error) if error.kind() != CommitErrorKind::NotMember => return Err(error.into()),
            _ => _ = tokio::time::timeout(Duration::from_millis(100), consumer.recv()).await,
        }
        if consumer.assignment().iter().all(|at| at.topic != gone) {
            return Ok(());
        }
    }
    Err("no commit failed".into())
}
