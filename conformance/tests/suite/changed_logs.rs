//! Logs that change under a reader: cut by an unclean election, deleted from their beginning, deleted and made anew. The position
//! is moved as the reset policy says, or told where there is none, and reported with its numbers in either case.

use std::time::Duration;

use libtest_mimic::Failed;
use ottla::admin::NewTopic;
use ottla::error::RecvErrorKind;
use ottla::{
    Acks, Admin, Consumer, DeletedUnread, Event, GroupProtocol, OffsetReset, Producer, ProducerRecord,
    Recreated, TopicPartition, Truncated,
};
use ottla_conformance::kafka::Config;
use ottla_conformance::targets::{Target, unique};

use crate::brokers::Own;
use crate::cases::{Case, Outcome};
use crate::in_hand::InHand;
use crate::kit::{
    PATIENCE, admin, consumer, create, create_as, equal, holds, member, next, numbers, offsets, take, text,
    topic, wait, within,
};

pub(crate) fn cases() -> Vec<Case> {
    let anew = ["assigned", "classic", "consumer"].map(|how| {
        let name = format!("a_topic_made_anew_is_read_from_its_own_beginning::{how}");
        let case = Case::both(name, move |target| wait(made_anew(target, how)));
        if how == "consumer" { case } else { case.and_kafka_3_9() }
    });
    let mut cases = vec![
        Case::embedded("a_log_cut_by_an_unclean_election_is_reported_and_read_on", cut_embedded),
        Case::alone("a_log_cut_by_kafkas_own_unclean_election_is_reported_and_read_on", cut)
            .with_java()
            .heavy(),
        Case::both("what_is_deleted_under_a_paused_reader_is_told_and_counted", |target| {
            wait(deleted_unread(target))
        })
        .and_kafka_3_9(),
    ];
    cases.extend(anew);
    cases
}

/// The events that have happened, but for those of the group.
fn of_positions(consumer: &mut Consumer) -> Vec<Event> {
    let all = std::iter::from_fn(|| consumer.next_event()).map(|happened| happened.event);
    all.filter(|event| matches!(event, Event::Truncated(_) | Event::DeletedUnread(_) | Event::Recreated(_)))
        .collect()
}

/// Consumers of partition 0: one with a reset policy, and one with none. Each has read ten records.
async fn readers(target: &Target, topic: &str) -> Result<[Consumer; 2], Failed> {
    let mut readers = Vec::new();
    for reset in [OffsetReset::Latest, OffsetReset::None] {
        let mut reader = consumer(target).auto_offset_reset(reset).build().await?;
        reader.assign([(topic, 0)])?;
        reader.seek((topic, 0), 0)?;
        equal("ten records", offsets(&take(&mut reader, 10).await?), (0..10).collect())?;
        readers.push(reader);
    }
    readers.try_into().map_err(|_| "two readers".into())
}

/// What each of the readers is told, and reads, when the log is cut below offset 20, at 10, and ten others are written.
async fn is_cut([reader, strict]: [Consumer; 2], in_hand: InHand, topic: &str) -> Outcome {
    // What a processor had in hand then and is still there is handled as well as what is new.
    in_hand.receives(30).await?;
    let mut expected = texts(0..10);
    expected.extend(texts(100..110));
    let handled = in_hand.handles(&expected).await?;
    holds(&format!("in order: {handled:?}"), handled.ends_with(&texts(100..110)))?;
    let at = TopicPartition::new(topic, 0);
    for (mut reader, resets) in [(reader, true), (strict, false)] {
        if !resets {
            let Err(error) = within("an error", reader.recv()).await? else { return Err("a record".into()) };
            equal("it is an error", error.kind(), RecvErrorKind::Truncated)?;
            let context = error.context();
            equal("its place", (&context.partition, context.offset), (&Some(at.clone()), Some(20)))?;
            let said = reader.explain().to_string();
            holds(
                &format!("it is explained: {said}"),
                said.contains("the log was cut below offset 20, at 10"),
            )?;
            reader.seek(at.clone(), 10)?;
        }
        let others = take(&mut reader, 10).await?;
        equal("each offset once more", offsets(&others), (10..20).collect())?;
        equal("of other records", others.iter().map(text).collect(), texts(100..110))?;
        let events = of_positions(&mut reader);
        let [Event::Truncated(Truncated { at: told, position, diverged_at, offsets, .. })] =
            events.as_slice()
        else {
            return Err(format!("one report, not {events:?}").into());
        };
        equal("where", told, &at)?;
        holds("with the epoch", position.leader_epoch.is_some())?;
        let numbers = (position.offset, diverged_at.map(|end| end.offset), *offsets);
        equal("its numbers", numbers, (20, Some(10), Some(10)))?;
    }
    Ok(())
}

fn texts(numbers: std::ops::Range<i32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

fn cut_embedded(target: &Target) -> Outcome {
    let Target::Embedded(embedded) = *target else { return Err("another target".into()) };
    wait(async {
        let topic = topic(target, "cut", 1).await?;
        numbers(target, &topic, 1, 0..10).await?;
        let mut readers = readers(target, &topic).await?;
        let in_hand = InHand::begin(target, &topic);
        to_the_leader(target, &topic, 10..20).await?;
        for reader in &mut readers {
            take(reader, 10).await?;
        }
        in_hand.receives(20).await?;
        let now = embedded.server().now();
        let end = embedded.server().with_cluster(|cluster| {
            let (leader, _) = cluster.leader(&topic, 0)?;
            cluster.elect_unclean(&topic, 0, leader % 3 + 1, 10, now)
        });
        equal("the log ends", end, Some(10))?;
        numbers(target, &topic, 1, 100..110).await?;
        is_cut(readers, in_hand, &topic).await
    })
}

/// Writes numbers that the leader alone acknowledges, and that are lost with it.
async fn to_the_leader(target: &Target, topic: &str, range: std::ops::Range<i64>) -> Outcome {
    let builder = Producer::builder().bootstrap_servers([target.bootstrap()]).acks(Acks::Leader);
    let producer = builder.build().await?;
    for n in range {
        let record = ProducerRecord::to(topic).partition(0).value(n.to_string());
        let delivery = within("room for a record", producer.send(record)).await??;
        let delivered = within("an acknowledgement", delivery.into_future()).await??;
        equal("its offset", delivered.offset, Some(n))?;
    }
    Ok(within("a close", producer.close()).await??)
}

/// A follower is killed and misses ten records; then the leader is, and the follower leads without them.
fn cut() -> Outcome {
    let own = Own::start(Config::new(3).set("broker.session.timeout.ms", 3000))?;
    let (target, topic) = (own.target(), unique("cut"));
    let (leader, follower, readers, in_hand) = wait(async {
        let two_copies = NewTopic::new(&topic).partitions(1).replication_factor(2);
        create_as(&target, two_copies.config("unclean.leader.election.enable", "true")).await?;
        let admin = admin(&target).await?;
        let (leader, copies) = led(&admin, &topic).await?;
        let leader = leader.ok_or("no leader")?;
        let follower = copies.into_iter().find(|node| *node != leader).ok_or("no follower")?;
        numbers(&target, &topic, 1, 0..10).await?;
        let mut readers = readers(&target, &topic).await?;
        let in_hand = InHand::begin(&target, &topic);
        in_hand.receives(10).await?;
        own.0.kill(follower)?;
        to_the_leader(&target, &topic, 10..20).await?;
        for reader in &mut readers {
            take(reader, 10).await?;
        }
        in_hand.receives(20).await?;
        Ok((leader, follower, readers, in_hand))
    })?;
    own.0.kill(leader)?;
    own.0.restart(follower)?;
    wait(async {
        let leads = async {
            let admin = admin(&target).await?;
            while led(&admin, &topic).await?.0 != Some(follower) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Outcome::Ok(())
        };
        within("the follower leads", leads).await??;
        numbers(&target, &topic, 1, 100..110).await?;
        is_cut(readers, in_hand, &topic).await
    })
}

/// The leader of partition 0, and the nodes that have copies.
async fn led(admin: &Admin, topic: &str) -> Result<(Option<u32>, Vec<u32>), Failed> {
    let topics = admin.list_topics().await?;
    let partition = topics.get(topic).and_then(|topic| topic.partitions.get(&0)).ok_or("no such topic")?;
    let copies = partition.replicas.iter().map(|node| node.0 as u32).collect();
    Ok((partition.leader.map(|node| node.0 as u32), copies))
}

async fn deleted_unread(target: &Target) -> Outcome {
    let topic = topic(target, "trimmed", 1).await?;
    let at = TopicPartition::new(&topic, 0);
    numbers(target, &topic, 1, 0..2).await?;
    let mut reader = consumer(target).fetch_max_wait(Duration::from_millis(10)).build().await?;
    reader.assign([at.clone()])?;
    equal("before", offsets(&take(&mut reader, 2).await?), vec![0, 1])?;
    reader.pause([at.clone()]);
    // A fetch that is under way asks for it, too.
    holds("nothing comes", reader.poll(Duration::from_millis(300)).await?.is_empty())?;
    numbers(target, &topic, 1, 2..10).await?;
    within("a deletion", admin(target).await?.delete_records([(at.clone(), 6)])).await??;
    equal(
        "nothing is told while it is paused",
        (reader.deleted_unread(), of_positions(&mut reader)),
        (0, vec![]),
    )?;
    reader.resume([at.clone()]);
    equal("it goes on", offsets(&take(&mut reader, 4).await?), (6..10).collect())?;
    let events = of_positions(&mut reader);
    let [Event::DeletedUnread(DeletedUnread { at: told, position, log_start, offsets, .. })] =
        events.as_slice()
    else {
        return Err(format!("one report, not {events:?}").into());
    };
    equal("its numbers", (told, *position, *log_start, *offsets), (&at, 2, 6, 4))?;
    equal("counted", reader.deleted_unread(), 4)
}

async fn made_anew(target: &Target, how: &str) -> Outcome {
    let topic = topic(target, "anew", 1).await?;
    let at = TopicPartition::new(&topic, 0);
    numbers(target, &topic, 1, 0..20).await?;
    let builder = match how {
        "assigned" => consumer(target),
        "classic" => member(target, &topic, &topic),
        _ => consumer(target)
            .group_id(topic.as_str())
            .group_protocol(GroupProtocol::Consumer)
            .subscribe([&topic])
            .enable_auto_commit(false),
    };
    let mut reader = builder.metadata_max_age(Duration::from_secs(1)).build().await?;
    if how == "assigned" {
        reader.assign([at.clone()])?;
    }
    take(&mut reader, 20).await?;
    if how != "assigned" {
        within("a commit", reader.commit()).await??;
    }
    admin(target).await?.delete_topic(topic.as_str()).await?;
    create_again(target, &topic).await?;
    // More than were read of the one that is gone: none of them is skipped.
    numbers(target, &topic, 1, 100..130).await?;
    let first = next(&mut reader).await?;
    equal("its own beginning", (first.offset(), text(&first)), (0, "100".to_owned()))?;
    let rest = take(&mut reader, 29).await?;
    equal("each of its records once", rest.iter().map(text).collect(), texts(101..130))?;
    match of_positions(&mut reader).as_slice() {
        [Event::Recreated(Recreated { at: told, position, .. })] => {
            equal("what is told", (told, *position), (&at, Some(20)))
        }
        // A coordinator that has seen it go has taken it from its member, and given it anew.
        [] if how == "consumer" => Ok(()),
        events => Err(format!("one report, not {events:?}").into()),
    }
}

/// The name may be taken for a moment after the topic was deleted.
async fn create_again(target: &Target, topic: &str) -> Outcome {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match create(target, topic, 1).await {
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            created => return created,
        }
    }
}
