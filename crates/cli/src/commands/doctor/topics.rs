//! Partitions without a leader, or with fewer replicas in sync than they should have.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    Admin,
    admin::{ConfigEntry, ConfigResource, NodeId, Partition, Topic},
};

use super::{
    finding::{Finding, Kind},
    refused,
};

/// How many partitions are named in one finding.
const NAMED: usize = 10;

/// How many topics are asked for their configuration.
const ASKED: usize = 200;

/// Of these topics and Kafka's own; of all where it is not said which.
pub(super) async fn examine(admin: &Admin, wanted: Option<BTreeSet<String>>) -> Vec<Finding> {
    let mut topics = match admin.list_topics().await {
        Ok(topics) => topics,
        Err(error) => return vec![refused(&error)],
    };
    if let Some(wanted) = wanted {
        topics.retain(|name, topic| topic.internal || wanted.contains(name));
    }
    // Those that lack replicas first; of the others some may want more than they have.
    let mut asked: Vec<(&String, &Topic)> = topics.iter().collect();
    asked.sort_by_key(|(_, topic)| !topic.partitions.values().any(is_short));
    let asked: Vec<&String> = asked.into_iter().map(|(name, _)| name).take(ASKED).collect();
    let least = least_in_sync(admin, &asked).await;
    let mut findings = Vec::new();
    for (name, topic) in &topics {
        findings.extend(of(name, topic, least.get(name).copied()));
    }
    if findings.is_empty() {
        let partitions: usize = topics.values().map(|topic| topic.partitions.len()).sum();
        let seen = format!(
            "{} topics with {partitions} partitions: each has a leader, and all replicas",
            topics.len()
        );
        findings.push(Finding::new(Kind::Topics, seen));
    }
    findings
}

fn is_short(partition: &Partition) -> bool {
    partition.isr.len() < partition.replicas.len()
}

/// `min.insync.replicas` of these topics, as far as it may be asked.
async fn least_in_sync(admin: &Admin, topics: &[&String]) -> BTreeMap<String, usize> {
    let told = property(admin, topics.iter().map(|name| (*name).clone()), "min.insync.replicas").await;
    told.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

/// A property of these topics, of each that may be asked for it.
pub(super) async fn property(
    admin: &Admin,
    topics: impl Iterator<Item = String>,
    key: &str,
) -> BTreeMap<String, String> {
    let described = admin.describe_configs(topics.map(ConfigResource::Topic)).await.unwrap_or_default();
    let value = |(resource, told): (ConfigResource, Result<BTreeMap<String, ConfigEntry>, _>)| match resource
    {
        ConfigResource::Topic(name) => Some((name, told.ok()?.remove(key)?.value?)),
        _ => None,
    };
    described.into_iter().filter_map(value).collect()
}

fn of(name: &str, topic: &Topic, least: Option<usize>) -> Vec<Finding> {
    let (mut leaderless, mut under, mut short) = (Vec::new(), Vec::new(), Vec::new());
    for (number, partition) in &topic.partitions {
        let told = format!("{number} (in sync {}, of {})", ids(&partition.isr), ids(&partition.replicas));
        match least {
            _ if partition.leader.is_none() => leaderless.push(told),
            Some(least) if partition.isr.len() < least => under.push(told),
            _ if is_short(partition) => short.push(told),
            _ => {}
        }
    }
    let of = |kind, what: &str, partitions: Vec<String>| {
        let count = partitions.len();
        let named: Vec<String> = partitions.into_iter().take(NAMED).collect();
        let more = if count > NAMED { ", …" } else { "" };
        let seen =
            format!("{count} of {} partitions {what}: {}{more}", topic.partitions.len(), named.join(", "));
        (count > 0).then(|| Finding::new(kind, seen).topic(name))
    };
    let least = least.map(|least| format!("have fewer replicas in sync than min.insync.replicas={least}"));
    [
        of(Kind::NoLeader, "have no leader", leaderless),
        of(Kind::UnderMinIsr, &least.unwrap_or_default(), under),
        of(Kind::UnderReplicated, "have not all replicas in sync", short),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ids(nodes: &[NodeId]) -> String {
    let ids: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
    match ids.is_empty() {
        true => "none".to_owned(),
        false => ids.join(" "),
    }
}
