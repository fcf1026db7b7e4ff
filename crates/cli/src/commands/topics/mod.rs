//! `ottla topics`.

mod configs;
mod describe;
mod offsets;
mod records;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla::{
    Admin, OffsetAndTimestamp, TopicPartition,
    admin::{NewTopic, OffsetSpec, Topic},
    config::is_topic_name,
    error::{AdminError, AdminErrorKind},
    group::Pattern,
};

use crate::{
    args::{Common, TopicsVerb},
    common::Clients,
    failure::{Failure, Failures},
    output::{Table, print},
    waiting::{Waits, told},
};

pub(super) async fn run(verb: TopicsVerb, outer: Common) -> Result<(), Failure> {
    match verb {
        TopicsVerb::List { internal, common } => list(internal, &outer.with(common)).await,
        TopicsVerb::Create { topic, count, partitions, replication_factor, configs, no_wait, common } => {
            if let Some(count) = count {
                let verb = format!("ottla topics create {topic} -p {count}");
                return Err(Failure::usage(format!("`{count}`: the number of partitions is -p: `{verb}`")));
            }
            let mut new = NewTopic::new(&topic);
            (new.partitions, new.replication_factor) = (partitions, replication_factor);
            new.configs = configs.iter().map(|pair| config(pair)).collect::<Result<_, _>>()?;
            with_admin(&outer.with(common), async |admin| {
                admin.create_topic(new).await?;
                match no_wait {
                    true => Ok(()),
                    false => until_led(admin, &topic).await,
                }
            })
            .await?;
            print(&format!("created {topic}\n"))
        }
        TopicsVerb::Describe { topics, common } => describe::show(topics, &outer.with(common)).await,
        TopicsVerb::Configs(args) => configs::show(&args, &outer.with(args.common.clone())).await,
        TopicsVerb::Offsets(args) => offsets::show(&args, &outer.with(args.common.clone())).await,
        TopicsVerb::Delete { topics, common } => {
            let done =
                with_admin(&outer.with(common), async |admin| Ok(admin.delete_topics(topics).await?)).await;
            each(done?)?.keys().try_for_each(|topic| print(&format!("deleted {topic}\n")))
        }
        TopicsVerb::DeleteRecords(args) => records::delete(&args, &outer.with(args.common.clone())).await,
        TopicsVerb::AddPartitions { topic, partitions, common } => {
            with_admin(&outer.with(common), async |admin| {
                Ok(admin.create_partitions(topic.as_str(), partitions).await?)
            })
            .await?;
            print(&format!("{topic} has {partitions} partitions\n"))
        }
    }
}

/// Does something with an admin client, and tells meanwhile what is waited for.
pub(super) async fn with_admin<T>(
    common: &Common,
    work: impl AsyncFnOnce(&Admin) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let admin = Clients::new(common)?.admin()?.build().await?;
    let done = told(|| admin.explain(), work(&admin)).await;
    admin.close().await;
    done
}

fn config(pair: &str) -> Result<(String, String), Failure> {
    let (key, value) =
        pair.split_once('=').ok_or_else(|| Failure::usage(format!("`{pair}`: expected KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// How long a topic that was just created may be unknown to the broker that is asked.
pub(super) const APPEARANCE: Duration = Duration::from_secs(15);
/// How often it is asked for.
const LOOK: Duration = Duration::from_millis(100);

/// These topics, all of which must be there.
pub(super) async fn existing(admin: &Admin, names: &[String]) -> Result<BTreeMap<String, Topic>, Failure> {
    let deadline = Instant::now() + APPEARANCE;
    let mut waits = Waits::default();
    loop {
        let described = admin.describe_topics(names).await?;
        let is_missing = |result: &Result<Topic, AdminError>| {
            result.as_ref().is_err_and(|error| error.kind() == AdminErrorKind::UnknownTopic)
        };
        let missing = described.iter().filter(|(_, result)| is_missing(result));
        let missing: Vec<String> = missing.map(|(name, _)| format!("`{name}`")).collect();
        if missing.is_empty() || Instant::now() >= deadline {
            return each(described);
        }
        let names = missing.join(", ");
        waits.now([format!(
            "no broker knows of topic {names} yet: was it just created? ({APPEARANCE:?} at the most)"
        )]);
        tokio::time::sleep(LOOK).await;
    }
}

/// A pattern where a name belongs is a habit of other tools.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    if is_topic_name(name) {
        return Ok(());
    }
    let why = "no topic's name: those are of up to 249 letters, digits, dots, dashes and underscores";
    Err(Failure::usage(format!("`{name}`: {why}; for a regular expression add --regex")))
}

/// Until each of a new topic's partitions has a leader.
async fn until_led(admin: &Admin, topic: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + APPEARANCE;
    let mut waits = Waits::default();
    loop {
        let described = admin.describe_topics([topic]).await?;
        let why = match described.get(topic) {
            Some(Ok(known)) if !known.partitions.is_empty() => {
                let leaderless = known.partitions.values().filter(|partition| partition.leader.is_none());
                match leaderless.count() {
                    0 => return Ok(()),
                    count => format!(
                        "{count} of {} partitions of `{topic}` have no leader",
                        known.partitions.len()
                    ),
                }
            }
            _ => format!("topic `{topic}` is created, and the broker that is asked does not know of it yet"),
        };
        if Instant::now() >= deadline {
            return Err(Failure::failed(format!(
                "{why} after {APPEARANCE:?}; it will be there: --no-wait waits for none of it"
            )));
        }
        waits.now([why]);
        tokio::time::sleep(LOOK).await;
    }
}

/// The topics whose whole names match, but for Kafka's own. At least one.
pub(super) async fn matching(admin: &Admin, pattern: &Pattern) -> Result<BTreeMap<String, Topic>, Failure> {
    let mut topics = admin.list_topics().await?;
    topics.retain(|name, topic| !topic.internal && pattern.matches(name));
    match topics.is_empty() {
        true => {
            let why = "no topic has such a name; `ottla topics list` shows those that there are";
            Err(Failure::failed(format!("--regex {pattern}: {why}")))
        }
        false => Ok(topics),
    }
}

/// All results, unless one failed: those before the last failure are told at once.
pub(super) fn each<K: Ord, T>(
    results: BTreeMap<K, Result<T, AdminError>>,
) -> Result<BTreeMap<K, T>, Failure> {
    let mut failures = Failures::default();
    let good = failures.take_from(results);
    failures.end().map(|()| good)
}

/// An offset of each partition, as far as it could be told.
pub(super) type Offsets = BTreeMap<TopicPartition, Result<Option<OffsetAndTimestamp>, AdminError>>;

/// Where the logs of these partitions begin, and where they end.
pub(super) async fn begins_and_ends(
    admin: &Admin,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<(Offsets, Offsets), AdminError> {
    let all = |spec| partitions.iter().map(move |at| (at.clone(), spec));
    tokio::try_join!(
        admin.list_offsets(all(OffsetSpec::Earliest)),
        admin.list_offsets(all(OffsetSpec::Latest))
    )
}

async fn list(internal: bool, common: &Common) -> Result<(), Failure> {
    let topics = with_admin(common, async |admin| Ok(admin.list_topics().await?)).await?;
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICATION-FACTOR"]);
    for (name, topic) in topics.iter().filter(|(_, topic)| internal || !topic.internal) {
        let replicas = topic.partitions.values().map(|partition| partition.replicas.len()).min();
        table.push([name.as_str().into(), topic.partitions.len().into(), replicas.into()]);
    }
    table.print(common.is_json())
}
