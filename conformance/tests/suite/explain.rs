//! `explain()` names the true cause of whatever stops the flow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla::{
    Consumer, ConsumerBuilder, ErrorCode, GroupProtocol, OffsetReset, Rebalance, RebalanceListener,
    TopicPartition,
};
use ottla_broker::Fault;
use ottla_conformance::kafka::Config;
use ottla_conformance::targets::{Embedded, Target, unique};
use ottla_protocol::ApiKey;
use tokio::sync::Semaphore;

use crate::brokers::Own;
use crate::cases::{Case, Outcome};
use crate::kit::{
    PATIENCE, consumer, equal, holds, member, next, numbers, offsets, take, topic, wait, within,
};

/// What a request meets each time, and what is said then: all of it.
type Stopping = (&'static str, ApiKey, Fault, &'static [&'static str]);

fn stopping() -> [Stopping; 20] {
    let late = || Fault::Delay(Duration::from_secs(3));
    let throttle = || Fault::Throttle(Duration::from_secs(3));
    [
        (
            "a_coordinator_that_is_not_available",
            ApiKey::FindCoordinator,
            Fault::Error(ErrorCode::CoordinatorNotAvailable),
            &["group: looking for the coordinator for", "after COORDINATOR_NOT_AVAILABLE", "; attempt 3 in"],
        ),
        (
            "a_group_whose_coordinator_loads_it",
            ApiKey::JoinGroup,
            Fault::Error(ErrorCode::CoordinatorLoadInProgress),
            &["group: Joining for", "after COORDINATOR_LOAD_IN_PROGRESS", "; attempt 3 in"],
        ),
        (
            "a_group_of_the_consumer_protocol_whose_coordinator_loads_it",
            ApiKey::ConsumerGroupHeartbeat,
            Fault::Error(ErrorCode::CoordinatorLoadInProgress),
            &["group: Joining for", "after COORDINATOR_LOAD_IN_PROGRESS"],
        ),
        ("a_join_whose_answer_is_late", ApiKey::JoinGroup, late(), &["group: Joining for"]),
        ("a_sync_whose_answer_is_late", ApiKey::SyncGroup, late(), &["group: Syncing for"]),
        (
            "a_heartbeat_into_the_group_whose_answer_is_late",
            ApiKey::ConsumerGroupHeartbeat,
            late(),
            &["group: Joining for"],
        ),
        (
            "a_coordinator_that_throttles",
            ApiKey::JoinGroup,
            throttle(),
            &["group: coordinator 1: throttled by the broker for"],
        ),
        (
            "a_coordinator_of_the_consumer_protocol_that_throttles",
            ApiKey::ConsumerGroupHeartbeat,
            throttle(),
            &["-0: throttled by the broker for"],
        ),
        (
            "committed_offsets_that_are_not_told",
            ApiKey::OffsetFetch,
            Fault::Error(ErrorCode::CoordinatorLoadInProgress),
            &[
                "-0: waiting for the committed offset for",
                "after COORDINATOR_LOAD_IN_PROGRESS",
                "; attempt 3 in",
            ],
        ),
        (
            "committed_offsets_whose_answer_is_late",
            ApiKey::OffsetFetch,
            late(),
            &["-0: waiting for the committed offset for"],
        ),
        (
            "a_log_that_is_not_told_of",
            ApiKey::ListOffsets,
            Fault::Error(ErrorCode::LeaderNotAvailable),
            &["-0: waiting for an offset from the log for", "after LEADER_NOT_AVAILABLE", "; attempt 3 in"],
        ),
        ("a_leader_that_throttles", ApiKey::Fetch, throttle(), &["-0: throttled by the broker for"]),
        (
            "a_leader_that_does_not_answer",
            ApiKey::Fetch,
            late(),
            &["-0: broker 1 has not answered a fetch for"],
        ),
        (
            "a_leader_that_falls_silent",
            ApiKey::Fetch,
            Fault::Silence,
            &["-0: broker 1 has not answered a fetch for"],
        ),
        (
            "a_coordinator_that_falls_silent",
            ApiKey::OffsetFetch,
            Fault::Silence,
            &["-0: waiting for the committed offset for", "after no answer; attempt 2"],
        ),
        ("a_leader_that_hangs_up", ApiKey::Fetch, Fault::Disconnect, &["-0: broker 1: ", "; attempt "]),
        (
            "an_answer_that_is_lost",
            ApiKey::Fetch,
            Fault::ApplyThenDisconnect,
            &["-0: broker 1: ", "; attempt "],
        ),
        (
            "a_leader_that_is_another",
            ApiKey::Fetch,
            Fault::Error(ErrorCode::NotLeaderOrFollower),
            &["-0: the broker answered NOT_LEADER_OR_FOLLOWER", "; attempt "],
        ),
        (
            "a_log_that_cannot_be_read",
            ApiKey::Fetch,
            Fault::Error(ErrorCode::KafkaStorageError),
            &["-0: the broker answered KAFKA_STORAGE_ERROR", "; attempt "],
        ),
        (
            "a_damaged_batch",
            ApiKey::Fetch,
            Fault::Corrupt,
            &["-0: stuck until a seek: damaged batch at offset 0"],
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, api, fault, said) in stopping() {
        let run = move |_: &Target| wait(stopped_by(api, fault.clone(), said));
        cases.push(Case::embedded(format!("explain::{name}"), run));
    }
    type Run = fn(&Target) -> Outcome;
    let both: [(&str, Run); 9] = [
        ("a_topic_that_is_not_there", |target| wait(missing(target))),
        ("a_paused_partition", |target| wait(paused(target))),
        ("a_budget_that_is_used_up", |target| wait(budget(target))),
        ("a_user_who_stayed_away", |target| wait(stayed_away(target))),
        ("a_revocation_that_waits_for_the_user", |target| wait(revocation(target))),
        ("a_member_without_a_partition", |target| wait(idle(target))),
        ("an_offset_that_is_not_in_the_log", |target| wait(out_of_range(target))),
        ("a_listener_that_takes_its_time", |target| wait(slow_listener(target))),
        ("the_end_of_the_log", |target| wait(at_the_end(target))),
    ];
    cases.extend(both.into_iter().map(|(name, run)| Case::both(format!("explain::{name}"), run)));
    cases.push(Case::embedded("explain::a_broker_that_is_down_for_a_while", |_| wait(down_for_a_while())));
    cases.push(Case::embedded("explain::brokers_that_are_gone", |_| wait(gone())));
    cases.push(Case::embedded("explain::a_commit_that_is_refused_for_now", |_| wait(refused_commit())));
    cases.push(Case::embedded("explain::an_idle_member_by_pattern", |_| wait(idle_by_pattern())));
    let cut = "explain::a_coordinator_whose_connections_are_cut";
    cases.push(Case::alone(cut, cut_off).with_java().heavy());
    cases
}

/// Until the explanation has this text. Nothing is polled meanwhile.
pub(crate) async fn says(consumer: &Consumer, text: &str) -> Outcome {
    says_all(consumer, &[text]).await
}

/// Until one line of the explanation has all of these.
async fn says_all(consumer: &Consumer, texts: &[&str]) -> Outcome {
    let start = Instant::now();
    loop {
        let said = consumer.explain().to_string();
        if said.lines().any(|line| texts.iter().all(|text| line.contains(text))) {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{texts:?} are in no line of:\n{said}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A broker for one case alone. What a target refers to lives on.
pub(crate) fn own() -> Result<(&'static Embedded, Target), Failed> {
    let broker: &'static Embedded = Box::leak(Box::new(Embedded::start(1)?));
    Ok((broker, Target::Embedded(broker)))
}

/// A consumer of partition 0, without a group.
pub(crate) async fn alone(builder: ConsumerBuilder, topic: &str) -> Result<Consumer, Failed> {
    let mut consumer = builder.build().await?;
    consumer.assign([(topic, 0)])?;
    Ok(consumer)
}

/// A broker for this case alone: nobody else meets its fault.
async fn stopped_by(api: ApiKey, fault: Fault, said: &[&str]) -> Outcome {
    let (broker, target) = own()?;
    let topic = topic(&target, "stopped", 1).await?;
    numbers(&target, &topic, 1, 0..10).await?;
    broker.server().with_cluster(|cluster| cluster.faults().on(api).always().then(fault.clone()));
    let mut builder = member(&target, &topic, &topic);
    if api == ApiKey::ConsumerGroupHeartbeat {
        builder = consumer(&target).group_id(&topic).subscribe([&topic]);
        builder = builder.group_protocol(GroupProtocol::Consumer).enable_auto_commit(false);
    }
    if fault == Fault::Silence {
        // What was not answered is given up then.
        builder = builder.request_timeout(Duration::from_secs(2));
    }
    let mut consumer = builder.build().await?;
    if fault == Fault::Corrupt {
        // A batch is looked at when it is taken.
        within("an error", consumer.recv()).await?.err().ok_or("a record of a damaged batch")?;
    }
    says_all(&consumer, said).await?;
    broker.server().with_cluster(|cluster| cluster.faults().clear());
    if fault == Fault::Corrupt {
        consumer.seek((topic.as_str(), 0), 0)?;
    }
    equal("what comes then", offsets(&take(&mut consumer, 10).await?), (0..10).collect())
}

async fn missing(target: &Target) -> Outcome {
    let name = unique("missing");
    let consumer = member(target, &name, &name).build().await?;
    says(&consumer, &format!("{name}: UNKNOWN_TOPIC_OR_PARTITION")).await
}

async fn paused(target: &Target) -> Outcome {
    let topic = topic(target, "explained-paused", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let mut consumer = alone(consumer(target), &topic).await?;
    consumer.pause([(topic.as_str(), 0)]);
    says(&consumer, &format!("{topic}-0: paused")).await?;
    consumer.resume([(topic.as_str(), 0)]);
    next(&mut consumer).await.map(drop)
}

async fn budget(target: &Target) -> Outcome {
    let topic = topic(target, "explained-budget", 1).await?;
    numbers(target, &topic, 1, 0..20_000).await?;
    let small = 64 << 10;
    let builder =
        consumer(target).buffer_memory(small).fetch_max_bytes(small).max_partition_fetch_bytes(small);
    let mut consumer = alone(builder, &topic).await?;
    says_all(&consumer, &["-0: ", "bytes wait to be taken"]).await?;
    let kept = consumer.poll(PATIENCE).await?;
    says_all(&consumer, &["-0: ", "bytes are used by records not taken or still kept"]).await?;
    drop(kept);
    next(&mut consumer).await.map(drop)
}

async fn stayed_away(target: &Target) -> Outcome {
    let topic = topic(target, "explained-away", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let builder = member(target, &topic, &topic).max_poll_interval(Duration::from_secs(2));
    let mut consumer = builder.build().await?;
    next(&mut consumer).await?;
    says(&consumer, "group: not a member any more: max.poll.interval of 2.0s passed").await?;
    // It is told of this once, and joins again.
    let _told = consumer.recv().await;
    next(&mut consumer).await.map(drop)
}

async fn revocation(target: &Target) -> Outcome {
    let topic = topic(target, "explained-revocation", 2).await?;
    numbers(target, &topic, 2, 0..10).await?;
    let mut first = member(target, &topic, &topic).build().await?;
    let held = next(&mut first).await?;
    let second = member(target, &topic, &topic).build().await?;
    says(&first, "group: a rebalance has waited").await?;
    says(&first, &format!("for the user to come back from {topic}-{}", held.partition())).await?;
    says(&first, &format!("{topic}-{}: being given up to the group", held.partition())).await?;
    says(&second, "group: Joining for").await?;
    first.close().await?;
    says(&second, "group: member with 2 partitions").await
}

async fn idle(target: &Target) -> Outcome {
    let topic = topic(target, "explained-idle", 1).await?;
    let first = member(target, &topic, &topic).build().await?;
    says(&first, "group: member with 1 partition").await?;
    let second = member(target, &topic, &topic).build().await?;
    // The leader knows the members, whether it is the one that has the partition or the one that has not.
    let idle = |member| async move {
        tokio::select! {
            said = says(member, "group: no partition assigned: 2 members, 1 partitions") => said,
            said = says(member, "group: no partition assigned: 1 partitions, which others have") => said,
        }
    };
    tokio::select! {
        said = idle(&first) => said,
        said = idle(&second) => said,
    }
}

async fn out_of_range(target: &Target) -> Outcome {
    let topic = topic(target, "explained-range", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let mut consumer = alone(consumer(target).auto_offset_reset(OffsetReset::None), &topic).await?;
    let at = TopicPartition::new(&topic, 0);
    consumer.seek(at.clone(), 1000)?;
    says(&consumer, &format!("{topic}-0: stuck until a seek: offset 1000 is not in the log")).await?;
    consumer.seek(at, 3)?;
    // It was told of the other offset meanwhile, or was not.
    let record = match consumer.recv().await {
        Ok(record) => record.ok_or("it is closed")?,
        Err(_) => next(&mut consumer).await?,
    };
    equal("where it goes on", record.offset(), 3)
}

/// Does not return from being assigned until it may.
struct Slow(Arc<Semaphore>);

impl RebalanceListener for Slow {
    async fn on_assigned(&self, _: &Rebalance, _: &[TopicPartition]) {
        // It is not closed.
        let _ = self.0.acquire().await;
    }
}

async fn slow_listener(target: &Target) -> Outcome {
    let topic = topic(target, "explained-listener", 1).await?;
    numbers(target, &topic, 1, 0..10).await?;
    let may_return = Arc::new(Semaphore::new(0));
    let builder = member(target, &topic, &topic).rebalance_listener(Slow(Arc::clone(&may_return)));
    let mut consumer = builder.build().await?;
    let text = "waiting for the rebalance listener to return";
    let start = Instant::now();
    while !consumer.explain().to_string().contains(text) {
        holds("explained in time", start.elapsed() < PATIENCE)?;
        // Within a call it is told, and its call is not over.
        holds("no record", consumer.poll(Duration::from_millis(50)).await?.is_empty())?;
    }
    may_return.add_permits(1);
    next(&mut consumer).await.map(drop)
}

async fn down_for_a_while() -> Outcome {
    let (broker, target) = own()?;
    let topic = topic(&target, "down", 1).await?;
    let mut consumer = member(&target, &topic, &topic).build().await?;
    says(&consumer, "at the end").await?;
    let server = broker.server();
    server.with_cluster(|cluster| cluster.stop_node(1, server.now()));
    says(&consumer, &format!("{topic}-0: broker 1: ")).await?;
    server.with_cluster(|cluster| cluster.start_node(1, server.now()));
    numbers(&target, &topic, 1, 0..10).await?;
    next(&mut consumer).await.map(drop)
}

async fn refused_commit() -> Outcome {
    let (broker, target) = own()?;
    let topic = topic(&target, "uncommitted", 1).await?;
    numbers(&target, &topic, 1, 0..10).await?;
    let mut consumer = member(&target, &topic, &topic).build().await?;
    next(&mut consumer).await?;
    let refused = Fault::Error(ErrorCode::CoordinatorLoadInProgress);
    broker.server().with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetCommit).always().then(refused));
    // Given up in the call, it goes on.
    let given_up = tokio::time::timeout(Duration::from_millis(100), consumer.commit()).await;
    holds("it is not committed", given_up.is_err())?;
    says_all(&consumer, &["commit: ", "after COORDINATOR_LOAD_IN_PROGRESS", "; attempt 3 in"]).await?;
    broker.server().with_cluster(|cluster| cluster.faults().clear());
    within("a commit", consumer.commit()).await??;
    Ok(())
}

async fn idle_by_pattern() -> Outcome {
    let (_broker, target) = own()?;
    let topic = topic(&target, "matched", 1).await?;
    let member = || {
        let builder = consumer(&target).group_id(&topic).subscribe_pattern(&topic);
        builder.group_protocol(GroupProtocol::Consumer)
    };
    let first = member().build().await?;
    says(&first, "group: member with 1 partition").await?;
    says(&member().build().await?, "group: no partition assigned: the coordinator, which matches").await
}

/// On a real Kafka of its own, as nobody else could use it meanwhile.
fn cut_off() -> Outcome {
    let own = Own::start(Config::new(1).behind_proxies())?;
    let proxy = own.0.proxy(1)?;
    wait(async {
        let target = own.target();
        let topic = topic(&target, "cut-off", 1).await?;
        numbers(&target, &topic, 1, 0..10).await?;
        let mut consumer = member(&target, &topic, &topic).build().await?;
        next(&mut consumer).await?;
        proxy.refuse(true);
        holds("connections are cut", proxy.cut() > 0)?;
        says_all(&consumer, &["group: looking for the coordinator for", "; it was broker 1: "]).await?;
        says(&consumer, &format!("{topic}-0: broker 1: ")).await?;
        proxy.refuse(false);
        says(&consumer, "group: member with 1 partition").await?;
        equal("what comes then", offsets(&take(&mut consumer, 9).await?), (1..10).collect())
    })
}

async fn at_the_end(target: &Target) -> Outcome {
    let topic = topic(target, "explained-end", 1).await?;
    let consumer = alone(consumer(target), &topic).await?;
    says(&consumer, &format!("{topic}-0: at the end: waiting for new records")).await
}

async fn gone() -> Outcome {
    let broker = Embedded::start(1)?;
    let builder = Consumer::builder().bootstrap_servers([broker.bootstrap()]);
    let consumer = builder.group_id("gone").subscribe(["gone"]).build().await?;
    let address = broker.bootstrap();
    drop(broker);
    says(&consumer, &format!("broker {address}: ")).await?;
    says(&consumer, "refused").await
}
