//! Ottla's transactional producer: fenced, too slow, abandoned, refused; and records transformed exactly once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::error::{AbortedErrorKind, FatalErrorKind, SendErrorKind};
use ottla::{
    Consumer, HandedOut, IsolationLevel, ProducerRecord, Reason, SendError, TransactionError,
    TransactionalProducer, TransformError,
};
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{
    PATIENCE, admin, consumer, create, equal, holds, member, numbers, poll_until, take, text, topic, wait,
    within,
};

pub(crate) fn cases() -> Vec<Case> {
    let on_all = |name: &str, run: fn(&Target) -> Outcome| Case::both(name, run).and_kafka_3_9();
    vec![
        on_all("a_newer_producer_fences_the_older_one", |target| wait(fenced(target))),
        on_all("a_transaction_that_is_dropped_is_aborted", |target| wait(dropped(target))),
        on_all("a_transaction_that_is_open_for_too_long_is_aborted", |target| wait(too_slow(target))),
        on_all("offsets_of_a_member_that_left_do_not_count", |target| wait(left(target))),
        on_all("a_time_out_that_the_broker_does_not_take_is_told", |target| wait(time_out_refused(target))),
        on_all("a_transaction_spans_brokers", |target| wait(spans_brokers(target))),
        on_all("whose_open_transaction_holds_a_partition_back_is_told", |target| wait(held_back(target))),
        on_all("a_transaction_commits_no_offset_of_a_deleted_topic_to_the_one_made_anew", |target| {
            wait(deleted_input(target))
        }),
        on_all("records_are_transformed_exactly_once_while_members_come_and_go", |target| {
            wait(transformed(target))
        }),
    ]
}

async fn producer(target: &Target, id: &str) -> Result<TransactionalProducer, Failed> {
    Ok(builder(target, id).build_transactional().await?)
}

fn builder(target: &Target, id: &str) -> ottla::ProducerBuilder {
    TransactionalProducer::builder().bootstrap_servers([target.bootstrap()]).transactional_id(id)
}

/// What a reader of committed records finds.
async fn committed(target: &Target, topic: &str, count: usize) -> Result<Vec<String>, Failed> {
    let builder = consumer(target).isolation_level(IsolationLevel::ReadCommitted).subscribe([topic]);
    let mut consumer = builder.group_id(unique("reader")).build().await?;
    let mut values: Vec<String> = take(&mut consumer, count).await?.iter().map(text).collect();
    if let Ok(more) = tokio::time::timeout(Duration::from_millis(300), consumer.recv()).await {
        values.extend(more?.map(|record| text(&record)));
    }
    Ok(values)
}

fn fatal<T>(outcome: Result<T, TransactionError>) -> Option<FatalErrorKind> {
    match outcome {
        Err(TransactionError::Fatal(error)) => Some(error.kind()),
        _ => None,
    }
}

fn aborted<T>(outcome: Result<T, TransactionError>) -> Option<AbortedErrorKind> {
    match outcome {
        Err(TransactionError::Aborted(error)) => Some(error.kind()),
        _ => None,
    }
}

async fn fenced(target: &Target) -> Outcome {
    let (id, topic) = (unique("fenced"), topic(target, "fenced", 1).await?);
    // Found by the commit, and by a write.
    for by_write in [false, true] {
        let mut old = producer(target, &id).await?;
        let transaction = old.begin().await?;
        within("a delivery", transaction.send(ProducerRecord::to(&topic).value("old")).await?).await??;
        let mut new = producer(target, &id).await?;
        let mut told = None;
        if by_write {
            let lost =
                within("a delivery", transaction.send(ProducerRecord::to(&topic).value("late")).await?)
                    .await?;
            told = Some(lost.map(drop).map_err(|error| error.kind()));
        }
        let ended = within("a commit", transaction.commit()).await?;
        if by_write {
            holds(&format!("the write fails: {told:?}"), matches!(told, Some(Err(_))))?;
            // The broker's answer to a write does not say whether a newer producer is there; that to the abort does.
            holds(&format!("not committed: {ended:?}"), ended.is_err())?;
        } else {
            equal("the commit", fatal(ended), Some(FatalErrorKind::Fenced))?;
        }
        equal("the next", fatal(old.begin().await), Some(FatalErrorKind::Fenced))?;
        holds("the old one is of no use", !old.is_usable())?;
        let transaction = new.begin().await?;
        drop(transaction.send(ProducerRecord::to(&topic).value("new")).await?);
        within("a commit", transaction.commit()).await??;
        within("a close", new.close()).await??;
    }
    equal("what counts", committed(target, &topic, 2).await?, vec!["new".to_owned(); 2])
}

async fn dropped(target: &Target) -> Outcome {
    let topic = topic(target, "dropped", 1).await?;
    let mut producer = producer(target, &unique("dropped")).await?;
    let transaction = producer.begin().await?;
    let sender = transaction.sender();
    within("a delivery", transaction.send(ProducerRecord::to(&topic).value("dropped")).await?).await??;
    drop(transaction);
    let late = sender.send(ProducerRecord::to(&topic).value("late")).await.map(drop);
    equal("a late record", late.map_err(|error| error.kind()), Err(SendErrorKind::NoTransaction))?;
    let transaction = within("the next", producer.begin()).await??;
    drop(transaction.send(ProducerRecord::to(&topic).value("kept")).await?);
    within("a commit", transaction.commit()).await??;
    // A commit whose future is dropped is carried through.
    let transaction = producer.begin().await?;
    drop(transaction.send(ProducerRecord::to(&topic).value("carried through")).await?);
    drop(tokio::time::timeout(Duration::ZERO, transaction.commit()).await);
    drop(within("the next", producer.begin()).await??);
    equal(
        "what counts",
        committed(target, &topic, 2).await?,
        vec!["kept".to_owned(), "carried through".to_owned()],
    )
}

/// The coordinator is named the topic that was read by its id (TxnOffsetCommit 6); for an older one ids are compared before.
async fn deleted_input(target: &Target) -> Outcome {
    let (topic, group) = (topic(target, "deleted-input", 1).await?, unique("deleted-input"));
    numbers(target, &topic, 1, 0..5).await?;
    let mut consumer = member(target, &group, &topic).build().await?;
    let offsets =
        take(&mut consumer, 5).await?.pop().map(|last| (last.topic_partition().clone(), last.to_commit()));
    let metadata = consumer.group_metadata().ok_or("no group")?;
    let admin = admin(target).await?;
    admin.delete_topic(topic.as_str()).await?;
    create(target, &topic, 1).await?;
    let mut producer = builder(target, &unique("deleted-input")).build_transactional().await?;
    let transaction = within("a transaction", producer.begin()).await??;
    let sent = within("an answer", transaction.send_offsets(offsets, &metadata)).await?;
    let Err(TransactionError::Aborted(aborted)) = sent else {
        return Err(format!("not aborted: {sent:?}").into());
    };
    equal("why", aborted.kind(), AbortedErrorKind::Gone)?;
    equal("of which topic", aborted.context().partition.clone(), Some((topic.as_str(), 0).into()))?;
    drop(transaction);
    let committed = admin.committed_offsets(group.as_str()).await?;
    holds(&format!("nothing is committed: {committed:?}"), committed.is_empty())
}

/// As the leader tells it: the producer's id is in what it wrote.
async fn held_back(target: &Target) -> Outcome {
    let topic = topic(target, "held-back", 1).await?;
    let mut producer = producer(target, &unique("held-back")).await?;
    let transaction = producer.begin().await?;
    for value in ["first", "second"] {
        within("a delivery", transaction.send(ProducerRecord::to(&topic).value(value)).await?).await??;
    }
    let mut consumer = consumer(target).isolation_level(IsolationLevel::ReadCommitted).build().await?;
    consumer.assign([(topic.as_str(), 0)])?;
    let mut told = None;
    poll_until(&mut consumer, "whose transaction it is", |consumer| {
        told = match consumer.explain().partitions.first() {
            Some((_, Reason::OpenTransaction { held_back: 2, by: Some(by) })) => Some(*by),
            _ => None,
        };
        told.is_some()
    })
    .await?;
    let told = told.ok_or("nothing is told")?;
    equal("since which offset", told.since_offset, 0)?;
    holds(&format!("for a while: {told:?}"), told.waited >= Duration::from_secs(1))?;
    holds(&format!("when it wrote: {told:?}"), told.last_written.is_some_and(|time| time.0 > 0))?;
    let words = format!("an open transaction of producer id {}, from offset 0 on", told.producer_id);
    holds("it is in words, too", consumer.explain().to_string().contains(&words))?;
    within("a commit", transaction.commit()).await??;
    equal("what is read", text(&take(&mut consumer, 2).await?[1]), "second".to_owned())
}

async fn too_slow(target: &Target) -> Outcome {
    let topic = topic(target, "slow", 1).await?;
    let timeout = Duration::from_secs(1);
    let mut producer =
        builder(target, &unique("slow")).transaction_timeout(timeout).build_transactional().await?;
    let transaction = producer.begin().await?;
    within("a delivery", transaction.send(ProducerRecord::to(&topic).value("slow")).await?).await??;
    // Brokers look every ten seconds by default; the suite's look each second.
    let reader = consumer(target).isolation_level(IsolationLevel::ReadCommitted).build().await?;
    let mut reader: Consumer = reader;
    reader.assign([(topic.as_str(), 0)])?;
    poll_until(&mut reader, "the coordinator's abort", |reader| {
        reader.lag().values().all(|lag| *lag == Some(0))
            && reader.explain().to_string().find("transaction").is_none()
            && reader.high_watermark((topic.as_str(), 0)) == Some(2)
    })
    .await?;
    let ended = within("a commit", transaction.commit()).await?;
    let raised = matches!(
        &ended,
        Err(TransactionError::Aborted(error)) if error.kind() == AbortedErrorKind::EndedByCoordinator
    );
    let older =
        matches!(&ended, Err(TransactionError::Fatal(error)) if error.kind() == FatalErrorKind::Fenced);
    holds(&format!("told: {ended:?}"), raised || older)?;
    if raised {
        let transaction = within("the next", producer.begin()).await??;
        drop(transaction.send(ProducerRecord::to(&topic).value("quick")).await?);
        within("a commit", transaction.commit()).await??;
        equal("what counts", committed(target, &topic, 1).await?, vec!["quick".to_owned()])?;
    }
    Ok(())
}

async fn left(target: &Target) -> Outcome {
    let (input, output) = (topic(target, "input", 1).await?, topic(target, "output", 1).await?);
    let group = unique("left");
    numbers(target, &input, 1, 0..3).await?;
    let mut member = member(target, &group, &input).build().await?;
    take(&mut member, 3).await?;
    let before = member.group_metadata().ok_or("no group")?;
    within("a close", member.close()).await??;
    let mut producer = producer(target, &unique("left")).await?;
    let transaction = producer.begin().await?;
    drop(transaction.send(ProducerRecord::to(&output).value("of nobody")).await?);
    let refused =
        within("the offsets", transaction.send_offsets([((input.as_str(), 0), 3)], &before)).await?;
    equal("the offsets", aborted(refused), Some(AbortedErrorKind::NotMember))?;
    equal(
        "known",
        transaction.failure().and_then(|error| aborted::<()>(Err(error))),
        Some(AbortedErrorKind::NotMember),
    )?;
    equal("the commit", aborted(transaction.commit().await), Some(AbortedErrorKind::NotMember))?;
    let transaction = within("the next", producer.begin()).await??;
    drop(transaction.send(ProducerRecord::to(&output).value("of somebody")).await?);
    within("a commit", transaction.commit()).await??;
    let offsets = admin(target).await?.committed_offsets(group.as_str()).await?;
    holds(&format!("nothing is committed: {offsets:?}"), offsets.is_empty())?;
    equal("what counts", committed(target, &output, 1).await?, vec!["of somebody".to_owned()])
}

async fn time_out_refused(target: &Target) -> Outcome {
    let hour = Duration::from_secs(3600);
    let built = builder(target, &unique("long")).transaction_timeout(hour).build_transactional().await;
    let told = built.map(drop).map_err(|error| error.to_string()).err().unwrap_or_default();
    holds(&format!("`{told}` names it"), told.contains("transaction.timeout.ms") && told.contains("(50)"))
}

async fn spans_brokers(target: &Target) -> Outcome {
    let topic = topic(target, "spans", 6).await?;
    let mut producer = producer(target, &unique("spans")).await?;
    let mut expected = Vec::new();
    for round in 0..6 {
        let transaction = producer.begin().await?;
        for partition in 0..6 {
            let value = format!("{round}-{partition}");
            drop(transaction.send(ProducerRecord::to(&topic).partition(partition).value(&value)).await?);
            if round % 2 == 0 {
                expected.push(value);
            }
        }
        match round % 2 {
            0 => within("a commit", transaction.commit()).await??,
            _ => within("an abort", transaction.abort()).await??,
        }
    }
    let mut read = committed(target, &topic, expected.len()).await?;
    read.sort();
    equal("what counts", read, expected)
}

async fn transformed(target: &Target) -> Outcome {
    const COUNT: i32 = 600;
    let (input, output) = (topic(target, "numbers", 4).await?, topic(target, "twice", 4).await?);
    let group = unique("doublers");
    numbers(target, &input, 4, 0..COUNT).await?;
    let done = &Cell::new(false);
    let worker = |index: usize| {
        let (target, input, output, group) =
            (target.bootstrap(), input.clone(), output.clone(), group.clone());
        async move {
            let mut consumer = Consumer::builder()
                .bootstrap_servers([target.as_str()])
                .group_id(group)
                .auto_offset_reset(ottla::OffsetReset::Earliest)
                .enable_auto_commit(false)
                .heartbeat_interval(Duration::from_millis(300))
                .max_poll_records(20)
                .subscribe([input.as_str()])
                .build()
                .await?;
            let mut producer = TransactionalProducer::builder()
                .bootstrap_servers([target.as_str()])
                .transactional_id(unique("doubler"))
                .build_transactional()
                .await?;
            for round in 0.. {
                // One member goes early; the others stay until all is committed. That nothing comes for a while says nothing: members
                // come and go, and may wait for their partitions.
                if done.get() || (index == 0 && round == 6) {
                    break;
                }
                let outcome = producer
                    .transform(&mut consumer, Duration::from_millis(500), async |records, transaction| {
                        for record in records {
                            let record =
                                ProducerRecord::to(&output).value(record.value().map(<[u8]>::to_vec));
                            drop(transaction.send(record).await?);
                        }
                        Ok::<_, SendError>(())
                    })
                    .await;
                match outcome {
                    Ok(_) => {}
                    Err(error) if error.is_retriable() => {}
                    Err(TransformError::Work(error)) if error.kind() == SendErrorKind::Aborted => {}
                    Err(error) => return Err(Failed::from(error.to_string())),
                }
            }
            consumer.close().await?;
            producer.close().await?;
            Ok::<_, Failed>(())
        }
    };
    let late = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        worker(2).await
    };
    let admin = admin(target).await?;
    let committed_all = async {
        while !done.get() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let offsets = admin.committed_offsets(group.as_str()).await?;
            done.set(offsets.values().map(|committed| committed.offset).sum::<i64>() == i64::from(COUNT));
        }
        Ok(())
    };
    let all = async { tokio::try_join!(worker(0), worker(1), late, committed_all) };
    tokio::time::timeout(PATIENCE, all).await.map_err(|_| "the workers did not come to an end")??;
    let read = committed(target, &output, COUNT as usize).await?;
    let mut times: BTreeMap<i32, usize> = BTreeMap::new();
    for value in &read {
        *times.entry(value.parse()?).or_default() += 1;
    }
    let wrong: Vec<_> = (0..COUNT).filter(|n| times.get(n) != Some(&1)).collect();
    holds(&format!("each once, but for {wrong:?}"), wrong.is_empty() && read.len() == COUNT as usize)
}
