//! `ottla topics`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla::{
    Admin,
    admin::{NewTopic, Topic},
    error::{AdminError, AdminErrorKind},
    group::Pattern,
};
use serde_json::Value;

use crate::{
    args::{Common, TopicsVerb},
    common::Clients,
    failure::{Failure, Failures},
    output::{Table, print},
};

pub(super) async fn run(verb: TopicsVerb, outer: Common) -> Result<(), Failure> {
    match verb {
        TopicsVerb::List { internal, common } => list(internal, &outer.with(common)).await,
        TopicsVerb::Create { topic, partitions, replication_factor, configs, common } => {
            let configs = configs.iter().map(|pair| config(pair)).collect::<Result<_, _>>()?;
            let new = NewTopic { name: topic.clone(), partitions, replication_factor, configs };
            let admin = admin(&outer.with(common)).await?;
            let done = admin.create_topic(new).await;
            admin.close().await;
            done?;
            print(&format!("created {topic}\n"))
        }
        TopicsVerb::Describe { topics, common } => describe(topics, &outer.with(common)).await,
        TopicsVerb::Delete { topics, common } => {
            let admin = admin(&outer.with(common)).await?;
            let done = admin.delete_topics(topics).await;
            admin.close().await;
            each(done?)?.keys().try_for_each(|topic| print(&format!("deleted {topic}\n")))
        }
        TopicsVerb::AddPartitions { topic, partitions, common } => {
            let admin = admin(&outer.with(common)).await?;
            let done = admin.create_partitions(topic.clone(), partitions).await;
            admin.close().await;
            done?;
            print(&format!("{topic} has {partitions} partitions\n"))
        }
    }
}

pub(super) async fn admin(common: &Common) -> Result<Admin, Failure> {
    Ok(Clients::new(common)?.admin()?.build().await?)
}

fn config(pair: &str) -> Result<(String, String), Failure> {
    let (key, value) =
        pair.split_once('=').ok_or_else(|| Failure::usage(format!("`{pair}`: expected KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// How long a topic that was just created may be unknown to the broker that is asked.
const APPEARANCE: Duration = Duration::from_secs(1);

/// These topics, all of which must be there.
pub(super) async fn existing(admin: &Admin, names: &[String]) -> Result<BTreeMap<String, Topic>, Failure> {
    let deadline = Instant::now() + APPEARANCE;
    loop {
        let described = admin.describe_topics(names).await?;
        let missing = |result: &Result<Topic, AdminError>| {
            result.as_ref().is_err_and(|error| error.kind() == AdminErrorKind::UnknownTopic)
        };
        if !described.values().any(missing) || Instant::now() >= deadline {
            return each(described);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
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
    let (mut good, mut failures) = (BTreeMap::new(), Failures::default());
    for (key, result) in results {
        match result {
            Ok(value) => drop(good.insert(key, value)),
            Err(error) => failures.add(error),
        }
    }
    failures.end().map(|()| good)
}

async fn list(internal: bool, common: &Common) -> Result<(), Failure> {
    let admin = admin(common).await?;
    let topics = admin.list_topics().await;
    admin.close().await;
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICATION-FACTOR"]);
    for (name, topic) in topics?.iter().filter(|(_, topic)| internal || !topic.internal) {
        let replicas = topic.partitions.values().map(|partition| partition.replicas.len()).min();
        table.push([name.as_str().into(), topic.partitions.len().into(), replicas.into()]);
    }
    table.print(common.is_json())
}

async fn describe(topics: Vec<String>, common: &Common) -> Result<(), Failure> {
    let admin = admin(common).await?;
    let described = match topics.is_empty() {
        true => admin
            .list_topics()
            .await
            .map(|topics| topics.into_iter().map(|(name, topic)| (name, Ok(topic))).collect()),
        false => admin.describe_topics(topics).await,
    };
    admin.close().await;
    let described: BTreeMap<String, Topic> = each(described?)?;
    let mut table = Table::new(&["TOPIC", "PARTITION", "LEADER", "LEADER-EPOCH", "REPLICAS", "ISR"]);
    for (name, topic) in &described {
        for (number, partition) in &topic.partitions {
            let nodes =
                |nodes: &[ottla::admin::NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>().into();
            let epoch = Some(partition.leader_epoch).filter(|epoch| *epoch >= 0);
            table.push([
                name.as_str().into(),
                (*number).into(),
                partition.leader.map_or(Value::Null, |node| node.0.into()),
                epoch.into(),
                nodes(&partition.replicas),
                nodes(&partition.isr),
            ]);
        }
    }
    table.print(common.is_json())
}
