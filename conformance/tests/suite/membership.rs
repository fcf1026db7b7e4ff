//! Staying in a group, and leaving it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla::error::RecvErrorKind;
use ottla::{Admin, Consumer, Event, GroupReason};
use ottla_conformance::targets::Target;

use crate::cases::{Case, Outcome};
use crate::kit::{
    PATIENCE, admin, equal, generations, holds, member, members_of, next, numbers, offsets, take, topic,
    wait, within,
};

/// Much shorter than any session here: nobody is taken for dead instead.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("a_handler_that_blocks_its_thread_stays_in_its_group", |target| {
            wait(blocking_handler(target))
        }),
        Case::both("a_consumer_dropped_without_close_leaves_its_group", |target| wait(dropped(target))),
        Case::both("a_consumer_whose_runtime_is_shut_down_leaves_its_group", |target| {
            wait(runtime_shut_down(target))
        }),
        Case::both("a_slow_user_is_committed_as_he_goes_and_not_expelled", |target| wait(slow_user(target))),
        Case::both("past_max_poll_interval_the_user_is_told_and_then_rejoins", |target| {
            wait(max_poll_interval(target))
        }),
        Case::both("a_rebalance_waits_for_nobody_beyond_his_rebalance_timeout", |target| {
            wait(rebalance_timeout(target))
        }),
        Case::both("any_member_that_asks_for_a_rebalance_gets_one", |target| {
            wait(enforced_rebalance(target))
        }),
    ]
    .into_iter()
    .map(Case::and_kafka_3_9)
    .collect()
}

async fn blocking_handler(target: &Target) -> Outcome {
    let topic = topic(target, "blocking", 1).await?;
    numbers(target, &topic, 1, 0..100).await?;
    let builder = member(target, &topic, &topic).session_timeout(Duration::from_secs(6));
    let mut consumer = builder.heartbeat_interval(Duration::from_secs(2)).build().await?;
    next(&mut consumer).await?;
    let admin = admin(target).await?;
    let before = members_of(&admin, &topic).await?;
    equal("one member", before.len(), 1)?;
    let joined = generations(&mut consumer);
    equal("joined once", joined.len(), 1)?;
    std::thread::sleep(Duration::from_secs(20));
    equal("the members", members_of(&admin, &topic).await?, before)?;
    // A commit is refused from outside the generation.
    within("a commit", consumer.commit()).await??;
    equal("the rest", offsets(&take(&mut consumer, 99).await?), (1..100).collect())?;
    equal("no other generation", generations(&mut consumer), Vec::new())
}

/// A member that has begun to read, in a session that outlasts the case.
async fn reading(target: &Target, group: &str, topic: &str) -> Result<Consumer, Failed> {
    let builder = member(target, group, topic).session_timeout(Duration::from_secs(45));
    let mut consumer = builder.build().await?;
    next(&mut consumer).await?;
    Ok(consumer)
}

/// Until the group has no member.
async fn all_left(admin: &Admin, group: &str, since: Instant) -> Outcome {
    loop {
        let asked = Instant::now();
        let members = members_of(admin, group).await?;
        if members.is_empty() {
            return Ok(());
        }
        if asked - since > LEAVES_WITHIN {
            return Err(format!("still there after {:?}: {members:?}", asked - since).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn dropped(target: &Target) -> Outcome {
    let topic = topic(target, "leaving", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let consumer = reading(target, &topic, &topic).await?;
    let admin = admin(target).await?;
    equal("one member", members_of(&admin, &topic).await?.len(), 1)?;
    let since = Instant::now();
    drop(consumer);
    all_left(&admin, &topic, since).await?;
    let mut heir = member(target, &topic, &topic).build().await?;
    equal("nothing was committed", next(&mut heir).await?.offset(), 0)
}

async fn runtime_shut_down(target: &Target) -> Outcome {
    let topic = topic(target, "shut-down", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (began, has_begun) = tokio::sync::oneshot::channel();
    let (of_task, its_topic) = (*target, topic.clone());
    runtime.spawn(async move {
        let mut reading = reading(&of_task, &its_topic, &its_topic).await;
        let failed = reading.as_ref().err().map(|error| error.message().unwrap_or_default().to_owned());
        let _ = began.send(failed);
        while let Ok(consumer) = &mut reading
            && consumer.recv().await.is_ok()
        {}
    });
    match within("a member", has_begun).await?? {
        None => {}
        Some(failed) => return Err(failed.into()),
    }
    let admin = admin(target).await?;
    equal("one member", members_of(&admin, &topic).await?.len(), 1)?;
    let since = Instant::now();
    runtime.shutdown_background();
    all_left(&admin, &topic, since).await
}

async fn slow_user(target: &Target) -> Outcome {
    const TAKEN: i64 = 6;
    let topic = topic(target, "slow", 1).await?;
    numbers(target, &topic, 1, 0..10_000).await?;
    let builder = member(target, &topic, &topic).session_timeout(Duration::from_secs(6));
    let builder = builder.enable_auto_commit(true).auto_commit_interval(Duration::from_millis(500));
    let mut consumer = builder.max_poll_interval(Duration::from_secs(3)).build().await?;
    let admin = admin(target).await?;
    let mut committed = Vec::new();
    for taken in 0..TAKEN {
        equal("in order", next(&mut consumer).await?.offset(), taken)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let offsets = admin.committed_offsets(topic.as_str()).await?;
        committed.push(offsets.values().next().map_or(0, |committed| committed.offset));
    }
    // At each look the last record is still in the user's hands, and the ones before it are done.
    equal("committed", committed, (0..TAKEN).collect())?;
    equal("joined once", generations(&mut consumer).len(), 1)?;
    consumer.close().await?;
    let offsets = admin.committed_offsets(topic.as_str()).await?;
    equal("at the close", offsets.values().map(|at| at.offset).collect(), vec![TAKEN])
}

async fn max_poll_interval(target: &Target) -> Outcome {
    let topic = topic(target, "overdue", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let builder = member(target, &topic, &topic).max_poll_interval(Duration::from_secs(2));
    let mut consumer = builder.build().await?;
    equal("the first", next(&mut consumer).await?.offset(), 0)?;
    within("a commit", consumer.commit()).await??;
    let admin = admin(target).await?;
    let start = Instant::now();
    while !members_of(&admin, &topic).await?.is_empty() {
        holds("it leaves in time", start.elapsed() < PATIENCE)?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    holds("not too early", start.elapsed() > Duration::from_secs(1))?;
    let why = consumer.explain().group;
    holds(&format!("explained: {why:?}"), matches!(why, Some(GroupReason::Failed(_))))?;
    let Err(error) = within("an error", consumer.recv()).await? else { return Err("not an error".into()) };
    equal("its kind", error.kind(), RecvErrorKind::MaxPollExceeded)?;
    equal("its group", error.context().group.as_deref(), Some(topic.as_str()))?;
    equal("where it had committed", next(&mut consumer).await?.offset(), 1)
}

/// The first is eager, so that the group waits until the record in its user's hands is done with.
async fn rebalance_timeout(target: &Target) -> Outcome {
    let topic = topic(target, "waited-for", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let builder = || {
        let builder = member(target, &topic, &topic).heartbeat_interval(Duration::from_millis(500));
        builder.rebalance_timeout(Duration::from_secs(2))
    };
    let mut first = builder().build().await?;
    equal("the first", next(&mut first).await?.offset(), 0)?;
    let start = Instant::now();
    let mut second = builder().build().await?;
    while generations(&mut second).is_empty() {
        holds("it is let in", start.elapsed() < PATIENCE)?;
        let _ = tokio::time::timeout(Duration::from_millis(50), second.recv()).await;
    }
    holds("not too early", start.elapsed() > Duration::from_secs(1))?;
    loop {
        match first.next_event().map(|happened| happened.event) {
            Some(Event::Lost(lost)) => return equal("lost", lost, vec![(topic.as_str(), 0).into()]),
            Some(Event::Revoked(gone)) => return Err(format!("given up in order: {gone:?}").into()),
            Some(_) => continue,
            None => holds("it is told", start.elapsed() < PATIENCE)?,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One of them leads, the other follows. They are eager: what they subscribe to is the same each time.
async fn enforced_rebalance(target: &Target) -> Outcome {
    let topic = topic(target, "enforced", 2).await?;
    let mut members = Vec::new();
    for _ in 0..2 {
        members.push(member(target, &topic, &topic).build().await?);
    }
    let mut generation = shared_out(&mut members, 0).await?;
    for place in 0..members.len() {
        members[place].enforce_rebalance("the user wants one")?;
        generation = shared_out(&mut members, generation).await?;
    }
    Ok(())
}

/// Waits until each has a partition in a generation after this; which one.
async fn shared_out(members: &mut [Consumer], after: i32) -> Result<i32, Failed> {
    let start = Instant::now();
    loop {
        for member in &mut *members {
            let _ = tokio::time::timeout(Duration::from_millis(50), member.recv()).await;
        }
        let generations = members.iter().filter_map(Consumer::group_metadata);
        let generations: BTreeSet<i32> = generations.map(|metadata| metadata.generation_id).collect();
        let shares = members.iter().all(|member| member.assignment().len() == 1);
        if let (true, 1, Some(&generation)) = (shares, generations.len(), generations.last())
            && generation > after
        {
            return Ok(generation);
        }
        holds(&format!("a generation after {after}: {generations:?}"), start.elapsed() < PATIENCE)?;
    }
}
