//! `ottla topics describe`: partition by partition.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ottla::{
    Admin,
    admin::{ConfigResource, ConfigSource, EligibleLeaders, NodeId, Topic, TopicId},
    error::{AdminError, AdminErrorKind},
};
use serde_json::Value;

use super::{configs::value, each, with_admin};
use crate::{
    args::Common,
    failure::{Failure, tell},
    output::Table,
};

/// What brokers tell of topics by other requests than those that ask for the topics themselves.
#[derive(Debug, Default)]
struct More {
    eligible: BTreeMap<String, BTreeMap<i32, EligibleLeaders>>,
    /// What is not Kafka's own default, as `key=value`.
    configs: BTreeMap<String, Vec<String>>,
}

pub(super) async fn show(topics: Vec<String>, common: &Common) -> Result<(), Failure> {
    let (described, more) = with_admin(common, async |admin| {
        let described = match topics.is_empty() {
            true => admin.list_topics().await?.into_iter().map(|(name, topic)| (name, Ok(topic))).collect(),
            false => admin.describe_topics(topics).await?,
        };
        let described: BTreeMap<String, Topic> = each(described)?;
        let more = More::ask(admin, described.keys()).await;
        Ok((described, more))
    })
    .await?;
    let mut table = Table::new(&[
        "TOPIC",
        "PARTITION",
        "LEADER",
        "LEADER-EPOCH",
        "REPLICAS",
        "ISR",
        "TOPIC-ID",
        "ELR",
        "LAST-KNOWN-ELR",
        "CONFIGS",
    ]);
    for (name, topic) in &described {
        let id = Some(topic.id).filter(|id| *id != TopicId::ZERO);
        // As Kafka's own tools write it.
        let id: Value = id.map(|id| BASE64_URL_SAFE_NO_PAD.encode(id.0)).into();
        let configs: Value = more.configs.get(name).cloned().into();
        let eligible = more.eligible.get(name);
        for (number, partition) in &topic.partitions {
            let epoch = Some(partition.leader_epoch).filter(|epoch| *epoch >= 0);
            let eligible = eligible.and_then(|partitions| partitions.get(number));
            table.push([
                name.as_str().into(),
                (*number).into(),
                partition.leader.map_or(Value::Null, |node| node.0.into()),
                epoch.into(),
                nodes(&partition.replicas),
                nodes(&partition.isr),
                id.clone(),
                eligible.and_then(|it| it.eligible.as_deref()).map_or(Value::Null, nodes),
                eligible.and_then(|it| it.last_known.as_deref()).map_or(Value::Null, nodes),
                configs.clone(),
            ]);
        }
    }
    table.print(common.is_json())
}

fn nodes(nodes: &[NodeId]) -> Value {
    nodes.iter().map(|node| node.0).collect::<Vec<_>>().into()
}

impl More {
    async fn ask(admin: &Admin, topics: impl Iterator<Item = &String> + Clone) -> Self {
        let (eligible, configs) = tokio::join!(
            admin.eligible_leaders(topics.clone()),
            admin.describe_configs(topics.cloned().map(ConfigResource::Topic))
        );
        let configs = known("configurations", configs).into_iter().filter_map(|(resource, entries)| {
            let ConfigResource::Topic(name) = resource else { return None };
            let set = entries.into_iter().filter(|(_, entry)| entry.source != ConfigSource::Default);
            Some((name, set.map(|(key, entry)| format!("{key}={}", value(&entry))).collect()))
        });
        Self { eligible: known("eligible leaders", eligible), configs: configs.collect() }
    }
}

/// What of these is known. Why it is not is told once, unless brokers have no such request: the rest is shown all the same.
fn known<K: Ord, T>(
    what: &str,
    told: Result<BTreeMap<K, Result<T, AdminError>>, AdminError>,
) -> BTreeMap<K, T> {
    let mut good = BTreeMap::new();
    let mut why = None;
    match told {
        Ok(told) => {
            for (of, result) in told {
                match result {
                    Ok(result) => _ = good.insert(of, result),
                    Err(error) => why = why.or(Some(error)),
                }
            }
        }
        Err(error) => why = Some(error),
    }
    if let Some(error) = why.filter(|error| error.kind() != AdminErrorKind::Unsupported) {
        tell(format!("{what} are not shown: {error}"));
    }
    good
}
